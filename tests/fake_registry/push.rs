//! The switch, what clients get while it is closed, and the data behind it (§4).

use sofa_operator::admin::registry::v5::{self, RaftStatus};
use sofa_operator::admin::registry::wire::{self, Outcome, PushSwitch};
use sofa_operator::testkit::registry::{ClientSpec, Reply, Request, ServerLine, ServerRole, Signal};

use crate::{CENTER, CLOSE, Net, OPEN, all, at, besides, set};

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
    let rest = besides(&metas, leader);
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
