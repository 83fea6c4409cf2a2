//! Conditions of what is wrong, missing, broken or on its way out.

use std::time::Duration;

use sofa_operator::admin::registry::wire::PushSwitch;
use sofa_operator::api::v1alpha1::{
    ClusterStatus, Condition, ConditionStatus as Is, ConditionType as Of, PushOwner, Reason,
};
use sofa_operator::observe::{Member, Node};
use sofa_operator::status::{stalled_by, waits_for, warned};
use sofa_operator::types::{DnsLabel, Moment};
use sofa_operator::validate::{Invalid, Missing, Warning};

use crate::cluster::{Cluster, DATA, META, SESSION};
use crate::rollout::at_rest;
use crate::schema::stored;

fn of(status: &ClusterStatus, kind: Of) -> &Condition {
    status.conditions.iter().find(|c| c.kind == kind).expect("it is there")
}

fn invalid(field: &str) -> Invalid {
    Invalid {
        field: field.to_owned(),
        message: "it is wrong: correct it".to_owned(),
        reason: Reason::InvalidSpec,
    }
}

/// What is allowed and yet not good is told in an Event, once for each spec; what degrades has a condition.
#[test]
fn a_warning_is_told_once() {
    let warning = |field: &str, degrades| Warning {
        field: field.to_owned(),
        message: "it is not good: see to it".to_owned(),
        degrades,
    };
    let warnings = [warning("rollout.windows", None), warning("meta", Some(Reason::NotHighlyAvailable))];
    let of = |generation| ClusterStatus { observed_generation: generation, ..ClusterStatus::default() };
    let told = warned(&of(Some(1)), &of(Some(2)), &warnings);
    let notes: Vec<_> = told.iter().map(|n| (n.reason.as_str(), n.note.as_str())).collect();
    assert_eq!(notes, [("SpecWarning", "spec.rollout.windows: it is not good: see to it")]);
    assert!(warned(&of(Some(2)), &of(Some(2)), &warnings).is_empty());
}

#[test]
fn a_wrong_spec_stalls_and_leaves_all_else_as_it_was() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    cluster.until("push is closed", |c, _| c.push == PushSwitch::Closed);
    let old = cluster.status.clone();
    let now = cluster.now.after(Duration::from_mins(1));
    let new = stored(&stalled_by(&[invalid("meta.replicas"), invalid("image")], &old, 9, now));
    assert_eq!(of(&new, Of::Stalled).status, Is::True);
    assert_eq!(of(&new, Of::Ready).reason, Reason::InvalidSpec);
    assert_eq!(of(&new, Of::Reconciling).status, Is::False);
    let message = &of(&new, Of::Ready).message;
    assert_eq!(message, "spec.meta.replicas: it is wrong: correct it; spec.image: it is wrong: correct it");
    assert_eq!(new.observed_generation, Some(9));
    assert_eq!(of(&new, Of::Available), of(&old, Of::Available));
    assert_eq!(of(&new, Of::Ready).last_transition_time, of(&old, Of::Ready).last_transition_time);
    let rest = |status: &ClusterStatus| ClusterStatus {
        conditions: Vec::new(),
        observed_generation: None,
        ..status.clone()
    };
    assert_eq!(rest(&new), rest(&old));
    let later = stalled_by(
        &[invalid("meta.replicas"), invalid("image")],
        &new,
        9,
        now.after(Duration::from_hours(1)),
    );
    assert_eq!(later, new);
}

#[test]
fn a_new_object_with_a_wrong_spec_says_so_too() {
    let many: Vec<Invalid> = (0..60).map(|n| invalid(&format!("field{n}"))).collect();
    let status = stored(&stalled_by(&many, &ClusterStatus::default(), 1, Moment::from_millis(5000)));
    assert_eq!(of(&status, Of::Stalled).status, Is::True);
    assert!(of(&status, Of::Stalled).message.ends_with("more"), "{}", of(&status, Of::Stalled).message);
    assert_eq!(status.members, []);
}

#[test]
fn what_is_missing_is_waited_for() {
    let missing = [Missing {
        field: "database.secretRef".to_owned(),
        subject: "Secret registry-database".to_owned(),
        message: "it is not there: make it".to_owned(),
        reason: Reason::ReferenceNotFound,
    }];
    let status = stored(&waits_for(&missing, &ClusterStatus::default(), 1, Moment::from_millis(5000)));
    let ready = of(&status, Of::Ready);
    assert_eq!((ready.status, ready.reason), (Is::False, Reason::ReferenceNotFound));
    assert_eq!(ready.message, "Secret registry-database: it is not there: make it");
    assert_eq!(of(&status, Of::Stalled).status, Is::False, "it goes on by itself");
    let mut cluster = at_rest();
    cluster.missing = missing.to_vec();
    cluster.reconcile();
    assert_eq!(cluster.condition(Of::Ready).reason, Reason::ReferenceNotFound);
    assert_eq!(cluster.condition(Of::Stalled).status, Is::False);
    assert_eq!(cluster.condition(Of::Available).status, Is::True);
}

