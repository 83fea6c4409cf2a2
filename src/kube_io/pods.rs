//! Acts on single pods, each bound to the uid that was decided about: another pod of that name is never touched.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, EvictParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::error::KubeError;
use crate::api::objects::OPERATOR;

/// Acts on the pods of a namespace.
pub struct PodWriter {
    pods: Api<Pod>,
}

impl PodWriter {
    /// Acts by this client.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { pods: Api::namespaced(client, namespace) }
    }

    /// Takes one scheduling gate off, and marks the pod with an annotation in the same write. A pod that is gone, another one of
    /// its name, or one without the gate is no error.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn lift_gate(
        &self,
        name: &str,
        uid: &str,
        gate: &str,
        (key, value): (&str, &str),
    ) -> Result<(), KubeError> {
        let Some(pod) = self.pods.get_opt(name).await?.filter(|p| p.uid().as_deref() == Some(uid)) else {
            return Ok(());
        };
        let gates = pod.spec.as_ref().and_then(|s| s.scheduling_gates.as_deref()).unwrap_or_default();
        let Some(index) = gates.iter().position(|g| g.name == gate) else { return Ok(()) };
        let gate_path = format!("/spec/schedulingGates/{index}");
        let mark = if pod.metadata.annotations.is_some() {
            let path = format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1"));
            json!({"op": "add", "path": path, "value": value})
        } else {
            json!({"op": "add", "path": "/metadata/annotations", "value": {key: value}})
        };
        let steps = json!([
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "test", "path": format!("{gate_path}/name"), "value": gate},
            mark,
            {"op": "remove", "path": gate_path},
        ]);
        let patch: json_patch::Patch =
            serde_json::from_value(steps).map_err(|e| KubeError::Refused(e.to_string()))?;
        let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        self.pods.patch(name, &params, &Patch::<Pod>::Json(patch)).await?;
        Ok(())
    }

    /// Annotates it. A pod that is gone, or another one of its name, is no error.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn annotate(&self, name: &str, uid: &str, key: &str, value: &str) -> Result<(), KubeError> {
        // With another uid than the present one the API server refuses the patch as a conflict.
        let patch = json!({"metadata": {"uid": uid, "annotations": {key: value}}});
        let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        unless_gone(self.pods.patch(name, &params, &Patch::Merge(patch)).await.map(|_| ()))
    }

    /// Asks for its eviction. A pod that is gone, or another one of its name, is no error.
    ///
    /// # Errors
    /// What the API server says: a budget for disruptions may refuse it, and that of a pod with two budgets is always refused.
    pub async fn evict(&self, name: &str, uid: &str) -> Result<(), KubeError> {
        let params = EvictParams { delete_options: Some(bound_to(uid)), ..EvictParams::default() };
        unless_gone(self.pods.evict(name, &params).await.map(|_| ()))
    }

    /// Deletes it. A pod that is gone, or another one of its name, is no error.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn delete(&self, name: &str, uid: &str) -> Result<(), KubeError> {
        unless_gone(self.pods.delete(name, &bound_to(uid)).await.map(|_| ()))
    }
}

fn bound_to(uid: &str) -> DeleteParams {
    DeleteParams::default().preconditions(Preconditions { uid: Some(uid.to_owned()), resource_version: None })
}

fn unless_gone(result: Result<(), kube::Error>) -> Result<(), KubeError> {
    match result.map_err(KubeError::from) {
        Err(KubeError::NotFound(_) | KubeError::Conflict(_)) => Ok(()),
        other => other,
    }
}
