//! The admin endpoints of the middleware: what their answers mean, and how a request gets there.
//!
//! The words are pure. The transports come with the feature `runtime`. Imports nothing of the layers above.

pub mod answer;
#[cfg(feature = "runtime")]
pub mod database;
#[cfg(feature = "runtime")]
pub mod direct;
pub mod drm;
#[cfg(feature = "runtime")]
pub mod proxied;
pub mod registry;
pub mod scheduler;
pub mod transport;
