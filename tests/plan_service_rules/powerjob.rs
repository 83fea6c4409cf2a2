//! When the apps of a PowerJob move, who is stopped, and what is told.

use std::time::Duration;

use sofa_operator::api::v1alpha1::{ActKind, Reason, Role, RolloutState, StepKind};
use sofa_operator::observe::{App, Apps, Fact, Kubernetes, Member, ServiceWorld, Unknown, Workload};
use sofa_operator::plan::{Admission, Command, Decision, PowerJobRule, RoleTarget, Wake};
use sofa_operator::types::Moment;

use crate::{PACE, START, Story, reasons, state};

/// Two PowerJob servers at rest, each the owner of one app with three workers.
fn powerjob() -> (Story, Apps) {
    let mut story = Story::at_rest();
    let server = |n| Member::new(Role::Server, n);
    story.target.roles = vec![(Role::Server, RoleTarget { replicas: 2, revision: "old".to_owned() })];
    story.target.powerjob = Some(PowerJobRule { drain: true, retry_lost: true });
    story.target.by_connections = false;
    story.world = ServiceWorld {
        kubernetes: Kubernetes { at: START, ..Kubernetes::default() },
        ..ServiceWorld::default()
    };
    story
        .world
        .kubernetes
        .workloads
        .insert(Role::Server, Workload { replicas: 2, revision: "old".to_owned() });
    for member in [server(0), server(1)] {
        story.make(member, "old");
        story.clients(member, None);
    }
    let app = |n| App {
        owner: Some(server(n)),
        moved_at: None,
        fresh: [(server(n), 3)].into(),
        alive: 3,
        due: true,
    };
    let apps = Apps {
        apps: [(1, app(0)), (2, app(1))].into(),
        pinged: [server(0), server(1)].into(),
        ..Apps::default()
    };
    (story, apps)
}

/// Instances that were lost are run again once; then nothing is waited for.
#[test]
fn lost_instances_are_run_again_until_none_is_left() {
    let (mut story, mut apps) = powerjob();
    apps.lost = 1;
    let told = |story: &mut Story, apps: &Apps| {
        story.world.apps = Some(Fact::known(apps.clone(), story.now.after(PACE)));
        story.turn()
    };
    assert!(told(&mut story, &apps).command.is_none(), "it is written down first");
    assert!(matches!(told(&mut story, &apps).command, Some(Command::RetryLost { .. })));
    assert_eq!(state(&told(&mut story, &apps)), Some(RolloutState::Verifying));
    apps.lost = 0;
    assert_eq!(state(&told(&mut story, &apps)), Some(RolloutState::Done));
}

/// An app that is due and has an owner and no worker is told, after the minute that workers have to follow a new owner.
#[test]
fn an_app_without_workers_is_told() {
    type Edit = fn(&mut App, Moment);
    let cases: [(Edit, bool); 6] = [
        (|_, _| {}, false),
        (|app, _| app.alive = 0, true),
        (|app, _| (app.alive, app.due) = (0, false), false),
        (|app, _| (app.alive, app.owner) = (0, None), false),
        (|app, now| (app.alive, app.moved_at) = (0, Some(now.before(Duration::from_secs(30)))), false),
        (|app, now| (app.alive, app.moved_at) = (0, Some(now.before(Duration::from_mins(1)))), true),
    ];
    for (index, (edit, is_told)) in cases.into_iter().enumerate() {
        let (mut story, mut apps) = powerjob();
        let now = story.now.after(PACE);
        edit(apps.apps.get_mut(&2).unwrap(), now);
        story.world.apps = Some(Fact::known(apps, now));
        let notes = story.turn().report.notes;
        let lonely: Vec<&str> =
            notes.iter().filter(|n| n.reason == Reason::NoWorkers).map(|n| n.subject.as_str()).collect();
        assert_eq!(lonely, if is_told { vec!["app 2"] } else { vec![] }, "case {index}");
    }
}

