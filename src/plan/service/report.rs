//! The plan of a cluster of servers in words.

use super::picture::Picture;
use crate::api::v1alpha1::{Reason, Role, StepKind, StepState};
use crate::plan::machine::{Next, Turn, subject};
use crate::plan::report::{Report, ReportStep, Wait};

impl Picture<'_> {
    pub(super) fn report(&self, turn: &Turn) -> Report {
        let run = turn.memory.run.as_ref();
        let mut report = Report { state: run.map(|r| r.state), ..Report::default() };
        match &turn.next {
            Next::Wait(waits) => report.waits.clone_from(waits),
            Next::Halt(wait) => report.halt = Some(wait.clone()),
            Next::Act(proposal) => {
                let why = turn.why.clone().unwrap_or_else(|| proposal.why.clone());
                report.waits.push(Wait::new(Reason::RollingOut, subject(&proposal.act), why));
            }
            Next::Done => {}
        }
        for (role, target) in &self.t.roles {
            let names: Vec<String> = self.drifted(*role).map(|(m, _)| m.to_string()).collect();
            let done = run.and_then(|r| r.done.get(role)).is_some_and(|d| !d.is_empty());
            let have = self.replicas(*role);
            if !names.is_empty() && self.moves_apps() {
                report.steps.push(step(
                    StepKind::DrainServer,
                    *role,
                    &names,
                    "its apps move before it is stopped",
                ));
            }
            if !names.is_empty() || done {
                report.steps.push(step(StepKind::ChangeRole, *role, &names, "made from another template"));
            }
            if have > 0 && have != target.replicas {
                let what = [format!("{have} to {}", target.replicas)];
                report.steps.push(step(StepKind::ScaleRole, *role, &what, "the spec wants another number"));
            }
            // A console serves people: while it is away, nothing that runs is worse off.
            if target.replicas == 1 && *role != Role::Console {
                report.notes.push(Wait::new(
                    Reason::NotHighlyAvailable,
                    role.field(),
                    "one server: its restart stops what it serves",
                ));
            }
        }
        if let Some(first) = report.steps.iter_mut().find(|s| s.state == StepState::Pending) {
            first.state = StepState::Current;
        }
        report.notes.extend(self.without_workers());
        report.notes.extend(self.untold_apps());
        report.notes.extend(self.unmoved_apps());
        report
    }
}

fn step(kind: StepKind, role: crate::api::v1alpha1::Role, what: &[String], why: &str) -> ReportStep {
    let state = if what.is_empty() { StepState::Done } else { StepState::Pending };
    ReportStep { kind, role: Some(role), state, what: what.join(", "), why: why.to_owned() }
}
