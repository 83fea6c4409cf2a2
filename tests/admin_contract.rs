//! The parsers of the admin endpoints against what the real servers answered (`tests/fixtures/registry`, recorded by
//! `tests/fixtures/record.sh`), and against answers that are wrong: what is not understood is never a pass.

#![expect(clippy::expect_used, clippy::panic, reason = "a test ends by panicking with what was seen")]

#[path = "fixtures/recorded.rs"]
mod recorded_answers;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use sofa_operator::admin::answer::{Answer, BODY_LIMIT_BYTES, Unreadable};
use sofa_operator::admin::registry::v5::{self, RaftStatus, RenewSwitch};
use sofa_operator::admin::registry::v6;
use sofa_operator::admin::registry::wire::{
    self, Addresses, DataCounts, Outcome, PushSwitch, Serving, SessionCounts,
};

use recorded_answers::recorded;

const CENTER: &str = "DefaultDataCenter";

fn v5(name: &str) -> Answer {
    recorded("5.4.3", name)
}

fn v6(name: &str) -> Answer {
    recorded("6.3.0", name)
}

fn ips(list: &[&str]) -> Addresses {
    list.iter().map(|ip| ip.parse().expect("an address")).collect()
}

/// Every answer that says nothing, whatever was asked.
fn wrong() -> Vec<(&'static str, Answer)> {
    vec![
        ("HTML with 500", v5("meta-push-switch-no-leader")),
        ("HTML with 200", Answer::new(200, "<html><body>Welcome</body></html>")),
        ("empty", Answer::new(200, "")),
        ("half an answer", Answer::new(200, r#"{"success":true,"mess"#)),
        ("cut off", Answer { cut: true, ..v5("meta-query-peer-leader") }),
        ("10 MB", Answer::new(200, vec![b' '; 10 << 20])),
        ("no UTF-8", Answer::new(200, vec![0xff, 0xfe, b'{'])),
        ("null", Answer::new(200, "null")),
        ("a number", Answer::new(200, "7")),
        ("404", v5("unknown-path")),
        ("405", v5("meta-close-push-post-leader")),
        ("no leader, 6.x", v6("meta-leader-query-no-leader")),
        ("from a follower, 6.x", v6("meta-leader-query-follower")),
        ("another service's JSON", Answer::new(200, r#"{"status":"UP"}"#)),
        ("another service's list", Answer::new(200, r#"["a b","-"]"#)),
        ("503 of a proxy", Answer::new(503, "error trying to reach service: connection refused")),
    ]
}

#[test]
fn wrong_answers_are_never_a_pass() {
    type Parser = (&'static str, fn(&Answer) -> Option<Unreadable>);
    let parsers: [Parser; 18] = [
        ("outcome", |a| wire::outcome(a).err()),
        ("serving", |a| wire::serving(a).err()),
        ("session_push_switch", |a| wire::session_push_switch(a).err()),
        ("nodes", |a| wire::nodes(a, CENTER).err()),
        ("session_server_list", |a| wire::session_server_list(a).err()),
        ("data_server_list", |a| wire::data_server_list(a, CENTER).err()),
        ("session_counts", |a| wire::session_counts(a).err()),
        ("data_counts", |a| wire::data_counts(a, CENTER).err()),
        ("session_data_ids", |a| wire::session_data_ids(a).err()),
        ("raft_status", |a| v5::raft_status(a).err()),
        ("peers", |a| v5::peers(a).err()),
        ("push_switch 5", |a| v5::push_switch(a).err()),
        ("renew_switch", |a| v5::renew_switch(a).err()),
        ("meta_health", |a| v6::meta_health(a).err()),
        ("leader", |a| v6::leader(a).err()),
        ("push_switch 6", |a| v6::push_switch(a).err()),
        ("slot_status", |a| v6::slot_status(a).err()),
        ("connections", |a| v6::connections(a).err()),
    ];
    for (parser, parse) in parsers {
        for (what, answer) in wrong() {
            assert!(parse(&answer).is_some(), "{parser} passes on {what}");
        }
    }
}

#[test]
fn each_wrong_answer_is_named() {
    let label = |a: &Answer| v5::push_switch(a).expect_err("unreadable").label();
    assert_eq!(label(&v5("meta-push-switch-no-leader")), "ServerFailed");
    assert_eq!(label(&v6("meta-push-switch-no-leader")), "NoLeader");
    assert_eq!(label(&v6("meta-push-switch-follower")), "Redirected");
    assert_eq!(label(&v5("unknown-path")), "NoSuchEndpoint");
    assert_eq!(label(&Answer::new(200, vec![b' '; BODY_LIMIT_BYTES + 1])), "Incomplete");
    assert_eq!(label(&Answer::new(200, "{}")), "NotUnderstood");
    let redirected = v6::leader(&v6("meta-leader-query-follower")).expect_err("a follower");
    assert_eq!(redirected, Unreadable::Redirected("http://10.200.3.102:9615/meta/leader/query".to_owned()));
    let failed = v5::push_switch(&v5("meta-push-switch-no-leader")).expect_err("no leader").to_string();
    assert!(failed.starts_with("the server failed (HTTP 500): <html>") && failed.len() < 220, "{failed}");
}

#[test]
fn commands_are_judged_by_the_field_success() {
    for name in [
        "meta-close-push-leader",
        "meta-open-push-follower",
        "meta-change-peer-same",
        "meta-reset-peer-again",
    ] {
        assert_eq!(wire::outcome(&v5(name)), Ok(Outcome::Accepted), "{name}");
    }
    for name in [
        "meta-change-peer-empty",
        "meta-change-peer-not-listening",
        "meta-change-peer-no-leader",
        "meta-reset-peer-first",
    ] {
        assert_eq!(v5(name).status, 200, "5.x fails with 200");
        assert!(matches!(wire::outcome(&v5(name)), Ok(Outcome::Refused(why)) if !why.is_empty()), "{name}");
    }
    for name in
        ["meta-change-peer-unresolvable", "meta-close-push-no-leader", "meta-put-provide-data-bad-leader"]
    {
        assert!(
            matches!(wire::outcome(&v5(name)), Err(Unreadable::ServerFailed { status: 500, .. })),
            "{name}"
        );
    }
    assert_eq!(wire::outcome(&v6("meta-close-push-leader")), Ok(Outcome::Accepted));
    assert!(matches!(wire::outcome(&v6("meta-close-push-follower")), Err(Unreadable::Redirected(_))));
    assert_eq!(wire::outcome(&v6("meta-close-push-no-leader")), Err(Unreadable::NoLeader));
}

#[test]
fn health_of_every_role() {
    assert_eq!(v5::raft_status(&v5("meta-health-leader")), Ok(RaftStatus::Leader));
    assert_eq!(v5::raft_status(&v5("meta-health-follower")), Ok(RaftStatus::Follower));
    assert_eq!(v5::raft_status(&v5("meta-health-no-leader")), Ok(RaftStatus::NotInGroup));
    for version in ["5.4.3", "6.3.0"] {
        // Data and sessions go on saying 200 when nobody leads: good for liveness, no word on membership.
        for name in ["data-health", "session-health", "data-health-no-leader", "session-health-no-leader"] {
            assert_eq!(wire::serving(&recorded(version, name)), Ok(Serving::Yes), "{version} {name}");
        }
    }
    let initial = r#"{"success":false,"message":"DataServerBoot severForSession:true, severForDataSync:true, httpServer:true, schedulerStarted:true, status:INITIAL"}"#;
    assert_eq!(wire::serving(&Answer::new(500, initial)), Ok(Serving::NotYet));
    // A success that names INITIAL all the same is none.
    assert_eq!(wire::serving(&Answer::new(200, initial.replace("false", "true"))), Ok(Serving::NotYet));
    assert!(wire::serving(&v5("meta-health-leader")).is_err(), "a meta's health is no data node's");
    assert!(v5::raft_status(&v5("data-health")).is_err(), "a data node's health is no meta's");
    assert!(v5::raft_status(&v6("meta-health-leader")).is_err(), "6.x has no raft");

    let leader = v6::meta_health(&v6("meta-health-leader")).expect("a leader");
    assert!(leader.leads && leader.warm);
    assert_eq!(leader.leader, Some(Ipv4Addr::new(10, 200, 3, 102)));
    assert_eq!(leader.metas, ips(&["10.200.2.102", "10.200.1.104", "10.200.3.102"]));
    let follower = v6::meta_health(&v6("meta-health-follower")).expect("a follower");
    assert!(!follower.leads && follower.leader == leader.leader && follower.metas.len() == 1);
    let alone = v6::meta_health(&v6("meta-health-no-leader")).expect("a meta without a leader");
    assert!(!alone.leads && alone.leader.is_none());
    assert_eq!(v6::leader(&v6("meta-leader-query-leader")), Ok(Ipv4Addr::new(10, 200, 3, 102)));
}

#[test]
fn the_push_switch_in_all_its_words() {
    assert_eq!(v5::push_switch(&v5("meta-push-switch-unset")), Ok(PushSwitch::NeverSet));
    assert_eq!(v5::push_switch(&v5("meta-push-switch-open-leader")), Ok(PushSwitch::Open));
    assert_eq!(v5::push_switch(&v5("meta-push-switch-closed-follower")), Ok(PushSwitch::Closed));
    assert_eq!(wire::session_push_switch(&v5("session-push-switch-closed-leader")), Ok(PushSwitch::Closed));
    assert_eq!(wire::session_push_switch(&v6("session-push-switch-open-leader")), Ok(PushSwitch::Open));
    assert!(v5::push_switch(&Answer::new(200, r#"{"pushSwitch":"ajar"}"#)).is_err());
    assert!(
        v5::push_switch(&Answer::new(200, r#"{"msg":"busy","pushSwitch":"open"}"#)).is_err(),
        "an unknown remark is no pass"
    );

    let six = |name: &str| v6::push_switch(&v6(name)).map(|s| (s.global, s.gray.len()));
    assert_eq!(six("meta-push-switch-leader"), Ok((PushSwitch::NeverSet, 0)));
    assert_eq!(six("meta-push-switch-open-leader"), Ok((PushSwitch::Open, 0)));
    assert_eq!(six("meta-push-switch-closed-leader"), Ok((PushSwitch::Closed, 0)));
    let gray = r#"{"stopPush":"true","grayPushSwitch":"10.0.0.1"}"#;
    assert!(v6::push_switch(&Answer::new(200, gray)).is_err(), "a gray list is never read as closed");
    assert!(v5::push_switch(&v6("meta-push-switch-closed-leader")).is_err(), "the lines are not mixed up");
    assert!(v6::push_switch(&v5("meta-push-switch-closed-leader")).is_err(), "the lines are not mixed up");
}

#[test]
fn members_by_everyone() {
    let metas = ips(&["10.200.3.98", "10.200.2.96", "10.200.1.98"]);
    assert_eq!(v5::peers(&v5("meta-query-peer-follower")), Ok(metas.clone()));
    assert_eq!(v5::peers(&v5("meta-query-peer-no-leader")), Ok(metas.clone()), "it answers without a leader");
    assert_eq!(wire::nodes(&v5("meta-meta-nodes-leader"), CENTER), Ok(metas.clone()));
    assert_eq!(wire::session_server_list(&v5("session-meta-list")), Ok(metas.clone()));
    assert_eq!(wire::data_server_list(&v5("data-meta-list"), CENTER), Ok(metas));
    assert_eq!(wire::nodes(&v5("meta-data-nodes-none"), CENTER), Ok(Addresses::new()));
    assert_eq!(wire::nodes(&v5("meta-session-nodes-none"), CENTER), Ok(Addresses::new()));
    let data = ips(&["10.200.2.97", "10.200.1.99"]);
    assert_eq!(wire::nodes(&v5("meta-data-nodes-follower"), CENTER), Ok(data.clone()));
    assert_eq!(wire::nodes(&v5("meta-data-nodes-leader"), "Elsewhere"), Ok(Addresses::new()));
    assert_eq!(wire::session_server_list(&v5("session-data-list")), Ok(data));
    assert_eq!(
        wire::data_server_list(&v5("data-data-list"), CENTER),
        Ok(ips(&["10.200.1.99"])),
        "the other data nodes"
    );
    assert_eq!(
        wire::data_server_list(&v5("data-session-list"), CENTER),
        Ok(ips(&["10.200.2.98", "10.200.3.99"]))
    );
    assert_eq!(
        wire::session_server_list(&v5("session-servers-json")),
        Ok(ips(&["10.200.2.98", "10.200.3.99"]))
    );
    assert_eq!(
        wire::nodes(&v6("meta-data-nodes-leader"), CENTER),
        Ok(ips(&["10.200.1.105", "10.200.3.103"]))
    );
    assert_eq!(wire::nodes(&v6("meta-session-nodes-leader"), CENTER).map(|s| s.len()), Ok(2));
    assert_eq!(
        wire::session_server_list(&v6("session-meta-list")),
        Ok(ips(&["10.200.3.102"])),
        "6.x: the leader alone"
    );
    assert!(wire::data_server_list(&v6("data-data-list"), CENTER).is_err(), "broken in 6.3.0");
}

#[test]
fn counts_come_as_text() {
    let none = SessionCounts::default();
    assert_eq!(wire::session_counts(&v5("session-data-count-empty")), Ok(none));
    let fifty = SessionCounts { publishers: 50, subscribers: 50, watchers: 0 };
    assert_eq!(wire::session_counts(&v6("session-data-count")), Ok(fifty));
    assert_eq!(wire::data_counts(&v5("data-datum-count-empty"), CENTER), Ok(DataCounts::default()));
    assert_eq!(
        wire::data_counts(&v5("data-datum-count"), CENTER),
        Ok(DataCounts { data: 50, publishers: 50 })
    );
    assert_eq!(wire::data_counts(&v6("data-datum-count-empty"), CENTER), Ok(DataCounts::default()));
    assert!(wire::data_counts(&v5("data-datum-count"), "Elsewhere").is_err(), "no figure is not zero");
    assert!(
        wire::session_counts(&Answer::new(200, "Subscriber count: 1, Publisher count: , Watcher count: 0"))
            .is_err()
    );
    let ids: BTreeSet<String> = wire::session_data_ids(&v6("session-data-ids")).expect("ids");
    assert_eq!(ids.len(), 50);
    assert!(ids.contains("com.sofa.client.0#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP"));
    assert_eq!(v6::connections(&v6("session-connections")), Ok(1));
    assert_eq!(v6::connections(&v5("session-connections")), Err(Unreadable::NoSuchEndpoint(404)));
}

#[test]
fn slots_and_renewal() {
    let slots = v6::slot_status(&v6("meta-slot-status-leader")).expect("slots");
    assert!(!slots.protection_mode && !slots.stable);
    assert_eq!(slots.leaders.values().sum::<u32>(), 256);
    let unset = RenewSwitch { datum_expire: None, renew_snapshot: None };
    assert_eq!(v5::renew_switch(&v5("meta-renew-switch-leader")), Ok(unset));
    let off = RenewSwitch { datum_expire: Some(false), renew_snapshot: Some(false) };
    assert_eq!(v5::renew_switch(&v5("meta-renew-switch-disabled")), Ok(off));
}
