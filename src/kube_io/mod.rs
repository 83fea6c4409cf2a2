//! Reading and writing Kubernetes: what the ports of `effects` and the gathering of facts are made of.
//!
//! Nothing here decides, and nothing is tried twice: whoever calls observes first. May import `types`, `api` (names of
//! labels) and `build`'s growth of volumes; never `plan` nor `admin`.

mod children;
mod crds;
mod ensure;
mod error;
mod lease;
mod ledger;
mod objects;
mod pods;
mod slim;
mod table;

pub(crate) use children::api;
pub use children::{Children, Scope, Woken};
pub use crds::{CrdFault, check_crds};
pub use ensure::{Ensured, Writer};
pub use error::KubeError;
pub use lease::{Leadership, LeaseConfig, Standing, evaluate, give_back, lead};
pub use ledger::{ChildKey, Ledger};
pub use objects::{Objects, Orphan, kind_of};
pub use pods::PodWriter;

/// The field manager of everything that the operator writes.
pub const MANAGER: &str = "sofa-operator";
