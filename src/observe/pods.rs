//! What Kubernetes says of a cluster: its pods, workloads and claims.
//!
//! May import `types` and `api`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::Member;
use crate::api::objects;
use crate::api::v1alpha1::{Reason, Role};
use crate::types::{DnsLabel, Moment, PodUid};

/// The revision of a pod template: a hash of it.
pub type Revision = String;

/// What Kubernetes says of one cluster, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Kubernetes {
    /// When it was asked.
    pub at: Moment,
    /// The pods that there are, those that are stopping included.
    pub pods: BTreeMap<Member, Pod>,
    /// The StatefulSets that there are.
    pub workloads: BTreeMap<Role, Workload>,
    /// The claims of members that there are, but for those that are being deleted: no new pod gets their volumes.
    pub claims: BTreeMap<Member, Claim>,
}

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Which one: another pod of the same name has another uid.
    pub uid: PodUid,
    /// Its address. `None`: it has none yet.
    pub address: Option<Ipv4Addr>,
    /// The revision of the template that it was made from.
    pub revision: Revision,
    /// How far it is.
    pub phase: PodPhase,
    /// Whether its node answers.
    pub node: Node,
    /// When its container started last. `None`: it never did.
    pub started: Option<Moment>,
    /// What keeps it from working, as the kubelet and the scheduler say.
    pub trouble: Option<Trouble>,
    /// A person has said that it may be taken for gone, by an annotation on this very pod.
    pub waived: bool,
    /// With what a raft meta was let in.
    pub raft_data: Option<RaftData>,
}

/// With what a raft meta is let in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RaftData {
    /// With the raft data of a member: on an empty volume it does not start.
    Kept,
    /// Blank: it starts on an empty volume too.
    Blank,
    /// Blank, after what is on its volume was set aside, once for this token.
    Aside(DnsLabel),
}

/// How far a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PodPhase {
    /// Its scheduling gate is on it: it does not exist but in the API.
    Held,
    /// Its container does not run, or is not ready.
    Starting,
    /// Its container is ready.
    Ready,
    /// It was told to stop.
    Stopping,
}

/// Whether a node answers. A pod on a node that does not is unknown, not gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Node {
    /// It answers.
    Reachable,
    /// It does not.
    Unreachable,
}

/// What keeps a pod from working and does not pass by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// Its image cannot be had.
    Image,
    /// Its container ends again and again.
    Crash,
    /// Its container cannot be made.
    Create,
    /// No node takes it.
    Unschedulable,
    /// It is a meta that was not let in as a blank one, and its volume is empty.
    VolumeEmpty,
}

impl Trouble {
    /// The reason of whoever waits for a member that has it.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::VolumeEmpty => Reason::VolumeLost,
            _ => Reason::MemberBroken,
        }
    }

    /// What it is, for a sentence that begins with the member's name.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Image => "its image cannot be pulled",
            Self::Crash => "its container ends again and again",
            Self::Create => "its container cannot be created",
            Self::Unschedulable => "no node takes it",
            Self::VolumeEmpty => {
                "its volume was a member's and is empty: bring the volume back, or delete its claim and its pod, and it is let \
                 in as a blank member"
            }
        }
    }
}

/// A StatefulSet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Workload {
    /// How many pods it makes.
    pub replicas: u32,
    /// The revision of its template: pods that are made now get it.
    pub revision: Revision,
}

/// The claim of a member's volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Which one: a claim that was lost and made again has another uid.
    pub uid: String,
    /// Whether it is marked: its meta has been a member of the raft group. What is not marked is blank.
    pub marked: bool,
    /// The token for which a person has its raft data set aside, until that is done.
    pub aside: Option<DnsLabel>,
}

impl RaftData {
    /// Whether it may start on an empty volume.
    #[must_use]
    pub const fn may_be_blank(&self) -> bool {
        !matches!(self, Self::Kept)
    }

    /// The value of the annotation that says so ([`objects::RAFT_DATA`]).
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::Kept => objects::KEPT.to_owned(),
            Self::Blank => objects::BLANK.to_owned(),
            Self::Aside(token) => format!("{}{token}", objects::ASIDE),
        }
    }

    /// What such a value says; `None` for any other.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        match word {
            objects::KEPT => Some(Self::Kept),
            objects::BLANK => Some(Self::Blank),
            _ => word.strip_prefix(objects::ASIDE)?.parse().ok().map(Self::Aside),
        }
    }
}

impl Pod {
    /// Whether it was let in as a meta that may be blank.
    #[must_use]
    pub fn may_be_blank(&self) -> bool {
        self.raft_data.as_ref().is_some_and(RaftData::may_be_blank)
    }

    /// Whether its container may run: it is neither held back nor stopping.
    #[must_use]
    pub fn may_run(&self) -> bool {
        matches!(self.phase, PodPhase::Starting | PodPhase::Ready)
    }
}

impl Kubernetes {
    /// The pods of one role, by ordinal.
    pub fn pods_of(&self, role: Role) -> impl Iterator<Item = (Member, &Pod)> {
        self.pods.range(Member::new(role, 0)..=Member::new(role, u32::MAX)).map(|(m, p)| (*m, p))
    }

    /// How many pods the StatefulSet of this role makes; 0 where there is none.
    #[must_use]
    pub fn replicas(&self, role: Role) -> u32 {
        self.workloads.get(&role).map_or(0, |w| w.replicas)
    }
}
