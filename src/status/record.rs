//! What a plan remembers, written into a status. `memory` reads it back.
//!
//! May import `types`, `api`, `observe` and `plan`.

use std::collections::BTreeSet;

use super::WAITS;
use super::act::key;
use super::members::Observed;
use super::text::cut;
use crate::api::v1alpha1::{
    Act, ActTarget, Baseline, ClusterStatus, Incident, MESSAGE_CHARACTERS, PushStatus, Role, RolloutStatus,
    RolloutStep, StepKind, StepState, WaitingOn,
};
use crate::observe::{Counts, Member};
use crate::plan::{InFlight, IncidentRecord, Memory, PushRecord, Report, Run};
use crate::types::{DnsLabel, Moment, PodUid, RolloutId, Time};

/// The most steps, attempts, pods of a step and survivors that the schema lets a status have.
const STEPS: usize = 16;
const ATTEMPTS: u32 = 1000;
const DONE: usize = 64;
const TARGETS: usize = 64;
const SURVIVORS: usize = 8;
/// As many sites as a spec may have.
const SITES: usize = 16;
/// The longest id of a run.
const ID_CHARACTERS: usize = 63;
/// The longest subject of a wait.
const SUBJECT_CHARACTERS: usize = 256;

/// The name of a member's pod.
pub(super) fn pod_name(cluster: &str, member: Member) -> Option<DnsLabel> {
    member.pod_name(cluster).parse().ok()
}

/// The run, with the steps of the report.
pub(super) fn rollout(
    cluster: &str,
    run: &Run,
    report: &Report,
    observed: &Observed,
) -> Option<RolloutStatus> {
    let (reason, message) = run.halted.clone().unzip();
    Some(RolloutStatus {
        id: rollout_id(run)?,
        plan_id: run.plan.clone(),
        state: run.state,
        steps: steps(run, report, observed),
        act: run.act.as_ref().and_then(|flight| act(cluster, flight)),
        metas_since_close: run.metas_since_close.then_some(true),
        baseline: run.baseline.map(|(counts, at)| baseline(counts, at)),
        started_at: run.started_at.into(),
        deadline: run.deadline.map(Time::from),
        admitted: run.admitted.then_some(true),
        last_act_at: run.last_act_at.map(Time::from),
        counting_since: run.counting_since.map(Time::from),
        counts_right_since: run.counts_right_since.map(Time::from),
        attempts: (run.attempts > 0).then_some(run.attempts.min(ATTEMPTS)),
        halted: reason,
        message: message.map(|message| cut(&message, MESSAGE_CHARACTERS)),
    })
}

/// `g<generation>-<plan>`: a plan that is longer than an id can be is cut off there; it stands beside it in full.
fn rollout_id(run: &Run) -> Option<RolloutId> {
    let id = format!("g{}-{}", run.generation, run.plan);
    id.chars().take(ID_CHARACTERS).collect::<String>().parse().ok()
}

/// The steps of the report, and those in which something is remembered that the report does not speak of.
fn steps(run: &Run, report: &Report, observed: &Observed) -> Vec<RolloutStep> {
    let present: BTreeSet<&PodUid> = observed.members.iter().filter_map(|m| m.pod_uid.as_ref()).collect();
    let mut remembered: Vec<(StepKind, Role, Vec<PodUid>)> =
        run.done.iter().map(|(role, done)| (StepKind::ChangeRole, *role, uids(done, &present))).collect();
    let refilled = run.refilled.as_ref().map(|done| uids(done, &present));
    remembered.extend(refilled.map(|done| (StepKind::RefillFromSessions, Role::Session, done)));
    let mut steps = Vec::new();
    for told in &report.steps {
        // What was done stands in the first step of its kind and role.
        let of = remembered.iter().position(|(kind, role, _)| *kind == told.kind && Some(*role) == told.role);
        let done = of.map(|index| remembered.remove(index).2);
        steps.push(RolloutStep { kind: told.kind, role: told.role, state: told.state, done });
    }
    steps.extend(remembered.into_iter().map(|(kind, role, done)| RolloutStep {
        kind,
        role: Some(role),
        state: StepState::Done,
        done: Some(done),
    }));
    while steps.len() > STEPS {
        // No plan has so many. What is remembered is kept before what is only shown.
        let last = steps.iter().rposition(|s| s.done.is_none()).unwrap_or(STEPS);
        steps.remove(last);
    }
    steps
}

/// The pods that are done: of more than fit, first those that are there.
fn uids(done: &BTreeSet<PodUid>, present: &BTreeSet<&PodUid>) -> Vec<PodUid> {
    let (here, gone): (Vec<&PodUid>, Vec<&PodUid>) = done.iter().partition(|uid| present.contains(uid));
    let mut kept: Vec<PodUid> = here.into_iter().chain(gone).take(DONE).cloned().collect();
    kept.sort();
    kept
}

/// The act under way; whole or not at all.
fn act(cluster: &str, flight: &InFlight) -> Option<Act> {
    let target = |t: &crate::plan::Target| {
        Some(ActTarget { member: pod_name(cluster, t.member)?, pod_uid: t.uid.clone() })
    };
    let targets: Vec<ActTarget> = flight.act.targets.iter().map(target).collect::<Option<_>>()?;
    (targets.len() <= TARGETS).then_some(())?;
    Some(Act {
        key: key(&flight.act, flight.written_at)?,
        kind: flight.act.kind,
        targets,
        written_at: flight.written_at.into(),
        done_at: flight.done_at.map(Time::from),
    })
}

fn baseline(counts: Counts, at: Moment) -> Baseline {
    let number = |n: u64| Some(i64::try_from(n).unwrap_or(i64::MAX));
    Baseline {
        publishers: number(counts.publishers),
        subscribers: number(counts.subscribers),
        watchers: number(counts.watchers),
        connections: counts.connections.and_then(number),
        ids_with_publishers: None,
        counted_at: at.into(),
    }
}

/// The push switch; absent while nothing is known of it.
pub(super) fn push(record: &PushRecord) -> Option<PushStatus> {
    (*record != PushRecord::default()).then(|| PushStatus {
        state: record.state,
        owner: record.owner,
        since: record.since.into(),
        group: record.group.clone(),
        sites: record.sites.iter().take(SITES).cloned().collect(),
        why: record.why.as_ref().map(|why| cut(why, MESSAGE_CHARACTERS)),
    })
}

/// What is waited for. A subject that is too long is cut off; then its date is that of the same wait in the old status,
/// because the plan does not know it by that name.
pub(super) fn waiting_on(memory: &Memory, old: &ClusterStatus) -> Vec<WaitingOn> {
    let mut list: Vec<WaitingOn> = Vec::new();
    for ((reason, subject), since) in &memory.waiting {
        let name = cut(subject, SUBJECT_CHARACTERS);
        if list.len() >= WAITS || list.iter().any(|w| w.reason == *reason && w.subject == name) {
            continue;
        }
        let before = old.waiting_on.iter().find(|w| w.reason == *reason && w.subject == name);
        let since = match before {
            Some(before) if name != *subject => before.since.clone(),
            _ => Time::from(*since),
        };
        list.push(WaitingOn { reason: *reason, subject: name, since });
    }
    list
}

/// What needs a person's confirmation.
pub(super) fn incident(cluster: &str, record: &IncidentRecord) -> Incident {
    let survivors = record.survivors.iter().take(SURVIVORS);
    Incident {
        id: record.id.chars().take(ID_CHARACTERS).collect(),
        reason: record.reason,
        since: record.since.into(),
        survivors: survivors.filter_map(|member| pod_name(cluster, *member)).collect(),
    }
}
