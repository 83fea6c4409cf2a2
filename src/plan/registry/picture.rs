//! The observed cluster as the rules see it: only facts that are younger than the last act, and who serves by them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::{ROLES, RegistryInput, RegistryTarget, RoleTarget};
use crate::api::v1alpha1::{MembershipKind, Reason, Role};
use crate::observe::{
    Addresses, DataView, Lists, Member, MetaView, Node, Pod, PodPhase, RegistryWorld, SessionView, Standing,
    Unknown,
};
use crate::plan::machine::FACT_AGE;
use crate::plan::planted::Planted;
use crate::plan::report::Wait;
use crate::types::Moment;

/// The observed cluster, as the rules see it.
pub(crate) struct Picture<'a> {
    pub(crate) now: Moment,
    pub(crate) t: &'a RegistryTarget,
    pub(crate) w: &'a RegistryWorld,
    /// Facts from before this moment say nothing.
    pub(crate) cutoff: Moment,
    pub(crate) input: &'a RegistryInput<'a>,
}

impl<'a> Picture<'a> {
    pub(crate) fn new(input: &'a RegistryInput<'a>) -> Self {
        let last_act = input.memory.run.as_ref().and_then(|r| r.last_act_at).unwrap_or_default();
        let oldest = input.now.before(FACT_AGE);
        let cutoff = if input.planted == Some(Planted::TrustsOldFacts) {
            Moment::default()
        } else {
            last_act.max(oldest)
        };
        Self { now: input.now, t: input.target, w: input.world, cutoff, input }
    }

    pub(crate) fn deleting(&self) -> bool {
        self.input.deleting
    }

    pub(crate) fn is_planted(&self, fault: Planted) -> bool {
        self.input.planted == Some(fault)
    }

    /// Whether the metas are a raft group: blank ones are dangerous, and addresses are their names.
    pub(crate) fn is_raft(&self) -> bool {
        self.t.membership != MembershipKind::Database
    }

    /// What Kubernetes says has to be younger than the last act, or everything else is read in the wrong light.
    pub(crate) fn facts_are_fresh(&self) -> Result<(), Wait> {
        if self.w.kubernetes.at >= self.cutoff {
            return Ok(());
        }
        Err(Wait::new(Reason::WaitingForFreshFacts, "pods", "the list of pods is older than the last act"))
    }

    pub(crate) fn target(&self, role: Role) -> Option<&RoleTarget> {
        self.t.roles.get(&role)
    }

    /// How many servers the spec wants.
    pub(crate) fn wanted(&self, role: Role) -> u32 {
        self.target(role).map_or(0, |t| t.replicas)
    }

    /// How many pods the StatefulSet makes now.
    pub(crate) fn replicas(&self, role: Role) -> u32 {
        self.w.kubernetes.replicas(role)
    }

