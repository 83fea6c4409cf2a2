//! The queue: what wakes a cluster, how many are looked at at a time, and when one is looked at again after a failure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, JoinAll, join_all};
use futures::stream::{self, StreamExt, TryStreamExt};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Config, applier, trigger_self};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::drm::Drm;
use super::kind::Kind;
use super::reconcile::{HURRIED_PACE, reconcile};
use super::registry::Registry;
use super::scheduler::Schedulers;
use super::workers::{Seen, Workers};
use crate::api::objects::FINALIZER;
use crate::effects::Failure;
use crate::kube_io::{Woken, api, everything};

/// What is kept of a cluster between its reconciles: its name. Everything else is read.
type Meta<K> = PartialObjectMeta<<K as Kind>::Object>;
/// After a conflict somebody was faster: at once again.
const AFTER_CONFLICT: Duration = Duration::from_millis(100);
/// After a failure, at first; then twice as long each time.
const AFTER_SILENCE: Duration = Duration::from_millis(500);
const AFTER_REFUSAL: Duration = Duration::from_secs(1);
/// And at most.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);
const LONGEST_REFUSAL: Duration = Duration::from_mins(1);

/// Namespace and name of a cluster.
pub(super) type Key = (String, String);

fn key_of(object: &impl ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn seen_of(meta: &impl ResourceExt) -> Seen {
    Seen {
        uid: meta.uid().unwrap_or_default(),
        generation: meta.meta().generation.unwrap_or_default(),
        held: meta.finalizers().iter().any(|f| f == FINALIZER),
    }
}

/// How often in a row each cluster has failed.
#[derive(Debug, Default)]
struct Failures(Mutex<HashMap<Key, u32>>);

impl Failures {
    fn count(&self, key: Key, failed: bool) -> u32 {
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

/// Looks after all clusters of every kind until `stop` comes; then what is under way is finished.
pub async fn run(context: Arc<Context>, woken: UnboundedReceiver<Woken>, stop: CancellationToken) {
    let registries = Queues::<Registry>::new(&context, &stop);
    let drms = Queues::<Drm>::new(&context, &stop);
    let schedulers = Queues::<Schedulers>::new(&context, &stop);
    let all = futures::future::join3(registries.controllers, drms.controllers, schedulers.controllers);
    let (registries, drms, schedulers) = (registries.senders, drms.senders, schedulers.senders);
    let route = async move {
        let mut woken = woken;
        while let Some(woken) = woken.recv().await {
            registries.wake(&woken);
            drms.wake(&woken);
            schedulers.wake(&woken);
        }
    };
    tokio::select! {
        _ = all => {}
        () = async { route.await; futures::future::pending::<()>().await } => {}
    }
}

/// The controllers of one kind: one for each namespace that is looked after, or one for all.
struct Queues<K: Kind> {
    senders: Senders<K>,
    controllers: JoinAll<BoxFuture<'static, ()>>,
}

/// Who is told of what has happened to clusters of one kind, by namespace.
struct Senders<K: Kind>(Vec<(Option<String>, Sender<K>)>);

/// The way into one queue.
type Sender<K> = UnboundedSender<ObjectRef<Meta<K>>>;

impl<K: Kind> Queues<K> {
    fn new(context: &Arc<Context>, stop: &CancellationToken) -> Self {
        let mut senders = Vec::new();
        let mut controllers: Vec<BoxFuture<'static, ()>> = Vec::new();
        for part in context.settings.scope.parts() {
            let (sender, receiver) = mpsc::unbounded_channel();
            senders.push((part.clone(), sender));
            controllers.push(Box::pin(one::<K>(Arc::clone(context), part, receiver, stop.clone())));
        }
        Self { senders: Senders(senders), controllers: join_all(controllers) }
    }
}

impl<K: Kind> Senders<K> {
    fn wake(&self, woken: &Woken) {
        if !K::PRODUCTS.iter().any(|product| product.label() == woken.software) {
            return;
        }
        let to = self.0.iter().find(|(part, _)| part.as_ref().is_none_or(|n| *n == woken.namespace));
        if let Some((_, sender)) = to {
            // Nobody listens any more when the operator stops.
            let _sent = sender.send(ObjectRef::new(&woken.cluster).within(&woken.namespace));
        }
    }
}

/// The controller of one namespace, or of all.
async fn one<K: Kind>(
    context: Arc<Context>,
    namespace: Option<String>,
    woken: UnboundedReceiver<ObjectRef<Meta<K>>>,
    stop: CancellationToken,
) {
    let clusters: Api<Meta<K>> = api(context.objects.client(), namespace.as_deref());
    let (store, writer) = reflector::store::<Meta<K>>();
    let workers = Arc::new(Workers::new(context.settings.workers));
    let told = Arc::clone(&workers);
    let own = watcher(clusters, everything())
        .default_backoff()
        .modify(|meta| {
            meta.metadata.managed_fields = None;
            meta.metadata.annotations = None;
        })
        .reflect(writer)
        .inspect_ok(move |event| match event {
            watcher::Event::Apply(meta) | watcher::Event::InitApply(meta) => {
                told.seen(&key_of(meta), seen_of(meta));
            }
            watcher::Event::Delete(meta) => told.forget(&key_of(meta)),
            watcher::Event::Init | watcher::Event::InitDone => {}
        })
        .applied_objects()
        .predicate_filter(
            Predicate::<Meta<K>>::combine(predicates::generation, predicates::finalizers),
            PredicateConfig::default(),
        );
    let woken = UnboundedReceiverStream::new(woken).map(|reference| Ok(reference.into()));
    let queue = stream::select(trigger_self(own, ()).boxed(), woken.boxed())
        .take_until(stop.clone().cancelled_owned());
    let under_way = Arc::new(watch::Sender::new(0_usize));
    let over = ended(stop.clone(), Arc::clone(&under_way));
    let failures = Arc::new(Failures::default());
    let policy = {
        let failures = Arc::clone(&failures);
        move |meta: Arc<Meta<K>>, failure: &Failure, context: Arc<Context>| {
            let times = failures.count(key_of(&*meta), true);
            context.metrics.failed(K::KIND.kind(), failure.label());
            Action::requeue(pause(failure, times))
        }
    };
    let reconcile = move |meta: Arc<Meta<K>>, context: Arc<Context>| {
        let failures = Arc::clone(&failures);
        let (stop, under_way, workers) = (stop.clone(), Arc::clone(&under_way), Arc::clone(&workers));
        Box::pin(async move {
            let (key, waits) = (key_of(&*meta), Instant::now());
            let worker = workers.next(&key).await;
            let waited = waits.elapsed();
            let _counted = UnderWay::begin(&under_way);
            if stop.is_cancelled() {
                return Ok(Action::await_change());
            }
            let started = Instant::now();
            let result = Box::pin(reconcile::<K>(&context, &key.0, &key.1)).await;
            context.metrics.reconciled(K::KIND.kind(), started.elapsed());
            let in_vain = match &result {
                Ok(done) => done.too_early,
                Err(failure) => matches!(failure, Failure::Conflict(_)),
            };
            if worker.is_for_edited() && in_vain {
                workers.in_vain(&key);
            }
            match result {
                Ok(done) => {
                    failures.count(key, false);
                    let pace =
                        if done.hurries && waited < HURRIED_PACE { HURRIED_PACE } else { Duration::MAX };
                    Ok(done.again.map_or_else(Action::await_change, |again| Action::requeue(again.min(pace))))
                }
                Err(failure) => {
                    tracing::warn!(%failure, "a reconcile ended early");
                    Err(failure)
                }
            }
        })
    };
    let mut done = std::pin::pin!(applier(reconcile, policy, context, store, queue, Config::default()));
    let turns = async {
        while let Some(result) = done.next().await {
            if let Err(error) = result {
                tracing::debug!(%error, "the queue");
            }
        }
    };
    // What is only due later would be waited for too.
    tokio::select! {
        () = turns => {}
        () = over => {}
    }
}

/// Waits until it is told to stop, and then until nothing is under way.
async fn ended(stop: CancellationToken, under_way: Arc<watch::Sender<usize>>) {
    stop.cancelled().await;
    let mut count = under_way.subscribe();
    // The sender is our own: it cannot go first.
    let _none = count.wait_for(|count| *count == 0).await;
}

/// A reconcile that is counted until it ends, or is dropped.
struct UnderWay<'a>(&'a watch::Sender<usize>);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|n| *n += 1);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n = n.saturating_sub(1));
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

    #[tokio::test]
    async fn what_is_under_way_is_waited_for_and_nothing_else() {
        let (stop, count) = (CancellationToken::new(), Arc::new(watch::Sender::new(0_usize)));
        let over = tokio::spawn(ended(stop.clone(), Arc::clone(&count)));
        let one = UnderWay::begin(&count);
        stop.cancel();
        tokio::task::yield_now().await;
        assert!(!over.is_finished(), "a reconcile is under way");
        drop(one);
        tokio::time::timeout(Duration::from_secs(5), over).await.unwrap().unwrap();
    }

    #[test]
    fn a_success_forgets_failures() {
        let failures = Failures::default();
        let key = || ("a".to_owned(), "b".to_owned());
        assert_eq!((failures.count(key(), true), failures.count(key(), true)), (1, 2));
        assert_eq!((failures.count(key(), false), failures.count(key(), true)), (0, 1));
    }
}
