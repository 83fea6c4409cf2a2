//! What a person says of a rollout: not now, not without my word, only at night; and how many servers there are to be.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::field::{Field, ROLLOUT, story};
use crate::harness::{eventually, seconds};
use crate::witness::Witness;

/// A new template for the sessions alone.
fn turn(n: u32) -> Value {
    json!({"replicas": 2, "podTemplate": {"metadata": {"annotations": {"turn": n.to_string()}}}})
}

/// Waits until the operator has seen the present spec and waits for this; the id of the plan.
async fn waits_for(field: &Field, reason: &str, within: Duration) -> Result<String> {
    eventually(&format!("it waits: {reason}"), within, async || {
        let object = field.object().await?;
        ensure!(object["status"]["observedGeneration"] == object["metadata"]["generation"]);
        let waits = object["status"]["waitingOn"].as_array().cloned().unwrap_or_default();
        if waits.iter().any(|w| w["reason"] == reason) {
            Ok(object["status"]["rollout"]["planId"].as_str().unwrap_or_default().to_owned())
        } else {
            bail!("{} {waits:?}", field.summary().await)
        }
    })
    .await
}

/// The sessions were stopped once each, in order and with push closed, and nothing else was.
async fn only_sessions(field: &Field, witness: Witness) -> Result<()> {
    field.ready(ROLLOUT).await?;
    let stops = witness.judge()?;
    let stopped: Vec<_> = stops.iter().map(|s| s.pod.as_str()).collect();
    ensure!(stopped.len() == 2 && stopped.iter().all(|p| p.contains("-session-")), "{stopped:?}");
    field.push_is_open().await
}

#[tokio::test]
async fn a_person_stops_approves_and_times_rollouts() {
    story("steering", async |field| {
        field.started(&json!({})).await?;
        paused(&field).await?;
        approved(&field).await?;
        in_a_window(&field).await?;
        field.nothing_is_lost().await
    })
    .await;
}

/// Paused before it begins, nothing is stopped. Paused in its middle, the server in flight is finished and push opens.
async fn paused(field: &Field) -> Result<()> {
    let witness = Witness::of(field);
    field.edit(json!({"paused": true, "session": turn(1)})).await?;
    field.condition_is("Paused", "True", seconds(30)).await?;
    waits_for(field, "PausedBySpec", seconds(30)).await?;
    ensure!(witness.stops().is_empty(), "{:?}", witness.stops());
    field.edit(json!({"paused": false})).await?;
    witness.first_stop(field, ROLLOUT).await?;
    field.edit(json!({"paused": true})).await?;
    eventually("push is open again", ROLLOUT, async || {
        let status = field.object().await?["status"].clone();
        let paused = status["conditions"]
            .as_array()
            .is_some_and(|c| c.iter().any(|c| c["type"] == "Paused" && c["status"] == "True"));
        if paused && status["push"]["state"] == "Open" { Ok(()) } else { bail!("{}", field.summary().await) }
    })
    .await?;
    ensure!(witness.stops().len() == 1, "{:?}", witness.stops());
    field.edit(json!({"paused": false})).await?;
    only_sessions(field, witness).await
}

/// With `approval: Manual` it waits with its plan, and begins with the plan's id.
async fn approved(field: &Field) -> Result<()> {
    let witness = Witness::of(field);
    field.edit(json!({"rollout": {"approval": "Manual"}, "session": turn(2)})).await?;
    let plan = waits_for(field, "WaitingForApproval", seconds(60)).await?;
    ensure!(field.object().await?["status"]["push"]["state"] == "Open" && witness.stops().is_empty());
    field.edit(json!({"rollout": {"approved": "0123456789ab"}})).await?;
    ensure!(
        waits_for(field, "WaitingForApproval", seconds(60)).await? == plan,
        "the id of another plan is no word"
    );
    field.edit(json!({"rollout": {"approved": plan}})).await?;
    only_sessions(field, witness).await?;
    field.edit(json!({"rollout": null})).await
}

/// Outside its windows it waits; when it may, it goes on. Then a budget of the person's own lets no session be evicted: that is
/// told, and it goes on when the budget is gone.
async fn in_a_window(field: &Field) -> Result<()> {
    let witness = Witness::of(field);
    // One minute on the 29th of February.
    let windows = json!([{"cron": "0 3 29 2 *", "duration": "1m"}]);
    field.edit(json!({"rollout": {"windows": windows}, "session": turn(3)})).await?;
    waits_for(field, "WaitingForWindow", seconds(60)).await?;
    ensure!(field.object().await?["status"]["push"]["state"] == "Open" && witness.stops().is_empty());
    let budgets: Api<PodDisruptionBudget> =
        Api::namespaced(field.ground.client.clone(), &field.ground.namespace);
    let budget = json!({"metadata": {"name": "mine"}, "spec": {"maxUnavailable": 0,
        "selector": {"matchLabels": {"middleware.sofastack.io/role": "session"}}}});
    budgets.create(&PostParams::default(), &serde_json::from_value(budget)?).await?;
    field.edit(json!({"rollout": null})).await?;
    field.tells("Ready", "WaitingForEviction", "PodDisruptionBudget").await?;
    ensure!(witness.stops().is_empty(), "{:?}", witness.stops());
    budgets.delete("mine", &DeleteParams::default()).await?;
    only_sessions(field, witness).await
}

/// Servers of each role come and go, one at a time, and nothing is lost by it.
#[tokio::test]
async fn servers_are_added_and_taken_away() {
    story("scale", async |field| {
        field.started(&json!({})).await?;
        for (role, steps) in [("session", [3, 2]), ("data", [3, 2]), ("meta", [5, 3])] {
            for replicas in steps {
                field.edit(json!({role: {"replicas": replicas}})).await?;
                field.ready(ROLLOUT).await?;
                let members =
                    field.object().await?["status"]["members"].as_array().cloned().unwrap_or_default();
                let name = format!("prod-{role}-");
                let count = members
                    .iter()
                    .filter(|m| m["name"].as_str().is_some_and(|n| n.starts_with(&name)))
                    .count();
                ensure!(count == replicas, "{role}: {count} of {replicas}");
                field.nothing_is_lost().await?;
            }
        }
        field.push_is_open().await
    })
    .await;
}
