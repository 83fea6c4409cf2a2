//! What the targets of all kinds have in common: the id of a plan, whether it may begin, and what has to hold at its end.
//!
//! May import `types`, `api` and the types of `validate`.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::admission::Admission;
use super::fingerprint::fingerprint;
use super::registry::{RoleTarget, VerifyRule};
use crate::api::v1alpha1::{Approval, Role};
use crate::types::{Moment, PlanId};
use crate::validate::{RolloutRules, ValidCluster, WindowVerdict};

/// A hash of the templates and replicas only: the same target has the same id tomorrow, whatever is observed. The roles are
/// in the order of the kind, which never changes.
pub(crate) fn plan_id<'a>(roles: impl IntoIterator<Item = (Role, &'a RoleTarget)>) -> PlanId {
    let mut text = String::new();
    for (role, target) in roles {
        let _ = writeln!(text, "{} {} {}", role.field(), target.replicas, target.revision);
    }
    // A fingerprint is 16 digits, and every 16 digits are an id.
    PlanId::from_hash(u64::from_str_radix(&fingerprint(&text), 16).unwrap_or_default())
}

/// Window and approval: a person is asked first, so that the plan is approved when its window opens.
pub(crate) fn admission(rules: &RolloutRules, plan: &PlanId, now: Moment) -> Admission {
    if rules.approval == Approval::Manual && rules.approved.as_ref() != Some(plan) {
        return Admission::Approval;
    }
    let Ok(now) = Timestamp::from_millisecond(now.as_millis()) else { return Admission::Window(None) };
    match rules.windows.verdict(now) {
        WindowVerdict::Open { .. } => Admission::Open,
        WindowVerdict::Closed { opens_at } => {
            Admission::Window(opens_at.map(|at| Moment::from_millis(at.as_millisecond())))
        }
    }
}

/// What has to hold before a rollout is over.
pub(crate) const fn verify_rule(rules: &RolloutRules) -> VerifyRule {
    let verify = rules.verify;
    VerifyRule { percent: verify.percent, timeout: verify.timeout, on_timeout: verify.on_timeout }
}

/// The longest that any role may take to start.
pub(crate) fn start_budget(valid: &impl ValidCluster) -> Duration {
    valid.components().iter().map(|c| c.probes.startup_timeout).max().unwrap_or_default()
}
