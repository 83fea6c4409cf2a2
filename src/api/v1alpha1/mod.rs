//! Version v1alpha1 of `middleware.sofastack.io`.
//!
//! Three habits hold for every field:
//! - What a person may leave out is an `Option`, its doc says what then happens, and the schema has no `default`: a
//!   default that the API server writes into an object is a difference that `GitOps` tools report for ever.
//! - Every text, list and map is bounded, so that the API server can bound the cost of the rules.
//! - Rules on optional fields stand on their parent, so that adding and removing the field is seen too.
//!
//! May import `types` and nothing else of this package.

mod cel;
mod common;
mod component;
mod conditions;
mod drm_cluster;
mod exposure;
mod lenient;
mod policy;
mod push_group;
mod registry_cluster;
mod registry_rules;
mod rollout_status;
mod scheduler_cluster;
mod status;

pub(crate) use cel::attach;
pub use cel::{CelRule, name_rule};
pub use common::{
    ClusterRef, Database, DatabaseSecret, DeletionPolicy, Dependency, NetworkPeer, NetworkPolicySpec,
    PeerIpBlock, PeerSelector, Profile, Role, SecretRef, Switch,
};
pub use component::{
    ComponentSpec, NamedPort, PodTemplateOverlay, Probe, Probes, ResourceAmounts, Resources, ServiceKind,
    ServiceSpec, Storage, StorageKind,
};
pub use conditions::{Condition, ConditionStatus, ConditionType, MESSAGE_CHARACTERS, Reason};
pub use drm_cluster::{DrmCluster, DrmClusterSpec, DrmSite};
pub use exposure::{ConsoleSpec, Exposure, GatewayRoute, IngressRoute};
pub use policy::{Approval, OnTimeout, RolloutPolicy, Strategy, VerifyPolicy, Window};
pub use push_group::{PushGroup, PushGroupActor, PushGroupHolder, PushGroupSpec};
pub use registry_cluster::{
    Automation, Membership, MembershipKind, MetaMajorityConfirmation, MetaMajorityRecovery, PushSpec,
    Recovery, RegistryCluster, RegistryClusterSpec, RegistrySite, RenewSwitch, VolumeLost, Workarounds,
};
pub use rollout_status::{
    Act, ActKind, ActTarget, Baseline, RolloutState, RolloutStatus, RolloutStep, StepKind, StepState,
};
pub use scheduler_cluster::{
    Engine, MessageQueue, PowerJobSpec, SchedulerCluster, SchedulerClusterSpec, TaskGate,
};
pub use status::{
    ClusterStatus, Incident, MemberState, MemberStatus, PlanLine, PushOwner, PushState, PushStatus,
    ScaleStatus, WaitingOn,
};

/// The API group.
pub const GROUP: &str = "middleware.sofastack.io";
/// The version of the API in this module.
pub const VERSION: &str = "v1alpha1";
