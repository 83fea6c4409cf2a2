//! Objects by the cluster that they belong to, as a watch has told of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;

use crate::api::objects::CLUSTER;

/// What a watch tells.
#[derive(Debug)]
pub(super) enum Change<K> {
    /// These are all.
    All(Vec<K>),
    /// This one is new, or changed.
    One(K),
    /// This one is gone.
    Gone(K),
}

/// Boxed: a node of the tree has room for eleven, and an object of Kubernetes' own types takes 1 to 2.5 KB.
type ByCluster<K> = HashMap<(String, String), BTreeMap<String, Box<K>>>;

/// Objects of one kind.
#[derive(Debug)]
pub(super) struct Table<K> {
    objects: Mutex<ByCluster<K>>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { objects: Mutex::default() }
    }
}

impl<K: Resource + Clone + PartialEq> Table<K> {
    fn objects(&self) -> MutexGuard<'_, ByCluster<K>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The objects of a cluster.
    pub(super) fn of(&self, namespace: &str, cluster: &str) -> Vec<K> {
        let key = (namespace.to_owned(), cluster.to_owned());
        self.objects()
            .get(&key)
            .map(|all| all.values().map(|object| K::clone(object)).collect())
            .unwrap_or_default()
    }

    /// Takes a change in; `namespace`: the only one that a list is of. Gives back what differs from before.
    pub(super) fn change(&self, namespace: Option<&str>, change: Change<K>) -> Vec<ObjectMeta> {
        let mut objects = self.objects();
        match change {
            Change::One(object) => put(&mut objects, object).into_iter().collect(),
            Change::Gone(object) => {
                take(&mut objects, object.meta());
                vec![object.meta().clone()]
            }
            Change::All(list) => {
                let mut old = std::mem::take(&mut *objects);
                if let Some(only) = namespace {
                    objects.extend(old.extract_if(|key, _| key.0 != only));
                }
                let mut changed = Vec::new();
                for object in list {
                    let before = take(&mut old, object.meta());
                    if before.as_ref() != Some(&object) {
                        changed.push(object.meta().clone());
                    }
                    put(&mut objects, object);
                }
                changed.extend(
                    old.into_values().flat_map(BTreeMap::into_values).map(|gone| gone.meta().clone()),
                );
                changed
            }
        }
    }
}

fn key(meta: &ObjectMeta) -> ((String, String), String) {
    let cluster = meta.labels.as_ref().and_then(|l| l.get(CLUSTER)).cloned().unwrap_or_default();
    ((meta.namespace.clone().unwrap_or_default(), cluster), meta.name.clone().unwrap_or_default())
}

/// Puts one in; gives its metadata back if that is a change.
fn put<K: Resource + PartialEq>(objects: &mut ByCluster<K>, object: K) -> Option<ObjectMeta> {
    let (cluster, name) = key(object.meta());
    let all = objects.entry(cluster).or_default();
    if all.get(&name).is_some_and(|before| **before == object) {
        return None;
    }
    let meta = object.meta().clone();
    all.insert(name, Box::new(object));
    Some(meta)
}

fn take<K: Resource>(objects: &mut ByCluster<K>, meta: &ObjectMeta) -> Option<K> {
    let (cluster, name) = key(meta);
    let all = objects.get_mut(&cluster)?;
    let taken = all.remove(&name).map(|object| *object);
    if all.is_empty() {
        objects.remove(&cluster);
    }
    taken
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(namespace: &str, cluster: &str, name: &str, text: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                labels: Some([(CLUSTER.to_owned(), cluster.to_owned())].into()),
                ..ObjectMeta::default()
            },
            data: Some([("k".to_owned(), text.to_owned())].into()),
            ..ConfigMap::default()
        }
    }

    fn names(changed: &[ObjectMeta]) -> Vec<&str> {
        changed.iter().filter_map(|m| m.name.as_deref()).collect()
    }

    #[test]
    fn only_what_differs_is_told() {
        let table = Table::default();
        assert_eq!(names(&table.change(None, Change::One(object("a", "c", "x", "1")))), ["x"]);
        assert!(table.change(None, Change::One(object("a", "c", "x", "1"))).is_empty());
        assert_eq!(names(&table.change(None, Change::One(object("a", "c", "x", "2")))), ["x"]);
        assert_eq!(table.of("a", "c").len(), 1);
        assert_eq!(names(&table.change(None, Change::Gone(object("a", "c", "x", "2")))), ["x"]);
        assert!(table.of("a", "c").is_empty());
    }

    #[test]
    fn a_list_replaces_what_it_is_of() {
        let table = Table::default();
        for (namespace, name) in [("a", "x"), ("a", "y"), ("b", "z")] {
            table.change(None, Change::One(object(namespace, "c", name, "1")));
        }
        let list = vec![object("a", "c", "y", "1"), object("a", "c", "n", "1")];
        let mut changed = table.change(Some("a"), Change::All(list));
        changed.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(names(&changed), ["n", "x"]);
        assert_eq!(table.of("b", "c").len(), 1, "another namespace has its own list");
        assert_eq!(names(&table.change(None, Change::All(Vec::new()))).len(), 3);
    }
}
