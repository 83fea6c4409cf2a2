//! The push switch: who closed it, when it is closed and opened, and what is counted for that.

use std::collections::BTreeSet;
use std::time::Duration;

use sofa_operator::admin::registry::wire::PushSwitch;
use sofa_operator::api::v1alpha1::{
    ActKind, OnTimeout, PushOwner, PushState, Reason, RolloutState, StepKind, StepState,
};
use sofa_operator::observe::{
    Actor, Addresses, Fact, GroupView, Member, Node, PodPhase, RegistryWorld, Standing, Unknown,
};
use sofa_operator::plan::{Act, Command, Decision, GroupChange};
use sofa_operator::types::DnsLabel;

use crate::cluster::{Cluster, DATA, META, SESSION};
use crate::{act, at_rest, decide, first_wait, is_done, pod, relist, remembered, state, stopped, waits};

/// `spec.push.hold` closes push without a rollout, and taking it away opens it.
#[test]
fn a_hold_closes_push_and_its_end_opens_it() {
    let mut cluster = at_rest();
    cluster.target.hold = true;
    cluster.until("it is held", |c, _| c.push == PushSwitch::Closed);
    let held = cluster.until("it is ours", |_, d| state(d) != Some(RolloutState::Verifying));
    assert_eq!((held.memory.push.owner, held.memory.push.state), (Some(PushOwner::Spec), PushState::Closed));
    assert!(held.memory.push.why.unwrap().contains("spec.push.hold"));
    cluster.wait(Duration::from_mins(10));
    assert!(cluster.reconcile().command.is_none());
    cluster.target.hold = false;
    cluster.until("it is open again", |c, _| c.push == PushSwitch::Open);
    cluster
        .until("it rests", |c, d| is_done(c) && d.memory.push.owner.is_none() && d.memory.push.why.is_none());
}

/// What clients have is counted for a rollout alone: a hold closes push though a session cannot say what its clients have, and a
/// rollout waits for that.
#[test]
fn a_hold_closes_push_without_a_count() {
    let mut held = at_rest();
    held.target.hold = true;
    held.generation += 1;
    let mut changed = at_rest();
    changed.change_template("t2");
    for (cluster, closes) in [(held, true), (changed, false)] {
        let decision = decide(&cluster, &remembered(&cluster), |world| {
            if let Some(Fact::Known { value, .. }) = world.sessions.get_mut(&Member::new(SESSION, 1)) {
                value.counts = None;
            }
        });
        assert_eq!(act(&decision) == Some(ActKind::ClosePush), closes, "{:?}", decision.report.waits);
        assert_eq!(waits(&decision).contains(&Reason::WaitingForFreshFacts), !closes);
    }
}

/// The moment of an act is written down in whole seconds, rounded up: what a server told in that very second is younger.
#[test]
fn what_is_told_at_the_written_moment_of_an_act_counts() {
    let mut cluster = at_rest();
    cluster.target.hold = true;
    cluster.until("push is closed", |c, _| c.push == PushSwitch::Closed);
    let memory = remembered(&cluster);
    assert_eq!(memory.run.as_ref().and_then(|r| r.last_act_at), Some(cluster.now));
    let seen = decide(&cluster, &memory, |_| {});
    assert_ne!(state(&seen), Some(RolloutState::Verifying), "{:?}", seen.report.waits);
    let older = decide(&cluster, &memory, |world| {
        for fact in world.sessions.values_mut() {
            if let Fact::Known { at, .. } = fact {
                *at = at.before(Duration::from_millis(1));
            }
        }
    });
    assert_eq!(state(&older), Some(RolloutState::Verifying));
}