/// A stop waits while the workers of any app do not report to its owner; of an app that was moved off this server only for
/// 50 s, since what the former owner fires fails after a minute.
#[test]
fn a_stop_waits_for_the_workers_of_every_app() {
    // How many seconds ago it was moved, its workers that report to its owner, and whether the stop goes on.
    let cases: [(Option<u64>, u32, bool); 6] = [
        (None, 3, true),
        (None, 2, false),
        (Some(20), 3, false),
        (Some(40), 2, false),
        (Some(50), 2, true),
        (Some(120), 2, false),
    ];
    for (index, (when, workers, stops_it)) in cases.into_iter().enumerate() {
        let (mut story, mut apps) = powerjob();
        story.target.roles[0].1.revision = "new".to_owned();
        let other = Member::new(Role::Server, 0);
        // Both apps are the other server's.
        apps.apps.remove(&2);
        let now = story.now.after(PACE);
        let app = apps.apps.get_mut(&1).unwrap();
        app.moved_at = when.map(|seconds| now.before(Duration::from_secs(seconds)));
        app.fresh = [(other, workers)].into();
        story.world.apps = Some(Fact::known(apps, now));
        let decision = story.turn();
        let act = decision.memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|f| f.act.kind);
        assert_eq!(
            act,
            stops_it.then_some(ActKind::RestartPods),
            "case {index}: {:?}",
            decision.report.waits
        );
    }
}

/// An act that is written down, or what is waited for.
type NextAct = Result<ActKind, (Reason, String)>;

/// What a PowerJob that is to be changed does next, with these apps: the act that it writes down, or what it waits for.
fn next_act(edit: impl FnOnce(&mut Story, &mut Apps, Moment)) -> NextAct {
    let (mut story, mut apps) = powerjob();
    "new".clone_into(&mut story.target.roles[0].1.revision);
    let now = story.now.after(PACE);
    edit(&mut story, &mut apps, now);
    if story.world.apps.is_none() {
        story.world.apps = Some(Fact::known(apps, now));
    }
    let decision = story.turn();
    let act = decision.memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|f| f.act.kind);
    act.ok_or_else(|| (decision.report.waits[0].reason, decision.report.waits[0].subject.clone()))
}

/// The rules (a) of §1.7: what holds a server before its apps are moved away. Server 1 comes first.
#[test]
fn owners_that_do_not_answer_and_workers_that_disagree_hold_a_move() {
    type Edit = fn(&mut Apps, Moment);
    let waits = |subject: &str| Err((Reason::WaitingForWorkers, subject.to_owned()));
    let cases: [(&str, Edit, NextAct); 9] = [
        ("all is well", |_, _| {}, Ok(ActKind::PreRegister)),
        (
            "another owner does not answer the others",
            |apps, _| apps.pinged.retain(|m| m.ordinal != 0),
            Err((Reason::WaitingForWorkers, "app 1".to_owned())),
        ),
        (
            "it has workers and no owner",
            |apps, _| apps.apps.get_mut(&1).unwrap().owner = None,
            waits("app 1"),
        ),
        (
            "nobody looks for it",
            |apps, _| *apps.apps.get_mut(&1).unwrap() = App::default(),
            Ok(ActKind::PreRegister),
        ),
        (
            "a worker does not report to its owner",
            |apps, _| apps.apps.get_mut(&1).unwrap().fresh = [(Member::new(Role::Server, 0), 2)].into(),
            waits("app 1"),
        ),
        (
            "its workers report to two others",
            |apps, _| {
                let fresh = &mut apps.apps.get_mut(&1).unwrap().fresh;
                fresh.extend([1, 2].map(|n| (Member::new(Role::Server, n), 1)));
            },
            waits("app 1"),
        ),
        ("owners change again and again", |apps, _| apps.flipping = true, waits("owners")),
        (
            "its own app has just come to it",
            |apps, now| {
                apps.apps.get_mut(&2).unwrap().moved_at = Some(now.before(Duration::from_secs(29)));
            },
            waits("app 2"),
        ),
        (
            "the next owner knows the workers already",
            |apps, _| {
                apps.apps.get_mut(&2).unwrap().fresh =
                    [0, 1].map(|n| (Member::new(Role::Server, n), 3)).into();
            },
            Ok(ActKind::MoveApp),
        ),
    ];
    for (what, edit, expected) in cases {
        assert_eq!(next_act(|_, apps, now| edit(apps, now)), expected, "{what}");
    }
    // The server itself hangs: its apps are moved without it.
    let hangs = |_: &mut Story, apps: &mut Apps, _: Moment| apps.pinged.retain(|m| m.ordinal != 1);
    assert_eq!(next_act(hangs), Ok(ActKind::PreRegister));
    let unknown = |story: &mut Story, _: &mut Apps, now: Moment| {
        story.world.apps = Some(Fact::unknown(Unknown::TimedOut, now));
    };
    assert_eq!(next_act(unknown), Err((Reason::WaitingForDatabase, "apps".to_owned())));
}

