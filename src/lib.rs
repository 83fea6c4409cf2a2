//! sofa-operator runs the `SOFAStack` microservice middleware on Kubernetes.
//!
//! Deciding is pure and separate from doing: the layers and who may import whom are drawn in
//! `ARCHITECTURE.md`. The pure layers build without default features; `make pure` proves it.

pub mod admin;
pub mod api;
pub mod build;
#[cfg(feature = "contract-servers")]
pub mod contract_servers;
pub mod effects;
pub mod observe;
pub mod plan;
pub mod program;
pub mod render;
pub mod status;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod types;
pub mod validate;