/// Push that another closed stays closed through a whole rollout. What clients have is counted before its first act.
#[test]
fn a_rollout_under_push_that_another_closed_counts_and_leaves_it_closed() {
    let mut cluster = at_rest();
    cluster.push = PushSwitch::Closed;
    let found = cluster.until("it is seen", |_, d| d.memory.push.owner == Some(PushOwner::Other));
    assert!(found.memory.push.why.unwrap().contains("whoever closed it"));
    cluster.change_template("t2");
    let first = cluster.until("a pod is stopped", |_, d| !stopped(d).is_empty());
    let baseline = first.memory.run.unwrap().baseline.expect("it was counted before");
    assert_eq!((baseline.0.publishers, baseline.0.subscribers, baseline.0.watchers), (400, 200, 10));
    let mut opened = false;
    for _ in 0..200 {
        opened |= matches!(cluster.reconcile().command, Some(Command::OpenPush { .. }));
        cluster.wait(Duration::from_secs(2));
        cluster.go_on();
    }
    assert!(!opened && cluster.push == PushSwitch::Closed);
    assert!(cluster.servers.values().all(|s| s.revision == "t2"));
}

/// Who closed push has opened it, and a session missed that: it is told again (measured: sofaregistry §1, fact 7).
#[test]
fn a_session_that_misses_what_a_person_opens_is_told_again() {
    let mut cluster = at_rest();
    cluster.push = PushSwitch::Closed;
    cluster.until("it is seen", |_, d| d.memory.push.owner == Some(PushOwner::Other));
    cluster.push = PushSwitch::Open;
    let memory = remembered(&cluster);
    let missed = |world: &mut RegistryWorld| {
        if let Some(Fact::Known { value, .. }) = world.sessions.get_mut(&Member::new(SESSION, 1)) {
            value.push = Some(PushSwitch::Closed);
        }
    };
    let seen = decide(&cluster, &memory, missed);
    assert_eq!((act(&seen), seen.command, seen.memory.push.owner), (Some(ActKind::OpenPush), None, None));
    let told = decide(&cluster, &seen.memory, missed);
    assert!(matches!(told.command, Some(Command::OpenPush { .. })), "{told:?}");
    // It was closed again meanwhile, or the two were read at different moments: nothing is sent.
    cluster.push = PushSwitch::Closed;
    let closed = decide(&cluster, &seen.memory, |_| {});
    assert_eq!((closed.command, closed.memory.push.owner), (None, Some(PushOwner::Other)));
}

/// A cluster of a push group whose others hold nothing closed has nothing to close.
#[test]
fn push_is_closed_for_the_group_only_while_another_holds_it() {
    let cluster = at_rest();
    let memory = remembered(&cluster);
    let view = |others_hold| GroupView {
        we_hold: false,
        others_hold,
        actor: if others_hold { Actor::Other } else { Actor::Nobody },
        not_closed: BTreeSet::new(),
    };
    for (others_hold, acts) in [(false, None), (true, Some(ActKind::ClosePush))] {
        let group = Fact::known(view(others_hold), cluster.now);
        let decision = decide(&cluster, &memory, |w| w.group = Some(group));
        let act = decision.memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|f| f.act.kind);
        assert_eq!(act, acts, "{others_hold}");
    }
}

/// Push is closed only when each session can be read: one that does not answer may push.
#[test]
fn push_is_not_closed_while_a_session_does_not_answer() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    let memory = remembered(&cluster);
    let silent = Fact::unknown(Unknown::TimedOut, cluster.now);
    let decision = decide(&cluster, &memory, |w| drop(w.sessions.insert(Member::new(SESSION, 1), silent)));
    assert_eq!(decision.memory.run.as_ref().and_then(|r| r.act.as_ref()), None);
    assert_eq!(waits(&decision), [Reason::SessionUnreachable]);
    assert_eq!(decision.memory.push.owner, None);
    let act = decide(&cluster, &memory, |_| {}).memory.run.unwrap().act.unwrap().act;
    assert_eq!(act, Act::on_cluster(ActKind::ClosePush));
}

