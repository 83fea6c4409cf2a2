//! Pods on their nodes: containers start, are probed, end, start again, are told to end.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::Millis;
use super::json::{list, number, set, text};
use super::object::Key;
use super::statefulset::is_ready;
use super::store::timestamp;
use super::{FakeCluster, Signal, Started, Workload};

/// Images from here cannot be pulled.
const NO_SUCH_REGISTRY: &str = "nowhere.invalid/";
/// What a kubelet says of them.
const IMAGE_PULL_BACK_OFF: &str = "ImagePullBackOff";

/// What a kubelet does with a pod's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It starts at that moment.
    Creating { at: Millis },
    /// It runs.
    Running { since: Millis },
    /// It was told to end, and is killed at that moment.
    Ending { kill_at: Millis, restart: bool },
    /// It has ended and starts again at that moment.
    Waiting { until: Millis },
    /// The pod has ended; only its object is left.
    Ended,
}

impl State {
    pub(super) const fn runs(self) -> bool {
        matches!(self, Self::Running { .. } | Self::Ending { .. })
    }
}

/// One probe's progress.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    next: Millis,
    failures: u64,
}

/// What a kubelet remembers of a pod.
#[derive(Debug, Clone)]
pub(super) struct Runtime {
    pub(super) state: State,
    pub(super) restarts: u64,
    pub(super) address: Option<String>,
    /// Its node lost power, and this pod with it.
    pub(super) powered_off: bool,
    /// Until then no probe is due.
    pub(super) quiet_until: Millis,
    backoff: Millis,
    started: bool,
    ready: bool,
    startup: Tally,
    liveness: Tally,
    readiness: Tally,
}

impl Runtime {
    const fn new(at: Millis) -> Self {
        let tally = Tally { next: 0, failures: 0 };
        Self {
            state: State::Creating { at },
            restarts: 0,
            address: None,
            powered_off: false,
            quiet_until: 0,
            backoff: 0,
            started: false,
            ready: false,
            startup: tally,
            liveness: tally,
            readiness: tally,
        }
    }
}

/// Sets a condition; its time changes with its status only.
pub(super) fn set_condition(object: &mut Value, kind: &str, status: &str, reason: &str, now: Millis) {
    let mut conditions = list(object, "/status/conditions").to_vec();
    let at = conditions.iter().position(|c| text(c, "/type") == kind);
    let same = at.and_then(|i| conditions.get(i)).filter(|c| text(c, "/status") == status);
    let since =
        same.map_or_else(|| timestamp(now), |c| c.get("lastTransitionTime").cloned().unwrap_or_default());
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": since});
    if !reason.is_empty() {
        set(&mut condition, &["reason"], reason.into());
    }
    match at.and_then(|i| conditions.get_mut(i)) {
        Some(present) => *present = condition,
        None => conditions.push(condition),
    }
    set(object, &["status", "conditions"], conditions.into());
}

/// A field of a probe, in seconds or times.
fn probe_field(probe: &Value, field: &str, default: u64) -> u64 {
    probe.get(field).and_then(Value::as_u64).unwrap_or(default)
}

impl FakeCluster {
    /// A delete of a pod: its kubelet ends it, unless it has none or there is no grace.
    pub(super) fn delete_pod(&mut self, key: &Key, grace_seconds: Option<u64>) -> Value {
        let Some(mut pod) = self.objects.get(key).cloned() else { return Value::Null };
        let held = !list(&pod, "/metadata/finalizers").is_empty();
        let grace =
            grace_seconds.or_else(|| number(&pod, "/spec/terminationGracePeriodSeconds")).unwrap_or(30);
        if text(&pod, "/metadata/deletionTimestamp").is_empty() {
            set(&mut pod, &["metadata", "deletionGracePeriodSeconds"], json!(grace));
            self.replace(key, pod.clone());
            pod = self.begin_deletion(key).unwrap_or(pod);
        }
        let nobody = text(&pod, "/spec/nodeName").is_empty() || grace == 0;
        if nobody && !held {
            return self.drop_object(key, pod);
        }
        pod
    }

    /// The pod's container has ended for good.
    pub(super) fn end_pod(&mut self, pod: &Value, workload: &mut dyn Workload) {
        let (key, uid) = (Key::of(pod), text(pod, "/metadata/uid"));
        if self.runtimes.get(uid).is_some_and(|r| r.address.is_some()) {
            workload.on_address_released(pod, self.now);
        }
        if list(pod, "/metadata/finalizers").is_empty() {
            self.runtimes.remove(uid);
            let last = self.objects.get(&key).cloned().unwrap_or_else(|| pod.clone());
            self.drop_object(&key, last);
        } else if let Some(runtime) = self.runtimes.get_mut(uid) {
            runtime.state = State::Ended;
            runtime.address = None;
        }
    }

