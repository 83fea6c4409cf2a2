//! The raft group of the 5.x metas: elections, members and the replicated store (§5, §6, §12).
//!
//! One lineage is one cluster's history: two blank metas that elect each other begin a new one (§1, fact 5). A member's
//! copy follows the leader's as long as both work and talk.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::super::Millis;
use super::FakeRegistry;
use super::process::Phase;
use super::spec::{ServerLine, ServerRole};

/// The push switch as it is stored: the stamp is the clock of the meta that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Switch {
    pub(super) stopped: bool,
    pub(super) version: u64,
}

/// What the metas of one cluster agree on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Store {
    /// The list that data, sessions and `/digest/meta/node/query` follow: `changePeer` writes it 3 s after raft changed.
    pub(super) metas: Vec<Ipv4Addr>,
    /// Data nodes, by their last sign of life.
    pub(super) data: BTreeMap<Ipv4Addr, Millis>,
    /// Sessions, by their last sign of life.
    pub(super) sessions: BTreeMap<Ipv4Addr, Millis>,
    pub(super) push: Option<Switch>,
    pub(super) datum_expire: Option<bool>,
    pub(super) renew_snapshot: Option<bool>,
    pub(super) provided: BTreeMap<String, String>,
}

/// `raftData`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RaftData {
    pub(super) lineage: u64,
    pub(super) term: u64,
    pub(super) index: u64,
    pub(super) peers: Vec<Ipv4Addr>,
    pub(super) store: Store,
}

/// A volume of a meta.
#[derive(Debug, Clone, Default)]
pub(super) struct Volume {
    pub(super) raft: Option<RaftData>,
    /// A new cluster's leader has written over it: it follows, and its store never works again (§6).
    pub(super) damaged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Standing {
    #[default]
    Out,
    Leader,
    Follower(Ipv4Addr),
}

/// What one meta process knows of its group.
#[derive(Debug, Clone, Default)]
pub(super) struct RaftNode {
    pub(super) standing: Standing,
    pub(super) elect_at: Option<Millis>,
    pub(super) lost_at: Option<Millis>,
}

const fn is_majority(part: usize, whole: usize) -> bool {
    part * 2 > whole
}

impl FakeRegistry {
    pub(super) fn raft_data(&self, ip: Ipv4Addr) -> Option<&RaftData> {
        self.volumes.get(&self.processes.get(&ip)?.spec.volume)?.raft.as_ref()
    }

    pub(super) fn raft_data_mut(&mut self, ip: Ipv4Addr) -> Option<&mut RaftData> {
        self.volumes.get_mut(&self.processes.get(&ip)?.spec.volume)?.raft.as_mut()
    }

    pub(super) fn volume_mut(&mut self, ip: Ipv4Addr) -> Option<&mut Volume> {
        let volume = self.processes.get(&ip)?.spec.volume.clone();
        Some(self.volumes.entry(volume).or_default())
    }

    pub(super) fn is_damaged(&self, ip: Ipv4Addr) -> bool {
        self.processes.get(&ip).and_then(|p| self.volumes.get(&p.spec.volume)).is_some_and(|v| v.damaged)
    }

    /// Its own raft configuration: kept data wins over `nodes.metaNode` (§2).
    pub(super) fn conf(&self, ip: Ipv4Addr) -> Vec<Ipv4Addr> {
        let configured = || self.processes.get(&ip).map(|p| p.spec.config_metas.clone()).unwrap_or_default();
        self.raft_data(ip).map_or_else(configured, |d| d.peers.clone())
    }

    pub(super) fn standing(&self, ip: Ipv4Addr) -> Standing {
        self.processes.get(&ip).map(|p| p.raft.standing).unwrap_or_default()
    }

    pub(super) fn is_leader(&self, ip: Ipv4Addr) -> bool {
        self.works(ip) && self.standing(ip) == Standing::Leader
    }

    /// Whether `to` is a 5.x meta of the same raft group that `from` can reach on 9614.
    pub(super) fn raft_hears(&self, from: Ipv4Addr, to: Ipv4Addr) -> bool {
        let group = |ip| self.processes.get(&ip).map(|p| p.spec.raft_group.as_str());
        self.hears(from, to)
            && group(from) == group(to)
            && self.processes.get(&to).is_some_and(|p| p.is(ServerLine::V5, ServerRole::Meta))
    }

