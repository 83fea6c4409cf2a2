//! Which held metas may start: the blank-meta gate. Two blank metas that start together elect each other and form a new,
//! empty cluster (measured: sofaregistry §1, fact 5; §6).

use std::collections::BTreeSet;

use super::picture::Picture;
use super::repair::made_again;
use crate::api::v1alpha1::{ActKind, Reason, Role};
use crate::observe::{Addresses, Genesis, Member, Node, Pod, PodPhase, RaftData, Standing};
use crate::plan::decision::Command;
use crate::plan::machine::Next;
use crate::plan::memory::{Act, Memory, Target};
use crate::plan::planted::Planted;
use crate::plan::report::Wait;
use crate::types::DnsLabel;

impl Picture<'_> {
    /// Held metas that may start now: those whose volume is known, those of the first start, or one blank one.
    pub(crate) fn release(&self, memory: &Memory) -> Option<Next> {
        if let Some(next) = self.hold_again().or_else(|| self.set_aside()) {
            return Some(next);
        }
        let held: Vec<(Member, &Pod)> =
            self.pods(Role::Meta).filter(|(_, p)| p.phase == PodPhase::Held).collect();
        if held.is_empty() {
            return None;
        }
        let known: Vec<_> = held.iter().copied().filter(|(m, _)| self.is_known(*m)).collect();
        if !known.is_empty() {
            return Some(release(&known, RaftData::Kept, "their volumes are those of members"));
        }
        match &self.w.genesis {
            Genesis::Never => Some(Next::wait(Wait::new(
                Reason::FirstStart,
                "metas",
                "the first start begins when all metas have a pod and a claim",
            ))),
            Genesis::Begun { claims } => Some(self.release_founders(&held, claims)),
            Genesis::Done => self.admit_one(&held, memory),
        }
    }

    /// A meta that was let in with its volume and has lost it before it started: its pod is made again, and held. As it is it
    /// starts on no empty volume; but that is not left to it alone. While it may not be stopped, all else goes on.
    fn hold_again(&self) -> Option<Next> {
        let lost = |m: Member, p: &Pod| {
            p.may_run()
                && !p.may_be_blank()
                && p.started.is_none()
                && p.node == Node::Reachable
                && !self.is_known(m)
        };
        let (member, pod) = self.pods(Role::Meta).find(|(m, p)| lost(*m, p)).filter(|_| self.is_raft())?;
        let may = !self.t.paused && self.is_our_turn_to_repair().is_ok();
        may.then(|| {
            made_again(member, pod, "its volume was lost before it started: it is made again, and held back")
        })
    }

    /// A meta that serves nobody or another cluster, and whose raft data a person wants set aside: it is made again, held, and let
    /// in as a blank one, when one of the others leads a group that has its majority without it. What a member of that group
    /// has is set aside in a rollout, with push closed.
    fn set_aside(&self) -> Option<Next> {
        let (member, pod) = self
            .pods(Role::Meta)
            .find(|(m, p)| p.may_run() && self.is_to_be_set_aside(*m) && self.others_lead_without(*m))?;
        let may = !self.t.paused && self.is_our_turn_to_repair().is_ok();
        may.then(|| {
            made_again(
                member,
                pod,
                "it is in no group with the others, and a person wants its raft data set aside",
            )
        })
    }

    /// Whether a person wants the raft data of this meta set aside, and that was not done.
    pub(crate) fn is_to_be_set_aside(&self, member: Member) -> bool {
        self.aside(member).is_some_and(|token| !self.was_set_aside(member, token))
    }

    /// The token for which the raft data of this meta are set aside. A single meta has nobody from whom it could learn them again.
    fn aside(&self, member: Member) -> Option<&DnsLabel> {
        let others = self.is_raft() && self.replicas(Role::Meta) > 1;
        self.w.kubernetes.claims.get(&member).filter(|_| others)?.aside.as_ref()
    }

    /// Whether a meta was let in after its raft data were set aside for this token.
    fn was_set_aside(&self, member: Member, token: &DnsLabel) -> bool {
        self.pod(member).is_some_and(|p| p.raft_data == Some(RaftData::Aside(token.clone())))
    }

    /// Whether exactly one of the other metas leads, a majority of its group works, and this one is not in it, nor in another
    /// group in which more of them work.
    fn others_lead_without(&self, member: Member) -> bool {
        let others = || self.serving_metas().filter(|(m, _)| *m != member);
        let mut leaders = others().filter(|(_, v)| v.standing == Standing::Leader);
        let Some(peers) = leaders.next().and_then(|(_, v)| v.peers.as_ref()) else { return false };
        let working = |group: &Addresses| {
            let listed = |m: Member| self.address(m).is_some_and(|a| group.contains(&a));
            self.serving_metas().filter(|(m, v)| listed(*m) && v.peers.as_ref() == Some(group)).count()
        };
        let own = self.meta_view(member).ok().and_then(|v| v.peers.as_ref()).filter(|_| self.serves(member));
        let voters = working(peers);
        leaders.next().is_none()
            && voters * 2 > peers.len()
            && own.is_none_or(|own| own != peers && voters >= working(own))
    }

    /// The metas of a first start, all of them together: a majority has to be there to elect one.
    fn release_founders(&self, held: &[(Member, &Pod)], claims: &BTreeSet<String>) -> Next {
        let founder = |m: &Member| self.w.kubernetes.claims.get(m).is_some_and(|c| claims.contains(&c.uid));
        let founders: Vec<_> = held.iter().copied().filter(|(m, _)| founder(m)).collect();
        if founders.len() == held.len() {
            return release(&founders, RaftData::Blank, "this is the first start of the cluster");
        }
        Next::Halt(Wait::new(
            Reason::VolumeLost,
            "metas",
            "a volume was lost before the first start was over: delete the claims and pods of all metas to begin again",
        ))
    }

    /// One blank meta, while the others work without it.
    fn admit_one(&self, held: &[(Member, &Pod)], memory: &Memory) -> Option<Next> {
        if self.is_planted(Planted::ReleasesBlanks) {
            return Some(release(held, RaftData::Blank, "planted"));
        }
        // Without a claim there is nothing to start on; it comes.
        let (blank, pod) = held.iter().find(|(m, _)| self.w.kubernetes.claims.contains_key(m))?;
        if self.leader().is_none() {
            // The recovery decides. With no volume of a member left there is nothing to recover.
            let marked = |m: Member| self.w.kubernetes.claims.get(&m).is_some_and(|c| c.marked);
            let none_known = !self.members(Role::Meta).any(marked);
            return none_known.then(|| {
                Next::Halt(Wait::new(
                    Reason::MetaMajorityLost,
                    "metas",
                    "all volumes of the metas are lost: bring one back, or follow the operations guide and begin anew: \
                     delete the ConfigMap of the first start, and import the data again",
                ))
            });
        }
        let wait = |reason, message: &str| Some(Next::wait(Wait::new(reason, blank, message)));
        let Some(group) = self.group() else {
            return wait(
                Reason::WaitingForPeers,
                "it is blank and is let in when the metas name the same peers",
            );
        };
        let joining = self.pods(Role::Meta).find(|(m, p)| {
            let listed = p.address.is_some_and(|a| group.contains(&a));
            // Who serves in the group has joined, whatever becomes of its claim.
            p.phase != PodPhase::Held && !(listed && (self.serves(*m) || self.is_known(*m)))
        });
        // What hinders another one that joins is said by whoever looks after it. After a new beginning the survivor first has the
        // group for itself, and push closed: blank members are what a recovery that lost their volumes ends with.
        if joining.is_some() || self.recover(memory).is_some() {
            return None;
        }
        let raft_data = self.aside(*blank).cloned().map_or(RaftData::Blank, RaftData::Aside);
        Some(release(&[(*blank, *pod)], raft_data, "it is blank, and the only one that is let in now"))
    }

    /// Whether the volume of this meta is marked as a member's, and nobody wants its raft data set aside.
    pub(crate) fn is_known(&self, member: Member) -> bool {
        self.w.kubernetes.claims.get(&member).is_some_and(|c| c.marked) && self.aside(member).is_none()
    }

    /// Metas whose claims are to be marked: they are members now, and their volumes hold what the cluster knows.
    pub(crate) fn marks(&self) -> BTreeSet<Member> {
        if !self.is_raft() || self.leader().is_none() {
            return BTreeSet::new();
        }
        let Some(group) = self.group() else { return BTreeSet::new() };
        // What its pod may start on next time is said together with the mark: a member's raft data.
        let is_new = |m: Member| match (self.aside(m), self.w.kubernetes.claims.get(&m)) {
            (Some(token), _) => self.was_set_aside(m, token),
            (None, Some(claim)) => {
                let kept = |p: &Pod| p.raft_data == Some(RaftData::Kept);
                !claim.marked || !self.pod(m).is_some_and(kept)
            }
            (None, None) => false,
        };
        self.serving_metas()
            .map(|(m, _)| m)
            .filter(|m| self.address(*m).is_some_and(|a| group.contains(&a)) && is_new(*m))
            .collect()
    }

    /// How far the first start has come, if that is news.
    pub(crate) fn next_genesis(&self) -> Option<Genesis> {
        if !self.is_raft() || self.deleting() || self.facts_are_fresh().is_err() {
            return None;
        }
        let claims = &self.w.kubernetes.claims;
        let of_metas = || claims.iter().filter(|(m, _)| m.role == Role::Meta);
        match &self.w.genesis {
            // Kept volumes: this cluster was started before, under another object.
            Genesis::Never if of_metas().any(|(_, c)| c.marked) => Some(Genesis::Done),
            Genesis::Never if self.replicas(Role::Meta) == 0 => None,
            Genesis::Never => {
                let all = self.members(Role::Meta).all(|m| {
                    self.pod(m).is_some_and(|p| p.phase == PodPhase::Held) && claims.contains_key(&m)
                });
                let founders: BTreeSet<String> = of_metas().map(|(_, c)| c.uid.clone()).collect();
                (all && !founders.is_empty()).then_some(Genesis::Begun { claims: founders })
            }
            Genesis::Begun { claims: founders } => {
                let settled =
                    self.converged(Role::Meta).is_ok() && self.members(Role::Meta).all(|m| self.is_known(m));
                let lost_all = self.pods(Role::Meta).all(|(_, p)| p.phase == PodPhase::Held)
                    && of_metas().all(|(_, c)| !founders.contains(&c.uid) && !c.marked);
                if settled {
                    Some(Genesis::Done)
                } else if lost_all && self.pods(Role::Meta).next().is_some() {
                    Some(Genesis::Never)
                } else {
                    None
                }
            }
            Genesis::Done => None,
        }
    }
}

fn release(pods: &[(Member, &Pod)], raft_data: RaftData, why: &str) -> Next {
    let targets: Vec<Target> =
        pods.iter().map(|(m, p)| Target { member: *m, uid: Some(p.uid.clone()) }).collect();
    let act = Act { kind: ActKind::ReleasePods, targets: targets.clone() };
    Next::act(act, Command::ReleasePods { targets, raft_data }, why)
}
