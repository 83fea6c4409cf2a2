//! The members in a status, each with the date of its last transition.
//!
//! May import `types`, `api`, `observe` and `plan`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::text::cut;
use super::{MEMBERS, Subject, record};
use crate::api::v1alpha1::{ClusterStatus, ConditionStatus, MemberState, MemberStatus, Reason, ScaleStatus};
use crate::observe::Member;
use crate::plan::Memory;
use crate::types::{PodUid, Time};

/// The longest message of a member, and its longest revision.
const MESSAGE_CHARACTERS: usize = 256;
const REVISION_CHARACTERS: usize = 63;

/// What was observed of the servers of a cluster of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The servers that should be there, and those that are.
    pub members: Vec<SeenMember>,
    /// Whether clients are served.
    pub available: Verdict,
    /// For `kubectl scale`.
    pub scale: Option<ScaleStatus>,
    /// Whether the first start is not over.
    pub first_start: bool,
}

/// What was observed of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenMember {
    /// Who.
    pub member: Member,
    /// Whether the spec wants it.
    pub wanted: bool,
    /// How it is.
    pub state: MemberState,
    /// Its pod.
    pub pod_uid: Option<PodUid>,
    /// The address of its pod.
    pub address: Option<Ipv4Addr>,
    /// The revision of the template that its pod was made from.
    pub revision: Option<String>,
    /// What is wrong with it, in a sentence.
    pub message: Option<String>,
    /// The reason with which it degrades the cluster.
    pub degrades: Option<Reason>,
}

/// Yes, no or unknown, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Yes, no or unknown.
    pub status: ConditionStatus,
    /// Why, in a sentence.
    pub message: String,
}

impl SeenMember {
    /// A server without a pod.
    #[must_use]
    pub const fn gone(member: Member, wanted: bool) -> Self {
        Self {
            member,
            wanted,
            state: MemberState::Gone,
            pod_uid: None,
            address: None,
            revision: None,
            message: None,
            degrades: None,
        }
    }

    /// Whether it does its work.
    #[must_use]
    pub const fn works(&self) -> bool {
        matches!(self.state, MemberState::Leader | MemberState::Serving)
    }
}

impl Observed {
    /// How many of the servers that the spec wants work: `7/8`.
    pub(super) fn ready(&self) -> String {
        let wanted = self.members.iter().filter(|m| m.wanted);
        let ready = wanted.clone().filter(|m| m.works()).count();
        format!("{ready}/{}", wanted.count())
    }
}

/// The members, those included of which only an address is remembered.
pub(super) fn members(
    subject: &Subject<'_>,
    memory: &Memory,
    observed: &Observed,
    old: &ClusterStatus,
) -> Vec<MemberStatus> {
    let mut all: BTreeMap<Member, SeenMember> =
        memory.known_as.keys().map(|m| (*m, SeenMember::gone(*m, false))).collect();
    all.extend(observed.members.iter().map(|m| (m.member, m.clone())));
    // What is remembered is kept before what is only shown.
    let mut list: Vec<SeenMember> = all.into_values().collect();
    list.sort_by_key(|m| (!memory.known_as.contains_key(&m.member), m.member));
    list.truncate(MEMBERS);
    list.sort_by_key(|m| m.member);
    list.iter().filter_map(|seen| member_status(subject, memory, seen, old)).collect()
}

fn member_status(
    subject: &Subject<'_>,
    memory: &Memory,
    seen: &SeenMember,
    old: &ClusterStatus,
) -> Option<MemberStatus> {
    let name = record::pod_name(subject.cluster, seen.member)?;
    let before = old.members.iter().find(|m| m.name == name);
    let same = before.filter(|m| m.state == seen.state && m.pod_uid == seen.pod_uid);
    let host = |address: Ipv4Addr| address.to_string().parse().ok();
    Some(MemberStatus {
        role: seen.member.role,
        state: seen.state,
        pod_uid: seen.pod_uid.clone(),
        address: seen.address.and_then(host),
        known_as: memory.known_as.get(&seen.member).copied().and_then(host),
        version: None,
        revision: seen.revision.as_ref().map(|revision| cut(revision, REVISION_CHARACTERS)),
        since: same.map_or_else(|| Time::from(subject.now), |m| m.since.clone()),
        message: seen.message.as_ref().map(|message| cut(message, MESSAGE_CHARACTERS)),
        name,
    })
}
