//! What is asked of each server of a `SOFARegistry`, and what its answers say. Pure: sending is the caller's business.
//!
//! What is not understood is `None` in a view and never a pass. A server that does not tell how it is told nothing.
//!
//! May import `types`, `api` and `admin` (the words of the answers).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::fact::{Fact, Unknown};
use super::{
    Addresses, Counts, DataView, Lists, Member, MetaView, RegistryWorld, SessionView, Standing, Store,
};
use crate::admin::answer::Answer;
use crate::admin::registry::v5::{self, RaftStatus};
use crate::admin::registry::v6;
use crate::admin::registry::wire::{self, Serving};
use crate::api::v1alpha1::{MembershipKind, Role};
use crate::types::Moment;

/// Which servers speak: 5.x and the commercial editions know raft, 6.x a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Speech {
    /// Metas are a raft group.
    Raft,
    /// Metas have a database.
    Database,
}

impl Speech {
    /// On how many of so many DataServers each publisher is (measured: sofaregistry §4 `storeNodes=3`, §7).
    #[must_use]
    pub fn copies(self, datas: u64) -> u64 {
        datas.min(match self {
            Self::Raft => 3,
            Self::Database => 2,
        })
    }
}

impl From<MembershipKind> for Speech {
    fn from(kind: MembershipKind) -> Self {
        match kind {
            MembershipKind::Database => Self::Database,
            MembershipKind::RaftByAddress | MembershipKind::RaftSelfHealing => Self::Raft,
        }
    }
}

/// One thing that is asked of a server: a GET on its admin port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// How it is. It is asked first: what else is asked depends on it.
    Health,
    /// The peers of a meta's own raft configuration.
    Peers,
    /// The metas that it lists.
    Metas,
    /// The data nodes that it lists.
    Datas,
    /// The sessions that it lists.
    Sessions,
    /// The push switch.
    Push,
    /// Whether snapshots are renewed.
    Renew,
    /// How the slots of the data are spread.
    Slots,
    /// The data nodes that are kept out.
    Blacklist,
    /// What clients registered, or what a data node holds of it.
    Counts,
    /// The clients that are connected.
    Connections,
}

/// Where the list of data nodes that are kept out is kept (measured: sofaregistry §7).
const BLACKLIST_ID: &str = "registry.node.server.operating.data#@#9600#@#CONFIG";

impl Question {
    /// What is to be asked of a server of this role, the health first.
    #[must_use]
    pub const fn of(role: Role, speech: Speech) -> &'static [Self] {
        use Question::{
            Blacklist, Connections, Counts, Datas, Health, Metas, Peers, Push, Renew, Sessions, Slots,
        };
        match (role, speech) {
            (Role::Meta, Speech::Raft) => &[Health, Peers, Metas, Datas, Sessions, Push, Renew],
            (Role::Meta, Speech::Database) => &[Health, Metas, Datas, Sessions, Push, Slots, Blacklist],
            (Role::Data, Speech::Raft) => &[Health, Metas, Datas, Counts],
            // Its list of data nodes is broken in 6.3.0 (measured: sofaregistry §7).
            (Role::Data, Speech::Database) => &[Health, Metas, Counts],
            (Role::Session, Speech::Raft) => &[Health, Push, Metas, Datas, Counts],
            (Role::Session, Speech::Database) => &[Health, Push, Metas, Datas, Counts, Connections],
            _ => &[],
        }
    }

    /// What is asked next of a server that has told this much. `None`: nothing more.
    ///
    /// A meta of a raft group that is in no group is asked for its peers alone. Whatever needs its store lets its raft client
    /// learn the group as it is then, under the meta's former address; when the others have moved as well, that client reaches
    /// nobody ever again, and the meta serves and stores nothing, also as the leader (measured: sofaregistry §14).
    #[must_use]
    pub fn next(role: Role, speech: Speech, told: &Told) -> Option<Self> {
        let next = Self::of(role, speech).iter().copied().find(|q| !told.contains_key(q))?;
        let may_ask = match told.get(&Self::Health) {
            None => next == Self::Health,
            Some(Err(_)) => false,
            Some(Ok(health)) if (role, speech) == (Role::Meta, Speech::Raft) => {
                let in_group =
                    matches!(v5::raft_status(health), Ok(RaftStatus::Leader | RaftStatus::Follower));
                in_group || next == Self::Peers
            }
            Some(Ok(_)) => true,
        };
        may_ask.then_some(next)
    }

    /// Its path on a server of this role.
    #[must_use]
    pub const fn path(self, role: Role) -> &'static str {
        match (self, role) {
            (Self::Health, _) => "/health/check",
            (Self::Peers, _) => "/manage/queryPeer",
            (Self::Metas, Role::Meta) => "/digest/meta/node/query",
            (Self::Datas, Role::Meta) => "/digest/data/node/query",
            (Self::Sessions, Role::Meta) => "/digest/session/node/query",
            (Self::Metas, _) => "/digest/meta/serverList/query",
            (Self::Datas, _) => "/digest/data/serverList/query",
            (Self::Sessions, _) => "/digest/session/serverList/query",
            (Self::Push, _) => "/digest/pushSwitch",
            (Self::Renew, _) => "/renewSwitch/get",
            (Self::Slots, _) => "/openapi/v1/slot/table/status",
            (Self::Blacklist, _) => "/persistentData/query",
            (Self::Counts, Role::Data) => "/digest/datum/count",
            (Self::Counts, _) => "/digest/data/count",
            (Self::Connections, _) => "/connections/query",
        }
    }

    /// The fields of its query.
    #[must_use]
    pub const fn query(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Blacklist => &[("dataInfoId", BLACKLIST_ID)],
            _ => &[],
        }
    }
}

