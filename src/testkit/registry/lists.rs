//! Who is listed where: the metas' lists of data nodes and sessions, and the lists that data and sessions follow (§2, §4).

use std::net::Ipv4Addr;

use super::FakeRegistry;
use super::process::Phase;
use super::raft::{Standing, Store};
use super::raft_client::RaftClient;
use super::spec::{ServerLine, ServerRole};

impl FakeRegistry {
    /// The leader that a 5.x data node or session reaches: the one that it knows, or, when it has lost that, whom the metas name
    /// that its raft client knows (§14). A broken follower still shows the way (§6: data and sessions went over to the new,
    /// empty cluster). Who it is connected to besides the leader is chance, and makes it ask anew when it loses that one;
    /// here it is connected to the leader alone.
    pub(super) fn leader_via(&self, ip: Ipv4Addr) -> Option<Ipv4Addr> {
        let process = self.processes.get(&ip)?;
        let reached = |meta: &Ipv4Addr| {
            let of_group = self.processes.get(meta).is_some_and(|p| {
                p.is(ServerLine::V5, ServerRole::Meta) && p.spec.raft_group == process.spec.raft_group
            });
            of_group && self.connected(ip, *meta)
        };
        let client = &process.client;
        let known = client.leader.filter(reached).filter(|l| self.leader_of(*l) == Some(*l));
        known.or_else(|| client.group.iter().filter(|m| reached(m)).find_map(|m| self.leader_of(*m)))
    }

    /// The leader that a data node or session of either line reaches now.
    pub(super) fn leader_reached(&self, ip: Ipv4Addr) -> Option<Ipv4Addr> {
        match self.processes.get(&ip)?.spec.line {
            ServerLine::V5 => self.leader_via(ip),
            ServerLine::V6 => self.serving_leader_of(ip),
        }
    }

    /// Changes the store of a leader, and at once that of its followers.
    pub(super) fn write(&mut self, leader: Ipv4Addr, change: impl FnOnce(&mut Store)) {
        if let Some(data) = self.raft_data_mut(leader) {
            data.index += 1;
            change(&mut data.store);
        }
        self.replicate(leader);
        self.changed = true;
    }

    pub(super) fn step_lists(&mut self) {
        for ip in self.with(|p| p.spec.line == ServerLine::V5 && p.registers()) {
            self.register5(ip);
        }
        for leader in self.with(|p| p.raft.standing == Standing::Leader && p.phase == Phase::Up && !p.frozen)
        {
            if self.leader_to_write(leader).is_some() {
                self.expire5(leader);
            }
        }
    }

    /// A sign of life to the leader, and the newest list from it.
    fn register5(&mut self, ip: Ipv4Addr) {
        let Some(leader) = self.leader_via(ip) else { return self.lost_metas(ip) };
        self.learn_group(ip, leader);
        if self.leader_to_write(leader).is_none() {
            // It takes the sign of life and cannot store it (§14).
            return;
        }
        let (now, spread) = (self.now, self.timing.list_spread);
        let role = self.processes.get(&ip).map(|p| p.spec.role);
        let Some(data) = self.raft_data_mut(leader) else { return };
        let list =
            if role == Some(ServerRole::Data) { &mut data.store.data } else { &mut data.store.sessions };
        let new = list.insert(ip, now).is_none();
        data.index += u64::from(new);
        let metas = data.store.metas.clone();
        if new {
            self.note(ip, "is listed");
        }
        let Some(process) = self.processes.get_mut(&ip) else { return };
        process.reached = now;
        if process.metas == metas || metas.is_empty() {
            process.metas_at = None;
            return;
        }
        let at = *process.metas_at.get_or_insert(now + spread);
        if now >= at {
            process.metas = metas;
            process.metas_at = None;
            self.changed = true;
        } else {
            self.due(at);
        }
    }

    /// Nobody on the list leads or follows. Data waits for ever; a session asks the addresses of its configuration again (§2;
    /// that it takes it 10 s is chosen). Names in it were resolved when it started: with all metas on new addresses it waits for
    /// ever too (seen in pods: `tests/e2e/losses.rs`).
    fn lost_metas(&mut self, ip: Ipv4Addr) {
        let Some(process) = self.processes.get(&ip).filter(|p| p.spec.role == ServerRole::Session) else {
            return;
        };
        let at = process.reached + 10_000;
        if self.now < at {
            return self.due(at);
        }
        let group = process.spec.raft_group.clone();
        let center = process.spec.data_center.clone();
        let found = self.with(|p| {
            p.is(ServerLine::V5, ServerRole::Meta)
                && p.spec.raft_group == group
                && p.spec.data_center == center
        });
        let configured = process.spec.config_metas.clone();
        let found: Vec<_> = found.into_iter().filter(|&m| self.leader_of(m).is_some()).collect();
        if !found.iter().any(|m| configured.contains(m)) {
            return;
        }
        if let Some(process) = self.processes.get_mut(&ip).filter(|p| !found.is_empty() && p.metas != found) {
            process.client = RaftClient { group: found.clone(), leader: None };
            process.metas = found;
            self.changed = true;
        }
    }

    /// Old addresses: 30 s for data, 8 s for sessions (§4). Entries of metas never expire.
    fn expire5(&mut self, leader: Ipv4Addr) {
        let (now, data_ttl, session_ttl) = (self.now, self.timing.data_listed, self.timing.session_listed);
        let Some(data) = self.raft_data_mut(leader) else { return };
        let before = data.store.data.len() + data.store.sessions.len();
        data.store.data.retain(|_, seen| now < *seen + data_ttl);
        data.store.sessions.retain(|_, seen| now < *seen + session_ttl);
        let gone = before - data.store.data.len() - data.store.sessions.len();
        data.index += u64::from(gone > 0);
        let ends: Vec<_> = data.store.data.values().filter(|&&s| s < now).map(|s| s + data_ttl).collect();
        let others: Vec<_> =
            data.store.sessions.values().filter(|&&s| s < now).map(|s| s + session_ttl).collect();
        self.changed |= gone > 0;
        for at in ends.into_iter().chain(others) {
            self.due(at);
        }
        self.replicate(leader);
    }

    /// The data nodes that the leader reached from here lists.
    pub(super) fn listed_data(&self, from: Ipv4Addr) -> Option<Vec<Ipv4Addr>> {
        self.listed(from, ServerRole::Data)
    }

    /// The members of this role that the leader reached from here lists.
    pub(super) fn listed(&self, from: Ipv4Addr, role: ServerRole) -> Option<Vec<Ipv4Addr>> {
        let leader = self.leader_reached(from)?;
        Some(match self.processes.get(&leader)?.spec.line {
            ServerLine::V5 => {
                let store = &self.raft_data(leader)?.store;
                match role {
                    ServerRole::Meta => store.metas.clone(),
                    ServerRole::Data => store.data.keys().copied().collect(),
                    ServerRole::Session => store.sessions.keys().copied().collect(),
                }
            }
            ServerLine::V6 => match role {
                // A data node or session of 6.x knows the leader alone (§7).
                ServerRole::Meta => vec![leader],
                role => self.processes.get(&leader)?.lead.list(role),
            },
        })
    }
}
