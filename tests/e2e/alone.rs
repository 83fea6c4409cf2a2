//! Faults of the whole Kubernetes cluster: they would spoil any other story, so `run.sh` plays these by themselves, and only on a
//! cluster that it has made.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;
use tokio::process::Command;

use crate::field::{Field, ROLLOUT, story};
use crate::harness::{eventually, seconds};
use crate::witness::Witness;

/// How long the API server is away.
const OUTAGE: Duration = Duration::from_secs(30);

/// Asks the script of the local cluster for something.
async fn cluster(verb: &[&str]) -> Result<()> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/cluster.sh");
    let run = Command::new(script).args(verb).env_remove("KUBECONFIG").stdin(Stdio::null()).output();
    let output = run.await.context("cluster.sh")?;
    ensure!(output.status.success(), "cluster.sh {verb:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The API server goes away in the middle of a rollout, with push closed. When it is back the rollout ends as it would have.
#[tokio::test]
#[ignore = "stops the API server"]
async fn an_api_server_that_is_away_for_half_a_minute_changes_nothing() {
    story("outage", async |field| {
        field.started(&json!({})).await?;
        let witness = Witness::of(&field);
        field.edit(json!({"restart": "once"})).await?;
        witness.first_stop(&field, seconds(120)).await?;
        cluster(&["stop-api"]).await?;
        // The fault itself lasts this long.
        tokio::time::sleep(OUTAGE).await;
        cluster(&["start-api"]).await?;
        field.ready(ROLLOUT).await?;
        witness.judge_restart()?;
        field.push_is_open().await?;
        field.nothing_is_lost().await
    })
    .await;
}

/// The node that has a meta and neither the operator nor the client.
async fn victim(field: &Field) -> Result<(String, String)> {
    let on = |pods: kube::core::ObjectList<k8s_openapi::api::core::v1::Pod>| -> Vec<(String, String)> {
        let named = |p: k8s_openapi::api::core::v1::Pod| Some((p.metadata.name?, p.spec?.node_name?));
        pods.items.into_iter().filter_map(named).collect()
    };
    let operators = on(field.operator_pods().list(&ListParams::default()).await?);
    let servers = on(field.ground.pods().list(&ListParams::default()).await?);
    let taken = |node: &String| {
        operators.iter().any(|(_, n)| n == node) || servers.iter().any(|(p, n)| p == "client-0" && n == node)
    };
    let mut metas = servers.iter().filter(|(pod, _)| pod.contains("-meta-"));
    let found = metas.find(|(_, node)| !taken(node)).context("no meta has a node of its own")?;
    Ok(found.clone())
}

/// A node dies. The operator says so and stops nothing else; when a person has taken the node out and it comes back, the servers
/// are whole again, the meta under a new address.
#[tokio::test]
#[ignore = "kills a node"]
async fn a_node_that_dies_costs_what_ran_on_it_and_nothing_more() {
    story("node", async |field| {
        let soon = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 20});
        let overlay = json!({"spec": {"tolerations": [soon("node.kubernetes.io/unreachable"), soon("node.kubernetes.io/not-ready")]}});
        let part = |replicas: u32| json!({"replicas": replicas, "podTemplate": overlay});
        field.started(&json!({"meta": part(3), "data": part(2), "session": part(2)})).await?;
        let (meta, node) = victim(&field).await?;
        let number = node.rsplit('-').next().unwrap_or_default().to_owned();
        cluster(&["kill-node", &number]).await?;
        eventually("the lost meta is named", seconds(180), async || {
            let object = field.object().await?;
            let waits = object["status"]["waitingOn"].as_array().cloned().unwrap_or_default();
            if waits.iter().any(|w| w["reason"] == "NodeUnreachable") {
                Ok(())
            } else {
                bail!("{} {waits:?}", field.summary().await)
            }
        })
        .await?;
        let nodes: Api<Node> = Api::all(field.ground.client.clone());
        nodes.delete(&node, &DeleteParams::default()).await?;
        cluster(&["start-node", &number]).await?;
        field.ready(ROLLOUT).await?;
        let back = field.ground.pods().get(&meta).await?;
        ensure!(back.spec.and_then(|s| s.node_name).is_some(), "{meta} runs again");
        field.nothing_is_lost().await
    })
    .await;
}
