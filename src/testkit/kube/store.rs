//! The objects: every change of one, by a request or by a controller, is committed here.

use serde_json::{Value, json};

use super::super::Millis;
use super::FakeCluster;
use super::json::{list, set, text, unset};
use super::object::{ApiError, Change, Key, Objects, WatchEvent};

/// What the wall clock says when a test begins: 2026-01-01T00:00:00Z.
const CLOCK_AT_START_SECONDS: i64 = 1_767_225_600;

/// A moment as Kubernetes writes it, to the second.
pub(super) fn timestamp(at: Millis) -> Value {
    let seconds = i64::try_from(at / 1_000).unwrap_or(0) + CLOCK_AT_START_SECONDS;
    k8s_openapi::jiff::Timestamp::from_second(seconds).map_or(Value::Null, |t| t.to_string().into())
}

/// Everything that is the object's specification: a change of it is a new generation.
fn specification(object: &Value) -> Value {
    let mut rest = object.clone();
    if let Value::Object(fields) = &mut rest {
        fields.remove("metadata");
        fields.remove("status");
    }
    rest
}

impl FakeCluster {
    /// The objects as the API server has them now: an uncached read.
    #[must_use]
    pub const fn objects(&self) -> Objects<'_> {
        Objects(&self.objects)
    }

    /// The newest resourceVersion.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn found(&self, key: &Key) -> Result<Value, ApiError> {
        self.objects.get(key).cloned().ok_or_else(|| ApiError::NotFound(key.clone()))
    }

    pub(super) fn keys(&self, kind: &str) -> Vec<Key> {
        self.objects.keys().filter(|k| k.kind == kind).cloned().collect()
    }

    /// Makes an object: uid, time, generation.
    pub(super) fn insert(&mut self, mut object: Value) -> Result<Value, ApiError> {
        self.uids += 1;
        let generate = text(&object, "/metadata/generateName").to_owned();
        if text(&object, "/metadata/name").is_empty() && !generate.is_empty() {
            set(&mut object, &["metadata", "name"], format!("{generate}{:05}", self.uids).into());
        }
        let key = Key::of(&object);
        if key.name.is_empty() {
            return Err(ApiError::Invalid("metadata.name: Required value".to_owned()));
        }
        if self.objects.contains_key(&key) {
            return Err(ApiError::AlreadyExists(key));
        }
        let namespace = Key::new("Namespace", "", &key.namespace);
        let ending = |o: &Value| !text(o, "/metadata/deletionTimestamp").is_empty();
        if self.objects.get(&namespace).is_some_and(ending) {
            return Err(ApiError::Forbidden(format!("namespace {} is being terminated", key.namespace)));
        }
        for field in ["resourceVersion", "deletionTimestamp", "selfLink"] {
            unset(&mut object, "/metadata", field);
        }
        set(&mut object, &["metadata", "uid"], format!("00000000-0000-4000-8000-{:012x}", self.uids).into());
        set(&mut object, &["metadata", "creationTimestamp"], timestamp(self.now));
        set(&mut object, &["metadata", "generation"], json!(1));
        Ok(self.commit(key, object, Change::Added))
    }

    /// Stores a changed object. One that is equal to what is there changes nothing, not even its version.
    pub(super) fn replace(&mut self, key: &Key, mut object: Value) -> Value {
        let Some(present) = self.objects.get(key) else { return object };
        let generation = present.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or(1);
        let changed = specification(present) != specification(&object);
        for field in ["uid", "creationTimestamp", "resourceVersion", "deletionTimestamp"] {
            match present.pointer(&format!("/metadata/{field}")) {
                Some(value) => set(&mut object, &["metadata", field], value.clone()),
                None if field == "deletionTimestamp" => {}
                None => unset(&mut object, "/metadata", field),
            }
        }
        set(&mut object, &["metadata", "generation"], json!(generation + u64::from(changed)));
        if *present == object {
            return object;
        }
        if Self::is_finished(&object) {
            return self.drop_object(key, object);
        }
        self.commit(key.clone(), object, Change::Modified)
    }

    /// Whether an object that is being deleted has nothing left to wait for. Pods wait for their kubelet.
    fn is_finished(object: &Value) -> bool {
        !text(object, "/metadata/deletionTimestamp").is_empty()
            && list(object, "/metadata/finalizers").is_empty()
            && Key::of(object).kind != "Pod"
    }

    /// Marks an object as being deleted; it goes at once if nothing holds it.
    pub(super) fn begin_deletion(&mut self, key: &Key) -> Option<Value> {
        let mut object = self.objects.get(key)?.clone();
        if text(&object, "/metadata/deletionTimestamp").is_empty() {
            set(&mut object, &["metadata", "deletionTimestamp"], timestamp(self.now));
        }
        if Self::is_finished(&object) {
            return Some(self.drop_object(key, object));
        }
        if self.objects.get(key) == Some(&object) {
            return Some(object);
        }
        Some(self.commit(key.clone(), object, Change::Modified))
    }

    /// The object is gone.
    pub(super) fn drop_object(&mut self, key: &Key, object: Value) -> Value {
        self.objects.remove(key);
        self.applied.retain(|(applied, _), _| applied != key);
        self.commit(key.clone(), object, Change::Deleted)
    }

    /// The one place where objects change: a new version, an event for every watch.
    fn commit(&mut self, key: Key, mut object: Value, change: Change) -> Value {
        self.version += 1;
        self.changed = true;
        // A custom resource that changes is of no concern to the controllers; one that goes is.
        if change != Change::Modified || !key.kind.starts_with(crate::api::v1alpha1::GROUP) {
            self.concerned = true;
        }
        set(&mut object, &["metadata", "resourceVersion"], self.version.to_string().into());
        if change != Change::Deleted {
            self.objects.insert(key.clone(), object.clone());
        }
        self.events.push(WatchEvent { version: self.version, change, key, object: object.clone() });
        object
    }

    /// A controller changes an object's status, or another part that is its own.
    pub(super) fn controller_set(&mut self, key: &Key, path: &[&str], to: Value) {
        let Some(mut object) = self.objects.get(key).cloned() else { return };
        set(&mut object, path, to);
        self.replace(key, object);
    }

    /// Dependents whose owners are all gone, and claims that nobody uses any more.
    pub(super) fn step_garbage(&mut self) {
        let uids: std::collections::BTreeSet<String> =
            self.objects.values().map(|o| text(o, "/metadata/uid").to_owned()).collect();
        let orphans: Vec<Key> = self
            .objects
            .iter()
            .filter(|(_, o)| text(o, "/metadata/deletionTimestamp").is_empty())
            .filter(|(_, o)| {
                let owners = list(o, "/metadata/ownerReferences");
                !owners.is_empty() && owners.iter().all(|owner| !uids.contains(text(owner, "/uid")))
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in orphans {
            self.begin_deletion(&key);
        }
        self.finish_foreground();
    }

    /// Owners deleted in the foreground go when their dependents have gone.
    fn finish_foreground(&mut self) {
        let waiting: Vec<(Key, String)> = self
            .objects
            .iter()
            .filter(|(_, o)| list(o, "/metadata/finalizers").contains(&json!("foregroundDeletion")))
            .map(|(key, o)| (key.clone(), text(o, "/metadata/uid").to_owned()))
            .collect();
        for (owner, uid) in waiting {
            let dependents: Vec<Key> = self
                .objects
                .iter()
                .filter(|(_, o)| list(o, "/metadata/ownerReferences").iter().any(|r| text(r, "/uid") == uid))
                .map(|(key, _)| key.clone())
                .collect();
            if dependents.is_empty() {
                self.remove_finalizer(&owner, "foregroundDeletion");
            }
            for dependent in dependents {
                self.begin_deletion(&dependent);
            }
        }
    }

    pub(super) fn remove_finalizer(&mut self, key: &Key, finalizer: &str) {
        let Some(object) = self.objects.get(key) else { return };
        let left: Vec<Value> = list(object, "/metadata/finalizers")
            .iter()
            .filter(|f| **f != json!(finalizer))
            .cloned()
            .collect();
        self.controller_set(key, &["metadata", "finalizers"], left.into());
    }

    /// Claims: bound at once, kept while a pod uses them (`kubernetes.io/pvc-protection`); one that has no node yet does not.
    pub(super) fn step_claims(&mut self) {
        for key in self.keys("PersistentVolumeClaim") {
            let Some(claim) = self.objects.get(&key) else { continue };
            if text(claim, "/metadata/deletionTimestamp").is_empty() {
                if text(claim, "/status/phase") != "Bound" {
                    let volume = format!("pvc-{}", text(claim, "/metadata/uid"));
                    self.controller_set(&key, &["spec", "volumeName"], volume.into());
                    self.controller_set(&key, &["status", "phase"], "Bound".into());
                }
                continue;
            }
            let used =
                self.objects.iter().filter(|(k, _)| k.kind == "Pod" && k.namespace == key.namespace).any(
                    |(_, pod)| {
                        !text(pod, "/spec/nodeName").is_empty()
                            && list(pod, "/spec/volumes")
                                .iter()
                                .any(|v| text(v, "/persistentVolumeClaim/claimName") == key.name)
                    },
                );
            if !used {
                self.remove_finalizer(&key, "kubernetes.io/pvc-protection");
            }
        }
    }
}
