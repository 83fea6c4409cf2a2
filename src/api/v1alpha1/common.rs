//! What the specs of more than one kind share.
//!
//! May import `types` and `cel`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cel::{CelRule, attach};
use crate::types::{Cidr, DnsLabel, Host, HttpUrl, ObjectName};

/// Which sizes are taken where a component says none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Profile {
    /// The operations guide's table, for production.
    #[default]
    Guide,
    /// For a laptop.
    Small,
}

impl Profile {
    /// The size of a server's volume where the spec says none (operations guide, list of resources).
    #[must_use]
    pub const fn storage_size(self, role: Role) -> &'static str {
        match (self, role) {
            (Self::Small, _) => "1Gi",
            (Self::Guide, Role::Meta) => "240Gi",
            (Self::Guide, _) => "40Gi",
        }
    }
}

/// What becomes of the volumes when the object is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They stay.
    #[default]
    Retain,
    /// They go too.
    DeleteData,
}

/// Yes or no, where a person may want either. No `On` and `Off`: unquoted in YAML, kubectl reads them as true and false.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Switch {
    /// It is done.
    Enabled,
    /// It is not done.
    Disabled,
}

/// The part that a server plays in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Role {
    /// A MetaServer.
    Meta,
    /// A DataServer.
    Data,
    /// A SessionServer.
    Session,
    /// A drmdata server.
    Drmdata,
    /// A server of `AntScheduler` or PowerJob.
    Server,
    /// A console: DSRConsole, or that of `AntScheduler`.
    Console,
}

impl Role {
    /// All of them, in the order in which those of one cluster are started.
    pub const ALL: [Self; 6] =
        [Self::Meta, Self::Data, Self::Session, Self::Drmdata, Self::Server, Self::Console];

    /// The field of the spec that describes it.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Data => "data",
            Self::Session => "session",
            Self::Drmdata => "drmdata",
            Self::Server => "server",
            Self::Console => "console",
        }
    }

    /// The ports of it that a spec may name.
    #[must_use]
    pub const fn ports(self) -> &'static [&'static str] {
        match self {
            Self::Meta => &["session", "data", "meta", "raft", "http"],
            Self::Data => &["session", "sync", "http"],
            Self::Session => &["client", "sync", "http"],
            Self::Drmdata => &["http", "data", "client", "rpc", "health"],
            Self::Server => &["http", "remote", "client", "rpc", "akka"],
            Self::Console => &["http", "management", "rpc"],
        }
    }
}

/// A `MySQL` database and how to get in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// Its host: a DNS name that follows the database when it moves, or an IPv4 address.
    pub host: Host,
    /// Its port. Absent: 3306.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
    /// The name of the database, such as `registrymetadb`.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_$-]+$"))]
    pub name: String,
    /// The Secret with the user and the password.
    pub secret_ref: DatabaseSecret,
    /// Parameters of the JDBC URL, such as `useSSL: "false"`; they win over the operator's own. Absent: those that
    /// the version was measured with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    pub parameters: Option<BTreeMap<String, String>>,
}

/// A Secret of the same namespace with a user and a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSecret {
    /// Its name.
    pub name: ObjectName,
    /// The key of the user's name. Absent: `username`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._A-Za-z0-9]+$"))]
    pub username_key: Option<String>,
    /// The key of the password. Absent: `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._A-Za-z0-9]+$"))]
    pub password_key: Option<String>,
}

/// A Secret of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Its name.
    pub name: ObjectName,
}

/// Another cluster that this operator runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRef {
    /// Its name.
    pub name: ObjectName,
    /// Its namespace. Absent: that of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<DnsLabel>,
}

/// A service that has to answer before the servers are started: the address service, the tenant service, ...
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// What people call it.
    pub name: DnsLabel,
    /// Answers 2xx when it works.
    pub health_url: HttpUrl,
}

/// Who may reach what is closed to others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// These may reach the management and internal ports too, which know no password. Absent: only the cluster's own
    /// pods, the operator, the clusters that refer to this one, and the address ranges of `remoteSites`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub extra_from: Option<Vec<NetworkPeer>>,
}

