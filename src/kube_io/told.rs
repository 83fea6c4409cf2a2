//! What a watch tells, small: a list of hundreds of clusters is taken in at once.

use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::children::Woken;
use super::ledger::Seen;
use crate::api::objects::{APP, CLUSTER};

/// What a watch tells.
#[derive(Debug)]
pub(super) enum Change<T> {
    /// These are all.
    All(Vec<T>),
    /// This one is new, or changed.
    One(T),
    /// This one is gone.
    Gone(T),
}

/// An object as it is kept, as JSON: of Kubernetes' own types one takes 5 KB, of which a tenth is said.
#[derive(Debug)]
pub(super) struct Kept<K>(Box<[u8]>, PhantomData<fn() -> K>);

impl<K> PartialEq for Kept<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K: Serialize + DeserializeOwned> Kept<K> {
    fn of(object: &K) -> Self {
        // Kubernetes' types have no keys but texts, which is all that could fail.
        Self(serde_json::to_vec(object).unwrap_or_default().into(), PhantomData)
    }

    /// The object. What is by the caches is waited by, so that one which could not be read would cost a look past them.
    pub(super) fn object(&self) -> Option<K> {
        serde_json::from_slice(&self.0)
            .inspect_err(|error| tracing::error!(%error, "an object in a cache cannot be read"))
            .ok()
    }
}

/// An object: whose it is, its stamp, and whatever is kept of it.
#[derive(Debug)]
pub(super) struct Told<T> {
    /// Its namespace; of a node empty.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
    /// What the cluster runs that it belongs to.
    software: Option<String>,
    /// The cluster that it belongs to.
    pub(super) cluster: Option<String>,
    /// Its stamp.
    pub(super) seen: Seen,
    /// What is kept of it.
    pub(super) kept: T,
}

impl<T> Told<T> {
    fn new(meta: &ObjectMeta, kept: T) -> Self {
        let label = |key: &str| meta.labels.as_ref().and_then(|l| l.get(key)).cloned();
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            software: label(APP),
            cluster: label(CLUSTER),
            seen: Seen::of(meta),
            kept,
        }
    }

    /// The cluster that it concerns, if it is one's.
    pub(super) fn woken(&self) -> Option<Woken> {
        Some(Woken {
            software: self.software.clone()?,
            namespace: self.namespace.clone(),
            cluster: self.cluster.clone()?,
        })
    }
}

impl Told<()> {
    /// Nothing of it is kept.
    pub(super) fn of<K: Resource>(object: &K) -> Self {
        Self::new(object.meta(), ())
    }
}

impl<K: Resource + Serialize + DeserializeOwned> Told<Kept<K>> {
    /// This is kept of it.
    pub(super) fn keeping(object: &K) -> Self {
        Self::new(object.meta(), Kept::of(object))
    }
}
