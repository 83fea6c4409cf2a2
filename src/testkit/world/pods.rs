//! The containers of the image `sofa-registry`: a start script first, then a process of the fake SOFARegistry.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde_json::Value;

use super::super::kube::json::text;
use super::super::kube::{Started, Workload};
use super::super::registry::{FakeRegistry, Reply, Request, ServerLine, ServerRole, VolumeId};
use super::super::{Millis, Signal};
use super::Processes;
use super::entrypoint::Script;
use crate::api::objects::{RAFT_DATA, RAFT_DATA_GUARD, VOLUME_EMPTY};
use crate::observe::RaftData;
use crate::types::DnsLabel;

/// The label with the role.
const ROLE: &str = "middleware.sofastack.io/role";
/// The label with the name of the cluster.
const CLUSTER: &str = "middleware.sofastack.io/cluster";
/// How often the start script looks.
const SCRIPT_LOOKS: Millis = 1_000;

#[derive(Debug, Clone)]
enum Stage {
    /// The start script waits; it looks again at that moment.
    Script { next: Millis },
    /// The server runs.
    Process,
    /// It has ended.
    Exited(u8),
}

#[derive(Debug, Clone)]
struct Container {
    script: Script,
    stage: Stage,
}

/// The processes in the pods.
#[derive(Debug, Clone)]
pub struct RegistryPods {
    pub(super) registry: FakeRegistry,
    /// By address: a pod has one from its start to its end.
    containers: BTreeMap<Ipv4Addr, Container>,
    /// The volumes of which raft data were set aside, and for which token.
    asides: BTreeSet<(VolumeId, DnsLabel)>,
    now: Millis,
    lines: Vec<(Millis, String)>,
}

fn address(pod: &Value) -> Option<Ipv4Addr> {
    text(pod, "/status/podIP").parse().ok()
}

fn label<'a>(pod: &'a Value, name: &str) -> &'a str {
    pod.pointer("/metadata/labels").and_then(|l| l.get(name)).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the pod of a meta starts only on a volume with raft data.
fn is_guarded(pod: &Value) -> bool {
    let guards = pod.pointer("/spec/initContainers").and_then(Value::as_array);
    let has_guard = guards.is_some_and(|all| all.iter().any(|c| text(c, "/name") == RAFT_DATA_GUARD));
    let annotations = pod.pointer("/metadata/annotations");
    let word = annotations.and_then(|a| a.get(RAFT_DATA)?.as_str()).and_then(RaftData::of);
    has_guard && !word.is_some_and(|word| word.may_be_blank())
}

/// The token for which the raft data of a pod's volume are set aside.
fn aside(pod: &Value) -> Option<DnsLabel> {
    let word = pod.pointer("/metadata/annotations").and_then(|a| a.get(RAFT_DATA)?.as_str())?;
    match RaftData::of(word)? {
        RaftData::Aside(token) => Some(token),
        _ => None,
    }
}

/// The script of a pod's container; `None` for pods of other images.
fn script(container: &Started<'_>, now: Millis) -> Option<Script> {
    let pod = container.pod;
    let ip = address(pod)?;
    let role = [ServerRole::Meta, ServerRole::Data, ServerRole::Session]
        .into_iter()
        .find(|role| role.word() == label(pod, ROLE))?;
    let image = text(pod, "/spec/containers/0/image");
    let line = if image.rsplit(':').next().is_some_and(|tag| tag.starts_with('6')) {
        ServerLine::V6
    } else {
        ServerLine::V5
    };
    // Without a claim raftData ends with the pod.
    let volume = container.claims.values().next().map_or_else(|| text(pod, "/metadata/uid"), String::as_str);
    Some(Script {
        ip,
        role,
        line,
        namespace: text(pod, "/metadata/namespace").to_owned(),
        pod: text(pod, "/metadata/name").to_owned(),
        cluster: label(pod, CLUSTER).to_owned(),
        volume: VolumeId(volume.to_owned()),
        env: container.env.clone(),
        since: now,
    })
}

impl RegistryPods {
    /// The pods of this SOFARegistry: none yet.
    #[must_use]
    pub const fn new(registry: FakeRegistry) -> Self {
        Self { registry, containers: BTreeMap::new(), asides: BTreeSet::new(), now: 0, lines: Vec::new() }
    }

    /// The pod on an address, for transcripts.
    #[must_use]
    pub fn name_of(&self, ip: Ipv4Addr) -> String {
        self.containers.get(&ip).map_or_else(|| ip.to_string(), |c| c.script.pod.clone())
    }

    /// The newest address of a pod, and its admin port.
    #[must_use]
    pub fn admin_address(&self, pod: &str) -> Option<(Ipv4Addr, u16)> {
        let mut of = self.containers.iter().filter(|(_, c)| c.script.pod == pod);
        of.next_back().map(|(ip, c)| (*ip, c.script.role.http_port()))
    }

    /// The volume of a pod.
    #[must_use]
    pub fn volume_of(&self, pod: &str) -> Option<VolumeId> {
        let (ip, _) = self.admin_address(pod)?;
        self.containers.get(&ip).map(|c| c.script.volume.clone())
    }