    /// The leader that this meta follows, if it lives and still counts it as a member.
    pub(super) fn leader_of(&self, meta: Ipv4Addr) -> Option<Ipv4Addr> {
        match self.standing(meta) {
            _ if !self.works(meta) => None,
            Standing::Leader => Some(meta),
            Standing::Follower(leader) => {
                (self.is_leader(leader) && self.connected(leader, meta) && self.conf(leader).contains(&meta))
                    .then_some(leader)
            }
            Standing::Out => None,
        }
    }

    pub(super) fn set_standing(&mut self, ip: Ipv4Addr, standing: Standing) {
        let Some(process) = self.processes.get_mut(&ip) else { return };
        if process.raft.standing == standing {
            return;
        }
        process.raft = RaftNode { standing, elect_at: None, lost_at: None };
        match standing {
            Standing::Out => self.note(ip, "is in no raft group with a leader"),
            Standing::Leader => self.note(ip, "leads"),
            Standing::Follower(leader) => self.note(ip, &format!("follows {leader}")),
        }
    }

    fn set_election(&mut self, ip: Ipv4Addr, at: Millis) {
        if let Some(process) = self.processes.get_mut(&ip) {
            process.raft.elect_at = Some(at);
        }
        self.due(at);
    }

    /// A leader that ends in order: the others elect within a second, and say 500 until then (§3).
    pub(super) fn hand_over(&mut self, leader: Ipv4Addr) {
        if self.standing(leader) != Standing::Leader {
            return;
        }
        for follower in self.with(|p| p.raft.standing == Standing::Follower(leader)) {
            self.set_standing(follower, Standing::Out);
            let at = self.now + self.rng.between(300, 800);
            self.set_election(follower, at);
        }
    }

    pub(super) fn step_raft(&mut self) {
        let metas =
            self.with(|p| p.is(ServerLine::V5, ServerRole::Meta) && p.phase == Phase::Up && !p.frozen);
        for &meta in &metas {
            if self.standing(meta) == Standing::Leader {
                self.lead(meta);
            }
        }
        for &meta in &metas {
            match self.standing(meta) {
                Standing::Leader => {}
                Standing::Follower(_) => self.follow(meta),
                Standing::Out => self.campaign(meta),
            }
        }
    }

    fn lead(&mut self, leader: Ipv4Addr) {
        let conf = self.conf(leader);
        if !conf.contains(&leader) {
            return self.set_standing(leader, Standing::Out);
        }
        let mut with = 1;
        for &peer in conf.iter().filter(|&&p| p != leader) {
            if self.raft_hears(leader, peer) && self.joins(leader, peer) && !self.is_damaged(peer) {
                with += 1;
            }
        }
        if is_majority(with, conf.len()) {
            if let Some(process) = self.processes.get_mut(&leader) {
                process.raft.lost_at = None;
            }
            self.replicate(leader);
        } else {
            self.lose(leader);
        }
    }

