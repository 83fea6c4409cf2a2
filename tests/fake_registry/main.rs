//! Keeps the fake SOFARegistry honest: its answers against those recorded from the real servers, read by the real parsers,
//! and each measured behaviour as a test that names its section of `docs/measured/sofaregistry.md`.

#![expect(clippy::expect_used, clippy::panic, reason = "a test ends by panicking with what was seen")]

mod line6;
mod losses;
mod metas;
mod push;
mod recorded;
#[path = "../fixtures/recorded.rs"]
mod recorded_answers;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use sofa_operator::admin::answer::Answer;
use sofa_operator::admin::registry::v5::{self, RaftStatus};
use sofa_operator::admin::registry::v6;
use sofa_operator::admin::registry::wire::{self, Outcome, PushSwitch};
use sofa_operator::testkit::registry::{
    ClientId, FakeRegistry, ProcessSpec, Reply, Request, ServerLine, ServerRole, Signal, VolumeId,
};

pub(crate) const CENTER: &str = "DefaultDataCenter";
pub(crate) const CLOSE: &str = "/stopPushDataSwitch/open";
pub(crate) const OPEN: &str = "/stopPushDataSwitch/close";
pub(crate) const CHANGE_FAILED: &str = "Error when changePeer： CliService change peer error!";

pub(crate) fn ip(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}

