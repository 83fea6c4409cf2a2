//! A first start and a rolling change by the real planner, with all that it remembers in the status.

use std::str::FromStr;
use std::time::Duration;

use sofa_operator::admin::registry::wire::PushSwitch;
use sofa_operator::api::v1alpha1::{
    ConditionStatus, ConditionType as Of, MemberState, PushOwner, PushState, Reason, RolloutState,
};
use sofa_operator::observe::{Genesis, Member};
use sofa_operator::plan::Admission;
use sofa_operator::types::{DnsLabel, Moment};

use crate::cluster::{Cluster, DATA, META, SESSION};

fn is_done(cluster: &Cluster) -> bool {
    cluster.status.rollout.as_ref().is_some_and(|r| r.state == RolloutState::Done)
}

pub(crate) fn at_rest() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.until("it rests", |c, _| is_done(c));
    cluster
}

fn is(cluster: &Cluster, of: Of) -> (ConditionStatus, Reason) {
    let condition = cluster.condition(of);
    assert_eq!(condition.observed_generation, Some(cluster.generation));
    assert!(!condition.message.is_empty(), "{of:?}");
    (condition.status, condition.reason)
}

const YES: ConditionStatus = ConditionStatus::True;
const NO: ConditionStatus = ConditionStatus::False;

#[test]
fn a_cluster_at_rest_is_ready_and_its_status_stays_as_it_is() {
    let mut cluster = at_rest();
    assert_eq!(is(&cluster, Of::Ready), (YES, Reason::Converged));
    assert_eq!(is(&cluster, Of::Available), (YES, Reason::Serving));
    assert_eq!(is(&cluster, Of::Progressing), (NO, Reason::Idle));
    assert_eq!(is(&cluster, Of::Degraded), (NO, Reason::AsExpected));
    assert_eq!(is(&cluster, Of::Paused), (NO, Reason::NotPaused));
    assert_eq!(is(&cluster, Of::Reconciling), (NO, Reason::Converged));
    assert_eq!(is(&cluster, Of::Stalled), (NO, Reason::AsExpected));
    assert_eq!(cluster.status.ready.as_deref(), Some("7/7"));
    assert_eq!(cluster.status.plan, []);
    let before = cluster.status.clone();
    for _ in 0..3 {
        cluster.wait(Duration::from_mins(10));
        cluster.reconcile();
        assert_eq!(cluster.status, before);
        assert_eq!(serde_json::to_string(&cluster.status).unwrap(), serde_json::to_string(&before).unwrap());
    }
}

#[test]
fn a_site_is_opened_again_only_if_it_was_open_before() {
    let mut cluster = at_rest();
    let (east, west) = (DnsLabel::from_str("east").unwrap(), DnsLabel::from_str("west").unwrap());
    cluster.sites = [(east.clone(), PushSwitch::Open), (west.clone(), PushSwitch::Closed)].into();
    cluster.target.close_sites = [east.clone(), west.clone()].into();
    cluster.change_template("t2");
    cluster.until("a meta is changed", |c, _| c.servers[&Member::new(META, 1)].revision == "t2");
    assert_eq!(cluster.sites[&east], PushSwitch::Closed, "together with ours");
    assert_eq!(cluster.status.push.as_ref().unwrap().sites, std::slice::from_ref(&east));
    cluster.until("it rests", |c, _| is_done(c));
    assert_eq!(cluster.sites[&east], PushSwitch::Open);
    assert_eq!(cluster.sites[&west], PushSwitch::Closed, "what another closed stays closed");
    assert!(cluster.status.push.as_ref().unwrap().sites.is_empty());
}

#[test]
fn a_rolling_change_goes_through_with_its_memory_in_the_status() {
    let mut cluster = at_rest();
    let ready = cluster.condition(Of::Available).last_transition_time.clone();
    cluster.change_template("t2");
    cluster.wait(Duration::from_mins(1));
    cluster.reconcile();
    assert_eq!(is(&cluster, Of::Ready).0, NO, "of the new generation, before the first act");
    assert_eq!(is(&cluster, Of::Reconciling), (YES, Reason::RollingOut));
    assert_eq!(is(&cluster, Of::Stalled).0, NO);
    let began = cluster.condition(Of::Ready).last_transition_time.clone();
    cluster.until("a data server is changed", |c, _| {
        assert_eq!(c.condition(Of::Ready).last_transition_time, began);
        assert_eq!(c.condition(Of::Degraded).status, NO, "{}", c.condition(Of::Degraded).message);
        c.servers[&Member::new(DATA, 1)].revision == "t2"
    });
    let push = cluster.status.push.clone().unwrap();
    assert_eq!((push.state, push.owner), (PushState::Closed, Some(PushOwner::Operator)));
    assert_eq!(is(&cluster, Of::Available), (YES, Reason::Serving));
    assert_eq!(is(&cluster, Of::Progressing), (YES, Reason::RollingOut));
    cluster.until("it is done", |c, _| is_done(c));
    assert!(cluster.servers.values().all(|s| s.revision == "t2"));
    assert_eq!(is(&cluster, Of::Ready), (YES, Reason::Converged));
    assert_eq!(cluster.condition(Of::Available).last_transition_time, ready, "it never stopped");
    assert_eq!(cluster.status.push.as_ref().map(|p| (p.state, p.owner)), Some((PushState::Open, None)));
    let steps = &cluster.status.rollout.as_ref().unwrap().steps;
    assert_eq!(steps.iter().filter_map(|s| s.done.as_ref()).map(Vec::len).sum::<usize>(), 7);
}