/// Runs a change to where what clients have is compared, with so many publishers and subscribers on each session from then on.
fn counting(on_timeout: OnTimeout, publishers: u64, subscribers: u64, minutes: u64) -> (Cluster, Decision) {
    let mut cluster = at_rest();
    cluster.target.verify.on_timeout = on_timeout;
    cluster.change_template("t2");
    cluster.until("all are changed", |c, d| {
        c.servers.values().all(|s| s.revision == "t2" && s.phase == Some(PodPhase::Ready))
            && d.memory.run.as_ref().is_some_and(|r| r.act.is_none())
    });
    let mut memory = remembered(&cluster);
    let began = cluster.now;
    let mut last = None;
    while cluster.now.since(began) < Duration::from_mins(minutes) && cluster.push == PushSwitch::Closed {
        cluster.wait(Duration::from_secs(5));
        let decision = decide(&cluster, &memory, |world| {
            for fact in world.sessions.values_mut() {
                if let Fact::Known { value, .. } = fact {
                    let counts = value.counts.as_mut().unwrap();
                    (counts.publishers, counts.subscribers) = (publishers, subscribers);
                }
            }
            for fact in world.datas.values_mut() {
                if let Fact::Known { value, .. } = fact {
                    value.publishers = Some(2 * publishers);
                }
            }
        });
        if matches!(decision.command, Some(Command::OpenPush { .. })) {
            cluster.push = PushSwitch::Open;
        }
        memory = decision.memory.clone();
        last = Some(decision);
    }
    (cluster, last.unwrap())
}

/// Push is opened when the asked share of the clients is back. When they do not come back in time it is opened only if the
/// spec says so and no id can be lost: as many publishers are there as before.
#[test]
fn push_is_opened_without_all_clients_only_where_the_spec_wants_it_and_nothing_is_lost() {
    let opens = |on_timeout, publishers, subscribers, minutes| {
        counting(on_timeout, publishers, subscribers, minutes).0.push == PushSwitch::Open
    };
    assert!(opens(OnTimeout::Hold, 200, 100, 2), "all are back");
    assert!(opens(OnTimeout::Hold, 180, 90, 2), "90 % are asked for");
    assert!(!opens(OnTimeout::Reopen, 200, 89, 19));
    assert!(opens(OnTimeout::Reopen, 200, 89, 22));
    assert!(!opens(OnTimeout::Hold, 200, 89, 40));
    assert!(!opens(OnTimeout::Reopen, 199, 89, 40), "an id may have lost its only publisher");
    let (held, decision) = counting(OnTimeout::Hold, 179, 100, 40);
    assert_eq!((held.push, state(&decision)), (PushSwitch::Closed, Some(RolloutState::Halted)));
    assert_eq!(decision.report.halt.map(|w| w.reason), Some(Reason::CountsNotRecovered));
}

/// A switch that nobody has set is opened once, when all sessions work and nobody wants it otherwise.
#[test]
fn push_that_was_never_set_is_opened_first() {
    let mut cluster = at_rest();
    cluster.push = PushSwitch::NeverSet;
    let memory = remembered(&cluster);
    let act = |cluster: &Cluster, edit: fn(&mut RegistryWorld)| {
        decide(cluster, &memory, edit).memory.run.and_then(|r| r.act).map(|f| f.act.kind)
    };
    assert_eq!(act(&cluster, |_| {}), Some(ActKind::OpenPush));
    let starts = |w: &mut RegistryWorld| {
        w.kubernetes.pods.get_mut(&Member::new(SESSION, 1)).unwrap().phase = PodPhase::Starting;
        let at = w.kubernetes.at;
        w.sessions.insert(Member::new(SESSION, 1), Fact::unknown(Unknown::Refused, at));
    };
    assert_eq!(act(&cluster, starts), None, "a session starts");
    cluster.target.paused = true;
    assert_eq!(act(&cluster, |_| {}), None, "a pause");
    cluster.target.paused = false;
    cluster.target.hold = true;
    assert_eq!(act(&cluster, |_| {}), Some(ActKind::ClosePush), "a hold");
}

