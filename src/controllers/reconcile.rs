//! One reconcile: read, decide, do, write down. Whatever fails ends it; the next one observes first.
//!
//! It looks by the caches first, but for an act that is written down and to be done. If that look would change anything at all, it
//! looks again past them, and only by that look is anything written.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::clock::now;
use super::context::Context;
use super::drm::Drm;
use super::gather::Source;
use super::kind::{Kind, Planned};
use super::look::{Looked, look};
use super::ports::{KubePorts, is_held, let_go, take_hold, was_seen_with};
use super::publish::publish;
use super::registry::Registry;
use super::scheduler::Schedulers;
use crate::api::v1alpha1::{ClusterStatus, PushOwner, RolloutState};
use crate::build::{Build, Objects, StatefulSetChange, role_name};
use crate::effects::{self, Did, Failure, Outcome, Recorded};
use crate::kube_io::{ChildKey, KubeError, kind, surplus};
use crate::plan::{Command, Memory, Report, Wake};
use crate::render;
use crate::status::{Subject, news, refused_write, stalled_by, waits_for, warned};
use crate::types::{Moment, fingerprint};
use crate::validate::{ClusterKind, Invalid, ValidCluster};

/// What came of a reconcile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconciled {
    /// When to look again, if nothing happens before. `None`: when something happens.
    pub again: Option<Duration>,
    /// Whether it is looked again sooner than that where nobody else waits for a worker.
    pub hurries: bool,
    /// Whether nothing was looked at, because what is seen does not count yet.
    pub too_early: bool,
}

impl Reconciled {
    const fn when(again: Option<Duration>) -> Self {
        Self { again, hurries: false, too_early: false }
    }
}

/// The pace where nobody should wait for long.
pub(super) const HURRIED_PACE: Duration = Duration::from_millis(300);
/// A moment is rounded up by less than this.
const LONGEST_ROUNDING: Duration = Duration::from_secs(1);

/// The object of a cluster, past every cache.
async fn read<K: Kind>(context: &Context, namespace: &str, name: &str) -> Result<Option<Value>, KubeError> {
    let mut found = context.objects.get(&kind::<K::Object>(), namespace, name).await?;
    if let Some(meta) = found.as_mut().and_then(|object| object.get_mut("metadata")?.as_object_mut()) {
        meta.remove("managedFields");
    }
    Ok(found)
}

