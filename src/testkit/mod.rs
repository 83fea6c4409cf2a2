//! Stand-ins for the outside world, for tests of the whole operator: a fake SOFARegistry that behaves as measured, a fake
//! Kubernetes API, and the glue between them.
//!
//! Everything is sync and deterministic: time is an argument in milliseconds, chance is a seeded generator. May import
//! `admin` (the type of an answer), `api` (roles) and `types`, and `sim` the whole program but its I/O; nothing of the
//! program imports this.

mod rng;

pub mod kube;
pub mod registry;
pub mod service;
pub mod sim;
pub mod world;

pub use rng::Rng;

/// Virtual time: milliseconds since the test began.
pub type Millis = u64;

/// How a process is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGTERM: orderly. A 5.x leader hands over at once (§3), a 6.x data node takes itself off the slots (§7).
    Term,
    /// SIGKILL, a lost node, a crash.
    Kill,
}
