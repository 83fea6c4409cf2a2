//! The brain: what is to be done now, from what is wanted, what is observed and what was remembered.
//!
//! Pure and total: no clock, no randomness, no I/O, no panic. A [`Decision`] is a value that can be printed, compared and
//! replayed. The contract is `docs/rollout.md`.
//!
//! May import `types`, `api`, `observe` and the types of `validate`; never `build`.

mod admission;
mod decision;
mod desired;
mod fingerprint;
pub mod invariants;
mod machine;
mod memory;
mod planted;
mod registry;
mod report;
mod service;
mod target;

pub use admission::Admission;
pub use decision::{Command, Decision, GroupChange, Stop, Wake};
pub use desired::{Desired, DesiredRole, TemplateChoice};
pub use memory::{Act, InFlight, IncidentRecord, Memory, PushRecord, Run, Target};
pub use planted::Planted;
pub use registry::{RegistryInput, RegistryTarget, RoleTarget, VerifyRule, plan_registry, registry_target};
pub use report::{Report, ReportStep, Wait};
pub use service::{PowerJobRule, ServiceInput, ServiceTarget, drm_target, plan_service, scheduler_target};
