//! What the servers of one `SOFARegistry` told, member by member.
//!
//! The gatherer asks each running member all of its questions in one go; what a member did not answer is `None` in its
//! view, and that is never a pass.
//!
//! May import `types`, `api` and `admin` (the words of the answers).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::fact::Fact;
use super::pods::Kubernetes;
use super::{Member, Unknown};
use crate::admin::registry::wire::{PushSwitch, SessionCounts};
use crate::types::{DnsLabel, Moment};

/// Addresses of servers.
pub type Addresses = BTreeSet<Ipv4Addr>;

/// Everything that is observed of one `RegistryCluster`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct RegistryWorld {
    /// What Kubernetes says.
    pub kubernetes: Kubernetes,
    /// How far the first start has come, as the cluster's own record says.
    pub genesis: Genesis,
    /// What the MetaServers told.
    pub metas: BTreeMap<Member, Fact<MetaView>>,
    /// What the DataServers told.
    pub datas: BTreeMap<Member, Fact<DataView>>,
    /// What the SessionServers told.
    pub sessions: BTreeMap<Member, Fact<SessionView>>,
    /// Ids without publishers on the DataServers that still have some on a SessionServer. Counted only while counts are
    /// verified.
    pub orphaned_ids: Option<Fact<u32>>,
    /// The push group of the spec or, while push is closed for another one, that one.
    pub group: Option<Fact<GroupView>>,
    /// The push switches of the sites whose push is closed together with ours.
    pub sites: BTreeMap<DnsLabel, Fact<PushSwitch>>,
}

/// How far the first start of a raft cluster has come. It is kept in an object of the cluster's own, so that it never
/// happens twice: blank metas that are started together form a new, empty cluster (measured: sofaregistry §1, fact 5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Genesis {
    /// The cluster was never started.
    #[default]
    Never,
    /// The metas on these claims, and on no others, may be started blank and together.
    Begun {
        /// The uids of their claims.
        claims: BTreeSet<String>,
    },
    /// The cluster has had a leader: from now on one blank meta at a time is let in.
    Done,
}

/// What a MetaServer told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MetaView {
    /// What it says it is.
    pub standing: Standing,
    /// 6.x: whether the leader is warm; true on 5.x, which needs no warming.
    pub warm: bool,
    /// 5.x: the peers of its **own** raft configuration (`/manage/queryPeer`). Empty where there is no raft.
    pub peers: Option<Addresses>,
    /// The members as its store lists them. It has them only while there is a leader.
    pub lists: Option<Lists>,
    /// The switch as its store has it.
    pub push: Option<PushSwitch>,
    /// 5.x: whether it reaches the store of its group.
    pub store: Store,
    /// 6.x: whether sessions were opened alone; false on 5.x.
    pub gray: bool,
    /// Whether the renewal of snapshots is off; `None` where it does not tell.
    pub renew_off: Option<bool>,
    /// 6.x: whether slots rest where they are and are not in protection mode; true on 5.x, which has none.
    pub slots_stable: bool,
    /// 6.x: the addresses of data nodes that are kept out.
    pub blacklist: Addresses,
}

/// Whether a MetaServer reaches the store of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Store {
    /// It did not say that it does not; it may have been too slow to answer.
    Reached,
    /// It answered that it cannot tell what is in it.
    Lost,
}

/// What a MetaServer says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// It leads.
    Leader,
    /// It follows a leader.
    Follower,
    /// Its process answers, and it is in no group that has a leader.
    Outside,
}

/// The members as the store of the metas lists them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Lists {
    /// MetaServers.
    pub metas: Addresses,
    /// DataServers.
    pub datas: Addresses,
    /// SessionServers.
    pub sessions: Addresses,
}

/// What a DataServer told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DataView {
    /// Whether it serves, by its own word (5.x: `status:WORKING`).
    pub serving: bool,
    /// The MetaServers that it knows; on 6.x the leader only.
    pub metas: Option<Addresses>,
    /// The other DataServers that it knows. `None` where it has no such list (6.3.0).
    pub others: Option<Addresses>,
    /// Publishers that it holds.
    pub publishers: Option<u64>,
}

/// What a SessionServer told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionView {
    /// Whether it serves, by its own word.
    pub serving: bool,
    /// Its own push switch. `None`: it answered something else.
    pub push: Option<PushSwitch>,
    /// The MetaServers that it knows; on 6.x the leader only.
    pub metas: Option<Addresses>,
    /// The DataServers that it knows.
    pub datas: Option<Addresses>,
    /// What clients registered there.
    pub counts: Option<Counts>,
}

/// What clients have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Counts {
    /// Publishers.
    pub publishers: u64,
    /// Subscribers.
    pub subscribers: u64,
    /// Watchers of configuration.
    pub watchers: u64,
    /// Connections of clients, where they can be counted.
    pub connections: Option<u64>,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            publishers: self.publishers.saturating_add(other.publishers),
            subscribers: self.subscribers.saturating_add(other.subscribers),
            watchers: self.watchers.saturating_add(other.watchers),
            connections: self.connections.zip(other.connections).map(|(a, b)| a.saturating_add(b)),
        }
    }

    /// Whether every figure is at least `percent` of what it was. What cannot be counted on one side does not decide.
    #[must_use]
    pub fn recovered(self, before: Self, percent: u32) -> bool {
        let enough = |now: u64, then: u64| u128::from(now) * 100 >= u128::from(then) * u128::from(percent);
        enough(self.publishers, before.publishers)
            && enough(self.subscribers, before.subscribers)
            && enough(self.watchers, before.watchers)
            && self.connections.zip(before.connections).is_none_or(|(now, then)| enough(now, then))
    }
}

impl From<SessionCounts> for Counts {
    fn from(counts: SessionCounts) -> Self {
        Self {
            publishers: counts.publishers,
            subscribers: counts.subscribers,
            watchers: counts.watchers,
            connections: None,
        }
    }
}

/// The push group of a cluster, and how far the others of it are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct GroupView {
    /// Whether this cluster is among the holders.
    pub we_hold: bool,
    /// Whether others hold push closed.
    pub others_hold: bool,
    /// Whose turn it is to act.
    pub actor: Actor,
    /// Clusters of the group that do not report push as closed on every SessionServer.
    pub not_closed: BTreeSet<String>,
}

/// Which cluster of a push group may do a disruptive act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Actor {
    /// None does now.
    #[default]
    Nobody,
    /// This one.
    Us,
    /// Another one.
    Other,
}

impl RegistryWorld {
    /// What a meta told, if it told it after `cutoff`.
    pub(crate) fn meta(&self, member: Member, cutoff: Moment) -> Result<&MetaView, Unknown> {
        read(self.metas.get(&member), cutoff)
    }

    /// What a data node told, if it told it after `cutoff`.
    pub(crate) fn data(&self, member: Member, cutoff: Moment) -> Result<&DataView, Unknown> {
        read(self.datas.get(&member), cutoff)
    }

    /// What a session told, if it told it after `cutoff`.
    pub(crate) fn session(&self, member: Member, cutoff: Moment) -> Result<&SessionView, Unknown> {
        read(self.sessions.get(&member), cutoff)
    }
}

/// A fact, if it is not older than `cutoff`.
pub(crate) fn read<T>(fact: Option<&Fact<T>>, cutoff: Moment) -> Result<&T, Unknown> {
    match fact {
        None => Err(Unknown::NotAsked),
        Some(fact) if fact.at() < cutoff => Err(Unknown::Stale),
        Some(fact) => fact.read(),
    }
}
