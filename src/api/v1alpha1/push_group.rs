//! The kind `PushGroup`: which clusters hold push closed together, and which one of them acts.
//!
//! The operator makes one object for each name in `spec.pushGroup`, in its own namespace, and changes it by
//! compare-and-swap: every write carries the resourceVersion that was read. Push opens in all when no holder is left.
//!
//! May import `types` and the other modules of this version.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::{DnsLabel, ObjectName, RolloutId, Time};

/// The state of a push group. Only the operator writes it.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "middleware.sofastack.io",
    version = "v1alpha1",
    kind = "PushGroup",
    plural = "pushgroups",
    category = "sofa",
    namespaced,
    derive = "PartialEq",
    doc = "Clusters that close push together. The operator makes and changes it; people only read it.",
    label("app.kubernetes.io/part-of", "sofa-operator"),
    printcolumn = r#"{"name":"Holders","type":"string","jsonPath":".spec.holders[*].name","description":"Clusters that hold push closed"}"#,
    printcolumn = r#"{"name":"Actor","type":"string","jsonPath":".spec.actor.name","description":"The cluster that may act"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp","description":"How old the object is"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct PushGroupSpec {
    /// The clusters that hold push closed. Empty or absent: it may be open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["namespace", "name"]))]
    pub holders: Vec<PushGroupHolder>,
    /// The one cluster that may do a disruptive act. Absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<PushGroupActor>,
}

/// A cluster that holds push closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushGroupHolder {
    /// Its namespace.
    pub namespace: DnsLabel,
    /// Its name.
    pub name: ObjectName,
    /// Its uid: a cluster that is made again under the same name is another one.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// Since when.
    pub since: Time,
    /// Why, in a sentence.
    #[schemars(length(max = 256))]
    pub why: String,
}

/// The cluster that may do a disruptive act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushGroupActor {
    /// Its namespace.
    pub namespace: DnsLabel,
    /// Its name.
    pub name: ObjectName,
    /// Its uid.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// The rollout for which it acts. Absent: a repair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutId>,
    /// Since when.
    pub since: Time,
}
