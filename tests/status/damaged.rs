//! A status that a hand has edited, or that another operator wrote: what is not understood is left out, and the rest is kept.

use proptest::prelude::*;
use serde_json::{Value, json};
use sofa_operator::api::v1alpha1::{
    ActKind, ClusterStatus, PushOwner, PushState, Reason, Role, RolloutState,
};
use sofa_operator::observe::{Counts, Member};
use sofa_operator::plan::{Act, InFlight, Memory, PushRecord, Report, Run};
use sofa_operator::status::{memory_of, status_of};
use sofa_operator::types::{Moment, PlanId};

use crate::memory::nothing_seen;

const CLUSTER: &str = "prod";

fn at(seconds: i64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

fn uid(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

/// A memory with a bit of everything.
fn whole() -> Memory {
    let mut run = Run::begin(PlanId::from_hash(0xab), 7, at(1), None);
    let target = Member::new(Role::Meta, 2);
    let act = Act::on(ActKind::RestartPods, target, uid(2).parse().ok());
    run.state = RolloutState::Acting;
    run.act = Some(InFlight { act, written_at: at(50), done_at: None });
    run.baseline = Some((Counts { publishers: 10, subscribers: 20, watchers: 3, connections: None }, at(9)));
    run.done.entry(Role::Meta).or_default().insert(uid(1).parse().unwrap());
    run.metas_since_close = true;
    let push = PushRecord {
        state: PushState::Closed,
        owner: Some(PushOwner::Operator),
        since: at(10),
        group: None,
        sites: ["east".parse().unwrap()].into(),
        why: Some("a rollout".to_owned()),
    };
    Memory {
        run: Some(run),
        push,
        last_leader: Some(Member::new(Role::Meta, 0)),
        known_as: [(Member::new(Role::Meta, 0), "10.0.0.1".parse().unwrap())].into(),
        waiting: [((Reason::WaitingForPeers, "meta-2".to_owned()), at(51))].into(),
        ..Memory::default()
    }
}

fn written() -> Value {
    let mut subject = crate::memory::subject(at(60));
    subject.cluster = CLUSTER;
    let none = ClusterStatus::default();
    serde_json::to_value(status_of(&subject, &Report::default(), &whole(), &nothing_seen(), &none)).unwrap()
}

/// What is remembered after these edits.
fn after(edits: &[(&str, Value)]) -> Memory {
    let mut status = written();
    for (path, value) in edits {
        *status.pointer_mut(path).unwrap_or_else(|| panic!("no {path}")) = value.clone();
    }
    memory_of(CLUSTER, &serde_json::from_value(status).expect("every status can be read"))
}

/// The whole memory after this change.
fn but(change: impl FnOnce(&mut Memory)) -> Memory {
    let mut memory = whole();
    change(&mut memory);
    memory
}

fn but_run(change: impl FnOnce(&mut Run)) -> Memory {
    but(|m| change(m.run.as_mut().unwrap()))
}

#[test]
fn without_edits_nothing_is_lost() {
    assert_eq!(after(&[]), whole());
}

#[test]
fn words_of_a_newer_operator_are_left_out() {
    let word = json!("Sparkling");
    assert_eq!(after(&[("/rollout/state", word.clone())]), but_run(|r| r.state = RolloutState::Gating));
    assert_eq!(after(&[("/rollout/act/kind", word.clone())]), but_run(|r| r.act = None));
    assert_eq!(after(&[("/rollout/steps/0/kind", word.clone())]), but_run(|r| r.done.clear()));
    assert_eq!(after(&[("/rollout/steps/0/state", word.clone())]), whole());
    assert_eq!(after(&[("/rollout/steps/0/role", word.clone())]), but_run(|r| r.done.clear()));
    assert_eq!(after(&[("/push/state", word.clone())]), but(|m| m.push.state = PushState::Unknown));
    assert_eq!(after(&[("/members/0/state", word.clone())]), whole());
    assert_eq!(after(&[("/members/0/role", word.clone())]), but(|m| m.known_as.clear()));
    let other = after(&[("/waitingOn/0/reason", word)]);
    assert_eq!(other.waiting.keys().next(), Some(&(Reason::Other, "meta-2".to_owned())));
}

#[test]
fn an_owner_of_push_that_is_not_known_is_nobody() {
    assert_eq!(after(&[("/push/owner", json!("Me"))]), but(|m| m.push.owner = None));
    assert_eq!(after(&[("/push/owner", json!(["Operator"]))]), but(|m| m.push.owner = None));
    assert_eq!(after(&[("/push", json!("Operator"))]), but(|m| m.push = PushRecord::default()));
}

#[test]
fn an_act_that_a_hand_has_changed_is_none() {
    let no_act = but_run(|r| r.act = None);
    for (path, value) in [
        ("/rollout/act/targets/0/member", json!("prod-meta-1")),
        ("/rollout/act/targets/0/podUid", json!(uid(3))),
        ("/rollout/act/targets/0/podUid", json!("all of them")),
        ("/rollout/act/targets", json!([])),
        ("/rollout/act/targets", json!("prod-meta-2")),
        ("/rollout/act/kind", json!("ResetPeer")),
        ("/rollout/act/key", json!("mine")),
        ("/rollout/act/writtenAt", json!("2026-11-21T00:00:00Z")),
        ("/rollout/act/writtenAt", json!("yesterday")),
    ] {
        assert_eq!(after(&[(path, value.clone())]), no_act, "{path} {value}");
    }
}

#[test]
fn an_act_on_a_member_of_another_cluster_is_none() {
    for name in ["other-meta-2", "prod-meta-02", "prod-worker-2", "prod-2", "meta-2"] {
        assert_eq!(
            after(&[("/rollout/act/targets/0/member", json!(name))]),
            but_run(|r| r.act = None),
            "{name}"
        );
    }
}

#[test]
fn names_of_others_are_left_out() {
    assert_eq!(after(&[("/lastLeader", json!("other-meta-0"))]), but(|m| m.last_leader = None));
    assert_eq!(after(&[("/lastLeader", json!("NO NAME"))]), but(|m| m.last_leader = None));
    assert_eq!(after(&[("/members/0/name", json!("other-meta-0"))]), but(|m| m.known_as.clear()));
    assert_eq!(after(&[("/members/0/role", json!("Data"))]), but(|m| m.known_as.clear()));
    assert_eq!(after(&[("/members/0/knownAs", json!("a.example"))]), but(|m| m.known_as.clear()));
    assert_eq!(after(&[("/members", json!({"a": 1}))]), but(|m| m.known_as.clear()));
}

#[test]
fn a_survivor_of_another_cluster_is_none() {
    let mut status = written();
    let names = ["prod-meta-1", "other-meta-0", "prod-meta-0", "NO NAME"];
    status["incident"] = json!({"id": "a1", "reason": "MetaMajorityLost", "since": "x", "survivors": names});
    let memory = memory_of(CLUSTER, &serde_json::from_value(status.clone()).unwrap());
    let survivors = memory.incident.unwrap().survivors;
    assert_eq!(survivors, [Member::new(Role::Meta, 1), Member::new(Role::Meta, 0)]);
    status["incident"]["id"] = json!("");
    assert_eq!(memory_of(CLUSTER, &serde_json::from_value(status).unwrap()), whole());
}

/// A run whose generation cannot be read is one of another spec: the next plan begins a new one, with its baseline.
#[test]
fn a_run_of_no_generation_is_that_of_another_spec() {
    for id in [
        "r-17",
        "g7",
        "g-00000000000000ab",
        "gx-00000000000000ab",
        "g7-00000000000000cd",
        "g99999999999999999999-ab",
    ] {
        assert_eq!(after(&[("/rollout/id", json!(id))]), but_run(|r| r.generation = 0), "{id}");
    }
    assert_eq!(after(&[("/rollout/planId", json!("0123456789"))]).run.map(|r| r.generation), Some(0));
    assert_eq!(after(&[("/rollout/planId", json!("no hash"))]), but(|m| m.run = None));
}

#[test]
fn numbers_and_times_that_are_none_are_left_out() {
    let no_publishers = but_run(|r| r.baseline.as_mut().unwrap().0.publishers = 0);
    assert_eq!(after(&[("/rollout/baseline/publishers", json!(-4))]), no_publishers);
    assert_eq!(after(&[("/rollout/baseline/publishers", json!("many"))]), no_publishers);
    assert_eq!(after(&[("/rollout/baseline", json!(7))]), but_run(|r| r.baseline = None));
    // Instances that were lost since then are run again: no date is no run.
    assert_eq!(after(&[("/rollout/startedAt", json!("early"))]), but(|m| m.run = None));
    assert_eq!(
        after(&[("/rollout/metasSinceClose", json!("yes"))]),
        but_run(|r| r.metas_since_close = false)
    );
    // A wait without a date would have lasted for ever.
    assert_eq!(after(&[("/waitingOn/0/since", json!("early"))]), but(|m| m.waiting.clear()));
    assert_eq!(after(&[("/rollout/steps/0/done", json!(["x"]))]), but_run(|r| r.done.clear()));
}

/// Every place of a status where a value may be damaged.
fn places(path: &str, value: &Value, into: &mut Vec<String>) {
    into.push(path.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(k, v)| places(&format!("{path}/{k}"), v, into)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| places(&format!("{path}/{i}"), v, into));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands anywhere, reading does not fail, and neither an act nor an owner of push comes from it.
    #[test]
    fn nothing_is_invented(place in any::<prop::sample::Index>(), junk in junk()) {
        let mut status = written();
        let mut all = Vec::new();
        places("", &status, &mut all);
        let path = &all[place.index(all.len())];
        *status.pointer_mut(path).unwrap() = junk;
        if let Ok(read) = serde_json::from_value::<ClusterStatus>(status) {
            let memory = memory_of(CLUSTER, &read);
            prop_assert!(memory.push.owner.is_none_or(|owner| owner == PushOwner::Operator), "{path}");
            let act = memory.run.and_then(|r| r.act).map(|f| f.act);
            prop_assert!(act.is_none() || act == whole().run.unwrap().act.map(|f| f.act), "{path}");
        } else {
            prop_assert_eq!(path.as_str(), "", "only a status that is no object cannot be read");
        }
    }
}

fn junk() -> impl Strategy<Value = Value> {
    let words = ["", "Acting", "prod-data-0", "Some\u{0}thing", "2026-11-21T01:02:03Z", "é"];
    let uids = uid(9);
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
        Just(json!(uids)),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{"a": [1]}])),
    ]
}