/// One reconcile.
///
/// # Errors
/// The first thing that could not be read or done.
pub(super) async fn reconcile<K: Kind>(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Reconciled, Failure> {
    let (key, started) = ((K::KIND, namespace.to_owned(), name.to_owned()), Instant::now());
    let Some(mut object) = read::<K>(context, namespace, name).await? else {
        forget(context, &key);
        return Ok(Reconciled::when(None));
    };
    let own = Recorded::of(&object);
    match (own.deleting, is_held(&object)) {
        (true, false) => {
            forget(context, &key);
            return Ok(Reconciled::when(None));
        }
        (false, false) => object = take_hold::<K>(context, &object).await?,
        (_, true) => {}
    }
    if let Some(span) = until_facts_count(&own.status) {
        return Ok(Reconciled { too_early: true, ..Reconciled::when(Some(span)) });
    }
    let past_the_caches = is_acting(&own) || is_under_way(&own) && context.listings.is_due(&key, now());
    if !past_the_caches {
        let looked = look::<K>(context, &object, Source::Cache).await?;
        if let Looked::Planned(planned) = &looked
            && changes_nothing(context, planned)?
        {
            context.metrics.noted(&planned.valid.common().identity, &planned.own.status);
            let mut done = again(context, planned, None);
            // Where a look itself takes long, more of them would only be in each other's way.
            done.hurries &= started.elapsed() < HURRIED_PACE;
            return Ok(done);
        }
    }
    let began = now();
    let looked = look::<K>(context, &object, Source::Server).await?;
    let quick = started.elapsed() < HURRIED_PACE;
    let mut done = match looked {
        Looked::Invalid(problems) => refuse::<K>(context, &object, &own, &problems).await?,
        Looked::Missing(valid) => {
            let status = waits_for(&valid.common().waiting, &own.status, own.generation, now());
            write(context, &object, &own.status, &status).await?;
            Reconciled::when(Some(context.settings.fast_pace * 5))
        }
        Looked::Planned(planned) => act(context, &object, &planned).await?,
    };
    done.hurries &= quick;
    if done.again.is_none() {
        forget(context, &key);
    } else {
        // Only now: what could not be written is not tried again by the caches.
        context.listings.note(key, began);
    }
    Ok(done)
}

/// A cluster is gone: its object will not be asked for again.
fn forget(context: &Context, key: &(ClusterKind, String, String)) {
    context.listings.forget(key);
    context.metrics.forget(key.0, &key.1, &key.2);
}

/// Whether an act is written down and not done, the spec is new, or the cluster ends: it will hardly be waited.
fn is_acting(own: &Recorded) -> bool {
    let act = own.status.rollout.as_ref().and_then(|r| r.act.as_ref());
    let is_new = own.status.observed_generation != Some(own.generation);
    own.deleting || is_new || act.is_some_and(|act| act.done_at.is_none())
}

/// Whether something is under way.
fn is_under_way(own: &Recorded) -> bool {
    let status = &own.status;
    let runs = status.rollout.as_ref().is_some_and(|r| r.state != RolloutState::Done);
    let holds = status.push.as_ref().is_some_and(|p| p.owner == Some(PushOwner::Operator));
    own.deleting || runs || holds || status.incident.is_some()
}

/// What is seen before the last act counts for nothing, and that moment is kept in full seconds, rounded up: a look before it
/// would be in vain. `None`: it is over.
fn until_facts_count(status: &ClusterStatus) -> Option<Duration> {
    let last = Moment::from(status.rollout.as_ref()?.last_act_at.as_ref()?);
    let left = last.since(now());
    // A clock that was set back is not waited for.
    (!left.is_zero() && left <= LONGEST_ROUNDING).then(|| left + Duration::from_millis(1))
}

impl<K: Kind> Planned<K> {
    /// Whose status it is.
    pub(super) fn subject(&self) -> Subject<'_> {
        let common = self.valid.common();
        Subject {
            cluster: &common.identity.name,
            generation: self.own.generation,
            now: self.at,
            deleting: self.own.deleting,
            paused: common.paused,
            warnings: &common.warnings,
            missing: &common.waiting,
        }
    }
}

/// Whether there is nothing to do, nothing to write down, and everything that was made is as it was made.
fn changes_nothing<K: Kind>(context: &Context, planned: &Planned<K>) -> Result<bool, Failure> {
    let decision = &planned.decision;
    let idle = decision.command.is_none()
        && decision.genesis.is_none()
        && decision.group.is_none()
        && decision.marks.is_empty()
        && !decision.finished
        && planned.growth.is_empty();
    if !idle || !is_under_way(&planned.own) && K::is_beginning(&planned.world) {
        return Ok(false);
    }
    if K::status(planned, &decision.report, &decision.memory, &planned.own.status) != planned.own.status {
        return Ok(false);
    }
    all_right(context, planned, &planned.valid.build(&decision.desired))
}

/// Whether all of these are known to be as they are wanted, and nothing is there that is no longer wanted.
fn all_right<K: Kind>(context: &Context, planned: &Planned<K>, objects: &Objects) -> Result<bool, Failure> {
    let mut wanted = Vec::new();
    for object in objects.to_json().map_err(|e| Failure::Refused(e.to_string()))? {
        let key = ChildKey::of(&object)?;
        if !context.ledger.is_right(&key, &fingerprint(&object.to_string())) {
            return Ok(false);
        }
        wanted.push(key);
    }
    let identity = &planned.valid.common().identity;
    if !surplus(&context.ledger, &identity.namespace, &planned.own.uid, &wanted).is_empty() {
        return Ok(false);
    }
    let seen = K::kubernetes(&planned.world);
    Ok(objects.stateful_sets.iter().all(|change| match change {
        StatefulSetChange::Full(_) => true,
        StatefulSetChange::Replicas { name, replicas } => {
            was_seen_with(seen, &identity.name, name, *replicas)
        }
    }))
}

