//! What every component has: replicas, sizes, a volume, a heap, ports, probes, a Service, an overlay of the pod.
//!
//! May import `types` and `cel`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cel::{CelRule, attach};
use crate::types::{Bytes, Cidr, Cpu, DnsLabel, Heap, ObjectName, Span};

/// One role of a cluster: its servers and what each of them gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = component_rules)]
pub struct ComponentSpec {
    /// How many servers. Absent: as many as the operations guide has (3 MetaServers, 3 DataServers, 2 of the others),
    /// or those of `profile: Small`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub replicas: Option<u32>,
    /// Processors and memory of each server. Absent: the operations guide's table, or that of `profile: Small`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The volume of each server. Absent: a claim of the size that the operations guide has (240Gi for a MetaServer,
    /// 40Gi for the others; 1Gi with `profile: Small`), of the default StorageClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// The Java heap: `Auto`, or a size in Mi such as `3000Mi`. Absent means Auto: the operations guide's table by the
    /// memory limit (3/4 of it for SOFARegistry; 1000 MB of 2 GiB, 3000 of 4, 6000 of 8, 9000 of 10, 12000 of 14 for
    /// DRM and the schedulers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heap: Option<Heap>,
    /// Ports, where this edition's differ from the usual ones: the operations guide has other ports for DataServers
    /// (9602, 9604, 9606) than open source 5.4.3. Absent: the usual ones of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub ports: Option<Vec<NamedPort>>,
    /// Probes, where this edition's differ from the usual ones. Absent: those that fit the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
    /// The Service in front of the servers. Absent: one of type `ClusterIP` for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,
    /// Any part of a pod template (`metadata` and `spec`), laid over the one that the operator makes: maps are merged,
    /// lists of named things (containers, volumes, env) by name, everything else is replaced. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplateOverlay>,
}

fn component_rules(schema: &mut schemars::Schema) {
    attach(
        schema,
        &[CelRule::new(
            ".heap",
            "!has(self.heap) || self.heap == 'Auto' || !has(self.resources) || !has(self.resources.limits)
             || !has(self.resources.limits.memory)
             || quantity(self.heap).isLessThan(quantity(self.resources.limits.memory))",
            "heap must be smaller than resources.limits.memory, or the server is killed when it fills it: lower it, \
             or leave it out for the guide's table",
        )],
    );
}

/// Processors and memory of one server, in the shape that containers have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = resources_rules)]
pub struct Resources {
    /// What is kept free for it on its node. Absent: the limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceAmounts>,
    /// What it may use at most. Absent: no limit on processors, and the guide's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceAmounts>,
}

fn resources_rules(schema: &mut schemars::Schema) {
    attach(
        schema,
        &[
            CelRule::new(
                ".requests",
                "!has(self.requests) || !has(self.limits) || !has(self.requests.memory) || !has(self.limits.memory)
                 || !quantity(self.requests.memory).isGreaterThan(quantity(self.limits.memory))",
                "resources.requests.memory must not be more than resources.limits.memory: lower the request or raise \
                 the limit",
            ),
            CelRule::new(
                ".requests",
                "!has(self.requests) || !has(self.limits) || !has(self.requests.cpu) || !has(self.limits.cpu)
                 || !quantity(string(self.requests.cpu)).isGreaterThan(quantity(string(self.limits.cpu)))",
                "resources.requests.cpu must not be more than resources.limits.cpu: lower the request or raise the \
                 limit",
            ),
        ],
    );
}

/// An amount of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceAmounts {
    /// Processors: `4`, `0.5` or `500m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Memory, with a unit: `8Gi`, `512Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
}

/// The volume of one server. Its type and class are fixed at creation; its size only grows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Whether the volume outlives its pod. Absent: `Claim`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<StorageKind>,
    /// Its size, such as `240Gi`. Absent: the operations guide's, or that of `profile: Small`. Growing it needs a
    /// StorageClass that allows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Bytes>,
    /// Its StorageClass. Absent: the cluster's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<ObjectName>,
}

/// Whether a volume outlives its pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StorageKind {
    /// A claim of its own for each server.
    #[default]
    Claim,
    /// It goes with the pod. Refused for MetaServers of a raft group: they must find their log again.
    Ephemeral,
}

/// A port that differs from the usual one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedPort {
    /// Which port. The names that a role has are told when another one is given.
    pub name: DnsLabel,
    /// Its number.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
}

/// How Kubernetes asks a server whether it lives and works.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// How long a start may take before the container is started again. Absent: `5m` (PowerJob took up to 150 s on a
    /// busy machine, a SessionServer 75 s: measured). In this project's image a DataServer of 5.x first waits 45 s, until the
    /// address of the one before it is listed and tried no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_timeout: Option<Span>,
    /// Whether it works. Absent: `/health/check` for SOFARegistry, `checkService` for drmdata, and so on; a MetaServer is then
    /// asked every 2 s, and not ready after 15 failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
    /// Whether it lives. Absent: for a MetaServer only whether its port answers, because all of them fail their health
    /// check while there is no leader; for the others their health check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Probe>,
}

/// One probe: a path on the HTTP port, or a command in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = probe_rules)]
pub struct Probe {
    /// A path on the port `http`, such as `/health/check`. Absent: the usual check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^/"))]
    pub path: Option<String>,
    /// A command that ends with 0 when all is well. Absent: the usual check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(max = 1024)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub command: Option<Vec<String>>,
    /// Seconds between two checks. Absent: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub period_seconds: Option<u32>,
    /// Seconds until an answer counts as none. Absent: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: Option<u32>,
    /// So many failures in a row count. Absent: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub failure_threshold: Option<u32>,
}

fn probe_rules(schema: &mut schemars::Schema) {
    attach(
        schema,
        &[CelRule::new(
            ".command",
            "!has(self.path) || !has(self.command)",
            "a probe asks by path or by command, not by both: remove one of them",
        )],
    );
}

/// A Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = service_rules)]
pub struct ServiceSpec {
    /// Its type. Absent: `ClusterIP`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ServiceKind>,
    /// Whether each server gets a Service of its own too: the operations guide binds one load balancer to each
    /// SessionServer and drmdata. Absent: false. For SessionServers and drmdata only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_pod: Option<bool>,
    /// Annotations for the Services, such as those that a load balancer reads. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 4096}))]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Which load balancer serves them. Absent: the cluster's default one. It cannot be changed on a Service that has
    /// one: the operator then says so and keeps the old Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,
    /// Addresses that the load balancer lets in. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub load_balancer_source_ranges: Option<Vec<Cidr>>,
}

fn service_rules(schema: &mut schemars::Schema) {
    attach(
        schema,
        &[CelRule::new(
            ".type",
            "(has(self.type) && self.type == 'LoadBalancer')
             || (!has(self.loadBalancerClass) && !has(self.loadBalancerSourceRanges))",
            "service.loadBalancerClass and service.loadBalancerSourceRanges are for type LoadBalancer: set the type, \
             or remove them",
        )],
    );
}

/// The types of Services.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ServiceKind {
    /// Reached from inside the Kubernetes cluster.
    #[default]
    ClusterIP,
    /// Reached on a port of every node.
    NodePort,
    /// Reached through a load balancer.
    LoadBalancer,
}

/// Any part of a pod template (`metadata` and `spec`, as in a StatefulSet), laid over the one that the operator makes:
/// maps are merged, lists of named things (containers, volumes, env) by name, everything else is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodTemplateOverlay(pub Map<String, Value>);

impl JsonSchema for PodTemplateOverlay {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PodTemplateOverlay".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": true,
        })
    }
}
