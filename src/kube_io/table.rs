//! Objects by the cluster that they belong to, as a watch has told of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::children::Woken;
use super::told::{Change, Kept, Told};

type ByCluster<K> = HashMap<(String, String), BTreeMap<String, Kept<K>>>;

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

impl<K: Resource + Serialize + DeserializeOwned> Table<K> {
    fn objects(&self) -> MutexGuard<'_, ByCluster<K>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The objects of a cluster.
    pub(super) fn of(&self, namespace: &str, cluster: &str) -> Vec<K> {
        let key = (namespace.to_owned(), cluster.to_owned());
        self.objects().get(&key).into_iter().flat_map(BTreeMap::values).filter_map(Kept::object).collect()
    }

    /// Takes a change in; `namespace`: the only one that a list is of. Gives back whom it concerns: whose objects differ from
    /// before.
    pub(super) fn change(&self, namespace: Option<&str>, change: Change<Told<Kept<K>>>) -> Vec<Woken> {
        let mut objects = self.objects();
        match change {
            Change::One(object) => put(&mut objects, object).into_iter().collect(),
            Change::Gone(object) => {
                take(&mut objects, &object);
                object.woken().into_iter().collect()
            }
            Change::All(list) => {
                let mut old = std::mem::take(&mut *objects);
                if let Some(only) = namespace {
                    objects.extend(old.extract_if(|key, _| key.0 != only));
                }
                let mut changed = Vec::new();
                for object in list {
                    if take(&mut old, &object).as_ref() != Some(&object.kept) {
                        changed.extend(object.woken());
                    }
                    put(&mut objects, object);
                }
                let gone = old.into_values().flat_map(BTreeMap::into_values);
                changed.extend(gone.filter_map(|gone| Told::of(&gone.object()?).woken()));
                changed
            }
        }
    }
}

fn key<T>(object: &Told<T>) -> (String, String) {
    (object.namespace.clone(), object.cluster.clone().unwrap_or_default())
}

/// Puts one in; gives back whom it concerns if that is a change.
fn put<K>(objects: &mut ByCluster<K>, object: Told<Kept<K>>) -> Option<Woken> {
    let all = objects.entry(key(&object)).or_default();
    if all.get(&object.name) == Some(&object.kept) {
        return None;
    }
    let woken = object.woken();
    all.insert(object.name, object.kept);
    woken
}

fn take<K>(objects: &mut ByCluster<K>, object: &Told<Kept<K>>) -> Option<Kept<K>> {
    let key = key(object);
    let all = objects.get_mut(&key)?;
    let taken = all.remove(&object.name);
    if all.is_empty() {
        objects.remove(&key);
    }
    taken
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;
    use crate::api::objects::{APP, CLUSTER};

    /// Of a cluster of its own name, so that it is seen who is woken.
    fn object(namespace: &str, name: &str, text: &str) -> Told<Kept<ConfigMap>> {
        let labels = [(CLUSTER, name), (APP, "sofa-registry")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        Told::keeping(&ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                labels: Some(labels.into()),
                ..ObjectMeta::default()
            },
            data: Some([("k".to_owned(), text.to_owned())].into()),
            ..ConfigMap::default()
        })
    }

    fn names(mut changed: Vec<Woken>) -> Vec<String> {
        changed.sort_by(|a, b| a.cluster.cmp(&b.cluster));
        changed.into_iter().map(|woken| woken.cluster).collect()
    }

    fn text(table: &Table<ConfigMap>, cluster: &str) -> Vec<String> {
        table.of("a", cluster).into_iter().filter_map(|map| map.data?.remove("k")).collect()
    }

    #[test]
    fn only_what_differs_is_told() {
        let table = Table::default();
        assert_eq!(names(table.change(None, Change::One(object("a", "x", "1")))), ["x"]);
        assert!(table.change(None, Change::One(object("a", "x", "1"))).is_empty());
        assert_eq!(names(table.change(None, Change::One(object("a", "x", "2")))), ["x"]);
        assert_eq!(text(&table, "x"), ["2"]);
        assert_eq!(names(table.change(None, Change::Gone(object("a", "x", "2")))), ["x"]);
        assert!(text(&table, "x").is_empty());
    }

    #[test]
    fn a_list_replaces_what_it_is_of() {
        let table = Table::default();
        for (namespace, name) in [("a", "x"), ("a", "y"), ("b", "z")] {
            table.change(None, Change::One(object(namespace, name, "1")));
        }
        let list = vec![object("a", "y", "1"), object("a", "n", "1")];
        assert_eq!(names(table.change(Some("a"), Change::All(list))), ["n", "x"]);
        assert_eq!(table.of("b", "z").len(), 1, "another namespace has its own list");
        assert_eq!(names(table.change(None, Change::All(Vec::new()))), ["n", "y", "z"]);
    }
}
