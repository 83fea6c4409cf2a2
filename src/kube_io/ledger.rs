//! What the operator knows of the objects that it has made, without keeping them: a stamp for each, that changes when
//! anything of it does that the operator writes, and under which stamp it was last found right.
//!
//! With it nothing is sent, and nothing read, for what is already so; and a hand that edits an object is noticed.

use std::collections::hash_map::Entry;
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

/// What an event or an answer says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// A stamp of what an operator writes of it.
    stamp: u64,
    /// The uid of the cluster that owns it.
    owner: Option<Box<str>>,
    /// Its own uid.
    uid: Option<Box<str>>,
}

impl Seen {
    /// What this metadata says.
    #[must_use]
    pub fn of(meta: &ObjectMeta) -> Self {
        let owner = meta.owner_references.iter().flatten().find(|o| o.controller == Some(true));
        Self {
            stamp: stamp(meta),
            owner: owner.map(|o| o.uid.as_str().into()),
            uid: meta.uid.as_deref().map(Into::into),
        }
    }
}

/// What is known of an object.
#[derive(Debug)]
struct Known {
    /// What the last event or answer said.
    seen: Seen,
    /// The stamp under which it was found to be as wanted, and the mark of what was wanted.
    right: Option<(u64, Box<str>)>,
}

/// All objects that the operator has made.
#[derive(Debug, Default)]
pub struct Ledger {
    known: Mutex<HashMap<ChildKey, Known>>,
}

/// A stamp of what an operator writes of an object. Kinds with a status count the changes of their spec; of the others
/// every change counts.
fn stamp(meta: &ObjectMeta) -> u64 {
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
    pub fn seen(&self, key: ChildKey, seen: Seen) -> bool {
        match self.known().entry(key) {
            Entry::Occupied(mut known) => {
                let before = std::mem::replace(&mut known.get_mut().seen, seen).stamp;
                before != known.get().seen.stamp
            }
            Entry::Vacant(new) => {
                new.insert(Known { seen, right: None });
                true
            }
        }
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
    pub fn right(&self, key: ChildKey, seen: Seen, mark: String) {
        let right = Some((seen.stamp, mark.into()));
        self.known().insert(key, Known { seen, right });
    }

    /// Whether it is known to be as wanted.
    #[must_use]
    pub fn is_right(&self, key: &ChildKey, mark: &str) -> bool {
        let known = self.known();
        let Some(Known { seen, right: Some((then, what)) }) = known.get(key) else { return false };
        seen.stamp == *then && **what == *mark
    }

    /// What this cluster owns: each with its uid.
    #[must_use]
    pub fn owned_by(&self, namespace: &str, owner: &str) -> Vec<(ChildKey, String)> {
        let known = self.known();
        let of = known
            .iter()
            .filter(|(key, known)| key.namespace == namespace && known.seen.owner.as_deref() == Some(owner));
        of.filter_map(|(key, known)| Some((key.clone(), known.seen.uid.as_deref()?.to_owned()))).collect()
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
        ledger.right(key(), Seen::of(&meta("5", None)), "a".to_owned());
        assert!(ledger.is_right(&key(), "a"));
        assert!(!ledger.is_right(&key(), "b"), "something else is wanted");
        ledger.seen(key(), Seen::of(&meta("5", None)));
        assert!(ledger.is_right(&key(), "a"), "an event of what we wrote ourselves");
        ledger.seen(key(), Seen::of(&meta("6", None)));
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
        ledger.seen(key(), Seen::of(&meta("5", None)));
        ledger.only("ConfigMap", None, &HashSet::new());
        assert_eq!(ledger.known().len(), 1);
        ledger.only("Service", Some("other"), &HashSet::new());
        assert_eq!(ledger.known().len(), 1);
        ledger.only("Service", Some("pay"), &HashSet::new());
        assert!(ledger.known().is_empty());
    }
}