/// What came of each question: an answer, or why there is none.
pub type Told = BTreeMap<Question, Result<Answer, Unknown>>;

/// The answers of one server, and what they are read with.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// The answers.
    pub told: &'a Told,
    /// The data centre of the cluster.
    pub data_center: &'a str,
    /// When the first question was sent.
    pub at: Moment,
}

impl Heard<'_> {
    fn read<T>(&self, question: Question, parse: impl Fn(&Answer) -> Option<T>) -> Option<T> {
        self.told.get(&question)?.as_ref().ok().and_then(parse)
    }

    /// The health as it is understood; without it nothing is known.
    fn health<T>(&self, parse: impl Fn(&Answer) -> Option<T>) -> Result<T, Unknown> {
        match self.told.get(&Question::Health) {
            None => Err(Unknown::NotAsked),
            Some(Err(why)) => Err(*why),
            Some(Ok(answer)) => parse(answer).ok_or(Unknown::Unreadable),
        }
    }

    fn fact<T>(&self, view: Result<T, Unknown>) -> Fact<T> {
        match view {
            Ok(value) => Fact::known(value, self.at),
            Err(why) => Fact::unknown(why, self.at),
        }
    }

    fn nodes(&self, question: Question) -> Option<Addresses> {
        self.read(question, |a| wire::nodes(a, self.data_center).ok())
    }

    /// What a MetaServer told.
    #[must_use]
    pub fn meta(&self, speech: Speech) -> Fact<MetaView> {
        self.fact(match speech {
            Speech::Raft => self.raft_meta(),
            Speech::Database => self.database_meta(),
        })
    }

    fn lists(&self) -> Option<Lists> {
        Some(Lists {
            metas: self.nodes(Question::Metas)?,
            datas: self.nodes(Question::Datas)?,
            sessions: self.nodes(Question::Sessions)?,
        })
    }

    fn raft_meta(&self) -> Result<MetaView, Unknown> {
        let standing = match self.health(|a| v5::raft_status(a).ok())? {
            RaftStatus::Leader => Standing::Leader,
            RaftStatus::Follower => Standing::Follower,
            RaftStatus::NotInGroup => Standing::Outside,
        };
        let renew = self.read(Question::Renew, |a| v5::renew_switch(a).ok());
        Ok(MetaView {
            standing,
            warm: true,
            peers: self.read(Question::Peers, |a| v5::peers(a).ok()),
            lists: self.lists(),
            push: self.read(Question::Push, |a| v5::push_switch(a).ok()),
            store: self
                .read(Question::Push, |a| (a.status == 500).then_some(Store::Lost))
                .unwrap_or(Store::Reached),
            gray: false,
            // Never set means on. Both parts are off only by `/renewSwitch/disable`.
            renew_off: renew.map(|r| r.datum_expire == Some(false) && r.renew_snapshot == Some(false)),
            slots_stable: true,
            blacklist: Addresses::new(),
        })
    }

    fn database_meta(&self) -> Result<MetaView, Unknown> {
        let health = self.health(|a| v6::meta_health(a).ok())?;
        let standing = match (health.leads, health.leader) {
            (_, None) => Standing::Outside,
            (true, Some(_)) => Standing::Leader,
            (false, Some(_)) => Standing::Follower,
        };
        let push = self.read(Question::Push, |a| v6::push_switch(a).ok());
        Ok(MetaView {
            standing,
            warm: health.warm,
            peers: Some(Addresses::new()),
            lists: self.lists(),
            push: push.as_ref().map(|p| p.global),
            store: Store::Reached,
            gray: push.is_some_and(|p| !p.gray.is_empty()),
            renew_off: None,
            slots_stable: self
                .read(Question::Slots, |a| v6::slot_status(a).ok())
                .is_some_and(|s| s.stable && !s.protection_mode),
            blacklist: self.read(Question::Blacklist, |a| v6::blacklist(a).ok()).unwrap_or_default(),
        })
    }

    /// What a DataServer told.
    #[must_use]
    pub fn data(&self, speech: Speech) -> Fact<DataView> {
        let list = |question| self.read(question, |a| wire::data_server_list(a, self.data_center).ok());
        self.fact(self.health(|a| wire::serving(a).ok()).map(|serving| {
            DataView {
                serving: serving == Serving::Yes,
                metas: list(Question::Metas),
                others: list(Question::Datas).filter(|_| speech == Speech::Raft),
                publishers: self
                    .read(Question::Counts, |a| wire::data_counts(a, self.data_center).ok())
                    .map(|counts| counts.publishers),
            }
        }))
    }

    /// What a SessionServer told.
    #[must_use]
    pub fn session(&self) -> Fact<SessionView> {
        let list = |question| self.read(question, |a| wire::session_server_list(a).ok());
        let connections = self.read(Question::Connections, |a| v6::connections(a).ok());
        self.fact(self.health(|a| wire::serving(a).ok()).map(|serving| SessionView {
            serving: serving == Serving::Yes,
            push: self.read(Question::Push, |a| wire::session_push_switch(a).ok()),
            metas: list(Question::Metas),
            datas: list(Question::Datas),
            counts: self.read(Question::Counts, |a| wire::session_counts(a).ok()).map(|counts| Counts {
                connections: connections.and_then(|n| u64::try_from(n).ok()),
                ..Counts::from(counts)
            }),
        }))
    }
}