/// Does what was decided.
async fn act<K: Kind>(
    context: &Context,
    object: &Value,
    planned: &Planned<K>,
) -> Result<Reconciled, Failure> {
    let decision = &planned.decision;
    let cluster = &planned.valid.common().identity.name;
    let scaled = match &decision.command {
        Some(Command::Scale { role, .. }) => Some(role_name(cluster, *role)),
        _ => None,
    };
    if let Some(command) = &decision.command {
        tracing::info!(act = render::command_sentence(command), "an act");
    }
    let status =
        |report: &Report, memory: &Memory, old: &ClusterStatus| K::status(planned, report, memory, old);
    let turn = effects::Turn {
        seen: &planned.own,
        decision,
        objects: planned.valid.build(&decision.desired),
        scaled,
        status: &status,
    };
    let mut ports = KubePorts { context, object, planned, written: None };
    let began = Instant::now();
    let outcome = match effects::run(turn, &mut ports).await {
        Err(Failure::Refused(why)) => {
            let status = refused_write(&why, &planned.own.status, planned.own.generation, planned.at);
            write(context, object, &planned.own.status, &status).await?;
            return Err(Failure::Refused(why));
        }
        other => other?,
    };
    match &outcome.did {
        Did::Refused(why) => tracing::warn!(why, "an act was refused"),
        Did::Outdated(why) => tracing::info!(why, "an act was not done: it is decided again"),
        Did::Accepted => tracing::info!(seconds = began.elapsed().as_secs_f64(), "the act was accepted"),
        Did::Nothing => {}
    }
    let common = planned.valid.common();
    let written = ports.written.take();
    context.metrics.noted(&common.identity, written.as_ref().unwrap_or(&planned.own.status));
    if let Some(new) = written {
        let mut told = warned(&planned.own.status, &new, &common.warnings);
        told.extend(news(&planned.own.status, &new));
        publish(context, object, told).await;
    }
    Ok(again(context, planned, Some(&outcome)))
}

/// When to look again.
fn again<K: Kind>(context: &Context, planned: &Planned<K>, outcome: Option<&Outcome>) -> Reconciled {
    let settings = &context.settings;
    let span = match (outcome, planned.decision.wake) {
        (Some(Outcome { did: Did::Outdated(_), .. }), _) => Duration::from_millis(50),
        (_, Wake::Now) => Duration::from_millis(1),
        (_, Wake::Hurried | Wake::Soon) => settings.fast_pace,
        (_, Wake::Slowly) => jittered(settings.slow_pace, &planned.own.uid),
        (_, Wake::At(at)) => at.since(now()).clamp(Duration::from_millis(50), settings.slow_pace),
    };
    if planned.decision.finished && outcome.is_some() {
        return Reconciled::when(None);
    }
    // What was refused is not sent again that fast.
    let refused = matches!(outcome, Some(Outcome { did: Did::Refused(_) | Did::Outdated(_), .. }));
    Reconciled { hurries: planned.decision.wake == Wake::Hurried && !refused, ..Reconciled::when(Some(span)) }
}

/// A pace that differs by up to a tenth from cluster to cluster: hundreds are not looked at in one moment.
fn jittered(pace: Duration, uid: &str) -> Duration {
    let digits = u32::from_str_radix(&fingerprint(uid)[..4], 16).unwrap_or_default();
    pace.mul_f64(0.9 + 0.2 * f64::from(digits) / 65_536.0)
}

/// A spec that is wrong: it says so. An object that is being deleted goes: nothing could be ended in order by such a spec.
async fn refuse<K: Kind>(
    context: &Context,
    object: &Value,
    own: &Recorded,
    problems: &[Invalid],
) -> Result<Reconciled, Failure> {
    if own.deleting {
        let_go::<K>(context, object).await?;
        return Ok(Reconciled::when(None));
    }
    let status = stalled_by(problems, &own.status, own.generation, now());
    write(context, object, &own.status, &status).await?;
    // The servers that run are looked at again when the spec is corrected.
    Ok(Reconciled::when(Some(context.settings.slow_pace)))
}

