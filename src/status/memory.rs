//! What a plan remembers, read from a status. What is not understood is left out: a status that is damaged, or of another
//! operator, never makes an act, nor push that is ours to open.
//!
//! May import `types`, `api`, `observe` and `plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::act::key;
use crate::api::v1alpha1::{
    self as api, ClusterStatus, MemberStatus, PushStatus, Role, RolloutStatus, RolloutStep, StepKind,
};
use crate::observe::{Counts, Member};
use crate::plan::{Act, InFlight, IncidentRecord, Memory, PushRecord, Run, Target};
use crate::types::{DnsLabel, Moment, PodUid};

/// No spec has this generation: a run whose own cannot be read is one of another spec, and a new one takes it over.
const NO_GENERATION: i64 = 0;

/// What the plan of this cluster remembers.
#[must_use]
pub fn memory_of(cluster: &str, status: &ClusterStatus) -> Memory {
    Memory {
        run: status.rollout.as_ref().map(|rollout| run(cluster, rollout)),
        push: status.push.as_ref().map(push).unwrap_or_default(),
        incident: status.incident.as_ref().and_then(|i| incident(cluster, i)),
        last_leader: status.last_leader.as_ref().and_then(|name| member(cluster, name)),
        known_as: status.members.iter().filter_map(|m| known_as(cluster, m)).collect(),
        waiting: status
            .waiting_on
            .iter()
            .map(|w| ((w.reason, w.subject.clone()), Moment::from(&w.since)))
            .collect(),
    }
}

fn member(cluster: &str, name: &DnsLabel) -> Option<Member> {
    Member::of_pod(cluster, name.as_str())
}

fn known_as(cluster: &str, status: &MemberStatus) -> Option<(Member, Ipv4Addr)> {
    let member = member(cluster, &status.name).filter(|m| m.role == status.role)?;
    Some((member, status.known_as.as_ref()?.as_str().parse().ok()?))
}

fn run(cluster: &str, status: &RolloutStatus) -> Run {
    let moment = |time: &Option<crate::types::Time>| time.as_ref().map(Moment::from);
    Run {
        plan: status.plan_id.clone(),
        generation: generation(status).unwrap_or(NO_GENERATION),
        state: status.state,
        admitted: status.admitted.unwrap_or_default(),
        act: status.act.as_ref().and_then(|a| in_flight(cluster, a)),
        attempts: status.attempts.unwrap_or_default(),
        deadline: moment(&status.deadline),
        last_act_at: moment(&status.last_act_at),
        baseline: status.baseline.as_ref().map(|b| (counts(b), Moment::from(&b.counted_at))),
        done: done(&status.steps),
        metas_since_close: status.metas_since_close.unwrap_or_default(),
        refilled: status.steps.iter().filter(|s| s.kind == StepKind::RefillFromSessions).find_map(uids),
        counting_since: moment(&status.counting_since),
        counts_right_since: moment(&status.counts_right_since),
        started_at: Moment::from(&status.started_at),
        halted: status.halted.map(|reason| (reason, status.message.clone().unwrap_or_default())),
    }
}

/// The generation in `g<generation>-<plan>`, if the rest is the plan's id, or what of it fits.
fn generation(status: &RolloutStatus) -> Option<i64> {
    let (generation, plan) = status.id.as_str().strip_prefix('g')?.rsplit_once('-')?;
    let is_its = !plan.is_empty() && status.plan_id.as_str().starts_with(plan);
    is_its.then(|| generation.parse().ok())?
}

/// An act, whole or not at all: each of its members is one of this cluster, and its key is the hash of what it says.
fn in_flight(cluster: &str, status: &api::Act) -> Option<InFlight> {
    let target =
        |t: &api::ActTarget| Some(Target { member: member(cluster, &t.member)?, uid: t.pod_uid.clone() });
    let targets = status.targets.iter().map(target).collect::<Option<_>>()?;
    let act = Act { kind: status.kind, targets };
    let written_at = Moment::from(&status.written_at);
    (key(&act, written_at)? == status.key).then(|| InFlight {
        act,
        written_at,
        done_at: status.done_at.as_ref().map(Moment::from),
    })
}

/// A number that is not there, or is none, asks for nothing to come back.
fn counts(status: &api::Baseline) -> Counts {
    let number = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
    Counts {
        publishers: number(status.publishers).unwrap_or_default(),
        subscribers: number(status.subscribers).unwrap_or_default(),
        watchers: number(status.watchers).unwrap_or_default(),
        connections: number(status.connections),
    }
}

fn done(steps: &[RolloutStep]) -> BTreeMap<Role, BTreeSet<PodUid>> {
    let changes = steps.iter().filter(|s| s.kind == StepKind::ChangeRole);
    changes.filter_map(|s| Some((s.role?, uids(s)?))).collect()
}

fn uids(step: &RolloutStep) -> Option<BTreeSet<PodUid>> {
    step.done.as_ref().map(|done| done.iter().cloned().collect())
}

fn push(status: &PushStatus) -> PushRecord {
    PushRecord {
        state: status.state,
        owner: status.owner,
        since: Moment::from(&status.since),
        group: status.group.clone(),
        sites: status.sites.iter().cloned().collect(),
        why: status.why.clone(),
    }
}

fn incident(cluster: &str, status: &api::Incident) -> Option<IncidentRecord> {
    (!status.id.is_empty()).then(|| IncidentRecord {
        id: status.id.clone(),
        reason: status.reason,
        since: Moment::from(&status.since),
        survivors: status.survivors.iter().filter_map(|name| member(cluster, name)).collect(),
    })
}