/// Puts what one server told into the world.
pub fn note_told(world: &mut RegistryWorld, member: Member, speech: Speech, heard: &Heard<'_>) {
    match member.role {
        Role::Meta => {
            world.metas.insert(member, heard.meta(speech));
        }
        Role::Data => {
            world.datas.insert(member, heard.data(speech));
        }
        Role::Session => {
            world.sessions.insert(member, heard.session());
        }
        Role::Drmdata | Role::Console | Role::Server => {}
    }
}

/// Ids without publishers on the DataServers that still have some on a SessionServer: the rule (c) of the counts.
///
/// No endpoint tells it in one question: the list of ids of a session names those that are only subscribed to, and 5.4.3
/// has no list of a data node's ids at all. So it is derived from the totals. Each publisher is on `copies` data nodes:
/// where these hold at least copies × what the sessions have, no id can be missing and it is 0. Where they hold less, it
/// is the most ids that can be missing, which is the number of missing publishers; it is never too small, so that a loss
/// is never passed over, and it may be too large for a moment while clients come and go: the next reading corrects it.
/// `None`: somebody did not tell.
#[must_use]
pub fn orphaned_ids(world: &RegistryWorld, speech: Speech) -> Option<Fact<u32>> {
    let held = world.datas.values().map(|f| f.value()?.publishers).collect::<Option<Vec<u64>>>()?;
    let had = world
        .sessions
        .values()
        // A session that listens nowhere has no clients.
        .filter(|f| f.read().err() != Some(Unknown::Refused))
        .map(|f| Some(f.value()?.counts?.publishers))
        .collect::<Option<Vec<u64>>>()?;
    if held.is_empty() {
        return None;
    }
    let copies = speech.copies(u64::try_from(held.len()).unwrap_or(u64::MAX));
    let at = world.datas.values().map(Fact::at).chain(world.sessions.values().map(Fact::at)).min()?;
    let expected = had.iter().sum::<u64>().saturating_mul(copies);
    let missing = expected.saturating_sub(held.iter().sum()).div_ceil(copies.max(1));
    Some(Fact::known(u32::try_from(missing).unwrap_or(u32::MAX), at))
}

/// The admin port of each server: its address and number.
pub type AdminPorts = BTreeMap<Role, u16>;

/// Who is asked: the members whose processes may answer, with their addresses.
#[must_use]
pub fn askable(world: &RegistryWorld) -> Vec<(Member, Ipv4Addr)> {
    let pods = world.kubernetes.pods.iter();
    pods.filter(|(_, pod)| pod.phase != super::PodPhase::Held)
        .filter_map(|(m, pod)| Some((*m, pod.address?)))
        .collect()
}

#[cfg(test)]
#[path = "read_registry_tests.rs"]
mod tests;
