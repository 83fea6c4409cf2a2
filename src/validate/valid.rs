//! Specs that were checked, with everything resolved: what is absent in a spec has its value here.
//!
//! `plan` and `build` read these and never a spec, so that a default stands in one place.
//!
//! May import `types`, `api` and the other modules of `validate`.

use std::time::Duration;

use super::parts::{DatabaseLogin, ValidComponent, ValidDatabase};
use super::windows::Windows;
use crate::api::objects;
use crate::api::v1alpha1::{
    Approval, Automation, DeletionPolicy, Dependency, Engine, MembershipKind, MessageQueue,
    MetaMajorityConfirmation, NetworkPeer, OnTimeout, Profile, Reason, RegistrySite, Role, Strategy, Switch,
};
use crate::types::{Address, Cidr, DnsLabel, PlaceName, PlanId, Version};

/// Which kind of cluster an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClusterKind {
    /// A `RegistryCluster`.
    Registry,
    /// A `DrmCluster`.
    Drm,
    /// A `SchedulerCluster`.
    Scheduler,
}

impl ClusterKind {
    /// The kind as it stands in objects and owner references.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Registry => "RegistryCluster",
            Self::Drm => "DrmCluster",
            Self::Scheduler => "SchedulerCluster",
        }
    }

    /// A word for names of objects: clusters of different kinds may have one name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Drm => "drm",
            Self::Scheduler => "scheduler",
        }
    }
}

/// Which software a cluster runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Product {
    /// `SOFARegistry`.
    Registry,
    /// drmdata and DSRConsole.
    Drm,
    /// `AntScheduler` and its console.
    AntScheduler,
    /// PowerJob.
    PowerJob,
}

impl Product {
    /// The value of the label `app.kubernetes.io/name`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Registry => objects::REGISTRY_APP,
            Self::Drm => "drm",
            Self::AntScheduler => "antscheduler",
            Self::PowerJob => "powerjob",
        }
    }
}

/// Which object a cluster is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its kind.
    pub kind: ClusterKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name: at most 40 of a-z, 0-9 and '-', beginning with a letter.
    pub name: String,
    /// Its uid: a cluster that is made again under the same name is another one.
    pub uid: String,
}

/// What all kinds have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// Which object it is.
    pub identity: Identity,
    /// Which software it runs.
    pub product: Product,
    /// The version of all servers.
    pub version: Version,
    /// How changes are rolled out.
    pub rollout: RolloutRules,
    /// Whether a person has paused it.
    pub paused: bool,
    /// The text that asks for a restart.
    pub restart: Option<String>,
    /// Which table of sizes the defaults are from.
    pub profile: Profile,
    /// Who may reach the ports that know no password.
    pub network: NetworkRules,
    /// What becomes of the volumes when the object is deleted.
    pub deletion: DeletionPolicy,
    /// What is allowed and yet not good, to be told.
    pub warnings: Vec<Warning>,
    /// What the spec refers to and is not there: nothing is started or changed until it is.
    pub waiting: Vec<Missing>,
}

/// How a change is rolled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutRules {
    /// How many servers of a role at once; metas, data and PowerJob always go one by one.
    pub strategy: Strategy,
    /// Who lets a rollout begin.
    pub approval: Approval,
    /// The plan that is approved; `None` unless `approval` is `Manual`.
    pub approved: Option<PlanId>,
    /// When a rollout may begin.
    pub windows: Windows,
    /// What has to hold before push is opened again.
    pub verify: VerifyRules,
}

/// What has to hold before push is opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyRules {
    /// So many percent of the clients before the rollout have to be back: 1 to 100.
    pub percent: u32,
    /// How long the operator waits for them, from the start of `VerifyCounts`.
    pub timeout: Duration,
    /// What it does then.
    pub on_timeout: OnTimeout,
}

/// Who may reach the ports that know no password, besides the cluster's own pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkRules {
    /// Where the operator runs.
    pub operator_namespace: String,
    /// Other clusters of this operator that refer to this one.
    pub referrers: Vec<Referrer>,
    /// The addresses of other sites.
    pub cidrs: Vec<Cidr>,
    /// Those that a person names.
    pub extra_from: Vec<NetworkPeer>,
}

/// Another cluster of this operator that refers to this one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Referrer {
    /// Its kind.
    pub kind: ClusterKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Something that is allowed and yet not good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The field, below `spec`.
    pub field: String,
    /// What may happen, and what to do.
    pub message: String,
    /// The reason with which it degrades the cluster; `None` where it is only told.
    pub degrades: Option<Reason>,
}