/// Push that we closed is opened when every role is as it should be, and no cluster of the group holds it closed.
#[test]
fn push_is_opened_when_all_is_as_it_should_be_and_nobody_holds_it() {
    let mut cluster = at_rest();
    cluster.push = PushSwitch::Closed;
    let mut memory = remembered(&cluster);
    (memory.push.owner, memory.push.state) = (Some(PushOwner::Operator), PushState::Closed);
    assert_eq!(act(&decide(&cluster, &memory, |_| {})), Some(ActKind::OpenPush));
    let unsettled = decide(&cluster, &memory, |world| {
        if let Some(Fact::Known { value, .. }) = world.datas.get_mut(&Member::new(DATA, 1)) {
            value.others = Some(Addresses::new());
        }
    });
    assert_eq!((act(&unsettled), first_wait(&unsettled)), (None, (Reason::WaitingForConvergence, "data-1")));
    for (we_hold, others_hold) in [(false, false), (true, false), (false, true), (true, true)] {
        let view = GroupView { we_hold, others_hold, actor: Actor::Nobody, not_closed: BTreeSet::new() };
        let fact = Fact::known(view, cluster.now);
        let decision = decide(&cluster, &memory, |w| w.group = Some(fact));
        let opens = !we_hold && !others_hold;
        assert_eq!(act(&decision), opens.then_some(ActKind::OpenPush), "{we_hold} {others_hold}");
        assert!(opens || first_wait(&decision) == (Reason::WaitingForPushGroup, "push group"));
    }
}

/// A switch that cannot be read is neither open nor closed, and nobody's.
#[test]
fn a_switch_that_cannot_be_read_is_unknown() {
    let cluster = at_rest();
    let memory = remembered(&cluster);
    assert_eq!(memory.push.state, PushState::Open);
    let silent = Fact::unknown(Unknown::TimedOut, cluster.now);
    let decision = decide(&cluster, &memory, |w| drop(w.sessions.insert(Member::new(SESSION, 1), silent)));
    assert_eq!((decision.memory.push.state, decision.memory.push.owner), (PushState::Unknown, None));
}

/// What clients have is counted when a rollout needs it, and not when somebody closes push long before.
#[test]
fn nothing_is_counted_while_nothing_is_changed() {
    let mut cluster = at_rest();
    cluster.push = PushSwitch::Closed;
    let found = cluster.until("it is seen", |_, d| d.memory.push.owner == Some(PushOwner::Other));
    assert_eq!(found.memory.run.unwrap().baseline, None);
    cluster.wait(Duration::from_secs(2));
    assert_eq!(cluster.reconcile().memory.run.unwrap().baseline, None);
}

/// Push that a person holds closed stays closed after a rollout; when the person lets go in the middle, the rollout opens it.
#[test]
fn a_hold_outlives_a_rollout_and_its_end_in_the_middle_passes_push_to_the_rollout() {
    for lets_go in [false, true] {
        let mut cluster = at_rest();
        cluster.target.hold = true;
        cluster.until("it is held", |_, d| d.memory.push.owner == Some(PushOwner::Spec));
        cluster.change_template("t2");
        cluster.until("a meta is stopped", |_, d| {
            assert_eq!(d.memory.push.owner, Some(PushOwner::Spec));
            !stopped(d).is_empty()
        });
        cluster.target.hold = !lets_go;
        cluster.until("all are changed", |c, d| {
            let owner = if lets_go { PushOwner::Operator } else { PushOwner::Spec };
            assert_eq!((c.push, d.memory.push.owner), (PushSwitch::Closed, Some(owner)));
            c.servers.values().all(|s| s.revision == "t2" && s.phase == Some(PodPhase::Ready))
        });
        cluster.until("it rests", |c, _| is_done(c));
        assert_eq!(cluster.push, if lets_go { PushSwitch::Open } else { PushSwitch::Closed });
    }
}