    pub(super) fn step_kubelets(&mut self, workload: &mut dyn Workload) {
        self.forget_removed(workload);
        for key in self.keys("Pod") {
            let Some(pod) = self.objects.get(&key) else { continue };
            let node = text(pod, "/spec/nodeName");
            if node.is_empty() || self.lost_nodes.contains_key(node) {
                continue;
            }
            match self.quiet_until(pod) {
                Some(until) if workload.exited(pod, self.now).is_none() => self.due(until),
                _ => {
                    let pod = pod.clone();
                    self.step_pod(&pod, workload);
                }
            }
        }
        if let Some(at) = workload.next_due() {
            self.due(at);
        }
    }

    /// Until when nothing is to be done for a pod that runs, unless its process ends.
    fn quiet_until(&self, pod: &Value) -> Option<Millis> {
        let runtime = self.runtimes.get(text(pod, "/metadata/uid"))?;
        let stays = text(pod, "/metadata/deletionTimestamp").is_empty();
        let runs = matches!(runtime.state, State::Running { .. });
        (runs && stays && self.now < runtime.quiet_until).then_some(runtime.quiet_until)
    }

    /// Pods whose objects were removed without their kubelet (grace 0): it kills what still runs.
    fn forget_removed(&mut self, workload: &mut dyn Workload) {
        let there: std::collections::BTreeSet<&str> = self
            .objects
            .iter()
            .filter(|(key, _)| key.kind == "Pod")
            .map(|(_, pod)| text(pod, "/metadata/uid"))
            .collect();
        let gone: Vec<String> =
            self.runtimes.keys().filter(|uid| !there.contains(uid.as_str())).cloned().collect();
        for uid in gone {
            let Some(runtime) = self.runtimes.remove(&uid) else { continue };
            if let Some(address) = runtime.address {
                let pod = json!({"metadata": {"uid": uid}, "status": {"podIP": address}});
                workload.on_container_stop(&pod, Signal::Kill, self.now);
                workload.on_address_released(&pod, self.now);
            }
        }
    }

    fn step_pod(&mut self, pod: &Value, workload: &mut dyn Workload) {
        let uid = text(pod, "/metadata/uid").to_owned();
        let begins = self.now + self.timing.container_start;
        let state = self.runtimes.entry(uid.clone()).or_insert_with(|| Runtime::new(begins)).state;
        let leaving = !text(pod, "/metadata/deletionTimestamp").is_empty();
        match state {
            State::Running { .. } if leaving => self.tell_to_end(pod, false, workload),
            State::Creating { .. } | State::Waiting { .. } if leaving => self.end_pod(pod, workload),
            State::Ended => self.end_pod(pod, workload),
            State::Creating { at } | State::Waiting { until: at } => {
                if self.now >= at {
                    self.start_container(pod, workload);
                } else {
                    self.due(at);
                }
            }
            State::Running { since } => match workload.exited(pod, self.now) {
                Some(code) => self.container_ended(pod, since, code),
                None => self.probe_pod(pod, since, workload),
            },
            State::Ending { kill_at, restart } => {
                let exited = workload.exited(pod, self.now);
                if exited.is_none() && self.now < kill_at {
                    return self.due(kill_at);
                }
                if exited.is_none() {
                    workload.on_container_stop(pod, Signal::Kill, self.now);
                }
                if restart && !leaving {
                    self.container_ended(pod, self.now, exited.unwrap_or(137));
                } else {
                    self.end_pod(pod, workload);
                }
            }
        }
    }

    fn runtime(&mut self, pod: &Value) -> Option<&mut Runtime> {
        self.runtimes.get_mut(text(pod, "/metadata/uid"))
    }

    fn tell_to_end(&mut self, pod: &Value, restart: bool, workload: &mut dyn Workload) {
        let grace = number(pod, "/metadata/deletionGracePeriodSeconds")
            .or_else(|| number(pod, "/spec/terminationGracePeriodSeconds"))
            .unwrap_or(30);
        let kill_at = self.now + grace * 1_000;
        workload.on_container_stop(pod, Signal::Term, self.now);
        if let Some(runtime) = self.runtime(pod) {
            runtime.state = State::Ending { kill_at, restart };
            runtime.ready = false;
        }
        self.due(kill_at);
        self.changed = true;
        self.show(pod, "running");
    }

