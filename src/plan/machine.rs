//! The one state machine of all kinds: `Gating → Acting → Verifying → …`, with its state in [`Memory`].
//!
//! An act is proposed by the kind's planner from what is observed. It is first written down and nothing is done (Acting). Only
//! when the planner proposes the very same act again, from fresh facts and after the write was read back, it is done
//! (Verifying). Then nothing else is done until its effect is seen. So no crash, no second operator and no edit in between
//! can do an act that the present spec and the present facts do not ask for.
//!
//! May import `types`, `api` and `observe`.

use std::time::Duration;

use super::decision::{Command, Stop, Wake};
use super::memory::{Act, InFlight, Memory, Run, names};
use super::report::Wait;
use crate::api::v1alpha1::{Reason, RolloutState};
use crate::types::{Moment, PlanId};

/// The oldest that a fact may be. Nothing is decided on an older one, whatever it says.
pub(crate) const FACT_AGE: Duration = Duration::from_secs(30);
/// A gate that waits this long while something is half done is reported as halted: a person should look. It goes on by
/// itself when the gate passes. Longer than the slowest start that was measured (150 s) and a volume's attaching.
const GATE_PATIENCE: Duration = Duration::from_mins(15);
/// How long a halted act rests before it is tried again: all acts can be done twice.
const RETRY_PAUSE: Duration = Duration::from_mins(1);

/// What a kind's planner proposes when nothing is in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// This act, whose gates all pass.
    Act(Box<Proposal>),
    /// Nothing can be done now.
    Wait(Vec<Wait>),
    /// A person is needed.
    Halt(Wait),
    /// Nothing is left to do.
    Done,
}

/// An act whose gates all pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    /// What is written down.
    pub(crate) act: Act,
    /// How it is done.
    pub(crate) command: Command,
    /// Why.
    pub(crate) why: String,
}

impl Next {
    pub(crate) fn act(act: Act, command: Command, why: impl Into<String>) -> Self {
        Self::Act(Box::new(Proposal { act, command, why: why.into() }))
    }

    pub(crate) fn wait(wait: Wait) -> Self {
        Self::Wait(vec![wait])
    }
}

/// How long an act may take until its effect is seen, and how often it is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    pub(crate) attempts: u32,
}

/// What a kind's planner knows. All of it is pure: observations and spec went in before.
pub(crate) trait Domain {
    /// What should be done now.
    fn next(&self, memory: &Memory) -> Next;
    /// Whether this act, which may have been done before a crash, shows in what is observed.
    fn is_visible(&self, act: &Act) -> bool;
    /// Whether all that has to follow this act is seen, by facts younger than it. Otherwise what is missing.
    fn holds(&self, act: &Act, memory: &Memory) -> Result<(), Wait>;
    /// How long it may take.
    fn limits(&self, act: &Act) -> Limits;
    /// What is remembered together with the writing down, before the act: that we own what it closes.
    fn on_written(&self, act: &Act, memory: &mut Memory);
    /// What is remembered when its effect is seen.
    fn on_verified(&self, act: &Act, memory: &mut Memory);
}

/// Where the machine stands and what the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) memory: Memory,
    pub(crate) command: Option<Command>,
    pub(crate) memory_if_refused: Option<Memory>,
    pub(crate) wake: Wake,
    /// What is waited for or halts, for the report.
    pub(crate) next: Next,
    /// Why the act under way is done, where the planner still proposes it.
    pub(crate) why: Option<String>,
}

/// The target of the present spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) now: Moment,
    pub(crate) generation: i64,
    pub(crate) plan: &'a PlanId,
}

/// Makes the run of the present spec, if the one before was for another spec. What was only written down and not done is
/// dropped by the machine itself, as it is not proposed again or proposed anew.
pub(crate) fn begin(target: &Target<'_>, memory: &mut Memory) {
    let same = |run: &Run| run.generation == target.generation && run.plan == *target.plan;
    if memory.run.as_ref().is_some_and(same) {
        return;
    }
    let mut run = Run::begin(target.plan.clone(), target.generation, target.now, memory.run.as_ref());
    if let Some(before) = &memory.run {
        let verifying = before.state == RolloutState::Verifying;
        run.act = run.act.filter(|a| verifying || a.done_at.is_none());
        run.deadline = before.deadline.filter(|_| run.act.is_some());
        run.state = if run.act.is_some() { before.state } else { RolloutState::Gating };
    }
    memory.run = Some(run);
}

