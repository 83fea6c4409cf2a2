//! Which clusters refer to a registry: their pods are let in to its ports.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::api::v1alpha1::{ClusterRef, DrmCluster, SchedulerCluster};
use kube::{Resource, ResourceExt};

/// A cluster that refers to a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Its kind, as objects name it.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Kinds that can refer to a registry.
pub(super) trait Refers: Resource<DynamicType = ()> {
    /// The registry that the spec names.
    fn registry(&self) -> Option<&ClusterRef>;
}

impl Refers for DrmCluster {
    fn registry(&self) -> Option<&ClusterRef> {
        Some(&self.spec.registry_ref)
    }
}

impl Refers for SchedulerCluster {
    fn registry(&self) -> Option<&ClusterRef> {
        self.spec.registry_ref.as_ref()
    }
}

/// The namespace and the name of a registry.
pub(super) type Registry = (String, String);

/// Who refers to which registry.
#[derive(Debug, Default)]
pub(super) struct Referrers(Mutex<HashMap<Reference, Registry>>);

impl Referrers {
    fn all(&self) -> MutexGuard<'_, HashMap<Reference, Registry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that refer to this registry, in order.
    pub(super) fn of(&self, namespace: &str, name: &str) -> Vec<Reference> {
        let all = self.all();
        let of = all.iter().filter(|(_, to)| to.0 == namespace && to.1 == name);
        let mut found: Vec<Reference> = of.map(|(from, _)| from.clone()).collect();
        found.sort();
        found
    }

    /// Notes whom an object refers to now. Gives back the registries for which that is news.
    pub(super) fn note<K: Refers>(&self, object: &K) -> Vec<Registry> {
        let from = reference(object);
        let to = object.registry().map(|to| {
            let namespace = to.namespace.as_ref().map_or_else(|| from.namespace.clone(), ToString::to_string);
            (namespace, to.name.to_string())
        });
        let mut all = self.all();
        let before = match &to {
            Some(to) => all.insert(from, to.clone()),
            None => all.remove(&from),
        };
        if before == to { Vec::new() } else { before.into_iter().chain(to).collect() }
    }

    /// An object is gone.
    pub(super) fn forget<K: Refers>(&self, object: &K) -> Vec<Registry> {
        self.all().remove(&reference(object)).into_iter().collect()
    }

    /// These are all of their kind, or all of a namespace.
    pub(super) fn only<K: Refers>(&self, namespace: Option<&str>, objects: &[K]) -> Vec<Registry> {
        let there: Vec<Reference> = objects.iter().map(reference).collect();
        let kind = K::kind(&());
        let mut changed = Vec::new();
        self.all().retain(|from, to| {
            let is_listed = from.kind == kind && namespace.is_none_or(|n| n == from.namespace);
            let stays = !is_listed || there.contains(from);
            if !stays {
                changed.push(to.clone());
            }
            stays
        });
        changed.extend(objects.iter().flat_map(|object| self.note(object)));
        changed
    }
}

fn reference<K: Refers>(object: &K) -> Reference {
    Reference {
        kind: K::kind(&()).into_owned(),
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drm(name: &str, registry: &str) -> DrmCluster {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name, "namespace": "a"},
            "spec": {"version": "1.0.0", "image": "i:1.0.0", "registryRef": {"name": registry},
                "database": {"host": "h", "name": "n", "secretRef": {"name": "s"}}},
        }))
        .unwrap()
    }

    #[test]
    fn who_refers_to_whom_follows_the_specs() {
        let all = Referrers::default();
        let registry = |name: &str| ("a".to_owned(), name.to_owned());
        assert_eq!(all.note(&drm("x", "one")), [registry("one")]);
        assert_eq!(all.note(&drm("x", "one")), [], "no news");
        assert_eq!(all.note(&drm("x", "two")), [registry("one"), registry("two")]);
        assert_eq!(all.of("a", "two").len(), 1);
        assert!(all.of("a", "one").is_empty());
        assert_eq!(all.only(Some("a"), &[drm("y", "two")]), [registry("two"), registry("two")]);
        assert_eq!(all.of("a", "two")[0].name, "y");
        assert_eq!(all.forget(&drm("y", "two")), [registry("two")]);
    }
}
