//! The raft client of a 5.x server: by it a meta reaches the store, its own included when it leads, and a data node or session
//! the leader (§14).
//!
//! It keeps the leader and the group as it learnt them last, and asks only the addresses of that group for a newer one. The
//! notices by which real metas tell each other of a new leader are left out: which of them are connected at that time is
//! chance.

use std::net::Ipv4Addr;

use super::FakeRegistry;
use super::spec::{ServerLine, ServerRole};

/// What a raft client knows.
#[derive(Debug, Clone, Default)]
pub(super) struct RaftClient {
    /// Whom it asks for the leader: the addresses of the configuration, until it has learnt the group.
    pub(super) group: Vec<Ipv4Addr>,
    /// The leader as it knows it. A connection that ends makes it forget.
    pub(super) leader: Option<Ipv4Addr>,
}

impl FakeRegistry {
    /// The leader through which this meta reads the store: itself if it leads.
    pub(super) fn leader_to_read(&mut self, meta: Ipv4Addr) -> Option<Ipv4Addr> {
        if self.is_leader(meta) && !self.is_damaged(meta) { Some(meta) } else { self.leader_to_write(meta) }
    }

    /// The leader through which this meta changes the store. It goes through the raft client also where the meta leads.
    pub(super) fn leader_to_write(&mut self, meta: Ipv4Addr) -> Option<Ipv4Addr> {
        if self.is_damaged(meta) {
            return None;
        }
        let leader = self.leader_of_client(meta)?;
        self.learn_group(meta, leader);
        Some(leader)
    }

    /// Who has asked for the leader learns the group as it is then, and not again before it has to ask anew.
    pub(super) fn learn_group(&mut self, ip: Ipv4Addr, leader: Ipv4Addr) {
        let group = self.conf(leader);
        let Some(process) = self.processes.get_mut(&ip).filter(|p| p.client.leader != Some(leader)) else {
            return;
        };
        process.client = RaftClient { group, leader: Some(leader) };
    }

    /// Metas of 5.x that are in a group that has a leader and cannot change its store.
    #[must_use]
    pub fn cut_off(&self) -> Vec<Ipv4Addr> {
        let metas = self.with(|p| p.is(ServerLine::V5, ServerRole::Meta)).into_iter();
        metas.filter(|&m| self.leader_of(m).is_some() && self.leader_of_client(m).is_none()).collect()
    }

    /// Whom the raft client of this meta takes for the leader, asked anew where the one it knows leads no more.
    pub(super) fn leader_of_client(&self, meta: Ipv4Addr) -> Option<Ipv4Addr> {
        let client = &self.processes.get(&meta)?.client;
        let leads = |l: &Ipv4Addr| self.is_leader(*l) && (*l == meta || self.raft_hears(meta, *l));
        client.leader.filter(leads).or_else(|| {
            let reached = client.group.iter().filter(|&&p| p == meta || self.raft_hears(meta, p));
            reached.filter_map(|&p| self.leader_of(p)).find(leads)
        })
    }
}
