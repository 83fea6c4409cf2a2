//! What is done when no meta leads: waiting, restarting one, or, after the loss of a majority, a new beginning from one
//! survivor (measured: sofaregistry §6, §12).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::picture::Picture;
use super::repair::made_again;
use crate::api::v1alpha1::{ActKind, Automation, Reason, Role};
use crate::observe::{Addresses, Genesis, Member, Node, Pod, PodPhase, Standing, Trouble, Unknown};
use crate::plan::decision::Command;
use crate::plan::fingerprint::fingerprint;
use crate::plan::machine::Next;
use crate::plan::memory::{Act, IncidentRecord, Memory};
use crate::plan::report::Wait;

use crate::plan::admission::Admission;

/// How long metas that could elect a leader are left to do so: a new leader took below 1 s on 5.x, 25 s on 6.x.
const ELECTION_PATIENCE: Duration = Duration::from_mins(2);

impl Picture<'_> {
    /// What the loss of a majority needs, while nobody leads.
    pub(crate) fn recover(&self, memory: &Memory) -> Option<Next> {
        let incident = memory.incident.as_ref()?;
        if self.disagree() {
            return None;
        }
        if let Some((leader, _)) = self.leader() {
            // Only now, with a leader, can push be closed; the others join and broken members are repaired after that.
            return self
                .finish_reset(leader)
                .or_else(|| self.close_in_recovery(memory, "push is closed until the metas are recovered"));
        }
        if !self.majority_is_lost() {
            // The group may still elect a leader by itself: a second one beside it would be a second cluster.
            return None;
        }
        let Some(survivor) = self.chosen_survivor(incident, memory) else {
            return Some(Next::Halt(Self::ask_for_survivor(incident)));
        };
        if let Some(wait) = self.paused_recovery(survivor) {
            return Some(wait);
        }
        if let Err(wait) = self.is_our_turn_to_repair().and_then(|()| self.others_are_gone(survivor)) {
            return Some(Next::wait(wait));
        }
        Some(Next::act(
            Act::on(ActKind::ResetPeer, survivor, self.pod(survivor).map(|p| p.uid.clone())),
            Command::ResetPeer { survivor: self.address(survivor)? },
            "a majority of the metas is lost: this survivor begins anew with what it knows",
        ))
    }

    /// The first answer of a reset may be a refusal although it took effect; then the list that the others follow is still the
    /// old one, until the call is repeated (measured: sofaregistry §6).
    fn finish_reset(&self, leader: Member) -> Option<Next> {
        let own = self.address(leader)?;
        let alone: Addresses = [own].into();
        let half_done = self.is_raft() && self.group() == Some(&alone) && self.lists()?.metas != alone;
        half_done.then(|| {
            let act = Next::act(
                Act::on(ActKind::ResetPeer, leader, self.pod(leader).map(|p| p.uid.clone())),
                Command::ResetPeer { survivor: own },
                "it leads alone, and the list that the others follow still has the metas that were",
            );
            self.paused_recovery(leader).unwrap_or(act)
        })
    }

    /// A pause holds a recovery up, because its survivor decides what is lost. A single meta begins anew with all that there is:
    /// that is no more than a new address for it.
    fn paused_recovery(&self, survivor: Member) -> Option<Next> {
        let message = "its recovery waits: spec.paused is set";
        let waits = self.t.paused && self.replicas(Role::Meta) > 1;
        waits.then(|| Next::wait(Wait::new(Reason::PausedBySpec, survivor, message)))
    }

    /// The survivor on whom a person, or the spec, has decided, if it can be one now.
    fn chosen_survivor(&self, incident: &IncidentRecord, memory: &Memory) -> Option<Member> {
        let candidates = self.survivors(memory);
        if self.replicas(Role::Meta) == 1 {
            return candidates.first().copied();
        }
        if let Some((id, survivor)) = &self.t.confirm
            && *id == incident.id
            && candidates.contains(survivor)
        {
            return Some(*survivor);
        }
        let is_there = |m: Member| {
            let is_empty = |p: &Pod| p.trouble == Some(Trouble::VolumeEmpty);
            self.is_known(m) && !self.pod(m).is_some_and(is_empty)
        };
        let all_known = self.members(Role::Meta).all(is_there);
        let last = memory.last_leader.filter(|m| candidates.contains(m))?;
        (self.t.majority == Automation::Automatic && all_known).then_some(last)
    }

    /// Metas that answer, are in no group, and have the volume of a member: the last leader first, because what only the
    /// others know is lost.
    pub(crate) fn survivors(&self, memory: &Memory) -> Vec<Member> {
        let mut list: Vec<Member> = self
            .pods(Role::Meta)
            .filter(|(m, p)| p.may_run() && self.is_known(*m))
            .filter(|(m, _)| self.meta_view(*m).is_ok_and(|v| v.standing == Standing::Outside))
            .map(|(m, _)| m)
            .collect();
        list.sort_by_key(|m| (Some(*m) != memory.last_leader, *m));
        list
    }

    fn ask_for_survivor(incident: &IncidentRecord) -> Wait {
        let names: Vec<String> = incident.survivors.iter().map(ToString::to_string).collect();
        let message = if names.is_empty() {
            "a majority of the metas is lost and no meta with its volume answers: bring a volume back, or follow the \
             operations guide: stop all, delete raftData and import the data again"
                .to_owned()
        } else {
            format!(
                "a majority of the metas is lost: set spec.recovery.metaMajority.confirm to incident {} and the survivor \
                 whose data the others take over, one of {} (best first)",
                incident.id,
                names.join(", ")
            )
        };
        Wait::new(Reason::MetaMajorityLost, "metas", message)
    }

    /// Every other peer of the survivor is proved gone, or is our own pod that answers and is in no group.
    fn others_are_gone(&self, survivor: Member) -> Result<(), Wait> {
        let own = self.address(survivor);
        let Some(peers) = self.meta_view(survivor).ok().and_then(|v| v.peers.as_ref()) else {
            return Err(Wait::new(Reason::WaitingForPeers, survivor, "its peers cannot be read"));
        };
        for (member, pod) in self.pods(Role::Meta) {
            if member == survivor || pod.phase == PodPhase::Held {
                continue;
            }
            let Some(address) = pod.address.filter(|a| peers.contains(a) && Some(*a) != own) else {
                continue;
            };
            if !self.meta_view(member).is_ok_and(|v| v.standing == Standing::Outside) {
                return Err(Wait::new(
                    Reason::WaitingForPod,
                    member,
                    format!(
                        "it still has the address {address} of a peer: it has to answer or be gone before a recovery"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Whether a majority of the group is lost for good: the addresses that could still vote are too few, by the word of
    /// every meta that answers.
    pub(crate) fn majority_is_lost(&self) -> bool {
        if !self.is_raft() || self.w.genesis != Genesis::Done || self.serving_metas().next().is_some() {
            return false;
        }
        if self.pods(Role::Meta).any(|(_, p)| p.node == Node::Unreachable) {
            return false;
        }
        let can_vote = self.held_addresses(Role::Meta);
        let mut peers = self.peers_of_the_leaderless();
        let first = peers.next();
        let lost = |p: &Addresses| p.intersection(&can_vote).count() * 2 <= p.len();
        first.is_some_and(lost) && peers.all(lost)
    }

    fn peers_of_the_leaderless(&self) -> impl Iterator<Item = &Addresses> {
        self.pods(Role::Meta)
            .filter(|(m, p)| p.may_run() && self.is_known(*m))
            .filter_map(|(m, _)| self.meta_view(m).ok()?.peers.as_ref())
    }

    /// The record of a loss that is seen now. It keeps its id until it is over; the next one has other pods and another id.
    pub(crate) fn incident(&self, memory: &Memory) -> Option<IncidentRecord> {
        let survivors = self.survivors(memory);
        if let Some(old) = &memory.incident {
            let over = self.converged(Role::Meta).is_ok();
            let keep = if self.leader().is_some() { old.survivors.clone() } else { survivors };
            return (!over).then(|| IncidentRecord { survivors: keep, ..old.clone() });
        }
        if !self.majority_is_lost() {
            return None;
        }
        let mut text = String::from("MetaMajorityLost");
        for (member, pod) in self.pods(Role::Meta) {
            let _ = write!(text, " {member}={}", pod.uid);
        }
        let listed: BTreeSet<_> = self.peers_of_the_leaderless().flatten().collect();
        let _ = write!(text, " {listed:?}");
        let id = format!("meta-majority-{}", &fingerprint(&text)[..10]);
        Some(IncidentRecord { id, reason: Reason::MetaMajorityLost, since: self.now, survivors })
    }

    /// Nobody leads although a majority could: waited for, then one meta is started again (operations guide 2.4.2).
    pub(crate) fn without_leader(&self, memory: &Memory) -> Option<Next> {
        if self.replicas(Role::Meta) == 0 || self.leader().is_some() {
            return None;
        }
        let members: Vec<Member> = self.members(Role::Meta).collect();
        let silent = members.iter().find(|m| self.meta_view(**m).is_err());
        if let Some(silent) = silent {
            // A meta that cannot start is repaired; until it answers nothing is known.
            return self.repair(memory).or_else(|| self.works(*silent).err().map(Next::wait));
        }
        if let Some(next) = self.restart_for_new_spec(&members) {
            return Some(self.is_our_turn_to_repair().err().map_or(next, Next::wait));
        }
        let message = "no meta leads although a majority answers";
        let wait = Wait::new(Reason::NoLeader, "metas", message);
        if self.waited(memory, Reason::NoLeader, "metas") < ELECTION_PATIENCE
            || !self.is_raft()
            || self.t.paused
        {
            return Some(Next::wait(wait));
        }
        let turn = self.is_our_turn_to_repair().err().map(Next::wait);
        turn.or_else(|| self.restart_for_election(&members)).or(Some(Next::Halt(wait)))
    }

    /// 6.x: metas that lead nobody have no peers to lose, and a new spec may be what they need: another database, say.
    fn restart_for_new_spec(&self, members: &[Member]) -> Option<Next> {
        if self.is_raft() || self.t.paused || self.t.admission != Admission::Open {
            return None;
        }
        let (member, pod) =
            self.drifted(Role::Meta).find(|(m, _)| members.contains(m) && !self.serves(*m))?;
        Some(made_again(member, pod, "no meta leads, and there is a newer template"))
    }

    /// One meta that may be started again although its new address costs a vote: enough others can still elect one.
    fn restart_for_election(&self, members: &[Member]) -> Option<Next> {
        let rested = |m: &Member| {
            self.pod(*m).and_then(|p| p.started).is_some_and(|s| self.now.since(s) >= ELECTION_PATIENCE)
        };
        if !members.iter().all(rested) {
            return Some(Next::wait(Wait::new(
                Reason::NoLeader,
                "metas",
                "a meta was started again: the others elect a leader",
            )));
        }
        let can_vote = self.held_addresses(Role::Meta);
        let victim = members.iter().rev().find(|m| {
            let Some(address) = self.address(**m).filter(|_| !self.serves(**m)) else { return false };
            members.iter().filter_map(|o| self.meta_view(*o).ok()?.peers.as_ref()).all(|peers| {
                let left = peers.intersection(&can_vote).filter(|a| **a != address).count();
                peers.contains(&address) && left * 2 > peers.len()
            })
        })?;
        let why = "no meta leads although a majority answers: one is started again";
        Some(made_again(*victim, self.pod(*victim)?, why))
    }

    /// Whether a member's process is known not to listen.
    pub(crate) fn refuses(&self, member: Member) -> bool {
        self.told(member) == Err(Unknown::Refused)
    }

    /// Whether a member told anything, or why not.
    pub(crate) fn told(&self, member: Member) -> Result<(), Unknown> {
        match member.role {
            Role::Meta => self.meta_view(member).map(drop),
            Role::Data => self.data_view(member).map(drop),
            _ => self.session_view(member).map(drop),
        }
    }
}
