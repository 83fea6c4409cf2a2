//! The whole stack of `examples/stack`: applied in the worst order, and wave by wave as Argo CD does.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, ListParams};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::field::{Field, ROLLOUT, story};
use crate::harness::{eventually, seconds};

/// As `kustomization.yaml` has them.
const STACK: [&str; 4] = [
    include_str!("../../examples/stack/database.yaml"),
    include_str!("../../examples/stack/registry.yaml"),
    include_str!("../../examples/stack/drm.yaml"),
    include_str!("../../examples/stack/powerjob.yaml"),
];
/// A second scheduler, which needs the registry too.
const ANT: &str = include_str!("../../examples/antscheduler.yaml");
const HEALTH: &str = include_str!("../../config/argocd/health.lua");
const WAVE: &str = "argocd.argoproj.io/sync-wave";

fn objects<'a>(files: impl IntoIterator<Item = &'a str>) -> Result<Vec<Value>> {
    let documents = files.into_iter().flat_map(serde_yaml::Deserializer::from_str);
    documents.map(|document| Ok(Value::deserialize(document)?)).collect()
}

async fn apply(field: &Field, object: &Value) -> Result<()> {
    field.ground.apply(&serde_yaml::to_string(object)?).await
}

#[tokio::test]
async fn the_stack_comes_up_in_the_worst_order_and_follows_its_registry() {
    story("stack", async |field| {
        field.install().await?;
        // The last file first, and each job before what it needs.
        let mut all = objects(STACK.into_iter().chain([ANT]))?;
        all.reverse();
        for object in &all {
            apply(&field, object).await?;
        }
        let registry = field.of_kind("RegistryCluster", "registry");
        let (drm, tasks) = (field.of_kind("DrmCluster", "drm"), field.of_kind("SchedulerCluster", "tasks"));
        let since = registry.condition_is("Available", "True", ROLLOUT).await?["lastTransitionTime"].clone();
        let since = since.as_str().context("no time")?;
        for cluster in [&drm, &tasks, &field.of_kind("SchedulerCluster", "powerjob"), &registry] {
            cluster.ready(ROLLOUT).await?;
        }
        for cluster in [&drm, &tasks] {
            for (pod, made) in made(cluster).await? {
                ensure!(
                    made.as_str() >= since,
                    "{pod} was made at {made}, the registry serves since {since}"
                );
            }
        }
        restarts_wait(&registry, [&drm, &tasks]).await
    })
    .await;
}

/// The pods of a cluster, and when each was made.
async fn made(cluster: &Field) -> Result<BTreeMap<String, String>> {
    let of = ListParams::default().labels(&format!("middleware.sofastack.io/cluster={}", cluster.cluster));
    let pods = cluster.ground.pods().list(&of).await?.items;
    ensure!(!pods.is_empty(), "{} has no pods", cluster.cluster);
    let made = pods.into_iter().map(|pod| {
        let at = serde_json::to_value(pod.metadata.creation_timestamp)?;
        Ok((pod.metadata.name.unwrap_or_default(), at.as_str().context("no time")?.to_owned()))
    });
    made.collect()
}

/// Everything is to be restarted, the registry first: of the others not one server is stopped before it is done.
async fn restarts_wait(registry: &Field, others: [&Field; 2]) -> Result<()> {
    let uids = async || {
        let mut all = BTreeMap::new();
        for (cluster, role) in others.iter().zip(["drmdata", "server"]) {
            all.extend(cluster.pods_of(role).await?);
        }
        anyhow::Ok(all)
    };
    let before = uids().await?;
    registry.edit(json!({"restart": "once"})).await?;
    let holds = async || anyhow::Ok(registry.object().await?["status"]["push"]["owner"] == "Operator");
    eventually("the registry is being changed", seconds(90), async || {
        if holds().await? { Ok(()) } else { bail!("{}", registry.summary().await) }
    })
    .await?;
    for cluster in others {
        cluster.edit(json!({"restart": "once"})).await?;
    }
    for cluster in others {
        cluster.reason_is("Ready", "WaitingForRegistry", seconds(60)).await?;
    }
    eventually("the registry is done", ROLLOUT, async || {
        // In this order: what was still held after the look was held at the look.
        let now = uids().await?;
        if holds().await? && now != before {
            return Ok(Err(format!("{before:?} became {now:?} while the registry was being changed")));
        }
        if registry.condition("Ready").await?["status"] == "True" {
            return Ok(Ok(()));
        }
        bail!("{}", registry.summary().await)
    })
    .await?
    .map_err(anyhow::Error::msg)?;
    for cluster in others {
        cluster.ready(ROLLOUT).await?;
    }
    let after = uids().await?;
    let restarted = before.iter().all(|(pod, uid)| after.get(pod).is_some_and(|now| now != uid));
    ensure!(restarted, "not all were restarted: {before:?} {after:?}");
    Ok(())
}