    pub(crate) fn pod(&self, member: Member) -> Option<&'a Pod> {
        self.w.kubernetes.pods.get(&member)
    }

    pub(crate) fn pods(&self, role: Role) -> impl Iterator<Item = (Member, &'a Pod)> {
        self.w.kubernetes.pods_of(role)
    }

    /// The address of a member whose container may run.
    pub(crate) fn address(&self, member: Member) -> Option<Ipv4Addr> {
        self.pod(member).filter(|p| p.may_run())?.address
    }

    /// The addresses of all pods of a role whose containers may run.
    pub(crate) fn addresses(&self, role: Role) -> Addresses {
        self.pods(role).filter(|(_, p)| p.may_run()).filter_map(|(_, p)| p.address).collect()
    }

    /// Addresses that a process of this role may still hold: those of pods that are stopping included.
    pub(crate) fn held_addresses(&self, role: Role) -> Addresses {
        self.pods(role).filter_map(|(_, p)| p.address).collect()
    }

    pub(crate) fn meta_view(&self, member: Member) -> Result<&'a MetaView, Unknown> {
        self.w.meta(member, self.cutoff)
    }

    pub(crate) fn data_view(&self, member: Member) -> Result<&'a DataView, Unknown> {
        self.w.data(member, self.cutoff)
    }

    pub(crate) fn session_view(&self, member: Member) -> Result<&'a SessionView, Unknown> {
        self.w.session(member, self.cutoff)
    }

    /// Whether a member serves: its pod may run on a node that answers, and by its own fresh word it works.
    pub(crate) fn serves(&self, member: Member) -> bool {
        let up =
            self.pod(member).is_some_and(|p| p.may_run() && p.node == Node::Reachable && p.trouble.is_none());
        up && match member.role {
            Role::Meta => self.meta_view(member).is_ok_and(|v| v.standing != Standing::Outside),
            Role::Data => self.data_view(member).is_ok_and(|v| v.serving),
            Role::Session => self.session_view(member).is_ok_and(|v| v.serving),
            _ => false,
        }
    }

    /// The metas that serve, with what they told.
    pub(crate) fn serving_metas(&self) -> impl Iterator<Item = (Member, &'a MetaView)> {
        self.pods(Role::Meta)
            .filter(|(m, _)| self.serves(*m))
            .filter_map(|(m, _)| Some((m, self.meta_view(m).ok()?)))
    }

    /// The one meta that leads. `None` where none does, or more than one says so.
    pub(crate) fn leader(&self) -> Option<(Member, &'a MetaView)> {
        let mut leaders = self.serving_metas().filter(|(_, v)| v.standing == Standing::Leader);
        let leader = leaders.next()?;
        leaders.next().is_none().then_some(leader)
    }

    /// The members as the leader's store lists them.
    pub(crate) fn lists(&self) -> Option<&'a Lists> {
        self.leader()?.1.lists.as_ref()
    }

    /// The peers on which all serving metas of a raft group agree.
    pub(crate) fn group(&self) -> Option<&'a Addresses> {
        let mut peers = self.serving_metas().map(|(_, v)| v.peers.as_ref());
        let first = peers.next()??;
        peers.all(|p| p == Some(first)).then_some(first)
    }

    /// Whether two serving metas name different peers.
    pub(crate) fn disagree(&self) -> bool {
        let lists: BTreeSet<&Addresses> =
            self.serving_metas().filter_map(|(_, v)| v.peers.as_ref()).collect();
        lists.len() > 1
    }

    /// The member that is to leave the raft group next, because the spec wants fewer metas.
    pub(crate) fn leaving(&self) -> Option<Member> {
        let replicas = self.replicas(Role::Meta);
        (replicas > self.wanted(Role::Meta).max(1)).then(|| Member::new(Role::Meta, replicas - 1))
    }

    /// The members of a role that should be there now.
    pub(crate) fn members(&self, role: Role) -> impl Iterator<Item = Member> + use<> {
        (0..self.replicas(role)).map(move |ordinal| Member::new(role, ordinal))
    }

    /// Members of a role whose pods have to be made again: from another template, or to have their raft data set aside.
    pub(crate) fn drifted(&self, role: Role) -> impl Iterator<Item = (Member, &'a Pod)> {
        let revision = self.target(role).map(|t| &t.revision);
        let again = self.is_planted(Planted::RepeatsActs);
        // One that leaves is not made anew before.
        let leaving = self.leaving().filter(|m| m.role == role && self.is_raft());
        self.pods(role).filter(move |(m, p)| {
            (again
                || revision.is_some_and(|r| *r != p.revision)
                || p.phase != PodPhase::Held && self.is_to_be_set_aside(*m))
                && p.phase != PodPhase::Stopping
                && m.ordinal < self.replicas(role)
                && Some(*m) != leaving
        })
    }

    /// Whether any role has a pod.
    pub(crate) fn is_ended(&self) -> bool {
        self.deleting()
            && ROLES.iter().all(|r| self.pods(*r).next().is_none())
            && self.w.kubernetes.at >= self.cutoff
    }
}
