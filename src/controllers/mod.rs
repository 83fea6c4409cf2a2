//! The controllers: one reconcile reads, decides by the pure layers, does what was decided, and writes the status. It never
//! sleeps: what is waited for wakes it, or a time that it names.
//!
//! May import every layer below. `server` and `cli` do not import it, but for the context that a debug plan is made with.

mod ask_powerjob;
mod ask_registry;
mod ask_service;
mod classes;
mod clock;
mod context;
mod drm;
mod gather;
mod kind;
mod listings;
mod look;
mod ports;
mod publish;
mod reconcile;
mod registry;
mod run;
mod scheduler;
mod service;
mod workers;

pub use context::{Admins, Context, Settings};
pub use listings::Listings;
pub use reconcile::{Reconciled, explain};
pub use run::run;
