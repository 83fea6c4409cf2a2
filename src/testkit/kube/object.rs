//! Keys, errors, sets of objects and changes of them.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::json::{has_labels, text};

/// Which object: group and kind, namespace (empty for those of the whole cluster) and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `Pod`, `apps/StatefulSet`: the API group, if it has one, and the kind. The version is left out.
    pub kind: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// The key of these.
    #[must_use]
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The key of an object.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let kind = text(object, "/kind");
        let kind = match text(object, "/apiVersion").split_once('/') {
            Some((group, _)) => format!("{group}/{kind}"),
            None => kind.to_owned(),
        };
        Self {
            kind,
            namespace: text(object, "/metadata/namespace").to_owned(),
            name: text(object, "/metadata/name").to_owned(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// A refusal of the API server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 404.
    #[error("{0} not found")]
    NotFound(Key),
    /// 409 on create.
    #[error("{0} already exists")]
    AlreadyExists(Key),
    /// 409: a precondition (resourceVersion, uid) does not hold, or another manager owns a field.
    #[error("conflict: {0}")]
    Conflict(String),
    /// 403.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// 422.
    #[error("invalid: {0}")]
    Invalid(String),
    /// 429: an eviction that a budget does not allow now.
    #[error("too many requests: {0}")]
    TooManyRequests(String),
    /// 500: an eviction of a pod with two budgets.
    #[error("internal error: {0}")]
    Internal(String),
    /// Not an answer: the caller has crashed (see [`super::Tripwire`]).
    #[error("the caller has crashed")]
    CallerCrashed,
}

impl ApiError {
    /// The status code; 0 if there was no answer.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::NotFound(_) => 404,
            Self::AlreadyExists(_) | Self::Conflict(_) => 409,
            Self::Forbidden(_) => 403,
            Self::Invalid(_) => 422,
            Self::TooManyRequests(_) => 429,
            Self::Internal(_) => 500,
            Self::CallerCrashed => 0,
        }
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It is new.
    Added,
    /// It has changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// One event of a watch.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchEvent {
    /// The resourceVersion of the change: one counter for all objects.
    pub version: u64,
    /// What happened.
    pub change: Change,
    /// To which object.
    pub key: Key,
    /// The object after it; the last state of one that is gone.
    pub object: Value,
}

/// A view of objects: the server's own, or a cache's.
#[derive(Debug, Clone, Copy)]
pub struct Objects<'a>(pub(super) &'a BTreeMap<Key, Value>);

impl<'a> Objects<'a> {
    /// One object.
    #[must_use]
    pub fn get(self, key: &Key) -> Option<&'a Value> {
        self.0.get(key)
    }

    /// Objects of a kind in a namespace (empty: in all) that have all these labels.
    #[must_use]
    pub fn list(self, kind: &str, namespace: &str, labels: &[(&str, &str)]) -> Vec<&'a Value> {
        let wanted: serde_json::Map<String, Value> =
            labels.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
        let wanted = Value::Object(wanted);
        self.0
            .iter()
            .filter(|(key, _)| key.kind == kind && (namespace.is_empty() || key.namespace == namespace))
            .filter(|(_, object)| has_labels(object, Some(&wanted)))
            .map(|(_, object)| object)
            .collect()
    }
}