#[test]
fn a_wait_for_a_window_is_a_state_that_does_not_change() {
    let mut cluster = at_rest();
    let opens = Moment::from_millis(1_795_300_000_000);
    for (admission, reason) in [
        (Admission::Window(Some(opens)), Reason::WaitingForWindow),
        (Admission::Approval, Reason::WaitingForApproval),
    ] {
        cluster.change_template("t2");
        cluster.target.admission = admission;
        cluster.reconcile();
        assert_eq!(is(&cluster, Of::Ready), (NO, reason));
        assert_eq!(is(&cluster, Of::Progressing), (NO, reason));
        assert_eq!(is(&cluster, Of::Reconciling), (NO, reason));
        assert_eq!(is(&cluster, Of::Stalled).0, NO, "nothing is wrong");
        assert_eq!(is(&cluster, Of::Degraded).0, NO);
        let before = cluster.status.clone();
        cluster.wait(Duration::from_mins(10));
        cluster.reconcile();
        assert_eq!(cluster.status, before);
        let waiting = cluster.status.waiting_on.iter().find(|w| w.reason == reason).expect("it is told");
        assert_ne!(Moment::from(&waiting.since), cluster.now);
    }
}

#[test]
fn a_pause_in_the_middle_finishes_what_is_in_flight_and_says_so() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    cluster.until("a meta is changed", |c, _| c.servers[&Member::new(META, 2)].phase.is_none());
    cluster.target.paused = true;
    cluster.generation += 1;
    cluster.reconcile();
    assert_eq!(is(&cluster, Of::Paused), (YES, Reason::PausedBySpec));
    assert!(cluster.condition(Of::Paused).message.contains("finished"));
    cluster.until("it rests", |c, _| c.condition(Of::Ready).reason == Reason::PausedBySpec);
    assert_eq!(cluster.status.push.as_ref().map(|p| p.state), Some(PushState::Open));
    assert!(cluster.condition(Of::Paused).message.contains("nothing is changed"));
    assert_eq!(is(&cluster, Of::Reconciling), (NO, Reason::PausedBySpec));
    assert_eq!(is(&cluster, Of::Available), (YES, Reason::Serving));
}

#[test]
fn a_wait_of_the_rollout_itself_does_not_change_either() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    cluster.until("a meta is changed", |c, _| c.servers[&Member::new(META, 2)].phase.is_none());
    cluster.wait(Duration::from_secs(2));
    cluster.reconcile();
    let before = cluster.status.clone();
    cluster.wait(Duration::from_mins(5));
    cluster.reconcile();
    assert_eq!(cluster.status, before, "its pod is waited for");
    for _ in 0..4 {
        // The act gives up, then the gate of the next one.
        cluster.wait(Duration::from_mins(10));
        cluster.reconcile();
    }
    assert_eq!(is(&cluster, Of::Stalled), (YES, Reason::WaitingForPod), "its time is over");
    assert_eq!(is(&cluster, Of::Reconciling).0, NO);
    assert_eq!(is(&cluster, Of::Degraded).0, YES);
    let before = cluster.status.clone();
    cluster.wait(Duration::from_mins(10));
    cluster.reconcile();
    assert_eq!(cluster.status, before);
}

#[test]
fn the_first_start_is_told_as_such() {
    let mut cluster = Cluster::nothing_yet();
    cluster.reconcile();
    assert_eq!(is(&cluster, Of::Progressing), (YES, Reason::FirstStart));
    assert_eq!(is(&cluster, Of::Available), (NO, Reason::NotServing));
    assert_eq!(cluster.status.ready.as_deref(), Some("0/7"));
    cluster.until("metas are held", |c, _| c.status.members.iter().any(|m| m.state == MemberState::Held));
    cluster.until("sessions start", |c, _| c.servers.contains_key(&Member::new(SESSION, 0)));
    assert!(cluster.genesis == Genesis::Done);
    cluster.until("it is done", |c, _| is_done(c));
    assert_eq!(is(&cluster, Of::Ready), (YES, Reason::Converged));
    assert_eq!(is(&cluster, Of::Available), (YES, Reason::Serving));
    assert_eq!(cluster.status.members[0].state, MemberState::Leader);
}
