//! DRM and AntScheduler, by stand-ins for their servers (`images/contract-servers`), on a real registry and a real database: what
//! the operations guide says of their order, their groups and their failures.

use anyhow::{Context, Result, bail, ensure};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use crate::field::{Field, ROLLOUT, story};
use crate::harness::{eventually, seconds};

const DATABASE: &str = include_str!("../../examples/stack/database.yaml");
const REGISTRY: &str = include_str!("../../examples/stack/registry.yaml");
const DRM: &str = include_str!("../../examples/stack/drm.yaml");
const ANT: &str = include_str!("../../examples/antscheduler.yaml");
/// Where the stand-ins are told to fail.
const CONTROL: u16 = 8899;
/// Long connections of the client.
const CONNECTIONS: u64 = 20;

/// The spec of an example, with the ports of its pods open to this test.
pub(crate) fn spec_of(example: &str) -> Result<Value> {
    let mut object: Value = serde_yaml::from_str(example)?;
    let mut spec = object["spec"].take();
    spec["networkPolicy"] = json!({"extraFrom": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]});
    Ok(spec)
}

/// The names of the pods of a role.
async fn pods(field: &Field, role: &str) -> Result<Vec<String>> {
    let of = ListParams::default().labels(&format!("middleware.sofastack.io/role={role}"));
    let found = field.ground.pods().list(&of).await?;
    Ok(found.items.into_iter().filter_map(|p| p.metadata.name).collect())
}

/// A client of the stand-ins, with long connections to these addresses.
async fn start_client(field: &Field, name: &str, servers: &str) -> Result<()> {
    let pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {
        "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "client", "image": "localhost/contract-servers:1", "imagePullPolicy": "IfNotPresent",
            "args": ["client", "--servers", servers, "--connections", CONNECTIONS.to_string()],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}});
    field.ground.pods().create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    field.ground.pod_ready(name, seconds(60)).await?;
    connected(field, name).await
}

async fn connected(field: &Field, client: &str) -> Result<()> {
    eventually("every connection is open", seconds(60), async || {
        let status = field.ground.get(client, 8080, "/status").await?.json();
        if status["open"] == CONNECTIONS { Ok(()) } else { bail!("{status}") }
    })
    .await
}

/// Turns a fault of a stand-in on or off.
async fn fault(field: &Field, pod: &str, name: &str, on: bool) -> Result<()> {
    let reply = field.ground.post_json(pod, CONTROL, "/fault", &json!({"fault": name, "on": on})).await?;
    ensure!(reply.status == 200, "{name} on {pod}: {reply:?}");
    Ok(())
}

/// A fault shows with its reason, and is over when it is over; nothing is restarted for it.
async fn shows(field: &Field, pod: &str, name: &str, reason: &str) -> Result<()> {
    fault(field, pod, name, true).await?;
    field.reason_is("Degraded", reason, seconds(60)).await.with_context(|| name.to_owned())?;
    fault(field, pod, name, false).await?;
    field.ready(seconds(60)).await.with_context(|| format!("after {name}"))
}

/// Restarts all servers of the first role in two groups; one group serves at every moment, and the clients are back at the end.
async fn two_groups(field: &Field, role: &str, client: &str) -> Result<()> {
    let names = pods(field, role).await?;
    field.edit(json!({"restart": "once"})).await?;
    let serving = async || {
        let found = field.ground.pods().list(&ListParams::default()).await?;
        let ready = found.items.iter().filter(|p| {
            p.metadata.name.as_ref().is_some_and(|n| names.contains(n)) && crate::harness::is_ready(p)
        });
        anyhow::Ok(ready.count())
    };
    eventually("the rollout is over", ROLLOUT, async || {
        let serve = serving().await?;
        if serve == 0 {
            // A failure that no waiting mends.
            return Ok(Err(field.summary().await));
        }
        let ready = field.condition("Ready").await?;
        if ready["status"] == "True" { Ok(Ok(())) } else { bail!("{}", field.summary().await) }
    })
    .await?
    .map_err(|summary| anyhow::anyhow!("no server of {role} served: {summary}"))?;
    connected(field, client).await
}

