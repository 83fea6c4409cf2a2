//! The observed servers as the rules see them: only facts that are younger than the last act.

use super::{ServiceInput, ServiceTarget};
use crate::api::v1alpha1::{Reason, Role};
use crate::observe::{Member, Node, Pod, PodPhase, ServerView, ServiceWorld, Unknown, failure};
use crate::plan::admission::Admission;
use crate::plan::machine::FACT_AGE;
use crate::plan::memory::Memory;
use crate::plan::registry::RoleTarget;
use crate::plan::report::Wait;
use crate::types::Moment;

/// The observed servers, as the rules see them.
pub(super) struct Picture<'a> {
    pub(super) now: Moment,
    pub(super) t: &'a ServiceTarget,
    pub(super) w: &'a ServiceWorld,
    pub(super) cutoff: Moment,
    pub(super) deleting: bool,
}

impl<'a> Picture<'a> {
    pub(super) fn new(input: &'a ServiceInput<'a>) -> Self {
        let last_act = input.memory.run.as_ref().and_then(|r| r.last_act_at).unwrap_or_default();
        let cutoff = last_act.max(input.now.before(FACT_AGE));
        Self { now: input.now, t: input.target, w: input.world, cutoff, deleting: input.deleting }
    }

    /// Window and approval are asked once for each plan.
    pub(super) fn renew(&self, memory: &mut Memory) {
        let over =
            !self.has_work() && self.facts_are_fresh().is_ok() && self.verify_connections(memory).is_none();
        if let Some(run) = memory.run.as_mut().filter(|r| over && r.act.is_none()) {
            // What clients have changes with time: it is compared within one rollout only.
            run.baseline = None;
        }
        let may_begin = !self.t.paused && self.t.admission == Admission::Open && self.has_work();
        if let Some(run) = memory.run.as_mut().filter(|_| may_begin && self.facts_are_fresh().is_ok()) {
            run.admitted = true;
        }
    }

    pub(super) fn facts_are_fresh(&self) -> Result<(), Wait> {
        if self.w.kubernetes.at >= self.cutoff {
            return Ok(());
        }
        Err(Wait::new(Reason::WaitingForFreshFacts, "pods", "the list of pods is older than the last act"))
    }

    pub(super) fn target(&self, role: Role) -> Option<&'a RoleTarget> {
        self.t.roles.iter().find(|(r, _)| *r == role).map(|(_, target)| target)
    }

    pub(super) fn replicas(&self, role: Role) -> u32 {
        self.w.kubernetes.replicas(role)
    }

    pub(super) fn pod(&self, member: Member) -> Option<&'a Pod> {
        self.w.kubernetes.pods.get(&member)
    }

    pub(super) fn pods(&self, role: Role) -> impl Iterator<Item = (Member, &'a Pod)> + use<'a> {
        self.w.kubernetes.pods_of(role)
    }

    pub(super) fn members(&self, role: Role) -> impl Iterator<Item = Member> + use<> {
        (0..self.replicas(role)).map(move |ordinal| Member::new(role, ordinal))
    }

    pub(super) fn view(&self, member: Member) -> Result<&'a ServerView, Unknown> {
        crate::observe::read(self.w.servers.get(&member), self.cutoff)
    }

    /// Whether a server works, or in words why not.
    pub(super) fn works(&self, member: Member) -> Result<(), Wait> {
        let Some(pod) = self.pod(member) else {
            return Err(Wait::new(Reason::WaitingForPod, member, "it has no pod yet"));
        };
        if pod.node == Node::Unreachable {
            return Err(Wait::new(Reason::NodeUnreachable, member, "its node does not answer"));
        }
        if let Some(trouble) = pod.trouble {
            return Err(Wait::new(trouble.reason(), member, trouble.sentence()));
        }
        match self.view(member) {
            _ if pod.phase == PodPhase::Stopping => {
                Err(Wait::new(Reason::WaitingForPod, member, "its pod is stopping"))
            }
            Ok(ServerView { failing: None, .. }) => Ok(()),
            Ok(ServerView { failing: Some(reason), .. }) => Err(Wait::new(*reason, member, failure(*reason))),
            Err(why) => {
                Err(Wait::new(Reason::WaitingForPod, member, format!("whether it works is not known: {why}")))
            }
        }
    }

    /// Whether every server of a role works.
    pub(super) fn works_all(&self, role: Role) -> Result<(), Wait> {
        if self.replicas(role) == 0 {
            return Err(Wait::new(
                Reason::WaitingForPod,
                role.field(),
                "there is no server of this role yet",
            ));
        }
        self.members(role).try_for_each(|m| self.works(m))
    }

    /// Whether what the servers need works: nothing is started or restarted without it.
    pub(super) fn needs_work(&self) -> Result<(), Wait> {
        for need in &self.w.needs {
            match crate::observe::read(Some(&need.works), self.cutoff) {
                Ok(true) => {}
                Ok(false) => {
                    let fault = need.fault.as_deref();
                    return Err(Wait::new(
                        need.reason,
                        &need.subject,
                        fault.unwrap_or("it does not work, or is being changed"),
                    ));
                }
                Err(why) => {
                    return Err(Wait::new(
                        need.reason,
                        &need.subject,
                        format!("whether it works is not known: {why}"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether a role that has no workload yet may get one.
    pub(super) fn may_begin(&self, role: Role) -> Result<(), Wait> {
        self.needs_work()?;
        let earlier = self.t.roles.iter().map(|(r, _)| *r).take_while(|r| *r != role);
        earlier.into_iter().try_for_each(|r| self.works_all(r))
    }

    /// Members whose pods were made from another template than the spec's.
    pub(super) fn drifted(&self, role: Role) -> impl Iterator<Item = (Member, &'a Pod)> + use<'a> {
        let revision = self.target(role).map(|t| &t.revision);
        let replicas = self.replicas(role);
        self.pods(role).filter(move |(m, p)| {
            revision.is_some_and(|r| *r != p.revision)
                && p.phase != PodPhase::Stopping
                && m.ordinal < replicas
        })
    }

    /// Whether the spec asks for a change.
    pub(super) fn has_work(&self) -> bool {
        self.t.roles.iter().any(|(role, target)| {
            let have = self.replicas(*role);
            have > 0 && (have != target.replicas || self.drifted(*role).next().is_some())
        })
    }

    pub(super) fn is_ended(&self) -> bool {
        self.deleting && self.w.kubernetes.pods.is_empty() && self.facts_are_fresh().is_ok()
    }

    /// Connections of clients to all servers of the role that they connect to. `None`: one of them is not known.
    pub(super) fn connections(&self) -> Option<u64> {
        let role = self.t.roles.first()?.0;
        self.pods(role)
            .try_fold(0_u64, |sum, (m, _)| Some(sum.saturating_add(self.view(m).ok()?.connections?)))
    }
}
