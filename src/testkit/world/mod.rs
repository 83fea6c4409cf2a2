//! The two fakes as one world: pods of the image `sofa-registry` run processes of the fake SOFARegistry, as
//! `images/sofa-registry/entrypoint.sh` starts them.
//!
//! The world is what a simulation of the operator talks to: [`World::write`] for Kubernetes, [`World::http`] for the admin
//! ports. Both count for the same crash point, and both stand in one transcript.

mod entrypoint;
mod pods;

use serde_json::Value;

use super::Millis;
use super::kube::{ApiError, FakeCluster, NodeLoss, Workload, Write};
use super::registry::{FakeRegistry, Method, Reply, Request};

pub use entrypoint::{WAIT_NAMES, is_command};
pub use pods::RegistryPods;

/// The caller died before it learnt what came of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the caller has crashed")]
pub struct CallerCrashed;

/// What runs in the pods of a world.
pub trait Processes: Workload {
    /// What happened in them since the last call, and when.
    fn take_lines(&mut self) -> Vec<(Millis, String)>;
}

/// A cluster, and the servers in its pods.
#[derive(Debug, Clone)]
pub struct World<P = RegistryPods> {
    /// Kubernetes.
    pub cluster: FakeCluster,
    /// The processes in the pods.
    pub pods: P,
    transcript: Vec<String>,
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(FakeCluster::new(), FakeRegistry::new(seed))
    }

    /// A world of these two.
    #[must_use]
    pub fn of(cluster: FakeCluster, registry: FakeRegistry) -> Self {
        Self::with(cluster, RegistryPods::new(registry))
    }

    /// The SOFARegistry.
    pub const fn registry(&mut self) -> &mut FakeRegistry {
        &mut self.pods.registry
    }

    /// A request to an admin port; the world goes on while the caller waits. Commands are counted with the writes, reads
    /// are not.
    ///
    /// # Errors
    /// [`CallerCrashed`]: a command may have been sent all the same, and goes on.
    pub fn http(&mut self, request: &Request) -> Result<Reply, CallerCrashed> {
        if self.cluster.tripwire.crashed() {
            return Err(CallerCrashed);
        }
        if !is_command(request) {
            return Ok(self.wait_for(request));
        }
        if !self.cluster.tripwire.may_send() {
            return Err(CallerCrashed);
        }
        let fields: Vec<String> = request.fields.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let what = format!("{} {} {}", self.pods.name_of(request.ip), request.path, fields.join(" "));
        if !self.cluster.tripwire.may_learn() {
            self.pods.registry.send(self.cluster.now(), request);
            self.say(&format!("operator: {}: the operator dies", what.trim_end()));
            return Err(CallerCrashed);
        }
        let reply = self.wait_for(request);
        let outcome = match &reply {
            Reply::Answer(answer) => {
                format!(
                    "{} {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.body).lines().next().unwrap_or("")
                )
            }
            other => format!("{other:?}"),
        };
        self.say(&format!("operator: {}: {}", what.trim_end(), outcome.trim_end()));
        Ok(reply)
    }

    fn wait_for(&mut self, request: &Request) -> Reply {
        let call = self.pods.registry.send(self.cluster.now(), request);
        let until = self.now() + request.patience;
        loop {
            if let Some(reply) = self.pods.registry.reply(call) {
                return reply;
            }
            if self.now() > until {
                return Reply::TimedOut;
            }
            let next = self.pods.registry.next_due().unwrap_or(until).clamp(self.now() + 1, until + 1);
            self.advance(next);
        }
    }

    /// A GET, for tests: the answer's status and text, or what came instead.
    pub fn get(&mut self, pod: &str, path: &str) -> String {
        let Some((ip, port)) = self.pods.admin_address(pod) else { return "no such pod".to_owned() };
        match self.wait_for(&Request { method: Method::Get, ..Request::get(ip, port, path) }) {
            Reply::Answer(answer) => format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
            other => format!("{other:?}"),
        }
    }
}

impl<P: Processes> World<P> {
    /// A world of these two.
    #[must_use]
    pub const fn with(cluster: FakeCluster, pods: P) -> Self {
        Self { cluster, pods, transcript: Vec::new() }
    }

    /// The present moment.
    #[must_use]
    pub const fn now(&self) -> Millis {
        self.cluster.now()
    }

    /// Lets time pass until `to`.
    pub fn advance(&mut self, to: Millis) {
        self.cluster.advance(to, &mut self.pods);
        self.collect();
    }

    /// Lets so much time pass.
    pub fn pass(&mut self, millis: Millis) {
        self.advance(self.now() + millis);
    }

    /// Lets time pass until something holds, at most `limit`. Looks every 100 ms. False: it did not come.
    pub fn pass_until(&mut self, limit: Millis, holds: impl Fn(&mut Self) -> bool) -> bool {
        let end = self.now() + limit;
        while !holds(self) {
            if self.now() >= end {
                return false;
            }
            self.pass(100);
        }
        true
    }

    /// A write request to Kubernetes.
    ///
    /// # Errors
    /// As [`FakeCluster::write`].
    pub fn write(&mut self, write: &Write) -> Result<Value, ApiError> {
        let result = self.cluster.write(write);
        self.collect();
        result
    }

    /// A node is lost.
    pub fn lose_node(&mut self, name: &str, loss: NodeLoss) {
        self.cluster.lose_node(name, loss, &mut self.pods);
        self.say(&format!("node {name} is lost"));
    }

    /// A lost node is back.
    pub fn restore_node(&mut self, name: &str) {
        self.cluster.restore_node(name, &mut self.pods);
        self.say(&format!("node {name} is back"));
    }

    /// A line of the test's own for the transcript.
    pub fn say(&mut self, line: &str) {
        self.collect();
        let now = self.now();
        self.transcript.push(stamped(now, line));
    }

    fn collect(&mut self) {
        let now = self.now();
        for line in self.cluster.take_log() {
            self.transcript.push(stamped(now, &format!("operator: {line}")));
        }
        for (at, line) in self.pods.take_lines() {
            self.transcript.push(stamped(at, &line));
        }
    }

    /// What happened since the last call, in order: for golden transcripts.
    pub fn take_transcript(&mut self) -> Vec<String> {
        self.collect();
        std::mem::take(&mut self.transcript)
    }
}

fn stamped(at: Millis, line: &str) -> String {
    format!("{:>6}.{} s  {line}", at / 1_000, at % 1_000 / 100)
}
