//! Disruptive changes: which role is next, which of its members, and the gates before each act.

use std::cmp::Reverse;
use std::time::Duration;

use super::ROLES;
use super::picture::Picture;
use super::push::Reading;
use crate::api::v1alpha1::{ActKind, MembershipKind, PushOwner, Reason, Role, RolloutState, Strategy};
use crate::observe::{Actor, Member, Node, Pod};
use crate::plan::decision::{Command, Stop};
use crate::plan::machine::Next;
use crate::plan::memory::{Act, Memory, Target};
use crate::plan::planted::Planted;
use crate::plan::report::Wait;

/// The metas tell a list to the data nodes of 5.x within 3 s, and again every 3 s until each of those on it says that it has it. One
/// that is stopped before never says so, and with each repetition the others try its address for up to 25 s, before they take the next
/// list: stopped 1 s after the lists were right, its successor worked after 131 s instead of 49 (measured: sofaregistry §16).
const LISTS_ARE_HEARD: Duration = Duration::from_secs(5);
/// What is waited for then.
const DATA_LISTS: &str = "lists of the data nodes";

/// A change that disturbs clients or needs leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// Pods of this role were made from another template.
    Restart(Role),
    /// A server of this role is to be added.
    ScaleUp(Role),
    /// A server of this role is to be taken away.
    ScaleDown(Role),
}

impl Work {
    pub(crate) const fn role(&self) -> Role {
        match self {
            Self::Restart(role) | Self::ScaleUp(role) | Self::ScaleDown(role) => *role,
        }
    }

    /// Whether clients would see it if push were open.
    const fn needs_closed(&self) -> bool {
        !matches!(self, Self::ScaleUp(Role::Data | Role::Session))
    }
}

