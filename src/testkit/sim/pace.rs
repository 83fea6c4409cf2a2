//! How a simulated operator waits and what it says, whatever its kind.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::api::v1alpha1::ActKind;
use crate::effects::{Did, Failure, Outcome};
use crate::plan::{Decision, Wake};
use crate::testkit::Millis;
use crate::types::Moment;

/// How long the operator waits where it is to decide soon, and where it is to decide slowly.
const SOON: Millis = 1_000;
const HURRIED: Millis = 300;
pub(super) const SLOWLY: Millis = 60_000;
/// How long after a failure.
const FAILED: Millis = 2_000;

/// Waits for a future of the simulation: none of them ever waits for anything.
pub(super) fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// How long until the next reconcile, whether nothing was to be done, and what is to be told.
pub(super) fn pause(
    decision: &Decision,
    outcome: &Result<Outcome, Failure>,
    now: Moment,
) -> (Millis, bool, Option<String>) {
    let idle = matches!(outcome, Ok(Outcome { did: Did::Nothing, wrote: false }));
    let said = match outcome {
        Err(failure) => Some(format!("operator: {failure}")),
        Ok(Outcome { did: Did::Outdated(why), .. }) => Some(format!("operator: nothing is done: {why}")),
        Ok(Outcome { did: Did::Refused(why), .. }) => Some(format!("operator: refused: {why}")),
        Ok(_) => None,
    };
    let wait = match (outcome, decision.wake) {
        (Err(_) | Ok(Outcome { did: Did::Outdated(_), .. }), _) => FAILED,
        (_, Wake::Now) => 100,
        (Ok(Outcome { did: Did::Refused(_), .. }), Wake::Hurried) | (_, Wake::Soon) => SOON,
        (_, Wake::Hurried) => HURRIED,
        (_, Wake::Slowly) => SLOWLY,
        (_, Wake::At(at)) => u64::try_from(at.since(now).as_millis()).unwrap_or(SLOWLY).clamp(100, SLOWLY),
    };
    // Who looks again within seconds does not rest.
    let slow = match decision.wake {
        Wake::Slowly => true,
        Wake::At(_) => wait > SOON,
        Wake::Now | Wake::Hurried | Wake::Soon => false,
    };
    (wait, idle && slow, said)
}

/// What the operator is about to do, or waits for.
pub(super) fn words(decision: &Decision) -> String {
    let report = &decision.report;
    let kind: Option<ActKind> =
        decision.memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|flight| flight.act.kind);
    let first =
        report.halt.as_ref().map(|w| ("halts", w)).or_else(|| report.waits.first().map(|w| ("waits", w)));
    match (&decision.command, first) {
        (Some(_), _) => format!("does {kind:?}").replace("Some(", "").replace(')', ""),
        (None, Some((verb, wait))) => {
            format!("{verb} [{:?}] {}: {}", wait.reason, wait.subject, wait.message)
        }
        (None, None) => "rests".to_owned(),
    }
}
