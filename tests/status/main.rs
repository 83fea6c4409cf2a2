//! The status and what a plan remembers: there and back through JSON and the bounds of the CRDs, conditions, members, and
//! the plan as people and programs read it. The worlds are made by hand, the planner is the real one.
//!
//! A snapshot that differs fails; to accept it, look at it and run with `INSTA_UPDATE=always`.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail as its test functions do"
)]

mod cluster;
mod conditions;
mod damaged;
mod memory;
mod render;
mod rollout;
mod schema;
mod seen;
mod service;
