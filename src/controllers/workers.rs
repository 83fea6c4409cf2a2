//! How many clusters are looked at at a time, and who is next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;

use super::run::Key;

/// How long those at new specs are waited for since the last one came: one that hangs is not waited for again and again.
const LONGEST_YIELD: Duration = Duration::from_secs(2);

/// Who waits longest is next. The queue of kube would take any one of those that wait, always the same ones first, and while
/// there is more to do than is done somebody would wait for minutes.
///
/// Whoever has a new spec may take one of a few workers more, also when it waits already, and for a while hardly anybody else
/// begins: a person who changes one cluster does not wait for the rollouts of hundreds. Of all others only one stands where those
/// with a new spec stand, and it holds no worker while it waits for them: else they would stay with the few that are their own, and
/// wait for seconds where looks take long (measured with 500 clusters on a slow machine). For that one a worker is kept, so that
/// rollouts go on though new specs come without end.
#[derive(Debug)]
pub(super) struct Workers {
    many: u32,
    all: Semaphore,
    for_edited: Semaphore,
    for_next: Semaphore,
    /// Who of those without a new spec is the next: the one that has waited longest.
    next: tokio::sync::Mutex<()>,
    known: Mutex<HashMap<Key, Known>>,
    edited: watch::Sender<EditedNow>,
}

/// Which object has been seen under a name, and with which spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its uid.
    pub(super) uid: String,
    /// Its generation.
    pub(super) generation: i64,
    /// Whether it has the operator's finalizer.
    pub(super) held: bool,
}

/// What is known of a cluster.
#[derive(Debug, Default)]
struct Known {
    /// The uid and the generation, once it was seen.
    spec: Option<(String, i64)>,
    /// Tells the one that waits, or the next that will, of a new spec.
    edit: Arc<Notify>,
}

/// Clusters with a new spec that wait for a worker, or have one.
#[derive(Debug, Default)]
struct EditedNow {
    count: usize,
    /// When the last of them began to wait.
    last: Option<Instant>,
}

impl EditedNow {
    /// Until when the others wait, if nothing happens before.
    fn until(&self) -> Option<Instant> {
        self.last.filter(|_| self.count > 0).map(|last| last + LONGEST_YIELD)
    }
}

/// A worker, until it is dropped.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    _permit: Option<SemaphorePermit<'a>>,
    edited: Option<Edited<'a>>,
}

impl Worker<'_> {
    /// Whether it was taken for a new spec.
    pub(super) const fn is_for_edited(&self) -> bool {
        self.edited.is_some()
    }
}

/// One with a new spec.
#[derive(Debug)]
struct Edited<'a>(&'a watch::Sender<EditedNow>);

impl<'a> Edited<'a> {
    fn begin(all: &'a watch::Sender<EditedNow>) -> Self {
        all.send_modify(|now| *now = EditedNow { count: now.count + 1, last: Some(Instant::now()) });
        Self(all)
    }
}

impl Drop for Edited<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|now| now.count -= 1);
    }
}

impl Workers {
    pub(super) fn new(many: u16) -> Self {
        let many = many.max(1);
        Self {
            many: many.into(),
            all: Semaphore::new((many - 1).into()),
            for_edited: Semaphore::new(many.div_ceil(4).into()),
            for_next: Semaphore::new(1),
            next: tokio::sync::Mutex::default(),
            known: Mutex::default(),
            edited: watch::Sender::default(),
        }
    }

    /// A cluster is there. One that was held by the operator when it was first seen was there before this process: what is
    /// watched does not say whether its spec is new, so it waits for its turn like hundreds of others after a restart.
    pub(super) fn seen(&self, key: &Key, seen: Seen) {
        let mut all = self.known();
        let known = all.entry(key.clone()).or_default();
        let before = known.spec.replace((seen.uid, seen.generation));
        if before.as_ref().map_or(!seen.held, |before| Some(before) != known.spec.as_ref()) {
            known.edit.notify_one();
        }
    }

    /// The look at a new spec came to nothing: the next one is another.
    pub(super) fn in_vain(&self, key: &Key) {
        self.edit_of(key).notify_one();
    }

