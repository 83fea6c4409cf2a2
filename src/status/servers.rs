//! What is observed of the servers of every kind: which there are, how each is by its pod and by its own word, what degrades
//! the cluster, and what `kubectl scale` is told.
//!
//! May import `types`, `api`, `observe`, `plan`, `validate` (types) and the names of labels of `build`.

use std::collections::{BTreeMap, BTreeSet};

use super::members::{SeenMember, Verdict};
use crate::api::objects::{APP, CLUSTER, ROLE};
use crate::api::v1alpha1::{ConditionStatus as Is, MemberState, Reason, Role, ScaleStatus};
use crate::observe::{Fact, Kubernetes, Member, Node, Pod, PodPhase, Unknown};
use crate::plan::Report;
use crate::validate::Product;

/// The most servers of a role that a spec may ask for.
const MOST_REPLICAS: u32 = 64;

/// The servers of one kind.
pub(super) trait Servers {
    /// What Kubernetes says.
    fn kubernetes(&self) -> &Kubernetes;
    /// The roles, with how many servers of each are wanted.
    fn wanted(&self) -> Vec<(Role, u32)>;
    /// What a server says of itself.
    fn word(&self, member: Member) -> Result<Word, Unknown>;
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// It works.
    Works(MemberState),
    /// It does not, and how that is called and told.
    Fails(MemberState, Reason, String),
}

impl Word {
    /// It is broken, for no reason that has a name of its own.
    pub(super) fn broken(message: &str) -> Self {
        Self::Fails(MemberState::Broken, Reason::MemberBroken, message.to_owned())
    }
}

/// Every server of a kind: those that the spec wants, those that the StatefulSets make, and those that are there.
pub(super) fn seen(servers: &impl Servers, report: &Report) -> Vec<SeenMember> {
    let broken: BTreeMap<&str, &str> = report
        .notes
        .iter()
        .filter(|note| note.reason == Reason::MemberBroken)
        .map(|note| (note.subject.as_str(), note.message.as_str()))
        .collect();
    let kubernetes = servers.kubernetes();
    let wanted: BTreeMap<Role, u32> = servers.wanted().into_iter().collect();
    let named = wanted.iter().flat_map(|(role, count)| {
        (0..kubernetes.replicas(*role).max(*count)).map(|ordinal| Member::new(*role, ordinal))
    });
    let all: BTreeSet<Member> = named.chain(kubernetes.pods.keys().copied()).collect();
    let is_wanted = |member: Member| member.ordinal < wanted.get(&member.role).copied().unwrap_or(0);
    all.into_iter().map(|member| one(servers, SeenMember::gone(member, is_wanted(member)), &broken)).collect()
}

fn one(servers: &impl Servers, gone: SeenMember, broken: &BTreeMap<&str, &str>) -> SeenMember {
    let member = gone.member;
    let Some(pod) = servers.kubernetes().pods.get(&member) else { return gone };
    let word = servers.word(member);
    let (state, reason, message) = match broken.get(member.to_string().as_str()) {
        Some(why) if matches!(word, Ok(Word::Works(_))) => {
            (MemberState::Broken, Reason::MemberBroken, Some((*why).to_owned()))
        }
        _ => state(pod, word),
    };
    let degrades = match state {
        MemberState::Broken => Some(reason),
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

/// How a server is by what its pod and itself say, what that is called, and what is wrong with it.
fn state(pod: &Pod, word: Result<Word, Unknown>) -> (MemberState, Reason, Option<String>) {
    let with = |state, message: &str| (state, Reason::MemberBroken, Some(message.to_owned()));
    let quiet = |state| (state, Reason::MemberBroken, None);
    if pod.node == Node::Unreachable {
        return with(MemberState::Unknown, "its node does not answer");
    }
    match pod.phase {
        PodPhase::Held => return quiet(MemberState::Held),
        PodPhase::Stopping => return with(MemberState::Gone, "its pod is stopping"),
        PodPhase::Starting | PodPhase::Ready => {}
    }
    match word {
        Ok(Word::Works(state)) => quiet(state),
        _ if pod.trouble.is_some() => with(MemberState::Broken, pod.trouble.map_or("", |t| t.sentence())),
        _ if pod.phase == PodPhase::Starting => quiet(MemberState::Starting),
        Ok(Word::Fails(state, reason, message)) => (state, reason, Some(message)),
        Err(Unknown::Refused) => with(MemberState::Broken, "nothing listens there"),
        Err(Unknown::Unreadable) => with(MemberState::Broken, Unknown::RUBBISH),
        Err(why) => with(MemberState::Unknown, &why.to_string()),
    }
}

/// What one server told; nobody asked a server of which there is no fact.
pub(super) fn told<T>(fact: Option<&Fact<T>>) -> Result<&T, Unknown> {
    fact.map_or(Err(Unknown::NotAsked), Fact::read)
}

/// Whether a server of this role is in one of these states. Unknown: none is, and one cannot be asked.
pub(super) fn any(members: &[SeenMember], role: Role, states: &[MemberState]) -> Is {
    let of_role = || members.iter().filter(|m| m.member.role == role);
    if of_role().any(|m| states.contains(&m.state)) {
        Is::True
    } else if of_role().any(|m| m.state == MemberState::Unknown) {
        Is::Unknown
    } else {
        Is::False
    }
}

/// A verdict with a message.
pub(super) fn verdict(status: Is, message: impl Into<String>) -> Verdict {
    Verdict { status, message: message.into() }
}

/// What `kubectl scale` is told of the role that is scaled. `None`: it has no StatefulSet yet.
pub(super) fn scale(
    kubernetes: &Kubernetes,
    product: Product,
    cluster: &str,
    role: Role,
) -> Option<ScaleStatus> {
    let workload = kubernetes.workloads.get(&role)?;
    let labels = [(APP, product.label()), (CLUSTER, cluster), (ROLE, role.field())];
    let selector = labels.map(|(key, value)| format!("{key}={value}")).join(",");
    Some(ScaleStatus { replicas: workload.replicas.min(MOST_REPLICAS), selector })
}

/// Whether every role has been begun.
pub(super) fn all_begun(servers: &impl Servers) -> bool {
    servers.wanted().iter().all(|(role, _)| servers.kubernetes().workloads.contains_key(role))
}