/// Something that the spec refers to and that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The field, below `spec`.
    pub field: String,
    /// What is missing: `Secret registry-database`.
    pub subject: String,
    /// Why it counts as missing, and what to do.
    pub message: String,
    /// The reason for conditions.
    pub reason: Reason,
}

/// An object of another name, maybe in another namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A `RegistryCluster`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidRegistry {
    /// What all kinds have.
    pub common: Common,
    /// How the metas know their members.
    pub membership: MembershipKind,
    /// The raft group of this cluster alone: fixed at its first start. Used by raft metas only.
    pub raft_group: String,
    /// The data centre as the servers know it.
    pub data_center: PlaceName,
    /// The region as the servers know it.
    pub region: PlaceName,
    /// The MetaServers.
    pub meta: ValidComponent,
    /// The DataServers.
    pub data: ValidComponent,
    /// The SessionServers.
    pub session: ValidComponent,
    /// The database; there for membership `Database`.
    pub database: Option<ValidDatabase>,
    /// Whether a person keeps push closed.
    pub hold: bool,
    /// Clusters that close push together with this one.
    pub push_group: Option<DnsLabel>,
    /// Sites elsewhere.
    pub remote_sites: Vec<RegistrySite>,
    /// What is done after losses that need a decision.
    pub recovery: RecoveryRules,
    /// Whether the renewal of snapshots is switched off because the version loses data by it.
    pub disable_renew: bool,
}

/// What is done after the loss of a majority of the metas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryRules {
    /// Who decides.
    pub mode: Automation,
    /// A person's decision for one incident.
    pub confirm: Option<MetaMajorityConfirmation>,
}

/// A `DrmCluster`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidDrm {
    /// What all kinds have.
    pub common: Common,
    /// The drmdata servers.
    pub drmdata: ValidComponent,
    /// DSRConsole.
    pub console: ValidComponent,
    /// The database of both.
    pub database: ValidDatabase,
    /// The registry that has to be available first.
    pub registry: ClusterName,
    /// Services that have to answer first.
    pub dependencies: Vec<Dependency>,
    /// Whether clients' connections are counted in the pods.
    pub connection_counting: Switch,
    /// drmdata servers of other data centres.
    pub remote_drmdata: Vec<Address>,
}

/// A `SchedulerCluster`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidScheduler {
    /// What all kinds have.
    pub common: Common,
    /// Which scheduler.
    pub engine: Engine,
    /// The servers.
    pub server: ValidComponent,
    /// The console; `AntScheduler` only.
    pub console: Option<ValidComponent>,
    /// The database that all servers share.
    pub database: ValidDatabase,
    /// The registry that has to be available first; `AntScheduler` only.
    pub registry: Option<ClusterName>,
    /// The message queue; `AntScheduler` only.
    pub mq: Option<MessageQueue>,
    /// Services that have to answer first.
    pub dependencies: Vec<Dependency>,
    /// Whether clients' connections are counted in the pods.
    pub connection_counting: Switch,
    /// Where its servers tell of tasks that were not reported; `AntScheduler` only.
    pub task_gate: Option<String>,
    /// What only PowerJob knows.
    pub powerjob: Option<PowerJobRules>,
}

/// What only PowerJob knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerJobRules {
    /// The operator's own login of the database.
    pub operator_login: Option<DatabaseLogin>,
    /// Whether apps are moved before their server is stopped: there is a login, and the version is the measured one.
    pub moves_apps: bool,
    /// Whether instances that were lost in a move are run again.
    pub retry_lost: Switch,
}

/// A checked cluster of any kind.
pub trait ValidCluster {
    /// What all kinds have.
    fn common(&self) -> &Common;

    /// Its roles, in the order in which they are started.
    fn components(&self) -> Vec<&ValidComponent>;

    /// One of its roles.
    fn component(&self, role: Role) -> Option<&ValidComponent> {
        self.components().into_iter().find(|component| component.role == role)
    }
}

impl ValidCluster for ValidRegistry {
    fn common(&self) -> &Common {
        &self.common
    }

    fn components(&self) -> Vec<&ValidComponent> {
        vec![&self.meta, &self.data, &self.session]
    }
}

impl ValidCluster for ValidDrm {
    fn common(&self) -> &Common {
        &self.common
    }

    fn components(&self) -> Vec<&ValidComponent> {
        vec![&self.drmdata, &self.console]
    }
}

impl ValidCluster for ValidScheduler {
    fn common(&self) -> &Common {
        &self.common
    }

    fn components(&self) -> Vec<&ValidComponent> {
        std::iter::once(&self.server).chain(&self.console).collect()
    }
}
