//! The metas: who they are, whom they list, and what is done when they cannot elect a leader.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use sofa_operator::admin::registry::wire::PushSwitch;
use sofa_operator::api::v1alpha1::{
    ActKind, Automation, MembershipKind, PushOwner, PushState, Reason, RolloutState,
};
use sofa_operator::observe::{
    Addresses, Fact, Genesis, Lists, Member, PodPhase, RaftData, RegistryWorld, Standing, Store, Trouble,
    Unknown,
};
use sofa_operator::plan::{Admission, Command, Decision, Memory, PushRecord, Wake};

use crate::cluster::{Cluster, DATA, META, SESSION};
use crate::{act, at_rest, decide, first_wait, is_done, pod, relist, remembered, state, stopped, waits};

/// Converged: the addresses of the pods are those that the metas list. A session that is listed and has no pod may serve.
#[test]
fn a_session_that_is_listed_without_a_pod_is_no_rest() {
    let cluster = at_rest();
    let memory = remembered(&cluster);
    assert_eq!(state(&decide(&cluster, &memory, |_| {})), Some(RolloutState::Done));
    let stranger = Ipv4Addr::new(10, 99, 0, 1);
    let decision = decide(&cluster, &memory, |w| relist(w, |l| l.sessions.extend([stranger])));
    assert_ne!(state(&decision), Some(RolloutState::Done));
    assert_eq!(waits(&decision), [Reason::WaitingForConvergence]);
}

/// A group that follows new addresses by itself is left to do so for five minutes, and is told after that.
#[test]
fn a_self_healing_group_is_told_only_when_it_does_not_heal() {
    let mut cluster = at_rest();
    cluster.target.membership = MembershipKind::RaftSelfHealing;
    let meta = Member::new(META, 2);
    let server = cluster.servers.get_mut(&meta).unwrap();
    (server.made, server.phase) = (1, Some(PodPhase::Ready));
    let began = cluster.now;
    let told =
        cluster.until("the group is told", |_, d| matches!(d.command, Some(Command::ChangePeer { .. })));
    let waited = cluster.now.since(began);
    assert!(waited >= Duration::from_mins(5) && waited < Duration::from_mins(6), "{waited:?}");
    let Some(Command::ChangePeer { peers, .. }) = told.command else { panic!("{told:?}") };
    assert!(peers.contains(&cluster.address(meta).unwrap()));
    cluster.until("it rests", |c, _| is_done(c));
}

/// A world in which every meta answers and none leads.
fn leaderless(world: &mut RegistryWorld) {
    for fact in world.metas.values_mut() {
        if let Fact::Known { value, .. } = fact {
            (value.standing, value.lists, value.push) = (Standing::Outside, None, None);
        }
    }
}

/// Five metas, at rest.
fn five_metas() -> Cluster {
    let mut cluster = at_rest();
    for ordinal in 3..5 {
        let member = Member::new(META, ordinal);
        cluster.servers.insert(member, cluster.servers[&Member::new(META, 0)].clone());
        cluster.marked.insert(member);
        cluster.group.extend(cluster.address(member));
    }
    cluster.workloads.get_mut(&META).unwrap().replicas = 5;
    cluster.target.roles.get_mut(&META).unwrap().replicas = 5;
    cluster.until("it rests", |c, _| is_done(c));
    cluster
}

/// Metas that could elect a leader and do not: after two minutes one is started again, if those that are left can still elect
/// one without it.
#[test]
fn a_meta_is_started_again_for_an_election_only_while_the_others_are_a_majority() {
    // How many peers no pod has an address for, and whether one is started again.
    for (lost, restarted) in [(0, true), (1, true), (2, false)] {
        let cluster = &mut five_metas();
        let mut memory = remembered(cluster);
        let mut commands = BTreeSet::new();
        let stale: Vec<Ipv4Addr> = (0..lost).filter_map(|n| cluster.address(Member::new(META, n))).collect();
        let began = cluster.now;
        let mut last = None;
        while cluster.now.since(began) < Duration::from_secs(130) {
            let decision = decide(cluster, &memory, |world| {
                leaderless(world);
                let metas = world.kubernetes.pods.iter_mut().filter(|(m, _)| m.role == META);
                for (at, (_, pod)) in metas.enumerate().filter(|(at, _)| *at < stale.len()) {
                    pod.address = Some(Ipv4Addr::new(10, 77, 0, u8::try_from(at).unwrap()));
                }
            });
            commands.extend(stopped(&decision));
            let waited = cluster.now.since(began);
            assert!(commands.is_empty() || waited >= Duration::from_mins(2), "{commands:?} after {waited:?}");
            memory = decision.memory.clone();
            last = state(&decision);
            cluster.wait(Duration::from_secs(2));
        }
        assert_eq!(commands.len(), usize::from(restarted), "{lost} lost: {commands:?}");
        assert_eq!(last == Some(RolloutState::Halted), !restarted, "a person is told");
    }
}

