//! Data nodes: which ids they hold, and who gives them what (§4).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::super::Millis;
use super::super::rng::{hash, mix};
use super::FakeRegistry;
use super::clients::ClientId;
use super::process::Phase;
use super::spec::{ServerLine, ServerRole};

/// 5.x keeps each id on so many data nodes (§4: storeNodes=3).
const STORE_NODES: usize = 3;

/// How long a data node keeps the publishers of a session that is gone and was not replaced (chosen).
const ORPHANS_KEPT: Millis = 30_000;

/// One publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) value: String,
    pub(super) session: Ipv4Addr,
}

/// Publishers by id. An id stays after its last publisher has left (§4).
pub(super) type Datum = BTreeMap<String, BTreeMap<ClientId, Record>>;

/// What a data node holds and knows.
#[derive(Debug, Clone, Default)]
pub(super) struct DataNode {
    pub(super) datum: Datum,
    pub(super) known_data: Vec<Ipv4Addr>,
    pub(super) known_sessions: Vec<Ipv4Addr>,
    /// Members and slot table at the last sync: another one starts a sync.
    synced: Option<(Vec<Ipv4Addr>, u64)>,
    orphans: BTreeMap<Ipv4Addr, Millis>,
}

impl DataNode {
    pub(super) fn publishers(&self) -> usize {
        self.datum.values().map(BTreeMap::len).sum()
    }
}

/// The nodes of 5.x that hold an id: the same for everyone who knows the same nodes.
fn owners5(nodes: &[Ipv4Addr], id: &str) -> Vec<Ipv4Addr> {
    let mut ranked = nodes.to_vec();
    ranked.sort_by_key(|node| mix(hash(id) ^ u64::from(u32::from(*node))));
    ranked.truncate(STORE_NODES);
    ranked
}

impl FakeRegistry {
    /// The data nodes that hold this id, as this data node or session sees it.
    pub(super) fn owners(&self, ip: Ipv4Addr, id: &str) -> Vec<Ipv4Addr> {
        let Some(process) = self.processes.get(&ip) else { return Vec::new() };
        match (process.spec.line, process.spec.role) {
            (ServerLine::V6, _) => self.database_of(ip).map(|d| d.slots.owners(id)).unwrap_or_default(),
            (ServerLine::V5, ServerRole::Data) => owners5(&process.data.known_data, id),
            (ServerLine::V5, _) => owners5(&process.session.known_data, id),
        }
    }

    pub(super) fn data_comes_up(&mut self, ip: Ipv4Addr) {
        self.leave_blacklist(ip);
    }

    pub(super) fn step_data(&mut self) {
        for ip in self.with(|p| p.spec.role == ServerRole::Data && p.phase == Phase::Up && !p.frozen) {
            self.learn_members(ip);
            self.sync(ip);
            self.drop_orphans(ip);
        }
    }

    /// Takes over the leader's lists while there is a leader; keeps the old ones while there is none.
    fn learn_members(&mut self, ip: Ipv4Addr) {
        let data = self.listed_data(ip);
        let sessions = self.listed(ip, ServerRole::Session);
        let metas = self.listed(ip, ServerRole::Meta);
        let Some(process) = self.processes.get_mut(&ip) else { return };
        if let (Some(data), Some(sessions)) = (data, sessions) {
            process.data.known_data = data;
            process.data.known_sessions = sessions;
        }
        if let (ServerLine::V6, Some(metas)) = (process.spec.line, metas) {
            process.metas = metas;
        }
    }

    /// When members or slots change: fetches what is its own now, drops what others hold.
    fn sync(&mut self, ip: Ipv4Addr) {
        let Some(process) = self.processes.get(&ip) else { return };
        let epoch = self.database_of(ip).map_or(0, |d| d.slots.epoch);
        let members = (process.data.known_data.clone(), epoch);
        if process.data.synced.as_ref() == Some(&members) {
            return;
        }
        let mut own = process.data.datum.clone();
        let others: Vec<Ipv4Addr> =
            members.0.iter().copied().filter(|&o| o != ip && self.hears(ip, o)).collect();
        for other in &others {
            let Some(theirs) = self.processes.get(other).map(|p| &p.data.datum) else { continue };
            for (id, publishers) in theirs {
                if !own.contains_key(id) && self.owners(ip, id).contains(&ip) {
                    own.insert(id.clone(), publishers.clone());
                }
            }
        }
        let held_elsewhere = |id: &str| {
            self.owners(ip, id).iter().any(|o| {
                others.contains(o) && self.processes.get(o).is_some_and(|p| p.data.datum.contains_key(id))
            })
        };
        own.retain(|id, _| self.owners(ip, id).contains(&ip) || !held_elsewhere(id));
        if let Some(process) = self.processes.get_mut(&ip) {
            process.data.datum = own;
            process.data.synced = Some(members);
            self.changed = true;
        }
    }

    /// Publishers of sessions that are gone, once their clients had time to come back elsewhere.
    fn drop_orphans(&mut self, ip: Ipv4Addr) {
        let Some(process) = self.processes.get(&ip) else { return };
        let sessions: BTreeSet<Ipv4Addr> =
            process.data.datum.values().flat_map(BTreeMap::values).map(|r| r.session).collect();
        let gone: BTreeSet<Ipv4Addr> = sessions.into_iter().filter(|&s| !self.works(s)).collect();
        let now = self.now;
        let Some(process) = self.processes.get_mut(&ip) else { return };
        process.data.orphans.retain(|session, _| gone.contains(session));
        let mut due = Vec::new();
        for session in gone {
            let at = *process.data.orphans.entry(session).or_insert(now) + ORPHANS_KEPT;
            if now >= at {
                for publishers in process.data.datum.values_mut() {
                    publishers.retain(|_, record| record.session != session);
                }
                process.data.orphans.remove(&session);
                self.changed = true;
            } else {
                due.push(at);
            }
        }
        for at in due {
            self.due(at);
        }
    }

    /// A session tells the owners of an id of one publisher. False if none of them works.
    pub(super) fn publish(&mut self, session: Ipv4Addr, client: ClientId, id: &str, value: &str) -> bool {
        let owners: Vec<Ipv4Addr> =
            self.owners(session, id).into_iter().filter(|&o| self.hears(session, o)).collect();
        for owner in &owners {
            if let Some(process) = self.processes.get_mut(owner) {
                let record = Record { value: value.to_owned(), session };
                process.data.datum.entry(id.to_owned()).or_default().insert(client, record);
            }
        }
        self.changed = true;
        !owners.is_empty()
    }

    /// Takes publishers of a client off all data nodes: those whose id `keep` refuses.
    pub(super) fn unpublish(&mut self, session: Ipv4Addr, client: ClientId, keep: impl Fn(&str) -> bool) {
        let nodes = self.processes.get(&session).map(|p| p.session.known_data.clone()).unwrap_or_default();
        for node in nodes {
            let Some(process) = self.processes.get_mut(&node) else { continue };
            for (id, publishers) in &mut process.data.datum {
                if !keep(id) {
                    publishers.remove(&client);
                }
            }
        }
        self.changed = true;
    }

    /// What a session reads of an id: the values at the first owner that works. `None`: nobody to ask.
    pub(super) fn read_values(&self, session: Ipv4Addr, id: &str) -> Option<BTreeSet<String>> {
        let owner = self.owners(session, id).into_iter().find(|&o| self.hears(session, o))?;
        let datum = &self.processes.get(&owner)?.data.datum;
        Some(datum.get(id).map(|p| p.values().map(|r| r.value.clone()).collect()).unwrap_or_default())
    }
}
