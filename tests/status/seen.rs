//! How each member is told, and whether.

use std::collections::BTreeMap;

use serde_json::Value;
use sofa_operator::api::v1alpha1::{ConditionStatus, MemberState, MemberStatus, Role};
use sofa_operator::observe::{Fact, Member, Node, PodPhase, RegistryWorld, Standing, Trouble, Unknown};
use sofa_operator::plan::{Report, RoleTarget};
use sofa_operator::status::{RegistryView, observe_registry};
use sofa_operator::types::Moment;

use crate::cluster::{Cluster, DATA, META, NAME, SESSION};
use crate::rollout::at_rest;

fn state_of(world: &RegistryWorld, cluster: &Cluster, member: Member) -> (MemberState, Option<String>) {
    let view = RegistryView { target: &cluster.target, world };
    let observed = observe_registry(NAME, &view, &Report::default());
    let seen = observed.members.into_iter().find(|m| m.member == member).expect("it is told");
    (seen.state, seen.message)
}

type Edit = fn(&mut RegistryWorld, Member);

fn pod(world: &mut RegistryWorld, member: Member) -> &mut sofa_operator::observe::Pod {
    world.kubernetes.pods.get_mut(&member).unwrap()
}

fn silent(world: &mut RegistryWorld, member: Member, why: Unknown) {
    world.sessions.insert(member, Fact::unknown(why, Moment::default()));
}

#[test]
fn each_state_of_a_session() {
    let cluster = Cluster::new();
    let member = Member::new(SESSION, 1);
    let cases: [(&str, Edit, MemberState); 11] = [
        ("as it is", |_, _| {}, MemberState::Serving),
        ("no pod", |w, m| drop(w.kubernetes.pods.remove(&m)), MemberState::Gone),
        ("held", |w, m| pod(w, m).phase = PodPhase::Held, MemberState::Held),
        ("stopping", |w, m| pod(w, m).phase = PodPhase::Stopping, MemberState::Gone),
        ("its node is gone", |w, m| pod(w, m).node = Node::Unreachable, MemberState::Unknown),
        ("no answer", |w, m| silent(w, m, Unknown::TimedOut), MemberState::Unknown),
        ("not asked", |w, m| drop(w.sessions.remove(&m)), MemberState::Unknown),
        ("refused", |w, m| silent(w, m, Unknown::Refused), MemberState::Broken),
        ("rubbish", |w, m| silent(w, m, Unknown::Unreadable), MemberState::Broken),
        (
            "it starts",
            |w, m| {
                silent(w, m, Unknown::Refused);
                pod(w, m).phase = PodPhase::Starting;
            },
            MemberState::Starting,
        ),
        (
            "it crashes",
            |w, m| {
                silent(w, m, Unknown::Refused);
                pod(w, m).phase = PodPhase::Starting;
                pod(w, m).trouble = Some(Trouble::Crash);
            },
            MemberState::Broken,
        ),
    ];
    for (what, edit, expected) in cases {
        let mut world = cluster.world();
        edit(&mut world, member);
        let (state, message) = state_of(&world, &cluster, member);
        assert_eq!(state, expected, "{what}");
        let quiet = matches!(state, MemberState::Serving | MemberState::Held | MemberState::Starting);
        assert!(quiet || message.is_some() || what == "no pod", "{what}");
    }
}

#[test]
fn a_meta_leads_follows_or_is_outside() {
    let cluster = Cluster::new();
    let mut world = cluster.world();
    assert_eq!(state_of(&world, &cluster, Member::new(META, 0)).0, MemberState::Leader);
    assert_eq!(state_of(&world, &cluster, Member::new(META, 1)).0, MemberState::Serving);
    let standing = |world: &mut RegistryWorld, ordinal: u32, standing| {
        let member = Member::new(META, ordinal);
        let Some(Fact::Known { value, .. }) = world.metas.get_mut(&member) else { panic!("it is known") };
        value.standing = standing;
    };
    standing(&mut world, 1, Standing::Outside);
    assert_eq!(state_of(&world, &cluster, Member::new(META, 1)).0, MemberState::Starting, "others let it in");
    standing(&mut world, 2, Standing::Leader);
    let (state, message) = state_of(&world, &cluster, Member::new(META, 0));
    assert_eq!(state, MemberState::Serving, "two say that they lead");
    assert!(message.unwrap().contains("not the only one"));
    let view = RegistryView { target: &cluster.target, world: &world };
    let available = observe_registry(NAME, &view, &Report::default()).available;
    assert_eq!(available.status, ConditionStatus::False);
    for ordinal in 0..3 {
        standing(&mut world, ordinal, Standing::Outside);
    }
    assert_eq!(state_of(&world, &cluster, Member::new(META, 0)).0, MemberState::Broken);
}

