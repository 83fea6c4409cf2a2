//! The kind `DrmCluster`: dynamic configuration, by drmdata servers and a DSRConsole.
//!
//! May import `types` and the other modules of this version.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cel::attach;
use super::common::{
    ClusterRef, Database, DeletionPolicy, Dependency, NetworkPolicySpec, Profile, Role, Switch,
    no_per_pod_rules, port_rules, storage_rules,
};
use super::component::ComponentSpec;
use super::exposure::ConsoleSpec;
use super::policy::RolloutPolicy;
use super::status::ClusterStatus;
use crate::types::{Address, Cidr, DnsLabel, ImageName, Version};

/// What a DRM cluster should be.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "middleware.sofastack.io",
    version = "v1alpha1",
    kind = "DrmCluster",
    plural = "drmclusters",
    shortname = "drmc",
    category = "sofa",
    namespaced,
    status = "ClusterStatus",
    derive = "PartialEq",
    doc = "A cluster of the dynamic configuration DRM: drmdata servers and DSRConsole.",
    label("app.kubernetes.io/part-of", "sofa-operator"),
    scale(
        spec_replicas_path = ".spec.drmdata.replicas",
        status_replicas_path = ".status.scale.replicas",
        label_selector_path = ".status.scale.selector"
    ),
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.ready","description":"Ready members, of how many"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".spec.version","description":"The version that is wanted"}"#,
    printcolumn = r#"{"name":"Rollout","type":"string","jsonPath":".status.rollout.state","description":"Where the rollout stands"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp","description":"How old the object is"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = spec_rules)]
pub struct DrmClusterSpec {
    /// The version of all servers; it has to be that of `image`. A change of it is a rollout.
    pub version: Version,
    /// The image of drmdata, and of the console where that names none.
    pub image: ImageName,
    /// The drmdata servers. Absent: the guide's 2, or 1 with `profile: Small`. Give `replicas` where an autoscaler is
    /// to change them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drmdata: Option<ComponentSpec>,
    /// DSRConsole. Absent: the guide's 2, or 1 with `profile: Small`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<ConsoleSpec>,
    /// The database of drmdata and DSRConsole.
    pub database: Database,
    /// The registry, which has to be available before drmdata is started.
    pub registry_ref: ClusterRef,
    /// Services that have to answer before drmdata is started: address service, tenant service, ... Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub dependencies: Option<Vec<Dependency>>,
    /// Whether clients' connections are counted in the pods before and after a restart, which needs the right to run a
    /// command in them. Disabled: they are unknown, and a rollout holds where they would decide. Absent: `Enabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_counting: Option<Switch>,
    /// drmdata servers of other data centres, to which values are pushed too. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub remote_sites: Option<Vec<DrmSite>>,
    /// How changes are rolled out. Absent: one by one, at any time, without approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutPolicy>,
    /// No new disruptive act while this is true; a member in flight is finished. Absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Any text. A new one asks for one orderly restart of all servers; it goes into their pod templates. Absent: none
    /// is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub restart: Option<String>,
    /// Sizes where the components say none. Absent: `Guide`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Who may reach the internal ports besides the cluster itself. Absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicySpec>,
    /// What becomes of the volumes when this object is deleted. Absent: `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

fn spec_rules(schema: &mut schemars::Schema) {
    let roles = [Role::Drmdata, Role::Console];
    attach(schema, &storage_rules(&roles));
    attach(schema, &port_rules(&roles));
    attach(schema, &no_per_pod_rules(&[Role::Console]));
}

/// drmdata servers of another data centre.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrmSite {
    /// What people call it.
    pub name: DnsLabel,
    /// Its drmdata servers; port 9870 where none is given.
    #[schemars(length(min = 1, max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub drmdata_addresses: Vec<Address>,
    /// The addresses of its servers, which may reach this cluster's internal ports. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub cidrs: Option<Vec<Cidr>>,
}
