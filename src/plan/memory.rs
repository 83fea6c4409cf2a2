//! What a plan remembers from one reconcile to the next. All of it stands in the status of the cluster: the layer `status`
//! writes it there and reads it back. Nothing is kept in a process.
//!
//! May import `types`, `api` and `observe`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::report::Wait;
use crate::api::v1alpha1::{ActKind, PushOwner, PushState, Reason, Role, RolloutState};
use crate::observe::{Counts, Kubernetes, Member, PodPhase};
use crate::types::{DnsLabel, Moment, PlanId, PodUid};

/// All that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Memory {
    /// The rollout under way, or the last one.
    pub run: Option<Run>,
    /// Who closed push, if it is not open.
    pub push: PushRecord,
    /// What is not done without a person.
    pub incident: Option<IncidentRecord>,
    /// The meta that was last seen leading.
    pub last_leader: Option<Member>,
    /// The address under which the others know each meta: it lags behind the pod's own until `changePeer` is done.
    pub known_as: BTreeMap<Member, Ipv4Addr>,
    /// What is waited for, and since when.
    pub waiting: BTreeMap<(Reason, String), Moment>,
}

/// One run towards a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Run {
    /// The target.
    pub plan: PlanId,
    /// The generation of the spec with which it began.
    pub generation: i64,
    /// Where it stands.
    pub state: RolloutState,
    /// Window and approval were passed.
    pub admitted: bool,
    /// The act under way; in `Halted` the one that failed.
    pub act: Option<InFlight>,
    /// How often that act was tried before.
    pub attempts: u32,
    /// When the act under way, or the wait for the gates of the next one, gives up.
    pub deadline: Option<Moment>,
    /// When the last act was done: facts from before it say nothing.
    pub last_act_at: Option<Moment>,
    /// What clients had before push was closed.
    pub baseline: Option<(Counts, Moment)>,
    /// Pods that are done. The sets only grow.
    pub done: BTreeMap<Role, BTreeSet<PodUid>>,
    /// Metas were started again since push was closed: it has to be closed and read again.
    pub metas_since_close: bool,
    /// SessionServers that were started again to refill the DataServers. `None`: that was not needed.
    pub refilled: Option<BTreeSet<PodUid>>,
    /// Since when counts are verified.
    pub counting_since: Option<Moment>,
    /// Since when they are right.
    pub counts_right_since: Option<Moment>,
    /// When it began.
    pub started_at: Moment,
    /// Why it halted, and the sentence.
    pub halted: Option<(Reason, String)>,
}

/// An act that was written down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InFlight {
    /// What is done to whom.
    pub act: Act,
    /// When it was written down.
    pub written_at: Moment,
    /// When it was done. `None`: it is not known to be done.
    pub done_at: Option<Moment>,
}

/// What is done, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Act {
    /// What.
    pub kind: ActKind,
    /// To whom, and to which of their pods; empty: to the cluster as a whole.
    pub targets: Vec<Target>,
}

/// One member that an act is done to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Who.
    pub member: Member,
    /// Its pod: the act is refused for any other. `None`: there is none.
    pub uid: Option<PodUid>,
}

/// Who they are, in words.
pub(crate) fn names(targets: &[Target]) -> String {
    targets.iter().map(|target| target.member.to_string()).collect::<Vec<_>>().join(", ")
}

impl Target {
    /// Whether this very pod is gone, or was told to stop.
    pub(crate) fn is_stopped(&self, kubernetes: &Kubernetes) -> bool {
        let pod = kubernetes.pods.get(&self.member);
        pod.is_none_or(|p| Some(&p.uid) != self.uid.as_ref() || p.phase == PodPhase::Stopping)
    }

    /// Whether another pod has taken the place of this one, where there is still a place.
    pub(crate) fn is_made_again(&self, kubernetes: &Kubernetes) -> Result<(), Wait> {
        match kubernetes.pods.get(&self.member) {
            Some(pod) if Some(&pod.uid) != self.uid.as_ref() => Ok(()),
            None if self.member.ordinal >= kubernetes.replicas(self.member.role) => Ok(()),
            Some(_) => Err(Wait::new(Reason::WaitingForPod, self.member, "its pod is stopping")),
            None => Err(Wait::new(Reason::WaitingForPod, self.member, "its pod is made again")),
        }
    }
}

impl Act {
    /// An act on the cluster as a whole.
    #[must_use]
    pub const fn on_cluster(kind: ActKind) -> Self {
        Self { kind, targets: Vec::new() }
    }

    /// An act on one member.
    #[must_use]
    pub fn on(kind: ActKind, member: Member, uid: Option<PodUid>) -> Self {
        Self { kind, targets: vec![Target { member, uid }] }
    }

    /// Whether it stops pods.
    #[must_use]
    pub const fn stops_pods(&self) -> bool {
        matches!(self.kind, ActKind::RestartPods | ActKind::RepairPod | ActKind::RefillSession)
    }

    /// The role that it is done to.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.targets.first().map(|t| t.member.role)
    }
}

/// Who closed push.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PushRecord {
    /// Whether it is open, as far as is known.
    pub state: PushState,
    /// Who closed it. `None`: it is open, or nothing is known.
    pub owner: Option<PushOwner>,
    /// Since when.
    pub since: Moment,
    /// The push group for which it was closed.
    pub group: Option<DnsLabel>,
    /// The sites whose push was open and that we closed with ours: these we open again, and no others.
    pub sites: BTreeSet<DnsLabel>,
    /// Why.
    pub why: Option<String>,
}

impl Default for PushRecord {
    fn default() -> Self {
        Self {
            state: PushState::Unknown,
            owner: None,
            since: Moment::default(),
            group: None,
            sites: BTreeSet::new(),
            why: None,
        }
    }
}

/// What is not done without a person.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IncidentRecord {
    /// Tells it from every other one.
    pub id: String,
    /// What happened.
    pub reason: Reason,
    /// Since when.
    pub since: Moment,
    /// Who could be the survivor, the best one first.
    pub survivors: Vec<Member>,
}

impl Run {
    /// A run that begins now. What outlives a run is taken over from the one before: the baseline, and what was done to
    /// clients, until push is open again.
    #[must_use]
    pub fn begin(plan: PlanId, generation: i64, now: Moment, before: Option<&Self>) -> Self {
        Self {
            plan,
            generation,
            state: RolloutState::Gating,
            admitted: false,
            act: before.and_then(|b| b.act.clone()),
            attempts: 0,
            deadline: None,
            last_act_at: before.and_then(|b| b.last_act_at),
            baseline: before.and_then(|b| b.baseline),
            done: BTreeMap::new(),
            metas_since_close: before.is_some_and(|b| b.metas_since_close),
            refilled: before.and_then(|b| b.refilled.clone()),
            counting_since: None,
            counts_right_since: None,
            started_at: now,
            halted: None,
        }
    }
}
