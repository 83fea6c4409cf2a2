//! Write requests of the operator: one function, counted and logged.

use serde_json::Value;

use super::FakeCluster;
use super::json::{list, merge_patch, set, text, unset};
use super::merge::{FieldPath, leaves, merge, remove};
use super::object::{ApiError, Key};

/// Which part of an object a request writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Everything but the status.
    Main,
    /// The status alone (the subresource).
    Status,
}

/// What becomes of the dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Propagation {
    /// They are deleted afterwards.
    #[default]
    Background,
    /// They are deleted first.
    Foreground,
    /// They stay, without this owner.
    Orphan,
}

/// Options of a delete.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct DeleteOptions {
    /// Only the object with this uid.
    pub uid: Option<String>,
    /// What becomes of the dependents.
    pub propagation: Propagation,
    /// The pod's grace, in seconds; 0 removes its object without waiting for its kubelet.
    pub grace_seconds: Option<u64>,
}

/// A write request.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// POST.
    Create(Value),
    /// PUT: with a `metadata.resourceVersion` only if it is still that.
    Update(Value, Part),
    /// PATCH, a merge patch. A `metadata.resourceVersion` in it is a precondition.
    MergePatch(Key, Value, Part),
    /// PATCH, server-side apply.
    Apply {
        /// The fields that the manager wants.
        object: Value,
        /// The field manager.
        manager: String,
        /// Whether fields of others are taken over, instead of a conflict.
        force: bool,
        /// The part.
        part: Part,
    },
    /// DELETE.
    Delete(Key, DeleteOptions),
    /// POST on a pod's `eviction`, with its uid as precondition.
    Evict(Key, Option<String>),
}

impl Write {
    /// Server-side apply of the main part, by force.
    #[must_use]
    pub fn apply(manager: &str, object: Value) -> Self {
        Self::Apply { object, manager: manager.to_owned(), force: true, part: Part::Main }
    }

    /// A merge patch of the status that holds only for this resourceVersion.
    #[must_use]
    pub fn status(key: Key, status: &Value, resource_version: &str) -> Self {
        let patch = serde_json::json!({"metadata": {"resourceVersion": resource_version}, "status": status});
        Self::MergePatch(key, patch, Part::Status)
    }

    fn key(&self) -> Key {
        match self {
            Self::Create(object) | Self::Update(object, _) | Self::Apply { object, .. } => Key::of(object),
            Self::MergePatch(key, ..) | Self::Delete(key, _) | Self::Evict(key, _) => key.clone(),
        }
    }

    const fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Update(_, Part::Main) => "update",
            Self::Update(_, Part::Status) => "update status of",
            Self::MergePatch(_, _, Part::Main) => "patch",
            Self::MergePatch(_, _, Part::Status) => "patch status of",
            Self::Apply { part: Part::Main, .. } => "apply",
            Self::Apply { part: Part::Status, .. } => "apply status of",
            Self::Delete(..) => "delete",
            Self::Evict(..) => "evict",
        }
    }
}

/// Fields of a StatefulSet that no update may change.
const FIXED: [&str; 4] =
    ["/spec/selector", "/spec/serviceName", "/spec/volumeClaimTemplates", "/spec/podManagementPolicy"];

impl FakeCluster {
    /// The one way in for writes of the operator. The [`super::Tripwire`] may end it before or after.
    ///
    /// # Errors
    /// What the API server would refuse, or [`ApiError::CallerCrashed`].
    pub fn write(&mut self, write: &Write) -> Result<Value, ApiError> {
        if !self.tripwire.may_send() {
            return Err(ApiError::CallerCrashed);
        }
        let before = self.version;
        let result = self.execute(write);
        let outcome = match &result {
            Ok(_) if self.version == before => "unchanged".to_owned(),
            Ok(_) => "done".to_owned(),
            Err(error) => error.to_string(),
        };
        self.log.push(format!("{} {}: {outcome}", write.verb(), write.key()));
        if !self.tripwire.may_learn() {
            return Err(ApiError::CallerCrashed);
        }
        result
    }

    fn execute(&mut self, write: &Write) -> Result<Value, ApiError> {
        match write {
            Write::Create(object) => {
                let mut object = object.clone();
                unset(&mut object, "", "status");
                self.insert(object)
            }
            Write::Update(object, part) => {
                let present = self.expect_version(&Key::of(object), object)?;
                let next = written(&present, object, *part);
                self.check_and_replace(&present, next)
            }
            Write::MergePatch(key, patch, part) => {
                let present = self.expect_version(key, patch)?;
                let mut patched = present.clone();
                merge_patch(&mut patched, patch);
                let next = written(&present, &patched, *part);
                self.check_and_replace(&present, next)
            }
            Write::Apply { object, manager, force, part } => self.apply(object, manager, *force, *part),
            Write::Delete(key, options) => self.delete(key, options),
            Write::Evict(key, uid) => self.evict(key, uid.as_deref()),
        }
    }

    /// The present object, if the request's resourceVersion and uid, where it has them, are the present ones.
    fn expect_version(&self, key: &Key, request: &Value) -> Result<Value, ApiError> {
        let present = self.found(key)?;
        for field in ["/metadata/resourceVersion", "/metadata/uid"] {
            let wanted = text(request, field);
            if !wanted.is_empty() && wanted != text(&present, field) {
                let what = field.rsplit('/').next().unwrap_or_default();
                return Err(ApiError::Conflict(format!(
                    "{key}: {what} is {}, not {wanted}: the object has been modified",
                    text(&present, field)
                )));
            }
        }
        Ok(present)
    }

