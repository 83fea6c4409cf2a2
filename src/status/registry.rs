//! What was observed of a `RegistryCluster`: how each server is, and whether clients are served.
//!
//! It describes what was asked in this reconcile; whether that is young enough to act on is the plan's question.
//!
//! May import `types`, `api`, `observe`, `plan`, `validate` (types) and the names of labels of `build`.

use std::collections::{BTreeMap, BTreeSet};

use super::members::{Observed, SeenMember, Verdict};
use super::{Subject, status_of};
use crate::api::objects::{APP, CLUSTER, ROLE};
use crate::api::v1alpha1::{
    ClusterStatus, ConditionStatus as Is, MemberState, MembershipKind, Reason, Role, ScaleStatus,
};
use crate::observe::{Fact, Genesis, Member, Node, Pod, PodPhase, RegistryWorld, Standing, Unknown};
use crate::plan::{Memory, RegistryTarget, Report};
use crate::validate::Product;

const ROLES: [Role; 3] = [Role::Meta, Role::Data, Role::Session];

/// What is seen of a `RegistryCluster`.
#[derive(Debug, Clone, Copy)]
pub struct RegistryView<'a> {
    /// What is wanted.
    pub target: &'a RegistryTarget,
    /// What is.
    pub world: &'a RegistryWorld,
}

/// The status of a `RegistryCluster` that follows the one that is there.
#[must_use]
pub fn registry_status(
    subject: &Subject<'_>,
    view: &RegistryView<'_>,
    report: &Report,
    memory: &Memory,
    old: &ClusterStatus,
) -> ClusterStatus {
    status_of(subject, report, memory, &observe_registry(subject.cluster, view, report), old)
}

/// How each server is, and whether clients are served.
#[must_use]
pub fn observe_registry(cluster: &str, view: &RegistryView<'_>, report: &Report) -> Observed {
    let broken: BTreeMap<&str, &str> = report
        .notes
        .iter()
        .filter(|note| note.reason == Reason::MemberBroken)
        .map(|note| (note.subject.as_str(), note.message.as_str()))
        .collect();
    let mut members: Vec<SeenMember> =
        all_members(view).into_iter().map(|m| seen(view, m, &broken)).collect();
    one_leader(&mut members);
    Observed {
        available: available(&members),
        scale: scale(cluster, view),
        first_start: is_first_start(view),
        members,
    }
}

/// The servers that the spec wants, those that the StatefulSets make, and those that are there.
fn all_members(view: &RegistryView<'_>) -> BTreeSet<Member> {
    let kubernetes = &view.world.kubernetes;
    let count = |role| wanted(view, role).max(kubernetes.replicas(role));
    let named =
        ROLES.into_iter().flat_map(|role| (0..count(role)).map(move |ordinal| Member::new(role, ordinal)));
    named.chain(kubernetes.pods.keys().copied()).collect()
}

fn wanted(view: &RegistryView<'_>, role: Role) -> u32 {
    view.target.roles.get(&role).map_or(0, |target| target.replicas)
}

fn seen(view: &RegistryView<'_>, member: Member, broken: &BTreeMap<&str, &str>) -> SeenMember {
    let gone = SeenMember::gone(member, member.ordinal < wanted(view, member.role));
    let Some(pod) = view.world.kubernetes.pods.get(&member) else { return gone };
    let (state, message) = match broken.get(member.to_string().as_str()) {
        Some(why) if works(view.world, member) => (MemberState::Broken, Some((*why).to_owned())),
        _ => state(view.world, member, pod),
    };
    let degrades = match state {
        MemberState::Broken => Some(Reason::MemberBroken),
        MemberState::Unknown if pod.node == Node::Unreachable => Some(Reason::NodeUnreachable),
        _ => None,
    };
    SeenMember {
        state,
        pod_uid: Some(pod.uid.clone()),
        address: pod.address,
        revision: Some(pod.revision.clone()),
        message,
        degrades,
        ..gone
    }
}

