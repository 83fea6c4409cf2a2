//! PodDisruptionBudget objects: at most one server of a role is drained at a time, or as many as a rollout stops at once.
//!
//! May import `api`, `plan::Desired` and `validate`.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names;
use super::server::Shape;
use crate::api::objects;
use crate::api::v1alpha1::{Role, Strategy};
use crate::plan::Desired;

/// The budget of each role.
pub(super) fn disruption_budgets(shape: &Shape, desired: &Desired) -> Vec<PodDisruptionBudget> {
    let common = shape.common;
    let budget = |role: Role, at_once: u32, metadata| PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(at_once.try_into().unwrap_or(i32::MAX))),
            selector: Some(names::selector(names::role_selector(common, role))),
            unhealthy_pod_eviction_policy: Some(unhealthy(role).to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    };
    let of = |(component, _): &(&crate::validate::ValidComponent, _)| {
        let name = objects::role_name(&common.identity.name, component.role);
        // While the spec's others are not made yet, half of it may be all that there is.
        let present = desired.roles.get(&component.role).map_or(component.replicas, |role| role.replicas);
        let replicas = present.min(component.replicas);
        let at_once = at_once(component.role, replicas, common.rollout.strategy);
        budget(component.role, at_once, names::role_metadata(common, component, name))
    };
    shape.roles.iter().map(of).collect()
}

/// How many servers of a role a rollout stops at once: evictions of a group beyond the budget would be refused, and go one by one.
fn at_once(role: Role, replicas: u32, strategy: Strategy) -> u32 {
    match (strategy, role) {
        (Strategy::OneByOne, _) | (_, Role::Meta | Role::Data) => 1,
        (Strategy::TwoGroups, _) => replicas.div_ceil(2).max(1),
    }
}

/// A meta that is not Ready may still be one of the majority (it is not Ready for ever on a new address until it is
/// announced): it counts. A broken server of any other role must not stop a drain.
const fn unhealthy(role: Role) -> &'static str {
    match role {
        Role::Meta => "IfHealthyBudget",
        _ => "AlwaysAllow",
    }
}
