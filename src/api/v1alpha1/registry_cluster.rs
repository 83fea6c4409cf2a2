//! The kind `RegistryCluster`: a `SOFARegistry` of MetaServers, DataServers and SessionServers.
//!
//! May import `types` and the other modules of this version.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cel::{CelRule, attach};
use super::common::{Database, DeletionPolicy, NetworkPolicySpec, Profile};
use super::component::ComponentSpec;
use super::policy::RolloutPolicy;
use super::registry_rules::registry_rules;
use super::status::ClusterStatus;
use crate::types::{Address, Cidr, DnsLabel, ImageName, Line, PlaceName, Version};

/// What a `SOFARegistry` cluster should be.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "middleware.sofastack.io",
    version = "v1alpha1",
    kind = "RegistryCluster",
    plural = "registryclusters",
    shortname = "regc",
    category = "sofa",
    namespaced,
    status = "ClusterStatus",
    derive = "PartialEq",
    doc = "A SOFARegistry cluster: MetaServers, DataServers and SessionServers of one data centre.",
    label("app.kubernetes.io/part-of", "sofa-operator"),
    scale(
        spec_replicas_path = ".spec.session.replicas",
        status_replicas_path = ".status.scale.replicas",
        label_selector_path = ".status.scale.selector"
    ),
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.ready","description":"Ready members, of how many"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".spec.version","description":"The version that is wanted"}"#,
    printcolumn = r#"{"name":"Push","type":"string","jsonPath":".status.push.state","description":"Whether clients are pushed changes"}"#,
    printcolumn = r#"{"name":"Rollout","type":"string","jsonPath":".status.rollout.state","description":"Where the rollout stands"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp","description":"How old the object is"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = spec_rules)]
pub struct RegistryClusterSpec {
    /// The version of all servers, such as `5.4.3` or `6.3.0`; it has to be that of `image`. A change of it is a
    /// rollout. 5.x and 6.x keep their members in different ways and cannot be changed into each other.
    pub version: Version,
    /// The image of all servers, with its tag: `registry.example/sofa-registry:5.4.3`.
    pub image: ImageName,
    /// The data centre as the servers and their clients know it (`nodes.localDataCenter`), such as
    /// `DefaultDataCenter`. Fixed at creation: it is part of every key that is published.
    pub data_center: PlaceName,
    /// The region or zone as the servers know it (`nodes.localRegion`). Absent: `DEFAULT_ZONE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<PlaceName>,
    /// How the MetaServers know their members. Absent means `Auto`: `RaftByAddress` for 5.x, `Database` for 6.x; for
    /// any other version, such as a commercial 2.x, it has to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub membership: Option<Membership>,
    /// The MetaServers: an odd number, at most 7. Absent: the guide's 3, or 1 with `profile: Small`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<ComponentSpec>,
    /// The DataServers. Absent: the guide's 3, or 1 with `profile: Small`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ComponentSpec>,
    /// The SessionServers, to which clients connect. Absent: the guide's 2, or 1 with `profile: Small`. Give
    /// `replicas` where an autoscaler is to change them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<ComponentSpec>,
    /// The database: needed where it keeps the members (6.x), unused otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// What a person wants of push. Absent: open, but for rollouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<PushSpec>,
    /// Clusters of this Kubernetes cluster with the same group close push together: the operations guide wants that of
    /// all data centres of a city. Absent: this cluster alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_group: Option<DnsLabel>,
    /// Sites elsewhere that belong together with this one. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub remote_sites: Option<Vec<RegistrySite>>,
    /// What is done after losses that need a decision. Absent: nothing without a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// What is done about faults of certain versions. Absent: what each fault needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workarounds: Option<Workarounds>,
    /// How changes are rolled out. Absent: one by one, at any time, without approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutPolicy>,
    /// No new disruptive act while this is true. A member in flight is finished, and push that the operator closed is
    /// opened again first. Absent: false.
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
    /// Who may reach the management ports besides the cluster itself. Absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicySpec>,
    /// What becomes of the volumes when this object is deleted. Absent: `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

fn spec_rules(schema: &mut schemars::Schema) {
    attach(schema, &registry_rules());
}

impl RegistryClusterSpec {
    /// How the MetaServers know their members; `None` where the version does not tell and the spec does not say.
    #[must_use]
    pub fn membership_kind(&self) -> Option<MembershipKind> {
        match self.membership.unwrap_or_default() {
            Membership::Auto => match self.version.line() {
                Line::OpenSource5 => Some(MembershipKind::RaftByAddress),
                Line::OpenSource6 => Some(MembershipKind::Database),
                Line::Other => None,
            },
            Membership::RaftByAddress => Some(MembershipKind::RaftByAddress),
            Membership::RaftSelfHealing => Some(MembershipKind::RaftSelfHealing),
            Membership::Database => Some(MembershipKind::Database),
        }
    }
}

/// How the MetaServers know their members, as a person says it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Membership {
    /// By the version: `RaftByAddress` for 5.x, `Database` for 6.x.
    #[default]
    Auto,
    /// A raft group that knows its members by address: each new address needs `changePeer` (5.x; commercial before 2.9.0).
    RaftByAddress,
    /// A raft group that follows new addresses by itself (commercial, 2.9.0 and later).
    RaftSelfHealing,
    /// Rows of a database (6.x).
    Database,
}