/// Of a move that broke off in the middle the rest follows at once: the former owner drops the workers of what it lost while
/// it owns anything. The stop waits all the same.
#[test]
fn the_rest_of_a_broken_move_follows_at_once() {
    let moved = |apps: &mut Apps, now: Moment| {
        let server = |n| Member::new(Role::Server, n);
        let app = App {
            owner: Some(server(0)),
            moved_at: Some(now.before(Duration::from_secs(3))),
            fresh: [(server(0), 3), (server(1), 3)].into(),
            alive: 3,
            due: true,
        };
        apps.apps.insert(3, app);
    };
    assert_eq!(next_act(|_, apps, now| moved(apps, now)), Ok(ActKind::PreRegister));
    let last = |_: &mut Story, apps: &mut Apps, now: Moment| {
        moved(apps, now);
        apps.apps.remove(&2);
    };
    assert_eq!(
        next_act(last),
        Err((Reason::WaitingForWorkers, "app 3".to_owned())),
        "nothing is left to move"
    );
}

/// Without a login, or with another version, a server is just stopped, and what was lost is run again after that.
#[test]
fn a_powerjob_that_is_not_drained_is_just_stopped() {
    let plain = |story: &mut Story, apps: &mut Apps, _: Moment| {
        story.target.powerjob = Some(PowerJobRule { drain: false, retry_lost: true });
        apps.lost = 3;
    };
    assert_eq!(next_act(plain), Ok(ActKind::RestartPods));
    let (mut story, _) = powerjob();
    story.target.powerjob = Some(PowerJobRule { drain: false, retry_lost: true });
    let told = |story: &mut Story, lost| {
        let at = story.now.after(PACE);
        story.world.apps = Some(Fact::known(Apps { lost, ..Apps::default() }, at));
        story.turn()
    };
    told(&mut story, 3);
    assert!(matches!(told(&mut story, 3).command, Some(Command::RetryLost { .. })));
    told(&mut story, 3);
    assert_eq!(state(&told(&mut story, 0)), Some(RolloutState::Done));
}

/// A database that does not tell of the apps is told at rest already, with its own word; a restart waits with that word.
#[test]
fn why_the_apps_are_not_known_is_told() {
    for (drain, retry_lost, why, lacks) in [
        (true, true, Unknown::Unreadable, Some("a restart waits")),
        (false, true, Unknown::Unreadable, Some("not run again")),
        (false, false, Unknown::Unreadable, None),
        (true, true, Unknown::TimedOut, None),
    ] {
        let (mut story, _) = powerjob();
        story.target.powerjob = Some(PowerJobRule { drain, retry_lost });
        story.world.apps = Some(Fact::unknown(why, story.now.after(PACE)));
        story.world.apps_fault = Some("a table is missing".to_owned());
        let decision = story.turn();
        assert_eq!(state(&decision), Some(RolloutState::Done), "nothing is to be done");
        let told = decision.report.notes.iter().find(|n| n.reason == Reason::AppsNotMoved);
        assert_eq!(told.is_some(), lacks.is_some(), "{drain} {retry_lost} {why}: {told:?}");
        if let (Some(told), Some(lacks)) = (told, lacks) {
            assert!(told.message.contains("a table is missing") && told.message.contains(lacks), "{told:?}");
        }
    }
    let (mut story, _) = powerjob();
    "new".clone_into(&mut story.target.roles[0].1.revision);
    story.world.apps = Some(Fact::unknown(Unknown::Unreadable, story.now.after(PACE)));
    story.world.apps_fault = Some("a table is missing".to_owned());
    let waits = story.turn().report.waits;
    assert_eq!(waits[0].reason, Reason::WaitingForDatabase);
    assert_eq!(waits[0].message, "their owners are not known: a table is missing");
}