/// 10.0.0.N: metas from 11, data from 21, sessions from 31.
pub(crate) fn at(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

pub(crate) fn all(ns: &[u8]) -> Vec<Ipv4Addr> {
    ns.iter().map(|&n| at(n)).collect()
}

pub(crate) fn set(ns: &[u8]) -> BTreeSet<Ipv4Addr> {
    ns.iter().map(|&n| at(n)).collect()
}

/// All of these metas but one.
pub(crate) fn besides(metas: &[Ipv4Addr], one: Ipv4Addr) -> Vec<Ipv4Addr> {
    metas.iter().copied().filter(|m| *m != one).collect()
}

/// A network and the moment that it is at.
pub(crate) struct Net {
    pub(crate) registry: FakeRegistry,
    pub(crate) line: ServerLine,
}

impl Net {
    pub(crate) fn new(line: ServerLine, seed: u64) -> Self {
        Self { registry: FakeRegistry::new(seed), line }
    }

    /// Three metas, two data nodes and two sessions, started in order and serving.
    pub(crate) fn serving(line: ServerLine, seed: u64) -> Self {
        Self::of(line, seed, &all(&[11, 12, 13]), &all(&[21, 22]), &all(&[31, 32]))
    }

    pub(crate) fn of(
        line: ServerLine,
        seed: u64,
        metas: &[Ipv4Addr],
        data: &[Ipv4Addr],
        sessions: &[Ipv4Addr],
    ) -> Self {
        let mut net = Self::new(line, seed);
        let groups = [(ServerRole::Meta, metas), (ServerRole::Data, data), (ServerRole::Session, sessions)];
        for (role, members) in groups {
            for &member in members {
                net.start(role, member, metas);
            }
            let wait = match (line, role) {
                (ServerLine::V6, ServerRole::Meta) => 45_000,
                (ServerLine::V6, ServerRole::Data) => 90_000,
                _ => 15_000,
            };
            net.pass(wait);
        }
        net
    }

    pub(crate) fn spec(&self, role: ServerRole, ip: Ipv4Addr, metas: &[Ipv4Addr]) -> ProcessSpec {
        ProcessSpec { config_metas: metas.to_vec(), ..ProcessSpec::new(self.line, role, ip) }
    }

    pub(crate) fn start(&mut self, role: ServerRole, ip: Ipv4Addr, metas: &[Ipv4Addr]) {
        let spec = self.spec(role, ip, metas);
        self.registry.start(spec, self.registry.now());
    }

    /// Starts a meta on the volume of another address.
    pub(crate) fn start_on(&mut self, ip: Ipv4Addr, metas: &[Ipv4Addr], volume: Ipv4Addr) {
        let spec =
            ProcessSpec { volume: VolumeId(volume.to_string()), ..self.spec(ServerRole::Meta, ip, metas) };
        self.registry.start(spec, self.registry.now());
    }

    pub(crate) fn stop(&mut self, ip: Ipv4Addr, signal: Signal) {
        self.registry.stop(ip, signal, self.registry.now());
    }

    pub(crate) fn pass(&mut self, millis: u64) {
        self.registry.advance(self.registry.now() + millis);
    }

    pub(crate) fn reply(&mut self, request: &Request) -> Reply {
        self.registry.http(self.registry.now(), request)
    }

    pub(crate) fn answer(&mut self, request: &Request) -> Answer {
        match self.reply(request) {
            Reply::Answer(answer) => answer,
            other => panic!("{} {}: {other:?}", request.ip, request.path),
        }
    }

    pub(crate) fn meta(&mut self, ip: Ipv4Addr, path: &str) -> Answer {
        self.answer(&Request::get(ip, 9615, path))
    }

    pub(crate) fn data(&mut self, ip: Ipv4Addr, path: &str) -> Answer {
        self.answer(&Request::get(ip, 9622, path))
    }

    pub(crate) fn session(&mut self, ip: Ipv4Addr, path: &str) -> Answer {
        self.answer(&Request::get(ip, 9603, path))
    }

    pub(crate) fn raft(&mut self, ip: Ipv4Addr) -> RaftStatus {
        v5::raft_status(&self.meta(ip, "/health/check")).expect("a 5.x meta's health")
    }

    pub(crate) fn peers(&mut self, ip: Ipv4Addr) -> BTreeSet<Ipv4Addr> {
        v5::peers(&self.meta(ip, "/manage/queryPeer")).expect("peers")
    }

    pub(crate) fn peer_command(&mut self, to: Ipv4Addr, path: &str, list: &[Ipv4Addr]) -> Outcome {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        let request = Request::form(to, 9615, path, &[("ipAddressList", &list.join(","))]);
        wire::outcome(&self.answer(&request)).expect("an outcome")
    }

    pub(crate) fn change(&mut self, to: Ipv4Addr, list: &[Ipv4Addr]) -> Outcome {
        self.peer_command(to, "/manage/changePeer", list)
    }

    pub(crate) fn reset(&mut self, to: Ipv4Addr, list: &[Ipv4Addr]) -> Outcome {
        self.peer_command(to, "/manage/resetPeer", list)
    }

    /// The addresses of the leaders among these metas.
    pub(crate) fn leaders(&mut self, metas: &[Ipv4Addr]) -> Vec<Ipv4Addr> {
        metas.iter().copied().filter(|&m| self.raft(m) == RaftStatus::Leader).collect()
    }

    pub(crate) fn leader5(&mut self, metas: &[Ipv4Addr]) -> Ipv4Addr {
        *self.leaders(metas).first().expect("a leader")
    }

    pub(crate) fn leader6(&mut self, metas: &[Ipv4Addr]) -> Option<Ipv4Addr> {
        metas.iter().find_map(|&m| v6::leader(&self.meta(m, "/meta/leader/query")).ok())
    }

    pub(crate) fn nodes(&mut self, meta: Ipv4Addr, role: &str) -> BTreeSet<Ipv4Addr> {
        wire::nodes(&self.meta(meta, &format!("/digest/{role}/node/query")), CENTER).expect("nodes")
    }

    pub(crate) fn push(&mut self, meta: Ipv4Addr, path: &str) {
        assert_eq!(wire::outcome(&self.meta(meta, path)), Ok(Outcome::Accepted), "{path}");
    }

    pub(crate) fn session_push(&mut self, session: Ipv4Addr) -> PushSwitch {
        wire::session_push_switch(&self.session(session, "/digest/pushSwitch")).expect("a switch")
    }

    pub(crate) fn publishers(&mut self, data: Ipv4Addr) -> u64 {
        wire::data_counts(&self.data(data, "/digest/datum/count"), CENTER).expect("counts").publishers
    }

    pub(crate) fn session_publishers(&mut self, session: Ipv4Addr) -> u64 {
        wire::session_counts(&self.session(session, "/digest/data/count")).expect("counts").publishers
    }

    pub(crate) fn values(&self, client: ClientId, name: &str) -> Option<Vec<String>> {
        let name = format!("{name}#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP");
        let view = self.registry.client_view(client).expect("a client");
        view.seen.get(&name).map(|seen| seen.values.iter().cloned().collect())
    }

    pub(crate) fn pushes(&self, clients: &[ClientId]) -> u32 {
        let views = clients.iter().filter_map(|&c| self.registry.client_view(c));
        views.flat_map(|v| v.seen.into_values().map(|s| s.pushes).collect::<Vec<_>>()).sum()
    }

    pub(crate) fn emptied(&self, clients: &[ClientId]) -> u32 {
        let views = clients.iter().filter_map(|&c| self.registry.client_view(c));
        views.flat_map(|v| v.seen.into_values().map(|s| s.emptied).collect::<Vec<_>>()).sum()
    }
}

pub(crate) fn refused(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Refused(why) => why,
        Outcome::Accepted => panic!("accepted"),
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let run = |seed| {
        let mut net = Net::serving(ServerLine::V5, seed);
        net.registry.populate("default", 10, net.registry.now());
        net.stop(at(12), Signal::Kill);
        net.pass(300_000);
        net.registry.take_events()
    };
    assert_eq!(run(7), run(7));
    assert!(run(7) != run(8), "chance is in the seed");
}
