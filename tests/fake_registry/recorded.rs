//! Answers of the fake beside those recorded from the real servers, read by the real parsers.

use std::net::Ipv4Addr;

use serde_json::Value;
use sofa_operator::admin::answer::Answer;
use sofa_operator::admin::registry::v5::RaftStatus;
use sofa_operator::testkit::registry::{DatabaseId, Request, ServerLine, ServerRole, Signal};

use crate::recorded_answers::recorded;
use crate::{CLOSE, Net, OPEN, all, at, besides, ip};

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

/// What was asked of a meta when the answers were recorded, in that order. `session`: it was asked for its switch, too, after each
/// change.
fn turn_of_a_meta(net: &mut Net, version: &str, (who, meta): (&str, Ipv4Addr), session: Option<Ipv4Addr>) {
    for (name, path) in [
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
    ] {
        same(version, &format!("{name}-{who}"), &net.meta(meta, path));
        net.pass(1_000);
        if let Some(session) = session.filter(|_| path == OPEN || path == CLOSE) {
            let word = if path == OPEN { "open" } else { "closed" };
            let answer = net.session(session, "/digest/pushSwitch");
            same(version, &format!("session-push-switch-{word}-{who}"), &answer);
        }
    }
    let post = net.answer(&Request::form(meta, 9615, CLOSE, &[]));
    same(version, &format!("meta-close-push-post-{who}"), &post);
    let good = r#"{"version":1,"data":"x","dataId":"recorded","group":"g","instanceId":"i"}"#;
    for (name, body) in [("", good), ("-bad", r#"{"dataId":"recorded"}"#)] {
        let answer = net.answer(&Request::json(meta, 9615, "/persistentData/put", body));
        same(version, &format!("meta-put-provide-data{name}-{who}"), &answer);
    }
}

#[test]
fn recorded_5_4_3_while_it_serves() {
    let (metas, data, sessions) = (ips(&METAS5), ips(&DATA5), ips(&SESSIONS5));
    let mut net = Net::of(ServerLine::V5, 1, &metas, &data, &sessions);
    let leader = net.leader5(&metas);
    let follower = besides(&metas, leader)[0];
    for (who, meta) in [("leader", leader), ("follower", follower)] {
        turn_of_a_meta(&mut net, "5.4.3", (who, meta), Some(sessions[0]));
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
        turn_of_a_meta(&mut net, "6.3.0", (who, meta), (who == "leader").then(|| ip(SESSIONS6[0])));
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
