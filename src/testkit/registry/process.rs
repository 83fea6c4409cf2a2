//! One server process: its life from start to end.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::super::{Millis, Signal};
use super::data::DataNode;
use super::database::Lead;
use super::raft::RaftNode;
use super::raft_client::RaftClient;
use super::session::SessionNode;
use super::spec::{ProcessSpec, ServerLine, ServerRole};
use super::{Exit, FakeRegistry};

/// How far a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The JVM starts.
    Booting,
    /// A data node or session has found what it needs, and does not serve yet.
    Joined,
    /// It serves.
    Up,
    /// 5.x: started too early; the JVM lives on and never serves (§1, fact 2).
    Zombie,
    /// 6.x: it found no warm leader and will exit (§7).
    GivingUp,
    /// SIGTERM was sent; the ports are closed.
    Stopping { until: Millis },
    /// It has ended. Its address still refuses connections.
    Down,
}

/// One process.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) spec: ProcessSpec,
    pub(super) started: Millis,
    pub(super) incarnation: u64,
    pub(super) phase: Phase,
    pub(super) frozen: bool,
    pub(super) raft: RaftNode,
    pub(super) client: RaftClient,
    pub(super) lead: Lead,
    pub(super) data: DataNode,
    pub(super) session: SessionNode,
    /// The metas that a data node or session follows, and when it takes over a newer list.
    pub(super) metas: Vec<Ipv4Addr>,
    pub(super) metas_at: Option<Millis>,
    /// When a session last reached the leader.
    pub(super) reached: Millis,
}

impl Process {
    pub(super) fn is(&self, line: ServerLine, role: ServerRole) -> bool {
        self.spec.line == line && self.spec.role == role
    }

    pub(super) fn alive(&self) -> bool {
        !matches!(self.phase, Phase::Down | Phase::Stopping { .. })
    }

    /// Whether it is a data node or session that gives signs of life to the metas.
    pub(super) fn registers(&self) -> bool {
        matches!(self.phase, Phase::Joined | Phase::Up)
            && self.spec.role != ServerRole::Meta
            && !self.frozen
            && (self.phase == Phase::Up || self.spec.role == ServerRole::Data)
    }
}

impl FakeRegistry {
    /// An address is somebody's from now on: without a process it refuses connections.
    pub fn attach(&mut self, ip: Ipv4Addr) {
        self.attached.insert(ip);
    }

    /// Starts a process. One that still runs on this address is killed first.
    pub fn start(&mut self, spec: ProcessSpec, now: Millis) {
        self.stop(spec.ip, Signal::Kill, now);
        self.attach(spec.ip);
        self.incarnations += 1;
        self.note(spec.ip, &format!("{} starts", spec.role));
        let process = Process {
            started: self.now,
            incarnation: self.incarnations,
            phase: Phase::Booting,
            frozen: false,
            raft: RaftNode::default(),
            client: RaftClient { group: spec.config_metas.clone(), leader: None },
            lead: Lead::default(),
            data: DataNode::default(),
            session: SessionNode::default(),
            metas: spec.config_metas.clone(),
            metas_at: None,
            reached: self.now,
            spec,
        };
        self.processes.insert(process.spec.ip, process);
        self.step();
    }

    /// Ends a process. Its address goes on refusing connections until [`FakeRegistry::release`].
    pub fn stop(&mut self, ip: Ipv4Addr, signal: Signal, now: Millis) {
        self.advance(now);
        let Some(process) = self.processes.get_mut(&ip).filter(|p| p.phase != Phase::Down) else { return };
        let alive = process.alive();
        process.phase = match signal {
            Signal::Kill => Phase::Down,
            Signal::Term if !alive => return,
            Signal::Term => {
                let takes = match process.spec.line {
                    ServerLine::V5 => self.timing.term5,
                    ServerLine::V6 => self.timing.term6,
                };
                Phase::Stopping { until: self.now + takes }
            }
        };
        let what = if signal == Signal::Kill { "is killed" } else { "is told to end" };
        self.note(ip, what);
        if signal == Signal::Term {
            self.leave_orderly(ip);
        }
        self.step();
    }

