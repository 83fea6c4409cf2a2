//! Keeps the fake SOFARegistry honest: its answers against those recorded from the real servers, read by the real parsers,
//! and each measured behaviour as a test that names its section of `docs/measured/sofaregistry.md`.

#![expect(clippy::expect_used, clippy::panic, reason = "a test ends by panicking with what was seen")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::Value;
use sofa_operator::admin::answer::{Answer, Unreadable};
use sofa_operator::admin::registry::v5::{self, RaftStatus};
use sofa_operator::admin::registry::v6;
use sofa_operator::admin::registry::wire::{self, Outcome, PushSwitch, Serving};
use sofa_operator::testkit::registry::{
    ClientId, ClientSpec, DatabaseId, FakeRegistry, ProcessSpec, Reply, Request, ServerLine, ServerRole,
    Signal, VolumeId,
};

const CENTER: &str = "DefaultDataCenter";
const CLOSE: &str = "/stopPushDataSwitch/open";
const OPEN: &str = "/stopPushDataSwitch/close";
const CHANGE_FAILED: &str = "Error when changePeer： CliService change peer error!";

fn ip(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}

/// 10.0.0.N: metas from 11, data from 21, sessions from 31.
fn at(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

fn all(ns: &[u8]) -> Vec<Ipv4Addr> {
    ns.iter().map(|&n| at(n)).collect()
}

fn set(ns: &[u8]) -> BTreeSet<Ipv4Addr> {
    ns.iter().map(|&n| at(n)).collect()
}

/// A network and the moment that it is at.
struct Net {
    registry: FakeRegistry,
    line: ServerLine,
}

impl Net {
    fn new(line: ServerLine, seed: u64) -> Self {
        Self { registry: FakeRegistry::new(seed), line }
    }

    /// Three metas, two data nodes and two sessions, started in order and serving.
    fn serving(line: ServerLine, seed: u64) -> Self {
        Self::of(line, seed, &all(&[11, 12, 13]), &all(&[21, 22]), &all(&[31, 32]))
    }

    fn of(line: ServerLine, seed: u64, metas: &[Ipv4Addr], data: &[Ipv4Addr], sessions: &[Ipv4Addr]) -> Self {
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

    fn spec(&self, role: ServerRole, ip: Ipv4Addr, metas: &[Ipv4Addr]) -> ProcessSpec {
        ProcessSpec { config_metas: metas.to_vec(), ..ProcessSpec::new(self.line, role, ip) }
    }

    fn start(&mut self, role: ServerRole, ip: Ipv4Addr, metas: &[Ipv4Addr]) {
        let spec = self.spec(role, ip, metas);
        self.registry.start(spec, self.registry.now());
    }

    /// Starts a meta on the volume of another address.
    fn start_on(&mut self, ip: Ipv4Addr, metas: &[Ipv4Addr], volume: Ipv4Addr) {
        let spec =
            ProcessSpec { volume: VolumeId(volume.to_string()), ..self.spec(ServerRole::Meta, ip, metas) };
        self.registry.start(spec, self.registry.now());
    }

    fn stop(&mut self, ip: Ipv4Addr, signal: Signal) {
        self.registry.stop(ip, signal, self.registry.now());
    }

    fn pass(&mut self, millis: u64) {
        self.registry.advance(self.registry.now() + millis);
    }

    fn reply(&mut self, request: &Request) -> Reply {
        self.registry.http(self.registry.now(), request)
    }

    fn answer(&mut self, request: &Request) -> Answer {
        match self.reply(request) {
            Reply::Answer(answer) => answer,
            other => panic!("{} {}: {other:?}", request.ip, request.path),
        }
    }

    fn meta(&mut self, ip: Ipv4Addr, path: &str) -> Answer {
        self.answer(&Request::get(ip, 9615, path))
    }

    fn data(&mut self, ip: Ipv4Addr, path: &str) -> Answer {
        self.answer(&Request::get(ip, 9622, path))
    }

    fn session(&mut self, ip: Ipv4Addr, path: &str) -> Answer {
        self.answer(&Request::get(ip, 9603, path))
    }

    fn raft(&mut self, ip: Ipv4Addr) -> RaftStatus {
        v5::raft_status(&self.meta(ip, "/health/check")).expect("a 5.x meta's health")
    }

    fn peers(&mut self, ip: Ipv4Addr) -> BTreeSet<Ipv4Addr> {
        v5::peers(&self.meta(ip, "/manage/queryPeer")).expect("peers")
    }

    fn peer_command(&mut self, to: Ipv4Addr, path: &str, list: &[Ipv4Addr]) -> Outcome {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        let request = Request::form(to, 9615, path, &[("ipAddressList", &list.join(","))]);
        wire::outcome(&self.answer(&request)).expect("an outcome")
    }

    fn change(&mut self, to: Ipv4Addr, list: &[Ipv4Addr]) -> Outcome {
        self.peer_command(to, "/manage/changePeer", list)
    }

    fn reset(&mut self, to: Ipv4Addr, list: &[Ipv4Addr]) -> Outcome {
        self.peer_command(to, "/manage/resetPeer", list)
    }

    /// The addresses of the leaders among these metas.
    fn leaders(&mut self, metas: &[Ipv4Addr]) -> Vec<Ipv4Addr> {
        metas.iter().copied().filter(|&m| self.raft(m) == RaftStatus::Leader).collect()
    }

    fn leader5(&mut self, metas: &[Ipv4Addr]) -> Ipv4Addr {
        *self.leaders(metas).first().expect("a leader")
    }

    fn leader6(&mut self, metas: &[Ipv4Addr]) -> Option<Ipv4Addr> {
        metas.iter().find_map(|&m| v6::leader(&self.meta(m, "/meta/leader/query")).ok())
    }

    fn nodes(&mut self, meta: Ipv4Addr, role: &str) -> BTreeSet<Ipv4Addr> {
        wire::nodes(&self.meta(meta, &format!("/digest/{role}/node/query")), CENTER).expect("nodes")
    }

    fn push(&mut self, meta: Ipv4Addr, path: &str) {
        assert_eq!(wire::outcome(&self.meta(meta, path)), Ok(Outcome::Accepted), "{path}");
    }

    fn session_push(&mut self, session: Ipv4Addr) -> PushSwitch {
        wire::session_push_switch(&self.session(session, "/digest/pushSwitch")).expect("a switch")
    }

    fn publishers(&mut self, data: Ipv4Addr) -> u64 {
        wire::data_counts(&self.data(data, "/digest/datum/count"), CENTER).expect("counts").publishers
    }

    fn session_publishers(&mut self, session: Ipv4Addr) -> u64 {
        wire::session_counts(&self.session(session, "/digest/data/count")).expect("counts").publishers
    }

    fn values(&self, client: ClientId, name: &str) -> Option<Vec<String>> {
        let name = format!("{name}#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP");
        let view = self.registry.client_view(client).expect("a client");
        view.seen.get(&name).map(|seen| seen.values.iter().cloned().collect())
    }

    fn pushes(&self, clients: &[ClientId]) -> u32 {
        let views = clients.iter().filter_map(|&c| self.registry.client_view(c));
        views.flat_map(|v| v.seen.into_values().map(|s| s.pushes).collect::<Vec<_>>()).sum()
    }

    fn emptied(&self, clients: &[ClientId]) -> u32 {
        let views = clients.iter().filter_map(|&c| self.registry.client_view(c));
        views.flat_map(|v| v.seen.into_values().map(|s| s.emptied).collect::<Vec<_>>()).sum()
    }
}

fn refused(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Refused(why) => why,
        Outcome::Accepted => panic!("accepted"),
    }
}

/// The recorded answer `name` of `version`.
fn recorded(version: &str, name: &str) -> Answer {
    let path = Path::new("tests/fixtures/registry").join(version).join(format!("{name}.http"));
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
    let head = str::from_utf8(&bytes[..split]).expect("a head in ASCII");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    let location = head.lines().find_map(|l| l.strip_prefix("Location: ")).map(str::to_owned);
    Answer { status, location, body: bytes[split + 4..].to_vec(), cut: false }
}

/// An answer in which what differs from run to run is masked: figures of time and slots; lists are sorted.
fn essence(answer: &Answer) -> (u16, Option<String>, Value) {
    let text = String::from_utf8(answer.body.clone()).expect("text");
    let mut value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    mask(&mut value);
    (answer.status, answer.location.clone(), value)
}

fn mask(value: &mut Value) {
    match value {
        Value::Array(list) => {
            list.iter_mut().for_each(mask);
            list.sort_by_key(ToString::to_string);
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                match name.as_str() {
                    "epoch"
                    | "timestamp"
                    | "rand"
                    | "slotTableEpoch"
                    | "slotTableStable"
                    | "slotTableLeaderBalanced" => *field = Value::Null,
                    "leaderCount" | "followerCount" => {
                        let counts = field.as_object_mut().expect("counts");
                        counts.values_mut().for_each(|v| *v = Value::Null);
                    }
                    _ => mask(field),
                }
            }
        }
        Value::String(text) => {
            // The port of a session's connection is chance, and so are the orders of lists in texts.
            if let Some((host, port)) = text.split_once(':')
                && host.parse::<Ipv4Addr>().is_ok()
                && port != "9600"
                && port.parse::<u16>().is_ok()
            {
                *text = format!("{host}:*");
            }
            if text.contains(';') && !text.contains('<') {
                let mut parts: Vec<&str> = text.split(';').collect();
                parts.sort_unstable();
                *text = parts.join(";");
            }
            if let Some((before, list)) = text.split_once("meta-servers:[") {
                let mut nodes: Vec<&str> = list.trim_end_matches(']').split(", ").collect();
                nodes.sort_unstable();
                *text = format!("{before}meta-servers:[{}]", nodes.join(", "));
            }
        }
        _ => {}
    }
}

