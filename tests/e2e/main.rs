//! The whole product: the operator, installed by its chart, runs real servers on real nodes, and real clients judge it.
//!
//! Every test is a story with an operator of its own, in namespaces of its own. `make test-e2e` brings a cluster up, runs them
//! and takes the cluster down; with `KUBECONFIG` set by the user they run on that cluster, with the images of `make images`.

#![expect(clippy::expect_used, clippy::panic, reason = "a story ends by panicking with what was seen")]

mod alone;
mod chaos;
mod disk;
mod drm;
mod field;
mod groups;
#[path = "../ground/harness.rs"]
#[expect(dead_code, reason = "the ground's stories use all of it, these a part")]
mod harness;
mod inputs;
mod lines;
mod losses;
mod powerjob;
mod services_inputs;
mod stack;
mod steering;
mod verdict;
mod witness;