    /// The container starts. A pod has its address from its first start to its end; a node that lost power gives new ones.
    fn start_container(&mut self, pod: &Value, workload: &mut dyn Workload) {
        let now = self.now;
        if text(pod, "/spec/containers/0/image").starts_with(NO_SUCH_REGISTRY) {
            let until = now + self.timing.backoff;
            if let Some(runtime) = self.runtime(pod) {
                runtime.state = State::Waiting { until };
            }
            self.show(pod, IMAGE_PULL_BACK_OFF);
            return self.due(until);
        }
        let Some(env) = self.environment(pod) else {
            // CreateContainerConfigError: what it refers to is not there; the kubelet tries again.
            let until = now + self.timing.backoff;
            if let Some(runtime) = self.runtime(pod) {
                runtime.state = State::Waiting { until };
            }
            return self.due(until);
        };
        let address = match self.runtime(pod).and_then(|r| r.address.clone()) {
            Some(address) => address,
            None => self.next_address(),
        };
        let Some(runtime) = self.runtime(pod) else { return };
        runtime.address = Some(address);
        runtime.state = State::Running { since: now };
        runtime.started = false;
        runtime.ready = false;
        runtime.quiet_until = 0;
        (runtime.startup, runtime.liveness, runtime.readiness) = Default::default();
        let shown = self.show(pod, "running");
        let address = text(&shown, "/status/podIP").to_owned();
        let env = env.into_iter().map(|(n, v)| (n, v.replace("$(status.podIP)", &address))).collect();
        let claims = self.claim_uids(pod);
        workload.on_container_start(&Started { pod: &shown, env, claims }, now);
        self.changed = true;
    }

    fn claim_uids(&self, pod: &Value) -> BTreeMap<String, String> {
        list(pod, "/spec/volumes")
            .iter()
            .filter_map(|volume| {
                let claim = text(volume, "/persistentVolumeClaim/claimName");
                let key = Key::new("PersistentVolumeClaim", text(pod, "/metadata/namespace"), claim);
                let uid = text(self.objects.get(&key)?, "/metadata/uid");
                Some((text(volume, "/name").to_owned(), uid.to_owned()))
            })
            .collect()
    }

    /// The environment of the first container. `None`: a ConfigMap or Secret that it needs is not there.
    fn environment(&self, pod: &Value) -> Option<BTreeMap<String, String>> {
        let namespace = text(pod, "/metadata/namespace");
        let mut env = BTreeMap::new();
        for variable in list(pod, "/spec/containers/0/env") {
            let referred = |kind: &str, source: &str, data: &str| -> Option<Option<String>> {
                let reference = variable.pointer(&format!("/valueFrom/{source}"))?;
                let object = self.objects.get(&Key::new(kind, namespace, text(reference, "/name")));
                let value = object.and_then(|o| o.get(data)?.get(text(reference, "/key"))?.as_str());
                Some(value.map(str::to_owned))
            };
            let path = text(variable, "/valueFrom/fieldRef/fieldPath");
            let value = match referred("ConfigMap", "configMapKeyRef", "data")
                .or_else(|| referred("Secret", "secretKeyRef", "data"))
            {
                Some(value) => value?,
                // The address is known only once the container starts.
                None if path == "status.podIP" => "$(status.podIP)".to_owned(),
                None if !path.is_empty() => text(pod, &format!("/{}", path.replace('.', "/"))).to_owned(),
                None => text(variable, "/value").to_owned(),
            };
            env.insert(text(variable, "/name").to_owned(), value);
        }
        Some(env)
    }

    fn next_address(&mut self) -> String {
        self.addresses += 1;
        let base = u32::from(std::net::Ipv4Addr::new(10, 200, 0, 0));
        std::net::Ipv4Addr::from(base + self.addresses).to_string()
    }

    /// A container's end: the first restart is at once, later ones wait longer and longer.
    fn container_ended(&mut self, pod: &Value, since: Millis, code: u8) {
        let (now, timing) = (self.now, self.timing.clone());
        let Some(runtime) = self.runtime(pod) else { return };
        if now.saturating_sub(since) > 600_000 {
            runtime.backoff = 0;
        }
        let until = now + runtime.backoff;
        runtime.backoff = (runtime.backoff * 2).clamp(timing.backoff, timing.backoff_most);
        runtime.restarts += 1;
        runtime.state = State::Waiting { until };
        runtime.ready = false;
        self.due(until);
        self.changed = true;
        self.show(pod, &format!("exited with {code}"));
    }