/// A server of a version with which moving was not measured is changed to one: until all are, servers are simply stopped, and that
/// is told.
#[test]
fn servers_of_an_unmeasured_version_are_simply_stopped_and_told() {
    for unmeasured in [true, false] {
        let (mut story, mut apps) = powerjob();
        "new".clone_into(&mut story.target.roles[0].1.revision);
        apps.unmeasured.extend(unmeasured.then(|| (Member::new(Role::Server, 1), "4.3.7".to_owned())));
        story.world.apps = Some(Fact::known(apps, story.now.after(PACE)));
        let decision = story.turn();
        let act = decision.memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|f| f.act.kind);
        assert_eq!(act, Some(if unmeasured { ActKind::RestartPods } else { ActKind::PreRegister }));
        let drains = decision.report.steps.iter().any(|s| s.kind == StepKind::DrainServer);
        assert_eq!(drains, !unmeasured, "the plan says it too");
        let told = decision.report.notes.iter().find(|n| n.reason == Reason::AppsNotMoved);
        assert_eq!(told.is_some_and(|n| n.message.starts_with("server-1 is of 4.3.7")), unmeasured);
    }
}

/// A move that was written down is not taken for done when a server comes to tell another version, and is not sent any more.
#[test]
fn a_move_is_given_up_beside_a_server_of_another_version() {
    let (mut story, mut apps) = powerjob();
    "new".clone_into(&mut story.target.roles[0].1.revision);
    let told = |apps: &Apps, story: &Story| Some(Fact::known(apps.clone(), story.now.after(PACE)));
    story.world.apps = told(&apps, &story);
    let act = |d: &Decision| {
        d.memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|f| (f.act.kind, f.done_at.is_some()))
    };
    assert_eq!(act(&story.turn()), Some((ActKind::PreRegister, false)));
    apps.unmeasured.insert(Member::new(Role::Server, 0), "4.3.7".to_owned());
    story.world.apps = told(&apps, &story);
    let decision = story.turn();
    assert_eq!((act(&decision), decision.command), (Some((ActKind::RestartPods, false)), None));
}

/// One server alone has nobody to move its apps to: it is stopped, and that is told.
#[test]
fn a_single_server_is_stopped_and_told() {
    let (mut story, mut apps) = powerjob();
    let second = Member::new(Role::Server, 1);
    story.world.kubernetes.pods.remove(&second);
    story.world.kubernetes.workloads.get_mut(&Role::Server).unwrap().replicas = 1;
    story.target.roles[0].1 = RoleTarget { replicas: 1, revision: "new".to_owned() };
    apps.apps.remove(&2);
    story.world.apps = Some(Fact::known(apps, story.now.after(PACE)));
    let decision = story.turn();
    let act = decision.memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|f| f.act.kind);
    assert_eq!(act, Some(ActKind::RestartPods));
    assert!(decision.report.notes.iter().any(|n| n.reason == Reason::NotHighlyAvailable));
}

