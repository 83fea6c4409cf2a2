//! Rules of the rollout (`docs/rollout.md`), one story each, where random worlds and the model say too little: what a decision
//! waits for, how long, and in which order.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail as its test functions do"
)]

#[path = "../status/cluster.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod cluster;
#[path = "../status/schema.rs"]
mod schema;

mod members;
mod metas;
mod push;
mod rollout;

use sofa_operator::api::v1alpha1::{ActKind, Reason, RolloutState};
use sofa_operator::observe::{Fact, Lists, Member, RegistryWorld};
use sofa_operator::plan::{Command, Decision, Memory, RegistryInput, plan_registry};
use sofa_operator::status::memory_of;

use cluster::{Cluster, NAME};

/// A cluster that rests on `t1`.
fn at_rest() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.until("it rests", |c, _| is_done(c));
    cluster
}

fn is_done(cluster: &Cluster) -> bool {
    cluster.status.rollout.as_ref().is_some_and(|r| r.state == RolloutState::Done)
}

/// What is decided on a world that is otherwise than the cluster's own.
fn decide(cluster: &Cluster, memory: &Memory, edit: impl FnOnce(&mut RegistryWorld)) -> Decision {
    let mut world = cluster.world();
    edit(&mut world);
    plan_registry(&RegistryInput {
        now: cluster.now,
        generation: cluster.generation,
        deleting: cluster.deleting,
        target: &cluster.target,
        world: &world,
        memory,
        planted: None,
    })
}

fn remembered(cluster: &Cluster) -> Memory {
    memory_of(NAME, &cluster.status)
}

/// Changes what every meta that lists members says of them.
fn relist(world: &mut RegistryWorld, edit: impl Fn(&mut Lists)) {
    for fact in world.metas.values_mut() {
        if let Fact::Known { value, .. } = fact
            && let Some(lists) = &mut value.lists
        {
            edit(lists);
        }
    }
}

fn act(decision: &Decision) -> Option<ActKind> {
    decision.memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|f| f.act.kind)
}

/// The reason and the subject of what is waited for first.
fn first_wait(decision: &Decision) -> (Reason, &str) {
    let wait =
        decision.report.waits.iter().chain(&decision.report.halt).next().expect("something is waited for");
    (wait.reason, wait.subject.as_str())
}

/// A member is made otherwise.
fn pod(world: &mut RegistryWorld, member: Member) -> &mut sofa_operator::observe::Pod {
    world.kubernetes.pods.get_mut(&member).unwrap()
}

fn state(decision: &Decision) -> Option<RolloutState> {
    decision.memory.run.as_ref().map(|r| r.state)
}

fn waits(decision: &Decision) -> Vec<Reason> {
    decision.report.waits.iter().map(|w| w.reason).collect()
}

/// Whom a decision stops.
fn stopped(decision: &Decision) -> Vec<String> {
    match &decision.command {
        Some(Command::StopPods { targets, .. }) => targets.iter().map(|t| t.member.to_string()).collect(),
        _ => Vec::new(),
    }
}
