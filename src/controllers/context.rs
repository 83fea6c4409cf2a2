//! What every reconcile needs, and nothing of what one of them remembers that a decision depends on: a new process knows as much as
//! this one.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::events::Reporter;

use super::listings::Listings;
use crate::admin::answer::Answer;
use crate::admin::database::Databases;
use crate::admin::direct::Direct;
use crate::admin::proxied::Proxied;
use crate::admin::transport::{Call, NoAnswer, Transport};
use crate::kube_io::{Children, Leadership, Ledger, Objects, Scope};
use crate::metrics::Metrics;

/// How the operator was started.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its own namespace: the lease and the push groups are there.
    pub namespace: String,
    /// Which namespaces it looks after.
    pub scope: Scope,
    /// How often a cluster at rest is looked at.
    pub slow_pace: Duration,
    /// How often one with something under way is.
    pub fast_pace: Duration,
    /// How many reconciles run at a time.
    pub workers: u16,
}

/// The way to the admin ports.
#[derive(Clone)]
pub enum Admins {
    /// Straight to the pods.
    Direct(Direct),
    /// Through the API server.
    Proxied(Proxied),
}

impl Transport for Admins {
    async fn send(&self, call: Call<'_>) -> Result<Answer, NoAnswer> {
        match self {
            Self::Direct(direct) => direct.send(call).await,
            Self::Proxied(proxied) => proxied.send(call).await,
        }
    }
}

/// What every reconcile needs.
pub struct Context {
    /// How the operator was started.
    pub settings: Settings,
    /// Kubernetes.
    pub objects: Objects,
    /// What was made, as the watches tell.
    pub children: Arc<Children>,
    /// Its stamps.
    pub ledger: Arc<Ledger>,
    /// When each cluster was last seen past the caches.
    pub listings: Listings,
    /// The way to the admin ports.
    pub admins: Admins,
    /// Databases.
    pub databases: Arc<Databases>,
    /// The way to pages outside of the clusters: the health of what they depend on.
    pub pages: Direct,
    /// Whether this process leads.
    pub leadership: Leadership,
    /// Who tells Events.
    pub reporter: Reporter,
    /// Figures.
    pub metrics: Arc<Metrics>,
}
