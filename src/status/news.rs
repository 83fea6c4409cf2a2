//! What has happened between two statuses, as Events tell it: each transition once, because a status that is equal is never
//! written.
//!
//! May import `types`, `api` and `validate` (types).

use crate::api::v1alpha1::{
    ActKind, ClusterStatus, Condition, ConditionStatus, ConditionType, PushOwner, PushState, Reason,
};
use crate::validate::Warning;

/// One thing that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Whether somebody should look.
    pub weight: Weight,
    /// In one word.
    pub reason: String,
    /// What the operator did or does: one word.
    pub action: &'static str,
    /// In a sentence.
    pub note: String,
}

/// Whether somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It is told and no more.
    Normal,
    /// Somebody should look.
    Warning,
}

/// What has happened.
#[must_use]
pub fn news(old: &ClusterStatus, new: &ClusterStatus) -> Vec<News> {
    let mut all: Vec<News> = act(old, new).into_iter().collect();
    all.extend(push(old, new));
    all.extend(halted(old, new));
    all.extend(new.conditions.iter().filter_map(|condition| of_condition(old, condition)));
    all
}

/// What a new spec asks for that is allowed and yet not good, once for each generation. What degrades is told by a condition.
#[must_use]
pub fn warned(old: &ClusterStatus, new: &ClusterStatus, warnings: &[Warning]) -> Vec<News> {
    if old.observed_generation == new.observed_generation {
        return Vec::new();
    }
    let told = warnings.iter().filter(|w| w.degrades.is_none());
    told.map(|w| News {
        weight: Weight::Warning,
        reason: "SpecWarning".to_owned(),
        action: "Validate",
        note: format!("spec.{}: {}", w.field, w.message),
    })
    .collect()
}

/// An act that was done.
fn act(old: &ClusterStatus, new: &ClusterStatus) -> Option<News> {
    let done = |status: &ClusterStatus| {
        let act = status.rollout.as_ref()?.act.as_ref()?;
        act.done_at.as_ref().map(|_| act.clone())
    };
    let (now, before) = (done(new)?, done(old));
    if before.is_some_and(|b| b.key == now.key) {
        return None;
    }
    let whom: Vec<&str> = now.targets.iter().map(|t| t.member.as_str()).collect();
    let whom = if whom.is_empty() { String::new() } else { format!(": {}", whom.join(", ")) };
    let note = match now.kind {
        ActKind::DisableRenew => "renewal of snapshots is switched off: this version loses publishers by it when a client \
                                  publishes one of several again; spec.workarounds.renewSwitch: Never keeps it on"
            .to_owned(),
        kind => format!("{}{whom}", sentence(kind)),
    };
    Some(News { weight: Weight::Normal, reason: format!("{:?}", now.kind), action: "Act", note })
}

const fn sentence(kind: ActKind) -> &'static str {
    match kind {
        ActKind::ReleasePods => "let in",
        ActKind::RestartPods => "restarted for the rollout",
        ActKind::RepairPod => "restarted because it did not work",
        ActKind::RefillSession => "restarted so that clients register again what the DataServers have lost",
        ActKind::ClosePush => "push is told to close",
        ActKind::OpenPush => "push is told to open",
        ActKind::ChangePeer => "the metas are told who they are",
        ActKind::ResetPeer => "made a group of its own, for the others to join",
        ActKind::ScaleUp => "one more server of a role",
        ActKind::ScaleDown => "one server of a role less",
        ActKind::DisableRenew => "renewal of snapshots is switched off",
        ActKind::ClearBlacklist => {
            "addresses that never return are taken off the list of those that are kept out"
        }
        ActKind::PreRegister => "the next owner was told of the workers",
        ActKind::MoveApp => "apps were moved to another server",
        ActKind::RetryLost => "instances that were lost are run again",
    }
}

fn push(old: &ClusterStatus, new: &ClusterStatus) -> Option<News> {
    let state = |status: &ClusterStatus| status.push.as_ref().map(|p| p.state);
    let now = new.push.as_ref()?;
    if state(old) == Some(now.state) {
        return None;
    }
    let (weight, reason, note) = match (now.state, now.owner) {
        (PushState::Closed, Some(PushOwner::Operator)) => {
            (Weight::Normal, "PushClosed", "push is closed on every SessionServer, by the operator")
        }
        (PushState::Closed, Some(PushOwner::Spec)) => (
            Weight::Normal,
            "PushClosed",
            "push is closed on every SessionServer, because spec.push.hold is set",
        ),
        (PushState::Closed, _) => (
            Weight::Warning,
            "PushClosed",
            "push is closed, and not by the operator: it stays so until a person opens it",
        ),
        (PushState::Open, _) if state(old).is_some_and(|before| before != PushState::Unknown) => {
            (Weight::Normal, "PushOpened", "push is open on every SessionServer")
        }
        _ => return None,
    };
    Some(News { weight, reason: reason.to_owned(), action: "Push", note: note.to_owned() })
}

fn halted(old: &ClusterStatus, new: &ClusterStatus) -> Option<News> {
    let reason = |status: &ClusterStatus| status.rollout.as_ref().and_then(|r| r.halted);
    let now = reason(new)?;
    if reason(old) == Some(now) {
        return None;
    }
    let message = new.rollout.as_ref().and_then(|r| r.message.clone()).unwrap_or_default();
    Some(News { weight: Weight::Warning, reason: format!("{now:?}"), action: "Halt", note: message })
}

fn of_condition(old: &ClusterStatus, now: &Condition) -> Option<News> {
    let before = old.conditions.iter().find(|c| c.kind == now.kind);
    if before.is_some_and(|b| b.status == now.status && b.reason == now.reason) {
        return None;
    }
    let was = |status| before.is_some_and(|b| b.status == status);
    let (weight, action) = match (now.kind, now.status) {
        (ConditionType::Stalled, ConditionStatus::True) => (Weight::Warning, "Stall"),
        (ConditionType::Degraded, ConditionStatus::True) => (Weight::Warning, "Observe"),
        (ConditionType::Available, ConditionStatus::False) if was(ConditionStatus::True) => {
            (Weight::Warning, "Observe")
        }
        (ConditionType::Available | ConditionType::Ready, ConditionStatus::True)
            if !was(ConditionStatus::True) =>
        {
            (Weight::Normal, "Observe")
        }
        (ConditionType::Paused, ConditionStatus::True) => (Weight::Normal, "Pause"),
        (ConditionType::Progressing, _) if waits_for_a_person(now.reason) => (Weight::Normal, "Wait"),
        (ConditionType::Ready, ConditionStatus::False) if now.reason == Reason::ReferenceNotFound => {
            (Weight::Warning, "Wait")
        }
        _ => return None,
    };
    Some(News { weight, reason: format!("{:?}", now.reason), action, note: now.message.clone() })
}

const fn waits_for_a_person(reason: Reason) -> bool {
    matches!(reason, Reason::WaitingForApproval | Reason::WaitingForWindow)
}
