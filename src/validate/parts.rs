//! The parts of a checked cluster: a role with its sizes, ports and probes, and a database.
//!
//! May import `types` and `api`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::v1alpha1::{Exposure, PodTemplateOverlay, Role, ServiceKind};
use crate::types::{Bytes, Cidr, Cpu, Host, ImageName, ObjectName};

/// One role of a cluster, with everything resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidComponent {
    /// Which role.
    pub role: Role,
    /// Its image.
    pub image: ImageName,
    /// How many servers the spec wants.
    pub replicas: u32,
    /// What each of them gets.
    pub resources: SizedResources,
    /// The volume of each of them.
    pub storage: SizedStorage,
    /// The Java heap, in MiB.
    pub heap_mib: u32,
    /// All ports of the role.
    pub ports: Ports,
    /// How Kubernetes asks a server whether it lives and works.
    pub probes: ProbeRules,
    /// Its Service.
    pub service: ServiceRules,
    /// What is laid over the pod template: checked to be part of one, and to touch nothing that the operator owns.
    pub overlay: Option<PodTemplateOverlay>,
    /// How people reach it from outside; consoles only.
    pub exposure: Option<Exposure>,
}

/// Processors and memory of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizedResources {
    /// Processors that are kept free for it.
    pub cpu_request: Cpu,
    /// Processors that it may use at most; `None`: as many as there are.
    pub cpu_limit: Option<Cpu>,
    /// Memory that is kept free for it.
    pub memory_request: Bytes,
    /// Memory that it may use at most.
    pub memory_limit: Bytes,
}

/// The volume of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SizedStorage {
    /// A claim of its own, which outlives its pod.
    Claim {
        /// Its size.
        size: Bytes,
        /// Its class; `None`: the cluster's default one.
        class: Option<ObjectName>,
    },
    /// It goes with the pod.
    Ephemeral {
        /// Its size.
        size: Bytes,
    },
}

impl SizedStorage {
    /// Its size.
    #[must_use]
    pub const fn size(&self) -> &Bytes {
        match self {
            Self::Claim { size, .. } | Self::Ephemeral { size } => size,
        }
    }
}

/// The ports of a role by their names, every name of the role among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports {
    pub(super) usual: &'static [(&'static str, u16)],
    pub(super) numbers: BTreeMap<&'static str, u16>,
}

impl Ports {
    /// The number of a port; `None` where the role has no such port.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u16> {
        self.numbers.get(name).copied()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u16)> + '_ {
        self.numbers.iter().map(|(name, number)| (*name, *number))
    }

    /// The number of a port where it is not the usual one.
    #[must_use]
    pub fn changed(&self, name: &str) -> Option<u16> {
        let usual = self.usual.iter().find(|(usual, _)| *usual == name).map(|(_, number)| *number);
        self.number(name).filter(|number| Some(*number) != usual)
    }
}

/// How Kubernetes asks a server whether it lives and works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRules {
    /// How long a start may take before the container is started again.
    pub startup_timeout: Duration,
    /// What ends the start.
    pub startup: ProbeRule,
    /// Whether it works.
    pub readiness: ProbeRule,
    /// Whether it lives.
    pub liveness: ProbeRule,
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRule {
    /// What is asked.
    pub check: Check,
    /// Seconds between two checks.
    pub period_seconds: u32,
    /// Seconds until an answer counts as none.
    pub timeout_seconds: u32,
    /// So many failures in a row count.
    pub failure_threshold: u32,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// A path on the port `http`.
    Http(String),
    /// Whether the port of this name answers.
    Tcp(&'static str),
    /// A command in the container.
    Command(Vec<String>),
}

/// The Service of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceRules {
    /// Its type.
    pub kind: ServiceKind,
    /// Whether each server has a Service of its own too.
    pub per_pod: bool,
    /// Annotations for the Services.
    pub annotations: BTreeMap<String, String>,
    /// Which load balancer serves them.
    pub load_balancer_class: Option<String>,
    /// Addresses that the load balancer lets in; empty: all.
    pub source_ranges: Vec<Cidr>,
}

/// A database and how to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidDatabase {
    /// Its host.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// The JDBC URL, without user and password.
    pub jdbc_url: String,
    /// The Secret with the user and the password.
    pub secret: DatabaseLogin,
}

/// A Secret with a user and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseLogin {
    /// Its name.
    pub name: ObjectName,
    /// The key of the user's name.
    pub username_key: String,
    /// The key of the password.
    pub password_key: String,
}
