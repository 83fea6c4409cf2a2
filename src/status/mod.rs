//! The status of a cluster, from what was observed and decided, and back: what a plan remembers stands in the status and
//! nowhere else.
//!
//! The same input gives the same status. A time in it is the date of a transition: what has not changed keeps its date, so
//! that a world at rest gives the very status that is there, and nothing is written.
//!
//! All kinds share this but for what is observed of their servers, which has a file for each kind. May import `types`,
//! `api`, `observe`, `plan`, `validate` (types), `build` (labels) and `render` (sentences). No clock: now is an argument.

mod act;
mod conditions;
mod members;
mod memory;
mod news;
mod record;
mod registry;
mod servers;
mod service;
mod spec;
mod text;

pub use members::{Observed, SeenMember, Verdict};
pub use memory::memory_of;
pub use news::{News, Weight, news, warned};
pub use registry::{RegistryView, observe_registry, registry_status};
pub use service::{ServiceView, observe_service, service_status};
pub use spec::{refused_write, stalled_by, waits_for};

use crate::api::v1alpha1::{ClusterStatus, PlanLine, StepState};
use crate::plan::{Memory, Report};
use crate::render::step_line;
use crate::types::Moment;
use crate::validate::{Missing, Warning};

/// The most lines of a plan, waits, members and survivors that the schema lets a status have.
const PLAN_LINES: usize = 64;
const WAITS: usize = 32;
const MEMBERS: usize = 256;

/// Whose status it is, and what its spec says besides the target.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The name of the cluster.
    pub cluster: &'a str,
    /// The generation of the spec that was planned for.
    pub generation: i64,
    /// Now: the date of what has changed.
    pub now: Moment,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// `spec.paused`.
    pub paused: bool,
    /// What is allowed and yet not good.
    pub warnings: &'a [Warning],
    /// What the spec refers to and is not there.
    pub missing: &'a [Missing],
}

/// The status that follows the one that is there. `memory` is what is to be remembered: that of the decision, or the one
/// for a command that was refused.
#[must_use]
pub fn status_of(
    subject: &Subject<'_>,
    report: &Report,
    memory: &Memory,
    observed: &Observed,
    old: &ClusterStatus,
) -> ClusterStatus {
    ClusterStatus {
        observed_generation: Some(subject.generation),
        conditions: conditions::conditions(subject, report, memory, observed, old),
        ready: Some(observed.ready()),
        members: members::members(subject, memory, observed, old),
        rollout: memory.run.as_ref().and_then(|run| record::rollout(subject.cluster, run, report, observed)),
        push: record::push(&memory.push),
        plan: plan_lines(report),
        waiting_on: record::waiting_on(memory, old),
        incident: memory.incident.as_ref().map(|incident| record::incident(subject.cluster, incident)),
        last_leader: memory.last_leader.and_then(|member| record::pod_name(subject.cluster, member)),
        scale: observed.scale.clone(),
    }
}

/// What will be done: a line for each step that is not done.
fn plan_lines(report: &Report) -> Vec<PlanLine> {
    let left = report.steps.iter().filter(|step| step.state != StepState::Done);
    left.take(PLAN_LINES).map(|step| PlanLine::new(&step_line(step))).collect()
}
