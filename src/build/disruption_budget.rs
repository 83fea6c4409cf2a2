//! PodDisruptionBudget objects: at most one server of a role is drained at a time.
//!
//! May import `api` and `validate`.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names;
use super::server::Shape;
use crate::api::objects;
use crate::api::v1alpha1::Role;

/// The budget of each role.
pub(super) fn disruption_budgets(shape: &Shape) -> Vec<PodDisruptionBudget> {
    let common = shape.common;
    let budget = |role: Role, metadata| PodDisruptionBudget {
        metadata,
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(names::selector(names::role_selector(common, role))),
            unhealthy_pod_eviction_policy: Some(unhealthy(role).to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    };
    let of = |(component, _): &(&crate::validate::ValidComponent, _)| {
        let name = objects::role_name(&common.identity.name, component.role);
        budget(component.role, names::role_metadata(common, component, name))
    };
    shape.roles.iter().map(of).collect()
}

/// A meta that is not Ready may still be one of the majority (it is not Ready for ever on a new address until it is
/// announced): it counts. A broken server of any other role must not stop a drain.
const fn unhealthy(role: Role) -> &'static str {
    match role {
        Role::Meta => "IfHealthyBudget",
        _ => "AlwaysAllow",
    }
}
