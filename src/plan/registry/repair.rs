//! Members that serve nothing: the way out that never blocks (contract: rollouts, "Broken members").

use std::time::Duration;

use super::ROLES;
use super::picture::Picture;
use crate::api::v1alpha1::{ActKind, PushOwner, Reason, Role};
use crate::observe::{Member, Node, Pod, PodPhase, Unknown};
use crate::plan::decision::{Command, Stop};
use crate::plan::machine::Next;
use crate::plan::memory::{Act, Memory, Target};
use crate::plan::report::Wait;

/// How long a data node may say that it works and be in no list of the metas: it is listed within 3 s of its start, and when
/// all metas it knew are gone it never comes back (measured: sofaregistry §2).
const UNLISTED_DATA_PATIENCE: Duration = Duration::from_secs(20);
/// How long a session may: it finds new metas by itself.
const UNLISTED_SESSION_PATIENCE: Duration = Duration::from_mins(1);

/// Why a member that can hear of no meta is made again.
const DEAF: &str = "all metas that it knew are gone, it hears of no others and never will (measured: ground)";

/// Why push is closed before DataServers are made again.
const CUT_OFF: &str =
    "the DataServers have lost the metas: they are made again, empty, and clients register again";

/// Why a member that the metas do not list is made again.
pub(crate) const UNLISTED: &str = "it says that it works and is in no list of the metas";

/// A pod that serves nobody is deleted; its StatefulSet makes another one.
pub(super) fn made_again(member: Member, pod: &Pod, why: &str) -> Next {
    let target = Target { member, uid: Some(pod.uid.clone()) };
    let act = Act { kind: ActKind::RepairPod, targets: vec![target.clone()] };
    Next::act(act, Command::StopPods { targets: vec![target], how: Stop::Delete }, why)
}

