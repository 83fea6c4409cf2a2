//! A fake SOFARegistry: the server processes of one or more clusters on an IPv4 network, in virtual time, as
//! `docs/measured/sofaregistry.md` found them, faults included. A § in a comment here is a section of that file.
//!
//! Time stands still between calls. [`FakeRegistry::advance`] goes from one due moment to the next; nothing is polled, no
//! clock is read. Not measured, and so chosen: which meta of several wins an election (by seeded chance), and whatever a
//! comment calls chosen.

mod api5;
mod api6;
mod clients;
mod data;
mod database;
mod http;
mod lists;
mod peers;
mod process;
mod raft;
mod raft_client;
mod route;
mod session;
mod slots;
mod spec;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::{Millis, Rng};
use clients::Client;
use database::Database;
use http::Call;
use peers::Op;
use process::Process;
use raft::Volume;

pub use super::Signal;
pub use clients::{ClientId, ClientSpec, ClientView, Seen};
pub use http::{CallId, Method, Reply, Request};
pub use spec::{DatabaseId, ProcessSpec, ServerLine, ServerRole, Timing, VolumeId};

/// What the servers' clocks say when a test begins: the stamps of the push switch are made of it.
const CLOCK_AT_START: u64 = 1_795_000_000_000;

/// A process that ended by itself, or after SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its address.
    pub ip: Ipv4Addr,
    /// When.
    pub at: Millis,
    /// Its exit code.
    pub code: u8,
}

/// A line of what happened, for transcripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Millis,
    /// To whom.
    pub ip: Ipv4Addr,
    /// What.
    pub what: String,
}

/// The processes, what outlives them, and the clients.
#[derive(Debug, Clone)]
pub struct FakeRegistry {
    now: Millis,
    next: Option<Millis>,
    changed: bool,
    rng: Rng,
    timing: Timing,
    processes: BTreeMap<Ipv4Addr, Process>,
    incarnations: u64,
    volumes: BTreeMap<VolumeId, Volume>,
    lineages: u64,
    databases: BTreeMap<DatabaseId, Database>,
    clients: BTreeMap<ClientId, Client>,
    ops: Vec<Op>,
    calls: BTreeMap<CallId, Call>,
    call_ids: u64,
    /// Addresses that are somebody's, with a process or without.
    attached: BTreeSet<Ipv4Addr>,
    isolated: BTreeSet<Ipv4Addr>,
    lost_answers: BTreeMap<Ipv4Addr, u32>,
    skew: BTreeMap<Ipv4Addr, i64>,
    renew_fault: bool,
    exits: Vec<Exit>,
    events: Vec<Event>,
}

impl FakeRegistry {
    /// An empty network, with the times that were measured.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_timing(seed, Timing::default())
    }

    /// An empty network in which things take as long as `timing` says.
    #[must_use]
    pub fn with_timing(seed: u64, timing: Timing) -> Self {
        Self {
            now: 0,
            next: None,
            changed: false,
            rng: Rng::new(seed),
            timing,
            processes: BTreeMap::new(),
            incarnations: 0,
            volumes: BTreeMap::new(),
            lineages: 0,
            databases: BTreeMap::new(),
            clients: BTreeMap::new(),
            ops: Vec::new(),
            calls: BTreeMap::new(),
            call_ids: 0,
            attached: BTreeSet::new(),
            isolated: BTreeSet::new(),
            lost_answers: BTreeMap::new(),
            skew: BTreeMap::new(),
            renew_fault: true,
            exits: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The present moment.
    #[must_use]
    pub const fn now(&self) -> Millis {
        self.now
    }

    /// How long things take.
    #[must_use]
    pub const fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The next moment at which something happens by itself.
    #[must_use]
    pub const fn next_due(&self) -> Option<Millis> {
        self.next
    }

    /// Lets time pass until `to`. A moment that has passed changes nothing.
    pub fn advance(&mut self, to: Millis) {
        while let Some(next) = self.next.filter(|&next| next <= to) {
            self.now = next.max(self.now);
            self.step();
        }
        if to > self.now {
            self.now = to;
            self.step();
        }
    }

    /// Everything that is to happen now; notes when the next thing is due.
    fn step(&mut self) {
        self.changed = false;
        self.next = None;
        // The locks first: everyone else's step asks when they were last renewed.
        self.step_locks();
        self.step_phases();
        self.step_raft();
        self.step_databases();
        self.step_lists();
        self.step_ops();
        self.step_data();
        self.step_sessions();
        self.step_clients();
        self.step_calls();
        if self.changed {
            self.due_in(1);
        }
    }

    /// Something is to happen at that moment.
    fn due(&mut self, at: Millis) {
        if at > self.now {
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
    }

    fn due_in(&mut self, after: Millis) {
        self.due(self.now + after);
    }

    fn note(&mut self, ip: Ipv4Addr, what: &str) {
        self.changed = true;
        self.events.push(Event { at: self.now, ip, what: what.to_owned() });
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The clock of one host, in milliseconds since 1970.
    fn clock(&self, ip: Ipv4Addr) -> u64 {
        let skew = self.skew.get(&ip).copied().unwrap_or_default();
        (CLOCK_AT_START + self.now).saturating_add_signed(skew)
    }

    /// Fault: this host's clock goes wrong by so much. The push switch is stamped with it.
    pub fn skew_clock(&mut self, ip: Ipv4Addr, by: i64) {
        self.skew.insert(ip, by);
    }

    /// Fault: the next `count` answers of this address are lost, though the commands take effect.
    pub fn lose_answers(&mut self, ip: Ipv4Addr, count: u32) {
        self.lost_answers.insert(ip, count);
    }

    /// Whether 5.x loses publishers by renew snapshots, as 5.4.3 does (§1, fact 8). On at first.
    pub const fn set_renew_fault(&mut self, on: bool) {
        self.renew_fault = on;
    }

    /// Empties a volume: its next meta is blank.
    pub fn wipe(&mut self, volume: &VolumeId) {
        self.volumes.remove(volume);
    }

    /// Whether a volume holds raft data.
    #[must_use]
    pub fn holds_raft_data(&self, volume: &VolumeId) -> bool {
        self.volumes.get(volume).is_some_and(|v| v.raft.is_some())
    }
}
