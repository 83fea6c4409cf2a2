//! What the operator knows of the objects that it has made, without keeping them: a stamp for each, that changes when
//! anything of it does that the operator writes, and under which stamp it was last found right.
//!
//! With it nothing is sent, and nothing read, for what is already so; and a hand that edits an object is noticed.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildKey {
    /// Its kind: `StatefulSet`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What is known of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Known {
    /// Its stamp, as the last event or answer said. `None`: it is not there, as far as is known.
    stamp: Option<u64>,
    /// The uid of the cluster that owns it.
    owner: Option<String>,
    /// Its own uid.
    uid: Option<String>,
    /// The stamp under which it was found to be as wanted, and the mark of what was wanted.
    right: Option<(u64, String)>,
}

/// All objects that the operator has made.
#[derive(Debug, Default)]
pub struct Ledger {
    known: Mutex<HashMap<ChildKey, Known>>,
}

/// A stamp of what an operator writes of an object. Kinds with a status count the changes of their spec; of the others
/// every change counts.
#[must_use]
pub(super) fn stamp(meta: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    match meta.generation {
        Some(generation) => generation.hash(&mut hasher),
        None => meta.resource_version.hash(&mut hasher),
    }
    meta.uid.hash(&mut hasher);
    meta.labels.hash(&mut hasher);
    meta.annotations.hash(&mut hasher);
    meta.deletion_timestamp.is_some().hash(&mut hasher);
    for owner in meta.owner_references.iter().flatten() {
        owner.uid.hash(&mut hasher);
    }
    hasher.finish()
}

impl Ledger {
    fn known(&self) -> MutexGuard<'_, HashMap<ChildKey, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was seen. Whether it is another one than was known, or was changed.
    pub fn seen(&self, key: ChildKey, meta: &ObjectMeta) -> bool {
        let mut known = self.known();
        let entry = known.entry(key).or_default();
        let before = entry.stamp.replace(stamp(meta));
        entry.owner = meta
            .owner_references
            .iter()
            .flatten()
            .find(|o| o.controller == Some(true))
            .map(|o| o.uid.clone());
        entry.uid.clone_from(&meta.uid);
        before != entry.stamp
    }

    /// It is gone.
    pub fn gone(&self, key: &ChildKey) {
        self.known().remove(key);
    }

    /// Of this kind, in this namespace or in all, only these are there.
    pub fn only(&self, kind: &str, namespace: Option<&str>, there: &HashSet<ChildKey>) {
        let listed = |key: &ChildKey| key.kind == kind && namespace.is_none_or(|n| n == key.namespace);
        self.known().retain(|key, _| !listed(key) || there.contains(key));
    }

    /// It was found to be as wanted.
    pub fn right(&self, key: &ChildKey, meta: &ObjectMeta, mark: String) {
        let _changed = self.seen(key.clone(), meta);
        if let Some(entry) = self.known().get_mut(key) {
            entry.right = Some((stamp(meta), mark));
        }
    }

    /// Whether it is known to be as wanted.
    #[must_use]
    pub fn is_right(&self, key: &ChildKey, mark: &str) -> bool {
        let known = self.known();
        let Some(entry) = known.get(key) else { return false };
        matches!((entry.stamp, &entry.right), (Some(now), Some((then, what))) if now == *then && what == mark)
    }

    /// What this cluster owns: each with its uid.
    #[must_use]
    pub fn owned_by(&self, namespace: &str, owner: &str) -> Vec<(ChildKey, String)> {
        let known = self.known();
        let of = known.iter().filter(|(key, entry)| {
            key.namespace == namespace && entry.owner.as_deref() == Some(owner) && entry.stamp.is_some()
        });
        of.filter_map(|(key, entry)| Some((key.clone(), entry.uid.clone()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ChildKey {
        ChildKey { kind: "Service".to_owned(), namespace: "pay".to_owned(), name: "x".to_owned() }
    }

    fn meta(version: &str, generation: Option<i64>) -> ObjectMeta {
        ObjectMeta {
            resource_version: Some(version.to_owned()),
            generation,
            uid: Some("u".to_owned()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn what_was_found_right_is_right_until_it_changes() {
        let ledger = Ledger::default();
        assert!(!ledger.is_right(&key(), "a"));
        ledger.right(&key(), &meta("5", None), "a".to_owned());
        assert!(ledger.is_right(&key(), "a"));
        assert!(!ledger.is_right(&key(), "b"), "something else is wanted");
        ledger.seen(key(), &meta("5", None));
        assert!(ledger.is_right(&key(), "a"), "an event of what we wrote ourselves");
        ledger.seen(key(), &meta("6", None));
        assert!(!ledger.is_right(&key(), "a"), "a hand was there");
    }

    #[test]
    fn a_status_is_no_change_and_an_annotation_is() {
        assert_eq!(stamp(&meta("5", Some(2))), stamp(&meta("9", Some(2))));
        assert_ne!(stamp(&meta("5", Some(2))), stamp(&meta("5", Some(3))));
        let mut edited = meta("5", Some(2));
        edited.annotations = Some([("a".to_owned(), "b".to_owned())].into());
        assert_ne!(stamp(&edited), stamp(&meta("5", Some(2))));
    }

    #[test]
    fn a_new_list_forgets_what_is_not_in_it() {
        let ledger = Ledger::default();
        ledger.seen(key(), &meta("5", None));
        ledger.only("ConfigMap", None, &HashSet::new());
        assert_eq!(ledger.known().len(), 1);
        ledger.only("Service", Some("other"), &HashSet::new());
        assert_eq!(ledger.known().len(), 1);
        ledger.only("Service", Some("pay"), &HashSet::new());
        assert!(ledger.known().is_empty());
    }
}
