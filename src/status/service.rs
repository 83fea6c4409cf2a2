//! What was observed of a `DrmCluster` or a `SchedulerCluster`: how each server is, and whether clients are served.
//!
//! It describes what was asked in this reconcile; whether that is young enough to act on is the plan's question.
//!
//! May import `types`, `api`, `observe`, `plan` and `validate` (types).

use super::members::{Observed, SeenMember, Verdict};
use super::servers::{self, Servers, Word, told};
use super::{Subject, status_of};
use crate::api::v1alpha1::{ClusterStatus, ConditionStatus as Is, MemberState, Role};
use crate::observe::{Kubernetes, Member, ServiceWorld, Unknown, failure};
use crate::plan::{Memory, Report, ServiceTarget};
use crate::validate::Product;

/// What is seen of a `DrmCluster` or a `SchedulerCluster`.
#[derive(Debug, Clone, Copy)]
pub struct ServiceView<'a> {
    /// What is wanted.
    pub target: &'a ServiceTarget,
    /// What is.
    pub world: &'a ServiceWorld,
    /// Which software it runs.
    pub software: Product,
}

/// The status of a `DrmCluster` or a `SchedulerCluster` that follows the one that is there.
#[must_use]
pub fn service_status(
    subject: &Subject<'_>,
    view: &ServiceView<'_>,
    report: &Report,
    memory: &Memory,
    old: &ClusterStatus,
) -> ClusterStatus {
    status_of(subject, report, memory, &observe_service(subject.cluster, view, report), old)
}

/// How each server is, and whether clients are served.
#[must_use]
pub fn observe_service(cluster: &str, view: &ServiceView<'_>, report: &Report) -> Observed {
    let members = servers::seen(view, report);
    // Only the DrmCluster is scaled by its subresource.
    let scaled = (view.software == Product::Drm).then_some(Role::Drmdata);
    Observed {
        available: available(view, &members),
        scale: scaled.and_then(|role| servers::scale(&view.world.kubernetes, view.software, cluster, role)),
        first_start: !servers::all_begun(view),
        members,
    }
}

impl Servers for ServiceView<'_> {
    fn kubernetes(&self) -> &Kubernetes {
        &self.world.kubernetes
    }

    fn wanted(&self) -> Vec<(Role, u32)> {
        self.target.roles.iter().map(|(role, target)| (*role, target.replicas)).collect()
    }

    fn word(&self, member: Member) -> Result<Word, Unknown> {
        let view = told(self.world.servers.get(&member))?;
        Ok(match view.failing {
            None => Word::Works(MemberState::Serving),
            Some(reason) => Word::Fails(MemberState::Broken, reason, failure(reason).to_owned()),
        })
    }
}

/// Clients are served when one server of the first role works. A console is for people: what becomes of it is told and
/// decides nothing.
fn available(view: &ServiceView<'_>, members: &[SeenMember]) -> Verdict {
    let works = |role| servers::any(members, role, &[MemberState::Serving]);
    let mut roles = view.target.roles.iter().map(|(role, _)| *role);
    let Some(first) = roles.next() else { return servers::verdict(Is::False, "no server is wanted") };
    let name = noun(first);
    let (status, message) = match works(first) {
        Is::True => (Is::True, format!("at least one {name} serves")),
        Is::Unknown => (Is::Unknown, format!("no {name} is known to serve")),
        Is::False => (Is::False, format!("no {name} serves")),
    };
    let others = roles.filter_map(|role| match works(role) {
        Is::True => None,
        Is::Unknown => Some(format!("no {} is known to serve", noun(role))),
        Is::False => Some(format!("no {} serves", noun(role))),
    });
    let message = std::iter::once(message).chain(others).collect::<Vec<_>>().join("; ");
    servers::verdict(status, message)
}

const fn noun(role: Role) -> &'static str {
    match role {
        Role::Drmdata => "drmdata",
        Role::Console => "console",
        _ => "server",
    }
}
