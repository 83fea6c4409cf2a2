//! The target of a valid spec: what its plan is called, whether it may begin now, and what has to hold at its end.
//!
//! May import `types`, `api`, `observe`, and the types of `validate`.

use std::collections::{BTreeMap, BTreeSet};

use super::{ROLES, RegistryTarget, RoleTarget};
use crate::api::v1alpha1::{MetaMajorityConfirmation, Role};
use crate::observe::Member;
use crate::plan::target::{admission, plan_id, start_budget, verify_rule};
use crate::types::Moment;
use crate::validate::{ValidCluster, ValidRegistry};

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
    let plan = plan_id(roles.iter().map(|(role, target)| (*role, target)));
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
        verify: verify_rule(rollout),
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