    /// What the servers did, with the names of their pods.
    fn listen(&mut self) {
        for event in self.registry.take_events() {
            let line = format!("{}: {}", self.name_of(event.ip), self.with_names(&event.what));
            self.lines.push((event.at, line));
        }
        for exit in self.registry.take_exits() {
            if let Some(container) = self.containers.get_mut(&exit.ip) {
                container.stage = Stage::Exited(exit.code);
            }
        }
    }

    /// A text in which addresses of pods are their names.
    fn with_names(&self, text: &str) -> String {
        let word = |word: &str| word.parse().map_or_else(|_| word.to_owned(), |ip| self.name_of(ip));
        let list = |part: &str| part.split(',').map(word).collect::<Vec<_>>().join(",");
        text.split(' ').map(list).collect::<Vec<_>>().join(" ")
    }

    /// Scripts whose time has come.
    fn step_scripts(&mut self) {
        let addresses: BTreeMap<(String, String), Ipv4Addr> = self
            .containers
            .iter()
            .map(|(ip, c)| ((c.script.namespace.clone(), c.script.pod.clone()), *ip))
            .collect();
        let resolve =
            |namespace: &str, pod: &str| addresses.get(&(namespace.to_owned(), pod.to_owned())).copied();
        let now = self.now;
        for container in self.containers.values_mut() {
            let Stage::Script { next } = container.stage else { continue };
            if now < next {
                continue;
            }
            match container.script.go(&mut self.registry, resolve, now) {
                Some(spec) => {
                    container.stage = Stage::Process;
                    self.registry.start(spec, now);
                }
                None => container.stage = Stage::Script { next: now + SCRIPT_LOOKS },
            }
        }
    }
}

impl Processes for RegistryPods {
    fn take_lines(&mut self) -> Vec<(Millis, String)> {
        self.listen();
        std::mem::take(&mut self.lines)
    }
}

impl Workload for RegistryPods {
    fn advance(&mut self, to: Millis) {
        self.now = to;
        self.registry.advance(to);
        self.step_scripts();
        self.listen();
    }

    fn on_container_start(&mut self, container: &Started<'_>, now: Millis) {
        let Some(script) = script(container, now) else { return };
        self.lines.push((now, format!("{}: container starts on {}", script.pod, script.ip)));
        if let Some(token) = aside(container.pod)
            && self.asides.insert((script.volume.clone(), token))
        {
            self.registry.wipe(&script.volume);
        }
        let refused = is_guarded(container.pod)
            && script.line == ServerLine::V5
            && !self.registry.holds_raft_data(&script.volume);
        self.registry.attach(script.ip);
        // The kubelet of this fake runs no init containers: what this one does is done by the server's own.
        let stage = if refused { Stage::Exited(VOLUME_EMPTY) } else { Stage::Script { next: now } };
        self.containers.insert(script.ip, Container { script, stage });
        self.step_scripts();
    }

    fn on_container_stop(&mut self, pod: &Value, signal: Signal, now: Millis) {
        let Some(ip) = address(pod) else { return };
        let Some(container) = self.containers.get_mut(&ip) else { return };
        if matches!(container.stage, Stage::Process) {
            self.registry.stop(ip, signal, now);
        }
        if signal == Signal::Kill || matches!(container.stage, Stage::Script { .. }) {
            container.stage = Stage::Exited(if signal == Signal::Kill { 137 } else { 143 });
        }
    }

    fn exited(&mut self, pod: &Value, _now: Millis) -> Option<u8> {
        self.listen();
        let container = self.containers.get(&address(pod)?)?;
        match container.stage {
            Stage::Exited(code) => Some(code),
            Stage::Script { .. } | Stage::Process => None,
        }
    }

    fn probe(&mut self, pod: &Value, probe: &Value, now: Millis) -> bool {
        let Some(ip) = address(pod) else { return false };
        let Some(container) = self.containers.get(&ip) else { return true };
        let named = container.script.role.http_port();
        let port = |kind: &str| match probe.pointer(&format!("/{kind}/port")) {
            Some(Value::Number(number)) => {
                number.as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or(named)
            }
            _ => named,
        };
        if probe.get("tcpSocket").is_some() {
            return self.registry.listens(ip, port("tcpSocket"));
        }
        if probe.get("httpGet").is_none() {
            return true;
        }
        let request = Request::get(ip, port("httpGet"), text(probe, "/httpGet/path"));
        let reply = self.registry.http_at_once(now, &request);
        reply.as_ref().and_then(Reply::answer).is_some_and(|a| (200..400).contains(&a.status))
    }

    fn on_address_released(&mut self, pod: &Value, now: Millis) {
        let Some(ip) = address(pod) else { return };
        self.registry.release(ip, now);
        self.listen();
        if let Some(container) = self.containers.remove(&ip) {
            self.lines.push((now, format!("{}: {ip} is gone", container.script.pod)));
        }
    }

    fn on_cut_off(&mut self, pod: &Value, cut_off: bool, now: Millis) {
        if let Some(ip) = address(pod) {
            self.registry.isolate(ip, cut_off, now);
        }
    }

    fn next_due(&self) -> Option<Millis> {
        let scripts = self.containers.values().filter_map(|c| match c.stage {
            Stage::Script { next } => Some(next),
            Stage::Process | Stage::Exited(_) => None,
        });
        scripts.chain(self.registry.next_due()).min()
    }
}
