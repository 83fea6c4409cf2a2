//! What effects need of the outside world, as few and as small traits as can be.
//!
//! None of them tries anything twice: the next reconcile observes first. Every future can be sent to another thread, as a
//! controller on many threads wants it.

use std::collections::BTreeSet;
use std::future::Future;

use serde_json::Value;

use super::requests::AdminRequest;
use crate::admin::answer::Answer;
use crate::api::v1alpha1::ClusterStatus;
use crate::build::{Objects, StatefulSetChange};
use crate::observe::{Genesis, Member, RaftData};
use crate::plan::{GroupChange, Stop, Target};
use crate::types::Moment;

/// Why something was not done, or is not known to be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Somebody was faster: a precondition (resourceVersion, uid) does not hold. Decide again.
    #[error("conflict: {0}")]
    Conflict(String),
    /// It was refused and not done: the API server or a budget says why.
    #[error("refused: {0}")]
    Refused(String),
    /// No answer came. It may have been done.
    #[error("{0}")]
    Unanswered(String),
}

impl Failure {
    /// The words of a refusal.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused(words) => Some(words),
            Self::Conflict(_) | Self::Unanswered(_) => None,
        }
    }

    /// A word from a closed set, for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "Conflict",
            Self::Refused(_) => "Refused",
            Self::Unanswered(_) => "Unanswered",
        }
    }
}

/// The cluster's own object, as it was read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Which one: an object that is made again under the same name is another one.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// The generation of its spec.
    pub generation: i64,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its status: all that is remembered.
    pub status: ClusterStatus,
}

impl Recorded {
    /// What an object says of itself. A status that is not understood is none.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let status = object.get("status").cloned().unwrap_or_default();
        Self {
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
            generation: object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default(),
            deleting: !text("/metadata/deletionTimestamp").is_empty(),
            status: serde_json::from_value::<Option<ClusterStatus>>(status)
                .ok()
                .flatten()
                .unwrap_or_default(),
        }
    }
}

/// The cluster's own object.
pub trait Record {
    /// Reads it past every cache. `None`: it is gone.
    fn read(&mut self) -> impl Future<Output = Result<Option<Recorded>, Failure>> + Send;
    /// Writes its status, if it still has this resourceVersion. The whole status is replaced.
    fn write(
        &mut self,
        status: &ClusterStatus,
        resource_version: &str,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Takes our finalizer off: it may go.
    fn let_go(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What else the cluster consists of.
pub trait ClusterObjects {
    /// Applies these; nothing is sent for what is already so. None of it disturbs anybody.
    fn apply(&mut self, objects: &Objects) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Marks a member's claim as that of a member, and then its pod: next time it starts with that volume only.
    fn mark(&mut self, member: Member) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Writes down how far the first start has come.
    fn write_genesis(&mut self, genesis: &Genesis) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Changes the push group's object, by compare-and-swap.
    fn change_group(&mut self, change: &GroupChange) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Acts on pods. A pod with another uid than the target's, or none at all, is a success: the target is gone.
pub trait Pods {
    /// Takes our scheduling gate off, and no other one, and says with it with what on its volume the pod may start.
    fn release(
        &mut self,
        target: &Target,
        raft_data: &RaftData,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Stops it.
    fn stop(&mut self, target: &Target, how: Stop) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Gives a StatefulSet other replicas.
    fn scale(&mut self, change: &StatefulSetChange) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// The admin ports of the servers.
pub trait Admin {
    /// Sends a command once.
    fn command(&mut self, request: &AdminRequest) -> impl Future<Output = Result<Answer, Failure>> + Send;
}

/// The apps of schedulers (measured: powerjob §1.6).
pub trait Scheduler {
    /// Tells `to` of the workers that `from` hears of.
    fn pre_register(
        &mut self,
        from: Member,
        to: Member,
        apps: &BTreeSet<u64>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Makes `to` the owner of those of these apps that `from` still owns.
    fn move_apps(
        &mut self,
        from: Member,
        to: Member,
        apps: &BTreeSet<u64>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Runs the instances again that failed for want of a worker since then.
    fn retry_lost(&mut self, since: Moment) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// All of them.
pub trait Ports: Record + ClusterObjects + Pods + Admin + Scheduler + Send {}

impl<P: Record + ClusterObjects + Pods + Admin + Scheduler + Send> Ports for P {}