#[test]
fn a_member_keeps_its_date_until_it_changes() {
    let mut cluster = at_rest();
    let date = |c: &Cluster, name: &str| -> MemberStatus {
        c.status.members.iter().find(|m| m.name.as_str() == name).unwrap().clone()
    };
    let before = date(&cluster, "prod-data-1");
    cluster.wait(std::time::Duration::from_mins(1));
    cluster.reconcile();
    assert_eq!(date(&cluster, "prod-data-1"), before);
    cluster.servers.get_mut(&Member::new(DATA, 1)).unwrap().made += 1;
    cluster.reconcile();
    let after = date(&cluster, "prod-data-1");
    assert_eq!(after.state, before.state);
    assert_eq!(Moment::from(&after.since), cluster.now, "it is another pod");
    assert_eq!(after.revision.as_deref(), Some("t1"));
}

/// A meta with a new address is known by the old one until the others are told.
#[test]
fn a_meta_is_known_by_its_old_address_until_the_others_are_told() {
    let mut cluster = at_rest();
    let old = cluster.address(Member::new(META, 2)).unwrap().to_string();
    let told = |c: &Cluster| {
        let meta = &c.status.members[2];
        (meta.address.as_ref().map(ToString::to_string), meta.known_as.as_ref().map(ToString::to_string))
    };
    assert_eq!(told(&cluster), (Some(old.clone()), Some(old.clone())));
    cluster.servers.get_mut(&Member::new(META, 2)).unwrap().phase = None;
    cluster.until("it answers again", |c, _| c.status.members[2].address.is_some());
    let new = cluster.address(Member::new(META, 2)).unwrap().to_string();
    assert_eq!(told(&cluster), (Some(new.clone()), Some(old)));
    cluster.until("the others are told", |c, _| {
        c.status.members[2].known_as.as_ref().is_some_and(|a| a.as_str() == new)
    });
}

#[test]
fn servers_that_are_to_come_or_to_go_are_told() {
    let mut cluster = at_rest();
    cluster.target.roles.insert(SESSION, RoleTarget { replicas: 3, revision: "t1".to_owned() });
    cluster.target.roles.insert(DATA, RoleTarget { replicas: 1, revision: "t1".to_owned() });
    let world = cluster.world();
    let observed =
        observe_registry(NAME, &RegistryView { target: &cluster.target, world: &world }, &Report::default());
    let told: BTreeMap<Member, (bool, MemberState)> =
        observed.members.iter().map(|m| (m.member, (m.wanted, m.state))).collect();
    assert_eq!(told[&Member::new(SESSION, 2)], (true, MemberState::Gone));
    assert_eq!(told[&Member::new(DATA, 1)], (false, MemberState::Serving));
    let roles: Vec<Role> = told.keys().map(|m| m.role).collect();
    assert_eq!(roles.len(), 8);
}

/// The labels by which an autoscaler finds sessions are those of the StatefulSet.
#[test]
fn the_selector_is_that_of_the_session_pods() {
    let cluster = at_rest();
    let scale = cluster.status.scale.clone().unwrap();
    assert_eq!(scale.replicas, 2);
    let snapshot = include_str!("../snapshots/build_snapshots__registry-5.snap");
    for label in scale.selector.split(',') {
        let (key, value) = label.split_once('=').unwrap();
        let value = Value::from(value).as_str().unwrap().to_owned();
        assert!(snapshot.contains(&format!("{key}: {value}")), "no pod has the label {key}: {value}");
    }
}