/// How the MetaServers know their members, decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MembershipKind {
    /// A raft group that knows its members by address.
    RaftByAddress,
    /// A raft group that follows new addresses by itself.
    RaftSelfHealing,
    /// Rows of a database.
    Database,
}

/// What a person wants of push.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushSpec {
    /// Whether push is kept closed: clients keep what they have and are told nothing new. Absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<bool>,
}

/// A site elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = site_rules)]
pub struct RegistrySite {
    /// What people call it.
    pub name: DnsLabel,
    /// Its MetaServers, whose push switch is read; port 9615 where none is given. Absent: it is not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub meta_addresses: Option<Vec<Address>>,
    /// The addresses of its servers, which may reach this cluster's internal ports. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub cidrs: Option<Vec<Cidr>>,
    /// Whether its push is closed and opened together with this cluster's. Absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_push: Option<bool>,
}

fn site_rules(schema: &mut schemars::Schema) {
    attach(
        schema,
        &[
            CelRule::new(
                "",
                "has(self.metaAddresses) || has(self.cidrs)",
                "an entry of remoteSites needs metaAddresses to be read, or cidrs to be let in: give one of them",
            ),
            CelRule::new(
                ".closePush",
                "!has(self.closePush) || !self.closePush || has(self.metaAddresses)",
                "remoteSites: push of a site can be closed only through its metas: give metaAddresses, or remove \
                 closePush",
            ),
        ],
    );
}

/// What is done after losses that need a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// After the loss of a majority of the metas of a raft group. Absent: Manual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta_majority: Option<MetaMajorityRecovery>,
    /// After the loss of the volume of a meta of a raft group. Absent: `Manual`, which is all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_lost: Option<VolumeLost>,
}

/// After the loss of a majority of the metas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetaMajorityRecovery {
    /// Who decides. Absent: `Manual`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Automation>,
    /// A person's decision for one incident. Absent: none. What is left here never answers the next incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<MetaMajorityConfirmation>,
}

/// Who decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Automation {
    /// A person.
    #[default]
    Manual,
    /// The operator, if the volumes of all members are there and the last leader is among them.
    Automatic,
}

/// A person's decision for one incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetaMajorityConfirmation {
    /// The incident, from `status.incident.id`.
    #[schemars(length(min = 1, max = 63))]
    pub incident: String,
    /// The member whose data the others take over, from `status.incident.survivors`: what only the others know is
    /// lost.
    pub survivor: DnsLabel,
}

/// What is done when a volume of a meta is lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum VolumeLost {
    /// A person decides.
    #[default]
    Manual,
}

/// What is done about faults of certain versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workarounds {
    /// Versions up to 5.4.3 lose publishers when a client publishes one of several again; without their renewal of
    /// snapshots they do not (measured). Absent: `Auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_switch: Option<RenewSwitch>,
}

/// Whether the renewal of snapshots is switched off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RenewSwitch {
    /// On versions that need it.
    #[default]
    Auto,
    /// The servers keep their own setting.
    Never,
}