/// A session can miss the switch while metas are rebuilt: push is closed again after them, before any data node is stopped.
#[test]
fn push_is_closed_again_after_the_metas() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    let mut closed_after = Vec::new();
    loop {
        let decision = cluster.until("push is closed or a data node stopped", |_, d| {
            matches!(d.command, Some(Command::ClosePush { .. }))
                || stopped(d).iter().any(|m| m.starts_with("data"))
        });
        if !stopped(&decision).is_empty() {
            break;
        }
        // The plan says so once a meta is made again, and not before.
        let steps: Vec<StepKind> = decision.report.steps.iter().map(|s| s.kind).collect();
        assert_eq!(steps.contains(&StepKind::CloseAndVerifyPushAgain), !closed_after.is_empty(), "{steps:?}");
        closed_after
            .push(cluster.servers.iter().filter(|(m, s)| m.role == META && s.revision == "t2").count());
        cluster.wait(Duration::from_secs(2));
    }
    assert_eq!(closed_after, [0, 3]);
}

/// Sites that are closed together with ours count: only those that are open are told, and nothing is stopped before they are closed.
#[test]
fn push_is_closed_in_every_site_before_anything_is_stopped() {
    let (east, west): (DnsLabel, DnsLabel) = ("east".parse().unwrap(), "west".parse().unwrap());
    for last in [PushSwitch::Open, PushSwitch::Closed] {
        let mut cluster = at_rest();
        cluster.target.close_sites = [east.clone(), west.clone()].into();
        cluster.change_template("t2");
        let mut memory = remembered(&cluster);
        let (mut told, mut stops) = (Vec::new(), false);
        for _ in 0..20 {
            let (now, open) = (cluster.now, told.is_empty() || last == PushSwitch::Open);
            let decision = decide(&cluster, &memory, |world| {
                let west_is = if open { PushSwitch::Open } else { PushSwitch::Closed };
                world.sites.insert(east.clone(), Fact::known(PushSwitch::Closed, now));
                world.sites.insert(west.clone(), Fact::known(west_is, now));
            });
            if let Some(Command::ClosePush { sites, .. }) = &decision.command {
                told.push(sites.clone());
                cluster.push = PushSwitch::Closed;
            }
            stops |= !stopped(&decision).is_empty();
            memory = decision.memory;
            cluster.wait(Duration::from_secs(2));
        }
        assert!(told.iter().all(|sites| *sites == [west.clone()].into()) && !told.is_empty(), "{told:?}");
        assert_eq!(stops, last == PushSwitch::Closed, "the site's switch is {last:?}");
    }
}

/// Our entry in the group's object stands there only while we need push closed.
#[test]
fn a_cluster_at_rest_holds_nothing_in_its_group() {
    let mut cluster = at_rest();
    let name: DnsLabel = "city".parse().unwrap();
    cluster.target.push_group = Some(name.clone());
    let memory = remembered(&cluster);
    let change = |cluster: &Cluster, we_hold: bool, actor: Actor| {
        let view = GroupView { we_hold, others_hold: false, actor, not_closed: BTreeSet::new() };
        let fact = Fact::known(view, cluster.now);
        decide(cluster, &memory, |w| w.group = Some(fact)).group
    };
    let leaves = Some(GroupChange { group: name.clone(), hold: false, act: false });
    assert_eq!(change(&cluster, false, Actor::Nobody), None);
    assert_eq!(change(&cluster, false, Actor::Other), None);
    assert_eq!(change(&cluster, true, Actor::Nobody), leaves);
    assert_eq!(change(&cluster, false, Actor::Us), leaves);
    cluster.change_template("t2");
    let enters = |act| Some(GroupChange { group: name.clone(), hold: true, act });
    assert_eq!(change(&cluster, false, Actor::Nobody), enters(true));
    assert_eq!(change(&cluster, false, Actor::Other), enters(false));
    assert_eq!(change(&cluster, true, Actor::Us), None);
}