/// A peer in the shape that a NetworkPolicy has: pods by their labels, or a range of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = peer_rules)]
pub struct NetworkPeer {
    /// Pods with these labels. Absent: all pods of the namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<PeerSelector>,
    /// Namespaces with these labels. Absent: the namespace of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<PeerSelector>,
    /// A range of addresses, alone. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_block: Option<PeerIpBlock>,
}

fn peer_rules(schema: &mut schemars::Schema) {
    attach(
        schema,
        &[CelRule::new(
            "",
            "has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))",
            "an entry of networkPolicy.extraFrom is either an ipBlock, or a podSelector and/or a namespaceSelector: \
             give one of them, and make two entries for both",
        )],
    );
}

/// Labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerSelector {
    /// All of these labels have to be there. Absent or empty: every one matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub match_labels: Option<BTreeMap<String, String>>,
}

/// A range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerIpBlock {
    /// The range, such as `10.1.0.0/16`.
    pub cidr: Cidr,
}

/// The rules on the volume of each of these roles: its type and class are fixed, it only grows. They stand on the spec,
/// so that adding or removing `storage`, or changing the profile, is seen too.
pub(super) fn storage_rules(roles: &[Role]) -> Vec<CelRule> {
    roles.iter().flat_map(|role| storage_rules_of(*role)).collect()
}

fn storage_rules_of(role: Role) -> [CelRule; 3] {
    let name = role.field();
    let of = |spec: &str, field: &str, absent: &str| {
        format!(
            "(has({spec}.{name}) && has({spec}.{name}.storage) && has({spec}.{name}.storage.{field})
             ? {spec}.{name}.storage.{field} : {absent})"
        )
    };
    let same = |field: &str, absent: &str| {
        format!("{} == {}", of("self", field, absent), of("oldSelf", field, absent))
    };
    let size = |spec: &str| {
        let [small, guide] = [Profile::Small, Profile::Guide].map(|p| p.storage_size(role));
        let absent = format!("(has({spec}.profile) && {spec}.profile == 'Small' ? '{small}' : '{guide}')");
        format!("quantity({})", of(spec, "size", &absent))
    };
    let kind = of("self", "type", "'Claim'");
    let field = format!(".{name}");
    [
        CelRule::new(
            &field,
            same("type", "'Claim'"),
            format!(
                "{name}.storage.type cannot be changed (absent means Claim): put it back, or make a new cluster"
            ),
        ),
        CelRule::new(
            &field,
            same("storageClassName", "''"),
            format!(
                "{name}.storage.storageClassName cannot be changed, added or removed: put it back, or make a new \
                 cluster"
            ),
        ),
        CelRule::new(
            &field,
            format!("{kind} == 'Ephemeral' || !{}.isLessThan({})", size("self"), size("oldSelf")),
            format!(
                "{name}.storage.size can only grow (absent means {} with profile Guide, {} with Small): give at \
                 least the size that it has",
                Profile::Guide.storage_size(role),
                Profile::Small.storage_size(role)
            ),
        ),
    ]
}

/// The rule on the names of ports of each of these roles.
pub(super) fn port_rules(roles: &[Role]) -> Vec<CelRule> {
    roles.iter().map(|role| port_rule(*role)).collect()
}

fn port_rule(role: Role) -> CelRule {
    let name = role.field();
    let quoted: Vec<_> = role.ports().iter().map(|p| format!("'{p}'")).collect();
    CelRule::new(
        format!(".{name}"),
        format!(
            "!has(self.{name}) || !has(self.{name}.ports) || self.{name}.ports.all(p, p.name in [{}])",
            quoted.join(", ")
        ),
        format!("{name}.ports: the names of its ports are {}: use one of them", role.ports().join(", ")),
    )
}

/// The rule that only some roles have a Service for each server: these have none.
pub(super) fn no_per_pod_rules(roles: &[Role]) -> Vec<CelRule> {
    let rule = |role: &Role| {
        let name = role.field();
        CelRule::new(
            format!(".{name}"),
            format!(
                "!has(self.{name}) || !has(self.{name}.service) || !has(self.{name}.service.perPod)
                 || !self.{name}.service.perPod"
            ),
            format!("{name}.service.perPod is for SessionServers and drmdata only: remove it"),
        )
    };
    roles.iter().map(rule).collect()
}
