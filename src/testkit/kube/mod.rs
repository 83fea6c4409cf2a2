//! A fake Kubernetes API in memory, with the semantics that operators get wrong: optimistic concurrency, server-side apply,
//! finalizers, garbage collection, eviction, `OnDelete`, lost nodes, watches that lag.
//!
//! Requests of the operator go through [`FakeCluster::write`], which counts them, logs them and can crash the caller after
//! any of them. Controllers act in [`FakeCluster::advance`] only, in virtual time; nothing is random.
//!
//! Simplified against a real server: no schemas, no defaulting, no admission, no authorisation; one API version for each
//! kind; the first container of a pod is the pod; `RollingUpdate` of a StatefulSet does nothing.

mod budget;
mod cache;
mod crash;
pub(in crate::testkit) mod json;
mod lifecycle;
mod merge;
mod nodes;
mod object;
mod requests;
mod scheduler;
mod statefulset;
mod store;

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Millis, Signal};
use lifecycle::Runtime;

pub use cache::Cache;
pub use crash::{Crash, Tripwire};
pub use nodes::NodeLoss;
pub use object::{ApiError, Change, Key, Objects, WatchEvent};
pub use requests::{DeleteOptions, Part, Propagation, Write};
pub use scheduler::LOCAL_STORAGE_CLASS;

/// A container that starts.
#[derive(Debug, Clone)]
pub struct Started<'a> {
    /// Its pod.
    pub pod: &'a Value,
    /// Its environment, with what comes from ConfigMaps, Secrets and the pod's own fields.
    pub env: BTreeMap<String, String>,
    /// The uids of the claims that its pod mounts, by the name of the volume.
    pub claims: BTreeMap<String, String>,
}

/// What runs in the pods. The fake kubelet calls it; a pod is given as the JSON of its object.
pub trait Workload {
    /// Lets the processes' time pass.
    fn advance(&mut self, to: Millis);
    /// A pod's container starts; its address is in `/status/podIP`.
    fn on_container_start(&mut self, container: &Started<'_>, now: Millis);
    /// The pod's container is told to end. After `Kill` it has ended.
    fn on_container_stop(&mut self, pod: &Value, signal: Signal, now: Millis);
    /// The exit code, if the container's process has ended since it was started.
    fn exited(&mut self, pod: &Value, now: Millis) -> Option<u8>;
    /// Whether a probe (`httpGet`, `tcpSocket` or `exec`, as in the pod's spec) passes.
    fn probe(&mut self, pod: &Value, probe: &Value, now: Millis) -> bool;
    /// The pod's address is nobody's from now on.
    fn on_address_released(&mut self, pod: &Value, now: Millis);
    /// The pod's node is cut off from all others, or connected again.
    fn on_cut_off(&mut self, pod: &Value, cut_off: bool, now: Millis);
    /// When something happens to the processes by itself, next.
    fn next_due(&self) -> Option<Millis>;
}

/// How long things take in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterTiming {
    /// From being scheduled until the container starts.
    pub container_start: Millis,
    /// From the loss of a node until its `Ready` is `Unknown` and its pods are not ready (Kubernetes: 40 s).
    pub node_unknown: Millis,
    /// From then until pods on it are deleted, which no kubelet carries out (Kubernetes: 300 s).
    pub node_evicts: Millis,
    /// The first wait before a container is started again; it doubles up to `backoff_most`.
    pub backoff: Millis,
    /// The longest wait.
    pub backoff_most: Millis,
}

impl Default for ClusterTiming {
    fn default() -> Self {
        Self {
            container_start: 1_500,
            node_unknown: 40_000,
            node_evicts: 300_000,
            backoff: 10_000,
            backoff_most: 300_000,
        }
    }
}

/// The API server, its controllers and its nodes.
#[derive(Debug, Clone)]
pub struct FakeCluster {
    now: Millis,
    next: Option<Millis>,
    changed: bool,
    timing: ClusterTiming,
    objects: BTreeMap<Key, Value>,
    /// What each field manager last applied.
    applied: BTreeMap<(Key, String), Value>,
    version: u64,
    /// Whether something has changed that the controllers have not seen: they act on changes only.
    concerned: bool,
    uids: u64,
    addresses: u32,
    events: Vec<WatchEvent>,
    runtimes: BTreeMap<String, Runtime>,
    lost_nodes: BTreeMap<String, Millis>,
    log: Vec<String>,
    /// Where the caller is to crash.
    pub tripwire: Tripwire,
}

impl FakeCluster {
    /// A cluster without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_timing(ClusterTiming::default())
    }

    /// A cluster in which things take as long as `timing` says.
    #[must_use]
    pub fn with_timing(timing: ClusterTiming) -> Self {
        Self {
            now: 0,
            next: None,
            changed: false,
            timing,
            objects: BTreeMap::new(),
            applied: BTreeMap::new(),
            version: 0,
            concerned: false,
            uids: 0,
            addresses: 0,
            events: Vec::new(),
            runtimes: BTreeMap::new(),
            lost_nodes: BTreeMap::new(),
            log: Vec::new(),
            tripwire: Tripwire::default(),
        }
    }

    /// The present moment.
    #[must_use]
    pub const fn now(&self) -> Millis {
        self.now
    }

    /// The next moment at which something happens by itself.
    #[must_use]
    pub const fn next_due(&self) -> Option<Millis> {
        self.next
    }

    /// Lets time pass until `to`: controllers, kubelets, and what runs in the pods.
    pub fn advance(&mut self, to: Millis, workload: &mut dyn Workload) {
        self.step(workload);
        while let Some(next) = self.next.filter(|&next| next <= to) {
            self.now = next;
            self.step(workload);
        }
        if to > self.now {
            self.now = to;
            self.step(workload);
        }
    }

    fn step(&mut self, workload: &mut dyn Workload) {
        workload.advance(self.now);
        self.changed = false;
        self.next = None;
        self.step_nodes(workload);
        if std::mem::take(&mut self.concerned) {
            self.step_garbage();
            self.step_statefulsets();
            self.step_claims();
            self.step_scheduler();
            self.step_budgets();
        }
        self.step_kubelets(workload);
        if self.changed {
            self.due(self.now + 1);
        }
    }

    fn due(&mut self, at: Millis) {
        if at > self.now {
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
    }

    /// One line for each write request, in order, since the last call: for golden transcripts.
    pub fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// Everything that has happened to the objects, for caches.
    #[must_use]
    pub fn watch_events(&self) -> &[WatchEvent] {
        &self.events
    }

    /// Forgets what has happened so far: for long runs in which nobody has a cache.
    pub fn forget_events(&mut self) {
        self.events.clear();
    }
}

impl Default for FakeCluster {
    fn default() -> Self {
        Self::new()
    }
}