impl Picture<'_> {
    /// All changes that the spec asks for, in their order.
    pub(crate) fn all_work(&self) -> Vec<Work> {
        let mut work = Vec::new();
        let backwards = self.is_planted(Planted::RolesBackwards);
        let roles: Vec<Role> = if backwards { ROLES.into_iter().rev().collect() } else { ROLES.to_vec() };
        for role in roles {
            let (have, want) = (self.replicas(role), self.wanted(role));
            if have == 0 {
                continue;
            }
            // What leaves need not work, and is not made anew before.
            if have > want.max(1) {
                work.push(Work::ScaleDown(role));
            }
            if self.drifted(role).next().is_some() {
                work.push(Work::Restart(role));
            }
            if have < want {
                work.push(Work::ScaleUp(role));
            }
        }
        work
    }

    /// Whether the spec asks for a change.
    pub(crate) fn has_work(&self) -> bool {
        !self.all_work().is_empty()
    }

    /// Whether push has to be closed for what is under way: work that was let in, a recovery of the metas, or one of the
    /// DataServers.
    pub(crate) fn needs_closed(&self, memory: &Memory) -> bool {
        if self.deleting() {
            return false;
        }
        if self.recovers(memory) {
            return true;
        }
        let admitted = memory.run.as_ref().is_some_and(|r| r.admitted);
        admitted && !self.t.paused && self.all_work().iter().any(Work::needs_closed)
    }

    /// The next disruptive change and what it waits for.
    pub(crate) fn roll(&self, memory: &Memory) -> Option<Next> {
        let all = self.all_work();
        let work = all.first()?;
        let owned = memory.push.owner == Some(PushOwner::Operator);
        if let Err(wait) = self.is_admitted(memory) {
            // What we closed is opened again before anybody waits for a person or a window.
            return (!owned).then(|| Next::wait(wait));
        }
        if let Err(wait) = self.is_our_turn() {
            return Some(Next::wait(wait));
        }
        let gated = all.iter().any(Work::needs_closed) && !self.is_planted(Planted::RestartsWhileOpen);
        if gated && let Some(next) = self.close_for(work, memory) {
            return Some(next);
        }
        Some(match work {
            Work::Restart(role) => self.restart_next(*role, memory),
            Work::ScaleUp(role) => self.scale_up(*role),
            Work::ScaleDown(role) => self.scale_down(*role, memory),
        })
    }

    fn is_admitted(&self, memory: &Memory) -> Result<(), Wait> {
        if self.is_planted(Planted::ActsAfterPause) {
            return Ok(());
        }
        self.t.admission.lets_in(self.t.paused, &self.t.plan, memory)
    }

    /// Only one cluster of a push group acts at a time.
    pub(crate) fn is_our_turn(&self) -> Result<(), Wait> {
        let Some(group) = &self.w.group else { return Ok(()) };
        if self.is_planted(Planted::IgnoresGroupActor) {
            return Ok(());
        }
        match crate::observe::read(Some(group), self.cutoff) {
            Ok(view) if view.actor == Actor::Us => Ok(()),
            Ok(_) => Err(Wait::new(
                Reason::WaitingForPushGroup,
                "push group",
                "another cluster of the push group acts",
            )),
            Err(why) => Err(Wait::new(
                Reason::WaitingForPushGroup,
                "push group",
                format!("the push group is not known: {why}"),
            )),
        }
    }

    /// Closes push before the first act, again after the metas, and again on sessions that missed it.
    fn close_for(&self, work: &Work, memory: &Memory) -> Option<Next> {
        let run = memory.run.as_ref()?;
        let again = run.metas_since_close && work.role() != Role::Meta;
        if again && let Err(wait) = self.converged(Role::Meta) {
            return Some(Next::wait(wait));
        }
        match self.reading() {
            Reading::Closed if !again && run.baseline.is_none() => {
                return Some(Next::wait(Wait::new(
                    Reason::WaitingForFreshFacts,
                    "clients",
                    "what clients have cannot be counted on every session, and that is needed before the first act",
                )));
            }
            Reading::Closed if !again => return self.group_is_closed().err().map(Next::wait),
            Reading::Unknown(wait) => return Some(Next::wait(wait)),
            _ => {}
        }
        if memory.push.owner.is_none() {
            // Push is not closed for a change that could not begin.
            for role in ROLES {
                let ready =
                    if role == work.role() { self.all_but_the_broken(role) } else { self.converged(role) };
                if let Err(wait) = ready {
                    return Some(Next::wait(wait));
                }
            }
        }
        let why = if again {
            "after the metas push is closed again and read on every session"
        } else {
            "a rollout begins"
        };
        Some(self.close(memory, why))
    }

    /// Whether a role is as it should be, but for members that do not work and that the change itself replaces.
    fn all_but_the_broken(&self, role: Role) -> Result<(), Wait> {
        let reachable = self.drifted(role).filter(|(_, p)| p.node == Node::Reachable);
        let broken: Vec<Member> = reachable.map(|(m, _)| m).filter(|m| !self.serves(*m)).collect();
        if broken.is_empty() { self.converged(role) } else { self.others_work(role, &broken) }
    }

    fn group_is_closed(&self) -> Result<(), Wait> {
        let Some(group) = &self.w.group else { return Ok(()) };
        match crate::observe::read(Some(group), self.cutoff) {
            Ok(view) if view.not_closed.is_empty() => Ok(()),
            Ok(view) => {
                let names: Vec<&str> = view.not_closed.iter().map(String::as_str).collect();
                Err(Wait::new(
                    Reason::WaitingForPushClosed,
                    names.join(", "),
                    "push is not closed in every cluster of the push group",
                ))
            }
            Err(why) => Err(Wait::new(
                Reason::WaitingForPushGroup,
                "push group",
                format!("the push group is not known: {why}"),
            )),
        }
    }

    /// Restarts the next members of a role.
    fn restart_next(&self, role: Role, memory: &Memory) -> Next {
        let members = self.next_members(role);
        if let Err(wait) = self.may_restart(role, &members).and_then(|()| self.lists_are_heard(role, memory))
        {
            return Next::wait(wait);
        }
        let targets: Vec<Target> =
            members.iter().map(|(m, p)| Target { member: *m, uid: Some(p.uid.clone()) }).collect();
        let act = Act { kind: ActKind::RestartPods, targets: targets.clone() };
        Next::act(
            act,
            Command::StopPods { targets, how: Stop::Evict },
            "its pod was made from another template",
        )
    }

    /// The members that are restarted next: one; of sessions with two groups, those of the first half that are left, then
    /// those of the second. Of metas the followers come before the leader, in a raft group by address all but the oldest one: who
    /// knows the metas by their leader alone learns of the new ones when it loses it, and then one that it knows has to be
    /// left (ADR 12).
    fn next_members(&self, role: Role) -> Vec<(Member, &Pod)> {
        let mut drifted: Vec<(Member, &Pod)> = self.drifted(role).collect();
        if self.is_planted(Planted::WholeRoleAtOnce) {
            return drifted;
        }
        if role == Role::Session && self.t.strategy == Strategy::TwoGroups {
            let half = self.replicas(role).div_ceil(2);
            let first: Vec<_> = drifted.iter().copied().filter(|(m, _)| m.ordinal < half).collect();
            return if first.is_empty() { drifted } else { first };
        }
        let leader = self.leader().map(|(m, _)| m);
        let left = drifted.iter().filter(|(m, _)| self.serves(*m)).count();
        let leader_first = left == 2 && self.t.membership == MembershipKind::RaftByAddress;
        let turn = |m: Member| (Some(m) == leader) != leader_first;
        let age = |m: Member, p: &Pod| p.started.filter(|_| m.role == Role::Meta);
        drifted.sort_by_key(|(m, p)| (self.serves(*m), turn(*m), Reverse(age(*m, p)), Reverse(m.ordinal)));
        drifted.truncate(1);
        drifted
    }

    /// The gates before a restart of members that serve.
    fn may_restart(&self, role: Role, members: &[(Member, &Pod)]) -> Result<(), Wait> {
        self.push_is_closed()?;
        let group: Vec<Member> = members.iter().map(|(m, _)| *m).collect();
        // A pod on a node that does not answer is unknown, not gone: it is not acted on.
        members.iter().filter(|(_, p)| p.node == Node::Unreachable).try_for_each(|(m, _)| self.works(*m))?;
        if role == Role::Meta {
            return self.may_restart_meta(&group);
        }
        if !self.is_planted(Planted::RolesBackwards) {
            self.converged(Role::Meta)?;
        }
        if role == Role::Data {
            return self.may_restart_data(&group);
        }
        if !self.is_planted(Planted::RolesBackwards) {
            self.converged(Role::Data)?;
        }
        self.others_work(role, &group)
    }

    fn may_restart_meta(&self, group: &[Member]) -> Result<(), Wait> {
        if self.is_planted(Planted::IgnoresQuorum) {
            return Ok(());
        }
        self.settled_without(group)?;
        let replicas = self.replicas(Role::Meta) as usize;
        let left = self.serving_metas().filter(|(m, _)| !group.contains(m)).count();
        let enough = if self.is_raft() { left * 2 > replicas } else { left > 0 };
        if enough || replicas == 1 {
            return Ok(());
        }
        Err(Wait::new(Reason::WaitingForQuorum, "metas", "one meta less would leave no majority"))
    }

    /// Whether the metas are as they should be; of the one that is restarted nothing is asked when it does not serve.
    fn settled_without(&self, group: &[Member]) -> Result<(), Wait> {
        if group.iter().all(|m| self.serves(*m)) {
            return self.converged(Role::Meta);
        }
        self.others_work(Role::Meta, group)?;
        self.peers_settled()?;
        if self.is_raft() && self.group() != Some(&self.addresses(Role::Meta)) {
            return Err(Wait::new(
                Reason::WaitingForPeers,
                "metas",
                "the metas list other addresses than those of their pods",
            ));
        }
        Ok(())
    }

    fn may_restart_data(&self, group: &[Member]) -> Result<(), Wait> {
        if self.is_planted(Planted::IgnoresDataHalf) || self.is_planted(Planted::WholeRoleAtOnce) {
            return Ok(());
        }
        if group.iter().all(|m| self.serves(*m)) {
            self.converged(Role::Data)?;
        }
        self.others_work(Role::Data, group)?;
        self.half_of_the_data_lives(group)
    }

    /// Whether the data nodes have had the time to tell the metas that they have the present list. An act that is tried again had it
    /// before: a wait in between would make its next attempt the first one, and one that is halted would wait for ever, because of
    /// what is waited for then only the halt is remembered.
    fn lists_are_heard(&self, role: Role, memory: &Memory) -> Result<(), Wait> {
        let reason = Reason::WaitingForConvergence;
        let again = memory.run.as_ref().is_some_and(|r| r.attempts > 0 || r.state == RolloutState::Halted);
        let heard = || self.waited(memory, reason, DATA_LISTS) >= LISTS_ARE_HEARD;
        if role != Role::Data || !self.is_raft() || again || heard() {
            return Ok(());
        }
        let message = "they are right, and the metas hear from each data node that it has its own (5 s) before one is stopped";
        Err(Wait::new(reason, DATA_LISTS, message))
    }

    /// At least half of the DataServers live without these.
    pub(crate) fn half_of_the_data_lives(&self, without: &[Member]) -> Result<(), Wait> {
        let replicas = self.replicas(Role::Data);
        let left =
            self.members(Role::Data).filter(|m| !without.contains(m) && self.works(*m).is_ok()).count();
        if replicas <= 1 || left * 2 >= replicas as usize {
            return Ok(());
        }
        Err(Wait::new(Reason::WaitingForData, "data", "less than half of the DataServers would live"))
    }

    /// Every member of the role besides these works.
    pub(crate) fn others_work(&self, role: Role, without: &[Member]) -> Result<(), Wait> {
        self.members(role).filter(|m| !without.contains(m)).try_for_each(|m| self.works(m))
    }

    fn scale_up(&self, role: Role) -> Next {
        let (have, want) = (self.replicas(role), self.wanted(role));
        let before = ROLES.iter().take_while(|r| **r <= role);
        for earlier in before {
            if let Err(wait) = self.converged(*earlier) {
                return Next::wait(wait);
            }
        }
        let replicas = if role == Role::Session { want } else { have + 1 };
        scale(
            ActKind::ScaleUp,
            role,
            replicas,
            Member::new(role, have),
            format!("the spec wants {want} servers, {have} are there"),
        )
    }

    fn scale_down(&self, role: Role, memory: &Memory) -> Next {
        let (have, want) = (self.replicas(role), self.wanted(role));
        let last = Member::new(role, have - 1);
        if let Err(wait) = self.push_is_closed() {
            return Next::wait(wait);
        }
        let earlier = ROLES.iter().take_while(|r| **r < role).try_for_each(|r| self.converged(*r));
        let settled = if role == Role::Meta { self.peers_settled() } else { Ok(()) };
        if let Err(wait) = earlier.and(settled).and_then(|()| self.others_work(role, &[last])) {
            return Next::wait(wait);
        }
        if role == Role::Data
            && let Err(wait) =
                self.half_of_the_data_lives(&[last]).and_then(|()| self.lists_are_heard(role, memory))
        {
            return Next::wait(wait);
        }
        if role == Role::Meta
            && self.is_raft()
            && let Some(peers) = self.peers_without(last)
        {
            let Some(via) = self.serving_metas().find(|(m, _)| *m != last).and_then(|(m, _)| self.address(m))
            else {
                return Next::wait(Wait::new(Reason::WaitingForQuorum, last, "no other meta works"));
            };
            let act = Act::on(ActKind::ChangePeer, last, self.pod(last).map(|p| p.uid.clone()));
            return Next::act(
                act,
                Command::ChangePeer { via, peers },
                "the spec wants fewer metas: this one leaves the group",
            );
        }
        scale(
            ActKind::ScaleDown,
            role,
            have - 1,
            last,
            format!("the spec wants {want} servers, {have} are there"),
        )
    }

    /// Closes push in a recovery, where sessions may serve.
    pub(crate) fn close_in_recovery(&self, memory: &Memory, why: &str) -> Option<Next> {
        match self.reading() {
            Reading::Closed => None,
            Reading::Unknown(wait) => Some(Next::wait(wait)),
            _ if self.pods(Role::Session).next().is_none() => None,
            _ => Some(self.close(memory, why)),
        }
    }
}

fn scale(kind: ActKind, role: Role, replicas: u32, member: Member, why: String) -> Next {
    Next::act(Act::on(kind, member, None), Command::Scale { role, replicas }, why)
}