/// Two metas that work and name different peers may be two clusters: nothing is done, and after ten seconds a person is told.
#[test]
fn metas_that_name_different_peers_stop_everything() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    let mut memory = remembered(&cluster);
    for turn in 0..10_u64 {
        let decision = decide(&cluster, &memory, |world| {
            if let Some(Fact::Known { value, .. }) = world.metas.get_mut(&Member::new(META, 2)) {
                value.peers = Some([Ipv4Addr::new(10, 0, 0, 9)].into());
            }
        });
        assert!(decision.command.is_none() && decision.memory.run.as_ref().unwrap().act.is_none());
        let wanted = if turn < 5 { RolloutState::Gating } else { RolloutState::Halted };
        assert_eq!(state(&decision), Some(wanted), "after {} s", turn * 2);
        let told = decision.report.waits.iter().chain(&decision.report.halt).map(|w| w.reason);
        assert_eq!(told.collect::<Vec<_>>(), [Reason::Split]);
        memory = decision.memory;
        cluster.wait(Duration::from_secs(2));
    }
}

/// What is sent to a meta and comes to nothing is sent to the next one, never to one that reaches no store; and such a one is
/// named (measured: sofaregistry §14).
#[test]
fn a_command_that_comes_to_nothing_goes_to_another_meta() {
    let mut cluster = five_metas();
    cluster.push = PushSwitch::Closed;
    let memory = remembered(&cluster);
    let cut_off = Member::new(META, 1);
    let cut = |world: &mut RegistryWorld| {
        if let Some(Fact::Known { value, .. }) = world.metas.get_mut(&cut_off) {
            (value.push, value.lists, value.store) = (None, None, Store::Lost);
        }
    };
    let told = decide(&cluster, &memory, cut);
    let named = told.report.notes.iter().filter(|n| n.reason == Reason::MemberBroken);
    assert_eq!(named.map(|n| n.subject.as_str()).collect::<Vec<_>>(), ["meta-1"]);
    let slow = |world: &mut RegistryWorld| {
        cut(world);
        if let Some(Fact::Known { value, .. }) = world.metas.get_mut(&cut_off) {
            value.store = Store::Reached;
        }
    };
    for well in [decide(&cluster, &memory, |_| ()), decide(&cluster, &memory, slow)] {
        assert!(!well.report.notes.iter().any(|n| n.reason == Reason::MemberBroken));
    }
    let mut asked = Vec::new();
    let mut memory = Memory { push: closed_by_us(), ..memory };
    for _ in 0..60 {
        let decision = decide(&cluster, &memory, cut);
        if let Some(Command::OpenPush { via, .. }) = &decision.command {
            asked.push(*via);
        }
        memory = decision.memory;
        cluster.wait(Duration::from_secs(2));
    }
    let others = [0, 2, 3, 4].map(|n| cluster.address(Member::new(META, n)).unwrap());
    assert_eq!(asked.first(), Some(&others[0]));
    assert_eq!(asked[..5], [others[0], others[1], others[2], others[3], others[0]], "{asked:?}");
}

fn closed_by_us() -> PushRecord {
    let (state, owner) = (PushState::Closed, Some(PushOwner::Operator));
    PushRecord { state, owner, ..PushRecord::default() }
}

/// Whom the metas list has to know these metas: a session or data node that lists others is not done with their change.
#[test]
fn who_is_listed_has_to_know_the_metas() {
    let cluster = at_rest();
    let memory = remembered(&cluster);
    let other: Addresses = [Ipv4Addr::new(10, 0, 0, 9)].into();
    let session = decide(&cluster, &memory, |world| {
        if let Some(Fact::Known { value, .. }) = world.sessions.get_mut(&Member::new(SESSION, 1)) {
            value.metas = Some(other.clone());
        }
    });
    let data = decide(&cluster, &memory, |world| {
        if let Some(Fact::Known { value, .. }) = world.datas.get_mut(&Member::new(DATA, 1)) {
            value.metas = None;
        }
    });
    for (decision, subject) in [(session, "session-1"), (data, "data-1")] {
        let told = decision.report.waits.iter().map(|w| (w.reason, w.subject.as_str()));
        assert_eq!(told.collect::<Vec<_>>(), [(Reason::WaitingForPeers, subject)]);
    }
}

