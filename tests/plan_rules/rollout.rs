//! The rollout as a whole: when it wakes, what is given to which role, what a crash leaves open, how a cluster ends.

use std::collections::BTreeSet;
use std::time::Duration;

use sofa_operator::admin::registry::wire::PushSwitch;
use sofa_operator::api::v1alpha1::{ActKind, Reason, RolloutState};
use sofa_operator::observe::{Actor, Fact, GroupView, Member, PodPhase, Trouble, Unknown};
use sofa_operator::plan::{Admission, Command, Decision, TemplateChoice, Wake};
use sofa_operator::types::Moment;

use crate::cluster::{Cluster, DATA, META, SESSION};
use crate::{act, at_rest, decide, first_wait, is_done, pod, remembered, state, stopped};

/// What is still to be written down is looked at soon, though nothing else is to be done.
#[test]
fn a_mark_that_is_to_be_written_is_no_slow_wake() {
    let mut cluster = at_rest();
    assert_eq!(cluster.reconcile().wake, Wake::Slowly);
    cluster.marked.clear();
    let decision = cluster.reconcile();
    assert_eq!((decision.marks.len(), decision.wake), (3, Wake::Soon));
    assert_eq!(cluster.reconcile().wake, Wake::Slowly);
}

/// While nobody is served or a meta starts, for two minutes, and for ten seconds after a command to a server it is looked often; not
/// after a halt, and not for a meta that ends again and again.
#[test]
fn a_first_start_a_command_and_a_meta_that_starts_are_looked_at_often() {
    let mut cluster = Cluster::nothing_yet();
    cluster.until("the metas start", |_, d| matches!(d.command, Some(Command::ReleasePods { .. })));
    cluster.wait(Duration::from_secs(1));
    let begins = decide(&cluster, &remembered(&cluster), |_| {});
    assert_eq!((begins.command, begins.wake), (None, Wake::Hurried));
    cluster.wait(Duration::from_mins(2));
    assert_eq!(decide(&cluster, &begins.memory, |_| {}).wake, Wake::Soon);
    let mut cluster = at_rest();
    cluster.change_template("t2");
    let before = cluster.group.clone();
    let told =
        cluster.until("the group is told", |_, d| matches!(d.command, Some(Command::ChangePeer { .. })));
    assert_eq!(told.wake, Wake::Hurried);
    // It does not show.
    cluster.group = before;
    for (seconds, wake) in [(9, Wake::Hurried), (1, Wake::Soon)] {
        cluster.wait(Duration::from_secs(seconds));
        let waits = decide(&cluster, &remembered(&cluster), |world| {
            for pod in world.kubernetes.pods.values_mut() {
                pod.started = Some(cluster.now.before(Duration::from_mins(9)));
            }
        });
        assert_eq!((act(&waits), waits.wake), (Some(ActKind::ChangePeer), wake));
    }
    let meta = Member::new(META, 2);
    let (cluster, memory) = (at_rest(), remembered(&at_rest()));
    for (seconds, trouble, wake) in
        [(100, None, Wake::Hurried), (120, None, Wake::Soon), (100, Some(Trouble::Crash), Wake::Soon)]
    {
        let decision = decide(&cluster, &memory, |world| {
            let starting = pod(world, meta);
            (starting.phase, starting.trouble) = (PodPhase::Starting, trouble);
            starting.started = Some(cluster.now.before(Duration::from_secs(seconds)));
            world.metas.insert(meta, Fact::unknown(Unknown::Refused, cluster.now));
        });
        assert_eq!(decision.wake, wake, "a meta that started {seconds} s ago, {trouble:?}");
    }
}

/// A role's StatefulSet gets the new template when its turn has come and not before: a pod that is lost meanwhile comes back
/// on the old one.
#[test]
fn a_template_is_given_to_the_role_whose_turn_it_is() {
    use TemplateChoice::{Keep, Target};
    let chosen = |d: &Decision| d.desired.roles.values().map(|r| r.template).collect::<Vec<_>>();
    let mut cluster = at_rest();
    assert_eq!(chosen(&decide(&cluster, &remembered(&cluster), |_| {})), [Target; 3]);
    cluster.change_template("t2");
    assert_eq!(chosen(&cluster.until("push is closed", |c, _| c.push == PushSwitch::Closed)), [Keep; 3]);
    for (first, expected) in
        [(META, [Target, Keep, Keep]), (DATA, [Target, Target, Keep]), (SESSION, [Target; 3])]
    {
        let decision = cluster.until("a pod of it is stopped", |_, d| {
            stopped(d).first().is_some_and(|name| name.starts_with(first.field()))
        });
        assert_eq!(chosen(&decision), expected, "{first:?}");
        cluster.wait(Duration::from_secs(2));
        assert_eq!(chosen(&decide(&cluster, &remembered(&cluster), |_| {})), expected, "after it");
    }
}

