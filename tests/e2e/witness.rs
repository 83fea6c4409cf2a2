//! A witness: it writes down what really happens to the pods and to push while a story plays, and judges it by the contract
//! at the end. It knows nothing of what the operator believes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use tokio::task::JoinHandle;

use crate::field::{Field, NAME};
use crate::harness::{eventually, is_ready};

const ROLES: [&str; 3] = ["meta", "data", "session"];

/// A pod as it is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    uid: String,
    stopping: bool,
    ready: bool,
}

/// A pod was told to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    pub(crate) at: Instant,
    pub(crate) pod: String,
    role: &'static str,
    was_ready: bool,
    /// Sessions that said before it that push is open.
    open: Vec<String>,
    /// Others of its role that were not Ready.
    down: Vec<String>,
}

#[derive(Debug, Default)]
struct Book {
    pods: BTreeMap<String, Seen>,
    /// What each session said last of its push switch.
    closed: BTreeMap<String, bool>,
    stops: Vec<Stop>,
}

/// It watches until it is asked.
pub(crate) struct Witness {
    book: Arc<Mutex<Book>>,
    task: JoinHandle<()>,
}

fn role(pod: &str) -> Option<&'static str> {
    let rest = pod.strip_prefix(NAME)?.strip_prefix('-')?;
    ROLES.into_iter().find(|role| rest.starts_with(role))
}

impl Witness {
    /// Begins to watch.
    pub(crate) fn of(field: &Field) -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        let task = tokio::spawn(watch(field.clone(), Arc::clone(&book)));
        Self { book, task }
    }

    /// What was stopped, in order.
    pub(crate) fn stops(&self) -> Vec<Stop> {
        self.book.lock().expect("a book").stops.clone()
    }

    /// Waits until a server is stopped.
    pub(crate) async fn first_stop(&self, field: &Field, within: Duration) -> Result<()> {
        eventually("the first server is stopped", within, async || {
            if !self.stops().is_empty() {
                return Ok(());
            }
            bail!("{}", field.summary().await)
        })
        .await
    }

    /// Ends the watch and judges: every pod that worked was stopped with push closed on every session that told (I10), with
    /// the others of its role Ready (I2), metas before data before sessions (I4).
    pub(crate) fn judge(self) -> Result<Vec<Stop>> {
        self.task.abort();
        let stops = self.stops();
        for stop in stops.iter().filter(|s| s.was_ready) {
            ensure!(stop.open.is_empty(), "{} was stopped while push was open on {:?}", stop.pod, stop.open);
            ensure!(stop.down.is_empty(), "{} was stopped while {:?} were down", stop.pod, stop.down);
        }
        let order: Vec<usize> =
            stops.iter().filter_map(|s| ROLES.iter().position(|r| *r == s.role)).collect();
        ensure!(order.is_sorted(), "out of order: {:?}", stops.iter().map(|s| &s.pod).collect::<Vec<_>>());
        Ok(stops)
    }
}

async fn watch(field: Field, book: Arc<Mutex<Book>>) {
    loop {
        let Ok(pods) = field.ground.pods().list(&ListParams::default()).await.map(|l| l.items) else {
            // Nothing is known, which is not that nothing is there.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        note(&mut book.lock().expect("a book"), &pods);
        let sessions: Vec<String> = pods
            .iter()
            .filter(|p| is_ready(p))
            .filter_map(|p| p.metadata.name.clone())
            .filter(|name| role(name) == Some("session"))
            .collect();
        for session in sessions {
            let said = field.ground.get(&session, 9603, "/digest/pushSwitch").await;
            let closed = said
                .ok()
                .filter(|r| r.status == 200)
                .map(|r| r.body.contains("closed") || r.json()["stopPush"] == "true");
            let mut book = book.lock().expect("a book");
            match closed {
                Some(closed) => book.closed.insert(session, closed),
                None => book.closed.remove(&session),
            };
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

fn note(book: &mut Book, pods: &[Pod]) {
    let mut now = BTreeMap::new();
    for pod in pods {
        let Some(name) = pod.metadata.name.clone().filter(|n| role(n).is_some()) else { continue };
        let seen = Seen {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            stopping: pod.metadata.deletion_timestamp.is_some(),
            ready: is_ready(pod),
        };
        now.insert(name, seen);
    }
    let before = std::mem::take(&mut book.pods);
    for (name, old) in before.iter().filter(|(_, old)| !old.stopping) {
        let stopped = now.get(name).is_none_or(|new| new.stopping || new.uid != old.uid);
        if !stopped {
            continue;
        }
        let of = role(name).unwrap_or_default();
        let others = before.iter().filter(|(other, _)| *other != name && role(other) == Some(of));
        book.stops.push(Stop {
            at: Instant::now(),
            pod: name.clone(),
            role: of,
            was_ready: old.ready,
            open: book.closed.iter().filter(|(_, closed)| !**closed).map(|(s, _)| s.clone()).collect(),
            down: others.filter(|(_, seen)| !seen.ready).map(|(other, _)| other.clone()).collect(),
        });
    }
    book.pods = now;
}
