//! Whether a rollout may begin: the pause, the window and the approval, the same for all kinds.
//!
//! May import `types` and `api`.

use super::memory::Memory;
use super::report::Wait;
use crate::api::v1alpha1::Reason;
use crate::types::{Moment, PlanId};

/// Whether a rollout may begin now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Admission {
    /// It may.
    Open,
    /// No window is open; when the next one opens, if there is one.
    Window(Option<Moment>),
    /// A person has to approve the plan.
    Approval,
}

impl Admission {
    /// Whether a rollout may act now: window and approval are asked once for each plan, the pause each time.
    pub(crate) fn lets_in(&self, paused: bool, plan: &PlanId, memory: &Memory) -> Result<(), Wait> {
        if paused {
            return Err(Wait::new(Reason::PausedBySpec, "rollout", "spec.paused is set"));
        }
        if memory.run.as_ref().is_some_and(|r| r.admitted) {
            return Ok(());
        }
        Err(match self {
            Self::Approval => Wait::new(
                Reason::WaitingForApproval,
                plan,
                format!("the plan has to be approved: set spec.rollout.approved to {plan}"),
            ),
            Self::Window(Some(opens)) => {
                Wait::new(Reason::WaitingForWindow, "window", format!("the next window opens at {opens}"))
            }
            Self::Window(None) => Wait::new(
                Reason::WaitingForWindow,
                "window",
                "no window will open within a year: correct spec.rollout.windows",
            ),
            Self::Open => Wait::new(Reason::NewGeneration, "rollout", "the rollout begins"),
        })
    }
}
