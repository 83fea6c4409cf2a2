//! Doing what was decided: the one place where the order of writes is fixed, so that a crash between any two of them
//! loses nothing and does nothing twice that must be done once.
//!
//! Knows the outside world only by the traits in `ports`; a controller implements them with a real API server, the
//! simulation with the fakes. May import `types`, `api`, `observe`, `plan`, `build` (the objects) and `admin` (words).

mod ports;
mod requests;
mod run;

pub use ports::{Admin, ClusterObjects, Failure, Pods, Ports, Record, Recorded, Scheduler};
pub use requests::{AdminRequest, Recipient, requests};
pub use run::{Did, Outcome, Render, Turn, run};