impl Picture<'_> {
    /// The next member that serves nothing and is helped by being made again.
    pub(crate) fn repair(&self, memory: &Memory) -> Option<Next> {
        for role in ROLES {
            for (member, pod) in self.pods(role) {
                let Some(why) = self.needs_repair(member, pod, memory) else { continue };
                if role == Role::Data
                    && self.data_is_lost(memory)
                    && let Some(next) =
                        self.hold_push(memory).or_else(|| self.close_in_recovery(memory, CUT_OFF))
                {
                    return Some(next);
                }
                if let Some(other) = self.comes_back(member) {
                    // One of a role at a time: what the others hold is not risked while it is not known to help.
                    return Some(Next::wait(Wait::new(
                        Reason::WaitingForPod,
                        other,
                        "it is made again, before the next one is",
                    )));
                }
                // It would start without a data node, and what its clients register would be nowhere.
                let some_data = self.members(Role::Data).any(|m| self.works(m).is_ok());
                if role == Role::Session
                    && (why == DEAF || why == UNLISTED && !some_data)
                    && let Err(wait) = self.all_serve(Role::Data)
                {
                    return Some(Next::wait(wait));
                }
                if self.t.paused {
                    return Some(Next::wait(Wait::new(
                        Reason::PausedBySpec,
                        member,
                        "its repair waits: spec.paused is set",
                    )));
                }
                if let Err(wait) = self.is_our_turn_to_repair() {
                    return Some(Next::wait(wait));
                }
                return Some(made_again(member, pod, why));
            }
        }
        None
    }

    /// Another member of the role that is on its way: its pod starts, or is not listed yet.
    fn comes_back(&self, member: Member) -> Option<Member> {
        self.members(member.role).filter(|m| *m != member).find(|m| {
            self.pod(*m).is_none_or(|p| {
                let young = p.started.is_none_or(|s| self.now.since(s) < self.t.start_budget);
                p.phase == PodPhase::Starting && young && p.trouble.is_none() && member.role != Role::Meta
            })
        })
    }

    /// A repair needs no closed push, but it is no second act beside another cluster's.
    pub(crate) fn is_our_turn_to_repair(&self) -> Result<(), Wait> {
        match self.actor() {
            Some(crate::observe::Actor::Other) => self.is_our_turn(),
            _ => Ok(()),
        }
    }

    fn needs_repair(&self, member: Member, pod: &Pod, memory: &Memory) -> Option<&'static str> {
        let role = member.role;
        if !pod.may_run()
            || pod.node == Node::Unreachable
            || member.ordinal >= self.replicas(role)
            || self.serves(member) && self.is_listed(member, pod)
        {
            return None;
        }
        let overdue = pod.started.is_some_and(|s| self.now.since(s) >= self.t.start_budget);
        let drifted = self.target(role).is_some_and(|t| t.revision != pod.revision);
        if self.told(member) == Err(Unknown::Stale) {
            return None;
        }
        let silent = self.refuses(member) || pod.address.is_none() || pod.trouble.is_some();
        if drifted && silent && pod.phase == PodPhase::Starting && (pod.trouble.is_some() || overdue) {
            return Some("it never worked, and there is a newer template");
        }
        if role == Role::Meta
            || self.peers_settled().is_err()
            || memory.incident.is_some() && self.leader().is_none()
        {
            return None;
        }
        if self.told(member).is_ok() && !self.serves(member) && overdue {
            return Some(
                "it started without a leader or a data node and never recovers from that (measured: sofaregistry §1, fact 2)",
            );
        }
        if self.is_deaf(member, pod) && !self.is_listed(member, pod) {
            return Some(DEAF);
        }
        let patience = if role == Role::Data { UNLISTED_DATA_PATIENCE } else { UNLISTED_SESSION_PATIENCE };
        let unlisted = self.waited(memory, Reason::MemberBroken, &member.to_string());
        (self.unlisted().any(|m| m == member) && unlisted >= patience).then_some(UNLISTED)
    }

    /// Members that say that they work and that the metas do not list: they serve nothing, and are timed from when that is
    /// seen.
    pub(crate) fn unlisted(&self) -> impl Iterator<Item = Member> {
        let settled = self.peers_settled().is_ok();
        [Role::Data, Role::Session].into_iter().filter(move |_| settled).flat_map(|role| {
            self.pods(role).filter(|(m, p)| self.serves(*m) && !self.is_listed(*m, p)).map(|(m, _)| m)
        })
    }

    /// Whether a recovery is under way, of the metas or of the DataServers: push is closed for it, and what clients have may be
    /// unknown.
    pub(crate) fn recovers(&self, memory: &Memory) -> bool {
        memory.incident.is_some() || self.data_is_lost(memory)
    }

    /// Whether DataServers that have lost the metas are to be made again, and none is left from which they would get what clients
    /// have registered: it has to come from the clients again, and until then nothing is pushed. It is so until the last one of
    /// them is made again. Data nodes and sessions that knew the metas by their leader alone lose them with it when all
    /// others have moved (measured: sofaregistry §14).
    pub(crate) fn data_is_lost(&self, memory: &Memory) -> bool {
        if !self.is_raft() || self.t.paused || self.peers_settled().is_err() {
            return false;
        }
        let unlisted = |m: Member, p: &Pod| self.serves(m) && !self.is_listed(m, p);
        let cut_off = self
            .pods(Role::Data)
            .any(|(m, p)| unlisted(m, p) && (self.is_overdue(m, memory) || self.is_deaf(m, p)));
        let is_ours = memory.push.owner == Some(PushOwner::Operator);
        cut_off && (is_ours || !self.members(Role::Data).any(|m| self.works(m).is_ok()))
    }

    /// Whether a member says that it works and is in no list for so long that a data node is made again for it.
    fn is_overdue(&self, member: Member, memory: &Memory) -> bool {
        self.waited(memory, Reason::MemberBroken, &member.to_string()) >= UNLISTED_DATA_PATIENCE
    }

    /// Whether a session hears of no switch and has nothing to push: it is deaf; or it has lost the metas together with the
    /// DataServers, and knows none of those that are listed.
    pub(crate) fn hears_of_no_switch(&self, member: Member, pod: &Pod) -> bool {
        let knows_no_data = || {
            let known = self.session_view(member).ok()?.datas.as_ref()?;
            Some(known.is_disjoint(&self.lists()?.datas))
        };
        let memory = self.input.memory;
        self.is_deaf(member, pod)
            || !self.is_listed(member, pod)
                && self.is_overdue(member, memory)
                && knows_no_data() == Some(true)
                && self.data_is_lost(memory)
    }

    /// Whether a data node or session can hear of no meta: every address that it knows is that of no pod any more, as after a
    /// power loss. It asks for names at its start only, so it stays like that. The metas go on listing it until its last sign of
    /// life is 30 s (data) or 8 s (session) old: only after a loss of the metas is that not waited for.
    pub(crate) fn is_deaf(&self, member: Member, pod: &Pod) -> bool {
        let known = match member.role {
            Role::Data => self.data_view(member).ok().and_then(|v| v.metas.as_ref()),
            Role::Session => self.session_view(member).ok().and_then(|v| v.metas.as_ref()),
            _ => None,
        };
        self.is_raft()
            && self.lists().is_some()
            && (self.input.memory.incident.is_some() || !self.is_listed(member, pod))
            && known.is_some_and(|known| known.is_disjoint(&self.held_addresses(Role::Meta)))
    }

    /// Whether the metas list this member. What they list is not known while nobody leads: then it counts as listed.
    pub(crate) fn is_listed(&self, member: Member, pod: &Pod) -> bool {
        let Some(lists) = self.lists() else { return true };
        let list = match member.role {
            Role::Meta => return true,
            Role::Data => &lists.datas,
            _ => &lists.sessions,
        };
        pod.address.is_some_and(|a| list.contains(&a))
    }
}
