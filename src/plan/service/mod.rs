//! What a `DrmCluster` or a `SchedulerCluster` needs next: roles in their order, each in groups of which one always serves,
//! behind what they depend on; for PowerJob with its apps moved away first.
//!
//! May import `types`, `api` and `observe`.

mod domain;
mod picture;
mod powerjob;
mod report;
mod rolling;
mod target;

use super::admission::Admission;
use super::decision::{Command, Decision, Wake};
use super::desired::{Desired, DesiredRole, TemplateChoice};
use super::machine::{self, Next, Turn};
use super::memory::Memory;
use super::registry::{RoleTarget, VerifyRule};
use crate::api::v1alpha1::{Reason, Role, Strategy};
use crate::observe::ServiceWorld;
use crate::plan::report::Wait;
use crate::types::{Moment, PlanId};
use picture::Picture;
use std::time::Duration;

pub use target::{drm_target, scheduler_target};

/// What a valid spec asks for, as far as a plan needs it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceTarget {
    /// A hash of the target templates and replicas: what a person approves.
    pub plan: PlanId,
    /// What each role should have in the end, in the order in which they are started and changed.
    pub roles: Vec<(Role, RoleTarget)>,
    /// `spec.paused`.
    pub paused: bool,
    /// How many servers of a role at once; PowerJob's always go one by one.
    pub strategy: Strategy,
    /// Whether a rollout may begin now.
    pub admission: Admission,
    /// What has to hold before the next group, and at the end.
    pub verify: VerifyRule,
    /// Whether clients' connections decide. They do for drmdata and `AntScheduler`.
    pub by_connections: bool,
    /// Whether a server is stopped only when all its tasks are reported.
    pub by_tasks: bool,
    /// How long a server may take to start.
    pub start_budget: Duration,
    /// `None`: it is no PowerJob.
    pub powerjob: Option<PowerJobRule>,
}

/// How PowerJob's servers are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PowerJobRule {
    /// Whether apps are moved away first: a login was given, and the version is one with which that was measured.
    pub drain: bool,
    /// Whether instances that were lost all the same are run again: the spec wants it, and a login was given.
    pub retry_lost: bool,
}

/// All that a decision is made from.
#[derive(Debug, Clone, Copy)]
pub struct ServiceInput<'a> {
    /// The time.
    pub now: Moment,
    /// The generation of the spec.
    pub generation: i64,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// What is wanted.
    pub target: &'a ServiceTarget,
    /// What is.
    pub world: &'a ServiceWorld,
    /// What was remembered.
    pub memory: &'a Memory,
}

/// What a cluster of servers needs now. The same input gives the same decision.
#[must_use]
pub fn plan_service(input: &ServiceInput<'_>) -> Decision {
    let picture = Picture::new(input);
    let mut memory = input.memory.clone();
    let target = machine::Target { now: input.now, generation: input.generation, plan: &input.target.plan };
    machine::begin(&target, &mut memory);
    picture.renew(&mut memory);
    let turn = if input.deleting { picture.ending(memory) } else { machine::turn(&picture, &target, memory) };
    picture.decide(turn)
}

impl Picture<'_> {
    /// What is asked in which order.
    fn first_need(&self, memory: &Memory) -> Next {
        if let Err(wait) = self.facts_are_fresh() {
            return Next::wait(wait);
        }
        self.repair()
            .or_else(|| self.bounce())
            .or_else(|| self.begin_roles())
            .or_else(|| self.roll(memory))
            .or_else(|| self.verify_connections(memory))
            .or_else(|| self.retry_lost(memory))
            .unwrap_or_else(|| self.rest())
    }

    /// Roles that have no workload yet wait for what they need.
    fn begin_roles(&self) -> Option<Next> {
        let (role, _) =
            self.t.roles.iter().find(|(role, _)| !self.w.kubernetes.workloads.contains_key(role))?;
        self.may_begin(*role).err().map(Next::wait)
    }

    fn rest(&self) -> Next {
        for (role, _) in &self.t.roles {
            if let Err(wait) = self.works_all(*role) {
                return Next::wait(wait);
            }
        }
        Next::Done
    }

    fn ending(&self, mut memory: Memory) -> Turn {
        if let Some(run) = &mut memory.run {
            run.act = None;
            run.deadline = None;
        }
        let next = if self.is_ended() {
            Next::Done
        } else {
            Next::wait(Wait::new(Reason::Deleting, "cluster", "its servers end, those that others need last"))
        };
        Turn { memory, command: None, memory_if_refused: None, wake: Wake::Soon, next, why: None }
    }

    fn desired(&self, command: Option<&Command>) -> Desired {
        let mut desired = Desired::default();
        for (role, target) in &self.t.roles {
            let Some(workload) = self.w.kubernetes.workloads.get(role) else {
                if !self.deleting && self.facts_are_fresh().is_ok() && self.may_begin(*role).is_ok() {
                    let template = TemplateChoice::Target;
                    desired.roles.insert(*role, DesiredRole { replicas: target.replicas, template });
                }
                continue;
            };
            let turn = match command {
                Some(Command::StopPods { targets, .. }) => targets.iter().any(|t| t.member.role == *role),
                Some(Command::Scale { role: scaled, .. }) => scaled == role,
                _ => false,
            };
            let replicas = match command {
                Some(Command::Scale { role: scaled, replicas }) if scaled == role => *replicas,
                _ => workload.replicas,
            };
            let free = turn || workload.revision == target.revision || self.drifted(*role).next().is_none();
            let template = if free && !self.deleting { TemplateChoice::Target } else { TemplateChoice::Keep };
            desired.roles.insert(*role, DesiredRole { replicas, template });
        }
        if self.deleting {
            self.end_in_order(&mut desired);
        }
        desired
    }

    /// Consoles end first, the servers that they need after them.
    fn end_in_order(&self, desired: &mut Desired) {
        for (role, _) in self.t.roles.iter().rev() {
            if let Some(kept) = desired.roles.get_mut(role) {
                kept.replicas = 0;
            }
            if self.pods(*role).next().is_some() {
                return;
            }
        }
    }

    fn decide(&self, turn: Turn) -> Decision {
        let report = self.report(&turn);
        let desired = self.desired(turn.command.as_ref());
        let mut memory = turn.memory;
        let mut refused = turn.memory_if_refused;
        for m in std::iter::once(&mut memory).chain(refused.as_mut()) {
            report.note_waits(m, self.now);
        }
        let rests = memory.run.as_ref().is_none_or(|r| !r.admitted && r.act.is_none());
        let wake = match (turn.wake, &self.t.admission) {
            (Wake::Soon, Admission::Window(Some(opens))) if self.has_work() && rests => Wake::At(*opens),
            (wake, _) => wake,
        };
        let wake = self.watchful(wake);
        Decision {
            desired,
            marks: std::collections::BTreeSet::new(),
            genesis: None,
            group: None,
            command: turn.command,
            memory,
            memory_if_refused: refused,
            report,
            wake,
            finished: self.is_ended(),
        }
    }
}