/// Only when too few addresses are left to elect a leader is a majority lost; then the id of that loss is what a person
/// confirms.
#[test]
fn a_majority_is_lost_when_half_of_the_group_or_less_can_vote() {
    for (gone, lost) in [(0, false), (1, false), (2, false), (3, true), (4, true)] {
        let cluster = five_metas();
        let decision = decide(&cluster, &remembered(&cluster), |world| {
            leaderless(world);
            move_away(world, 5 - gone..5);
        });
        assert_eq!(decision.memory.incident.is_some(), lost, "{gone} of 5 have other addresses");
    }
}

/// Gives these metas addresses that the group does not know.
fn move_away(world: &mut RegistryWorld, ordinals: std::ops::Range<u32>) {
    for ordinal in ordinals {
        let address = Ipv4Addr::new(10, 77, 0, u8::try_from(ordinal).unwrap());
        pod(world, Member::new(META, ordinal)).address = Some(address);
    }
}

/// Who remembers nothing lets a meta with a new address in for the address that no pod has: the group grows no larger.
#[test]
fn a_new_address_takes_the_place_of_one_that_nobody_remembers() {
    let cluster = five_metas();
    let mut memory = remembered(&cluster);
    memory.known_as.clear();
    let moved = |world: &mut RegistryWorld| {
        move_away(world, 4..5);
        if let Some(Fact::Known { value, .. }) = world.metas.get_mut(&Member::new(META, 4)) {
            (value.standing, value.peers) = (Standing::Outside, None);
        }
    };
    let written = decide(&cluster, &memory, moved);
    assert_eq!(act(&written), Some(ActKind::ChangePeer));
    match decide(&cluster, &written.memory, moved).command {
        Some(Command::ChangePeer { peers, .. }) => {
            assert!(peers.len() == 5 && peers.contains(&Ipv4Addr::new(10, 77, 0, 4)), "{peers:?}");
        }
        other => panic!("{other:?}"),
    }
}

/// A survivor begins anew only when every other peer is proved gone, or is a pod of ours that answers and is in no group.
#[test]
fn a_survivor_does_not_begin_anew_beside_a_peer_that_is_silent() {
    let mut cluster = five_metas();
    let silent = Member::new(META, 1);
    let lost = |world: &mut RegistryWorld| {
        leaderless(world);
        move_away(world, 2..5);
    };
    let found = decide(&cluster, &remembered(&cluster), lost);
    assert_eq!(first_wait(&found).0, Reason::MetaMajorityLost);
    let incident = found.memory.incident.clone().unwrap();
    cluster.target.confirm = Some((incident.id, Member::new(META, 0)));
    let at = cluster.now;
    let held = decide(&cluster, &found.memory, |world| {
        lost(world);
        world.metas.insert(silent, Fact::unknown(Unknown::TimedOut, at));
    });
    assert_eq!((act(&held), first_wait(&held)), (None, (Reason::WaitingForPod, "meta-1")));
    cluster.target.paused = true;
    let paused = decide(&cluster, &found.memory, lost);
    assert_eq!((act(&paused), first_wait(&paused)), (None, (Reason::PausedBySpec, "meta-0")));
    cluster.target.paused = false;
    // Who has lost its place in the group may be silent: its address is no peer's.
    let moved = decide(&cluster, &found.memory, |world| {
        lost(world);
        world.metas.insert(Member::new(META, 4), Fact::unknown(Unknown::TimedOut, at));
    });
    assert_eq!(act(&moved), Some(ActKind::ResetPeer), "{:?}", moved.report.waits);
    let goes_on = decide(&cluster, &found.memory, lost);
    assert_eq!(act(&goes_on), Some(ActKind::ResetPeer));
    let done = decide(&cluster, &goes_on.memory, lost);
    let survivor = cluster.address(Member::new(META, 0)).unwrap();
    assert_eq!(done.command, Some(Command::ResetPeer { survivor }));
    // It shows: the survivor leads a group of its own.
    cluster.wait(Duration::from_secs(2));
    let seen = decide(&cluster, &done.memory, |world| {
        lost(world);
        for (member, fact) in &mut world.metas {
            let Fact::Known { value, .. } = fact else { continue };
            if *member == Member::new(META, 0) {
                value.standing = Standing::Leader;
                value.peers = Some([survivor].into());
                value.lists = Some(Lists { metas: [survivor].into(), ..Lists::default() });
                value.push = Some(PushSwitch::Open);
            }
        }
    });
    assert_ne!(act(&seen), Some(ActKind::ResetPeer), "it is over");
    assert_eq!(seen.memory.incident.unwrap().id, goes_on.memory.incident.unwrap().id, "until all are back");
}

