//! Tests of the ground: the real cluster, the real servers in its pods and the real clients behave as this project
//! relies on. Every test is a story in a namespace of its own; `make test` brings a cluster up, runs them and takes the
//! cluster down. With `KUBECONFIG` set by the user they run on that cluster (with the images of `make images` in it).

#![expect(clippy::expect_used, clippy::panic, reason = "a story ends by panicking with what was seen")]

mod harness;
mod network;
mod powerjob;
mod registry;
mod registry_admin;
mod stand_ins;
mod traps;
