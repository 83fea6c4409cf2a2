//! What 6.x does otherwise (§7, §13).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use sofa_operator::admin::answer::{Answer, Unreadable};
use sofa_operator::admin::registry::v6;
use sofa_operator::admin::registry::wire::{self, Outcome, PushSwitch, Serving};
use sofa_operator::testkit::registry::{DatabaseId, Request, ServerLine, ServerRole, Signal};

use crate::{CLOSE, Net, OPEN, all, at, besides, set};

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
        let rest = besides(&metas, leader);
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
    let follower = besides(&metas, leader)[0];
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
