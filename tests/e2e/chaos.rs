//! The operator itself fails: it is killed in every phase of a rollout, a second one starts beside it. The end is the same.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::field::{Field, ROLLOUT, spec, story};
use crate::harness::{eventually, is_ready, seconds};
use crate::witness::Witness;

/// Where a rollout stands: each of these is a phase of its own to be killed in.
fn phase(object: &Value) -> String {
    let rollout = &object["status"]["rollout"];
    let target = rollout["act"]["targets"][0]["member"].as_str().unwrap_or_default();
    let role = target.trim_end_matches(|c: char| c == '-' || c.is_ascii_digit());
    format!("{} {} {role}", rollout["state"], rollout["act"]["kind"])
}

async fn operator_is_back(field: &Field) -> Result<()> {
    eventually("an operator runs again", seconds(60), async || {
        let pods = field.operator_pods().list(&ListParams::default()).await?;
        let alive = pods.items.iter().any(|p| is_ready(p) && p.metadata.deletion_timestamp.is_none());
        if alive { Ok(()) } else { bail!("{} pods", pods.items.len()) }
    })
    .await
}

#[tokio::test]
async fn an_operator_that_is_killed_in_every_phase_ends_where_it_would_have_ended() {
    story("killed", async |field| {
        field.started(&json!({})).await?;
        killed_in_every_phase(&field).await?;
        a_second_operator(&field).await
    })
    .await;
}

/// The same with 6.3.0, whose members are rows of a database.
#[tokio::test]
async fn registry_6_starts_and_rolls_though_the_operator_is_killed() {
    story("six", async |field| {
        field.install().await?;
        field.start_database().await?;
        let mut six = spec("6.3.0");
        six["database"] =
            json!({"host": "mariadb", "name": "registrymetadb", "secretRef": {"name": "registry-database"}});
        let began = Instant::now();
        field.apply(&six).await?;
        field.ready(ROLLOUT).await?;
        println!("6.3.0: Ready {:.0} s after it was applied", began.elapsed().as_secs_f64());
        field.start_client("6.3.0").await?;
        killed_in_every_phase(&field).await
    })
    .await;
}

/// One rollout, in each phase of which the operator is killed.
async fn killed_in_every_phase(field: &Field) -> Result<()> {
    let witness = Witness::of(field);
    field.edit(json!({"restart": "once"})).await?;
    let (mut killed, began) = (BTreeSet::new(), Instant::now());
    loop {
        ensure!(began.elapsed() < ROLLOUT * 2, "{}", field.summary().await);
        let object = field.object().await?;
        let state = &object["status"]["rollout"]["state"];
        let present = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        if present && state == "Done" && !killed.is_empty() {
            break;
        }
        if present && state != "Done" && killed.insert(phase(&object)) {
            field.kill_operator().await?;
            operator_is_back(field).await?;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    field.ready(ROLLOUT).await?;
    println!("killed in {} phases: {killed:?}", killed.len());
    ensure!(killed.len() >= 6, "only in {killed:?}");
    witness.judge_restart()?;
    field.push_is_open().await?;
    field.nothing_is_lost().await
}

/// A second operator beside the first, while the metas are restarted: one leads, and nothing is done twice.
async fn a_second_operator(field: &Field) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(field.ground.client.clone(), &field.operators());
    let list = deployments.list(&ListParams::default()).await?;
    let name = list.items.first().and_then(|d| d.metadata.name.clone()).unwrap_or_default();
    let two = json!({"spec": {"replicas": 2}});
    let witness = Witness::of(field);
    deployments.patch(&name, &PatchParams::default(), &Patch::Merge(&two)).await?;
    let again = json!({"metadata": {"annotations": {"again": "yes"}}});
    field.edit(json!({"meta": {"replicas": 3, "podTemplate": again}})).await?;
    field.ready(ROLLOUT).await?;
    let stops = witness.judge()?;
    let metas = stops.iter().filter(|stop| stop.pod.contains("-meta-")).count();
    ensure!(metas == 3, "each meta is stopped once: {stops:?}");
    field.all_received().await.map(|_| ())
}
