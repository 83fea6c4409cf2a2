//! Conditions: what a person, `kubectl wait` and GitOps tools look at first.
//!
//! - `Ready`: as the spec of this generation wants it. While it is not, the reason is the nearest one.
//! - `Available`: clients are served, rollout or not.
//! - kstatus: `Reconciling` while work goes on, `Stalled` when a person is needed. What waits for a window, an approval or
//!   the end of a pause is neither: it is a state with its reason, and nothing is wrong.
//!
//! May import `types`, `api`, `plan` and the types of `validate`.

use super::spec::sentences;
use super::text::{cut, joined};
use super::{Observed, Subject};
use crate::api::v1alpha1::{
    ActKind, ClusterStatus, Condition, ConditionStatus as Is, ConditionType as Of, MESSAGE_CHARACTERS,
    PushOwner, Reason, RolloutState, StepKind, StepState,
};
use crate::plan::{Memory, Report, Wait};
use crate::render::wait_line;
use crate::types::{Moment, Time};

/// The order in which they stand.
const ORDER: [Of; 7] =
    [Of::Ready, Of::Available, Of::Progressing, Of::Degraded, Of::Paused, Of::Reconciling, Of::Stalled];

/// One aspect as it is now.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) of: Of,
    pub(super) is: Is,
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// What the cluster does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Everything is as it should be.
    Rests,
    /// Work goes on.
    Works,
    /// It waits for what a person has set or has to give: a window, an approval, the end of a pause, a Secret.
    Waits,
    /// A person is needed.
    Halted,
}

/// All conditions as they are now.
pub(super) fn conditions(
    subject: &Subject<'_>,
    report: &Report,
    memory: &Memory,
    observed: &Observed,
    old: &ClusterStatus,
) -> Vec<Condition> {
    let pace = pace(subject, report, memory);
    let (reason, message) = nearest(subject, report, memory, observed, pace);
    let near = |of, is| Change { of, is, reason, message: message.clone() };
    let is = |yes| if yes { Is::True } else { Is::False };
    let work = operation(subject, report, memory, observed);
    let worked = |of| {
        if pace == Pace::Works { Change { reason: work, ..near(of, Is::True) } } else { near(of, Is::False) }
    };
    let progressing = match pace {
        Pace::Rests => said(Of::Progressing, Is::False, Reason::Idle, "nothing is to be done"),
        _ => worked(Of::Progressing),
    };
    let stalled = match pace {
        Pace::Halted => near(Of::Stalled, Is::True),
        _ => said(Of::Stalled, Is::False, Reason::AsExpected, "nothing needs a decision"),
    };
    let changes = vec![
        near(Of::Ready, is(pace == Pace::Rests)),
        available(observed),
        progressing,
        degraded(subject, report, memory, observed),
        paused(subject, memory),
        worked(Of::Reconciling),
        stalled,
    ];
    changed(&old.conditions, changes, subject.generation, subject.now)
}

/// The old conditions with these changes. The date changes only with the status.
pub(super) fn changed(
    old: &[Condition],
    changes: Vec<Change>,
    generation: i64,
    now: Moment,
) -> Vec<Condition> {
    let mut all: Vec<Condition> = old.iter().filter(|c| ORDER.contains(&c.kind)).cloned().collect();
    for Change { of, is, reason, message } in changes {
        let before = all.iter().find(|c| c.kind == of && c.status == is);
        let last_transition_time = before.map_or_else(|| Time::from(now), |c| c.last_transition_time.clone());
        all.retain(|c| c.kind != of);
        all.push(Condition {
            kind: of,
            status: is,
            reason,
            message: cut(&message, MESSAGE_CHARACTERS),
            last_transition_time,
            observed_generation: Some(generation),
        });
    }
    all.sort_by_key(|c| ORDER.iter().position(|of| *of == c.kind));
    all.dedup_by_key(|c| c.kind);
    all
}

fn said(of: Of, is: Is, reason: Reason, message: &str) -> Change {
    Change { of, is, reason, message: message.to_owned() }
}

fn pace(subject: &Subject<'_>, report: &Report, memory: &Memory) -> Pace {
    let state = memory.run.as_ref().map(|r| r.state);
    if subject.deleting {
        return if halt(report, memory).is_some() { Pace::Halted } else { Pace::Works };
    }
    if halt(report, memory).is_some() {
        return Pace::Halted;
    }
    if !subject.missing.is_empty() || report.waits.first().is_some_and(|w| is_a_persons(w.reason)) {
        return Pace::Waits;
    }
    if state == Some(RolloutState::Done) && report.waits.is_empty() { Pace::Rests } else { Pace::Works }
}

/// Whether what is waited for is what a person has set, or has to give.
const fn is_a_persons(reason: Reason) -> bool {
    matches!(reason, Reason::PausedBySpec | Reason::WaitingForWindow | Reason::WaitingForApproval)
}