/// One turn of the machine.
pub(crate) fn turn(domain: &impl Domain, target: &Target<'_>, mut memory: Memory) -> Turn {
    let Some(mut run) = memory.run.take() else {
        return rest(memory, Next::Done, Wake::Slowly);
    };
    let flight = run.act.clone();
    memory.run = Some(run.clone());
    match flight {
        None => gating(domain, target, memory, None),
        Some(flight) if run.state == RolloutState::Halted => halted(domain, target, memory, &flight),
        Some(flight) if flight.done_at.is_some() => match domain.holds(&flight.act, &memory) {
            Ok(()) => verified(domain, target, memory, &flight.act),
            Err(wait) if !passed(run.deadline, target.now) => {
                run.state = RolloutState::Verifying;
                memory.run = Some(run);
                rest(memory, Next::wait(wait), Wake::Soon)
            }
            Err(wait) => failed(domain, target, memory, wait),
        },
        Some(flight) if domain.is_visible(&flight.act) => {
            mark_done(domain, target, &mut run);
            memory.run = Some(run);
            rest(memory, Next::wait(seen(&flight.act)), Wake::Now)
        }
        Some(flight) => acting(domain, target, memory, &flight),
    }
}

/// The act was written down and does not show: it is done if it is still what is to be done.
fn acting(domain: &impl Domain, target: &Target<'_>, mut memory: Memory, flight: &InFlight) -> Turn {
    let next = domain.next(&memory);
    let proposal = match next {
        Next::Act(proposal) if proposal.act == flight.act => proposal,
        other => {
            if let Some(run) = &mut memory.run {
                run.act = None;
                run.deadline = None;
            }
            return gating(domain, target, memory, Some(other));
        }
    };
    let deadline = memory.run.as_ref().and_then(|r| r.deadline);
    if passed(deadline, target.now) {
        let (reason, message) = match &proposal.command {
            Command::StopPods { how: Stop::Evict, .. } => (
                Reason::WaitingForEviction,
                "its eviction was refused until its time was over: see which budgets for disruptions count it",
            ),
            _ => (Reason::DeadlinePassed, "it was refused until its time was over"),
        };
        let wait = Wait::new(reason, subject(&flight.act), message);
        return failed(domain, target, memory, wait);
    }
    // From the first try on: an act that was written down before the operator was away for hours is simply done.
    let mut refused = memory.clone();
    if let Some(run) = &mut refused.run {
        run.deadline = deadline.or_else(|| Some(target.now.after(domain.limits(&flight.act).time)));
    }
    if let Some(run) = &mut memory.run {
        mark_done(domain, target, run);
    }
    Turn {
        memory,
        command: Some(proposal.command),
        memory_if_refused: Some(refused),
        wake: Wake::Soon,
        next: Next::wait(seen(&flight.act)),
        why: Some(proposal.why),
    }
}

fn mark_done(domain: &impl Domain, target: &Target<'_>, run: &mut Run) {
    let Some(flight) = &mut run.act else { return };
    flight.done_at = Some(target.now);
    run.last_act_at = Some(target.now.ceil_second());
    run.state = RolloutState::Verifying;
    run.deadline = Some(target.now.after(domain.limits(&flight.act).time));
}

/// Its effect is seen: what it was part of goes on at once.
fn verified(domain: &impl Domain, target: &Target<'_>, mut memory: Memory, act: &Act) -> Turn {
    domain.on_verified(act, &mut memory);
    if let Some(run) = &mut memory.run {
        run.act = None;
        run.attempts = 0;
        run.deadline = None;
        run.halted = None;
        run.state = RolloutState::Gating;
    }
    gating(domain, target, memory, None)
}

/// Its time is over: the next attempt, or a person is told.
fn failed(domain: &impl Domain, target: &Target<'_>, mut memory: Memory, wait: Wait) -> Turn {
    let Some(run) = &mut memory.run else { return rest(memory, Next::Done, Wake::Slowly) };
    run.attempts = run.attempts.saturating_add(1);
    let limit = run.act.as_ref().map_or(1, |f| domain.limits(&f.act).attempts);
    if run.attempts < limit {
        let flight = run.act.take();
        run.deadline = None;
        run.state = RolloutState::Gating;
        let next = domain.next(&memory);
        let again = matches!((&next, &flight), (Next::Act(p), Some(f)) if p.act == f.act);
        if let Some(run) = memory.run.as_mut().filter(|_| !again) {
            run.attempts = 0;
        }
        return gating(domain, target, memory, Some(next));
    }
    run.state = RolloutState::Halted;
    run.deadline = Some(target.now.after(RETRY_PAUSE));
    run.halted = Some((wait.reason, wait.message.clone()));
    rest(memory, Next::Halt(wait), Wake::Soon)
}