#[tokio::test]
async fn drm_is_started_in_order_restarted_in_groups_and_tells_its_failures() {
    story("drm", async |field| {
        field.install().await?;
        let drm = field.of_kind("DrmCluster", "drm");
        let mut spec = spec_of(DRM)?;
        spec["drmdata"]["replicas"] = json!(2);
        // First of all the one that needs the others: it says what it waits for, and starts nothing.
        drm.apply(&spec).await?;
        drm.reason_is("Ready", "ReferenceNotFound", seconds(60)).await?;
        field.ground.apply(DATABASE).await?;
        let registry = field.of_kind("RegistryCluster", "registry");
        let mut held = spec_of(REGISTRY)?;
        held["paused"] = json!(true);
        registry.apply(&held).await?;
        drm.reason_is("Ready", "WaitingForRegistry", seconds(180)).await?;
        ensure!(pods(&field, "drmdata").await?.is_empty(), "drmdata was started before its registry");
        registry.edit(json!({"paused": false})).await?;
        registry.ready(ROLLOUT).await?;
        drm.ready(ROLLOUT).await?;
        let servers = "drm-drmdata-0.drm-drmdata:9880,drm-drmdata-1.drm-drmdata:9880";
        start_client(&field, "drmclient", servers).await?;
        two_groups(&drm, "drmdata", "drmclient").await?;
        for (name, reason) in [
            ("data-master-missing", "DataMasterMissing"),
            ("database-lost", "DataSourceNotConnected"),
            ("port-down:12200", "MemberBroken"),
        ] {
            shows(&drm, "drm-drmdata-0", name, reason).await?;
        }
        held_by_its_registry(&registry, &drm).await?;
        antscheduler(&field).await
    })
    .await;
}

/// While the registry is being changed, DRM restarts nothing.
async fn held_by_its_registry(registry: &Field, drm: &Field) -> Result<()> {
    let before = uids(drm, "drmdata").await?;
    registry.edit(json!({"restart": "once"})).await?;
    eventually("the registry is being changed", seconds(60), async || {
        let object = registry.object().await?;
        if object["status"]["push"]["owner"] == "Operator" {
            Ok(())
        } else {
            bail!("{}", registry.summary().await)
        }
    })
    .await?;
    drm.edit(json!({"restart": "twice"})).await?;
    eventually("DRM says that it waits for the registry", seconds(60), async || {
        let ready = drm.condition("Ready").await?;
        if ready["reason"] == "WaitingForRegistry" { Ok(()) } else { bail!("{}", drm.summary().await) }
    })
    .await?;
    ensure!(uids(drm, "drmdata").await? == before, "drmdata was restarted while its registry was");
    registry.ready(ROLLOUT).await?;
    drm.ready(ROLLOUT).await?;
    ensure!(uids(drm, "drmdata").await? != before, "drmdata was never restarted");
    Ok(())
}

async fn uids(field: &Field, role: &str) -> Result<Vec<Option<String>>> {
    let of = ListParams::default().labels(&format!("middleware.sofastack.io/role={role}"));
    let found = field.ground.pods().list(&of).await?;
    Ok(found.items.into_iter().map(|p| p.metadata.uid).collect())
}

/// A server with a task that is not reported is not stopped.
async fn waits_for_tasks(tasks: &Field) -> Result<()> {
    let mut triggered = None;
    for server in ["tasks-server-0", "tasks-server-1"] {
        fault(tasks, server, "not-reported", true).await?;
        let task = json!({"task": "nightly", "via": "rpc"});
        // One without a client has nobody to send it to: clients stay where they went in the restart.
        if tasks.ground.post_json(server, 8080, "/trigger", &task).await?.status == 200 {
            triggered = Some(server);
        }
    }
    let server = triggered.context("no server has a client")?;
    let uid = async || anyhow::Ok(tasks.ground.pods().get(server).await?.metadata.uid);
    let before = uid().await?;
    tasks.edit(json!({"restart": "with a task under way"})).await?;
    tasks.reason_is("Ready", "WaitingForTasks", seconds(90)).await?;
    ensure!(uid().await? == before, "{server} was stopped with a task under way");
    fault(tasks, server, "not-reported", false).await?;
    tasks.ready(ROLLOUT).await?;
    ensure!(uid().await? != before, "{server} was never restarted");
    Ok(())
}

/// AntScheduler on the same registry and database.
async fn antscheduler(field: &Field) -> Result<()> {
    let tasks = field.of_kind("SchedulerCluster", "tasks");
    tasks.apply(&spec_of(ANT)?).await?;
    tasks.ready(ROLLOUT).await?;
    let servers = "tasks-server-0.tasks-server:9001,tasks-server-1.tasks-server:9001";
    start_client(field, "taskclient", servers).await?;
    two_groups(&tasks, "server", "taskclient").await?;
    shows(&tasks, "tasks-server-0", "port-down:9000", "MemberBroken").await?;
    waits_for_tasks(&tasks).await?;
    let clusters: Api<kube::api::DynamicObject> = tasks.clusters();
    clusters.delete("tasks", &DeleteParams::default()).await?;
    eventually("its servers are gone", seconds(60), async || {
        let left = pods(field, "server").await?;
        if left.is_empty() { Ok(()) } else { bail!("{left:?}") }
    })
    .await
}
