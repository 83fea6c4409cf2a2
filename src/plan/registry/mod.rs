//! What a `RegistryCluster` needs next. Each file decides about one thing; this one says in which order they are asked.
//!
//! May import `types`, `api` and `observe`.

mod converge;
mod deletion;
mod desired;
mod domain;
mod group;
mod peers;
mod picture;
mod prepare;
mod push;
mod recovery;
mod release;
mod repair;
mod report;
mod rolling;
mod target;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::admission::Admission;
use super::decision::{Command, Decision};
use super::machine::{self, Next, Turn};
use super::memory::Memory;
use super::planted::Planted;
use super::report::Wait;
use crate::api::v1alpha1::{Automation, MembershipKind, OnTimeout, PushOwner, Reason, Role, Strategy};
use crate::observe::{Member, RegistryWorld, Revision};
use crate::types::{DnsLabel, Moment, PlanId};
use picture::Picture;

pub use target::registry_target;

/// The roles, in the order in which they are started and changed.
pub(crate) const ROLES: [Role; 3] = [Role::Meta, Role::Data, Role::Session];

/// What a valid spec asks for, as far as a plan needs it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegistryTarget {
    /// A hash of the target templates and replicas: what a person approves.
    pub plan: PlanId,
    /// How the metas know each other.
    pub membership: MembershipKind,
    /// What each role should have in the end.
    pub roles: BTreeMap<Role, RoleTarget>,
    /// `spec.paused`.
    pub paused: bool,
    /// `spec.push.hold`.
    pub hold: bool,
    /// How many sessions at once.
    pub strategy: Strategy,
    /// Whether a rollout may begin now.
    pub admission: Admission,
    /// What has to hold before push is opened.
    pub verify: VerifyRule,
    /// Who decides after the loss of a majority of the metas.
    pub majority: Automation,
    /// A person's decision: the incident and the survivor.
    pub confirm: Option<(String, Member)>,
    /// `spec.pushGroup`.
    pub push_group: Option<DnsLabel>,
    /// The sites whose push is closed together with ours.
    pub close_sites: BTreeSet<DnsLabel>,
    /// Whether the renewal of snapshots is to be off (5.x up to 5.4.3).
    pub renew_off: bool,
    /// How long a server may take to start.
    pub start_budget: Duration,
}

/// What one role should have in the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleTarget {
    /// How many servers.
    pub replicas: u32,
    /// The revision of their pod template.
    pub revision: Revision,
}

/// What has to hold before push is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyRule {
    /// So many percent of the clients have to be back.
    pub percent: u32,
    /// How long they are waited for.
    pub timeout: Duration,
    /// What happens then.
    pub on_timeout: OnTimeout,
}

/// All that a decision is made from.
#[derive(Debug, Clone, Copy)]
pub struct RegistryInput<'a> {
    /// The time.
    pub now: Moment,
    /// The generation of the spec.
    pub generation: i64,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// What is wanted.
    pub target: &'a RegistryTarget,
    /// What is.
    pub world: &'a RegistryWorld,
    /// What was remembered.
    pub memory: &'a Memory,
    /// A fault that a test plants in the planner to show that the checkers find it; always `None` outside of tests.
    pub planted: Option<Planted>,
}

/// What a `RegistryCluster` needs now. The same input gives the same decision.
#[must_use]
pub fn plan_registry(input: &RegistryInput<'_>) -> Decision {
    let picture = Picture::new(input);
    let mut memory = input.memory.clone();
    let target = machine::Target { now: input.now, generation: input.generation, plan: &input.target.plan };
    picture.renew(&target, &mut memory);
    let turn = if input.deleting && picture.is_deaf_to_opening(&memory) {
        picture.without_acts(memory)
    } else {
        machine::turn(&picture, &target, memory)
    };
    picture.decide(turn)
}

impl Picture<'_> {
    /// What is asked in which order. Whoever answers first decides; the others come after it is done.
    pub(crate) fn first_need(&self, memory: &Memory) -> Next {
        if let Err(wait) = self.facts_are_fresh() {
            return Next::wait(wait);
        }
        if self.deleting() {
            return self.open_before_deletion(memory);
        }
        self.release(memory)
            .or_else(|| self.recover(memory))
            .or_else(|| self.mend_peers(memory))
            .or_else(|| self.without_leader(memory))
            .or_else(|| self.repair(memory))
            .or_else(|| self.hold_push(memory))
            .or_else(|| self.close_for_group(memory))
            .or_else(|| self.roll(memory))
            .or_else(|| self.wind_down(memory))
            .or_else(|| self.open_first(memory))
            .or_else(|| self.switch_renewal_off(memory))
            .or_else(|| self.clear_blacklist(memory))
            .unwrap_or_else(|| self.rest(memory))
    }

    /// Nothing is to be done; whether all is well is another question.
    fn rest(&self, memory: &Memory) -> Next {
        if memory.push.owner == Some(PushOwner::Operator) && !self.is_planted(Planted::ForgetsToOpen) {
            return Next::wait(Wait::new(
                Reason::PushHeld,
                "push",
                "what a rollout closed passes to spec.push.hold",
            ));
        }
        for role in ROLES {
            if let Err(wait) = self.converged(role) {
                return Next::wait(wait);
            }
        }
        Next::Done
    }

    fn decide(&self, turn: Turn) -> Decision {
        let report = self.report(&turn);
        let desired = self.desired(&turn);
        let mut memory = turn.memory;
        let mut refused = turn.memory_if_refused;
        for m in std::iter::once(&mut memory).chain(refused.as_mut()) {
            report.note_waits(m, self.now);
        }
        Decision {
            desired,
            marks: self.marks(),
            genesis: self.next_genesis(),
            group: self.group_change(&memory),
            command: turn.command,
            wake: self.wake(turn.wake, &memory),
            finished: self.is_ended() && self.has_left_the_group(),
            memory,
            memory_if_refused: refused,
            report,
        }
    }

    fn switch_renewal_off(&self, memory: &Memory) -> Option<Next> {
        if !self.t.renew_off || !self.is_raft() || self.t.paused {
            return None;
        }
        let (_, view) = self.leader()?;
        if view.renew_off != Some(false) {
            // It is off, or it does not tell.
            return None;
        }
        let act = super::memory::Act::on_cluster(crate::api::v1alpha1::ActKind::DisableRenew);
        let why =
            "this version loses publishers when snapshots are renewed (measured: sofaregistry §1, fact 8)";
        Some(Next::act(act, Command::DisableRenew { via: self.peers_meta(memory)? }, why))
    }

    /// Since when this has been waited for without a break, as far as is remembered.
    pub(crate) fn waited(&self, memory: &Memory, reason: Reason, subject: &str) -> Duration {
        let key = (reason, subject.to_owned());
        memory.waiting.get(&key).map_or(Duration::ZERO, |since| self.now.since(*since))
    }
}
