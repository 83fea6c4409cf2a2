//! What is lost when metas, a majority or all of them go, and what cures it (§12, §14).

use std::net::Ipv4Addr;

use sofa_operator::admin::registry::v5::{self, RaftStatus};
use sofa_operator::admin::registry::wire::{self, Outcome, PushSwitch, Serving};
use sofa_operator::testkit::registry::{ServerLine, ServerRole, Signal, VolumeId};

use crate::{CHANGE_FAILED, CLOSE, Net, OPEN, all, at, besides, refused, set};

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
        let mut group = besides(&all(&[11, 12, 13]), leader);
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
        let mut group = besides(&all(&[11, 12, 13]), leader);
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
    let stale = besides(&metas, leader)[0];
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
        let stale = besides(&metas, leader)[0];
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