/// Metas of 6.x that lead nobody are made again for a new spec, which may be what they need; not before a person lets it in.
#[test]
fn metas_without_a_leader_get_a_new_spec_where_a_database_keeps_the_peers() {
    for (admission, again) in [(Admission::Open, true), (Admission::Approval, false)] {
        let mut cluster = at_rest();
        cluster.target.membership = MembershipKind::Database;
        cluster.change_template("t2");
        cluster.target.admission = admission.clone();
        let decision = decide(&cluster, &remembered(&cluster), leaderless);
        assert_eq!(act(&decision) == Some(ActKind::RepairPod), again, "{admission:?}");
    }
}

/// The renewal of snapshots is switched off where the leader says that it is on.
#[test]
fn renewal_is_switched_off_where_it_is_on() {
    let mut cluster = at_rest();
    cluster.target.renew_off = true;
    for (off, acts) in [(Some(false), true), (Some(true), false), (None, false)] {
        let decision = decide(&cluster, &remembered(&cluster), |world| {
            for fact in world.metas.values_mut() {
                if let Fact::Known { value, .. } = fact {
                    value.renew_off = off;
                }
            }
        });
        assert_eq!(act(&decision) == Some(ActKind::DisableRenew), acts, "{off:?}");
    }
}

/// By itself a recovery begins only where every meta has a volume of a member, with something in it: else a person decides.
#[test]
fn an_empty_volume_is_no_matter_for_an_automatic_recovery() {
    let mut cluster = five_metas();
    cluster.target.majority = Automation::Automatic;
    let lost = |world: &mut RegistryWorld| {
        leaderless(world);
        move_away(world, 2..5);
    };
    let memory = decide(&cluster, &remembered(&cluster), lost).memory;
    assert!(memory.incident.is_some() && memory.last_leader.is_some());
    for (trouble, begins) in [(None, true), (Some(Trouble::VolumeEmpty), false)] {
        let decision = decide(&cluster, &memory, |world| {
            lost(world);
            pod(world, Member::new(META, 4)).trouble = trouble;
        });
        assert_eq!(act(&decision) == Some(ActKind::ResetPeer), begins, "{trouble:?}");
    }
}

/// For two minutes after a loss it is looked often, and after that while something is done; else at the usual pace.
#[test]
fn a_loss_of_the_metas_is_looked_at_often() {
    let mut cluster = five_metas();
    let lost = |world: &mut RegistryWorld| {
        leaderless(world);
        move_away(world, 2..5);
    };
    let found = decide(&cluster, &remembered(&cluster), lost);
    assert_eq!(found.wake, Wake::Hurried);
    cluster.wait(Duration::from_mins(2));
    let later = decide(&cluster, &found.memory, lost);
    assert_eq!((act(&later), later.wake), (None, Wake::Soon));
    let incident = later.memory.incident.clone().unwrap();
    cluster.target.confirm = Some((incident.id, Member::new(META, 0)));
    let written = decide(&cluster, &later.memory, lost);
    assert_eq!((act(&written), written.wake), (Some(ActKind::ResetPeer), Wake::Now));
    assert_eq!(decide(&cluster, &written.memory, lost).wake, Wake::Hurried);
}

/// Two metas of 5.x have no majority without either: none is restarted while the other one serves alone.
#[test]
fn of_two_metas_none_is_restarted() {
    let mut cluster = at_rest();
    cluster.servers.remove(&Member::new(META, 2));
    cluster.group = (0..2).filter_map(|n| cluster.address(Member::new(META, n))).collect();
    cluster.workloads.get_mut(&META).unwrap().replicas = 2;
    cluster.target.roles.get_mut(&META).unwrap().replicas = 2;
    cluster.change_template("t2");
    let closed = cluster.until("push is closed", |c, _| c.push == PushSwitch::Closed);
    assert!(stopped(&closed).is_empty());
    let held = cluster.until("it waits", |_, d| waits(d) == [Reason::WaitingForQuorum]);
    assert_eq!(held.command, None);
}