fn same(version: &str, name: &str, fake: &Answer) {
    assert_eq!(essence(fake), essence(&recorded(version, name)), "{version} {name}");
    let text = String::from_utf8_lossy(&fake.body);
    if text.starts_with('<') || !text.contains("10.200.") {
        let real = recorded(version, name);
        let volatile = name.contains("leader-query") || name.contains("data-ids") || name.contains("slot");
        assert!(volatile || fake.body == real.body, "{version} {name}: not byte for byte\n{text}");
    }
}

/// The addresses that the recording of 5.4.3 was made on.
const METAS5: [&str; 3] = ["10.200.3.98", "10.200.2.96", "10.200.1.98"];
const DATA5: [&str; 2] = ["10.200.2.97", "10.200.1.99"];
const SESSIONS5: [&str; 2] = ["10.200.3.99", "10.200.2.98"];

fn ips(list: &[&str]) -> Vec<Ipv4Addr> {
    list.iter().map(|i| ip(i)).collect()
}

#[test]
fn recorded_5_4_3_without_data_and_sessions() {
    let metas = ips(&METAS5);
    let mut net = Net::of(ServerLine::V5, 1, &metas, &[], &[]);
    for (name, path) in [
        ("meta-data-nodes-none", "/digest/data/node/query"),
        ("meta-session-nodes-none", "/digest/session/node/query"),
        ("meta-push-switch-unset", "/digest/pushSwitch"),
    ] {
        same("5.4.3", name, &net.meta(metas[0], path));
    }
    net.start(ServerRole::Data, ip(DATA5[0]), &metas);
    net.pass(15_000);
    same("5.4.3", "data-datum-count-empty", &net.data(ip(DATA5[0]), "/digest/datum/count"));
}

