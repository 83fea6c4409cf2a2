//! The operator's own HTTP endpoints: whether it lives, whether it is ready and what is missing if not, its figures, the plan
//! of a cluster, and the level of its logs.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;

use crate::telemetry::LogLevel;
use crate::validate::ClusterKind;

/// What is missing for the operator to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// CRDs that are not there or too old, each in a sentence; `None`: they were not read yet.
    pub crds: Option<Vec<String>>,
    /// Whether another process leads, or this one.
    pub leader: Leader,
    /// Whether what exists was listed: a leader's work.
    pub listed: bool,
}

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leader {
    /// The lease could not be read.
    Unknown,
    /// Another process: this one waits, ready to take over.
    Another,
    /// This one.
    Us,
}

impl Default for Missing {
    fn default() -> Self {
        Self { crds: None, leader: Leader::Unknown, listed: false }
    }
}

impl Missing {
    /// In sentences. Empty: it is ready.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut missing = self.crds.clone().unwrap_or_else(|| vec!["the CRDs were not read yet".to_owned()]);
        match self.leader {
            Leader::Unknown => missing.push("the lease could not be read or made: see the log".to_owned()),
            Leader::Us if !self.listed => missing.push("what exists is being listed".to_owned()),
            Leader::Us | Leader::Another => {}
        }
        missing
    }
}

/// A plan as JSON, or why there is none.
pub type Explained = Pin<Box<dyn Future<Output = Result<Option<String>, String>> + Send>>;
/// Makes the plan of a cluster, by its kind if one is given, namespace and name.
pub type Explain = Arc<dyn Fn(Option<ClusterKind>, String, String) -> Explained + Send + Sync>;
/// The figures as text.
pub type Figures = Arc<dyn Fn() -> String + Send + Sync>;

/// What the endpoints show.
#[derive(Clone)]
pub struct Shown {
    /// What is missing.
    pub missing: Arc<Mutex<Missing>>,
    /// The figures.
    pub figures: Figures,
    /// The plans.
    pub explain: Explain,
    /// The level of the logs.
    pub level: LogLevel,
}

/// The endpoints.
pub fn router(shown: Shown) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/debug/plan/{namespace}/{name}", get(plan))
        .route("/debug/log-level", put(level))
        .with_state(shown)
}

/// Serves them until `stop` comes.
///
/// # Errors
/// If the socket fails.
pub async fn serve(
    listener: TcpListener,
    shown: Shown,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(shown)).with_graceful_shutdown(stop).await
}

async fn ready(State(shown): State<Shown>) -> Response {
    let missing = shown.missing.lock().unwrap_or_else(PoisonError::into_inner).sentences();
    if missing.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", missing.join("\n"))).into_response()
}

async fn metrics(State(shown): State<Shown>) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, TYPE)], (shown.figures)()).into_response()
}

/// Clusters of several kinds may have one name.
#[derive(serde::Deserialize)]
struct OfKind {
    kind: Option<String>,
}

async fn plan(
    State(shown): State<Shown>,
    Path((namespace, name)): Path<(String, String)>,
    Query(asked): Query<OfKind>,
) -> Response {
    let kinds = [ClusterKind::Registry, ClusterKind::Drm, ClusterKind::Scheduler];
    let kind = asked.kind.map(|asked| kinds.into_iter().find(|k| k.word() == asked || k.kind() == asked));
    if kind == Some(None) {
        let error = json!({"error": "kind is registry, drm or scheduler"});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    match (shown.explain)(kind.flatten(), namespace.clone(), name.clone()).await {
        Ok(Some(text)) => ([(CONTENT_TYPE, "application/json")], text).into_response(),
        Ok(None) => {
            let error = json!({"error": format!("there is no cluster {namespace}/{name}")});
            (StatusCode::NOT_FOUND, Json(error)).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": error}))).into_response(),
    }
}

async fn level(State(shown): State<Shown>, body: String) -> Response {
    match shown.level.set(body.trim()) {
        Ok(()) => {
            tracing::info!(level = body.trim(), "the log level was changed");
            "ok\n".into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_says_what_is_missing() {
        let missing = Missing::default();
        assert_eq!(missing.sentences().len(), 2);
        let old = Missing {
            crds: Some(vec!["the CRD x is older".to_owned()]),
            leader: Leader::Another,
            listed: false,
        };
        assert_eq!(old.sentences(), ["the CRD x is older"]);
        let waiting = Missing { crds: Some(Vec::new()), ..old };
        assert!(waiting.sentences().is_empty(), "one that waits for the lease is ready to take over");
        let leading = Missing { leader: Leader::Us, ..waiting };
        assert_eq!(leading.sentences(), ["what exists is being listed"]);
        assert!(Missing { listed: true, ..leading }.sentences().is_empty());
    }
}