/// Fewer metas are wanted: push is closed, the last one leaves the group, and only then it is taken away.
#[test]
fn a_meta_leaves_the_group_before_it_is_taken_away() {
    let mut cluster = at_rest();
    let last = cluster.address(Member::new(META, 2)).unwrap();
    cluster.target.roles.get_mut(&META).unwrap().replicas = 1;
    cluster.generation += 1;
    let asked =
        cluster.until("the group is told", |_, d| matches!(d.command, Some(Command::ChangePeer { .. })));
    let Some(Command::ChangePeer { peers, .. }) = asked.command else { panic!("{asked:?}") };
    assert_eq!((peers.len(), peers.contains(&last)), (2, false));
    assert_eq!((cluster.push, cluster.workloads[&META].replicas), (PushSwitch::Closed, 3));
    cluster.wait(Duration::from_secs(2));
    let next = decide(&cluster, &remembered(&cluster), |_| {});
    assert_eq!(act(&next), Some(ActKind::ScaleDown));
    let scaled = decide(&cluster, &next.memory, |_| {});
    assert_eq!(scaled.command, Some(Command::Scale { role: META, replicas: 2 }));
}

/// A meta that is to leave and does not answer is waited for while the group counts on it, and no longer when it is out.
#[test]
fn a_silent_meta_that_leaves_is_waited_for_until_it_is_out() {
    let member = Member::new(META, 2);
    let mut cluster = at_rest();
    cluster.target.roles.get_mut(&META).unwrap().replicas = 1;
    cluster.generation += 1;
    let memory = remembered(&cluster);
    let own = cluster.address(member).unwrap();
    for out in [false, true] {
        if out {
            cluster.group.remove(&own);
        }
        let decision = decide(&cluster, &memory, |world| {
            pod(world, member).phase = PodPhase::Starting;
            world.metas.insert(member, Fact::unknown(Unknown::Refused, cluster.now));
        });
        assert_eq!(act(&decision), out.then_some(ActKind::ClosePush), "{:?}", decision.report.waits);
    }
}

/// An address that no member has any more is taken out of the group.
#[test]
fn an_address_that_is_left_over_leaves_the_group() {
    let mut cluster = at_rest();
    let members = cluster.group.clone();
    cluster.group.insert(Ipv4Addr::new(10, 0, 9, 9));
    let told =
        cluster.until("the group is told", |_, d| matches!(d.command, Some(Command::ChangePeer { .. })));
    let Some(Command::ChangePeer { peers, .. }) = told.command else { panic!("{told:?}") };
    assert_eq!(peers, members);
}

/// All volumes of the metas are lost: nobody begins anew by himself, a person is told.
#[test]
fn blank_metas_without_any_member_are_a_persons_matter() {
    let cluster = at_rest();
    let memory = remembered(&cluster);
    let held = |known: bool| {
        decide(&cluster, &memory, |world| {
            world.metas.clear();
            for ordinal in 0..3 {
                let member = Member::new(META, ordinal);
                (pod(world, member).phase, pod(world, member).address) = (PodPhase::Held, None);
                world.kubernetes.claims.get_mut(&member).unwrap().marked = known && ordinal == 0;
            }
        })
    };
    let lost = held(false);
    assert_eq!((act(&lost), first_wait(&lost).0), (None, Reason::MetaMajorityLost));
    assert_eq!(state(&lost), Some(RolloutState::Halted));
    let known = held(true);
    let act = known.memory.run.unwrap().act.unwrap().act;
    assert_eq!(
        (act.kind, act.targets.len()),
        (ActKind::ReleasePods, 1),
        "the one whose volume is a member's"
    );
}

/// The first start is written down when every meta has a pod and a claim, and never for a cluster that ends.
#[test]
fn a_first_start_is_not_begun_while_the_cluster_ends() {
    let mut cluster = Cluster::nothing_yet();
    cluster.reconcile();
    cluster.go_on();
    cluster.wait(Duration::from_secs(2));
    let memory = remembered(&cluster);
    assert!(
        matches!(decide(&cluster, &memory, |_| {}).genesis, Some(Genesis::Begun { claims }) if claims.len() == 3)
    );
    cluster.deleting = true;
    assert_eq!(decide(&cluster, &memory, |_| {}).genesis, None);
    cluster.deleting = false;
    let old = cluster.now.before(Duration::from_mins(1));
    assert_eq!(decide(&cluster, &memory, |w| w.kubernetes.at = old).genesis, None);
}

/// All volumes of a first start are lost before it came to anything: it begins anew with the new ones, unless one of them has been
/// a member's.
#[test]
fn a_first_start_that_lost_all_its_volumes_begins_anew() {
    let mut cluster = Cluster::nothing_yet();
    cluster.until("it is begun", |c, _| matches!(c.genesis, Genesis::Begun { .. }));
    cluster.wait(Duration::from_secs(2));
    let memory = remembered(&cluster);
    let again = |lost: u32, marked: bool| {
        let decision = decide(&cluster, &memory, |world| {
            for ordinal in 0..lost {
                let claim = world.kubernetes.claims.get_mut(&Member::new(META, ordinal)).unwrap();
                claim.uid = format!("another-{ordinal}");
                claim.marked = marked;
            }
        });
        decision.genesis == Some(Genesis::Never)
    };
    assert!(again(3, false));
    assert!(!again(2, false), "one of the founders' volumes is left");
    assert!(!again(3, true), "they are members'");
}

