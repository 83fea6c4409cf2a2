//! What is wrong with a spec, all of it at once, and what is only worth telling.
//!
//! May import `api` and `valid`.

use std::fmt;

use super::valid::{Missing, Warning};
use crate::api::v1alpha1::Reason;

/// One thing that is wrong with a spec. Nothing is started or changed until it is corrected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The field, below `spec`: `meta.replicas`.
    pub field: String,
    /// What is wrong and what to do, in one sentence.
    pub message: String,
    /// The reason for the condition `Stalled`.
    pub reason: Reason,
}

/// As the API server writes one: the field, then the sentence.
impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = if self.field.starts_with("metadata.") { "" } else { "spec." };
        write!(f, "{spec}{}: {}", self.field, self.message)
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) problems: Vec<Invalid>,
    pub(super) warnings: Vec<Warning>,
    pub(super) waiting: Vec<Missing>,
}

impl Notes {
    /// This is wrong.
    pub(super) fn wrong(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.refuse(Reason::InvalidSpec, field, message);
    }

    /// This is wrong, for a reason of its own.
    pub(super) fn refuse(&mut self, reason: Reason, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Invalid { field: field.into(), message: message.into(), reason });
    }

    /// This is allowed, and to be told.
    pub(super) fn warn(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Warning { field: field.into(), message: message.into(), degrades: None });
    }

    /// This is allowed, and makes the cluster less safe than it should be.
    pub(super) fn degrade(&mut self, reason: Reason, field: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Warning { field: field.into(), message: message.into(), degrades: Some(reason) });
    }
}
