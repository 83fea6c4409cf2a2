//! What a plan says about itself: step by step, what, which, why, and what it waits on.
//!
//! May import `types`, `api` and `observe`.

use std::fmt;

use super::decision::{Command, Stop};
use super::memory::{Memory, names};
use crate::api::v1alpha1::{Reason, Role, RolloutState, StepKind, StepState};
use crate::types::Moment;

/// What happens, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Where it stands.
    pub state: Option<RolloutState>,
    /// The steps, in their order.
    pub steps: Vec<ReportStep>,
    /// What is waited for, the nearest first.
    pub waits: Vec<Wait>,
    /// What is wrong and needs a person, and what would lift it.
    pub halt: Option<Wait>,
    /// What a person should know, though nothing waits for it.
    pub notes: Vec<Wait>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportStep {
    /// What is done.
    pub kind: StepKind,
    /// To which role. `None`: to the cluster as a whole.
    pub role: Option<Role>,
    /// Whether it is done.
    pub state: StepState,
    /// To whom.
    pub what: String,
    /// Why.
    pub why: String,
}

/// Something that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wait {
    /// In one word.
    pub reason: Reason,
    /// Whom or what it concerns.
    pub subject: String,
    /// In a sentence.
    pub message: String,
}

/// The longest subject of a wait: what the status keeps, so that a wait is found again and its time goes on.
const SUBJECT_CHARACTERS: usize = 256;
/// How many waits are remembered.
const WAITS: usize = 32;

impl Report {
    /// Remembers what is waited for and since when; what is no longer waited for is forgotten.
    pub(crate) fn note_waits(&self, memory: &mut Memory, now: Moment) {
        let old = std::mem::take(&mut memory.waiting);
        // While an act is only written down, what led to it is not forgotten: it has to be proposed again.
        let acting = memory.run.as_ref().is_some_and(|r| r.state == RolloutState::Acting);
        if acting {
            memory.waiting.clone_from(&old);
            return;
        }
        for wait in self.waits.iter().chain(&self.halt).chain(&self.notes).take(WAITS) {
            let key = (wait.reason, wait.subject.clone());
            let since = old.get(&key).copied().unwrap_or(now);
            memory.waiting.insert(key, since);
        }
    }

    /// The same after this command was refused, by these words of Kubernetes, or not answered. It is sent again with the next look.
    #[must_use]
    pub fn not_done(&self, command: &Command, refusal: Option<&str>) -> Self {
        let wait = match (command, refusal) {
            (Command::StopPods { targets, how: Stop::Evict }, Some(words)) => {
                Wait::new(Reason::WaitingForEviction, names(targets), words)
            }
            // What else is said may differ each time, and the status is written when it differs.
            _ => Wait::new(
                Reason::WaitingForFreshFacts,
                "the act",
                "it was refused or not answered, and is tried again",
            ),
        };
        Self { waits: vec![wait], ..self.clone() }
    }
}

impl Wait {
    /// Waits for this.
    pub(crate) fn new(reason: Reason, subject: impl fmt::Display, message: impl Into<String>) -> Self {
        let subject = subject.to_string().chars().take(SUBJECT_CHARACTERS).collect();
        Self { reason, subject, message: message.into() }
    }
}
