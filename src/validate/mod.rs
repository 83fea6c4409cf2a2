//! A spec, checked against what CEL cannot say, and everything that it leaves out resolved.
//!
//! Every failure that a spec can have is found here, all of them at once; `plan` and `build` cannot fail. What the rules
//! of the CRDs refuse is refused here too where something depends on it: they can be switched off or be older.
//!
//! - What is wrong is `Invalid`: nothing is done until it is corrected.
//! - What is missing besides the spec is `Missing`: nothing is started or changed until it is there.
//! - What is allowed and not good is a `Warning`.
//!
//! May import `types` and `api`. No clock, no randomness, nothing of Kubernetes but its types.

mod component;
mod database;
mod defaults;
mod drm;
mod image;
mod input;
mod overlay;
mod parts;
mod problem;
mod registry;
mod rollout;
mod scheduler;
mod sentences;
mod valid;
mod windows;

pub use drm::validate_drm;
pub use input::{
    ALLOW_FROM, Context, Environment, Previous, ReferenceFact, References, SecretFact, may_refer,
    proposed_raft_group,
};
pub use parts::{
    Check, DatabaseLogin, Ports, ProbeRule, ProbeRules, ServiceRules, SizedResources, SizedStorage,
    ValidComponent, ValidDatabase,
};
pub use problem::Invalid;
pub use registry::validate_registry;
pub use scheduler::validate_scheduler;
pub(crate) use scheduler::what_is_lost;
pub use valid::{
    ClusterKind, ClusterName, Common, Identity, Missing, NetworkRules, PowerJobRules, Product, RecoveryRules,
    Referrer, RolloutRules, ValidCluster, ValidDrm, ValidRegistry, ValidScheduler, VerifyRules, Warning,
};
pub use windows::{WindowVerdict, Windows};