/// Only what has not begun sleeps until a window opens; a rollout that was let in goes on when the window closes.
#[test]
fn a_rollout_under_way_does_not_sleep_until_the_next_window() {
    let mut cluster = at_rest();
    let opens = cluster.now.after(Duration::from_hours(20));
    cluster.change_template("t2");
    cluster.target.admission = Admission::Window(Some(opens));
    assert_eq!(cluster.reconcile().wake, Wake::At(opens));
    let memory = remembered(&cluster);
    let news = decide(&cluster, &memory, |w| w.kubernetes.claims.values_mut().for_each(|c| c.marked = false));
    assert_eq!((news.marks.len(), news.wake), (3, Wake::Soon), "what is to be written is not put off");
    cluster.target.admission = Admission::Open;
    let began = cluster.until("a pod is stopped", |_, d| !stopped(d).is_empty());
    assert!(began.memory.run.as_ref().is_some_and(|r| r.admitted));
    cluster.target.admission = Admission::Window(Some(opens));
    cluster.until("it is done", |c, d| {
        assert_ne!(d.wake, Wake::At(opens), "{:?}", d.memory.run);
        is_done(c)
    });
    assert!(cluster.servers.values().all(|s| s.revision == "t2"));
    // What a person asks for later, under the same spec, waits for a window of its own.
    let opens = cluster.now.after(Duration::from_hours(20));
    cluster.target.admission = Admission::Window(Some(opens));
    cluster.asides.insert(Member::new(META, 1), "t1".parse().unwrap());
    let later = cluster.reconcile();
    assert_eq!(
        (act(&later), later.wake, first_wait(&later).0),
        (None, Wake::At(opens), Reason::WaitingForWindow)
    );
}

/// A crash may leave open whether an act was done: its effect is looked for first, and an act that shows is not done again.
#[test]
fn an_act_that_shows_is_not_done_again() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    let meta = Member::new(META, 2);
    cluster.until("its stop is written down", |_, d| {
        let act = d.memory.run.as_ref().and_then(|r| r.act.as_ref());
        act.is_some_and(|f| f.act.kind == ActKind::RestartPods && f.done_at.is_none())
    });
    // The operator that wrote it down did it, and was killed before it wrote that down.
    cluster.wait(Duration::from_secs(2));
    let memory = remembered(&cluster);
    let gone = decide(&cluster, &memory, |w| drop(w.kubernetes.pods.remove(&meta)));
    assert!(gone.command.is_none());
    let run = gone.memory.run.unwrap();
    let flight = run.act.expect("it is under way");
    assert_eq!((run.state, flight.act.targets[0].member), (RolloutState::Verifying, meta));
    assert_eq!(flight.done_at, Some(cluster.now));
    // As long as it does not show, it is done.
    assert_eq!(stopped(&decide(&cluster, &memory, |_| {})), ["meta-2"]);
}

/// A cluster is ended when it is deleted, no pod of it is left, and nothing of it in its push group.
#[test]
fn a_cluster_ends_with_its_last_pod_and_its_last_word_to_the_group() {
    let mut cluster = at_rest();
    assert!(!cluster.reconcile().finished);
    cluster.deleting = true;
    for (last, ends) in [(SESSION, [3, 2, 0]), (DATA, [3, 0, 0]), (META, [0, 0, 0])] {
        cluster.wait(Duration::from_secs(2));
        let decision = cluster.reconcile();
        let replicas: Vec<u32> = decision.desired.roles.values().map(|r| r.replicas).collect();
        assert_eq!(replicas, ends);
        assert_eq!(decision.desired.meta_names, 3, "the names stay to the end");
        assert!(!decision.finished, "{last:?} are there");
        cluster.servers.retain(|m, _| m.role != last);
    }
    cluster.wait(Duration::from_secs(2));
    let memory = remembered(&cluster);
    let holding =
        |we_hold, actor| GroupView { we_hold, others_hold: false, actor, not_closed: BTreeSet::new() };
    for (view, finished) in [
        (holding(true, Actor::Nobody), false),
        (holding(false, Actor::Us), false),
        (holding(false, Actor::Other), true),
    ] {
        let group = Fact::known(view, cluster.now);
        assert_eq!(decide(&cluster, &memory, |w| w.group = Some(group)).finished, finished);
    }
    let old = cluster.now.before(Duration::from_mins(1));
    assert!(!decide(&cluster, &memory, |w| w.kubernetes.at = old).finished, "pods may be there by now");
    assert!(cluster.reconcile().finished);
}

/// A new spec drops what was only written down, and goes on to wait for what was done.
#[test]
fn a_new_spec_goes_on_to_wait_for_what_was_done() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    let written = cluster.until("it is written down", |_, d| act(d) == Some(ActKind::ClosePush));
    assert!(written.command.is_none());
    cluster.change_template("t3");
    let memory = remembered(&cluster);
    let dropped = decide(&cluster, &memory, |w| w.kubernetes.at = Moment::default());
    assert_eq!(dropped.command, None, "no act of the spec before");
    let done = cluster.until("it is done", |_, d| matches!(d.command, Some(Command::ClosePush { .. })));
    assert_eq!(state(&done), Some(RolloutState::Verifying));
    cluster.change_template("t4");
    let at = cluster.now;
    let memory = remembered(&cluster);
    let goes_on = decide(&cluster, &memory, |w| {
        w.sessions.values_mut().for_each(|f| *f = Fact::unknown(Unknown::TimedOut, at));
    });
    assert_eq!((act(&goes_on), state(&goes_on)), (Some(ActKind::ClosePush), Some(RolloutState::Verifying)));
}
