//! The queue: what wakes a cluster, how many are looked at at a time, and when one is looked at again after a failure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Config, applier, trigger_self};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::reconcile::reconcile;
use crate::api::v1alpha1::RegistryCluster;
use crate::effects::Failure;
use crate::kube_io::{Woken, api};
use crate::validate::{ClusterKind, Product};

/// What is kept of a cluster between its reconciles: its name. Everything else is read.
type Meta = PartialObjectMeta<RegistryCluster>;

/// The kind that this controller is for, as figures name it.
const KIND: &str = ClusterKind::Registry.kind();
/// After a conflict somebody was faster: at once again.
const AFTER_CONFLICT: Duration = Duration::from_millis(100);
/// After a failure, at first; then twice as long each time.
const AFTER_SILENCE: Duration = Duration::from_millis(500);
const AFTER_REFUSAL: Duration = Duration::from_secs(1);
/// And at most.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);
const LONGEST_REFUSAL: Duration = Duration::from_mins(1);

/// How often in a row each cluster has failed.
#[derive(Debug, Default)]
struct Failures(Mutex<HashMap<(String, String), u32>>);

impl Failures {
    fn count(&self, key: (String, String), failed: bool) -> u32 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failed {
            let count = all.entry(key).or_default();
            *count = count.saturating_add(1);
            *count
        } else {
            all.remove(&key);
            0
        }
    }
}

/// How long after a failure it is tried again. `times`: how often in a row it has failed.
fn pause(failure: &Failure, times: u32) -> Duration {
    let (first, longest) = match failure {
        Failure::Conflict(_) => return AFTER_CONFLICT * times.min(10),
        Failure::Refused(_) => (AFTER_REFUSAL, LONGEST_REFUSAL),
        Failure::Unanswered(_) => (AFTER_SILENCE, LONGEST_SILENCE),
    };
    first.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1))).min(longest)
}

/// Looks after all clusters until `stop` comes; then what is under way is finished.
pub async fn run(context: Arc<Context>, woken: UnboundedReceiver<Woken>, stop: CancellationToken) {
    let mut senders: Vec<(Option<String>, UnboundedSender<ObjectRef<Meta>>)> = Vec::new();
    let mut controllers = Vec::new();
    for part in context.settings.scope.parts() {
        let (sender, receiver) = mpsc::unbounded_channel();
        senders.push((part.clone(), sender));
        controllers.push(Box::pin(one(Arc::clone(&context), part, receiver, stop.clone())));
    }
    let route = async move {
        let mut woken = woken;
        while let Some(woken) = woken.recv().await {
            if woken.software != Product::Registry.label() {
                continue;
            }
            let to = senders.iter().find(|(part, _)| part.as_ref().is_none_or(|n| *n == woken.namespace));
            if let Some((_, sender)) = to {
                // Nobody listens any more when the operator stops.
                let _sent = sender.send(ObjectRef::new(&woken.cluster).within(&woken.namespace));
            }
        }
    };
    let all = futures::future::join_all(controllers);
    tokio::select! {
        _ = all => {}
        () = async { route.await; futures::future::pending::<()>().await } => {}
    }
}

/// The controller of one namespace, or of all.
async fn one(
    context: Arc<Context>,
    namespace: Option<String>,
    woken: UnboundedReceiver<ObjectRef<Meta>>,
    stop: CancellationToken,
) {
    let clusters: Api<Meta> = api(context.objects.client(), namespace.as_deref());
    let (store, writer) = reflector::store::<Meta>();
    let own = watcher(clusters, watcher::Config::default())
        .default_backoff()
        .modify(|meta| {
            meta.metadata.managed_fields = None;
            meta.metadata.annotations = None;
        })
        .reflect(writer)
        .applied_objects()
        .predicate_filter(
            Predicate::<Meta>::combine(predicates::generation, predicates::finalizers),
            PredicateConfig::default(),
        );
    let woken = UnboundedReceiverStream::new(woken).map(|reference| Ok(reference.into()));
    let queue =
        stream::select(trigger_self(own, ()).boxed(), woken.boxed()).take_until(stop.cancelled_owned());
    let failures = Arc::new(Failures::default());
    let config = Config::default().concurrency(context.settings.workers);
    let policy = {
        let failures = Arc::clone(&failures);
        move |meta: Arc<Meta>, failure: &Failure, context: Arc<Context>| {
            let key = (meta.namespace().unwrap_or_default(), meta.name_any());
            let times = failures.count(key, true);
            context.metrics.failed(KIND, failure.label());
            Action::requeue(pause(failure, times))
        }
    };
    let reconcile = move |meta: Arc<Meta>, context: Arc<Context>| {
        let failures = Arc::clone(&failures);
        Box::pin(async move {
            let (namespace, name) = (meta.namespace().unwrap_or_default(), meta.name_any());
            let started = Instant::now();
            let result = Box::pin(reconcile(&context, &namespace, &name)).await;
            context.metrics.reconciled(KIND, started.elapsed());
            match result {
                Ok(done) => {
                    failures.count((namespace, name), false);
                    Ok(done.again.map_or_else(Action::await_change, Action::requeue))
                }
                Err(failure) => {
                    tracing::warn!(%failure, "a reconcile ended early");
                    Err(failure)
                }
            }
        })
    };
    let mut done = std::pin::pin!(applier(reconcile, policy, context, store, queue, config));
    while let Some(result) = done.next().await {
        if let Err(error) = result {
            tracing::debug!(%error, "the queue");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let silent = Failure::Unanswered(String::new());
        assert_eq!(pause(&silent, 1), AFTER_SILENCE);
        assert_eq!(pause(&silent, 3), AFTER_SILENCE * 4);
        assert_eq!(pause(&silent, 99), LONGEST_SILENCE);
        assert_eq!(pause(&Failure::Refused(String::new()), 99), LONGEST_REFUSAL);
        assert!(pause(&Failure::Conflict(String::new()), 99) <= Duration::from_secs(1));
    }

    #[test]
    fn a_success_forgets_failures() {
        let failures = Failures::default();
        let key = || ("a".to_owned(), "b".to_owned());
        assert_eq!((failures.count(key(), true), failures.count(key(), true)), (1, 2));
        assert_eq!((failures.count(key(), false), failures.count(key(), true)), (0, 1));
    }
}
