//! Objects of any kind, as JSON: read, written and deleted by their kind and name.

use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Resource};
use serde_json::Value;

use super::error::KubeError;
use crate::api::objects::OPERATOR;

/// Objects of the cluster.
#[derive(Clone)]
pub struct Objects {
    client: Client,
}

/// A kind, by its type.
#[must_use]
pub fn kind<K: Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}

/// The kind of an object, by its own words.
///
/// # Errors
/// If it does not say which kind it is.
pub(super) fn kind_of(object: &Value) -> Result<ApiResource, KubeError> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("apiVersion").rsplit_once('/').unwrap_or(("", text("apiVersion")));
    if version.is_empty() || text("kind").is_empty() {
        return Err(KubeError::Refused("an object without apiVersion and kind".to_owned()));
    }
    Ok(ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind"))))
}

impl Objects {
    /// Objects by this client.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    fn api(&self, kind: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), kind)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, kind)
        }
    }

    /// Reads one past every cache. `None`: it is not there.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn get(
        &self,
        kind: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, KubeError> {
        let found = self.api(kind, namespace).get_opt(name).await?;
        found.map(|object| value(&object)).transpose()
    }

    /// Reads all with these labels past every cache.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn list(
        &self,
        kind: &ApiResource,
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<Value>, KubeError> {
        let params = ListParams::default().labels(labels);
        self.api(kind, namespace).list(&params).await?.items.iter().map(value).collect()
    }

    /// Applies one, and takes from others the fields that it names.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn apply(&self, object: &Value) -> Result<Value, KubeError> {
        let (kind, namespace, name) = address(object)?;
        let params = PatchParams::apply(OPERATOR).force();
        value(&self.api(&kind, &namespace).patch(&name, &params, &Patch::Apply(object)).await?)
    }

    /// Changes single fields. `null` takes one away; a `metadata.resourceVersion` in it is a precondition.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn merge(
        &self,
        kind: &ApiResource,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, KubeError> {
        let params = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
        value(&self.api(kind, namespace).patch(name, &params, &Patch::Merge(patch)).await?)
    }

    /// Makes one that is not there.
    ///
    /// # Errors
    /// What the API server says; a conflict if it is there.
    pub async fn create(&self, object: &Value) -> Result<Value, KubeError> {
        let (kind, namespace, _) = address(object)?;
        let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        value(&self.api(&kind, &namespace).create(&params, &dynamic(object)?).await?)
    }

    /// Replaces the whole of one, if it still has the resourceVersion that stands in it.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn replace(&self, object: &Value) -> Result<Value, KubeError> {
        let (kind, namespace, name) = address(object)?;
        let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        value(&self.api(&kind, &namespace).replace(&name, &params, &dynamic(object)?).await?)
    }

    /// Replaces the whole status of one, if it still has the resourceVersion that stands in it.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn replace_status(&self, object: &Value) -> Result<Value, KubeError> {
        let (kind, namespace, name) = address(object)?;
        let params = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        value(&self.api(&kind, &namespace).replace_status(&name, &params, &dynamic(object)?).await?)
    }

    /// Deletes the one with this uid. `orphan`: what it owns stays. One that is gone is no error.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn delete(
        &self,
        kind: &ApiResource,
        namespace: &str,
        name: &str,
        uid: &str,
        orphan: Orphan,
    ) -> Result<(), KubeError> {
        let params = match orphan {
            Orphan::Nothing => DeleteParams::background(),
            Orphan::WhatItOwns => DeleteParams::orphan(),
        };
        let only = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        match self.api(kind, namespace).delete(name, &params.preconditions(only)).await {
            Ok(_) => Ok(()),
            Err(e) => match KubeError::from(e) {
                // Gone, or another one has its name.
                KubeError::NotFound(_) | KubeError::Conflict(_) => Ok(()),
                other => Err(other),
            },
        }
    }
}

/// What a delete leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orphan {
    /// What it owns goes with it.
    Nothing,
    /// What it owns stays, without an owner.
    WhatItOwns,
}

fn address(object: &Value) -> Result<(ApiResource, String, String), KubeError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok((kind_of(object)?, text("/metadata/namespace"), text("/metadata/name")))
}

fn value(object: &DynamicObject) -> Result<Value, KubeError> {
    serde_json::to_value(object).map_err(|e| KubeError::Refused(e.to_string()))
}

fn dynamic(object: &Value) -> Result<DynamicObject, KubeError> {
    serde_json::from_value(object.clone()).map_err(|e| KubeError::Refused(e.to_string()))
}
