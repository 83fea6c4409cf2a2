//! Reading and writing Kubernetes: what the ports of `effects` and the gathering of facts are made of.
//!
//! Nothing here decides, and nothing is tried twice: whoever calls observes first. May import `types` and `api`; never `plan`
//! nor `admin`.

mod children;
mod client;
mod crds;
mod ensure;
mod error;
mod exec;
mod lease;
mod ledger;
mod objects;
mod pods;
mod referrers;
pub(crate) mod slim;
mod table;
mod told;

pub use children::{Children, Scope, Woken};
pub(crate) use children::{api, everything};
pub use client::client;
pub use crds::{CrdFault, check_crds};
pub use ensure::{Writer, surplus};
pub use error::KubeError;
pub use exec::run_in_pod;
pub use lease::{Leadership, LeaseConfig, Standing, evaluate, give_back, lead};
pub use ledger::{ChildKey, Ledger};
pub use objects::{Objects, Orphan, kind};
pub use pods::PodWriter;
pub use referrers::Reference;
