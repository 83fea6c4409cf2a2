//! Who the metas of a raft group are told they are: `changePeer`, one member a call (measured: sofaregistry §5, §11).

use std::net::Ipv4Addr;
use std::time::Duration;

use super::picture::Picture;
use crate::api::v1alpha1::{ActKind, MembershipKind, Reason, Role};
use crate::observe::{Addresses, Member, Store};
use crate::plan::decision::Command;
use crate::plan::machine::Next;
use crate::plan::memory::{Act, Memory};
use crate::plan::planted::Planted;
use crate::plan::report::Wait;

/// The server changes raft, sleeps 3 s and only then updates the list that the others follow; if it ends in between, the
/// peers are right and the lists stay wrong until the call is repeated.
const LISTS_PATIENCE: Duration = Duration::from_secs(20);
/// How long a group that follows new addresses by itself (commercial, 2.9.0 and later) is left to do so.
const SELF_HEALING_PATIENCE: Duration = Duration::from_mins(5);
/// How long metas may name different peers before that is a split: a change of ours is over by then.
const SPLIT_PATIENCE: Duration = Duration::from_secs(10);

impl Picture<'_> {
    /// What the raft group has to be told so that it names the present addresses of its members.
    pub(crate) fn mend_peers(&self, memory: &Memory) -> Option<Next> {
        if !self.is_raft() {
            return None;
        }
        if self.disagree() {
            return Some(self.split(memory));
        }
        let (leader, group) = (self.leader()?.0, self.group()?);
        if let Some((joiner, target)) = self.next_peers(group, memory) {
            return Some(self.change_peer(joiner, group, target, memory));
        }
        if self.lists().is_some_and(|l| l.metas == *group) {
            return None;
        }
        let waited = self.waited(memory, Reason::WaitingForPeers, &leader.to_string());
        if waited < LISTS_PATIENCE {
            return Some(Next::wait(Wait::new(
                Reason::WaitingForPeers,
                leader,
                "the list of metas follows the peers",
            )));
        }
        if !self.majority_works(group) {
            return Some(Next::wait(Wait::new(
                Reason::WaitingForQuorum,
                leader,
                "a majority of the group does not work",
            )));
        }
        let command = Command::ChangePeer { via: self.peers_meta(memory)?, peers: group.clone() };
        Some(Next::act(
            Act::on_cluster(ActKind::ChangePeer),
            command,
            "the peers are right, the list that the others follow is not: the call is repeated",
        ))
    }

    /// Whether a majority of this group works under the addresses that it lists.
    fn majority_works(&self, group: &Addresses) -> bool {
        let alive =
            self.serving_metas().filter(|(m, _)| self.address(*m).is_some_and(|a| group.contains(&a)));
        alive.count() * 2 > group.len()
    }

    fn split(&self, memory: &Memory) -> Next {
        let wait = Wait::new(
            Reason::Split,
            "metas",
            "metas that work name different peers: there may be two clusters. Nothing is done: compare \
             /manage/queryPeer of each, and have the raft data of those in the wrong one set aside (docs/recovery.md)",
        );
        if self.waited(memory, Reason::Split, "metas") < SPLIT_PATIENCE {
            Next::wait(wait)
        } else {
            Next::Halt(wait)
        }
    }

    /// The next group of peers, one member away from the present one, and the member for whom.
    fn next_peers(&self, group: &Addresses, memory: &Memory) -> Option<(Option<Member>, Addresses)> {
        let leaving = self.leaving();
        let held = self.held_addresses(Role::Meta);
        let stale: Addresses = group.difference(&held).copied().collect();
        let joiner = self.members(Role::Meta).filter(|m| Some(*m) != leaving).find_map(|m| {
            let address = self.address(m)?;
            (!group.contains(&address) && self.meta_view(m).is_ok()).then_some((m, address))
        });
        if let Some((joiner, address)) = joiner {
            let mut target = group.clone();
            if self.is_planted(Planted::ChangesTwoPeers) {
                target = self.addresses(Role::Meta);
            } else if let Some(old) = self.former_address(joiner, group, &stale, memory) {
                target.remove(&old);
            }
            target.insert(address);
            return (target.len() <= self.replicas(Role::Meta) as usize).then_some((Some(joiner), target));
        }
        if let Some(former) = leaving.and_then(|m| memory.known_as.get(&m)).filter(|a| stale.contains(a)) {
            // It leaves anyway, and its pod has another address by now.
            return Some((None, group.iter().copied().filter(|a| a != former).collect()));
        }
        // An address that no pod holds and that no member needs: left over from a member that was taken away.
        let members = self.replicas(Role::Meta) as usize;
        let left_over = stale
            .iter()
            .find(|_| group.len() > members && stale.len() > members.saturating_sub(held.len()))?;
        let target = group.iter().copied().filter(|a| a != left_over).collect();
        Some((None, target))
    }

    /// The address under which the group knows a member that has a new one. A listed member that is down stays listed
    /// unless its own pod has a newer address.
    fn former_address(
        &self,
        joiner: Member,
        group: &Addresses,
        stale: &Addresses,
        memory: &Memory,
    ) -> Option<Ipv4Addr> {
        if let Some(known) = memory.known_as.get(&joiner).filter(|a| stale.contains(a)) {
            return Some(*known);
        }
        let others: Addresses = memory
            .known_as
            .iter()
            .filter(|(m, a)| {
                **m != joiner && self.address(**m).is_none_or(|now| now == **a || !group.contains(&now))
            })
            .map(|(_, a)| *a)
            .collect();
        let full = group.len() >= self.replicas(Role::Meta) as usize;
        stale
            .difference(&others)
            .next()
            .copied()
            .filter(|_| full)
            .or_else(|| stale.first().copied().filter(|_| full))
    }

    fn change_peer(
        &self,
        joiner: Option<Member>,
        group: &Addresses,
        target: Addresses,
        memory: &Memory,
    ) -> Next {
        let subject = joiner.map_or_else(|| "metas".to_owned(), |m| m.to_string());
        if !self.majority_works(group) {
            return Next::wait(Wait::new(
                Reason::WaitingForQuorum,
                subject,
                "its new address can be told when a majority of the old group works",
            ));
        }
        if self.t.membership == MembershipKind::RaftSelfHealing
            && self.waited(memory, Reason::WaitingForPeers, &subject) < SELF_HEALING_PATIENCE
        {
            return Next::wait(Wait::new(
                Reason::WaitingForPeers,
                subject,
                "the group follows the new address by itself",
            ));
        }
        let Some(via) = self.peers_meta(memory) else {
            return Next::wait(Wait::new(
                Reason::WaitingForLeader,
                "metas",
                "no leader of the metas is known",
            ));
        };
        let act = match joiner {
            Some(m) => Act::on(ActKind::ChangePeer, m, self.pod(m).map(|p| p.uid.clone())),
            None => Act::on_cluster(ActKind::ChangePeer),
        };
        let why = joiner.map_or_else(
            || "an address is listed that belongs to no member".to_owned(),
            |m| format!("{m} answers under an address that the group does not list"),
        );
        Next::act(act, Command::ChangePeer { via, peers: target }, why)
    }

    /// The meta that is told `changePeer`: the leader, and after an attempt that came to nothing the next one of the group. Any
    /// of them takes it (measured: sofaregistry §5).
    pub(crate) fn peers_meta(&self, memory: &Memory) -> Option<Ipv4Addr> {
        let (leader, group) = (self.leader()?.0, self.group()?);
        let in_group = |m: &Member| self.address(*m).is_some_and(|a| group.contains(&a));
        let others = self.serving_metas().map(|(m, _)| m).filter(|m| *m != leader && in_group(m));
        self.nth_attempt(memory, std::iter::once(leader).chain(others))
    }

    /// Whom an act is sent by: each attempt goes to the next of these metas. A leader that reaches no store answers all
    /// questions, so only the attempt tells (measured: sofaregistry §14).
    pub(crate) fn nth_attempt(
        &self,
        memory: &Memory,
        metas: impl Iterator<Item = Member>,
    ) -> Option<Ipv4Addr> {
        let metas = metas.filter(|m| self.reaches_store(*m));
        let addresses: Vec<Ipv4Addr> = metas.filter_map(|m| self.address(m)).collect();
        let attempts = memory.run.as_ref().map_or(0, |r| r.attempts) as usize;
        addresses.get(attempts.checked_rem(addresses.len())?).copied()
    }

    /// Whether a meta that serves reaches the store. One that does not says that it follows and answers nothing else.
    fn reaches_store(&self, member: Member) -> bool {
        self.meta_view(member).is_ok_and(|view| view.push.is_some() || view.lists.is_some())
    }

    /// Metas that are in the group and say that they reach no store while others do: each of them would stop the cluster if it
    /// were elected. One that was slow to answer is none of them.
    pub(crate) fn cut_off(&self) -> impl Iterator<Item = Member> {
        let led = self.is_raft() && self.lists().is_some();
        let lost = |m: &Member| self.meta_view(*m).is_ok_and(|view| view.store == Store::Lost);
        self.serving_metas().map(|(m, _)| m).filter(move |m| led && lost(m) && !self.reaches_store(*m))
    }

    /// The group without its last member, when the spec wants fewer metas.
    pub(crate) fn peers_without(&self, leaving: Member) -> Option<Addresses> {
        let address = self.address(leaving)?;
        let group = self.group()?;
        group.contains(&address).then(|| group.iter().copied().filter(|a| *a != address).collect())
    }
}