    /// What an orderly end does for the others: a raft leader hands over (§3), a 6.x data node goes on the blacklist (§7).
    fn leave_orderly(&mut self, ip: Ipv4Addr) {
        let Some(process) = self.processes.get(&ip) else { return };
        match (process.spec.line, process.spec.role) {
            (ServerLine::V5, ServerRole::Meta) => self.hand_over(ip),
            (ServerLine::V6, ServerRole::Data) => self.blacklist_self(ip),
            _ => {}
        }
    }

    /// Stops a process in its tracks, as SIGSTOP does: its ports accept and answer nothing.
    pub fn freeze(&mut self, ip: Ipv4Addr, now: Millis) {
        self.set_frozen(ip, now, true);
    }

    /// Lets a frozen process go on.
    pub fn unfreeze(&mut self, ip: Ipv4Addr, now: Millis) {
        self.set_frozen(ip, now, false);
    }

    fn set_frozen(&mut self, ip: Ipv4Addr, now: Millis, frozen: bool) {
        self.advance(now);
        if let Some(process) = self.processes.get_mut(&ip) {
            process.frozen = frozen;
        }
        self.step();
    }

    /// Takes an address off the network, as the end of a pod does: it is nobody's from now on.
    pub fn release(&mut self, ip: Ipv4Addr, now: Millis) {
        self.stop(ip, Signal::Kill, now);
        self.processes.remove(&ip);
        self.attached.remove(&ip);
        self.isolated.remove(&ip);
        self.step();
    }

    /// Cuts an address off from all others, or connects it again.
    pub fn isolate(&mut self, ip: Ipv4Addr, cut_off: bool, now: Millis) {
        self.advance(now);
        if cut_off {
            self.isolated.insert(ip);
        } else {
            self.isolated.remove(&ip);
        }
        self.step();
    }

    /// The processes that ended by themselves since the last call.
    pub fn take_exits(&mut self) -> Vec<Exit> {
        std::mem::take(&mut self.exits)
    }

    /// The addresses with a process that has not ended.
    #[must_use]
    pub fn running(&self) -> BTreeSet<Ipv4Addr> {
        self.processes.values().filter(|p| p.phase != Phase::Down).map(|p| p.spec.ip).collect()
    }

    /// Whether a connection to this port is accepted (a frozen process accepts).
    #[must_use]
    pub fn listens(&self, ip: Ipv4Addr, port: u16) -> bool {
        let Some(process) = self.processes.get(&ip).filter(|_| !self.isolated.contains(&ip)) else {
            return false;
        };
        match process.spec.role {
            ServerRole::Meta => {
                let raft = process.spec.line == ServerLine::V5 && port == 9614;
                process.phase == Phase::Up && (raft || matches!(port, 9610..=9612 | 9615))
            }
            ServerRole::Data => self.http_open(process) && matches!(port, 9620..=9622),
            ServerRole::Session => process.phase == Phase::Up && matches!(port, 9600 | 9601 | 9603),
        }
    }

    /// Whether the admin port is open: a 5.x data node opens it before it works, and a zombie of it too (§3).
    fn http_open(&self, process: &Process) -> bool {
        let early = process.is(ServerLine::V5, ServerRole::Data)
            && process.alive()
            && self.now >= process.started + self.timing.data5_http;
        process.phase == Phase::Up || early
    }

    /// Whether it serves and is not frozen.
    pub(super) fn works(&self, ip: Ipv4Addr) -> bool {
        self.processes.get(&ip).is_some_and(|p| p.phase == Phase::Up && !p.frozen)
    }

    /// Whether `to` works and the network lets `from` reach it.
    pub(super) fn hears(&self, from: Ipv4Addr, to: Ipv4Addr) -> bool {
        self.works(to) && self.connected(from, to)
    }

    pub(super) fn connected(&self, from: Ipv4Addr, to: Ipv4Addr) -> bool {
        from == to || !(self.isolated.contains(&from) || self.isolated.contains(&to))
    }

    pub(super) fn with(&self, keep: impl Fn(&Process) -> bool) -> Vec<Ipv4Addr> {
        self.processes.values().filter(|p| keep(p)).map(|p| p.spec.ip).collect()
    }