#[test]
fn a_node_that_does_not_answer_degrades_and_does_not_stop_the_service() {
    let mut cluster = at_rest();
    cluster.servers.get_mut(&Member::new(SESSION, 1)).unwrap().node = Node::Unreachable;
    cluster.reconcile();
    let degraded = cluster.condition(Of::Degraded);
    assert_eq!((degraded.status, degraded.reason), (Is::True, Reason::NodeUnreachable));
    assert_eq!(cluster.condition(Of::Available).status, Is::True);
    assert_eq!(cluster.condition(Of::Ready).status, Is::False);
    assert_eq!(cluster.status.ready.as_deref(), Some("6/7"));
    cluster.servers.get_mut(&Member::new(SESSION, 0)).unwrap().node = Node::Unreachable;
    cluster.reconcile();
    let available = cluster.condition(Of::Available);
    assert_eq!(available.status, Is::Unknown);
    assert_eq!(available.message, "no SessionServer is known to serve");
}

#[test]
fn without_a_leader_or_data_nobody_is_served() {
    let mut cluster = at_rest();
    for ordinal in 0..2 {
        cluster.servers.get_mut(&Member::new(META, ordinal)).unwrap().phase = None;
        cluster.servers.get_mut(&Member::new(DATA, ordinal)).unwrap().phase = None;
    }
    cluster.reconcile();
    let available = cluster.condition(Of::Available);
    assert_eq!((available.status, available.reason), (Is::False, Reason::NotServing));
    assert_eq!(available.message, "no DataServer serves, no meta leads");
}

#[test]
fn warnings_and_notes_degrade_a_cluster_that_is_ready() {
    let mut cluster = at_rest();
    cluster.warnings.push(Warning { field: "a".to_owned(), message: "only told".to_owned(), degrades: None });
    cluster.reconcile();
    assert_eq!(cluster.condition(Of::Degraded).status, Is::False);
    let reason = Some(Reason::NotHighlyAvailable);
    cluster.warnings.push(Warning {
        field: "b".to_owned(),
        message: "one server".to_owned(),
        degrades: reason,
    });
    cluster.reconcile();
    let degraded = cluster.condition(Of::Degraded);
    assert_eq!((degraded.status, degraded.reason), (Is::True, Reason::NotHighlyAvailable));
    assert_eq!(degraded.message, "one server");
    assert_eq!(cluster.condition(Of::Ready).status, Is::True);
}

#[test]
fn push_that_a_person_closed_is_told_and_is_not_ours() {
    let mut cluster = at_rest();
    cluster.push = PushSwitch::Closed;
    cluster.until("it is seen", |c, _| c.condition(Of::Degraded).reason == Reason::PushHeld);
    assert_eq!(cluster.status.push.as_ref().and_then(|p| p.owner), Some(PushOwner::Other));
    assert_eq!(cluster.condition(Of::Stalled).status, Is::False);
}

#[test]
fn a_lost_majority_needs_a_person() {
    let mut cluster = at_rest();
    for ordinal in 0..3 {
        cluster.servers.get_mut(&Member::new(META, ordinal)).unwrap().phase = None;
    }
    cluster.until("a person is asked", |c, _| c.condition(Of::Stalled).status == Is::True);
    assert_eq!(cluster.condition(Of::Stalled).reason, Reason::MetaMajorityLost);
    assert_eq!(cluster.condition(Of::Degraded).reason, Reason::MetaMajorityLost);
    assert_eq!(cluster.condition(Of::Available).status, Is::False);
    let incident = cluster.status.incident.clone().expect("it is told");
    assert_eq!(incident.survivors[0].as_str(), "prod-meta-0", "the last leader comes first");
    assert_eq!(cluster.status.last_leader.as_ref().map(DnsLabel::as_str), Some("prod-meta-0"));
    let before = cluster.status.clone();
    cluster.wait(Duration::from_mins(10));
    cluster.reconcile();
    assert_eq!(cluster.status, before, "it waits for a person, and nothing changes");
    let survivor = Member::new(META, 0);
    cluster.target.confirm = Some((incident.id, survivor));
    cluster.generation += 1;
    cluster.until("it is recovered", |c, _| c.condition(Of::Ready).status == Is::True);
    assert_eq!(cluster.status.incident, None);
}

#[test]
fn a_cluster_that_is_deleted_says_so() {
    let mut cluster: Cluster = at_rest();
    cluster.deleting = true;
    cluster.reconcile();
    assert_eq!(cluster.condition(Of::Ready).reason, Reason::Deleting);
    assert_eq!(cluster.condition(Of::Reconciling).status, Is::True);
    assert_eq!(cluster.condition(Of::Progressing).reason, Reason::Deleting);
}