/// A usurped server is stopped (rule c): not while paused, not without another one that works, and after its apps.
#[test]
fn a_usurped_server_is_stopped_when_it_may_be() {
    type Edit = fn(&mut Story, &mut Apps);
    let usurped = Member::new(Role::Server, 1);
    let cases: [(&str, Edit, Result<ActKind, Reason>); 6] = [
        ("it owns another app", |_, _| {}, Ok(ActKind::PreRegister)),
        ("it owns nothing", |_, apps| drop(apps.apps.remove(&2)), Ok(ActKind::RepairPod)),
        (
            "it owns nothing, beside a server of another version",
            |_, apps| {
                apps.apps.remove(&2);
                apps.unmeasured.insert(Member::new(Role::Server, 0), "4.3.7".to_owned());
            },
            Ok(ActKind::RepairPod),
        ),
        ("paused", |story, _| story.target.paused = true, Err(Reason::PausedBySpec)),
        (
            "no other one answers",
            |_, apps| apps.pinged.retain(|m| m.ordinal != 0),
            Err(Reason::WaitingForPod),
        ),
        (
            "it hangs again",
            |story, _| {
                let at = story.now.after(PACE);
                story
                    .world
                    .servers
                    .insert(Member::new(Role::Server, 1), Fact::unknown(Unknown::TimedOut, at));
            },
            Err(Reason::WaitingForPod),
        ),
    ];
    for (what, edit, expected) in cases {
        let (mut story, mut apps) = powerjob();
        apps.usurped = [usurped].into();
        edit(&mut story, &mut apps);
        story.world.apps = Some(Fact::known(apps, story.now.after(PACE)));
        let decision = story.turn();
        let act = decision.memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|f| f.act.kind);
        let found = act.ok_or_else(|| decision.report.waits[0].reason);
        assert_eq!(found, expected, "{what}");
    }
}

/// A move that is refused, as by an owner that has changed, is tried again from what is seen then, and in the end it halts.
#[test]
fn a_move_that_is_refused_again_and_again_halts() {
    let (mut story, mut apps) = powerjob();
    story.target.roles[0].1.revision = "new".to_owned();
    apps.apps.get_mut(&2).unwrap().fresh.insert(Member::new(Role::Server, 0), 3);
    let mut tried = 0;
    for _ in 0..300 {
        story.world.apps = Some(Fact::known(apps.clone(), story.now.after(PACE)));
        let decision = story.turn();
        if matches!(decision.command, Some(Command::MoveApps { .. })) {
            tried += 1;
            story.memory = decision.memory_if_refused.clone().unwrap();
        }
        if state(&decision) == Some(RolloutState::Halted) {
            assert!(tried >= 3, "{tried}");
            return;
        }
    }
    panic!("it never halted, after {tried} attempts");
}

/// At rest the owners of apps are looked at every 10 s: a server that has lost one is stopped before it fires in vain.
#[test]
fn owners_are_looked_at_at_rest() {
    for (drain, wake) in [(true, None), (false, Some(Wake::Slowly))] {
        let (mut story, apps) = powerjob();
        story.target.powerjob = Some(PowerJobRule { drain, retry_lost: false });
        story.world.apps = Some(Fact::known(apps, story.now.after(PACE)));
        let decision = story.turn();
        assert_eq!(state(&decision), Some(RolloutState::Done));
        let soon = Wake::At(story.now.after(Duration::from_secs(10)));
        assert_eq!(decision.wake, wake.unwrap_or(soon), "drain: {drain}");
        if drain {
            "new".clone_into(&mut story.target.roles[0].1.revision);
            story.target.admission = Admission::Window(Some(story.now.after(Duration::from_hours(3))));
            let Some(Fact::Known { value, .. }) = story.world.apps.clone() else { panic!("it is known") };
            story.world.apps = Some(Fact::known(value, story.now.after(PACE)));
            let waits = story.turn();
            assert_eq!(reasons(&waits), [Reason::WaitingForWindow]);
            assert_eq!(waits.wake, Wake::At(story.now.after(Duration::from_secs(10))));
        }
    }
}