/// Why it halted.
fn halt(report: &Report, memory: &Memory) -> Option<(Reason, String)> {
    if let Some(wait) = &report.halt {
        return Some((wait.reason, wait_line(wait)));
    }
    let run = memory.run.as_ref().filter(|r| r.state == RolloutState::Halted)?;
    let nearest = report.waits.first().map(|wait| (wait.reason, wait_line(wait)));
    nearest.or_else(|| run.halted.clone()).or_else(|| Some((Reason::DeadlinePassed, String::new())))
}

/// The nearest reason, and its sentence.
fn nearest(
    subject: &Subject<'_>,
    report: &Report,
    memory: &Memory,
    observed: &Observed,
    pace: Pace,
) -> (Reason, String) {
    if pace == Pace::Rests {
        return (Reason::Converged, "everything is as the spec wants it".to_owned());
    }
    if let Some(halt) = halt(report, memory) {
        return halt;
    }
    if let Some(missing) = subject.missing.first().filter(|_| !subject.deleting) {
        return (missing.reason, joined(&sentences(subject.missing), MESSAGE_CHARACTERS));
    }
    if let Some(wait) = report.waits.first() {
        return (wait.reason, wait_line(wait));
    }
    let sentence = if subject.deleting {
        "the cluster is being deleted"
    } else {
        "it is on its way to what the spec wants"
    };
    (operation(subject, report, memory, observed), sentence.to_owned())
}

/// What kind of work it is.
fn operation(subject: &Subject<'_>, report: &Report, memory: &Memory, observed: &Observed) -> Reason {
    let act = memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|f| f.act.kind);
    let is_left = |kind| report.steps.iter().any(|s| s.kind == kind && s.state != StepState::Done);
    if subject.deleting {
        Reason::Deleting
    } else if memory.incident.is_some() {
        Reason::Recovering
    } else if observed.first_start {
        Reason::FirstStart
    } else if act == Some(ActKind::RepairPod) {
        Reason::Repairing
    } else if is_left(StepKind::ChangeRole) {
        Reason::RollingOut
    } else if is_left(StepKind::ScaleRole) {
        Reason::Scaling
    } else if memory.push.owner == Some(PushOwner::Operator) || act.is_some() {
        Reason::RollingOut
    } else {
        Reason::Repairing
    }
}

fn available(observed: &Observed) -> Change {
    let reason = match observed.available.status {
        Is::True => Reason::Serving,
        Is::False | Is::Unknown => Reason::NotServing,
    };
    said(Of::Available, observed.available.status, reason, &observed.available.message)
}

/// What is broken, or not as safe as it should be, the worst first.
fn degraded(subject: &Subject<'_>, report: &Report, memory: &Memory, observed: &Observed) -> Change {
    let mut causes: Vec<(Reason, String)> = halt(report, memory).into_iter().collect();
    let incident = memory.incident.as_ref().filter(|_| causes.is_empty());
    causes.extend(incident.map(|i| (i.reason, format!("incident {} is not over", i.id))));
    for member in &observed.members {
        if let Some(reason) = member.degrades {
            let message = member.message.clone().unwrap_or_default();
            causes.push((reason, format!("{}: {message}", member.member)));
        }
    }
    causes.extend(subject.warnings.iter().filter_map(|w| Some((w.degrades?, w.message.clone()))));
    causes.extend(report.notes.iter().filter(|n| is_bad(n)).map(|n| (n.reason, wait_line(n))));
    let Some((reason, _)) = causes.first() else {
        return said(Of::Degraded, Is::False, Reason::AsExpected, "nothing is broken");
    };
    let mut sentences: Vec<String> = Vec::new();
    for (_, sentence) in &causes {
        if !sentence.is_empty() && !sentences.contains(sentence) {
            sentences.push(sentence.clone());
        }
    }
    said(Of::Degraded, Is::True, *reason, &joined(&sentences, MESSAGE_CHARACTERS))
}

/// Notes that something is not as safe as it should be; the others only time what is waited for.
const fn is_bad(note: &Wait) -> bool {
    matches!(
        note.reason,
        Reason::NotHighlyAvailable
            | Reason::PushHeld
            | Reason::MemberBroken
            | Reason::VersionMismatch
            | Reason::CrdOutdated
            | Reason::ConnectionsUnknown
            | Reason::DataLost
            | Reason::DataMasterMissing
            | Reason::DataSourceNotConnected
            | Reason::NoWorkers
            | Reason::OwnerUsurped
            | Reason::AppsNotMoved
    )
}

fn paused(subject: &Subject<'_>, memory: &Memory) -> Change {
    let ours = memory.push.owner == Some(PushOwner::Operator);
    let acts = memory.run.as_ref().is_some_and(|r| r.act.is_some());
    match (subject.paused, ours || acts) {
        (false, _) => said(Of::Paused, Is::False, Reason::NotPaused, "spec.paused is not set"),
        (true, true) => said(
            Of::Paused,
            Is::True,
            Reason::PausedBySpec,
            "spec.paused is set: what is in flight is finished and push is opened, then it rests",
        ),
        (true, false) => said(
            Of::Paused,
            Is::True,
            Reason::PausedBySpec,
            "spec.paused is set: nothing is changed until it is not",
        ),
    }
}
