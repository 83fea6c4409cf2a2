//! The plan of a registry in words: its steps, and what it waits on.

use super::ROLES;
use super::picture::Picture;
use super::push::Reading;
use super::rolling::Work;
use crate::api::v1alpha1::{PushOwner, PushState, Reason, Role, StepKind, StepState};
use crate::plan::machine::{Next, Turn, subject};
use crate::plan::memory::Memory;
use crate::plan::report::{Report, ReportStep, Wait};

/// What is said of a meta that reaches no store.
const CUT_OFF: &str = "it is in the group and reaches no store: somebody asked it before it was let in. Restart it by a new \
                       spec.restart before the leader goes";

impl Picture<'_> {
    /// What happens, and why.
    pub(crate) fn report(&self, turn: &Turn) -> Report {
        let run = turn.memory.run.as_ref();
        let mut report =
            Report { state: run.map(|r| r.state), steps: self.steps(&turn.memory), ..Report::default() };
        match &turn.next {
            Next::Wait(waits) => report.waits.clone_from(waits),
            Next::Halt(wait) => report.halt = Some(wait.clone()),
            Next::Act(proposal) => {
                let why = turn.why.clone().unwrap_or_else(|| proposal.why.clone());
                report.waits.push(Wait::new(Reason::RollingOut, subject(&proposal.act), why));
            }
            Next::Done => {}
        }
        report.notes = self.notes(&turn.memory);
        report
    }

    fn notes(&self, memory: &Memory) -> Vec<Wait> {
        let mut notes = Vec::new();
        match memory.push.owner {
            Some(PushOwner::Spec) => {
                notes.push(Wait::new(Reason::PushHeld, "push", "push is kept closed by spec.push.hold"));
            }
            Some(PushOwner::Other) => notes.push(Wait::new(
                Reason::PushHeld,
                "push",
                "push was found closed, and not by this operator: it is opened by whoever closed it",
            )),
            _ => {}
        }
        for site in memory.push.sites.difference(&self.t.close_sites) {
            let message = "the operator closed push of this site, which the spec no longer names: open it there by hand";
            notes.push(Wait::new(Reason::PushHeld, site, message));
        }
        notes.extend(self.missing_data(memory));
        if self.deleting() && memory.push.owner == Some(PushOwner::Operator) {
            notes.push(Wait::new(
                Reason::Deleting,
                "push",
                "what the operator closed is opened before the sessions stop",
            ));
        }
        notes.extend(self.cut_off().map(|m| Wait::new(Reason::MemberBroken, m, CUT_OFF)));
        notes.extend(self.unlisted().map(|m| Wait::new(Reason::MemberBroken, m, super::repair::UNLISTED)));
        for role in ROLES {
            if self.wanted(role) == 1 {
                notes.push(Wait::new(
                    Reason::NotHighlyAvailable,
                    role.field(),
                    "one server: its restart stops what it serves",
                ));
            }
            // Waits that last are timed from here, also while something else is done first.
            if let Err(wait) = self.converged(role) {
                notes.push(Wait::new(Reason::WaitingForConvergence, role.field(), wait.message));
            }
        }
        notes
    }

    fn steps(&self, memory: &Memory) -> Vec<ReportStep> {
        let all = self.all_work();
        let closes = memory.push.owner == Some(PushOwner::Operator) || self.needs_closed(memory);
        let run = memory.run.as_ref();
        let is_closed = self.reading() == Reading::Closed && memory.push.state == PushState::Closed;
        let mut steps = Vec::new();
        if closes {
            let counted = run.is_some_and(|r| r.baseline.is_some());
            steps.push(step(
                StepKind::RecordBaseline,
                None,
                counted,
                "clients",
                "counts are compared with it at the end",
            ));
            steps.push(step(
                StepKind::ClosePush,
                None,
                memory.push.owner.is_some(),
                "push",
                "no client is told of a restart",
            ));
            steps.push(step(
                StepKind::VerifyPushClosed,
                None,
                is_closed,
                "sessions",
                "each session has to hold pushes back",
            ));
        }
        for role in ROLES {
            self.role_steps(role, &all, memory, &mut steps);
            if role == Role::Meta && closes && run.is_some_and(|r| r.metas_since_close) {
                steps.push(step(
                    StepKind::CloseAndVerifyPushAgain,
                    None,
                    false,
                    "sessions",
                    "metas were started again",
                ));
            }
        }
        if closes {
            let right = run.is_some_and(|r| r.counts_right_since.is_some());
            steps.push(step(
                StepKind::VerifyCounts,
                None,
                right,
                "clients",
                "they have to be back before push is opened",
            ));
            if run.is_some_and(|r| r.refilled.is_some()) {
                steps.push(step(
                    StepKind::RefillFromSessions,
                    Some(Role::Session),
                    right,
                    "sessions",
                    "the data lacks publishers",
                ));
            }
            steps.push(step(StepKind::OpenPush, None, false, "push", "clients get what they missed"));
            steps.push(step(
                StepKind::VerifyPushOpen,
                None,
                false,
                "sessions",
                "each session has to push again",
            ));
        }
        mark_current(&mut steps);
        steps
    }

    fn role_steps(&self, role: Role, all: &[Work], memory: &Memory, steps: &mut Vec<ReportStep>) {
        let names: Vec<String> = self.drifted(role).map(|(m, _)| m.to_string()).collect();
        let done =
            memory.run.as_ref().and_then(|r| r.done.get(&role)).map_or(0, std::collections::BTreeSet::len);
        if !names.is_empty() || done > 0 {
            let why = if names.is_empty() {
                "all are made from the new template"
            } else {
                "made from another template"
            };
            steps.push(step(StepKind::ChangeRole, Some(role), names.is_empty(), &names.join(", "), why));
        }
        if all.iter().any(|w| w.role() == role && !matches!(w, Work::Restart(_))) {
            let what = format!("{} to {}", self.replicas(role), self.wanted(role));
            steps.push(step(StepKind::ScaleRole, Some(role), false, &what, "the spec wants another number"));
        }
    }
}

fn step(kind: StepKind, role: Option<Role>, done: bool, what: &str, why: &str) -> ReportStep {
    let state = if done { StepState::Done } else { StepState::Pending };
    ReportStep { kind, role, state, what: what.to_owned(), why: why.to_owned() }
}

/// The first step that is not done is under way.
fn mark_current(steps: &mut [ReportStep]) {
    if let Some(first) = steps.iter_mut().find(|s| s.state == StepState::Pending) {
        first.state = StepState::Current;
    }
}
