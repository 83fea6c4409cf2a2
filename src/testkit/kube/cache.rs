//! A watch cache of the operator: it may lag behind the server, and may miss events (Sieve's stale cache and gaps).

use std::collections::BTreeMap;

use serde_json::Value;

use super::FakeCluster;
use super::object::{Change, Key, Objects};

/// A cache that is fed from the log of events.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    objects: BTreeMap<Key, Value>,
    /// How many events it has read.
    read: usize,
}

impl Cache {
    /// A cache that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What it believes.
    #[must_use]
    pub const fn objects(&self) -> Objects<'_> {
        Objects(&self.objects)
    }

    /// How many events it has not read yet.
    #[must_use]
    pub fn lag(&self, cluster: &FakeCluster) -> usize {
        cluster.watch_events().len().saturating_sub(self.read)
    }

    /// Reads the next `count` events.
    pub fn read(&mut self, cluster: &FakeCluster, count: usize) {
        for event in cluster.watch_events().iter().skip(self.read).take(count) {
            match event.change {
                Change::Deleted => {
                    self.objects.remove(&event.key);
                }
                Change::Added | Change::Modified => {
                    self.objects.insert(event.key.clone(), event.object.clone());
                }
            }
            self.read += 1;
        }
    }

    /// Reads everything that has happened.
    pub fn catch_up(&mut self, cluster: &FakeCluster) {
        self.read(cluster, usize::MAX);
    }

    /// Misses the next `count` events: what they said is learnt only by a later event of the same object, or a new list.
    pub fn miss(&mut self, cluster: &FakeCluster, count: usize) {
        self.read = (self.read + count).min(cluster.watch_events().len());
    }

    /// Lists everything anew, as after a lost connection.
    pub fn relist(&mut self, cluster: &FakeCluster) {
        self.objects.clone_from(&cluster.objects);
        self.read = cluster.watch_events().len();
    }
}
