//! What the kinds with servers alone, DRM and schedulers, decide and report alike.

use super::kind::{Kind, Planned};
use crate::api::v1alpha1::ClusterStatus;
use crate::effects::Recorded;
use crate::observe::ServiceWorld;
use crate::plan::{Decision, Memory, Report, ServiceInput, ServiceTarget, plan_service};
use crate::status::{ServiceView, service_status};
use crate::types::Moment;
use crate::validate::ValidCluster;

/// Decides.
pub(super) fn decide(
    own: &Recorded,
    target: &ServiceTarget,
    world: &ServiceWorld,
    memory: &Memory,
    now: Moment,
) -> Decision {
    plan_service(&ServiceInput {
        now,
        generation: own.generation,
        deleting: own.deleting,
        target,
        world,
        memory,
    })
}

/// The status that follows.
pub(super) fn status<K>(
    planned: &Planned<K>,
    report: &Report,
    memory: &Memory,
    old: &ClusterStatus,
) -> ClusterStatus
where
    K: Kind<Target = ServiceTarget, World = ServiceWorld>,
{
    let software = planned.valid.common().product;
    let view = ServiceView { target: &planned.target, world: &planned.world, software };
    service_status(&planned.subject(), &view, report, memory, old)
}