/// How a server is by what its pod and itself say, and what is wrong with it.
fn state(world: &RegistryWorld, member: Member, pod: &Pod) -> (MemberState, Option<String>) {
    let with = |state, message: &str| (state, Some(message.to_owned()));
    if pod.node == Node::Unreachable {
        return with(MemberState::Unknown, "its node does not answer");
    }
    match pod.phase {
        PodPhase::Held => return (MemberState::Held, None),
        PodPhase::Stopping => return with(MemberState::Gone, "its pod is stopping"),
        PodPhase::Starting | PodPhase::Ready => {}
    }
    match serving(world, member) {
        Ok(true) if leads(world, member) => (MemberState::Leader, None),
        Ok(true) => (MemberState::Serving, None),
        _ if pod.trouble.is_some() => with(MemberState::Broken, pod.trouble.map_or("", |t| t.sentence())),
        _ if pod.phase == PodPhase::Starting => (MemberState::Starting, None),
        Ok(false) if member.role == Role::Meta && any_leads(world) => {
            with(MemberState::Starting, "it answers, and waits until the others let it in")
        }
        Ok(false) if member.role == Role::Meta => {
            with(MemberState::Broken, "it answers and is in no group that has a leader")
        }
        Ok(false) => with(MemberState::Broken, "it does not say that it works"),
        Err(Unknown::Refused) => with(MemberState::Broken, "nothing listens there"),
        Err(why) => with(MemberState::Unknown, &why.to_string()),
    }
}

/// Whether a server works, by its own word.
fn serving(world: &RegistryWorld, member: Member) -> Result<bool, Unknown> {
    match member.role {
        Role::Meta => told(world.metas.get(&member)).map(|view| view.standing != Standing::Outside),
        Role::Data => told(world.datas.get(&member)).map(|view| view.serving),
        _ => told(world.sessions.get(&member)).map(|view| view.serving),
    }
}

fn works(world: &RegistryWorld, member: Member) -> bool {
    serving(world, member) == Ok(true)
}

fn leads(world: &RegistryWorld, member: Member) -> bool {
    told(world.metas.get(&member)).is_ok_and(|view| view.standing == Standing::Leader)
}

fn any_leads(world: &RegistryWorld) -> bool {
    world.metas.keys().any(|member| leads(world, *member))
}

fn told<T>(fact: Option<&Fact<T>>) -> Result<&T, Unknown> {
    fact.map_or(Err(Unknown::NotAsked), Fact::read)
}

/// Of several metas that say that they lead, none is believed.
fn one_leader(members: &mut [SeenMember]) {
    if members.iter().filter(|m| m.state == MemberState::Leader).count() < 2 {
        return;
    }
    for member in members.iter_mut().filter(|m| m.state == MemberState::Leader) {
        member.state = MemberState::Serving;
        member.message = Some("it says that it leads, and it is not the only one".to_owned());
    }
}

/// Clients are served when a leader is known and data and sessions work, at least one of each.
fn available(members: &[SeenMember]) -> Verdict {
    let of = |role, state: &[MemberState]| {
        if members.iter().any(|m| m.member.role == role && state.contains(&m.state)) {
            Is::True
        } else if members.iter().any(|m| m.member.role == role && m.state == MemberState::Unknown) {
            Is::Unknown
        } else {
            Is::False
        }
    };
    let parts = [
        (
            of(Role::Session, &[MemberState::Serving]),
            "no SessionServer serves",
            "no SessionServer is known to serve",
        ),
        (of(Role::Data, &[MemberState::Serving]), "no DataServer serves", "no DataServer is known to serve"),
        (of(Role::Meta, &[MemberState::Leader]), "no meta leads", "no leader of the metas is known"),
    ];
    let missing: Vec<&str> = parts.iter().filter(|p| p.0 == Is::False).map(|p| p.1).collect();
    let unknown: Vec<&str> = parts.iter().filter(|p| p.0 == Is::Unknown).map(|p| p.2).collect();
    let (status, message) = match (missing.is_empty(), unknown.is_empty()) {
        (false, _) => (Is::False, missing.join(", ")),
        (true, false) => (Is::Unknown, unknown.join(", ")),
        (true, true) => (Is::True, "a leader is known, data and sessions serve".to_owned()),
    };
    Verdict { status, message }
}

/// Sessions are what is scaled.
fn scale(cluster: &str, view: &RegistryView<'_>) -> Option<ScaleStatus> {
    let workload = view.world.kubernetes.workloads.get(&Role::Session)?;
    let labels = [(APP, Product::Registry.label()), (CLUSTER, cluster), (ROLE, Role::Session.field())];
    let selector = labels.map(|(key, value)| format!("{key}={value}")).join(",");
    Some(ScaleStatus { replicas: workload.replicas.min(MOST_REPLICAS), selector })
}

/// The most servers of a role that a spec may ask for.
const MOST_REPLICAS: u32 = 64;

fn is_first_start(view: &RegistryView<'_>) -> bool {
    let raft = view.target.membership != MembershipKind::Database;
    let has_begun = |role| view.world.kubernetes.workloads.contains_key(role);
    (raft && view.world.genesis != Genesis::Done) || !ROLES.iter().all(has_begun)
}