/// An act that fails as often as it may rests for a minute, and is then tried once, not all over again.
#[test]
fn a_halted_act_is_tried_once_a_minute() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    let began = cluster.now;
    let mut sent = Vec::new();
    while cluster.now.since(began) < Duration::from_mins(10) {
        if matches!(cluster.reconcile().command, Some(Command::ClosePush { .. })) {
            sent.push(cluster.now);
        }
        // It is accepted, and has no effect.
        cluster.push = PushSwitch::Open;
        cluster.wait(Duration::from_secs(2));
    }
    let early = sent.iter().filter(|at| at.since(began) < Duration::from_mins(2)).count();
    assert!((6..=7).contains(&early), "{early}");
    let late: Vec<Duration> = sent[7..].windows(2).map(|w| w[1].since(w[0])).collect();
    assert!(late.len() > 3 && late.iter().all(|pause| *pause >= Duration::from_mins(1)), "{late:?}");
}

/// A cluster that is deleted opens what it closed before its sessions end, and does not wait for that for ever.
#[test]
fn a_cluster_that_ends_opens_push_first() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    cluster.until("a meta is stopped", |_, d| !stopped(d).is_empty());
    cluster.until("all metas work", |c, d| {
        act(d).is_none() && c.servers.values().all(|s| s.phase == Some(PodPhase::Ready))
    });
    cluster.deleting = true;
    let (memory, began) = (remembered(&cluster), cluster.now);
    let opened = cluster.until("push is open", |c, d| {
        assert!(c.push == PushSwitch::Open || d.desired.roles[&SESSION].replicas == 2);
        d.desired.roles[&SESSION].replicas == 0
    });
    assert_eq!((cluster.push, opened.command), (PushSwitch::Open, None));
    // Nobody leads, so nobody can open it: after five minutes the cluster ends all the same.
    let mut cluster = Cluster { now: began, push: PushSwitch::Closed, ..cluster };
    cluster.workloads.get_mut(&SESSION).unwrap().replicas = 2;
    let mut memory = memory;
    loop {
        let decision = decide(&cluster, &memory, |w| w.metas.clear());
        assert_eq!(decision.command, None);
        if decision.desired.roles[&SESSION].replicas == 0 {
            break;
        }
        memory = decision.memory;
        cluster.wait(Duration::from_secs(10));
        assert!(cluster.now.since(began) < Duration::from_mins(6));
    }
    assert!(cluster.now.since(began) >= Duration::from_mins(5));
}

/// While another cluster of the push group holds push closed, ours is closed too, by us; when nobody holds it, it is opened.
#[test]
fn push_is_closed_with_the_group_and_opened_with_it() {
    let mut cluster = at_rest();
    cluster.target.push_group = Some("city".parse().unwrap());
    let mut memory = remembered(&cluster);
    for (others_hold, wanted) in [(true, PushSwitch::Closed), (false, PushSwitch::Open)] {
        for _ in 0..10 {
            let actor = if others_hold { Actor::Other } else { Actor::Nobody };
            let view = GroupView { we_hold: false, others_hold, actor, not_closed: BTreeSet::new() };
            let fact = Fact::known(view, cluster.now);
            let decision = decide(&cluster, &memory, |w| w.group = Some(fact));
            match decision.command {
                Some(Command::ClosePush { .. }) => cluster.push = PushSwitch::Closed,
                Some(Command::OpenPush { .. }) => cluster.push = PushSwitch::Open,
                None => {}
                Some(other) => panic!("{other:?}"),
            }
            memory = decision.memory;
            cluster.wait(Duration::from_secs(2));
        }
        assert_eq!(cluster.push, wanted, "the others hold: {others_hold}");
        assert_eq!(memory.push.owner, others_hold.then_some(PushOwner::Operator));
    }
}

