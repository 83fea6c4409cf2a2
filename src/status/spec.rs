//! The status of a cluster whose spec cannot be planned for: it says so, and all that was known and remembered stays.
//!
//! May import `types`, `api` and the types of `validate`.

use super::conditions::{Change, changed};
use super::text::joined;
use crate::api::v1alpha1::{
    ClusterStatus, ConditionStatus as Is, ConditionType as Of, MESSAGE_CHARACTERS, Reason,
};
use crate::types::Moment;
use crate::validate::{Invalid, Missing};

/// The status of a spec that is wrong: nothing goes on until a person corrects it. Everything else stays as it was: who
/// closed push, what is in flight, when clients were counted.
#[must_use]
pub fn stalled_by(problems: &[Invalid], old: &ClusterStatus, generation: i64, now: Moment) -> ClusterStatus {
    let reason = problems.first().map_or(Reason::InvalidSpec, |p| p.reason);
    let sentences: Vec<String> = problems.iter().map(ToString::to_string).collect();
    held_up(Is::True, reason, &sentences, old, generation, now)
}

/// The status of a spec that refers to what is not there: it goes on by itself when that is made.
#[must_use]
pub fn waits_for(missing: &[Missing], old: &ClusterStatus, generation: i64, now: Moment) -> ClusterStatus {
    let reason = missing.first().map_or(Reason::ReferenceNotFound, |m| m.reason);
    held_up(Is::False, reason, &sentences(missing), old, generation, now)
}

/// The status after a write that the API server refused, and would refuse again.
#[must_use]
pub fn refused_write(why: &str, old: &ClusterStatus, generation: i64, now: Moment) -> ClusterStatus {
    held_up(Is::True, Reason::WriteRefused, &[why.to_owned()], old, generation, now)
}

/// What is missing, each in a sentence.
pub(super) fn sentences(missing: &[Missing]) -> Vec<String> {
    missing.iter().map(|m| format!("{}: {}", m.subject, m.message)).collect()
}

fn held_up(
    stalled: Is,
    reason: Reason,
    sentences: &[String],
    old: &ClusterStatus,
    generation: i64,
    now: Moment,
) -> ClusterStatus {
    let message = joined(sentences, MESSAGE_CHARACTERS);
    let change = |of, is| Change { of, is, reason, message: message.clone() };
    let mut changes = vec![
        change(Of::Ready, Is::False),
        change(Of::Progressing, Is::False),
        change(Of::Reconciling, Is::False),
    ];
    changes.push(if stalled == Is::True {
        change(Of::Stalled, Is::True)
    } else {
        Change {
            reason: Reason::AsExpected,
            message: "nothing needs a decision".to_owned(),
            ..change(Of::Stalled, Is::False)
        }
    });
    ClusterStatus {
        observed_generation: Some(generation),
        conditions: changed(&old.conditions, changes, generation, now),
        ..old.clone()
    }
}
