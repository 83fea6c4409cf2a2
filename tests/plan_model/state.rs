//! The model's state: three metas, two data nodes, two sessions, a push switch, a spec, and what the planner remembers.
//!
//! The clock stands still at [`NOW`]; when time passes, everything that was written down becomes older instead. So the same
//! situation is the same state whenever it comes about, and the state space is finite.

use std::net::Ipv4Addr;
use std::time::Duration;

use sofa_operator::admin::registry::wire::PushSwitch;
use sofa_operator::api::v1alpha1::Role;
use sofa_operator::observe::Member;
use sofa_operator::plan::Memory;
use sofa_operator::plan::invariants::{ClosedBy, Invariant};
use sofa_operator::types::{Moment, PodUid};

/// The clock of the model.
pub(crate) const NOW: Moment = Moment::from_millis(1_000_000_000);
/// Nothing becomes older than this: longer than every patience of the planner.
pub(crate) const OLDEST: Duration = Duration::from_mins(40);
/// The servers: metas, data nodes, sessions.
pub(crate) const MEMBERS: [Member; 7] = [
    Member::new(Role::Meta, 0),
    Member::new(Role::Meta, 1),
    Member::new(Role::Meta, 2),
    Member::new(Role::Data, 0),
    Member::new(Role::Data, 1),
    Member::new(Role::Session, 0),
    Member::new(Role::Session, 1),
];
/// How many of them are metas.
pub(crate) const METAS: usize = 3;
/// The first session.
pub(crate) const SESSIONS: std::ops::Range<usize> = 5..7;
/// A template whose pods never come up.
pub(crate) const BROKEN: u8 = 3;

/// A pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pod {
    /// How often it was made: its uid and its address.
    pub(crate) made: u8,
    /// The template that it was made from.
    pub(crate) template: u8,
    pub(crate) phase: Phase,
    /// Its container runs for longer than any budget for starts.
    pub(crate) old: bool,
    /// It was let in as a blank meta.
    pub(crate) blank: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// There is none; the StatefulSet makes one next.
    Gone,
    /// Held back by its scheduling gate.
    Held,
    /// It comes up next, unless its template is broken, or it is a meta that is not let in as a blank one and its volume is empty.
    Starting,
    /// It works.
    Up,
    /// It does not answer.
    Frozen,
    /// 5.x: it says that it works, but it follows metas that are gone.
    Orphan,
}

/// Members of a raft group, each as (member, pod).
pub(crate) type Peers = Vec<(u8, u8)>;

/// A meta's volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Volume {
    pub(crate) claim: u8,
    pub(crate) marked: bool,
    /// The peers in its log, as (member, pod); empty: blank.
    pub(crate) peers: Peers,
}

/// What is observed of the servers: kept from before the last act for a read from an old cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Servers {
    pub(crate) pods: [Pod; 7],
    pub(crate) volumes: [Volume; METAS],
    pub(crate) leader: u8,
    pub(crate) store: Switch,
    pub(crate) sessions: [Switch; 2],
    /// The data nodes lack publishers until every session was started again.
    pub(crate) lacks: bool,
    pub(crate) again: u8,
}

/// The push switch, with an order and a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Switch {
    NeverSet,
    Open,
    Closed,
}

impl From<Switch> for PushSwitch {
    fn from(switch: Switch) -> Self {
        match switch {
            Switch::NeverSet => Self::NeverSet,
            Switch::Open => Self::Open,
            Switch::Closed => Self::Closed,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum First {
    Never,
    Begun,
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Spec {
    pub(crate) generation: u8,
    pub(crate) template: u8,
    pub(crate) paused: bool,
    pub(crate) hold: bool,
}

/// Who may act in the push group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    Nobody,
    Us,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) servers: Servers,
    /// The template of each role's StatefulSet; 0: there is none yet.
    pub(crate) templates: [u8; 3],
    pub(crate) first: First,
    pub(crate) closed_by: Option<ClosedBy>,
    pub(crate) spec: Spec,
    pub(crate) memory: Memory,
    /// What an old cache shows: from before the last act.
    pub(crate) cache: Option<Box<Servers>>,
    /// Whose turn it is, and whether we hold push closed for the group.
    pub(crate) turn: Turn,
    pub(crate) hold: bool,
    /// How many faults may still happen.
    pub(crate) faults: u8,
    /// The planner has nothing to do until something changes or time passes.
    pub(crate) idle: bool,
    /// What was broken.
    pub(crate) broken: Option<Invariant>,
}

impl Pod {
    /// A pod as it is made from a template.
    pub(crate) const fn new(made: u8, template: u8, phase: Phase) -> Self {
        Self { made, template, phase, old: false, blank: false }
    }

    /// Whether its process runs and answers.
    pub(crate) fn answers(self) -> bool {
        matches!(self.phase, Phase::Up | Phase::Orphan)
    }
}

/// The uid of a member's pod.
pub(crate) fn uid(index: usize, made: u8) -> PodUid {
    format!("00000000-0000-4000-8000-0000000{index:02x}{made:03x}").parse().expect("a uid")
}

/// The address of a member's pod: another pod has another one.
pub(crate) fn address(index: usize, made: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, u8::try_from(index).expect("few members"), made + 1)
}

pub(crate) fn role_index(role: Role) -> usize {
    match role {
        Role::Meta => 0,
        Role::Data => 1,
        _ => 2,
    }
}

impl Servers {
    /// Whether a raft meta finds an empty volume on which it may not start.
    pub(crate) fn refuses_to_start(&self, index: usize) -> bool {
        index < METAS && !self.pods[index].blank && self.volumes[index].peers.is_empty()
    }

    /// The raft group that leads, if one does: its peers and who follows them. Metas of 6.x are all of one group.
    pub(crate) fn group(&self, raft: bool) -> Option<(Peers, Vec<usize>)> {
        let up: Vec<usize> = (0..METAS).filter(|i| self.pods[*i].phase == Phase::Up).collect();
        if !raft {
            return (!up.is_empty()).then(|| (Vec::new(), up));
        }
        up.iter().find_map(|i| {
            let peers = &self.volumes[*i].peers;
            let me = |i: usize| (u8::try_from(i).expect("few members"), self.pods[i].made);
            let voters: Vec<usize> = up
                .iter()
                .copied()
                .filter(|j| self.volumes[*j].peers == *peers && peers.contains(&me(*j)))
                .collect();
            (!peers.is_empty() && voters.len() * 2 > peers.len()).then(|| (peers.clone(), voters))
        })
    }

    /// The leader of that group: the one that led it, or the first of those who follow.
    pub(crate) fn lead(&mut self, raft: bool) {
        let group = self.group(raft);
        let led = usize::from(self.leader);
        self.leader = match group {
            Some((_, followers)) if followers.contains(&led) => self.leader,
            Some((_, followers)) => u8::try_from(followers[0]).expect("few members"),
            None => u8::MAX,
        };
    }
}