/// Each wave is applied when the one before is healthy: no wave may need what comes in a later one.
#[tokio::test]
#[ignore = "it takes long"]
async fn sync_waves_become_healthy_one_after_the_other() {
    story("waves", async |field| {
        field.install().await?;
        let mut waves: BTreeMap<i32, Vec<Value>> = BTreeMap::new();
        for object in objects(STACK)? {
            let wave = object["metadata"]["annotations"][WAVE].as_str();
            let wave = wave.with_context(|| format!("{} has no wave", object["metadata"]["name"]))?;
            waves.entry(wave.parse()?).or_default().push(object);
        }
        for (wave, objects) in waves {
            for object in &objects {
                apply(&field, object).await?;
            }
            for object in &objects {
                let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
                eventually(&format!("wave {wave}: {name} is healthy"), ROLLOUT, async || {
                    match health(&field, object).await? {
                        (status, _) if status == "Healthy" => Ok(Ok(())),
                        // It fails the sync at once.
                        (status, why) if status == "Degraded" => Ok(Err(format!("{name}: {why}"))),
                        other => bail!("{other:?}"),
                    }
                })
                .await?
                .map_err(anyhow::Error::msg)?;
            }
            println!("waves: wave {wave} is healthy");
        }
        // The last wave gives the operator its user: nothing is left to be told of.
        let scheduler = field.of_kind("SchedulerCluster", "powerjob");
        scheduler.condition_is("Degraded", "False", seconds(60)).await.map(|_| ())
    })
    .await;
}

/// The health of an object for Argo CD: of clusters by the script, of the others by its own rules.
async fn health(field: &Field, object: &Value) -> Result<(String, String)> {
    let name = object["metadata"]["name"].as_str().context("an object without a name")?.to_owned();
    let (client, namespace) = (field.ground.client.clone(), &field.ground.namespace);
    let done = match object["kind"].as_str() {
        Some("Job") => {
            let jobs: Api<Job> = Api::namespaced(client, namespace);
            jobs.get(&name).await?.status.is_some_and(|s| s.succeeded == Some(1))
        }
        Some("StatefulSet") => {
            let sets: Api<StatefulSet> = Api::namespaced(client, namespace);
            sets.get(&name).await?.status.is_some_and(|s| s.ready_replicas == Some(s.replicas))
        }
        Some(kind @ ("RegistryCluster" | "DrmCluster" | "SchedulerCluster")) => {
            return by_script(&cluster(field, kind, &name).await?).await;
        }
        _ => true,
    };
    let status = if done { "Healthy" } else { "Progressing" };
    Ok((status.to_owned(), String::new()))
}

async fn cluster(field: &Field, kind: &str, name: &str) -> Result<Value> {
    let kind = ["RegistryCluster", "DrmCluster", "SchedulerCluster"].into_iter().find(|k| *k == kind);
    let found = field.of_kind(kind.context("no such kind")?, "").clusters().get(name).await?;
    Ok(serde_json::to_value(found)?)
}

/// What the script for Argo CD says of an object.
async fn by_script(object: &Value) -> Result<(String, String)> {
    let program = format!(
        "obj = {}\nlocal h = (function()\n{HEALTH}\nend)()\nprint(h.status)\nprint(h.message)\n",
        lua(object)
    );
    for interpreter in ["lua5.1", "luajit", "lua5.4"] {
        let mut command = Command::new(interpreter);
        command.arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else { continue };
        child.stdin.take().context("no stdin")?.write_all(program.as_bytes()).await?;
        let output = child.wait_with_output().await?;
        ensure!(output.status.success(), "{interpreter}: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let (status, message) = said.split_once('\n').context("it says nothing")?;
        return Ok((status.to_owned(), message.trim().to_owned()));
    }
    bail!("no Lua interpreter: apt-get install lua5.4")
}

/// A value as Lua.
fn lua(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            let fields: Vec<_> = fields
                .map(|(key, value)| format!("[{}]={}", Value::from(key.as_str()), lua(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!("{{{}}}", items.iter().map(lua).collect::<Vec<_>>().join(",")),
        Value::Null => "nil".to_owned(),
        other => other.to_string(),
    }
}
