//! The kind `SchedulerCluster`: scheduled tasks, by `AntScheduler` or PowerJob.
//!
//! May import `types` and the other modules of this version.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cel::{CelRule, attach};
use super::common::{
    ClusterRef, Database, DatabaseSecret, DeletionPolicy, Dependency, NetworkPolicySpec, Profile, Role,
    Switch, no_per_pod_rules, port_rules, storage_rules,
};
use super::component::ComponentSpec;
use super::exposure::ConsoleSpec;
use super::policy::RolloutPolicy;
use super::status::ClusterStatus;
use crate::types::{Address, ImageName, Version};

/// What a cluster for scheduled tasks should be.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "middleware.sofastack.io",
    version = "v1alpha1",
    kind = "SchedulerCluster",
    plural = "schedulerclusters",
    shortname = "schc",
    category = "sofa",
    namespaced,
    status = "ClusterStatus",
    derive = "PartialEq",
    doc = "A cluster for scheduled tasks: AntScheduler and its console, or PowerJob.",
    label("app.kubernetes.io/part-of", "sofa-operator"),
    printcolumn = r#"{"name":"Engine","type":"string","jsonPath":".spec.engine","description":"AntScheduler or PowerJob"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.ready","description":"Ready members, of how many"}"#,
    printcolumn = r#"{"name":"Version","type":"string","jsonPath":".spec.version","description":"The version that is wanted"}"#,
    printcolumn = r#"{"name":"Rollout","type":"string","jsonPath":".status.rollout.state","description":"Where the rollout stands"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp","description":"How old the object is"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = spec_rules)]
pub struct SchedulerClusterSpec {
    /// Which scheduler. Fixed at creation.
    pub engine: Engine,
    /// The version of all servers, such as `4.3.9`; it has to be that of `image`. A change of it is a rollout.
    pub version: Version,
    /// The image of the servers, and of the console where that names none.
    pub image: ImageName,
    /// The servers. Absent: 2, or 1 with `profile: Small`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ComponentSpec>,
    /// The console of `AntScheduler`; PowerJob's servers are their own. Absent: 2, or 1 with `profile: Small`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<ConsoleSpec>,
    /// The database that all servers share. Needed by both engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// The message queue of `AntScheduler`: only tasks by message need it. Absent: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mq: Option<MessageQueue>,
    /// The registry of `AntScheduler`, which has to be available before its servers are started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_ref: Option<ClusterRef>,
    /// Services that have to answer before the servers are started. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub dependencies: Option<Vec<Dependency>>,
    /// Whether clients' connections (9001) are counted in the pods before and after a restart, which needs the right
    /// to run a command in them. For `AntScheduler`. Disabled: they are unknown, and a rollout holds where they would
    /// decide. Absent: `Enabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_counting: Option<Switch>,
    /// Where servers of `AntScheduler` tell of tasks that were triggered and not reported yet: a server is stopped only when
    /// it has none. Absent: they are not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_gate: Option<TaskGate>,
    /// What only PowerJob knows. Absent: its servers are stopped without moving their apps first, and lost instances
    /// are left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub powerjob: Option<PowerJobSpec>,
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
    /// Who may reach the internal ports besides the cluster itself and its workers. Absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicySpec>,
    /// What becomes of the volumes when this object is deleted. Absent: `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// The schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Engine {
    /// The commercial scheduler of the operations guide.
    AntScheduler,
    /// The open-source scheduler.
    PowerJob,
}

/// A message queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageQueue {
    /// Its address; port 9529 where none is given.
    pub address: Address,
}

/// Tasks that were triggered and not reported (operations guide §1.2.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskGate {
    /// A path on the port `http` of each server, such as `/tasks`. It answers JSON with the number `unreported`.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^/[^ ]*$"))]
    pub path: String,
}

/// What only PowerJob knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PowerJobSpec {
    /// The Secret with a user of the database for the operator itself, by which it moves apps before it stops their
    /// server: SELECT on `app_info`, `server_info`, `job_info` and `instance_info`, UPDATE of `current_server` and
    /// `gmt_modified` of `app_info`. Absent: apps are not moved, and firings may get lost in a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_secret_ref: Option<DatabaseSecret>,
    /// Whether instances that failed for want of a worker in a move are run again: a nightly job may then run late.
    /// Absent: `Disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_lost: Option<Switch>,
}

fn spec_rules(schema: &mut schemars::Schema) {
    let roles = [Role::Server, Role::Console];
    attach(schema, &engine_rules());
    attach(schema, &storage_rules(&roles));
    attach(schema, &[server_ports()]);
    attach(schema, &port_rules(&[Role::Console]));
    attach(schema, &no_per_pod_rules(&roles));
}

fn engine_rules() -> [CelRule; 7] {
    [
        CelRule::new(
            ".engine",
            "self.engine == oldSelf.engine",
            "engine cannot be changed, the databases of the two have nothing in common: put it back, or make a new \
             cluster",
        ),
        CelRule::new(
            "",
            "self.engine != 'PowerJob' || has(self.database)",
            "database is missing: PowerJob's servers find each other in it: give its host, name and secretRef",
        ),
        CelRule::new(
            "",
            "self.engine != 'AntScheduler' || has(self.database)",
            "database is missing: AntScheduler keeps its tasks in it: give its host, name and secretRef",
        ),
        CelRule::new(
            "",
            "self.engine != 'AntScheduler' || has(self.registryRef)",
            "registryRef is missing: AntScheduler cannot start without a registry: name a RegistryCluster",
        ),
        CelRule::new(
            "",
            "self.engine != 'PowerJob' || (!has(self.console) && !has(self.mq) && !has(self.registryRef)
             && !has(self.connectionCounting) && !has(self.taskGate))",
            "console, mq, registryRef, connectionCounting and taskGate are for engine AntScheduler: remove them",
        ),
        CelRule::new(
            "",
            "self.engine != 'AntScheduler' || !has(self.powerjob)",
            "powerjob is for engine PowerJob: remove it",
        ),
        CelRule::new(
            ".rollout",
            "self.engine != 'PowerJob' || !has(self.rollout) || !has(self.rollout.strategy)
             || self.rollout.strategy == 'OneByOne'",
            "rollout.strategy of PowerJob is OneByOne: each server's apps have to be moved before it stops: remove it",
        ),
    ]
}

fn server_ports() -> CelRule {
    CelRule::new(
        ".server",
        "!has(self.server) || !has(self.server.ports) || self.server.ports.all(p, self.engine == 'PowerJob'
         ? p.name in ['http', 'remote', 'akka'] : p.name in ['http', 'server', 'client', 'rpc'])",
        "server.ports: the names of its ports are http, remote, akka for PowerJob and http, server, client, rpc for \
         AntScheduler: use one of them",
    )
}
