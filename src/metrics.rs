//! Figures about the operator and its clusters, in the format that Prometheus reads.
//!
//! Labels are words from closed sets, and the names of clusters. May import `api` and the names of `validate`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::api::v1alpha1::{ClusterStatus, ConditionStatus, PushOwner, PushState};
use crate::validate::{ClusterKind, Identity};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    kind: &'static str,
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    result: &'static str,
}

/// What is told of one cluster.
#[derive(Debug, Clone)]
struct Cluster {
    kind: &'static str,
    conditions: Vec<String>,
    /// Since when the operator keeps push closed.
    closed_since: Option<Timestamp>,
}

/// From a millisecond to a quarter of a minute.
fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 8))
}

/// What is told of all of them, by namespace and name.
type Clusters = Arc<Mutex<HashMap<(&'static str, String, String), Cluster>>>;

/// All figures.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<OfKind, Counter>,
    seconds: Family<OfKind, Histogram, fn() -> Histogram>,
    failures: Family<Failed, Counter>,
    asked: Family<Asked, Counter>,
    leads: Gauge,
    clusters: Clusters,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sofa_operator");
        let reconciles = Family::default();
        registry.register("reconciles", "Reconciles that have ended", reconciles.clone());
        let seconds = Family::new_with_constructor(histogram as fn() -> Histogram);
        let help = "How long a reconcile takes, in seconds";
        registry.register("reconcile_seconds", help, Family::clone(&seconds));
        let failures = Family::default();
        registry.register("reconcile_errors", "Reconciles that ended early, by why", failures.clone());
        let asked = Family::default();
        registry.register("admin_requests", "Questions to admin ports, by what came of them", asked.clone());
        let leads = Gauge::default();
        registry.register("leads", "Whether this process leads", leads.clone());
        let clusters = Clusters::default();
        registry.register_collector(Box::new(OfClusters(Arc::clone(&clusters))));
        Self { registry, reconciles, seconds, failures, asked, leads, clusters }
    }
}

impl Metrics {
    /// A reconcile has ended.
    pub fn reconciled(&self, kind: &'static str, took: Duration) {
        self.reconciles.get_or_create(&OfKind { kind }).inc();
        self.seconds.get_or_create(&OfKind { kind }).observe(took.as_secs_f64());
    }

    /// A reconcile has ended early.
    pub fn failed(&self, kind: &'static str, class: &'static str) {
        self.failures.get_or_create(&Failed { kind, class }).inc();
    }

    /// A question was sent to an admin port.
    pub fn asked(&self, result: &'static str) {
        self.asked.get_or_create(&Asked { result }).inc();
    }

    /// Whether this process leads.
    pub fn leads(&self, leads: bool) {
        self.leads.set(leads.into());
    }

    /// How a cluster is.
    pub fn noted(&self, identity: &Identity, status: &ClusterStatus) {
        let held = status.conditions.iter().filter(|c| c.status == ConditionStatus::True);
        let push = status.push.as_ref();
        let closed = push.filter(|p| {
            p.owner == Some(PushOwner::Operator) && matches!(p.state, PushState::Closed | PushState::Closing)
        });
        let cluster = Cluster {
            kind: identity.kind.kind(),
            conditions: held.map(|c| format!("{:?}", c.kind)).collect(),
            closed_since: closed.map(|p| p.since.0),
        };
        let key = (identity.kind.kind(), identity.namespace.clone(), identity.name.clone());
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner).insert(key, cluster);
    }

    /// A cluster is gone.
    pub fn forget(&self, kind: ClusterKind, namespace: &str, name: &str) {
        let key = (kind.kind(), namespace.to_owned(), name.to_owned());
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    /// All of it as text.
    ///
    /// # Errors
    /// If it cannot be written, which a text in memory excludes.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

/// Figures of the clusters, made when they are asked for.
#[derive(Debug)]
struct OfClusters(Clusters);

impl Collector for OfClusters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let clusters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts: HashMap<(&str, &str), i64> = HashMap::new();
        for cluster in clusters.values() {
            *counts.entry((cluster.kind, "All")).or_default() += 1;
            for condition in &cluster.conditions {
                *counts.entry((cluster.kind, condition)).or_default() += 1;
            }
        }
        let help = "Clusters with this condition; All is all of them";
        let kind = prometheus_client::metrics::MetricType::Gauge;
        let mut metric = encoder.encode_descriptor("clusters", help, None, kind)?;
        for ((of, condition), count) in counts {
            let labels = [("kind", of), ("condition", condition)];
            ConstGauge::new(count).encode(metric.encode_family(&labels)?)?;
        }
        let help = "How long the operator has kept push closed, in seconds";
        let mut metric = encoder.encode_descriptor("push_closed_seconds", help, None, kind)?;
        for ((_, namespace, name), cluster) in clusters.iter() {
            if let Some(since) = cluster.closed_since {
                let seconds = Timestamp::now().duration_since(since).as_secs().max(0);
                let labels = [("namespace", namespace.as_str()), ("name", name.as_str())];
                ConstGauge::new(seconds).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_names_that_alerts_use() {
        let metrics = Metrics::default();
        metrics.reconciled("RegistryCluster", Duration::from_millis(3));
        metrics.failed("RegistryCluster", "Conflict");
        metrics.asked("TimedOut");
        let identity = Identity {
            kind: ClusterKind::Registry,
            namespace: "pay".to_owned(),
            name: "prod".to_owned(),
            uid: "u".to_owned(),
        };
        metrics.noted(&identity, &ClusterStatus::default());
        let text = metrics.text().unwrap();
        for line in [
            "sofa_operator_reconciles_total{kind=\"RegistryCluster\"} 1",
            "sofa_operator_reconcile_errors_total{kind=\"RegistryCluster\",class=\"Conflict\"} 1",
            "sofa_operator_admin_requests_total{result=\"TimedOut\"} 1",
            "sofa_operator_clusters{kind=\"RegistryCluster\",condition=\"All\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        metrics.forget(ClusterKind::Registry, "pay", "prod");
        assert!(!metrics.text().unwrap().contains("condition=\"All\""));
    }
}
