//! The target of a valid spec: what its plan is called, whether it may begin now, and what has to hold at its end.
//!
//! May import `types`, `api`, `observe`, and the types of `validate`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::{ROLES, RegistryTarget, RoleTarget, VerifyRule};
use crate::api::v1alpha1::{Approval, MetaMajorityConfirmation, Role};
use crate::observe::Member;
use crate::plan::admission::Admission;
use crate::plan::fingerprint::fingerprint;
use crate::types::{Moment, PlanId};
use crate::validate::{RolloutRules, ValidCluster, ValidRegistry, WindowVerdict};

/// What a valid spec asks for, at this moment. `revisions` are those of the pod templates that are built from it, one for
/// each role: without one of them nothing is restarted, as if the cluster were paused.
#[must_use]
pub fn registry_target(
    valid: &ValidRegistry,
    revisions: &BTreeMap<Role, String>,
    now: Moment,
) -> RegistryTarget {
    let roles: BTreeMap<Role, RoleTarget> =
        ROLES.into_iter().filter_map(|role| Some((role, role_target(valid, role, revisions)?))).collect();
    let plan = plan_id(&roles);
    let rollout = &valid.common.rollout;
    let recovery = &valid.recovery;
    RegistryTarget {
        admission: admission(rollout, &plan, now),
        plan,
        membership: valid.membership,
        paused: valid.common.paused || ROLES.iter().any(|role| !revisions.contains_key(role)),
        roles,
        hold: valid.hold,
        strategy: rollout.strategy,
        verify: VerifyRule {
            percent: rollout.verify.percent,
            timeout: rollout.verify.timeout,
            on_timeout: rollout.verify.on_timeout,
        },
        majority: recovery.mode,
        confirm: recovery.confirm.as_ref().and_then(|c| confirmation(&valid.common.identity.name, c)),
        push_group: valid.push_group.clone(),
        close_sites: closed_together(valid),
        renew_off: valid.disable_renew,
        start_budget: start_budget(valid),
    }
}

fn role_target(valid: &ValidRegistry, role: Role, revisions: &BTreeMap<Role, String>) -> Option<RoleTarget> {
    let replicas = valid.component(role)?.replicas;
    Some(RoleTarget { replicas, revision: revisions.get(&role).cloned().unwrap_or_default() })
}

/// A hash of the templates and replicas only: the same target has the same id tomorrow, whatever is observed.
fn plan_id(roles: &BTreeMap<Role, RoleTarget>) -> PlanId {
    let mut text = String::new();
    for (role, target) in roles {
        let _ = writeln!(text, "{} {} {}", role.field(), target.replicas, target.revision);
    }
    // A fingerprint is 16 digits, and every 16 digits are an id.
    PlanId::from_hash(u64::from_str_radix(&fingerprint(&text), 16).unwrap_or_default())
}

/// Window and approval: a person is asked first, so that the plan is approved when its window opens.
fn admission(rules: &RolloutRules, plan: &PlanId, now: Moment) -> Admission {
    if rules.approval == Approval::Manual && rules.approved.as_ref() != Some(plan) {
        return Admission::Approval;
    }
    let Ok(now) = Timestamp::from_millisecond(now.as_millis()) else { return Admission::Window(None) };
    match rules.windows.verdict(now) {
        WindowVerdict::Open { .. } => Admission::Open,
        WindowVerdict::Closed { opens_at } => {
            Admission::Window(opens_at.map(|at| Moment::from_millis(at.as_millisecond())))
        }
    }
}

/// The survivor is given by the name of the member, `meta-0`, or by that of its pod.
fn confirmation(cluster: &str, confirm: &MetaMajorityConfirmation) -> Option<(String, Member)> {
    let name = confirm.survivor.as_str();
    let member = Member::of_pod(cluster, name).or_else(|| name.parse().ok())?;
    (member.role == Role::Meta).then(|| (confirm.incident.clone(), member))
}

fn closed_together(valid: &ValidRegistry) -> BTreeSet<crate::types::DnsLabel> {
    let sites = valid.remote_sites.iter();
    sites.filter(|site| site.close_push == Some(true)).map(|site| site.name.clone()).collect()
}

/// The longest that any role may take to start.
fn start_budget(valid: &ValidRegistry) -> Duration {
    valid.components().iter().map(|c| c.probes.startup_timeout).max().unwrap_or_default()
}
