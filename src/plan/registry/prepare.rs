//! What is remembered before anything is decided: what is seen now, and what follows from it alone.

use std::time::Duration;

use super::picture::Picture;
use super::push::Reading;
use crate::admin::registry::wire::PushSwitch;
use crate::api::v1alpha1::{ActKind, PushOwner, PushState, Role, RolloutState};
use crate::plan::admission::Admission;
use crate::plan::decision::Wake;
use crate::plan::machine::{self, Target};
use crate::plan::memory::Memory;

/// So long after a loss is noticed, a first start began, or a meta was started it is waited for that way. Who is not there by then
/// takes long.
const HURRY: Duration = Duration::from_mins(2);
/// So long a command to a server is looked after that way: `changePeer`, the slowest, takes 3.3 s (measured: sofaregistry §5).
const COMMAND_HURRY: Duration = Duration::from_secs(10);

impl Picture<'_> {
    /// Brings the memory up to what is seen now. Nothing is learnt from facts that are older than the last act.
    pub(crate) fn renew(&self, target: &Target<'_>, memory: &mut Memory) {
        let began = memory.run.as_ref().map(|r| (r.generation, r.plan.clone()));
        machine::begin(target, memory);
        if self.facts_are_fresh().is_err() {
            return;
        }
        let is_new = memory.run.as_ref().map(|r| (r.generation, r.plan.clone())) != began;
        let opened = self.stored_switch() == Ok(PushSwitch::Open);
        if is_new
            && opened
            && memory.push.owner == Some(PushOwner::Operator)
            && memory.push.state == PushState::Closed
        {
            // Somebody opened it and a person has changed the spec since: it is closed anew for the new run.
            memory.push.state = PushState::Closing;
        }
        self.note_members(memory);
        memory.incident = self.incident(memory);
        self.admit(memory);
        self.note_push(memory);
        self.note_baseline(memory);
        self.note_counts(memory);
    }

    fn note_members(&self, memory: &mut Memory) {
        if let Some((leader, _)) = self.leader() {
            memory.last_leader = Some(leader);
        }
        let Some(group) = self.group() else { return };
        for (member, _) in self.pods(Role::Meta) {
            if let Some(address) = self.address(member).filter(|a| group.contains(a)) {
                memory.known_as.insert(member, address);
            }
        }
        memory.known_as.retain(|_, address| group.contains(address));
    }

    /// Window and approval are asked once for each plan, before anything of it is done.
    fn admit(&self, memory: &mut Memory) {
        let may_begin = !self.t.paused && self.t.admission == Admission::Open && self.has_work();
        if let Some(run) = memory.run.as_mut().filter(|_| may_begin) {
            run.admitted = true;
        }
    }

    /// What clients have is counted before the first act, also where somebody else had closed push before.
    fn note_baseline(&self, memory: &mut Memory) {
        let about_to =
            self.needs_closed(memory) && memory.push.owner.is_some() && self.reading() == Reading::Closed;
        let Some(run) = memory.run.as_mut().filter(|r| about_to && r.baseline.is_none()) else { return };
        run.baseline = self.counts().map(|counts| (counts, self.now));
    }

    /// When to decide again.
    pub(crate) fn wake(&self, wake: Wake, memory: &Memory) -> Wake {
        let writes =
            self.next_genesis().is_some() || !self.marks().is_empty() || self.group_change(memory).is_some();
        // Only what has not begun waits for a window.
        let rests =
            memory.push.owner.is_none() && memory.run.as_ref().is_none_or(|r| !r.admitted && r.act.is_none());
        match (wake, &self.t.admission) {
            (Wake::Soon, _) if self.hurries(memory) => Wake::Hurried,
            (Wake::Slowly, _) if writes => Wake::Soon,
            (Wake::Soon, Admission::Window(Some(opens))) if self.has_work() && rests && !writes => {
                Wake::At(*opens)
            }
            (wake, _) => wake,
        }
    }

    /// Whether the usual pace would be waited for at each step of what nobody should wait for long.
    fn hurries(&self, memory: &Memory) -> bool {
        if memory.incident.as_ref().is_some_and(|i| self.now.since(i.since) < HURRY) {
            return true;
        }
        let Some(run) = memory.run.as_ref().filter(|r| r.state != RolloutState::Halted) else { return false };
        let cures = memory.incident.is_some() && run.act.is_some();
        let begins =
            self.now.since(run.started_at) < HURRY && !self.pods(Role::Session).any(|(m, _)| self.serves(m));
        let commands = run.act.as_ref().is_some_and(|flight| {
            let is_command = matches!(
                flight.act.kind,
                ActKind::ClosePush | ActKind::OpenPush | ActKind::ChangePeer | ActKind::ResetPeer
            );
            is_command && flight.done_at.is_some_and(|at| self.now.since(at) < COMMAND_HURRY)
        });
        // The group is one short until it is told the address of a meta that has just started. One that ends again and again has a
        // trouble, and is not waited for.
        let returns = self.pods(Role::Meta).any(|(m, p)| {
            let is_young = p.started.is_some_and(|at| self.now.since(at) < HURRY);
            is_young && p.trouble.is_none() && !self.serves(m)
        });
        cures || begins || commands || returns
    }
}