#[test]
fn recorded_5_4_3_while_it_serves() {
    let (metas, data, sessions) = (ips(&METAS5), ips(&DATA5), ips(&SESSIONS5));
    let mut net = Net::of(ServerLine::V5, 1, &metas, &data, &sessions);
    let leader = net.leader5(&metas);
    let follower = *metas.iter().find(|&&m| m != leader).expect("a follower");
    for (who, meta) in [("leader", leader), ("follower", follower)] {
        let reads = [
            ("meta-health", "/health/check"),
            ("meta-meta-nodes", "/digest/meta/node/query"),
            ("meta-data-nodes", "/digest/data/node/query"),
            ("meta-session-nodes", "/digest/session/node/query"),
            ("meta-query-peer", "/manage/queryPeer"),
            ("meta-leader-query", "/meta/leader/query"),
            ("meta-slot-status", "/openapi/v1/slot/table/status"),
            // Recorded on the follower after the leader's turn had closed it.
            ("meta-push-switch", "/digest/pushSwitch"),
            ("meta-open-push", OPEN),
            ("meta-push-switch-open", "/digest/pushSwitch"),
            ("meta-close-push", CLOSE),
            ("meta-push-switch-closed", "/digest/pushSwitch"),
            ("meta-renew-switch", "/renewSwitch/get"),
        ];
        for (name, path) in reads {
            let answer = net.meta(meta, path);
            same("5.4.3", &format!("{name}-{who}"), &answer);
            net.pass(1_000);
            if path == OPEN || path == CLOSE {
                let word = if path == OPEN { "open" } else { "closed" };
                let answer = net.session(sessions[0], "/digest/pushSwitch");
                same("5.4.3", &format!("session-push-switch-{word}-{who}"), &answer);
            }
        }
        let post = net.answer(&Request::form(meta, 9615, CLOSE, &[]));
        same("5.4.3", &format!("meta-close-push-post-{who}"), &post);
        let good = r#"{"version":1,"data":"x","dataId":"recorded","group":"g","instanceId":"i"}"#;
        for (name, body) in [("", good), ("-bad", r#"{"dataId":"recorded"}"#)] {
            let answer = net.answer(&Request::json(meta, 9615, "/persistentData/put", body));
            same("5.4.3", &format!("meta-put-provide-data{name}-{who}"), &answer);
        }
    }
    same("5.4.3", "meta-renew-switch-disable", &net.meta(leader, "/renewSwitch/disable"));
    same("5.4.3", "meta-renew-switch-disabled", &net.meta(leader, "/renewSwitch/get"));
    same("5.4.3", "meta-open-push-again", &net.meta(leader, OPEN));
    same("5.4.3", "unknown-path", &net.meta(leader, "/no/such/path"));
    recorded_members(&mut net, "5.4.3", data[0], sessions[0]);
    let data_list = net.data(data[0], "/digest/data/serverList/query");
    same("5.4.3", "data-data-list", &data_list);
    same("5.4.3", "session-data-count-empty", &net.session(sessions[0], "/digest/data/count"));
    same("5.4.3", "session-data-ids", &net.session(sessions[0], "/digest/getDataInfoIdList"));
    net.registry.populate("default", 50, net.registry.now());
    net.pass(3_000);
    same("5.4.3", "data-datum-count", &net.data(data[0], "/digest/datum/count"));
    for (name, path) in [
        ("data-datum-sizes", "/datum/api/getDatumSizes"),
        ("data-data-ids", "/digest/datum/getDataInfoIdList"),
        ("data-slot-status", "/openapi/v1/slot/table/status"),
    ] {
        same("5.4.3", name, &net.data(data[0], path));
    }
    same("5.4.3", "session-connections", &net.session(sessions[0], "/connections/query"));
}

/// What data and sessions of both lines say of themselves and of the members.
fn recorded_members(net: &mut Net, version: &str, data: Ipv4Addr, session: Ipv4Addr) {
    for (name, path) in [
        ("session-health", "/health/check"),
        ("session-servers", "/api/servers/query"),
        ("session-servers-json", "/api/servers/query.json"),
        ("session-session-list", "/digest/session/serverList/query"),
        ("session-data-list", "/digest/data/serverList/query"),
        ("session-meta-list", "/digest/meta/serverList/query"),
    ] {
        same(version, name, &net.session(session, path));
    }
    for (name, path) in [
        ("data-health", "/health/check"),
        ("data-session-list", "/digest/session/serverList/query"),
        ("data-meta-list", "/digest/meta/serverList/query"),
    ] {
        same(version, name, &net.data(data, path));
    }
}

#[test]
fn recorded_5_4_3_peer_commands_and_no_leader() {
    let (metas, data, sessions) = (ips(&METAS5), ips(&DATA5), ips(&SESSIONS5));
    let mut net = Net::of(ServerLine::V5, 1, &metas, &data, &sessions);
    let leader = net.leader5(&metas);
    let form = |list: &str| Request::form(leader, 9615, "/manage/changePeer", &[("ipAddressList", list)]);
    same("5.4.3", "meta-change-peer-same", &net.answer(&form(&METAS5.join(","))));
    same(
        "5.4.3",
        "meta-change-peer-empty",
        &net.answer(&Request::form(leader, 9615, "/manage/changePeer", &[])),
    );
    let with_data = format!("{},{},{}", METAS5[0], METAS5[1], DATA5[0]);
    same("5.4.3", "meta-change-peer-not-listening", &net.answer(&form(&with_data)));
    same("5.4.3", "meta-change-peer-unresolvable", &net.answer(&form("no-such-host.invalid")));
    // Every meta on a new address: nobody leads. The recording's queryPeer shows the old list.
    for (n, &meta) in metas.iter().enumerate() {
        net.stop(meta, Signal::Kill);
        net.start_on(at(51 + u8::try_from(n).expect("small")), &all(&[51, 52, 53]), meta);
    }
    net.pass(20_000);
    for (name, path) in [
        ("meta-health", "/health/check"),
        ("meta-push-switch", "/digest/pushSwitch"),
        ("meta-data-nodes", "/digest/data/node/query"),
        ("meta-query-peer", "/manage/queryPeer"),
        ("meta-leader-query", "/meta/leader/query"),
        ("meta-close-push", CLOSE),
    ] {
        same("5.4.3", &format!("{name}-no-leader"), &net.meta(at(51), path));
    }
    same("5.4.3", "session-push-switch-no-leader", &net.session(sessions[0], "/digest/pushSwitch"));
    same("5.4.3", "session-health-no-leader", &net.session(sessions[0], "/health/check"));
    same("5.4.3", "data-health-no-leader", &net.data(data[0], "/health/check"));
    let to = |path: &str, list: &str| Request::form(at(51), 9615, path, &[("ipAddressList", list)]);
    let change = net.answer(&to("/manage/changePeer", "10.0.0.51,10.0.0.52"));
    same("5.4.3", "meta-change-peer-no-leader", &change);
    same("5.4.3", "meta-reset-peer-first", &net.answer(&to("/manage/resetPeer", "10.0.0.51")));
    net.pass(4_000);
    assert_eq!(net.raft(at(51)), RaftStatus::Leader);
    same("5.4.3", "meta-reset-peer-again", &net.answer(&to("/manage/resetPeer", "10.0.0.51")));
}

/// The addresses that the recording of 6.3.0 was made on.
const METAS6: [&str; 3] = ["10.200.3.102", "10.200.2.102", "10.200.1.104"];
const DATA6: [&str; 2] = ["10.200.1.105", "10.200.3.103"];
const SESSIONS6: [&str; 2] = ["10.200.1.106", "10.200.2.103"];

/// A cluster whose leader is the recorded one: the first seed with which it is.
fn recorded_cluster6() -> Net {
    (0..32)
        .map(|seed| Net::of(ServerLine::V6, seed, &ips(&METAS6), &ips(&DATA6), &ips(&SESSIONS6)))
        .find_map(|mut net| (net.leader6(&ips(&METAS6)) == Some(ip(METAS6[0]))).then_some(net))
        .expect("a seed with the recorded leader")
}

#[test]
fn recorded_6_3_0_while_it_serves() {
    let mut net = recorded_cluster6();
    for (who, meta) in [("leader", ip(METAS6[0])), ("follower", ip(METAS6[1]))] {
        for (name, path) in [
            ("meta-health", "/health/check"),
            ("meta-meta-nodes", "/digest/meta/node/query"),
            ("meta-data-nodes", "/digest/data/node/query"),
            ("meta-session-nodes", "/digest/session/node/query"),
            ("meta-query-peer", "/manage/queryPeer"),
            ("meta-leader-query", "/meta/leader/query"),
            ("meta-slot-status", "/openapi/v1/slot/table/status"),
            ("meta-push-switch", "/digest/pushSwitch"),
            ("meta-open-push", OPEN),
            ("meta-push-switch-open", "/digest/pushSwitch"),
            ("meta-close-push", CLOSE),
            ("meta-push-switch-closed", "/digest/pushSwitch"),
            ("meta-renew-switch", "/renewSwitch/get"),
        ] {
            same("6.3.0", &format!("{name}-{who}"), &net.meta(meta, path));
            net.pass(1_000);
            if who == "leader" && (path == OPEN || path == CLOSE) {
                let word = if path == OPEN { "open" } else { "closed" };
                let answer = net.session(ip(SESSIONS6[0]), "/digest/pushSwitch");
                same("6.3.0", &format!("session-push-switch-{word}-leader"), &answer);
            }
        }
        let post = net.answer(&Request::form(meta, 9615, CLOSE, &[]));
        same("6.3.0", &format!("meta-close-push-post-{who}"), &post);
        let good = r#"{"version":1,"data":"x","dataId":"recorded","group":"g","instanceId":"i"}"#;
        for (name, body) in [("", good), ("-bad", r#"{"dataId":"recorded"}"#)] {
            let answer = net.answer(&Request::json(meta, 9615, "/persistentData/put", body));
            same("6.3.0", &format!("meta-put-provide-data{name}-{who}"), &answer);
        }
    }
    same("6.3.0", "unknown-path", &net.meta(ip(METAS6[0]), "/no/such/path"));
    let (data, session) = (ip(DATA6[0]), ip(SESSIONS6[0]));
    recorded_members(&mut net, "6.3.0", data, session);
    let broken = net.data(data, "/digest/data/serverList/query");
    same("6.3.0", "data-data-list", &broken);
    same("6.3.0", "data-datum-count-empty", &net.data(data, "/digest/datum/count"));
    same("6.3.0", "session-data-count-empty", &net.session(session, "/digest/data/count"));
    same("6.3.0", "data-slot-status", &net.data(data, "/openapi/v1/slot/table/status"));
}

#[test]
fn recorded_6_3_0_without_its_database() {
    let mut net = recorded_cluster6();
    net.push(ip(METAS6[0]), OPEN);
    net.pass(1_000);
    net.registry.freeze_database(&DatabaseId("registrymetadb".to_owned()), true, net.registry.now());
    net.pass(15_000);
    for (name, path) in [
        ("meta-push-switch", "/digest/pushSwitch"),
        ("meta-data-nodes", "/digest/data/node/query"),
        ("meta-query-peer", "/manage/queryPeer"),
        ("meta-leader-query", "/meta/leader/query"),
        ("meta-close-push", CLOSE),
    ] {
        same("6.3.0", &format!("{name}-no-leader"), &net.meta(ip(METAS6[2]), path));
    }
    same("6.3.0", "meta-health-no-leader", &net.meta(ip(METAS6[2]), "/health/check"));
    same("6.3.0", "session-health-no-leader", &net.session(ip(SESSIONS6[0]), "/health/check"));
    same("6.3.0", "session-push-switch-no-leader", &net.session(ip(SESSIONS6[0]), "/digest/pushSwitch"));
    same("6.3.0", "data-health-no-leader", &net.data(ip(DATA6[0]), "/health/check"));
    // §3: the database back, a leader again within 5 s.
    net.registry.freeze_database(&DatabaseId("registrymetadb".to_owned()), false, net.registry.now());
    net.pass(5_000);
    assert!(net.leader6(&ips(&METAS6)).is_some());
}

#[test]
fn fact_2_who_starts_too_early_never_serves_5() {
    let mut net = Net::new(ServerLine::V5, 2);
    let metas = all(&[11, 12, 13]);
    for role in [ServerRole::Meta, ServerRole::Data, ServerRole::Session] {
        for n in 0..2 {
            let base = match role {
                ServerRole::Meta => 11,
                ServerRole::Data => 21,
                ServerRole::Session => 31,
            };
            net.start(role, at(base + n), &metas);
        }
    }
    net.pass(600_000);
    assert_eq!(net.leaders(&all(&[11, 12])).len(), 1, "the metas are well");
    assert_eq!(wire::serving(&net.data(at(21), "/health/check")), Ok(Serving::NotYet), "INITIAL for ever");
    assert_eq!(net.reply(&Request::get(at(31), 9603, "/health/check")), Reply::Refused);
    assert!(net.registry.running().contains(&at(31)) && net.registry.take_exits().is_empty(), "they live on");
    assert!(net.nodes(at(11), "data").is_empty());
    // A session without any data node is a zombie too.
    net.start(ServerRole::Session, at(33), &metas);
    net.pass(60_000);
    assert!(!net.registry.listens(at(33), 9603));
    // Started again, in order, they serve.
    net.start(ServerRole::Data, at(21), &metas);
    net.pass(10_000);
    net.start(ServerRole::Session, at(31), &metas);
    net.pass(10_000);
    assert_eq!(wire::serving(&net.session(at(31), "/health/check")), Ok(Serving::Yes));
}

#[test]
fn section_3_health_over_the_start() {
    let mut net = Net::new(ServerLine::V5, 3);
    let metas = all(&[11, 12, 13]);
    for &meta in &metas {
        net.start(ServerRole::Meta, meta, &metas);
    }
    net.pass(3_000);
    assert_eq!(net.reply(&Request::get(at(11), 9615, "/health/check")), Reply::Refused, "before http opens");
    net.pass(3_000);
    assert_eq!(net.raft(at(11)), RaftStatus::NotInGroup);
    net.pass(6_000);
    assert_eq!(net.leaders(&metas).len(), 1);
    net.start(ServerRole::Data, at(21), &metas);
    let mut seen = Vec::new();
    for _ in 0..10 {
        net.pass(1_000);
        let what = match net.reply(&Request::get(at(21), 9622, "/health/check")) {
            Reply::Answer(answer) => {
                let text = String::from_utf8(answer.body).expect("text");
                let after = text.split_once("schedulerStarted:").expect("a flag").1;
                format!("{} {}", answer.status, after.trim_end_matches("\"}"))
            }
            other => format!("{other:?}"),
        };
        if seen.last() != Some(&what) {
            seen.push(what);
        }
    }
    assert_eq!(
        seen,
        ["Refused", "500 false, status:INITIAL", "500 true, status:INITIAL", "200 true, status:WORKING"]
    );
}

#[test]
fn section_3_a_leader_ends_and_a_majority_is_lost() {
    let mut net = Net::serving(ServerLine::V5, 4);
    let metas = all(&[11, 12, 13]);
    let leader = net.leader5(&metas);
    net.stop(leader, Signal::Term);
    let left: Vec<Ipv4Addr> = metas.into_iter().filter(|&m| m != leader).collect();
    assert!(left.iter().all(|&m| net.raft(m) == RaftStatus::NotInGroup), "TERM: all are 500 for a moment");
    net.pass(1_000);
    let second = net.leader5(&left);
    let survivor = *left.iter().find(|&&m| m != second).expect("one");
    net.stop(second, Signal::Kill);
    net.pass(1_000);
    assert_ne!(net.raft(survivor), RaftStatus::NotInGroup, "not yet noticed");
    net.pass(2_000);
    assert_eq!(net.raft(survivor), RaftStatus::NotInGroup, "500 after 2.6 s");
    assert_eq!(wire::serving(&net.data(at(21), "/health/check")), Ok(Serving::Yes), "fact 10");
    assert_eq!(wire::serving(&net.session(at(31), "/health/check")), Ok(Serving::Yes), "fact 10");
    assert!(matches!(
        v5::push_switch(&net.meta(survivor, "/digest/pushSwitch")),
        Err(Unreadable::ServerFailed { status: 500, .. })
    ));
    assert_eq!(refused(&net.change(survivor, &[survivor])), CHANGE_FAILED);
}

#[test]
fn section_5_one_meta_on_a_new_address() {
    let mut net = Net::serving(ServerLine::V5, 5);
    let metas = all(&[11, 12, 13]);
    let leader = net.leader5(&metas);
    let gone = *metas.iter().find(|&&m| m != leader).expect("a follower");
    let follower = *metas.iter().find(|&&m| m != leader && m != gone).expect("another");
    net.stop(gone, Signal::Kill);
    net.pass(60_000);
    assert_eq!(net.peers(leader), set(&[11, 12, 13]), "a dead meta stays listed");
    assert_eq!(net.nodes(leader, "meta"), set(&[11, 12, 13]), "there too: entries of metas never expire");
    let target = [leader, follower, at(14)];
    assert_eq!(refused(&net.change(leader, &target)), CHANGE_FAILED, "the new one does not listen yet");
    net.start(ServerRole::Meta, at(14), &target);
    net.pass(300_000);
    assert_eq!(net.raft(at(14)), RaftStatus::NotInGroup, "for ever");
    assert_eq!(net.peers(at(14)), BTreeSet::from(target), "a blank node shows its own configuration");
    assert_eq!(net.leader5(&[leader, follower]), leader, "the others are undisturbed");
    let before = net.registry.now();
    assert_eq!(net.change(follower, &target), Outcome::Accepted, "any meta will do");
    let took = net.registry.now() - before;
    assert!((3_100..=3_300).contains(&took), "{took}");
    for meta in target {
        assert_eq!(net.peers(meta), BTreeSet::from(target));
        assert_eq!(net.nodes(meta, "meta"), BTreeSet::from(target));
    }
    assert_eq!(net.raft(at(14)), RaftStatus::Follower);
    net.pass(3_000);
    let list = wire::session_server_list(&net.session(at(31), "/digest/meta/serverList/query"));
    assert_eq!(list, Ok(BTreeSet::from(target)));
    let list = wire::data_server_list(&net.data(at(21), "/digest/meta/serverList/query"), CENTER);
    assert_eq!(list, Ok(BTreeSet::from(target)));
    assert_eq!(net.change(leader, &target), Outcome::Accepted, "the same list again");
}

#[test]
fn section_5_raft_changes_three_seconds_before_the_list() {
    let mut net = Net::serving(ServerLine::V5, 6);
    let metas = all(&[11, 12, 13]);
    let leader = net.leader5(&metas);
    let others: Vec<Ipv4Addr> = metas.iter().copied().filter(|&m| m != leader).collect();
    let (asked, gone) = (others[0], others[1]);
    net.stop(gone, Signal::Kill);
    let target = [leader, asked, at(14)];
    net.start(ServerRole::Meta, at(14), &target);
    net.pass(10_000);
    let list = target.map(|i| i.to_string()).join(",");
    let request = Request::form(asked, 9615, "/manage/changePeer", &[("ipAddressList", &list)]);
    let call = net.registry.send(net.registry.now(), &request);
    net.pass(1_000);
    net.stop(asked, Signal::Kill);
    net.pass(10_000);
    assert_eq!(net.registry.reply(call), Some(Reply::Closed), "it died before it answered");
    assert_eq!(net.peers(leader), BTreeSet::from(target), "raft has changed");
    assert_eq!(net.nodes(leader, "meta"), set(&[11, 12, 13]), "the list that others follow has not");
    assert_eq!(net.change(leader, &target), Outcome::Accepted);
    assert_eq!(net.nodes(leader, "meta"), BTreeSet::from(target), "the call repeated mends it");
    // A caller without patience gets nothing, and the command goes on.
    let hasty = Request { ip: leader, ..request }.patient_for(1_000);
    assert_eq!(net.reply(&hasty), Reply::TimedOut);
}

#[test]
fn section_5_a_list_without_the_leader() {
    let mut net = Net::serving(ServerLine::V5, 7);
    let metas = all(&[11, 12, 13]);
    let leader = net.leader5(&metas);
    let rest: Vec<Ipv4Addr> = metas.iter().copied().filter(|&m| m != leader).collect();
    assert_eq!(net.change(leader, &rest), Outcome::Accepted);
    net.pass(3_000);
    assert_eq!(net.leaders(&rest).len(), 1, "another one leads");
    assert_eq!(net.raft(leader), RaftStatus::NotInGroup, "the dropped one lives, 500");
    let to = rest[0];
    assert_eq!(net.change(to, &metas), Outcome::Accepted, "and can be added again");
    assert_eq!(net.raft(leader), RaftStatus::Follower);
}

#[test]
fn section_5_the_same_address_needs_no_command() {
    for wiped in [false, true] {
        let mut net = Net::serving(ServerLine::V5, 8);
        let metas = all(&[11, 12, 13]);
        let leader = net.leader5(&metas);
        let other = *metas.iter().find(|&&m| m != leader).expect("a follower");
        net.stop(other, Signal::Term);
        if wiped {
            net.registry.wipe(&VolumeId(other.to_string()));
        }
        net.start(ServerRole::Meta, other, &metas);
        net.pass(6_500);
        assert_eq!(net.raft(other), RaftStatus::Follower, "wiped: {wiped}");
    }
}

#[test]
fn section_6_the_wrong_way_two_blank_metas_at_once() {
    let mut net = Net::serving(ServerLine::V5, 9);
    let leader = net.leader5(&all(&[11, 12, 13]));
    net.push(leader, CLOSE);
    net.pass(1_000);
    let lineage = net.registry.lineage(at(11));
    net.stop(at(12), Signal::Kill);
    net.stop(at(13), Signal::Kill);
    let list = all(&[11, 15, 16]);
    net.start(ServerRole::Meta, at(15), &list);
    net.start(ServerRole::Meta, at(16), &list);
    net.pass(11_000);
    assert_eq!(net.leaders(&all(&[15, 16])).len(), 1, "they elected each other");
    assert_ne!(net.registry.lineage(at(15)), lineage, "a new, empty cluster");
    let switch = net.meta(at(15), "/digest/pushSwitch");
    assert_eq!(v5::push_switch(&switch), Ok(PushSwitch::NeverSet), "the switch is gone, so push is open");
    net.pass(5_000);
    assert_eq!(net.raft(at(11)), RaftStatus::Follower, "the survivor looks healthy");
    assert_eq!(net.peers(at(11)), set(&[11, 12, 13]), "with its old list");
    assert_eq!(net.meta(at(11), "/digest/pushSwitch").status, 500, "and its store calls fail");
    assert_eq!(net.nodes(at(15), "data"), set(&[21, 22]), "data went over by itself");
    assert_eq!(net.nodes(at(15), "session"), set(&[31, 32]), "and sessions too");
    assert!(refused(&net.change(at(11), &list)).ends_with("method replaceAll got error!"));
    // Only wiped and started again does it join.
    net.stop(at(11), Signal::Kill);
    net.registry.wipe(&VolumeId(at(11).to_string()));
    net.start(ServerRole::Meta, at(11), &list);
    net.pass(10_000);
    assert_eq!(net.meta(at(11), "/digest/pushSwitch").status, 200);
}

#[test]
fn section_6_the_right_way_one_at_a_time() {
    let mut net = Net::serving(ServerLine::V5, 10);
    let leader = net.leader5(&all(&[11, 12, 13]));
    net.push(leader, CLOSE);
    for gone in all(&[12, 13]) {
        net.stop(gone, Signal::Kill);
    }
    net.pass(5_000);
    assert!(refused(&net.reset(at(11), &all(&[11]))).starts_with("Error when resetPeer"), "the first answer");
    net.pass(4_000);
    assert_eq!(net.peers(at(11)), set(&[11]), "although it took effect");
    assert_eq!(net.raft(at(11)), RaftStatus::Leader);
    assert_eq!(v5::push_switch(&net.meta(at(11), "/digest/pushSwitch")), Ok(PushSwitch::Closed), "data kept");
    assert_eq!(net.nodes(at(11), "meta"), set(&[11, 12, 13]), "the list is not written yet");
    assert_eq!(net.reset(at(11), &all(&[11])), Outcome::Accepted, "repeated");
    assert_eq!(net.nodes(at(11), "meta"), set(&[11]));
    for n in [15, 16] {
        let list: Vec<Ipv4Addr> = all(&[11, 15, 16]).into_iter().filter(|i| i.octets()[3] <= n).collect();
        net.start(ServerRole::Meta, at(n), &list);
        net.pass(8_000);
        assert_eq!(net.change(at(if n == 15 { 11 } else { 15 }), &list), Outcome::Accepted);
        assert_eq!(net.raft(at(n)), RaftStatus::Follower);
    }
    for meta in all(&[11, 15, 16]) {
        assert_eq!(v5::push_switch(&net.meta(meta, "/digest/pushSwitch")), Ok(PushSwitch::Closed));
    }
}

/// All three metas killed, and back on 51–53 with their volumes.
fn after_power_loss(seed: u64) -> (Net, Ipv4Addr) {
    let mut net = Net::serving(ServerLine::V5, seed);
    let metas = all(&[11, 12, 13]);
    let leader = net.leader5(&metas);
    net.push(leader, CLOSE);
    for (n, &meta) in (51..).zip(&metas) {
        net.stop(meta, Signal::Kill);
        net.start_on(at(n), &all(&[51, 52, 53]), meta);
    }
    net.pass(300_000);
    let led = at(leader.octets()[3] + 40);
    (net, led)
}

#[test]
fn section_12_power_loss_and_its_cure() {
    let (mut net, led) = after_power_loss(11);
    for meta in all(&[51, 52, 53]) {
        assert_eq!(net.raft(meta), RaftStatus::NotInGroup, "for ever");
        assert_eq!(net.peers(meta), set(&[11, 12, 13]), "the old list");
        assert_eq!(net.meta(meta, "/digest/pushSwitch").status, 500);
    }
    assert!(refused(&net.reset(led, &[led])).contains("replaceAll"));
    net.pass(4_000);
    assert_eq!(net.raft(led), RaftStatus::Leader);
    assert_eq!(net.reset(led, &[led]), Outcome::Accepted);
    assert_eq!(v5::push_switch(&net.meta(led, "/digest/pushSwitch")), Ok(PushSwitch::Closed));
    let mut list = vec![led];
    for other in all(&[51, 52, 53]).into_iter().filter(|&m| m != led) {
        list.push(other);
        assert_eq!(net.change(led, &list), Outcome::Accepted, "not blank, and joined without wiping");
        assert_eq!(net.raft(other), RaftStatus::Follower);
    }
}

#[test]
fn data_and_sessions_never_follow_metas_that_all_moved() {
    let (mut net, led) = after_power_loss(12);
    net.reset(led, &[led]);
    net.pass(4_000);
    net.reset(led, &[led]);
    net.pass(120_000);
    assert_eq!(wire::serving(&net.data(at(21), "/health/check")), Ok(Serving::Yes), "200 WORKING");
    assert!(net.nodes(led, "data").is_empty(), "and in nobody's list");
    assert!(net.nodes(led, "session").is_empty(), "as in pods: their names were resolved when they started");
    net.start(ServerRole::Data, at(21), &[led]);
    net.pass(10_000);
    assert_eq!(net.nodes(led, "data"), set(&[21]), "restarted, it is back");
    net.start(ServerRole::Session, at(31), &[led]);
    net.pass(20_000);
    assert_eq!(net.nodes(led, "session"), set(&[31]), "restarted, it is back");
}

/// A meta of this group ends, and is back on another address with its volume; nobody has told the others.
fn moved(net: &mut Net, group: &mut [Ipv4Addr], turn: usize) -> Ipv4Addr {
    let (old, new) = (group[turn], at(51 + u8::try_from(turn).expect("small")));
    net.stop(old, Signal::Term);
    net.pass(5_000);
    group[turn] = new;
    net.start_on(new, group, old);
    net.pass(6_000);
    new
}

/// Three metas of 5.x are replaced, the leader last. Asked for what needs its store before `changePeer`, the first of them
/// learns a group without its own new address: when the others have moved too it reaches nobody, whoever leads.
#[test]
fn section_14_a_meta_that_is_asked_before_it_is_let_in_reaches_no_store_later() {
    for asked_early in [false, true] {
        let mut net = Net::of(ServerLine::V5, 14, &all(&[11, 12, 13]), &[], &[]);
        let leader = net.leader5(&all(&[11, 12, 13]));
        let mut group: Vec<Ipv4Addr> = all(&[11, 12, 13]).into_iter().filter(|&m| m != leader).collect();
        group.push(leader);
        for turn in 0..3 {
            let new = moved(&mut net, &mut group, turn);
            if turn == 0 && asked_early {
                assert_eq!(net.meta(new, "/digest/pushSwitch").status, 200, "the leader tells it");
            }
            let serving: Vec<_> = group.iter().copied().filter(|&m| m != new && m != at(51)).collect();
            assert_eq!(net.change(*serving.last().expect("another"), &group.clone()), Outcome::Accepted);
            net.pass(1_000);
        }
        let status = net.meta(at(51), "/digest/pushSwitch").status;
        let leads = net.raft(at(51)) == RaftStatus::Leader;
        assert_ne!(net.raft(at(51)), RaftStatus::NotInGroup, "it says that it serves");
        assert_eq!(status == 200, leads || !asked_early, "a leader reads its own store");
        let opened = net.meta(at(51), OPEN).status == 200;
        assert_eq!(opened, !asked_early, "and changes nothing, also as the leader");
        assert_eq!(net.meta(at(52), OPEN).status, 200, "the others do");
    }
}

/// Three metas of 5.x are replaced. Data nodes and sessions that are connected to the leader alone learn of the new ones when it
/// ends: as the last one it leaves them nobody whom they know, as the last but one it does.
#[test]
fn section_14_who_knows_the_metas_by_their_leader_alone_loses_them_with_it() {
    for leader_last in [true, false] {
        let mut net = Net::of(ServerLine::V5, 15, &all(&[11, 12, 13]), &all(&[21]), &all(&[31]));
        let leader = net.leader5(&all(&[11, 12, 13]));
        let mut group: Vec<Ipv4Addr> = all(&[11, 12, 13]).into_iter().filter(|&m| m != leader).collect();
        group.insert(if leader_last { 2 } else { 1 }, leader);
        for turn in 0..3 {
            let new = moved(&mut net, &mut group, turn);
            let serving: Vec<_> = group.iter().copied().filter(|&m| m != new).collect();
            assert_eq!(net.change(serving[0], &group.clone()), Outcome::Accepted);
            net.pass(1_000);
        }
        net.pass(60_000);
        let led = net.leader5(&group);
        for (role, ip) in [("data", 21), ("session", 31)] {
            let listed = if leader_last { set(&[]) } else { set(&[ip]) };
            assert_eq!(net.nodes(led, role), listed, "{role}, the leader last: {leader_last}");
        }
    }
}

#[test]
fn section_12_a_stale_survivor_loses_what_it_missed() {
    let mut net = Net::serving(ServerLine::V5, 13);
    let metas = all(&[11, 12, 13]);
    let leader = net.leader5(&metas);
    let stale = *metas.iter().find(|&&m| m != leader).expect("a follower");
    net.push(leader, CLOSE);
    net.stop(stale, Signal::Kill);
    net.push(leader, OPEN);
    for &meta in metas.iter().filter(|&&m| m != stale) {
        net.stop(meta, Signal::Kill);
    }
    net.start_on(at(51), &all(&[51, 52]), stale);
    net.start_on(at(52), &all(&[51, 52]), leader);
    net.pass(10_000);
    net.reset(at(51), &all(&[51]));
    net.pass(4_000);
    assert_eq!(
        v5::push_switch(&net.meta(at(51), "/digest/pushSwitch")),
        Ok(PushSwitch::Closed),
        "the older value: the later write is silently gone"
    );
    assert_eq!(
        net.change(at(51), &all(&[51, 52])),
        Outcome::Accepted,
        "one that was ahead joins all the same"
    );
    assert_eq!(v5::push_switch(&net.meta(at(52), "/digest/pushSwitch")), Ok(PushSwitch::Closed));
}

#[test]
fn a_member_that_missed_writes_never_leads_while_one_that_has_them_is_there() {
    for seed in 0..8 {
        let mut net = Net::serving(ServerLine::V5, seed);
        let metas = all(&[11, 12, 13]);
        let leader = net.leader5(&metas);
        let stale = *metas.iter().find(|&&m| m != leader).expect("a follower");
        net.stop(stale, Signal::Kill);
        net.push(leader, CLOSE);
        for &meta in metas.iter().filter(|&&m| m != stale) {
            net.stop(meta, Signal::Kill);
        }
        net.start(ServerRole::Meta, stale, &metas);
        net.start(ServerRole::Meta, leader, &metas);
        net.pass(20_000);
        assert_eq!(net.leader5(&[stale, leader]), leader, "seed {seed}");
        assert_eq!(v5::push_switch(&net.meta(stale, "/digest/pushSwitch")), Ok(PushSwitch::Closed));
    }
}

#[test]
fn section_12_two_clusters_and_a_used_address() {
    for own_groups in [false, true] {
        let mut net = Net::new(ServerLine::V5, 14);
        let groups = [("alpha", all(&[11, 12])), ("beta", all(&[41]))];
        for (name, metas) in &groups {
            for &meta in metas {
                let mut spec = net.spec(ServerRole::Meta, meta, metas);
                if own_groups {
                    (*name).clone_into(&mut spec.raft_group);
                }
                net.registry.start(spec, net.registry.now());
            }
        }
        net.pass(15_000);
        let leader = net.leader5(&all(&[11, 12]));
        assert_eq!(net.raft(at(41)), RaftStatus::Leader);
        let own = net.registry.lineage(at(41));
        let outcome = net.change(leader, &all(&[11, 12, 41]));
        if own_groups {
            assert_eq!(refused(&outcome), CHANGE_FAILED, "both unharmed");
            assert_eq!((net.raft(at(41)), net.registry.lineage(at(41))), (RaftStatus::Leader, own));
        } else {
            assert_eq!(outcome, Outcome::Accepted, "the default group");
            assert_eq!(net.raft(at(41)), RaftStatus::Follower, "beta's meta follows alpha");
            assert_ne!(net.registry.lineage(at(41)), own, "and its own cluster is gone");
        }
    }
}

#[test]
fn section_12_a_blank_meta_on_an_address_that_another_cluster_still_lists_is_swallowed() {
    for own_groups in [false, true] {
        let mut net = Net::of(ServerLine::V5, 30, &all(&[11, 12, 13]), &[], &[]);
        let alpha = net.registry.lineage(at(11));
        net.stop(at(13), Signal::Kill);
        net.registry.release(at(13), net.registry.now());
        let mut spec = net.spec(ServerRole::Meta, at(13), &all(&[13]));
        spec.volume = VolumeId("beta".to_owned());
        if own_groups {
            spec.raft_group = "beta".to_owned();
        }
        net.registry.start(spec, net.registry.now());
        net.pass(20_000);
        assert_eq!(net.registry.lineage(at(13)) == alpha, !own_groups);
    }
}

#[test]
fn facts_6_and_7_the_switch_and_the_session_that_misses_it() {
    let mut net = Net::serving(ServerLine::V5, 15);
    let leader = net.leader5(&all(&[11, 12, 13]));
    assert_eq!(net.session_push(at(31)), PushSwitch::Open, "5.x is open until told");
    net.registry.miss_next_switch(at(32));
    net.push(leader, CLOSE);
    net.pass(300_000);
    assert_eq!(net.session_push(at(31)), PushSwitch::Closed);
    assert_eq!(net.session_push(at(32)), PushSwitch::Open, "it never corrects itself");
    net.push(leader, CLOSE);
    net.pass(1_000);
    assert_eq!(net.session_push(at(32)), PushSwitch::Closed, "the call repeated reaches it");
    // A session that starts while push is closed comes up closed, unless it misses that too.
    net.start(ServerRole::Session, at(31), &all(&[11, 12, 13]));
    net.start(ServerRole::Session, at(32), &all(&[11, 12, 13]));
    net.registry.miss_next_switch(at(32));
    net.pass(60_000);
    assert_eq!(net.session_push(at(31)), PushSwitch::Closed);
    assert_eq!(net.session_push(at(32)), PushSwitch::Open);
}

#[test]
fn the_switch_sent_to_a_meta_whose_clock_is_behind_does_not_reach_sessions() {
    let mut net = Net::serving(ServerLine::V5, 16);
    net.registry.skew_clock(at(12), -60_000);
    net.push(at(11), OPEN);
    net.pass(1_000);
    net.push(at(12), CLOSE);
    net.pass(30_000);
    assert_eq!(
        v5::push_switch(&net.meta(at(11), "/digest/pushSwitch")),
        Ok(PushSwitch::Closed),
        "§4: stored"
    );
    assert_eq!(net.session_push(at(31)), PushSwitch::Open, "its stamp is older");
    net.push(at(11), CLOSE);
    net.pass(1_000);
    assert_eq!(net.session_push(at(31)), PushSwitch::Closed);
}

#[test]
fn section_4_nothing_is_pushed_while_closed_and_everything_after() {
    let mut net = Net::serving(ServerLine::V5, 17);
    let clients = net.registry.populate("default", 10, net.registry.now());
    net.pass(5_000);
    assert!(clients.iter().enumerate().all(|(n, &c)| {
        let other = (n + 1) % 10;
        net.values(c, &format!("com.sofa.client.{other}")) == Some(vec![format!("value-{other}")])
    }));
    assert_eq!(net.session_publishers(at(31)) + net.session_publishers(at(32)), 10);
    assert_eq!((net.publishers(at(21)), net.publishers(at(22))), (10, 10), "min(3, data nodes) copies");
    let leader = net.leader5(&all(&[11, 12, 13]));
    net.push(leader, CLOSE);
    net.pass(1_000);
    let before = net.pushes(&clients);
    for (n, &client) in clients.iter().enumerate() {
        net.registry.republish(client, &format!("com.sofa.client.{n}"), "new", net.registry.now());
    }
    net.pass(8_000);
    assert_eq!(net.pushes(&clients), before, "closed: nothing");
    net.push(leader, OPEN);
    net.pass(1_500);
    assert_eq!(net.pushes(&clients), before + 10, "open: all of it");
    assert_eq!(net.values(clients[0], "com.sofa.client.1"), Some(vec!["new".to_owned()]));
}

#[test]
fn section_4_data_one_at_a_time_loses_nothing_and_both_at_once_lose_all() {
    let mut net = Net::serving(ServerLine::V5, 18);
    let metas = all(&[11, 12, 13]);
    let clients = net.registry.populate("default", 10, net.registry.now());
    let leader = net.leader5(&metas);
    assert_eq!(wire::outcome(&net.meta(leader, "/renewSwitch/disable")), Ok(Outcome::Accepted));
    net.pass(5_000);
    for (old, new) in [(21, 23), (22, 24)] {
        net.stop(at(old), Signal::Term);
        net.pass(5_000);
        assert!(net.nodes(leader, "data").contains(&at(old)), "an old address stays for 30 s");
        net.start(ServerRole::Data, at(new), &metas);
        net.pass(40_000);
        assert!(!net.nodes(leader, "data").contains(&at(old)));
    }
    assert_eq!((net.publishers(at(23)), net.publishers(at(24))), (10, 10));
    assert_eq!(net.emptied(&clients), 0, "no empty push");
    for n in [23, 24] {
        net.stop(at(n), Signal::Kill);
        net.start(ServerRole::Data, at(n), &metas);
    }
    net.pass(600_000);
    assert_eq!(
        (net.publishers(at(23)), net.publishers(at(24))),
        (0, 0),
        "renewal is off: nothing comes back"
    );
    assert_eq!(net.emptied(&clients), 10, "and push was open: subscribers were told");
    // Sessions restarted one at a time make their clients register again.
    for n in [31, 32] {
        net.stop(at(n), Signal::Term);
        net.pass(2_000);
        net.start(ServerRole::Session, at(n), &metas);
        net.pass(15_000);
    }
    assert_eq!((net.publishers(at(23)), net.publishers(at(24))), (10, 10));
}

#[test]
fn section_4_renewal_brings_data_back_after_minutes() {
    let mut net = Net::serving(ServerLine::V5, 19);
    net.registry.populate("default", 10, net.registry.now());
    net.pass(5_000);
    for n in [21, 22] {
        net.stop(at(n), Signal::Kill);
        net.start(ServerRole::Data, at(n), &all(&[11, 12, 13]));
    }
    net.pass(20_000);
    assert_eq!(net.publishers(at(21)), 0);
    net.pass(240_000);
    assert_eq!((net.publishers(at(21)), net.publishers(at(22))), (10, 10));
}

#[test]
fn fact_8_a_second_publish_loses_the_others_of_its_connection() {
    for (disabled, fault) in [(false, true), (true, true), (false, false)] {
        let mut net = Net::serving(ServerLine::V5, 20);
        net.registry.set_renew_fault(fault);
        let leader = net.leader5(&all(&[11, 12, 13]));
        if disabled {
            net.meta(leader, "/renewSwitch/disable");
        }
        let publishes = (0..5).map(|n| (format!("com.lab.a{n}"), format!("{n}"))).collect();
        let spec = ClientSpec { cluster: "default".to_owned(), publishes, ..ClientSpec::default() };
        let client = net.registry.add_client(spec, net.registry.now());
        let subscribes = (0..5).map(|n| format!("com.lab.a{n}")).collect();
        let spec = ClientSpec { cluster: "default".to_owned(), subscribes, ..ClientSpec::default() };
        let listener = net.registry.add_client(spec, net.registry.now());
        net.pass(3_000);
        assert_eq!(net.publishers(at(21)), 5);
        net.registry.republish(client, "com.lab.a0", "again", net.registry.now());
        net.pass(600_000);
        let lost = !disabled && fault;
        assert_eq!(net.publishers(at(21)), if lost { 1 } else { 5 }, "disabled {disabled}, fault {fault}");
        assert_eq!(net.emptied(&[listener]), if lost { 4 } else { 0 });
        let ids = net.data(at(21), "/digest/datum/count");
        assert_eq!(wire::data_counts(&ids, CENTER).expect("counts").data, 5, "ids without publishers stay");
    }
}

#[test]
fn section_4_a_session_ends_and_its_clients_go_to_another() {
    let mut net = Net::serving(ServerLine::V5, 21);
    let clients = net.registry.populate("default", 10, net.registry.now());
    net.pass(5_000);
    let leader = net.leader5(&all(&[11, 12, 13]));
    net.stop(at(31), Signal::Term);
    net.pass(1_500);
    assert_eq!(net.session_publishers(at(32)), 10, "within a second");
    assert!(net.nodes(leader, "session").contains(&at(31)));
    net.pass(8_000);
    assert_eq!(net.nodes(leader, "session"), set(&[32]), "gone after 8 s");
    net.pass(60_000);
    assert_eq!((net.publishers(at(21)), net.emptied(&clients)), (10, 0));
}

#[test]
fn frozen_and_cut_off_processes_time_out_and_the_others_go_on() {
    let mut net = Net::serving(ServerLine::V5, 22);
    let metas = all(&[11, 12, 13]);
    let leader = net.leader5(&metas);
    let rest: Vec<Ipv4Addr> = metas.iter().copied().filter(|&m| m != leader).collect();
    net.registry.freeze(leader, net.registry.now());
    let request = Request::get(leader, 9615, "/health/check").patient_for(2_000);
    assert_eq!(net.reply(&request), Reply::TimedOut);
    assert!(net.registry.listens(leader, 9615), "a TCP probe still passes");
    net.pass(5_000);
    assert_eq!(net.leaders(&rest).len(), 1);
    net.registry.unfreeze(leader, net.registry.now());
    net.pass(100);
    assert_eq!(net.raft(leader), RaftStatus::Follower, "the old leader follows");
    net.registry.isolate(leader, true, net.registry.now());
    assert_eq!(net.reply(&request), Reply::TimedOut);
    net.registry.isolate(leader, false, net.registry.now());
    net.registry.lose_answers(rest[0], 1);
    let close = Request::get(rest[0], 9615, CLOSE).patient_for(2_000);
    assert_eq!(net.reply(&close), Reply::TimedOut, "the answer is lost");
    assert_eq!(net.session_push(at(31)), PushSwitch::Closed, "the command is not");
    assert_eq!(net.reply(&Request::get(at(99), 9615, "/health/check").patient_for(500)), Reply::TimedOut);
}

#[test]
fn section_2_a_meta_that_is_not_in_its_own_list_does_not_start() {
    let mut net = Net::new(ServerLine::V5, 23);
    net.start(ServerRole::Meta, at(11), &all(&[12, 13]));
    net.pass(10_000);
    assert_eq!(net.registry.take_exits().len(), 1);
    // Alone in its list, a blank meta is a cluster of its own.
    net.start(ServerRole::Meta, at(12), &all(&[12]));
    net.pass(10_000);
    assert_eq!(net.raft(at(12)), RaftStatus::Leader);
}

fn warm(answer: &Answer) -> bool {
    v6::meta_health(answer).is_ok_and(|h| h.leads && h.warm)
}

#[test]
fn section_13_data_and_sessions_of_6_exit_without_a_warm_leader() {
    let mut net = Net::new(ServerLine::V6, 24);
    let metas = all(&[11, 12, 13]);
    for &meta in &metas {
        net.start(ServerRole::Meta, meta, &[]);
    }
    net.pass(15_000);
    let leader = net.leader6(&metas).expect("a leader");
    assert_eq!(net.meta(leader, "/health/check").status, 200);
    assert!(!warm(&net.meta(leader, "/health/check")), "led, and not warm yet");
    net.start(ServerRole::Data, at(21), &[]);
    net.start(ServerRole::Session, at(31), &[]);
    net.pass(16_000);
    let exits: Vec<(Ipv4Addr, u8)> = net.registry.take_exits().iter().map(|e| (e.ip, e.code)).collect();
    assert_eq!(exits, [(at(21), 1), (at(31), 1)]);
    net.pass(15_000);
    assert!(warm(&net.meta(leader, "/health/check")));
    net.start(ServerRole::Data, at(21), &[]);
    net.pass(20_000);
    net.start(ServerRole::Session, at(31), &[]);
    net.pass(20_000);
    assert!(net.registry.take_exits().is_empty());
    assert_eq!(net.nodes(leader, "session"), set(&[31]));
}

#[test]
fn section_7_the_leader_of_6_dies() {
    for signal in [Signal::Kill, Signal::Term] {
        let mut net = Net::serving(ServerLine::V6, 25);
        let metas = all(&[11, 12, 13]);
        let leader = net.leader6(&metas).expect("a leader");
        let rest: Vec<Ipv4Addr> = metas.iter().copied().filter(|&m| m != leader).collect();
        net.stop(leader, signal);
        net.start(ServerRole::Meta, at(19), &[]);
        net.pass(5_000);
        let health = v6::meta_health(&net.meta(rest[0], "/health/check")).expect("health");
        assert_eq!(health.leader, Some(leader), "still named for 10 s");
        net.pass(6_000);
        assert_eq!(net.meta(rest[0], "/health/check").status, 500);
        assert_eq!(v6::leader(&net.meta(rest[0], "/meta/leader/query")), Err(Unreadable::NoLeader));
        assert_eq!(wire::serving(&net.data(at(21), "/health/check")), Ok(Serving::Yes));
        net.pass(12_000);
        let second = net.leader6(&rest).or_else(|| net.leader6(&[at(19)])).expect("22 s: a new leader");
        assert!(!warm(&net.meta(second, "/health/check")));
        let slots = v6::slot_status(&net.meta(second, "/openapi/v1/slot/table/status")).expect("slots");
        assert!(slots.protection_mode, "until it is warm");
        net.pass(30_000);
        assert!(warm(&net.meta(second, "/health/check")));
        assert!(net.nodes(second, "meta").contains(&at(19)), "a new address is a member by itself");
        for other in rest.iter().filter(|&&m| m != second) {
            net.stop(*other, Signal::Kill);
        }
        net.stop(second, Signal::Kill);
        net.pass(24_000);
        if second != at(19) {
            assert_eq!(net.leader6(&[at(19)]), Some(at(19)), "the last one leads alone");
        }
    }
}

#[test]
fn section_7_push_of_6_is_closed_until_it_is_set() {
    let mut net = Net::serving(ServerLine::V6, 26);
    let metas = all(&[11, 12, 13]);
    let clients = net.registry.populate("default", 10, net.registry.now());
    net.pass(30_000);
    assert_eq!(net.pushes(&clients), 0, "a fresh cluster pushes nothing");
    assert_eq!(net.session_push(at(31)), PushSwitch::Closed);
    let leader = net.leader6(&metas).expect("a leader");
    let unset = v6::push_switch(&net.meta(leader, "/digest/pushSwitch")).expect("a switch");
    assert_eq!(unset.global, PushSwitch::NeverSet);
    let follower = *metas.iter().find(|&&m| m != leader).expect("a follower");
    let sent_on = net.meta(follower, OPEN);
    assert_eq!(sent_on.location, Some(format!("http://{leader}:9615{OPEN}")));
    net.push(leader, OPEN);
    // §4 (source): who subscribed while push was closed hears of unchanged ids a minute later.
    net.pass(62_000);
    assert_eq!(net.pushes(&clients), 10);
    net.push(leader, CLOSE);
    net.pass(500);
    net.registry.republish(clients[3], "com.sofa.client.3", "new", net.registry.now());
    net.pass(10_000);
    assert_eq!(net.pushes(&clients), 10);
    let gray = format!(r#"{{"ips":["{}"]}}"#, at(31));
    let answer = net.answer(&Request::json(leader, 9615, "/stopPushDataSwitch/grayOpen", &gray));
    assert_eq!(wire::outcome(&answer), Ok(Outcome::Accepted));
    net.pass(1_000);
    assert_eq!((net.session_push(at(31)), net.session_push(at(32))), (PushSwitch::Open, PushSwitch::Closed));
    assert!(v6::push_switch(&net.meta(leader, "/digest/pushSwitch")).is_err(), "a gray list is no pass");
}

#[test]
fn section_7_slots_move_under_a_warm_leader() {
    let mut net = Net::serving(ServerLine::V6, 27);
    let metas = all(&[11, 12, 13]);
    let database = DatabaseId("registrymetadb".to_owned());
    let clients = net.registry.populate("default", 10, net.registry.now());
    let leader = net.leader6(&metas).expect("a leader");
    net.push(leader, OPEN);
    net.pass(65_000);
    let path = "/openapi/v1/slot/table/status";
    let slots = v6::slot_status(&net.meta(leader, path)).expect("slots");
    assert!(slots.stable && !slots.protection_mode);
    assert_eq!(slots.leaders.values().sum::<u32>(), 256);
    assert_eq!(net.publishers(at(21)) + net.publishers(at(22)), 20, "leader and follower slots: 2 copies");
    net.stop(at(21), Signal::Term);
    net.pass(2_000);
    let slots = v6::slot_status(&net.meta(leader, path)).expect("slots");
    assert_eq!(slots.leaders.get(&at(22)), Some(&256), "moved within 2 s");
    assert_eq!(net.registry.blacklist(&database), set(&[21]), "an address that never comes back stays on it");
    net.start(ServerRole::Data, at(23), &[]);
    net.pass(45_000);
    let slots = v6::slot_status(&net.meta(leader, path)).expect("slots");
    let moved = slots.leaders.get(&at(23)).copied().unwrap_or_default();
    assert!((35..=45).contains(&moved) && !slots.stable, "40 in 35 s, not stable: {moved}");
    net.pass(120_000);
    let slots = v6::slot_status(&net.meta(leader, path)).expect("slots");
    assert_eq!(slots.leaders, BTreeMap::from([(at(22), 128), (at(23), 128)]));
    assert!(slots.stable);
    assert_eq!(net.emptied(&clients), 0, "no loss");
    let listed = "/persistentData/query";
    let id = ("dataInfoId".to_owned(), "registry.node.server.operating.data#@#9600#@#CONFIG".to_owned());
    let query = Request { fields: vec![id], ..Request::get(leader, 9615, listed) };
    assert_eq!(v6::blacklist(&net.answer(&query)), Ok(set(&[21])));
    let mut put = Request::put(leader, 9615, "/opsapi/v1/server/group/join/10.0.0.21");
    assert_eq!(wire::outcome(&net.answer(&put)), Ok(Outcome::Accepted));
    assert_eq!(v6::blacklist(&net.answer(&query)), Ok(set(&[21])), "of no cell nobody is taken off (§15)");
    put.fields = vec![("cell".to_owned(), v6::CELL.to_owned())];
    assert_eq!(wire::outcome(&net.answer(&put)), Ok(Outcome::Accepted));
    assert!(net.registry.blacklist(&database).is_empty());
    // Without a leader nothing moves.
    net.stop(leader, Signal::Kill);
    net.stop(at(23), Signal::Kill);
    net.pass(40_000);
    let data = v6::slot_status(&net.data(at(22), path)).expect("slots");
    assert!(data.protection_mode);
    assert_eq!(data.leaders.get(&at(23)), Some(&128), "still those of the lost node");
}

#[test]
fn section_7_older_versions_are_refused_by_6_and_accepted_by_5() {
    for (line, metas) in [(ServerLine::V5, all(&[11, 12, 13])), (ServerLine::V6, all(&[11, 12, 13]))] {
        let mut net = Net::serving(line, 28);
        let to = match line {
            ServerLine::V5 => net.leader5(&metas),
            ServerLine::V6 => net.leader6(&metas).expect("a leader"),
        };
        let body = |version: u32| {
            format!(r#"{{"version":{version},"data":"x","dataId":"d","group":"g","instanceId":"i"}}"#)
        };
        let put = |net: &mut Net, version| {
            wire::outcome(&net.answer(&Request::json(to, 9615, "/persistentData/put", &body(version))))
        };
        assert_eq!(put(&mut net, 2), Ok(Outcome::Accepted));
        let older = put(&mut net, 1).expect("an outcome");
        assert_eq!(matches!(older, Outcome::Accepted), line == ServerLine::V5);
    }
}

#[test]
fn section_7_quitting_the_election_leaves_nobody_for_twelve_seconds() {
    let mut net = Net::serving(ServerLine::V6, 29);
    let metas = all(&[11, 12, 13]);
    let leader = net.leader6(&metas).expect("a leader");
    net.answer(&Request::put(leader, 9615, "/meta/leader/quit/election"));
    net.pass(9_000);
    assert_eq!(net.leader6(&metas), Some(leader), "for 10 s");
    net.pass(10_000);
    assert_eq!(net.leader6(&metas), None);
    net.pass(4_000);
    assert!(net.leader6(&metas).is_some_and(|l| l != leader), "after 22 s another one");
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
