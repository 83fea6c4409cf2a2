//! The durable state of a rollout: nothing about it is kept in memory, deadlines included.
//!
//! May import `types`, `common`, `conditions` and `lenient`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::Role;
use super::conditions::{MESSAGE_CHARACTERS, Reason, word};
use super::lenient;
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
    #[serde(deserialize_with = "lenient::or_default")]
    pub state: RolloutState,
    /// Its steps, in order. The set of pods done in each only grows.
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(deserialize_with = "lenient::known")]
    pub steps: Vec<RolloutStep>,
    /// The act under way, written before it is done. Absent: none.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub act: Option<Act>,
    /// Metas were started again since push was closed: it is closed and read on every SessionServer again. Absent: none were.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub metas_since_close: Option<bool>,
    /// What was counted before push was closed. It is taken over by the next rollout until push is open again.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// When this began.
    pub started_at: Time,
    /// When the present state gives up. Absent: never.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// Whether window and approval were passed. They are asked once for each plan. Absent: not yet.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub admitted: Option<bool>,
    /// When the last act was done: what was seen before it says nothing about the present. Absent: there was none.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub last_act_at: Option<Time>,
    /// Since when clients are counted until enough of them are back. Absent: they are not counted now.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub counting_since: Option<Time>,
    /// Since when the counts are right: they have to be so on a second read. Absent: they are not.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub counts_right_since: Option<Time>,
    /// How often the present act was tried before. Absent: never.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub attempts: Option<u32>,
    /// Why it halted, in one word. Absent: it did not.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word")]
    pub halted: Option<Reason>,
    /// Why it halted, in a sentence, and what would lift it. Absent: it did not.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MESSAGE_CHARACTERS))]
    pub message: Option<String>,
}

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RolloutState {
    /// The next act waits for its gates.
    #[default]
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
    #[serde(deserialize_with = "lenient::or_default")]
    pub state: StepState,
    /// The pods that are done. Absent: none, and none was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub done: Option<Vec<PodUid>>,
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StepState {
    /// Not yet.
    #[default]
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
    /// Tells this act from every other one: a hash of what is done, to whom, and of when it was written down. An act whose
    /// key is another one was changed by hand, and is never done.
    pub key: RolloutId,
    /// What is done.
    pub kind: ActKind,
    /// The members that it is done to: one, or a group. Absent: the cluster as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub targets: Vec<ActTarget>,
    /// When it was written down.
    pub written_at: Time,
    /// When it was done. Absent: it is not known to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Time>,
}

/// One member that an act is done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActTarget {
    /// The name of its pod.
    pub member: DnsLabel,
    /// The uid of its pod: the act is refused for any other pod. Absent: there was no pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<PodUid>,
}

/// What an act does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ActKind {
    /// Lets held pods start: known metas, the metas of a first start, or one blank meta.
    ReleasePods,
    /// Stops pods that serve, so that they are made again.
    RestartPods,
    /// Stops a pod that serves nothing, so that it is made again.
    RepairPod,
    /// Stops a SessionServer so that its clients register again and the DataServers get what they lost.
    RefillSession,
    /// Closes push.
    ClosePush,
    /// Opens push.
    OpenPush,
    /// Tells the metas who they are.
    ChangePeer,
    /// Makes one meta a group of its own, after the loss of a majority.
    ResetPeer,
    /// Adds a pod to a role, or as many as are missing where that disturbs nobody.
    ScaleUp,
    /// Takes the last pod off a role.
    ScaleDown,
    /// Switches the renewal of snapshots off (5.x up to 5.4.3).
    DisableRenew,
    /// Takes addresses that never return off the blacklist of 6.x.
    ClearBlacklist,
    /// Tells a PowerJob server of the workers of an app, before the app is moved to it.
    PreRegister,
    /// Moves an app from one PowerJob server to another.
    MoveApp,
    /// Runs instances again that PowerJob lost in a move.
    RetryLost,
}

/// What clients had before push was closed. A number that cannot be had is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Baseline {
    /// Publishers on all SessionServers.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub publishers: Option<i64>,
    /// Subscribers on all SessionServers.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub subscribers: Option<i64>,
    /// Watchers on all SessionServers.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub watchers: Option<i64>,
    /// Client connections on all servers of the role that clients connect to.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub connections: Option<i64>,
    /// Ids that have publishers.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ids_with_publishers: Option<i64>,
    /// When it was counted.
    #[serde(deserialize_with = "lenient::or_long_ago")]
    pub counted_at: Time,
}
