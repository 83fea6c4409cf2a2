//! sofa-operator runs the `SOFAStack` microservice middleware on Kubernetes.
//!
//! Deciding is pure and separate from doing: the layers and who may import whom are drawn in
//! `ARCHITECTURE.md`. The pure layers build without default features; `make pure` proves it.

pub mod admin;
pub mod api;
pub mod build;
#[cfg(feature = "contract-servers")]
pub mod contract_servers;
#[cfg(feature = "runtime")]
pub mod controllers;
pub mod effects;
#[cfg(feature = "runtime")]
pub mod kube_io;
#[cfg(feature = "runtime")]
pub mod metrics;
pub mod observe;
#[cfg(feature = "runtime")]
pub mod operator;
pub mod plan;
pub mod program;
pub mod render;
#[cfg(feature = "runtime")]
pub mod server;
pub mod status;
#[cfg(feature = "runtime")]
pub mod telemetry;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod types;
pub mod validate;
