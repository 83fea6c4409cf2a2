//! A decision as JSON. The names of the fields are stable: programs read them. Absent means none.
//!
//! May import `types`, `api`, `observe` and `plan`.

use serde::Serialize;

use super::sentence::command_sentence;
use crate::api::v1alpha1::{ActKind, Reason, Role, RolloutState, StepKind, StepState};
use crate::plan::{Decision, InFlight, ReportStep, Target, Wait, Wake};
use crate::types::{PlanId, PodUid, Time};

/// A decision, as JSON shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<RolloutState>,
    /// The id of the plan, for `spec.rollout.approved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
    /// The generation of the spec that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// What is done now, in words. Absent: nothing that disturbs anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub does: Option<String>,
    /// The act that is written down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<ActView>,
    /// The steps, in their order.
    pub steps: Vec<StepView>,
    /// What is waited for, the nearest first.
    pub waits: Vec<WaitView>,
    /// What needs a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halted: Option<WaitView>,
    /// What a person should know, though nothing waits for it.
    pub notes: Vec<WaitView>,
    /// When it is decided again at the latest.
    pub next_look: NextLook,
}

/// An act that is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActView {
    /// What is done.
    pub kind: ActKind,
    /// To whom; empty: to the cluster as a whole.
    pub targets: Vec<TargetView>,
    /// When it was written down.
    pub written_at: Time,
    /// When it was done. Absent: it is not known to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Time>,
}

/// One member that an act is done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetView {
    /// Who: `meta-0`.
    pub member: String,
    /// The uid of its pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<PodUid>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// What is done.
    pub kind: StepKind,
    /// To which role. Absent: to the cluster as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether it is done.
    pub state: StepState,
    /// To whom.
    pub what: String,
    /// Why.
    pub why: String,
}

/// Something that is waited for, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitView {
    /// In one word.
    pub reason: Reason,
    /// Whom or what it concerns.
    pub subject: String,
    /// In a sentence.
    pub message: String,
}

/// When it is decided again at the latest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextLook {
    /// `Now`, `Soon`, `Slowly` or `At`.
    pub when: &'static str,
    /// The moment, with `At`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}

/// A decision as JSON, in lines that people can read too.
#[must_use]
pub fn json(decision: &Decision) -> String {
    // Nothing in it that JSON cannot hold.
    serde_json::to_string_pretty(&PlanView::from(decision)).unwrap_or_default()
}

impl From<&Decision> for PlanView {
    fn from(decision: &Decision) -> Self {
        let report = &decision.report;
        let run = decision.memory.run.as_ref();
        let waits = |waits: &[Wait]| waits.iter().map(WaitView::from).collect();
        let halted =
            run.and_then(|r| r.halted.as_ref()).filter(|_| report.state == Some(RolloutState::Halted));
        Self {
            state: report.state,
            plan: run.map(|r| r.plan.clone()),
            generation: run.map(|r| r.generation),
            does: decision.command.as_ref().map(command_sentence),
            act: run.and_then(|r| r.act.as_ref()).map(ActView::from),
            steps: report.steps.iter().map(StepView::from).collect(),
            waits: waits(&report.waits),
            halted: report.halt.as_ref().map(WaitView::from).or_else(|| {
                let (reason, message) = halted?;
                let about = report.waits.first().filter(|w| w.reason == *reason);
                let subject = about.map(|w| w.subject.clone()).unwrap_or_default();
                Some(WaitView { reason: *reason, subject, message: message.clone() })
            }),
            notes: waits(&report.notes),
            next_look: NextLook::from(decision.wake),
        }
    }
}

impl From<&InFlight> for ActView {
    fn from(flight: &InFlight) -> Self {
        Self {
            kind: flight.act.kind,
            targets: flight.act.targets.iter().map(TargetView::from).collect(),
            written_at: flight.written_at.into(),
            done_at: flight.done_at.map(Time::from),
        }
    }
}

impl From<&Target> for TargetView {
    fn from(target: &Target) -> Self {
        Self { member: target.member.to_string(), pod_uid: target.uid.clone() }
    }
}

impl From<&ReportStep> for StepView {
    fn from(step: &ReportStep) -> Self {
        let ReportStep { kind, role, state, what, why } = step.clone();
        Self { kind, role, state, what, why }
    }
}

impl From<&Wait> for WaitView {
    fn from(wait: &Wait) -> Self {
        let Wait { reason, subject, message } = wait.clone();
        Self { reason, subject, message }
    }
}

impl From<Wake> for NextLook {
    fn from(wake: Wake) -> Self {
        let (when, at) = match wake {
            Wake::Now => ("Now", None),
            Wake::Hurried => ("Hurried", None),
            Wake::Soon => ("Soon", None),
            Wake::Slowly => ("Slowly", None),
            Wake::At(at) => ("At", Some(Time::from(at))),
        };
        Self { when, at }
    }
}
