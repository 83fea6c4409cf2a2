//! The scripts of the local cluster (`tests/cluster`) and the image builder (`images/build.py`): they start and end
//! without a trace, survive crashes, lose and regain nodes, and refuse bad input with one clear line. The stories are
//! played on a cluster of their own (`CLUSTER_ID` 2), one after the other: each starts and ends with no cluster.
//!
//! Needs root, like the cluster itself.

#![expect(clippy::expect_used, clippy::panic, reason = "a story ends by panicking with what was seen")]

mod caches;
mod cluster;
mod crashes;
mod fake_nodes;
mod leftovers;
mod lifecycle;
mod node_loss;
mod refusals;