/// An act failed as often as it may. It goes on when its effect is seen after all, when another act is needed first, or,
/// since every act can be done twice, after a pause.
fn halted(domain: &impl Domain, target: &Target<'_>, mut memory: Memory, flight: &InFlight) -> Turn {
    let wait = match domain.holds(&flight.act, &memory) {
        Ok(()) => return verified(domain, target, memory, &flight.act),
        Err(wait) => wait,
    };
    let next = domain.next(&memory);
    let again = matches!(&next, Next::Act(p) if p.act == flight.act);
    let Some(run) = &mut memory.run else { return rest(memory, Next::Done, Wake::Slowly) };
    // Of an act that was never done there is nothing to see: why it was not is what is told.
    let wait = match &run.halted {
        Some((reason, message)) if flight.done_at.is_none() => {
            Wait::new(*reason, subject(&flight.act), message.clone())
        }
        _ => wait,
    };
    if matches!(next, Next::Wait(_)) || (again && !passed(run.deadline, target.now)) {
        run.halted = Some((wait.reason, wait.message.clone()));
        return rest(memory, Next::Halt(wait), Wake::Soon);
    }
    run.act = None;
    run.deadline = None;
    if !again {
        run.attempts = 0;
        run.halted = None;
    }
    gating(domain, target, memory, Some(next))
}

/// Nothing is in flight.
fn gating(domain: &impl Domain, target: &Target<'_>, mut memory: Memory, next: Option<Next>) -> Turn {
    let next = next.unwrap_or_else(|| domain.next(&memory));
    let Some(run) = &mut memory.run else { return rest(memory, next, Wake::Slowly) };
    match &next {
        Next::Act(proposal) => {
            run.act = Some(InFlight { act: proposal.act.clone(), written_at: target.now, done_at: None });
            run.state = RolloutState::Acting;
            run.deadline = None;
            let why = Some(proposal.why.clone());
            domain.on_written(&proposal.act, &mut memory);
            Turn { why, ..rest(memory, next, Wake::Now) }
        }
        Next::Wait(waits) => {
            let first = waits.first().map(|w| (w.reason, w.message.clone()));
            if first.as_ref().is_none_or(|(reason, _)| may_last(*reason)) {
                run.deadline = None;
            } else {
                run.deadline.get_or_insert(target.now.after(GATE_PATIENCE));
            }
            if passed(run.deadline, target.now) {
                run.state = RolloutState::Halted;
                run.halted = first;
            } else {
                run.state = RolloutState::Gating;
                run.halted = None;
            }
            rest(memory, next, Wake::Soon)
        }
        Next::Halt(wait) => {
            run.state = RolloutState::Halted;
            run.halted = Some((wait.reason, wait.message.clone()));
            run.deadline = None;
            rest(memory, next, Wake::Soon)
        }
        Next::Done => {
            run.state = RolloutState::Done;
            // What a person asks for later, under the same spec, waits for a window of its own.
            run.admitted = false;
            run.halted = None;
            run.deadline = None;
            run.attempts = 0;
            rest(memory, next, Wake::Slowly)
        }
    }
}

/// Whether waiting for this may last: a person wants it so, or it has a time limit of its own.
const fn may_last(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::PausedBySpec
            | Reason::PushHeld
            | Reason::WaitingForApproval
            | Reason::WaitingForCounts
            | Reason::WaitingForPushGroup
            | Reason::WaitingForWindow
    )
}

fn rest(memory: Memory, next: Next, wake: Wake) -> Turn {
    Turn { memory, command: None, memory_if_refused: None, wake, next, why: None }
}

fn passed(deadline: Option<Moment>, now: Moment) -> bool {
    deadline.is_some_and(|d| now >= d)
}

fn seen(act: &Act) -> Wait {
    Wait::new(Reason::WaitingForFreshFacts, subject(act), "it was done; its effect is waited for")
}

/// Whom an act concerns, in words.
pub(crate) fn subject(act: &Act) -> String {
    if act.targets.is_empty() { "the cluster".to_owned() } else { names(&act.targets) }
}