    fn check_and_replace(&mut self, present: &Value, next: Value) -> Result<Value, ApiError> {
        let key = Key::of(present);
        if key.kind == "apps/StatefulSet"
            && let Some(field) = FIXED.iter().find(|f| present.pointer(f) != next.pointer(f))
        {
            return Err(ApiError::Invalid(format!("{key}: {field} must not change")));
        }
        if key.kind == "Pod" {
            let gates = |o: &Value| list(o, "/spec/schedulingGates").to_vec();
            let (before, after) = (gates(present), gates(&next));
            if after.iter().any(|g| !before.contains(g)) {
                return Err(ApiError::Invalid(format!("{key}: scheduling gates can only be removed")));
            }
            let mut rest = next.clone();
            set(&mut rest, &["spec", "schedulingGates"], before.into());
            let mut spec = present.clone();
            set(&mut spec, &["spec", "schedulingGates"], gates(present).into());
            if rest.pointer("/spec") != spec.pointer("/spec") {
                return Err(ApiError::Invalid(format!("{key}: the spec of a pod must not change")));
            }
        }
        Ok(self.replace(&key, next))
    }

    fn apply(&mut self, object: &Value, manager: &str, force: bool, part: Part) -> Result<Value, ApiError> {
        let key = Key::of(object);
        if part == Part::Status {
            self.found(&key)?;
        }
        let mut wanted = object.clone();
        match part {
            Part::Main => unset(&mut wanted, "", "status"),
            Part::Status => unset(&mut wanted, "", "spec"),
        }
        for field in ["resourceVersion", "uid"] {
            unset(&mut wanted, "/metadata", field);
        }
        let new = leaves(&wanted);
        self.settle_owners(&key, manager, &new, force)?;
        // The status subresource is a field set of its own.
        let owner = (
            key.clone(),
            if part == Part::Status { format!("{manager}/status") } else { manager.to_owned() },
        );
        let Some(present) = self.objects.get(&key).cloned() else {
            let created = self.insert(wanted.clone())?;
            self.applied.insert(owner, wanted);
            return Ok(created);
        };
        self.expect_version(&key, object)?;
        let old = self.applied.get(&owner).map(leaves).unwrap_or_default();
        let others = self.fields_of_others(&owner);
        let gone: Vec<FieldPath> =
            old.into_keys().filter(|path| !new.contains_key(path) && !others.contains(path)).collect();
        let mut next = present.clone();
        remove(&mut next, &gone);
        merge("", &mut next, &wanted);
        let result = self.check_and_replace(&present, written(&present, &next, part))?;
        if self.objects.contains_key(&key) {
            self.applied.insert(owner, wanted);
        }
        Ok(result)
    }

    fn fields_of_others(&self, owner: &(Key, String)) -> std::collections::BTreeSet<FieldPath> {
        let others = self.applied.iter().filter(|(other, _)| other.0 == owner.0 && other.1 != owner.1);
        others.flat_map(|(_, applied)| leaves(applied).into_keys()).collect()
    }

    /// Fields that another manager applied with another value: a conflict, or taken from it by force.
    fn settle_owners(
        &mut self,
        key: &Key,
        manager: &str,
        new: &std::collections::BTreeMap<FieldPath, Value>,
        force: bool,
    ) -> Result<(), ApiError> {
        for ((other_key, other), applied) in &mut self.applied {
            if other_key != key || other.trim_end_matches("/status") == manager {
                continue;
            }
            let theirs = leaves(applied);
            let taken: Vec<FieldPath> = theirs
                .into_iter()
                .filter(|(path, value)| new.get(path).is_some_and(|wanted| wanted != value))
                .map(|(path, _)| path)
                .collect();
            if !taken.is_empty() && !force {
                return Err(ApiError::Conflict(format!(
                    "{key}: {} fields are managed by {other}",
                    taken.len()
                )));
            }
            remove(applied, &taken);
        }
        Ok(())
    }

    fn delete(&mut self, key: &Key, options: &DeleteOptions) -> Result<Value, ApiError> {
        let present = self.found(key)?;
        let uid = text(&present, "/metadata/uid").to_owned();
        if let Some(wanted) = options.uid.as_ref().filter(|wanted| **wanted != uid) {
            return Err(ApiError::Conflict(format!("{key}: uid is {uid}, not {wanted}")));
        }
        match options.propagation {
            Propagation::Background => {}
            Propagation::Foreground => {
                let mut finalizers = list(&present, "/metadata/finalizers").to_vec();
                finalizers.push("foregroundDeletion".into());
                self.controller_set(key, &["metadata", "finalizers"], finalizers.into());
            }
            Propagation::Orphan => self.orphan_dependents(&uid),
        }
        if key.kind == "Pod" {
            return Ok(self.delete_pod(key, options.grace_seconds));
        }
        Ok(self.begin_deletion(key).unwrap_or(present))
    }

    fn orphan_dependents(&mut self, uid: &str) {
        let owned: Vec<(Key, Vec<Value>)> = self
            .objects
            .iter()
            .filter(|(_, o)| list(o, "/metadata/ownerReferences").iter().any(|r| text(r, "/uid") == uid))
            .map(|(key, o)| {
                let owners = list(o, "/metadata/ownerReferences").iter();
                (key.clone(), owners.filter(|r| text(r, "/uid") != uid).cloned().collect())
            })
            .collect();
        for (key, owners) in owned {
            self.controller_set(&key, &["metadata", "ownerReferences"], owners.into());
        }
    }
}

/// The object after a write of one part: the other part stays as it is.
fn written(present: &Value, wanted: &Value, part: Part) -> Value {
    let (mut next, keep) = match part {
        Part::Main => (wanted.clone(), present),
        Part::Status => (present.clone(), wanted),
    };
    match keep.get("status") {
        Some(status) => set(&mut next, &["status"], status.clone()),
        None => unset(&mut next, "", "status"),
    }
    next
}
