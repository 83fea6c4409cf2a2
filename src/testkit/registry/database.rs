//! The metas of 6.x: one row of a database is the leader's lock (§1, fact 9; §7).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::super::Millis;
use super::FakeRegistry;
use super::process::Phase;
use super::raft::Switch;
use super::slots::Slots;
use super::spec::{DatabaseId, ServerLine, ServerRole};

/// The row `META-MASTER`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lock {
    pub(super) owner: Ipv4Addr,
    incarnation: u64,
    pub(super) since: Millis,
    /// When it was last renewed.
    pub(super) seen: Millis,
    /// `quit/election`: renewed no more (§7).
    quit: bool,
}

/// One database.
#[derive(Debug, Clone, Default)]
pub(super) struct Database {
    pub(super) lock: Option<Lock>,
    pub(super) frozen: bool,
    pub(super) push: Option<Switch>,
    pub(super) gray: Option<BTreeSet<Ipv4Addr>>,
    pub(super) blacklist: BTreeSet<Ipv4Addr>,
    pub(super) provided: BTreeMap<String, (u64, String)>,
    pub(super) slots: Slots,
}

/// What a 6.x leader keeps in memory: its lists begin empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Lead {
    lists: BTreeMap<ServerRole, BTreeMap<Ipv4Addr, Millis>>,
    /// It gave the lead away and stays an observer (§7).
    observer: bool,
}

impl Lead {
    pub(super) fn list(&self, role: ServerRole) -> Vec<Ipv4Addr> {
        self.lists.get(&role).map(|l| l.keys().copied().collect()).unwrap_or_default()
    }
}

impl FakeRegistry {
    pub(super) fn database_of(&self, ip: Ipv4Addr) -> Option<&Database> {
        self.databases.get(&self.processes.get(&ip)?.spec.database)
    }

    pub(super) fn database_mut(&mut self, ip: Ipv4Addr) -> Option<&mut Database> {
        let id = self.processes.get(&ip)?.spec.database.clone();
        Some(self.databases.entry(id).or_default())
    }

    /// Stops the database, or lets it go on (§3: metas are 500 after about 10 s; data and sessions stay 200).
    pub fn freeze_database(&mut self, id: &DatabaseId, frozen: bool, now: Millis) {
        self.advance(now);
        let database = self.databases.entry(id.clone()).or_default();
        database.frozen = frozen;
        if !frozen && database.lock.is_some_and(|l| l.seen + self.timing.leader_named <= self.now) {
            database.lock = None;
        }
        self.step();
    }

    /// The addresses on the blacklist of the slots (§7).
    #[must_use]
    pub fn blacklist(&self, id: &DatabaseId) -> BTreeSet<Ipv4Addr> {
        self.databases.get(id).map(|d| d.blacklist.clone()).unwrap_or_default()
    }

    /// The leader that everyone names: for 10 s after its last renewal it is the old one (§7).
    pub(super) fn named_leader(&self, ip: Ipv4Addr) -> Option<Ipv4Addr> {
        let lock = self.database_of(ip)?.lock?;
        (self.now < lock.seen + self.timing.leader_named).then_some(lock.owner)
    }

    /// The named leader, if it works and so answers.
    pub(super) fn serving_leader_of(&self, ip: Ipv4Addr) -> Option<Ipv4Addr> {
        let lock = self.database_of(ip)?.lock?;
        let leader = self.named_leader(ip)?;
        let same = self.processes.get(&leader)?.incarnation == lock.incarnation;
        (same && self.hears(ip, leader)).then_some(leader)
    }

    pub(super) fn warm_leader_of(&self, ip: Ipv4Addr) -> Option<Ipv4Addr> {
        self.serving_leader_of(ip).filter(|&leader| self.is_warm(leader))
    }

    /// Whether this leader is: 30 s after its election (§3).
    pub(super) fn is_warm(&self, leader: Ipv4Addr) -> bool {
        let lock = self.database_of(leader).and_then(|d| d.lock);
        lock.is_some_and(|l| l.owner == leader && self.now >= l.since + self.timing.warm)
    }

    pub(super) fn leads6(&self, meta: Ipv4Addr) -> bool {
        self.serving_leader_of(meta) == Some(meta)
    }

    fn databases_in_use(&self) -> BTreeSet<DatabaseId> {
        let of_line = self.processes.values().filter(|p| p.spec.line == ServerLine::V6);
        of_line.map(|p| p.spec.database.clone()).collect()
    }

    pub(super) fn step_locks(&mut self) {
        for id in self.databases_in_use() {
            self.databases.entry(id.clone()).or_default();
            self.step_lock(&id);
        }
    }

    pub(super) fn step_databases(&mut self) {
        for id in self.databases_in_use() {
            self.step_lists6(&id);
            self.step_slots(&id);
        }
    }