/// The gate of a held meta is lifted once, also when the operator that lifted it was killed.
#[test]
fn a_gate_that_is_lifted_is_not_lifted_again() {
    let mut cluster = Cluster::nothing_yet();
    cluster.until("the release is written down", |_, d| act(d) == Some(ActKind::ReleasePods));
    cluster.wait(Duration::from_secs(2));
    let memory = remembered(&cluster);
    assert!(
        matches!(decide(&cluster, &memory, |_| {}).command, Some(Command::ReleasePods { targets, raft_data: RaftData::Blank }) if targets.len() == 3)
    );
    let lifted = decide(&cluster, &memory, |world| {
        world.kubernetes.pods.values_mut().for_each(|p| p.phase = PodPhase::Starting);
    });
    assert_eq!((lifted.command.as_ref(), state(&lifted)), (None, Some(RolloutState::Verifying)));
}

/// On 6.x, addresses that never return are taken off the list of data nodes that are kept out.
#[test]
fn addresses_that_never_return_are_taken_off_the_blacklist() {
    let mut cluster = at_rest();
    cluster.target.membership = MembershipKind::Database;
    let (gone, leader) = (Ipv4Addr::new(10, 1, 9, 9), cluster.address(Member::new(META, 0)).unwrap());
    let six = |blacklist: Addresses| {
        move |world: &mut RegistryWorld| {
            let known: Addresses = [leader].into();
            for fact in world.metas.values_mut() {
                if let Fact::Known { value, .. } = fact {
                    (value.peers, value.renew_off) = (Some(Addresses::new()), None);
                    value.blacklist.clone_from(&blacklist);
                    value.lists.as_mut().unwrap().metas =
                        (0..3).map(|n| Ipv4Addr::new(10, META as u8, n, 0)).collect();
                }
            }
            for fact in world.datas.values_mut() {
                if let Fact::Known { value, .. } = fact {
                    (value.metas, value.others) = (Some(known.clone()), None);
                }
            }
            for fact in world.sessions.values_mut() {
                if let Fact::Known { value, .. } = fact {
                    value.metas = Some(known.clone());
                }
            }
        }
    };
    let own = cluster.address(Member::new(DATA, 1)).unwrap();
    let memory = remembered(&cluster);
    let rests = decide(&cluster, &memory, six([own].into()));
    assert_eq!((act(&rests), state(&rests)), (None, Some(RolloutState::Done)), "it takes itself off");
    let seen = decide(&cluster, &memory, six([own, gone].into()));
    assert_eq!(act(&seen), Some(ActKind::ClearBlacklist));
    cluster.target.paused = true;
    assert_eq!(act(&decide(&cluster, &memory, six([own, gone].into()))), None, "a person paused it");
    cluster.target.paused = false;
    let told = decide(&cluster, &seen.memory, six([own, gone].into()));
    assert_eq!(told.command, Some(Command::ClearBlacklist { via: leader, addresses: [gone].into() }));
    cluster.wait(Duration::from_secs(2));
    let waits = decide(&cluster, &told.memory, six([own, gone].into()));
    assert_eq!(state(&waits), Some(RolloutState::Verifying));
    assert_eq!(state(&decide(&cluster, &told.memory, six([own].into()))), Some(RolloutState::Done));
}

/// A meta whose volume was lost is let in blank, beside members that work; the next one waits until it is in the group.
#[test]
fn blank_metas_are_let_in_one_after_the_other() {
    let cluster = five_metas();
    let memory = remembered(&cluster);
    let held = |world: &mut RegistryWorld, ordinal: u32| {
        let member = Member::new(META, ordinal);
        (pod(world, member).phase, pod(world, member).address) = (PodPhase::Held, None);
        world.kubernetes.claims.get_mut(&member).unwrap().marked = false;
        world.metas.remove(&member);
    };
    let both_held = |world: &mut RegistryWorld| {
        held(world, 3);
        held(world, 4);
    };
    let both = decide(&cluster, &memory, both_held);
    let act_of = |d: &Decision| d.memory.run.clone().unwrap().act.map(|f| f.act);
    let first = act_of(&both).expect("one of them is let in");
    let members: Vec<Member> = first.targets.iter().map(|t| t.member).collect();
    assert_eq!((first.kind, members), (ActKind::ReleasePods, vec![Member::new(META, 3)]));
    let joining = decide(&cluster, &memory, |world| {
        both_held(world);
        pod(world, Member::new(META, 3)).phase = PodPhase::Starting;
    });
    assert!(act_of(&joining).is_none_or(|a| a.kind != ActKind::ReleasePods), "{joining:?}");
    let listed = decide(&cluster, &memory, |world| {
        held(world, 4);
        let third = Member::new(META, 3);
        pod(world, third).phase = PodPhase::Starting;
        world.kubernetes.claims.get_mut(&third).unwrap().marked = false;
        world.metas.insert(third, Fact::unknown(Unknown::Refused, cluster.now));
    });
    assert!(
        act_of(&listed).is_none_or(|a| a.kind != ActKind::ReleasePods),
        "it is listed, and does not serve yet"
    );
}