    /// A cluster is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.known().remove(key);
    }

    /// A worker, when it is this one's turn.
    pub(super) async fn next(&self, key: &Key) -> Worker<'_> {
        let edit = self.edit_of(key);
        let usual = async {
            let _next = self.next.lock().await;
            // As many others begin while new specs come without end as if each worker waited for so long.
            let longest = Instant::now() + LONGEST_YIELD / self.many;
            let mut edited = self.edited.subscribe();
            loop {
                let Some(until) = edited.borrow_and_update().until() else { break };
                let over = tokio::time::sleep_until(until.min(longest));
                tokio::select! {
                    () = over => break,
                    _ = edited.changed() => {}
                }
            }
            self.one_of(&self.for_next).await
        };
        tokio::select! {
            biased;
            () = edit.notified() => {}
            permit = usual => return Worker { _permit: permit, edited: None },
        }
        let edited = Edited::begin(&self.edited);
        Worker { _permit: self.one_of(&self.for_edited).await, edited: Some(edited) }
    }

    /// One of these, or a worker of all, which is left to whoever has none of his own. They are never closed.
    async fn one_of<'a>(&'a self, own: &'a Semaphore) -> Option<SemaphorePermit<'a>> {
        let permit = tokio::select! {
            biased;
            permit = own.acquire() => permit,
            permit = self.all.acquire() => permit,
        };
        permit.ok()
    }

    fn edit_of(&self, key: &Key) -> Arc<Notify> {
        Arc::clone(&self.known().entry(key.clone()).or_default().edit)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{self, StreamExt};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use kube::ResourceExt;
    use kube::core::{PartialObjectMeta, PartialObjectMetaExt};
    use kube::runtime::controller::{Action, Config, applier};
    use kube::runtime::reflector::{self, ObjectRef};
    use kube::runtime::watcher;

    use super::*;
    use crate::api::v1alpha1::RegistryCluster;

    type Meta = PartialObjectMeta<RegistryCluster>;

    fn key(name: impl std::fmt::Display) -> Key {
        ("a".to_owned(), name.to_string())
    }

    fn see(workers: &Workers, key: &Key, generation: i64, held: bool) {
        workers.seen(key, Seen { uid: "u".to_owned(), generation, held });
    }

    /// A cluster is new, or has another spec.
    fn edit(workers: &Workers, key: &Key) {
        let known = workers.known().get(key).and_then(|known| known.spec.clone());
        see(workers, key, known.map_or(1, |(_, generation)| generation + 1), false);
    }

    /// Plays this while all of those are under way.
    async fn beside(those: impl Future, this: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            _ = those => panic!("they are under way"),
            () = this => {}
        }
    }

    /// Each looks again at once, and there is one worker: nobody is overtaken again and again.
    #[tokio::test(start_paused = true)]
    async fn everybody_has_a_turn_where_there_is_more_to_do_than_is_done() {
        const CLUSTERS: usize = 40;
        const ROUNDS: usize = 10;
        let (store, mut writer) = reflector::store::<Meta>();
        let mut queue = Vec::new();
        writer.apply_watcher_event(&watcher::Event::Init);
        for number in 0..CLUSTERS {
            let (name, namespace) = (Some(format!("x{number}")), Some("a".to_owned()));
            let meta: Meta = ObjectMeta { name, namespace, ..ObjectMeta::default() }.into_response_partial();
            queue.push(ObjectRef::from_obj(&meta));
            writer.apply_watcher_event(&watcher::Event::InitApply(meta));
        }
        writer.apply_watcher_event(&watcher::Event::InitDone);
        let queue = stream::iter(queue).map(Ok::<_, watcher::Error>);
        let queue = queue.chain(stream::pending());
        let (workers, turns) =
            (Arc::new(Workers::new(1)), Arc::new(Mutex::new(HashMap::<String, usize>::new())));
        let look = {
            let turns = Arc::clone(&turns);
            move |meta: Arc<Meta>, _: Arc<()>| {
                let (workers, turns) = (Arc::clone(&workers), Arc::clone(&turns));
                Box::pin(async move {
                    let _worker = workers.next(&(String::new(), meta.name_any())).await;
                    *turns.lock().unwrap().entry(meta.name_any()).or_default() += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    Ok::<_, std::fmt::Error>(Action::requeue(Duration::from_millis(1)))
                })
            }
        };
        let policy = |_: Arc<Meta>, _: &std::fmt::Error, _: Arc<()>| Action::await_change();
        let looked = applier(look, policy, Arc::new(()), store, queue, Config::default());
        looked.take(CLUSTERS * ROUNDS).for_each(|_| async {}).await;
        let turns = turns.lock().unwrap();
        let fewest = turns.values().min().copied().unwrap_or_default();
        assert!(turns.len() == CLUSTERS && fewest * 2 >= ROUNDS, "{turns:?}");
    }

    /// With every worker taken for long, a new spec is looked at, whether it came before its cluster began to wait or after.
    #[tokio::test(start_paused = true)]
    async fn a_new_spec_does_not_wait_for_the_others() {
        let workers = Workers::new(1);
        let soon = Duration::from_millis(10);
        let _long = workers.next(&key("long")).await;
        let (edited, other) = (key("edited"), key("other"));
        let wait = tokio::time::timeout(soon * 4, workers.next(&edited));
        let change = async {
            tokio::time::sleep(soon).await;
            edit(&workers, &edited);
        };
        let (turn, ()) = tokio::join!(wait, change);
        assert!(turn.is_ok(), "it waits already");
        drop(turn);
        edit(&workers, &edited);
        let again = tokio::time::timeout(soon, workers.next(&edited)).await;
        assert!(again.is_ok(), "it was told before");
        assert!(tokio::time::timeout(soon, workers.next(&edited)).await.is_err(), "one look for each edit");
        assert!(tokio::time::timeout(soon, workers.next(&other)).await.is_err(), "nobody else");
    }

    /// While a new spec is looked at nobody else begins, but not for ever.
    #[tokio::test(start_paused = true)]
    async fn the_others_wait_for_a_new_spec_and_not_for_long() {
        let workers = Workers::new(4);
        edit(&workers, &key("edited"));
        let edited = workers.next(&key("edited")).await;
        let soon = Duration::from_millis(10);
        assert!(tokio::time::timeout(soon, workers.next(&key("other"))).await.is_err(), "it yields");
        let over = async {
            tokio::time::sleep(soon).await;
            drop(edited);
        };
        let other = async { tokio::time::timeout(soon * 2, workers.next(&key("other"))).await };
        assert!(tokio::join!(over, other).1.is_ok(), "that look is over");
        edit(&workers, &key("edited"));
        let _hangs = workers.next(&key("edited")).await;
        let many = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let looks = many.map(|name| {
            let workers = &workers;
            async move {
                let _worker = workers.next(&key(name)).await;
                tokio::time::sleep(soon).await;
            }
        });
        let all = futures::future::join_all(looks);
        assert!(tokio::time::timeout(LONGEST_YIELD + soon * 4, all).await.is_ok(), "it is waited for once");
    }

    /// Those with a new spec have all workers but one, and their own, at once; the one is for the next of the others.
    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_new_spec_holds_no_worker() {
        let (workers, soon) = (Workers::new(4), Duration::from_millis(10));
        let hang = async |name: String| {
            edit(&workers, &key(&name));
            let turn = tokio::time::timeout(soon, workers.next(&key(&name))).await;
            assert!(turn.is_ok(), "{name}");
            tokio::time::sleep(LONGEST_YIELD * 2).await;
            drop(turn);
        };
        let edited = futures::future::join_all((0..4).map(|n| hang(format!("edited{n}"))));
        let other = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let longest = LONGEST_YIELD / 4 + soon;
            assert!(tokio::time::timeout(longest, workers.next(&key("other"))).await.is_ok(), "one is kept");
        };
        beside(edited, other).await;
    }

    /// New specs come without end: the others begin all the same.
    #[tokio::test(start_paused = true)]
    async fn the_others_go_on_while_new_specs_come() {
        let (workers, often) = (Workers::new(4), Duration::from_millis(100));
        let edits = futures::future::join_all((0..60_u32).map(|n| {
            let workers = &workers;
            async move {
                tokio::time::sleep(often * n).await;
                edit(workers, &key(n));
                let _worker = workers.next(&key(n)).await;
                // There is always one.
                tokio::time::sleep(often * 2).await;
            }
        }));
        let others = async {
            for turn in 0..4 {
                let longest = LONGEST_YIELD / 4 + often;
                let worker = tokio::time::timeout(longest, workers.next(&key("other"))).await;
                assert!(worker.is_ok(), "turn {turn}");
            }
        };
        beside(edits, others).await;
    }

    /// All workers are taken, and eight wait: a new spec waits for one of these at most.
    #[tokio::test(start_paused = true)]
    async fn of_all_others_only_one_stands_before_a_new_spec() {
        let (workers, soon) = (Workers::new(4), Duration::from_millis(10));
        let mut taken = Vec::new();
        for name in ["a", "b", "c", "d"] {
            taken.push(workers.next(&key(name)).await);
        }
        edit(&workers, &key("first"));
        let _first = workers.next(&key("first")).await;
        let others = futures::future::join_all((0..8).map(|n| {
            let workers = &workers;
            async move {
                let _worker = workers.next(&key(n)).await;
                tokio::time::sleep(LONGEST_YIELD * 2).await;
            }
        }));
        let edited = async {
            tokio::time::sleep(LONGEST_YIELD).await;
            let changed = key("edited");
            edit(&workers, &changed);
            let free = async {
                tokio::time::sleep(soon).await;
                taken.truncate(2);
            };
            let turn = tokio::time::timeout(soon * 2, workers.next(&changed));
            assert!(tokio::join!(turn, free).0.is_ok(), "the second worker that is free");
        };
        beside(others, edited).await;
    }

    /// After a restart hundreds are seen for the first time at once, and a new one among them waits for none of them.
    #[tokio::test(start_paused = true)]
    async fn who_was_there_before_the_operator_started_waits_for_its_turn() {
        let (workers, soon) = (Workers::new(1), Duration::from_millis(10));
        let _long = workers.next(&key("long")).await;
        let first = async |name: &str| tokio::time::timeout(soon, workers.next(&key(name))).await.is_ok();
        see(&workers, &key("there"), 5, true);
        see(&workers, &key("new"), 1, false);
        assert!(!first("there").await, "it waits");
        assert!(first("new").await, "it is new");
        see(&workers, &key("new"), 1, true);
        assert!(!first("new").await, "it has the same spec");
        see(&workers, &key("there"), 6, true);
        assert!(first("there").await, "it has a new spec");
        workers.in_vain(&key("there"));
        assert!(first("there").await, "that look came to nothing");
        workers.seen(&key("there"), Seen { uid: "v".to_owned(), generation: 6, held: true });
        assert!(first("there").await, "it is another one");
    }
}
