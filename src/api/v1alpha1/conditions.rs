//! Conditions: a closed set of types, and a closed set of reasons for everything that waits, failed or is done.
//!
//! In the schema both are only bounded texts: an operator that is newer than its CRDs could else not write its status.
//! A reason of a newer operator reads as `Reason::Other`.
//!
//! May import `types` and nothing else of this package.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::Time;

/// The longest message of a condition, in characters.
pub const MESSAGE_CHARACTERS: usize = 1024;

/// One aspect of the state, with the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which aspect: Ready, Available, Progressing, Degraded, Paused, Reconciling or Stalled.
    #[serde(rename = "type")]
    #[schemars(schema_with = "word")]
    pub kind: ConditionType,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// Why, in one word that programs read.
    #[schemars(schema_with = "word")]
    pub reason: Reason,
    /// Why, in a sentence, and what would change it.
    #[schemars(length(max = MESSAGE_CHARACTERS))]
    pub message: String,
    /// When `status` changed last.
    pub last_transition_time: Time,
    /// The generation of the spec that this speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
}

/// A word as conditions have them.
pub(super) fn word(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "pattern": "^[A-Za-z]+$", "minLength": 1, "maxLength": 64})
}

/// Yes, no, or not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// It cannot be told now.
    Unknown,
}

/// The aspects that conditions speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConditionType {
    /// The cluster is as the spec of this generation wants it: `kubectl wait` waits for this.
    Ready,
    /// It serves its clients, rollout or not.
    Available,
    /// An operation is under way.
    Progressing,
    /// Something is broken, or not as safe as it should be.
    Degraded,
    /// A person has paused it.
    Paused,
    /// kstatus: the spec is not yet reached, and work goes on.
    Reconciling,
    /// kstatus: the spec is not reached, and nothing goes on without a person.
    Stalled,
    /// A type of a newer operator.
    #[serde(other)]
    Other,
}

/// Why a condition is as it is, or what is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// Everything is as the spec wants it.
    Converged,
    /// Clients are served.
    Serving,
    /// Clients are not served.
    NotServing,
    /// Nothing is to be done.
    Idle,
    /// Nothing is wrong.
    AsExpected,
    /// The spec of this generation has not been looked at yet.
    NewGeneration,
    /// The first start is under way.
    FirstStart,
    /// A change is being rolled out.
    RollingOut,
    /// A broken member is being replaced.
    Repairing,
    /// Members are being added or taken away.
    Scaling,
    /// The cluster is being recovered.
    Recovering,
    /// The object is being deleted.
    Deleting,
    /// `spec.paused` is set.
    PausedBySpec,
    /// `spec.paused` is not set.
    NotPaused,

    /// Not every SessionServer has closed push yet.
    WaitingForPushClosed,
    /// Not every SessionServer has opened push yet.
    WaitingForPushOpen,
    /// One meta less would leave no majority.
    WaitingForQuorum,
    /// Not every server lists the same metas yet.
    WaitingForPeers,
    /// No leader is known.
    WaitingForLeader,
    /// The lists of the servers and their pods differ.
    WaitingForConvergence,
    /// The role before this one is not converged.
    WaitingForPreviousRole,
    /// What is known is older than the last act.
    WaitingForFreshFacts,
    /// No window is open.
    WaitingForWindow,
    /// The plan is not approved.
    WaitingForApproval,
    /// Another cluster of the push group acts.
    WaitingForPushGroup,
    /// A budget for disruptions does not allow an eviction now.
    WaitingForEviction,
    /// A pod is not started or not ready yet.
    WaitingForPod,
    /// A volume is not there yet, or not grown yet.
    WaitingForVolume,
    /// The database does not answer.
    WaitingForDatabase,
    /// The registry is not available.
    WaitingForRegistry,
    /// A service of `dependencies` does not answer.
    WaitingForDependency,
    /// Not enough clients have come back.
    WaitingForCounts,
    /// Clients are still connected, or not yet again.
    WaitingForConnections,
    /// PowerJob: owners and workers disagree.
    WaitingForWorkers,
    /// `AntScheduler`: tasks were triggered and not reported.
    WaitingForTasks,
    /// Less than half of the DataServers live.
    WaitingForData,

    /// The spec says what cannot be done.
    InvalidSpec,
    /// The spec names an object that is not there.
    ReferenceNotFound,
    /// A server tells another version than the spec.
    VersionMismatch,
    /// Raft and database cannot be changed into each other.
    MembershipChange,
    /// The CRDs in the cluster are older than the operator.
    CrdOutdated,
    /// The API server refused a write.
    WriteRefused,
    /// A person keeps push closed.
    PushHeld,
    /// Somebody opened push while the operator held it closed.
    PushOpenedByOther,
    /// A SessionServer cannot be asked.
    SessionUnreachable,
    /// A node cannot be asked: its pods are unknown, not gone.
    NodeUnreachable,
    /// Not enough clients came back in time.
    CountsNotRecovered,
    /// A step took longer than it may.
    DeadlinePassed,
    /// No meta leads although a majority lives.
    NoLeader,
    /// A majority of the metas is lost.
    MetaMajorityLost,
    /// Metas disagree on who they are.
    Split,
    /// A volume of a meta is gone.
    VolumeLost,
    /// Data is gone that clients had published.
    DataLost,
    /// One failure stops the service.
    NotHighlyAvailable,
    /// A member does not work.
    MemberBroken,
    /// Connections are not counted: `connectionCounting: Disabled`.
    ConnectionsUnknown,
    /// drmdata: the data master is missing.
    DataMasterMissing,
    /// drmdata: it runs, but its data source is not connected.
    DataSourceNotConnected,
    /// PowerJob: an app has an owner and no worker.
    NoWorkers,
    /// PowerJob: a server that was taken for dead still lives.
    OwnerUsurped,
    /// PowerJob: apps are not moved before their server is stopped, or cannot be.
    AppsNotMoved,
    /// A reason of a newer operator.
    #[serde(other)]
    Other,
}
