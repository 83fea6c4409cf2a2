//! The durable state of a rollout: nothing about it is kept in memory, deadlines included.
//!
//! May import `types`, `common` and `conditions`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::Role;
use super::conditions::{MESSAGE_CHARACTERS, Reason, word};
use crate::types::{DnsLabel, PlanId, PodUid, RolloutId, Time};

/// One rollout: `Gating`, `Acting`, `Verifying` and again, until `Done`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// This run. A new spec begins a new one.
    pub id: RolloutId,
    /// The target, for `spec.rollout.approved`.
    pub plan_id: PlanId,
    /// Where it stands.
    pub state: RolloutState,
    /// Its steps, in order. The set of pods done in each only grows.
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub steps: Vec<RolloutStep>,
    /// The act under way, written before it is done. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Act>,
    /// What was counted before push was closed. It is taken over by the next rollout until push is open again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// When this began.
    pub started_at: Time,
    /// When the present state gives up. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// How often the present step was tried before. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub attempts: Option<u32>,
    /// Why it halted, in one word. Absent: it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word")]
    pub halted: Option<Reason>,
    /// Why it halted, in a sentence, and what would lift it. Absent: it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MESSAGE_CHARACTERS))]
    pub message: Option<String>,
}

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RolloutState {
    /// The next act waits for its gates.
    Gating,
    /// The next act is written down, and not known to be done.
    Acting,
    /// The act is done, and what has to follow is waited for.
    Verifying,
    /// Nothing is left to do.
    Done,
    /// A person has paused it.
    Paused,
    /// It needs a person, or a new spec.
    Halted,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStep {
    /// What is done.
    pub kind: StepKind,
    /// On which role. Absent: on the cluster as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether it is done.
    pub state: StepState,
    /// The pods that are done. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub done: Vec<PodUid>,
}

/// The kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StepKind {
    /// Counts what clients have, before anything is touched.
    RecordBaseline,
    /// Closes push.
    ClosePush,
    /// Reads on every SessionServer that push is closed.
    VerifyPushClosed,
    /// Closes push again after the metas, and reads it back.
    CloseAndVerifyPushAgain,
    /// Changes the servers of a role, in their order.
    ChangeRole,
    /// Adds or takes away servers of a role.
    ScaleRole,
    /// Counts what clients have, until enough of it is back.
    VerifyCounts,
    /// Starts SessionServers again, one at a time, so that they send the DataServers what they have.
    RefillFromSessions,
    /// Takes addresses that never return off the blacklist of 6.x.
    ClearBlacklist,
    /// Moves the apps of a PowerJob server to another one.
    DrainServer,
    /// Runs instances again that PowerJob lost in the move.
    RetryLost,
    /// Opens push.
    OpenPush,
    /// Reads on every SessionServer that push is open.
    VerifyPushOpen,
}

/// Whether a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StepState {
    /// Not yet.
    Pending,
    /// It is under way.
    Current,
    /// It is done.
    Done,
}

/// An act, written down before it is done. It is done only while this stands, and at most once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    /// Tells this act from every other one.
    pub key: RolloutId,
    /// The step that it belongs to, counted from 0.
    #[schemars(range(min = 0, max = 15))]
    pub step: u32,
    /// The members that it is done to: one, or a group. Absent: the cluster as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub members: Vec<DnsLabel>,
    /// The uids of their pods, in the same order: the act is refused for any other pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub pod_uids: Vec<PodUid>,
    /// When it was written down.
    pub written_at: Time,
}

/// What clients had before push was closed. A number that cannot be had is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Baseline {
    /// Publishers on all SessionServers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub publishers: Option<i64>,
    /// Subscribers on all SessionServers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub subscribers: Option<i64>,
    /// Watchers on all SessionServers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub watchers: Option<i64>,
    /// Client connections on all servers of the role that clients connect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub connections: Option<i64>,
    /// Ids that have publishers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ids_with_publishers: Option<i64>,
    /// When it was counted.
    pub counted_at: Time,
}