/// A meta that was let in with its volume and has lost it before it started is made again, and held: as it is it starts never.
#[test]
fn a_meta_that_lost_its_volume_before_it_started_is_made_again() {
    let cluster = at_rest();
    let memory = remembered(&cluster);
    let member = Member::new(META, 2);
    for (raft_data, marked, again) in
        [(RaftData::Kept, false, true), (RaftData::Kept, true, false), (RaftData::Blank, false, false)]
    {
        let decision = decide(&cluster, &memory, |world| {
            world.kubernetes.claims.get_mut(&member).unwrap().marked = marked;
            let starting = pod(world, member);
            (starting.phase, starting.started, starting.address) = (PodPhase::Starting, None, None);
            starting.raft_data = Some(raft_data.clone());
            world.metas.insert(member, Fact::unknown(Unknown::Refused, cluster.now));
        });
        assert_eq!(act(&decision) == Some(ActKind::RepairPod), again, "{raft_data:?}, marked: {marked}");
    }
}

/// Two of three volumes are lost with their nodes: the survivor that a person confirms begins anew, and while that loss is not
/// over the blank ones are let in, one after the other.
#[test]
fn after_a_new_beginning_blank_metas_are_let_in() {
    let mut cluster = at_rest();
    let survivor = Member::new(META, 0);
    let own = cluster.address(survivor).unwrap();
    let lost = |world: &mut RegistryWorld| {
        leaderless(world);
        for ordinal in [1, 2] {
            let member = Member::new(META, ordinal);
            (pod(world, member).phase, pod(world, member).address) = (PodPhase::Held, None);
            world.kubernetes.claims.get_mut(&member).unwrap().marked = false;
            world.metas.remove(&member);
        }
    };
    let found = decide(&cluster, &remembered(&cluster), lost);
    assert_eq!(first_wait(&found).0, Reason::MetaMajorityLost);
    cluster.target.confirm = found.memory.incident.clone().map(|incident| (incident.id, survivor));
    let goes_on = decide(&cluster, &found.memory, lost);
    assert_eq!(act(&goes_on), Some(ActKind::ResetPeer));
    let done = decide(&cluster, &goes_on.memory, lost);
    assert_eq!(done.command, Some(Command::ResetPeer { survivor: own }));
    cluster.wait(Duration::from_secs(2));
    let alone = |world: &mut RegistryWorld| {
        lost(world);
        if let Some(Fact::Known { value, .. }) = world.metas.get_mut(&survivor) {
            value.standing = Standing::Leader;
            value.peers = Some([own].into());
            value.push = Some(PushSwitch::Closed);
            value.lists = Some(Lists { metas: [own].into(), ..Lists::default() });
        }
        for fact in world.sessions.values_mut() {
            if let Fact::Known { value, .. } = fact {
                value.push = Some(PushSwitch::Closed);
            }
        }
    };
    let mut decision = decide(&cluster, &done.memory, alone);
    for _ in 0..4 {
        if act(&decision) == Some(ActKind::ReleasePods) {
            break;
        }
        cluster.wait(Duration::from_secs(2));
        decision = decide(&cluster, &decision.memory, alone);
    }
    let first = decision.memory.run.unwrap().act.unwrap().act;
    let members: Vec<Member> = first.targets.iter().map(|t| t.member).collect();
    assert_eq!((first.kind, members), (ActKind::ReleasePods, vec![Member::new(META, 1)]));
}

