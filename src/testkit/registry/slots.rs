//! The 256 slots of 6.x: which data node leads and which follows each (§7).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::super::Millis;
use super::super::rng::hash;
use super::FakeRegistry;
use super::spec::{DatabaseId, ServerRole};

/// How many slots there are (recorded: leaders of 244 and 12).
pub(super) const SLOTS: usize = 256;

/// The slot table.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    /// Leader and follower of each slot.
    pub(super) table: Vec<(Ipv4Addr, Option<Ipv4Addr>)>,
    pub(super) epoch: u64,
    /// Since when slots of a lost node wait.
    orphaned: Option<Millis>,
    /// When the next slot moves towards balance.
    balance_at: Option<Millis>,
}

impl Slots {
    /// Leader and follower of the slot that an id is in.
    pub(super) fn owners(&self, id: &str) -> Vec<Ipv4Addr> {
        let slots = u64::try_from(SLOTS).unwrap_or(1);
        let slot = usize::try_from(hash(id) % slots).ok().and_then(|i| self.table.get(i));
        slot.map(|&(leader, follower)| std::iter::once(leader).chain(follower).collect()).unwrap_or_default()
    }

    pub(super) fn leaders(&self) -> BTreeMap<Ipv4Addr, usize> {
        let mut counts = BTreeMap::new();
        for (leader, _) in &self.table {
            *counts.entry(*leader).or_default() += 1;
        }
        counts
    }

    /// Slots that each node leads or follows, as the server's `followerCount` counts them (§7).
    pub(super) fn held(&self) -> BTreeMap<Ipv4Addr, usize> {
        let mut counts = BTreeMap::new();
        for &(leader, follower) in &self.table {
            for ip in std::iter::once(leader).chain(follower) {
                *counts.entry(ip).or_default() += 1;
            }
        }
        counts
    }

    pub(super) const fn stable(&self) -> bool {
        self.orphaned.is_none() && self.balance_at.is_none() && !self.table.is_empty()
    }

    /// Followers: the node after the leader, by address.
    fn set_followers(&mut self, nodes: &[Ipv4Addr]) {
        for (leader, follower) in &mut self.table {
            let after = nodes.iter().position(|n| n == leader).map_or(0, |i| i + 1);
            *follower = nodes.iter().cycle().skip(after).take(nodes.len()).find(|n| *n != leader).copied();
        }
        self.epoch += 1;
    }

    /// The node with the fewest of these slots.
    fn least(&self, nodes: &[Ipv4Addr]) -> Option<(usize, Ipv4Addr)> {
        let counts = self.leaders();
        nodes.iter().map(|n| (counts.get(n).copied().unwrap_or(0), *n)).min()
    }

    fn most(&self, nodes: &[Ipv4Addr]) -> Option<(usize, Ipv4Addr)> {
        let counts = self.leaders();
        nodes.iter().map(|n| (counts.get(n).copied().unwrap_or(0), *n)).max()
    }

    /// Gives every slot of a node that is not there to another: its follower first, which has the data.
    fn rescue(&mut self, nodes: &[Ipv4Addr]) {
        for slot in 0..self.table.len() {
            let Some(&(leader, follower)) = self.table.get(slot) else { continue };
            if nodes.contains(&leader) {
                continue;
            }
            let heir = follower.filter(|f| nodes.contains(f)).or_else(|| self.least(nodes).map(|(_, n)| n));
            if let (Some(heir), Some(entry)) = (heir, self.table.get_mut(slot)) {
                entry.0 = heir;
            }
        }
        self.set_followers(nodes);
    }

    /// Moves one slot from the fullest to the emptiest node.
    fn move_one(&mut self, nodes: &[Ipv4Addr]) {
        let (Some((_, full)), Some((_, empty))) = (self.most(nodes), self.least(nodes)) else { return };
        if let Some(entry) = self.table.iter_mut().find(|(leader, _)| *leader == full) {
            entry.0 = empty;
        }
        self.set_followers(nodes);
    }

    fn is_balanced(&self, nodes: &[Ipv4Addr]) -> bool {
        match (self.least(nodes), self.most(nodes)) {
            (Some((least, _)), Some((most, _))) => most - least <= 1,
            _ => true,
        }
    }
}

impl FakeRegistry {
    /// Slots move only under a warm leader (§7).
    pub(super) fn step_slots(&mut self, id: &DatabaseId) {
        let Some(leader) = self.databases.get(id).and_then(|d| d.lock).map(|l| l.owner) else { return };
        let Some(process) = self.processes.get(&leader) else { return };
        if !self.leads6(leader) || !self.is_warm(leader) {
            return;
        }
        let listed = process.lead.list(ServerRole::Data);
        let (now, move_after, step) = (self.now, self.timing.slots_move, self.timing.slot_step);
        let Some(database) = self.databases.get_mut(id).filter(|d| !d.frozen) else { return };
        let nodes: Vec<Ipv4Addr> = listed.into_iter().filter(|ip| !database.blacklist.contains(ip)).collect();
        let Some(&first) = nodes.first() else { return };
        let slots = &mut database.slots;
        if slots.table.is_empty() {
            slots.table = nodes.iter().cycle().take(SLOTS).map(|&n| (n, None)).collect();
            slots.table.sort_by_key(|(n, _)| *n != first);
            slots.set_followers(&nodes);
        }
        let mut due = None;
        if slots.table.iter().any(|(leader, _)| !nodes.contains(leader)) {
            let at = *slots.orphaned.get_or_insert(now) + move_after;
            if now >= at {
                slots.rescue(&nodes);
                slots.orphaned = None;
            } else {
                due = Some(at);
            }
        } else if slots.is_balanced(&nodes) {
            slots.balance_at = None;
            let followers_there =
                slots.table.iter().all(|(_, f)| f.map_or(nodes.len() < 2, |f| nodes.contains(&f)));
            if !followers_there {
                slots.set_followers(&nodes);
            }
        } else {
            let at = *slots.balance_at.get_or_insert(now + step);
            if now >= at {
                slots.move_one(&nodes);
                slots.balance_at = Some(now + step);
            }
            due = slots.balance_at;
        }
        if let Some(at) = due {
            self.due(at);
        }
    }
}
