//! What was observed of a `RegistryCluster`: how each server is, and whether clients are served.
//!
//! It describes what was asked in this reconcile; whether that is young enough to act on is the plan's question.
//!
//! May import `types`, `api`, `observe`, `plan` and `validate` (types).

use super::members::{Observed, SeenMember, Verdict};
use super::servers::{self, Servers, Word, told};
use super::{Subject, status_of};
use crate::api::v1alpha1::{ClusterStatus, ConditionStatus as Is, MemberState, MembershipKind, Reason, Role};
use crate::observe::{Genesis, Kubernetes, Member, RegistryWorld, Standing, Unknown};
use crate::plan::{Memory, RegistryTarget, Report};
use crate::validate::Product;

const ROLES: [Role; 3] = [Role::Meta, Role::Data, Role::Session];

/// What is seen of a `RegistryCluster`.
#[derive(Debug, Clone, Copy)]
pub struct RegistryView<'a> {
    /// What is wanted.
    pub target: &'a RegistryTarget,
    /// What is.
    pub world: &'a RegistryWorld,
}

/// The status of a `RegistryCluster` that follows the one that is there.
#[must_use]
pub fn registry_status(
    subject: &Subject<'_>,
    view: &RegistryView<'_>,
    report: &Report,
    memory: &Memory,
    old: &ClusterStatus,
) -> ClusterStatus {
    status_of(subject, report, memory, &observe_registry(subject.cluster, view, report), old)
}

/// How each server is, and whether clients are served.
#[must_use]
pub fn observe_registry(cluster: &str, view: &RegistryView<'_>, report: &Report) -> Observed {
    let mut members = servers::seen(view, report);
    one_leader(&mut members);
    Observed {
        available: available(&members),
        // Sessions are what is scaled.
        scale: servers::scale(&view.world.kubernetes, Product::Registry, cluster, Role::Session),
        first_start: is_first_start(view),
        members,
    }
}

impl Servers for RegistryView<'_> {
    fn kubernetes(&self) -> &Kubernetes {
        &self.world.kubernetes
    }

    fn wanted(&self) -> Vec<(Role, u32)> {
        let count = |role| self.target.roles.get(&role).map_or(0, |target| target.replicas);
        ROLES.into_iter().map(|role| (role, count(role))).collect()
    }

    fn word(&self, member: Member) -> Result<Word, Unknown> {
        Ok(match serving(self.world, member)? {
            true if leads(self.world, member) => Word::Works(MemberState::Leader),
            true => Word::Works(MemberState::Serving),
            false if member.role != Role::Meta => Word::broken("it does not say that it works"),
            false if any_leads(self.world) => Word::Fails(
                MemberState::Starting,
                Reason::WaitingForPeers,
                "it answers, and waits until the others let it in".to_owned(),
            ),
            false => Word::broken("it answers and is in no group that has a leader"),
        })
    }
}

/// Whether a server works, by its own word.
fn serving(world: &RegistryWorld, member: Member) -> Result<bool, Unknown> {
    match member.role {
        Role::Meta => told(world.metas.get(&member)).map(|view| view.standing != Standing::Outside),
        Role::Data => told(world.datas.get(&member)).map(|view| view.serving),
        _ => told(world.sessions.get(&member)).map(|view| view.serving),
    }
}

fn leads(world: &RegistryWorld, member: Member) -> bool {
    told(world.metas.get(&member)).is_ok_and(|view| view.standing == Standing::Leader)
}

fn any_leads(world: &RegistryWorld) -> bool {
    world.metas.keys().any(|member| leads(world, *member))
}

/// Of several metas that say that they lead, none is believed.
fn one_leader(members: &mut [SeenMember]) {
    if members.iter().filter(|m| m.state == MemberState::Leader).count() < 2 {
        return;
    }
    for member in members.iter_mut().filter(|m| m.state == MemberState::Leader) {
        member.state = MemberState::Serving;
        member.message = Some("it says that it leads, and it is not the only one".to_owned());
    }
}

/// Clients are served when a leader is known and data and sessions work, at least one of each.
fn available(members: &[SeenMember]) -> Verdict {
    let of = |role, state| servers::any(members, role, &[state]);
    let parts = [
        (
            of(Role::Session, MemberState::Serving),
            "no SessionServer serves",
            "no SessionServer is known to serve",
        ),
        (of(Role::Data, MemberState::Serving), "no DataServer serves", "no DataServer is known to serve"),
        (of(Role::Meta, MemberState::Leader), "no meta leads", "no leader of the metas is known"),
    ];
    let missing: Vec<&str> = parts.iter().filter(|p| p.0 == Is::False).map(|p| p.1).collect();
    let unknown: Vec<&str> = parts.iter().filter(|p| p.0 == Is::Unknown).map(|p| p.2).collect();
    match (missing.is_empty(), unknown.is_empty()) {
        (false, _) => servers::verdict(Is::False, missing.join(", ")),
        (true, false) => servers::verdict(Is::Unknown, unknown.join(", ")),
        (true, true) => servers::verdict(Is::True, "a leader is known, data and sessions serve"),
    }
}

fn is_first_start(view: &RegistryView<'_>) -> bool {
    let raft = view.target.membership != MembershipKind::Database;
    (raft && view.world.genesis != Genesis::Done) || !servers::all_begun(view)
}