    /// Without a majority or a leader: 500 after 2.6 s (§3).
    fn lose(&mut self, meta: Ipv4Addr) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&meta) else { return };
        let at = *process.raft.lost_at.get_or_insert(now) + self.timing.step_down;
        if now >= at {
            self.set_standing(meta, Standing::Out);
        } else {
            self.due(at);
        }
    }

    /// Whether a peer of the leader's list follows it, and it begins to if nothing speaks against it.
    fn joins(&mut self, leader: Ipv4Addr, peer: Ipv4Addr) -> bool {
        let term = |ip| self.raft_data(ip).map_or(0, |d: &RaftData| d.term);
        match self.standing(peer) {
            Standing::Follower(present) if present == leader => return true,
            Standing::Leader if term(peer) > term(leader) => return false,
            Standing::Follower(present)
                if self.leader_of(peer) == Some(present) && term(present) > term(leader) =>
            {
                return false;
            }
            _ => {}
        }
        self.set_standing(peer, Standing::Follower(leader));
        let Some(theirs) = self.raft_data(leader).cloned() else { return false };
        let applied_more =
            self.raft_data(peer).is_some_and(|own| own.lineage != theirs.lineage && own.index > theirs.index);
        if applied_more {
            self.note(peer, "cannot take the new leader's log: its store is broken from now on");
            if let Some(volume) = self.volume_mut(peer) {
                volume.damaged = true;
            }
        }
        true
    }

    /// Gives every follower that works the leader's data.
    pub(super) fn replicate(&mut self, leader: Ipv4Addr) {
        let Some(data) = self.raft_data(leader).cloned() else { return };
        for peer in data.peers.clone() {
            let follows = self.standing(peer) == Standing::Follower(leader);
            if peer == leader || !follows || self.is_damaged(peer) || !self.raft_hears(leader, peer) {
                continue;
            }
            if let Some(volume) = self.volume_mut(peer).filter(|v| v.raft.as_ref() != Some(&data)) {
                volume.raft = Some(data.clone());
            }
        }
    }

    fn follow(&mut self, meta: Ipv4Addr) {
        if self.leader_of(meta).is_some() {
            if let Some(process) = self.processes.get_mut(&meta) {
                process.raft.lost_at = None;
                process.raft.elect_at = None;
            }
            return;
        }
        self.campaign(meta);
        if matches!(self.standing(meta), Standing::Follower(_)) {
            self.lose(meta);
        }
    }

    /// Tries an election when its timer is up. A meta that is not in its own list never does (§12: power loss).
    fn campaign(&mut self, meta: Ipv4Addr) {
        let conf = self.conf(meta);
        if !conf.contains(&meta) {
            return;
        }
        let timer = self.processes.get(&meta).and_then(|p| p.raft.elect_at);
        match timer {
            Some(at) if self.now < at => self.due(at),
            Some(_) if self.wins(meta, &conf) => self.begin_to_lead(meta, conf),
            // The first timer after a start is longer: 2–5 s until a new cluster has a leader.
            _ => {
                let fresh = timer.is_none() && self.standing(meta) == Standing::Out;
                let wait =
                    if fresh { self.rng.between(1_500, 3_500) } else { self.rng.between(1_000, 2_200) };
                self.set_election(meta, self.now + wait);
            }
        }
    }

    fn wins(&self, candidate: Ipv4Addr, conf: &[Ipv4Addr]) -> bool {
        let votes = conf.iter().filter(|&&peer| peer == candidate || self.grants(peer, candidate)).count();
        is_majority(votes, conf.len())
    }

    /// A vote is refused by whoever has a leader, and by whoever has the longer log.
    fn grants(&self, peer: Ipv4Addr, candidate: Ipv4Addr) -> bool {
        let log = |ip| self.raft_data(ip).map_or((0, 0), |d| (d.term, d.index));
        self.raft_hears(candidate, peer) && self.leader_of(peer).is_none() && log(peer) <= log(candidate)
    }

    fn begin_to_lead(&mut self, meta: Ipv4Addr, conf: Vec<Ipv4Addr>) {
        let highest = conf.iter().filter_map(|&p| self.raft_data(p)).map(|d| d.term).max().unwrap_or(0);
        if self.raft_data(meta).is_none() {
            self.begin_lineage(meta, conf);
        }
        if let Some(data) = self.raft_data_mut(meta) {
            data.term = data.term.max(highest) + 1;
            data.index += 1;
        }
        self.set_standing(meta, Standing::Leader);
        self.lead(meta);
    }

    /// A new, empty cluster.
    pub(super) fn begin_lineage(&mut self, meta: Ipv4Addr, peers: Vec<Ipv4Addr>) {
        self.lineages += 1;
        let lineage = self.lineages;
        self.note(meta, "begins a new, empty cluster");
        if let Some(volume) = self.volume_mut(meta) {
            let store = Store { metas: peers.clone(), ..Store::default() };
            volume.raft = Some(RaftData { lineage, term: 0, index: 0, peers, store });
        }
    }

    /// Which history this meta's data belongs to: two numbers in one cluster are a split.
    #[must_use]
    pub fn lineage(&self, ip: Ipv4Addr) -> Option<u64> {
        self.raft_data(ip).map(|d| d.lineage)
    }
}