/// A session that can hear of no meta, and that none lists, pushes for nobody: it does not keep push from counting as closed. One
/// on a silent node is not known to.
#[test]
fn a_deaf_session_does_not_keep_push_from_being_closed() {
    let cluster = at_rest();
    let session = Member::new(SESSION, 1);
    let deaf = |world: &mut RegistryWorld, node| {
        let old = pod(world, session).address.unwrap();
        relist(world, |lists| {
            lists.sessions.remove(&old);
        });
        pod(world, session).node = node;
        if let Some(Fact::Known { value, .. }) = world.sessions.get_mut(&session) {
            value.metas = Some(Addresses::new());
            value.push = Some(PushSwitch::Open);
        }
        world.metas.values_mut().for_each(|fact| {
            if let Fact::Known { value, .. } = fact {
                value.push = Some(PushSwitch::Closed);
            }
        });
        if let Some(Fact::Known { value, .. }) = world.sessions.get_mut(&Member::new(SESSION, 0)) {
            value.push = Some(PushSwitch::Closed);
        }
    };
    let state = |node| decide(&cluster, &remembered(&cluster), |w| deaf(w, node)).memory.push.state;
    assert_eq!(state(Node::Reachable), PushState::Closed);
    assert_eq!(state(Node::Unreachable), PushState::Unknown);
}

/// Push is closed for no change that could not begin: another role settles first.
#[test]
fn push_stays_open_while_another_role_is_unsettled() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    let memory = remembered(&cluster);
    let unsettled = decide(&cluster, &memory, |world| {
        if let Some(Fact::Known { value, .. }) = world.datas.get_mut(&Member::new(DATA, 1)) {
            value.others = Some(Addresses::new());
        }
    });
    assert_eq!((act(&unsettled), first_wait(&unsettled)), (None, (Reason::WaitingForConvergence, "data-1")));
    let broken = decide(&cluster, &memory, |world| {
        if let Some(Fact::Known { value, .. }) = world.metas.get_mut(&Member::new(META, 2)) {
            (value.standing, value.lists, value.push) = (Standing::Outside, None, None);
        }
    });
    assert_eq!(act(&broken), Some(ActKind::ClosePush), "what is to be changed may be what the change mends");
    assert_eq!(act(&decide(&cluster, &memory, |_| {})), Some(ActKind::ClosePush));
}

/// Push that somebody opened in a rollout halts it; a new spec is a person's word to go on, and it is closed anew.
#[test]
fn push_that_was_opened_is_closed_again_for_a_new_spec_alone() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    let is_verified = |d: &Decision| {
        let step = d.report.steps.iter().find(|s| s.kind == StepKind::VerifyPushClosed).expect("it is told");
        step.state == StepState::Done
    };
    let stops = cluster.until("a pod is stopped", |_, d| !stopped(d).is_empty());
    assert!(is_verified(&stops));
    cluster.push = PushSwitch::Open;
    let halted = cluster.until("it is seen", |_, d| state(d) == Some(RolloutState::Halted));
    assert_eq!((first_wait(&halted).0, is_verified(&halted)), (Reason::PushOpenedByOther, false));
    cluster.change_template("t3");
    cluster.until("it is closed again", |c, _| c.push == PushSwitch::Closed);
    cluster.until("it rests", |c, _| is_done(c));
    assert_eq!(cluster.push, PushSwitch::Open);
}

/// What clients have is counted before the first act: where it cannot be, push that is closed already is not enough.
#[test]
fn no_first_act_without_a_count() {
    let mut cluster = at_rest();
    cluster.push = PushSwitch::Closed;
    cluster.until("it is seen", |_, d| d.memory.push.owner == Some(PushOwner::Other));
    cluster.change_template("t2");
    let memory = remembered(&cluster);
    let uncounted = decide(&cluster, &memory, |world| {
        for fact in world.sessions.values_mut() {
            if let Fact::Known { value, .. } = fact {
                value.counts = None;
            }
        }
    });
    assert_eq!((act(&uncounted), first_wait(&uncounted)), (None, (Reason::WaitingForFreshFacts, "clients")));
    assert_eq!(act(&decide(&cluster, &memory, |_| {})), Some(ActKind::RestartPods));
}
