//! Fake servers of DRM and PowerJob in the pods of the fake Kubernetes: when they start, serve, hang and end, and what is
//! behind them: clients with their connections, or a PowerJob database with its workers.
//!
//! Time goes in steps of half a second.

mod clients;
mod loops;
mod powerjob;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::Value;

use super::kube::json::text;
use super::kube::{Started, Workload};
use super::world::Processes;
use super::{Millis, Signal};
use crate::api::v1alpha1::Role;
use crate::observe::Member;

pub use clients::Clients;
pub use powerjob::{Instance, PowerJob, State};

/// The label with the role.
const ROLE: &str = "middleware.sofastack.io/role";
/// How far time goes at once.
const STEP: Millis = 500;
/// From the start of a container until its server serves (measured: PowerJob 19.5 to 34 s, powerjob §1.2).
const STARTS_IN: Millis = 20_000;
/// From SIGTERM until the process has ended (measured: powerjob §1.2, 0.8 to 3.5 s).
const ENDS_IN: Millis = 2_000;

/// One server.
#[derive(Debug, Clone)]
pub struct Process {
    /// Tells it from every other process, also from the one before it in the same place.
    pub id: u64,
    /// Its pod.
    pub pod: String,
    /// Its role.
    pub role: Role,
    /// When it began.
    pub born: Millis,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting {
        until: Millis,
    },
    Serving,
    /// It is stopped in the middle of everything, and goes on as if nothing had been.
    Hung {
        until: Millis,
    },
    Ending {
        until: Millis,
    },
    Exited(u8),
}

impl Process {
    /// Whether it answers.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.stage == Stage::Serving
    }

    /// Whether it accepts connections and says nothing.
    #[must_use]
    pub const fn hangs(&self) -> bool {
        matches!(self.stage, Stage::Hung { .. })
    }
}

/// What is behind the servers.
#[derive(Debug, Clone)]
pub enum Behind {
    /// Clients of drmdata.
    Drm(Clients),
    /// PowerJob's database and workers.
    PowerJob(PowerJob),
}

/// The processes in the pods.
#[derive(Debug, Clone)]
pub struct ServicePods {
    /// By address: a pod has one from its start to its end.
    processes: BTreeMap<Ipv4Addr, Process>,
    /// What is behind them.
    pub behind: Behind,
    cluster: String,
    ids: u64,
    now: Millis,
    lines: Vec<(Millis, String)>,
}

fn address(pod: &Value) -> Option<Ipv4Addr> {
    text(pod, "/status/podIP").parse().ok()
}

impl ServicePods {
    /// No servers yet.
    #[must_use]
    pub fn new(cluster: &str, behind: Behind) -> Self {
        Self {
            processes: BTreeMap::new(),
            behind,
            cluster: cluster.to_owned(),
            ids: 0,
            now: 0,
            lines: Vec::new(),
        }
    }

    /// The server of a member, if its pod runs one.
    #[must_use]
    pub fn process(&self, member: Member) -> Option<&Process> {
        let pod = member.pod_name(&self.cluster);
        self.processes.values().find(|p| p.pod == pod)
    }

    /// All servers.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        self.processes.values().cloned().collect()
    }

    /// A server stops in the middle of everything for so long.
    pub fn hang(&mut self, member: Member, span: Millis) {
        let (pod, until) = (member.pod_name(&self.cluster), self.now + span);
        for process in self.processes.values_mut().filter(|p| p.pod == pod && p.serves()) {
            process.stage = Stage::Hung { until };
        }
        self.lines.push((self.now, format!("{pod}: hangs for {} s", span / 1_000)));
    }

    fn step(&mut self) {
        let now = self.now;
        for process in self.processes.values_mut() {
            let next = match process.stage {
                Stage::Starting { until } if now >= until => (Stage::Serving, "serves"),
                Stage::Hung { until } if now >= until => (Stage::Serving, "goes on"),
                Stage::Ending { until } if now >= until => (Stage::Exited(0), "has ended"),
                _ => continue,
            };
            process.stage = next.0;
            self.lines.push((now, format!("{}: {}", process.pod, next.1)));
        }
        let processes: Vec<&Process> = self.processes.values().collect();
        let lines = match &mut self.behind {
            Behind::Drm(clients) => clients.step(&processes, now),
            Behind::PowerJob(powerjob) => powerjob.step(&processes, now),
        };
        self.lines.extend(lines.into_iter().map(|line| (now, line)));
    }
}

impl Processes for ServicePods {
    fn take_lines(&mut self) -> Vec<(Millis, String)> {
        std::mem::take(&mut self.lines)
    }
}

impl Workload for ServicePods {
    fn advance(&mut self, to: Millis) {
        while self.now / STEP < to / STEP {
            self.now = (self.now / STEP + 1) * STEP;
            self.step();
        }
        self.now = to;
    }

    fn on_container_start(&mut self, container: &Started<'_>, now: Millis) {
        let pod = container.pod;
        let Some(ip) = address(pod) else { return };
        let role = pod.pointer("/metadata/labels").and_then(|l| l.get(ROLE)?.as_str()).unwrap_or_default();
        let Some(role) = Role::ALL.into_iter().find(|r| r.field() == role) else { return };
        self.ids += 1;
        let process = Process {
            id: self.ids,
            pod: text(pod, "/metadata/name").to_owned(),
            role,
            born: now,
            stage: Stage::Starting { until: now + STARTS_IN },
        };
        self.lines.push((now, format!("{}: container starts on {ip}", process.pod)));
        self.processes.insert(ip, process);
    }

    fn on_container_stop(&mut self, pod: &Value, signal: Signal, now: Millis) {
        let Some(process) = address(pod).and_then(|ip| self.processes.get_mut(&ip)) else { return };
        process.stage = match (signal, &process.stage) {
            // It hears of the signal when it goes on.
            (Signal::Term, Stage::Hung { until }) => Stage::Ending { until: until + ENDS_IN },
            (Signal::Term, _) => Stage::Ending { until: now + ENDS_IN },
            (Signal::Kill, _) => Stage::Exited(137),
        };
    }

    fn exited(&mut self, pod: &Value, _: Millis) -> Option<u8> {
        match self.processes.get(&address(pod)?)?.stage {
            Stage::Exited(code) => Some(code),
            _ => None,
        }
    }

    /// The system accepts connections for a server that hangs; what wants an answer gets none.
    fn probe(&mut self, pod: &Value, probe: &Value, _: Millis) -> bool {
        let Some(process) = address(pod).and_then(|ip| self.processes.get(&ip)) else { return false };
        process.serves() || (process.hangs() && probe.get("tcpSocket").is_some())
    }

    fn on_address_released(&mut self, pod: &Value, _: Millis) {
        if let Some(ip) = address(pod) {
            self.processes.remove(&ip);
        }
    }

    fn on_cut_off(&mut self, _: &Value, _: bool, _: Millis) {}

    fn next_due(&self) -> Option<Millis> {
        (!self.processes.is_empty()).then_some((self.now / STEP + 1) * STEP)
    }
}