    /// The start and the end of every process.
    pub(super) fn step_phases(&mut self) {
        for ip in self.with(|p| !p.frozen && p.phase != Phase::Down) {
            let Some(process) = self.processes.get(&ip) else { continue };
            let since = self.now.saturating_sub(process.started);
            match (process.phase, process.spec.line, process.spec.role) {
                (Phase::Stopping { until }, ..) => self.end_at(ip, until, 143),
                (Phase::GivingUp, _, role) => {
                    let after = match role {
                        ServerRole::Session => self.timing.session6_gives_up,
                        _ => self.timing.data6_looks + 1_000,
                    };
                    let at = process.started + after;
                    self.end_at(ip, at, 1);
                }
                (Phase::Booting, line, ServerRole::Meta) => {
                    let up = if line == ServerLine::V5 { self.timing.meta5_up } else { self.timing.meta6_up };
                    if since >= up { self.meta_comes_up(ip) } else { self.due_in(up - since) }
                }
                (Phase::Booting, line, role) => {
                    let looks = match (line, role) {
                        (ServerLine::V5, ServerRole::Data) => self.timing.data5_looks,
                        (ServerLine::V5, _) => self.timing.session5_looks,
                        (ServerLine::V6, ServerRole::Data) => self.timing.data6_looks,
                        (ServerLine::V6, _) => self.timing.session6_up - 2_000,
                    };
                    if since >= looks { self.looks_for_the_leader(ip) } else { self.due_in(looks - since) }
                }
                (Phase::Joined, line, role) => {
                    let up = match (line, role) {
                        (ServerLine::V5, ServerRole::Data) => self.timing.data5_up,
                        (ServerLine::V5, _) => self.timing.session5_up,
                        (ServerLine::V6, ServerRole::Data) => self.timing.data6_up,
                        (ServerLine::V6, _) => self.timing.session6_up,
                    };
                    if since >= up { self.comes_up(ip) } else { self.due_in(up - since) }
                }
                (Phase::Up | Phase::Zombie | Phase::Down, ..) => {}
            }
        }
    }

    fn end_at(&mut self, ip: Ipv4Addr, at: Millis, code: u8) {
        if self.now < at {
            return self.due(at);
        }
        if let Some(process) = self.processes.get_mut(&ip) {
            process.phase = Phase::Down;
            self.exits.push(Exit { ip, at: self.now, code });
            self.note(ip, "has ended");
        }
    }

    pub(super) fn set_phase(&mut self, ip: Ipv4Addr, phase: Phase) {
        if let Some(process) = self.processes.get_mut(&ip) {
            process.phase = phase;
            self.changed = true;
        }
    }

    /// A 5.x meta whose own address is not in its configuration does not start (§2).
    fn meta_comes_up(&mut self, ip: Ipv4Addr) {
        let Some(process) = self.processes.get(&ip) else { return };
        if process.spec.line == ServerLine::V5 && !process.spec.config_metas.contains(&ip) {
            self.note(ip, "meta node list config not contains current ip");
            return self.end_at(ip, self.now, 1);
        }
        self.note(ip, "meta is up");
        self.set_phase(ip, Phase::Up);
    }

    /// The one look that decides: 5.x becomes a zombie without a leader, 6.x exits without a warm one (§1, §7, §13).
    fn looks_for_the_leader(&mut self, ip: Ipv4Addr) {
        let Some(process) = self.processes.get(&ip) else { return };
        let (line, role) = (process.spec.line, process.spec.role);
        let found = match line {
            ServerLine::V5 => self
                .leader_via(ip)
                .and_then(|leader| self.raft_data(leader))
                .is_some_and(|d| role == ServerRole::Data || !d.store.data.is_empty()),
            ServerLine::V6 => self.warm_leader_of(ip).is_some(),
        };
        let phase = match (found, line) {
            (true, _) => Phase::Joined,
            (false, ServerLine::V5) => Phase::Zombie,
            (false, ServerLine::V6) => Phase::GivingUp,
        };
        match phase {
            Phase::Zombie => self.note(ip, &format!("{role} started too early and will never serve")),
            Phase::GivingUp => self.note(ip, &format!("{role} finds no warm leader and gives up")),
            _ => {}
        }
        self.set_phase(ip, phase);
    }

    fn comes_up(&mut self, ip: Ipv4Addr) {
        let Some(process) = self.processes.get(&ip) else { return };
        let role = process.spec.role;
        match role {
            ServerRole::Data => self.data_comes_up(ip),
            ServerRole::Session => self.session_comes_up(ip),
            ServerRole::Meta => {}
        }
        self.note(ip, &format!("{role} serves"));
        self.set_phase(ip, Phase::Up);
    }
}