    fn step_lock(&mut self, id: &DatabaseId) {
        let now = self.now;
        let lock = self.databases.get(id).and_then(|d| d.lock);
        let frozen = self.databases.get(id).is_none_or(|d| d.frozen);
        let Some(mut lock) = lock else { return self.elect6(id, frozen) };
        let owner = self.processes.get(&lock.owner);
        let renews = owner.is_some_and(|p| p.incarnation == lock.incarnation)
            && self.works(lock.owner)
            && !self.isolated.contains(&lock.owner)
            && !lock.quit
            && !frozen;
        if renews {
            lock.seen = now;
        }
        if !renews {
            // Both moments change what others see.
            self.due(lock.seen + self.timing.leader_named);
            self.due(lock.seen + self.timing.lock_free);
        }
        self.due(lock.since + self.timing.warm);
        let free = now >= lock.seen + self.timing.lock_free && !frozen;
        if let Some(database) = self.databases.get_mut(id) {
            database.lock = (!free).then_some(lock);
        }
        if free {
            self.elect6(id, frozen);
        }
    }

    fn elect6(&mut self, id: &DatabaseId, frozen: bool) {
        let candidates: Vec<Ipv4Addr> = self
            .with(|p| {
                p.is(ServerLine::V6, ServerRole::Meta)
                    && p.phase == Phase::Up
                    && !p.frozen
                    && !p.lead.observer
                    && p.spec.database == *id
            })
            .into_iter()
            .filter(|ip| !self.isolated.contains(ip))
            .collect();
        if frozen || candidates.is_empty() {
            return;
        }
        let chosen = self.rng.below(u64::try_from(candidates.len()).unwrap_or(1));
        let Some(&owner) = usize::try_from(chosen).ok().and_then(|i| candidates.get(i)) else { return };
        let Some(process) = self.processes.get_mut(&owner) else { return };
        process.lead.lists.clear();
        let lock =
            Lock { owner, incarnation: process.incarnation, since: self.now, seen: self.now, quit: false };
        if let Some(database) = self.databases.get_mut(id) {
            database.lock = Some(lock);
        }
        self.note(owner, "leads");
    }

    /// `PUT /meta/leader/quit/election` on the leader: the lock is not given back (§7).
    pub(super) fn quit_election(&mut self, meta: Ipv4Addr) {
        if let Some(lock) = self.database_mut(meta).and_then(|d| d.lock.as_mut()) {
            lock.quit = true;
        }
        if let Some(process) = self.processes.get_mut(&meta) {
            process.lead.observer = true;
        }
    }

    /// The leader's lists: whoever works and reaches it is on them.
    fn step_lists6(&mut self, id: &DatabaseId) {
        let Some(leader) = self.databases.get(id).and_then(|d| d.lock).map(|l| l.owner) else { return };
        if !self.leads6(leader) {
            return;
        }
        let members: Vec<(ServerRole, Ipv4Addr)> = self
            .processes
            .values()
            .filter(|p| p.spec.line == ServerLine::V6 && p.spec.database == *id && !p.frozen)
            .filter(|p| p.registers() || (p.spec.role == ServerRole::Meta && p.phase == Phase::Up))
            .map(|p| (p.spec.role, p.spec.ip))
            .filter(|&(_, ip)| self.connected(leader, ip))
            .collect();
        let (now, data_ttl, session_ttl) = (self.now, self.timing.data_listed, self.timing.session_listed);
        let Some(process) = self.processes.get_mut(&leader) else { return };
        for (role, ip) in members {
            process.lead.lists.entry(role).or_default().insert(ip, now);
        }
        let mut ends = Vec::new();
        // Metas stay listed for as long as their leader leads (§15).
        for (role, list) in process.lead.lists.iter_mut().filter(|(role, _)| **role != ServerRole::Meta) {
            let ttl = if *role == ServerRole::Session { session_ttl } else { data_ttl };
            list.retain(|_, seen| now < *seen + ttl);
            ends.extend(list.values().filter(|&&seen| seen < now).map(|seen| seen + ttl));
        }
        for at in ends {
            self.due(at);
        }
    }

    /// SIGTERM of a data node: off the slots first (§7).
    pub(super) fn blacklist_self(&mut self, ip: Ipv4Addr) {
        if self.serving_leader_of(ip).is_some()
            && let Some(database) = self.database_mut(ip).filter(|d| !d.frozen)
        {
            database.blacklist.insert(ip);
            self.note(ip, "is on the blacklist");
        }
    }

    pub(super) fn leave_blacklist(&mut self, ip: Ipv4Addr) {
        if let Some(database) = self.database_mut(ip) {
            database.blacklist.remove(&ip);
        }
    }
}
