//! How changes are rolled out, and who may reach what: what all kinds share.
//!
//! May import `types`, `api` and the other modules of `validate`.

use std::time::Duration;

use super::input::Context;
use super::problem::Notes;
use super::sentences;
use super::valid::{NetworkRules, RolloutRules, VerifyRules};
use super::windows::Windows;
use crate::api::v1alpha1::{Approval, NetworkPolicySpec, RolloutPolicy, name_rule};
use crate::types::Cidr;

const PERCENT: u32 = 90;
const TIMEOUT: Duration = Duration::from_mins(20);
/// The shortest and the longest time in which clients have to be back.
const TIMEOUTS: [Duration; 2] = [Duration::from_mins(1), Duration::from_hours(24)];

/// The rollout policy with everything resolved.
pub(super) fn rollout(spec: Option<&RolloutPolicy>, notes: &mut Notes) -> RolloutRules {
    let empty = RolloutPolicy::default();
    let spec = spec.unwrap_or(&empty);
    let windows = Windows::read(spec.windows.as_deref().unwrap_or_default()).unwrap_or_else(|wrong| {
        for (index, bad) in wrong {
            notes.wrong(format!("rollout.windows[{index}].{}", bad.field()), bad.to_string());
        }
        Windows::default()
    });
    let approval = spec.approval.unwrap_or_default();
    if approval == Approval::Automatic && spec.approved.is_some() {
        notes.warn(
            "rollout.approved",
            "rollout.approved is read with approval: Manual only: remove it, or set approval",
        );
    }
    RolloutRules {
        strategy: spec.strategy.unwrap_or_default(),
        approval,
        approved: spec.approved.clone().filter(|_| approval == Approval::Manual),
        windows,
        verify: verify(spec, notes),
    }
}

fn verify(spec: &RolloutPolicy, notes: &mut Notes) -> VerifyRules {
    let verify = spec.verify.clone().unwrap_or_default();
    let timeout = verify.timeout.map_or(TIMEOUT, |timeout| timeout.length());
    if timeout < TIMEOUTS[0] || timeout > TIMEOUTS[1] {
        notes.wrong("rollout.verify.timeout", sentences::VERIFY_TIMEOUT);
    }
    let percent = verify.min_recovery_percent.unwrap_or(PERCENT);
    if !(1..=100).contains(&percent) {
        notes.wrong(
            "rollout.verify.minRecoveryPercent",
            "rollout.verify.minRecoveryPercent must be from 1 to 100: correct it, or leave it out for 90",
        );
    }
    VerifyRules { percent, timeout, on_timeout: verify.on_timeout.unwrap_or_default() }
}

/// Who may reach the ports that know no password.
pub(super) fn network(
    spec: Option<&NetworkPolicySpec>,
    sites: impl Iterator<Item = Cidr>,
    context: &Context,
    notes: &mut Notes,
) -> NetworkRules {
    let extra_from = spec.and_then(|spec| spec.extra_from.clone()).unwrap_or_default();
    for (index, peer) in extra_from.iter().enumerate() {
        let pods = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
        if peer.ip_block.is_some() == pods {
            notes.wrong(
                format!("networkPolicy.extraFrom[{index}]"),
                "an entry of networkPolicy.extraFrom is either an ipBlock, or a podSelector and/or a \
                 namespaceSelector: give one of them, and make two entries for both",
            );
        }
    }
    let mut cidrs: Vec<_> = sites.collect();
    cidrs.sort();
    cidrs.dedup();
    let mut referrers = context.environment.referrers.clone();
    referrers.sort();
    referrers.dedup();
    NetworkRules {
        operator_namespace: context.environment.operator_namespace.clone(),
        referrers,
        cidrs,
        extra_from,
    }
}

/// Notes a name that no Service could have.
pub(super) fn name(context: &Context, notes: &mut Notes) {
    let name = &context.identity.name;
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let ends = name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-');
    if !plain || !ends || name.len() > 40 {
        notes.wrong("metadata.name", name_rule().message);
    }
}
