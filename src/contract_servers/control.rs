//! The control port 8899 (invented): faults on request, and the state of everything.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::faults::{CATALOGUE, Fault, Switch};
use super::shared::{Shared, Work};

/// An answer: a status, and JSON.
pub(super) type Answer = (StatusCode, Json<Value>);

#[derive(Clone)]
struct Control {
    shared: Arc<Shared>,
    work: Arc<dyn Work>,
}

/// What the control port serves.
pub(super) fn routes(shared: &Arc<Shared>, work: &Arc<dyn Work>) -> Router {
    Router::new()
        .route("/fault", post(switch))
        .route("/faults", get(list))
        .route("/state", get(async |State(c): State<Control>| Json(c.shared.state(&*c.work))))
        .with_state(Control { shared: Arc::clone(shared), work: Arc::clone(work) })
}

/// Reads a JSON body, whatever its content type: `curl -d` sends none that fits.
pub(super) fn read_body<T: DeserializeOwned>(body: &str) -> Result<T, Answer> {
    serde_json::from_str(body).map_err(|error| refusal(StatusCode::BAD_REQUEST, format!("the body: {error}")))
}

/// An answer that says why not.
pub(super) fn refusal(status: StatusCode, why: impl Into<String>) -> Answer {
    (status, Json(json!({ "error": why.into() })))
}

#[derive(Deserialize)]
struct Order {
    fault: String,
    on: bool,
}

async fn switch(State(control): State<Control>, body: String) -> Result<Json<Value>, Answer> {
    let order: Order = read_body(&body)?;
    let fault: Fault = order.fault.parse().map_err(|why: String| refusal(StatusCode::BAD_REQUEST, why))?;
    if let Some(reason) = fault.refusal_reason(control.shared.role) {
        return Err(refusal(StatusCode::BAD_REQUEST, reason));
    }
    control.shared.switch(fault, if order.on { Switch::On } else { Switch::Off });
    Ok(Json(json!({ "faults": active(&control.shared) })))
}

async fn list(State(control): State<Control>) -> Json<Value> {
    let role = control.shared.role;
    let known: Vec<_> = CATALOGUE
        .iter()
        .filter(|entry| entry.roles.contains(&role))
        .map(|entry| json!({ "fault": entry.name, "does": entry.does, "source": entry.source }))
        .collect();
    Json(json!({ "standIn": true, "role": role.name(), "known": known, "on": active(&control.shared) }))
}

fn active(shared: &Shared) -> Vec<String> {
    shared.faults.active().iter().map(Fault::to_string).collect()
}
