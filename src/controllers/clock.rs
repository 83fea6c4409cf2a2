//! The one place where the wall clock is read for a decision.

use k8s_openapi::jiff::Timestamp;

use crate::types::Moment;

/// Now.
#[must_use]
pub(super) fn now() -> Moment {
    Moment::from_millis(Timestamp::now().as_millisecond())
}