/// A person has the raft data of a member set aside: in a rollout, with push closed, and once for each token.
#[test]
fn the_raft_data_of_a_member_are_set_aside_in_a_rollout() {
    let mut cluster = at_rest();
    cluster.asides.insert(Member::new(META, 1), "t1".parse().unwrap());
    cluster.target.paused = true;
    let paused = decide(&cluster, &remembered(&cluster), |_| {});
    assert_eq!((act(&paused), first_wait(&paused).0), (None, Reason::PausedBySpec));
    cluster.target.paused = false;
    cluster.until("it is made again", |_, d| stopped(d) == ["meta-1"]);
    assert_eq!(cluster.push, PushSwitch::Closed);
    let released =
        cluster.until("it is let in", |_, d| matches!(d.command, Some(Command::ReleasePods { .. })));
    let Some(Command::ReleasePods { raft_data, .. }) = released.command else { panic!("{released:?}") };
    assert_eq!(raft_data, RaftData::Aside("t1".parse().unwrap()));
    cluster.until("it rests", |c, _| is_done(c) && c.asides.is_empty());
    assert_eq!(cluster.push, PushSwitch::Open);
}

/// What a meta of another cluster has is set aside at once, if the others have a majority without it; without a person's word
/// nothing is done.
#[test]
fn the_raft_data_of_another_cluster_are_set_aside_beside_a_leader() {
    let mut cluster = at_rest();
    let (member, other) = (Member::new(META, 1), Member::new(META, 2));
    let own = cluster.address(member).unwrap();
    let split = |world: &mut RegistryWorld| {
        if let Some(Fact::Known { value, .. }) = world.metas.get_mut(&member) {
            (value.standing, value.peers) = (Standing::Leader, Some([own].into()));
        }
    };
    let memory = remembered(&cluster);
    assert_eq!(act(&decide(&cluster, &memory, split)), None);
    cluster.asides.insert(member, "t1".parse().unwrap());
    let told = decide(&cluster, &memory, split);
    let targets: Vec<Member> =
        told.memory.run.unwrap().act.unwrap().act.targets.iter().map(|t| t.member).collect();
    assert_eq!(targets, [member]);
    let at = cluster.now;
    let alone = decide(&cluster, &memory, |world| {
        split(world);
        world.metas.insert(other, Fact::unknown(Unknown::TimedOut, at));
    });
    assert_eq!(act(&alone), None);
    // Asked of the others, there is no leader beside them.
    cluster.asides = [(Member::new(META, 0), "t1".parse().unwrap())].into();
    let wrong = decide(&cluster, &memory, split);
    assert_eq!(act(&wrong), None);
}

/// A meta that cannot join is made again for it as soon as the others lead; two that are to be set aside go one after the other.
#[test]
fn the_raft_data_of_whoever_serves_nobody_are_set_aside_first() {
    let mut cluster = at_rest();
    let (one, two) = (Member::new(META, 1), Member::new(META, 2));
    let away = cluster.address(two).unwrap();
    cluster.asides = [one, two].map(|m| (m, "t1".parse().unwrap())).into();
    let memory = remembered(&cluster);
    let cannot_join = |world: &mut RegistryWorld| {
        pod(world, two).address = Some(Ipv4Addr::new(10, 77, 0, 2));
        if let Some(Fact::Known { value, .. }) = world.metas.get_mut(&two) {
            (value.standing, value.lists, value.push, value.peers) =
                (Standing::Outside, None, None, Some([away].into()));
        }
    };
    let told = decide(&cluster, &memory, cannot_join);
    let first = told.memory.run.unwrap().act.unwrap().act;
    assert_eq!((first.kind, first.targets[0].member), (ActKind::RepairPod, two));
    let held = decide(&cluster, &memory, |world| {
        (pod(world, two).phase, pod(world, two).address) = (PodPhase::Held, None);
        world.metas.remove(&two);
    });
    let next = held.memory.run.unwrap().act.unwrap().act;
    assert_eq!(
        (next.kind, next.targets[0].member),
        (ActKind::ReleasePods, two),
        "it does not wait for the other one"
    );
    cluster.until("both are done", |c, _| is_done(c) && c.asides.is_empty());
}

/// A single meta has nobody to learn from: a wish to set its raft data aside does not keep it from starting with them.
#[test]
fn the_raft_data_of_a_single_meta_are_kept() {
    let mut cluster = at_rest();
    let (one, token) = (Member::new(META, 0), "t1".parse().unwrap());
    cluster.asides.insert(one, token);
    let alone = decide(&cluster, &remembered(&cluster), |world| {
        world.kubernetes.workloads.get_mut(&META).unwrap().replicas = 1;
        world.kubernetes.pods.retain(|m, _| m.role != META || *m == one);
        (pod(world, one).phase, pod(world, one).address) = (PodPhase::Held, None);
        world.metas.clear();
    });
    assert_eq!(act(&alone), Some(ActKind::ReleasePods));
}
