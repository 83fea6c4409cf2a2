//! The health command of drmdata: `curl localhost:9500/checkService | grep false` (operations guide §1.4.3.13).
//!
//! Known from the guide: the port, the path, that it is asked inside the pod, that a `false` in the body means
//! not healthy, that a missing subscription of `TaskManageFacade` is one of its causes, and the words
//! "Addresses unavailable". Invented: one `name:true` or `name:false why` a line, the names `passed`,
//! `startup` and `database`, and that the status is 200 all the same.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::dependencies::{DATABASE, REGISTRY};
use super::faults::Fault;
use super::shared::Shared;

/// What the health port serves.
pub(super) fn routes(shared: &Arc<Shared>) -> Router {
    Router::new().route("/checkService", get(check)).with_state(Arc::clone(shared))
}

async fn check(State(shared): State<Arc<Shared>>) -> Response {
    if shared.faults.is_on(|fault| *fault == Fault::HealthHangs) {
        // Until whoever asked gives up, or the port closes.
        std::future::pending::<()>().await;
    }
    if shared.faults.is_on(|fault| *fault == Fault::Health500) {
        return (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error\n").into_response();
    }
    body(&shared).into_response()
}

/// The body: `passed` first, then each check.
fn body(shared: &Shared) -> String {
    let never = shared.faults.is_on(|fault| *fault == Fault::NeverReady);
    let started = *shared.started.borrow() && !never;
    let mut checks = vec![("startup", if started { String::new() } else { "not over".to_owned() })];
    let dependencies = shared.dependencies.borrow();
    for (name, shown) in [(DATABASE, DATABASE), (REGISTRY, "TaskManageFacade")] {
        if let Some(dependency) = dependencies.get(name) {
            checks.push((shown, dependency.why.clone()));
        }
    }
    let passed = checks.iter().all(|(_, why)| why.is_empty());
    let mut lines = vec![format!("passed:{passed}")];
    lines.extend(checks.iter().map(|(name, why)| {
        if why.is_empty() { format!("{name}:true") } else { format!("{name}:false {why}") }
    }));
    lines.join("\n") + "\n"
}
