//! How many clusters are looked at at a time, and who is next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;

use super::run::Key;

/// How long a look at what is under way waits for those at new specs, and how long one of these is waited for.
const LONGEST_YIELD: Duration = Duration::from_secs(2);

/// Who waits longest is next. The queue of kube would take any one of those that wait, always the same ones first, and while
/// there is more to do than is done somebody would wait for minutes.
///
/// Whoever has a new spec may take one of a few workers more, also when it waits already, and for a while nobody else begins: a
/// person who changes one cluster does not wait for the rollouts of hundreds.
#[derive(Debug, Clone)]
pub(super) struct Workers {
    all: Arc<Semaphore>,
    for_edited: Arc<Semaphore>,
    /// Tells the one that waits, or the next that will, of a new spec.
    edits: Arc<Mutex<HashMap<Key, Arc<Notify>>>>,
    edited: Arc<watch::Sender<EditedNow>>,
}

/// Clusters with a new spec that wait for a worker, or have one.
#[derive(Debug, Default)]
struct EditedNow {
    count: usize,
    /// When the last of them began to wait.
    last: Option<Instant>,
}

impl EditedNow {
    /// Until when the others wait, if nothing happens before. One that hangs is not waited for again and again.
    fn until(&self) -> Option<Instant> {
        self.last.filter(|_| self.count > 0).map(|last| last + LONGEST_YIELD)
    }
}

/// A worker, until it is dropped.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    _permit: Option<SemaphorePermit<'a>>,
    _edited: Option<Edited>,
}

/// One with a new spec.
#[derive(Debug)]
struct Edited(Arc<watch::Sender<EditedNow>>);

impl Edited {
    fn begin(all: &Arc<watch::Sender<EditedNow>>) -> Self {
        all.send_modify(|now| *now = EditedNow { count: now.count + 1, last: Some(Instant::now()) });
        Self(Arc::clone(all))
    }
}

impl Drop for Edited {
    fn drop(&mut self) {
        self.0.send_modify(|now| now.count -= 1);
    }
}

impl Workers {
    pub(super) fn new(many: u16) -> Self {
        let many = usize::from(many.max(1));
        Self {
            all: Arc::new(Semaphore::new(many)),
            for_edited: Arc::new(Semaphore::new(many.div_ceil(2))),
            edits: Arc::default(),
            edited: Arc::default(),
        }
    }

    /// A cluster has a new spec, or is new.
    pub(super) fn edited(&self, key: &Key) {
        self.edit_of(key).notify_one();
    }

    /// A cluster is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.edits.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// A worker, when it is this one's turn.
    pub(super) async fn next(&self, key: &Key) -> Worker<'_> {
        let edit = self.edit_of(key);
        let usual = async {
            let permit = self.all.acquire().await;
            let longest = Instant::now() + LONGEST_YIELD;
            let mut edited = self.edited.subscribe();
            loop {
                let Some(until) = edited.borrow_and_update().until() else { break };
                let over = tokio::time::sleep_until(until.min(longest));
                tokio::select! {
                    () = over => break,
                    _ = edited.changed() => {}
                }
            }
            permit
        };
        // They are never closed.
        tokio::select! {
            biased;
            () = edit.notified() => {}
            permit = usual => return Worker { _permit: permit.ok(), _edited: None },
        }
        let edited = Edited::begin(&self.edited);
        let permit = tokio::select! {
            permit = self.all.acquire() => permit,
            permit = self.for_edited.acquire() => permit,
        };
        Worker { _permit: permit.ok(), _edited: Some(edited) }
    }

    fn edit_of(&self, key: &Key) -> Arc<Notify> {
        let mut edits = self.edits.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(edits.entry(key.clone()).or_default())
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
        let (workers, turns) = (Workers::new(1), Arc::new(Mutex::new(HashMap::<String, usize>::new())));
        let look = {
            let turns = Arc::clone(&turns);
            move |meta: Arc<Meta>, _: Arc<()>| {
                let (workers, turns) = (workers.clone(), Arc::clone(&turns));
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
        let key = |name: &str| ("a".to_owned(), name.to_owned());
        let soon = Duration::from_millis(10);
        let _long = workers.next(&key("long")).await;
        let (edited, other) = (key("edited"), key("other"));
        let wait = tokio::time::timeout(soon * 4, workers.next(&edited));
        let edit = async {
            tokio::time::sleep(soon).await;
            workers.edited(&edited);
        };
        let (turn, ()) = tokio::join!(wait, edit);
        assert!(turn.is_ok(), "it waits already");
        drop(turn);
        workers.edited(&edited);
        let again = tokio::time::timeout(soon, workers.next(&edited)).await;
        assert!(again.is_ok(), "it was told before");
        assert!(tokio::time::timeout(soon, workers.next(&edited)).await.is_err(), "one look for each edit");
        assert!(tokio::time::timeout(soon, workers.next(&other)).await.is_err(), "nobody else");
    }

    /// While a new spec is looked at nobody else begins, but not for ever.
    #[tokio::test(start_paused = true)]
    async fn the_others_wait_for_a_new_spec_and_not_for_long() {
        let workers = Workers::new(4);
        let key = |name: &str| ("a".to_owned(), name.to_owned());
        workers.edited(&key("edited"));
        let edited = workers.next(&key("edited")).await;
        let soon = Duration::from_millis(10);
        assert!(tokio::time::timeout(soon, workers.next(&key("other"))).await.is_err(), "it yields");
        let over = async {
            tokio::time::sleep(soon).await;
            drop(edited);
        };
        let other = async { tokio::time::timeout(soon * 2, workers.next(&key("other"))).await };
        assert!(tokio::join!(over, other).1.is_ok(), "that look is over");
        workers.edited(&key("edited"));
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
}
