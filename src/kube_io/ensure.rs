//! Making an object be as it is wanted, with as few requests as that takes: none for what is known to be right, one read
//! for what is not known, and one write for what is not right.

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::ApiResource;
use serde_json::{Value, json};

use super::error::KubeError;
use super::ledger::{ChildKey, Ledger, Seen};
use super::objects::{Objects, Orphan, kind, kind_of};
use crate::api::http_route::HttpRoute;
use crate::types::{covers, fingerprint};

/// The annotation with a hash of what was applied: without it nobody would see that a field is no longer wanted.
const APPLIED: &str = "middleware.sofastack.io/applied";

/// Writes objects.
pub struct Writer<'a> {
    /// All objects.
    pub objects: &'a Objects,
    /// What is known of those that the operator has made.
    pub ledger: &'a Ledger,
}

impl Writer<'_> {
    /// Makes this object be as it is wanted.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn ensure(&self, wanted: &Value) -> Result<(), KubeError> {
        let key = ChildKey::of(wanted)?;
        let mark = fingerprint(&wanted.to_string());
        if self.ledger.is_right(&key, &mark) {
            return Ok(());
        }
        let marked = with_mark(wanted.clone(), &mark);
        let present = self.objects.get(&kind_of(wanted)?, &key.namespace, &key.name).await;
        let present = present.map_err(|error| not_served(error, wanted))?;
        if let Some(owner) = present.as_ref().and_then(|present| other_owner(present, wanted)) {
            return Err(KubeError::Refused(format!(
                "{} {}/{} belongs to {owner}: give one of the two clusters another name",
                key.kind, key.namespace, key.name
            )));
        }
        if let Some(present) = present.filter(|present| covers(present, &marked)) {
            self.note(&key, &present, mark);
            return Ok(());
        }
        let written = self.objects.apply(&marked).await.map_err(|error| not_served(error, wanted))?;
        self.note(&key, &written, mark);
        Ok(())
    }

    /// Changes single fields of an object, unless it has them.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn ensure_fields(
        &self,
        kind: &ApiResource,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<(), KubeError> {
        let Some(present) = self.objects.get(kind, namespace, name).await? else {
            return Err(KubeError::NotFound(format!("{} {namespace}/{name}", kind.kind)));
        };
        if !covers(&present, patch) {
            self.objects.merge(kind, namespace, name, patch).await?;
        }
        Ok(())
    }

    /// Deletes what this cluster owns and no longer wants.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn prune(&self, namespace: &str, owner: &str, wanted: &[ChildKey]) -> Result<(), KubeError> {
        for (kind, key, uid) in surplus(self.ledger, namespace, owner, wanted) {
            self.objects.delete(&kind, &key.namespace, &key.name, &uid, Orphan::Nothing).await?;
            self.ledger.gone(&key);
        }
        Ok(())
    }

    fn note(&self, key: &ChildKey, object: &Value, mark: String) {
        let meta = object.get("metadata").cloned().unwrap_or_default();
        if let Ok(meta) = serde_json::from_value(meta) {
            self.ledger.right(key.clone(), Seen::of(&meta), mark);
        }
    }
}

/// What this cluster owns, of the kinds that are pruned, and no longer wants.
#[must_use]
pub fn surplus(
    ledger: &Ledger,
    namespace: &str,
    owner: &str,
    wanted: &[ChildKey],
) -> Vec<(ApiResource, ChildKey, String)> {
    let there = ledger.owned_by(namespace, owner).into_iter().filter(|(key, _)| !wanted.contains(key));
    there
        .filter_map(|(key, uid)| Some((pruned().into_iter().find(|kind| kind.kind == key.kind)?, key, uid)))
        .collect()
}

/// Kinds of which a cluster may want fewer than it has. StatefulSets are not among them: their servers end in order.
fn pruned() -> [ApiResource; 6] {
    [
        kind::<Service>(),
        kind::<NetworkPolicy>(),
        kind::<Ingress>(),
        kind::<HttpRoute>(),
        kind::<PodDisruptionBudget>(),
        kind::<ConfigMap>(),
    ]
}

/// Another cluster that controls this object: names may meet, as `prod-console` of a `DrmCluster` and a `SchedulerCluster`.
fn other_owner(present: &Value, wanted: &Value) -> Option<String> {
    let controllers = |object: &Value| -> Vec<(String, String)> {
        let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let controlling = owners.into_iter().flatten().filter(|owner| owner["controller"] == true);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        controlling.map(|owner| (text(&owner["kind"]), text(&owner["name"]))).collect()
    };
    let ours = controllers(wanted);
    let other = controllers(present).into_iter().find(|owner| !ours.is_empty() && !ours.contains(owner))?;
    Some(format!("{} {}", other.0, other.1))
}

/// Not found, of an object that is read or applied: its kind is not there (an API server says so of a path), or its namespace. Trying
/// again makes no kind, so a person is told.
fn not_served(error: KubeError, wanted: &Value) -> KubeError {
    let unknown = |text: &str| {
        text.contains("could not find the requested resource") || text.contains("page not found")
    };
    match error {
        KubeError::NotFound(text) if unknown(&text) => KubeError::Refused(format!(
            "this cluster has no {} of {}: install what brings it, or do without in the spec",
            wanted["kind"].as_str().unwrap_or_default(),
            wanted["apiVersion"].as_str().unwrap_or_default(),
        )),
        other => other,
    }
}

fn with_mark(mut object: Value, mark: &str) -> Value {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = meta.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(APPLIED.to_owned(), json!(mark));
        }
    }
    object
}

impl ChildKey {
    /// Which object this is.
    ///
    /// # Errors
    /// If it does not say.
    pub fn of(object: &Value) -> Result<Self, KubeError> {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        kind_of(object)?;
        Ok(Self { kind: text("/kind"), namespace: text("/metadata/namespace"), name: text("/metadata/name") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_is_not_there_is_told_and_a_namespace_is_waited_for() {
        let route = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"});
        for text in ["the server could not find the requested resource", "404 page not found\n"] {
            let told = not_served(KubeError::NotFound(text.to_owned()), &route).to_string();
            assert!(told.contains("no HTTPRoute of gateway.networking.k8s.io/v1: install"), "{told}");
        }
        let namespace = KubeError::NotFound("namespaces \"pay\" not found".to_owned());
        assert_eq!(not_served(namespace.clone(), &route), namespace);
    }

    #[test]
    fn an_object_of_another_cluster_is_not_taken() {
        let owned = |kind: &str, name: &str| json!({"metadata": {"ownerReferences": [{"kind": kind, "name": name, "controller": true}]}});
        let ours = owned("DrmCluster", "prod");
        assert_eq!(other_owner(&ours, &ours), None);
        assert_eq!(other_owner(&json!({"metadata": {}}), &ours), None, "what nobody owns is taken");
        let other = other_owner(&owned("SchedulerCluster", "prod"), &ours);
        assert_eq!(other.as_deref(), Some("SchedulerCluster prod"));
        let record = json!({"metadata": {"name": "record"}});
        assert_eq!(
            other_owner(&owned("DrmCluster", "prod"), &record),
            None,
            "what has no owner is not ours to judge"
        );
    }
}
