//! What a plan decides: a value that can be printed, compared and replayed.
//!
//! May import `types`, `api` and `observe`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::desired::Desired;
use super::memory::{Memory, Target};
use super::report::Report;
use crate::api::v1alpha1::Role;
use crate::observe::{Addresses, Genesis, Member, RaftData};
use crate::types::{DnsLabel, Moment};

/// What is to be done now, at most one act of it, and what is to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What each role should have now. Applied first; applying it disturbs nobody.
    pub desired: Desired,
    /// Metas whose claims are to be marked as members' now. Done before the act.
    pub marks: BTreeSet<Member>,
    /// How far the first start has come, if that is to be written down. Written before the act.
    pub genesis: Option<Genesis>,
    /// A change of the push group's object, by compare-and-swap. Done before the act.
    pub group: Option<GroupChange>,
    /// The one act of this decision. It is done only after a read past every cache has shown that the status still holds
    /// this very act as written down, and the spec the generation of this decision.
    pub command: Option<Command>,
    /// What is remembered, if there is no command or the command was accepted.
    pub memory: Memory,
    /// What is remembered if the command was refused, or its answer did not come.
    pub memory_if_refused: Option<Memory>,
    /// What happens, and why, step by step.
    pub report: Report,
    /// When to decide again at the latest, besides when something changes.
    pub wake: Wake,
    /// The object may go: all that belongs to it is ended.
    pub finished: bool,
}

/// When to decide again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wake {
    /// At once: the state that was written leads on.
    Now,
    /// Very soon: nobody is served, a meta is missing in its group, or a command to a server is to show.
    Hurried,
    /// Soon: something is under way.
    Soon,
    /// At this moment.
    At(Moment),
    /// At the slow pace of the configuration.
    Slowly,
}

/// An act, as the runner has to do it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Take the scheduling gate off these pods, each by its uid.
    ReleasePods {
        /// Which.
        targets: Vec<Target>,
        /// With what on their volumes.
        raft_data: RaftData,
    },
    /// Stop these pods, each by its uid.
    StopPods {
        /// Which.
        targets: Vec<Target>,
        /// How.
        how: Stop,
    },
    /// Close push, by this meta and those of the sites.
    ClosePush {
        /// The meta that is told.
        via: Ipv4Addr,
        /// Sites whose push is closed too.
        sites: BTreeSet<DnsLabel>,
    },
    /// Open push, by this meta and those of the sites.
    OpenPush {
        /// The meta that is told.
        via: Ipv4Addr,
        /// Sites whose push is opened too.
        sites: BTreeSet<DnsLabel>,
    },
    /// Tell the metas who they are.
    ChangePeer {
        /// The meta that is told: one that is in the group.
        via: Ipv4Addr,
        /// All members from now on.
        peers: Addresses,
    },
    /// Make this meta a group of its own.
    ResetPeer {
        /// The survivor; it becomes the only peer.
        survivor: Ipv4Addr,
    },
    /// Have this many pods of a role.
    Scale {
        /// The role.
        role: Role,
        /// How many.
        replicas: u32,
    },
    /// Switch the renewal of snapshots off.
    DisableRenew {
        /// The meta that is told.
        via: Ipv4Addr,
    },
    /// Tell a PowerJob server of the workers of these apps, as if they had reported to it.
    PreRegister {
        /// The server that has them.
        from: Member,
        /// The server that is told.
        to: Member,
        /// The apps.
        apps: BTreeSet<u64>,
    },
    /// Move these apps, each by compare-and-swap of its owner.
    MoveApps {
        /// The owner.
        from: Member,
        /// The next owner.
        to: Member,
        /// The apps.
        apps: BTreeSet<u64>,
    },
    /// Run instances again that were lost since this moment.
    RetryLost {
        /// Since when.
        since: Moment,
    },
    /// Take these addresses off the blacklist of data nodes.
    ClearBlacklist {
        /// The leader.
        via: Ipv4Addr,
        /// Addresses that never return.
        addresses: Addresses,
    },
}

/// How a pod is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stop {
    /// By the Eviction API: a budget for disruptions may refuse it, and that is waited for.
    Evict,
    /// By a delete: it serves nothing.
    Delete,
}

/// A change of the push group's object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupChange {
    /// Which group.
    pub group: DnsLabel,
    /// Whether this cluster is among the holders afterwards.
    pub hold: bool,
    /// Whether this cluster is the actor afterwards.
    pub act: bool,
}
