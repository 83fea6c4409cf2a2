//! How a change is rolled out: in which groups, who approves it, when, and what has to hold after it.
//!
//! May import `types` and `cel`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cel::{CelRule, attach};
use crate::types::{CronText, PlanId, Span, TimeZone};

/// How a change is rolled out. Window and approval are asked once, before push is closed, and between roles only where
/// push is reopened in between: none of them holds push closed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutPolicy {
    /// How many servers of a role at once. Absent: `OneByOne`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Whether a person has to approve a plan before its first act. Absent: `Automatic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// The id of the plan that is approved, from `status.rollout.planId`: a hash of the target, so that it approves
    /// that target and no other. Read only with `approval: Manual`. Absent: none is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<PlanId>,
    /// When a rollout may begin. Absent or empty: at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub windows: Option<Vec<Window>>,
    /// What has to hold before push is opened again. Absent: 90 percent, within `20m`, else `Hold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<VerifyPolicy>,
}

/// How many servers of a role are changed at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// One, then the next.
    #[default]
    OneByOne,
    /// Half of them, then the other half: for SessionServers, drmdata, consoles and AntScheduler. MetaServers,
    /// DataServers and PowerJob always go one by one.
    TwoGroups,
}

/// Who lets a rollout begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Approval {
    /// The operator.
    #[default]
    Automatic,
    /// A person, by `approved`.
    Manual,
}

/// A time in which a rollout may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = window_rules)]
pub struct Window {
    /// When it opens: five fields of cron, such as `30 1 * * 2-4`.
    pub cron: CronText,
    /// How long it stays open, such as `3h`: from `1m` to `168h`.
    pub duration: Span,
    /// The time zone of `cron`, such as `Asia/Shanghai`. Absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<TimeZone>,
}

fn window_rules(schema: &mut schemars::Schema) {
    attach(
        schema,
        &[CelRule::new(
            ".duration",
            "duration(self.duration) >= duration('1m') && duration(self.duration) <= duration('168h')",
            "the duration of a window must be from 1m to 168h (a week): for any time, leave out rollout.windows",
        )],
    );
}

/// What has to hold before push is opened again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = verify_rules)]
pub struct VerifyPolicy {
    /// So many percent of the publishers, subscribers and watchers before the rollout have to be back. Absent: 90.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub min_recovery_percent: Option<u32>,
    /// How long the operator waits for them, from the start of `VerifyCounts`: from `1m` to `24h`. Absent: `20m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// What it does then. Absent: `Hold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<OnTimeout>,
}

fn verify_rules(schema: &mut schemars::Schema) {
    attach(
        schema,
        &[CelRule::new(
            ".timeout",
            "!has(self.timeout) || (duration(self.timeout) >= duration('1m')
             && duration(self.timeout) <= duration('24h'))",
            "rollout.verify.timeout must be from 1m to 24h: clients need their time to come back, and push stays \
             closed meanwhile",
        )],
    );
}

/// What happens when not enough clients have come back in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnTimeout {
    /// Push stays closed until a person decides.
    #[default]
    Hold,
    /// Push is opened, unless the DataServers hold fewer publishers than before: an id may have lost all of its own then.
    Reopen,
}