async fn write(
    context: &Context,
    object: &Value,
    old: &ClusterStatus,
    new: &ClusterStatus,
) -> Result<(), Failure> {
    if old == new {
        return Ok(());
    }
    let mut next = object.clone();
    next["status"] = serde_json::to_value(new).map_err(|e| Failure::Refused(e.to_string()))?;
    context.objects.replace_status(&next).await?;
    publish(context, object, news(old, new)).await;
    Ok(())
}

/// The plan of a cluster as JSON, as the operator would decide now. Nothing is done. `kind`: only of this kind; else the first
/// that has this name. `None`: there is no such cluster.
///
/// # Errors
/// What could not be read, in words.
pub async fn explain(
    context: &Context,
    kind: Option<ClusterKind>,
    namespace: &str,
    name: &str,
) -> Result<Option<String>, String> {
    let is_asked = |of| kind.is_none_or(|kind| kind == of);
    let mut found = None;
    if is_asked(ClusterKind::Registry) {
        found = Box::pin(explain_one::<Registry>(context, namespace, name)).await?;
    }
    if found.is_none() && is_asked(ClusterKind::Drm) {
        found = Box::pin(explain_one::<Drm>(context, namespace, name)).await?;
    }
    if found.is_none() && is_asked(ClusterKind::Scheduler) {
        found = Box::pin(explain_one::<Schedulers>(context, namespace, name)).await?;
    }
    Ok(found)
}

async fn explain_one<K: Kind>(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<String>, String> {
    let Some(object) = read::<K>(context, namespace, name).await.map_err(|e| e.to_string())? else {
        return Ok(None);
    };
    Ok(Some(match look::<K>(context, &object, Source::Server).await.map_err(|e| e.to_string())? {
        Looked::Planned(planned) => render::json(&planned.decision),
        Looked::Invalid(problems) => {
            json!({"invalid": problems.iter().map(ToString::to_string).collect::<Vec<_>>()}).to_string()
        }
        Looked::Missing(valid) => {
            let missing = valid.common().waiting.iter().map(|m| format!("{}: {}", m.subject, m.message));
            json!({"missing": missing.collect::<Vec<_>>()}).to_string()
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cluster whose status is this, with the spec that it was written for.
    fn recorded(mut status: Value) -> Recorded {
        status["observedGeneration"] = json!(3);
        Recorded::of(&json!({
            "metadata": {"name": "prod", "namespace": "pay", "uid": "u", "generation": 3, "resourceVersion": "7"},
            "status": status,
        }))
    }

    fn run(state: &str, act: Value) -> Value {
        let begun = "2026-11-26T10:00:00Z";
        let mut run = json!({"id": "g3-0123456789abcdef", "planId": "0123456789abcdef", "state": state, "steps": [], "startedAt": begun});
        if !act.is_null() {
            run["act"] = act;
        }
        json!({ "rollout": run })
    }

    /// The caches are passed at once where they would hardly do, and believed for a while where something is under way.
    #[test]
    fn what_is_acting_and_what_is_under_way() {
        let at = "2026-11-26T10:00:00Z";
        let written = json!({"key": "g3-0123456789abcdef", "kind": "ClosePush", "writtenAt": at});
        let done = json!({"key": "g3-0123456789abcdef", "kind": "ClosePush", "writtenAt": at, "doneAt": at});
        let cases = [
            (json!({}), false, false),
            (run("Done", Value::Null), false, false),
            (run("Gating", Value::Null), false, true),
            (run("Verifying", done), false, true),
            (run("Acting", written), true, true),
            (json!({"push": {"owner": "Operator", "state": "Closed", "since": at}}), false, true),
        ];
        for (status, acting, under_way) in cases {
            let own = recorded(status.clone());
            assert_eq!((is_acting(&own), is_under_way(&own)), (acting, under_way), "{status}");
        }
        let mut new = recorded(json!({}));
        new.generation = 4;
        assert!(is_acting(&new) && !is_under_way(&new));
        new.deleting = true;
        assert!(is_acting(&new) && is_under_way(&new));
    }
}
