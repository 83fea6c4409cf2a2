//! The status of a cluster of any kind: what was observed, what is under way, and what is waited for.
//!
//! A time is written only together with the transition that it dates; nothing else that changes by itself is in here.
//!
//! May import `types`, `common`, `conditions`, `lenient` and `rollout_status`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::Role;
use super::conditions::{Condition, MESSAGE_CHARACTERS, Reason, word};
use super::lenient;
use super::rollout_status::RolloutStatus;
use crate::types::{DnsLabel, Host, PodUid, Time, Version};

/// The status of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The generation of the spec that the rest speaks of.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Its state in a few aspects.
    #[serde(default, deserialize_with = "lenient::known", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How many members are ready, of how many: `8/8`.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub ready: Option<String>,
    /// Its members.
    #[serde(default, deserialize_with = "lenient::known", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub members: Vec<MemberStatus>,
    /// The rollout under way, or the last one. Absent: there was none.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// Whether clients are pushed changes. Absent: not known yet, or not a registry.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub push: Option<PushStatus>,
    /// What will be done: one line for each step.
    #[serde(default, deserialize_with = "lenient::known", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub plan: Vec<PlanLine>,
    /// What is waited for.
    #[serde(default, deserialize_with = "lenient::known", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["reason", "subject"]))]
    pub waiting_on: Vec<WaitingOn>,
    /// What needs a person's confirmation. Absent: nothing.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub incident: Option<Incident>,
    /// The member that was last seen as the leader of the metas. Absent: none was seen yet, or there are no metas.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub last_leader: Option<DnsLabel>,
    /// For `kubectl scale` and autoscalers. Absent: nothing is there to scale.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub scale: Option<ScaleStatus>,
}

/// One member: a server that should be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// The name of its pod, which stays when the pod is made again.
    pub name: DnsLabel,
    /// Its role.
    pub role: Role,
    /// How it is.
    #[serde(deserialize_with = "lenient::or_default")]
    pub state: MemberState,
    /// The uid of its pod. Absent: there is none.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<PodUid>,
    /// The address of its pod. Absent: there is none yet.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub address: Option<Host>,
    /// Of a MetaServer in a raft group, the address under which the others know it: it lags behind `address` until they
    /// are told the new one. Absent: they know none.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub known_as: Option<Host>,
    /// The version that it tells, or that of its image. Absent: not known.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The revision of the pod template that it runs. Absent: there is no pod.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub revision: Option<String>,
    /// Since when it is in this state.
    #[serde(deserialize_with = "lenient::or_long_ago")]
    pub since: Time,
    /// What is wrong with it, in a sentence. Absent: nothing.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
}

/// How a member is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MemberState {
    /// It works and leads the metas.
    Leader,
    /// It works.
    Serving,
    /// It starts.
    Starting,
    /// It is held back until it may start: a blank meta, or a role before its turn.
    Held,
    /// It serves nothing.
    Broken,
    /// It is not there.
    Gone,
    /// It cannot be asked.
    #[default]
    Unknown,
}

/// Whether clients are pushed changes, and who decided that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushStatus {
    /// Whether it is open.
    #[serde(deserialize_with = "lenient::or_default")]
    pub state: PushState,
    /// Who closed it. Absent: it is open.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub owner: Option<PushOwner>,
    /// Since when state and owner are as they are.
    #[serde(deserialize_with = "lenient::or_long_ago")]
    pub since: Time,
    /// The push group for which it was closed: a new `spec.pushGroup` counts only when push is open again. Absent: none.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    pub group: Option<DnsLabel>,
    /// The sites whose push the operator closed together with this cluster's, and opens again with it.
    #[serde(default, deserialize_with = "lenient::known", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub sites: Vec<DnsLabel>,
    /// Why, in a sentence. Absent: it is open.
    #[serde(default, deserialize_with = "lenient::or_default", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MESSAGE_CHARACTERS))]
    pub why: Option<String>,
}

/// Whether push is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PushState {
    /// Open on every SessionServer.
    Open,
    /// It was decided to close it, and it is not closed on every SessionServer yet.
    Closing,
    /// Closed on every SessionServer.
    Closed,
    /// It was decided to open it, and it is not open on every SessionServer yet.
    Opening,
    /// It cannot be told.
    #[default]
    Unknown,
}

/// Who closed push. The operator opens only what it closed itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PushOwner {
    /// The operator, for a rollout or a repair.
    Operator,
    /// A person, by `spec.push.hold`.
    Spec,
    /// Somebody else: it was found closed.
    Other,
}

/// Something that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingOn {
    /// What, in one word.
    #[schemars(schema_with = "word")]
    pub reason: Reason,
    /// Whom or what it concerns: a member, a role, a window.
    #[schemars(length(max = 256))]
    pub subject: String,
    /// Since when.
    pub since: Time,
}

/// What the operator does not do without a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// For `spec.recovery.metaMajority.confirm.incident`: another incident has another id.
    #[schemars(length(min = 1, max = 63))]
    pub id: String,
    /// What happened.
    #[schemars(schema_with = "word")]
    pub reason: Reason,
    /// Since when.
    #[serde(deserialize_with = "lenient::or_long_ago")]
    pub since: Time,
    /// The members that could be the survivor, the best one first. Empty: none.
    #[schemars(length(max = 8))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(deserialize_with = "lenient::known")]
    pub survivors: Vec<DnsLabel>,
}

/// For `kubectl scale` and autoscalers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleStatus {
    /// How many servers are there now.
    #[schemars(range(min = 0, max = 64))]
    pub replicas: u32,
    /// Their labels, as autoscalers want them: `a=b,c=d`.
    #[schemars(length(max = 1024))]
    pub selector: String,
}

/// One line of a plan: what, which, why. At most 256 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PlanLine(#[schemars(length(max = 256))] String);

impl PlanLine {
    /// The longest line, in characters.
    pub const CHARACTERS: usize = 256;

    /// A line, cut off where it is too long.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if text.chars().count() <= Self::CHARACTERS {
            return Self(text.to_owned());
        }
        Self(text.chars().take(Self::CHARACTERS - 1).chain(['…']).collect())
    }
}

impl fmt::Display for PlanLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_plan_is_cut_off() {
        assert_eq!(PlanLine::new("meta-0: restart").to_string(), "meta-0: restart");
        let long = PlanLine::new(&"元".repeat(300)).to_string();
        assert_eq!(long.chars().count(), PlanLine::CHARACTERS);
        assert!(long.ends_with('…'));
    }
}
