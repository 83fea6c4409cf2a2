//! Metas of 5.x: how a cluster starts, who leads, and what moves a member (§2, §3, §5, §6).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use sofa_operator::admin::answer::Unreadable;
use sofa_operator::admin::registry::v5::{self, RaftStatus};
use sofa_operator::admin::registry::wire::{self, Outcome, PushSwitch, Serving};
use sofa_operator::testkit::registry::{Reply, Request, ServerLine, ServerRole, Signal, VolumeId};

use crate::{CENTER, CHANGE_FAILED, CLOSE, Net, all, at, besides, refused, set};

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
    let left = besides(&metas, leader);
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
    let gone = besides(&metas, leader)[0];
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
    let others = besides(&metas, leader);
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
    let rest = besides(&metas, leader);
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
        let other = besides(&metas, leader)[0];
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
