//! The targets of a valid `DrmCluster` and a valid `SchedulerCluster`.
//!
//! May import `types`, `api` and the types of `validate`.

use std::collections::BTreeMap;

use super::{PowerJobRule, ServiceTarget};
use crate::api::v1alpha1::{Engine, Role, Switch};
use crate::plan::registry::RoleTarget;
use crate::plan::target::{admission, plan_id, start_budget, verify_rule};
use crate::types::Moment;
use crate::validate::{ValidCluster, ValidDrm, ValidScheduler};

/// What a valid `DrmCluster` asks for, at this moment. `revisions` are those of the pod templates that are built from it, one
/// for each role: without one of them nothing is restarted, as if the cluster were paused.
#[must_use]
pub fn drm_target(valid: &ValidDrm, revisions: &BTreeMap<Role, String>, now: Moment) -> ServiceTarget {
    target(valid, revisions, now)
}

/// What a valid `SchedulerCluster` asks for, at this moment. `revisions` as in [`drm_target`].
#[must_use]
pub fn scheduler_target(
    valid: &ValidScheduler,
    revisions: &BTreeMap<Role, String>,
    now: Moment,
) -> ServiceTarget {
    let target = target(valid, revisions, now);
    match valid.engine {
        Engine::AntScheduler => ServiceTarget { by_tasks: valid.task_gate.is_some(), ..target },
        // Its strategy is one by one: validate refuses another one.
        Engine::PowerJob => {
            ServiceTarget { by_connections: false, powerjob: Some(powerjob(valid)), ..target }
        }
    }
}

fn powerjob(valid: &ValidScheduler) -> PowerJobRule {
    let rules = valid.powerjob.as_ref();
    PowerJobRule {
        drain: rules.is_some_and(|rules| rules.moves_apps),
        retry_lost: rules.is_some_and(|r| r.operator_login.is_some() && r.retry_lost == Switch::Enabled),
    }
}

fn target<V: ValidCluster>(valid: &V, revisions: &BTreeMap<Role, String>, now: Moment) -> ServiceTarget {
    let components = valid.components();
    let roles: Vec<(Role, RoleTarget)> = components
        .iter()
        .map(|c| {
            let revision = revisions.get(&c.role).cloned().unwrap_or_default();
            (c.role, RoleTarget { replicas: c.replicas, revision })
        })
        .collect();
    let plan = plan_id(roles.iter().map(|(role, target)| (*role, target)));
    let common = valid.common();
    ServiceTarget {
        admission: admission(&common.rollout, &plan, now),
        plan,
        paused: common.paused || roles.iter().any(|(role, _)| !revisions.contains_key(role)),
        roles,
        strategy: common.rollout.strategy,
        verify: verify_rule(&common.rollout),
        by_connections: true,
        by_tasks: false,
        start_budget: start_budget(valid),
        powerjob: None,
    }
}