    /// Startup first; then liveness and readiness. Each at its period.
    fn probe_pod(&mut self, pod: &Value, since: Millis, workload: &mut dyn Workload) {
        let container = pod.pointer("/spec/containers/0").cloned().unwrap_or_default();
        let Some(mut runtime) = self.runtime(pod).cloned() else { return };
        let mut ends = false;
        if !runtime.started {
            match container.get("startupProbe") {
                None => runtime.started = true,
                Some(probe) => {
                    let verdict = self.tally(pod, probe, &mut runtime.startup, since, workload);
                    runtime.started = verdict == Some(true);
                    ends = verdict == Some(false);
                }
            }
        }
        if runtime.started {
            if let Some(probe) = container.get("livenessProbe") {
                ends |= self.tally(pod, probe, &mut runtime.liveness, since, workload) == Some(false);
            }
            match container.get("readinessProbe") {
                None => runtime.ready = true,
                Some(probe) => {
                    if let Some(ready) = self.tally(pod, probe, &mut runtime.readiness, since, workload) {
                        runtime.ready = ready;
                    }
                }
            }
        }
        let active: &[(&str, Tally)] = if runtime.started {
            &[("livenessProbe", runtime.liveness), ("readinessProbe", runtime.readiness)]
        } else {
            &[("startupProbe", runtime.startup)]
        };
        let due = active.iter().filter(|(name, _)| container.get(*name).is_some()).map(|(_, t)| t.next).min();
        runtime.quiet_until = due.unwrap_or(Millis::MAX);
        let shown = pod.pointer("/status/containerStatuses/0/started") == Some(&json!(runtime.started))
            && is_ready(pod) == runtime.ready;
        if let Some(present) = self.runtime(pod) {
            *present = runtime;
        }
        if ends {
            self.tell_to_end(pod, true, workload);
        } else if !shown {
            self.show(pod, "running");
        }
    }

    /// Runs a probe if it is its time. True: it passed; false: it has failed as often as it may.
    fn tally(
        &mut self,
        pod: &Value,
        probe: &Value,
        tally: &mut Tally,
        since: Millis,
        workload: &mut dyn Workload,
    ) -> Option<bool> {
        let first = since + probe_field(probe, "initialDelaySeconds", 0) * 1_000;
        tally.next = tally.next.max(first);
        if self.now < tally.next {
            self.due(tally.next);
            return None;
        }
        tally.next = self.now + probe_field(probe, "periodSeconds", 10).max(1) * 1_000;
        self.due(tally.next);
        if workload.probe(pod, probe, self.now) {
            tally.failures = 0;
            return Some(true);
        }
        tally.failures += 1;
        (tally.failures >= probe_field(probe, "failureThreshold", 3)).then_some(false)
    }

    /// Writes what the kubelet knows into the pod's status.
    fn show(&mut self, pod: &Value, container: &str) -> Value {
        let (key, now) = (Key::of(pod), self.now);
        let Some(mut shown) = self.objects.get(&key).cloned() else { return pod.clone() };
        let Some(runtime) = self.runtimes.get(text(pod, "/metadata/uid")) else { return shown };
        if let Some(address) = &runtime.address {
            set(&mut shown, &["status", "podIP"], address.clone().into());
            set(&mut shown, &["status", "podIPs"], json!([{"ip": address}]));
        }
        set(&mut shown, &["status", "phase"], "Running".into());
        super::json::unset(&mut shown, "/status", "reason");
        let state = if container == "running" {
            match runtime.state {
                State::Running { since } => json!({"running": {"startedAt": timestamp(since)}}),
                _ => shown
                    .pointer("/status/containerStatuses/0/state")
                    .cloned()
                    .unwrap_or_else(|| json!({"running": {}})),
            }
        } else if container == IMAGE_PULL_BACK_OFF {
            json!({"waiting": {"reason": container}})
        } else if runtime.restarts > 1 {
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": container}})
        } else {
            json!({"terminated": {"reason": "Error", "message": container}})
        };
        let status = json!([{
            "name": text(pod, "/spec/containers/0/name"),
            "image": text(pod, "/spec/containers/0/image"),
            "ready": runtime.ready,
            "started": runtime.started,
            "restartCount": runtime.restarts,
            "state": state,
        }]);
        set(&mut shown, &["status", "containerStatuses"], status);
        let ready = if runtime.ready { "True" } else { "False" };
        let reason = if runtime.ready { "" } else { "ContainersNotReady" };
        set_condition(&mut shown, "ContainersReady", ready, reason, now);
        set_condition(&mut shown, "Ready", ready, reason, now);
        self.replace(&key, shown)
    }
}
