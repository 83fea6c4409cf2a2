//! DRM and AntScheduler, by stand-ins for their servers (`images/contract-servers`), on a real registry and a real database: what
//! the operations guide says of their order, their groups and their failures.

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use serde_json::{Value, json};
use sofa_operator::api::http_route::HttpRoute;

use crate::field::{Field, ROLLOUT, story};
use crate::harness::{eventually, seconds};

const DATABASE: &str = include_str!("../../examples/stack/database.yaml");
const REGISTRY: &str = include_str!("../../examples/stack/registry.yaml");
const DRM: &str = include_str!("../../examples/stack/drm.yaml");
const ANT: &str = include_str!("../../examples/antscheduler.yaml");
/// Where the stand-ins are told to fail.
const CONTROL: u16 = 8899;
/// Where the stand-ins of DRM take and tell values.
const HTTP: u16 = 80;
/// Long connections of the client.
const CONNECTIONS: u64 = 20;

/// The spec of an example, with the ports of its pods open to this test.
pub(crate) fn spec_of(example: &str) -> Result<Value> {
    let mut object: Value = serde_yaml::from_str(example)?;
    let mut spec = object["spec"].take();
    spec["networkPolicy"] = json!({"extraFrom": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]});
    Ok(spec)
}

/// The spec of `DRM`'s example with the drmdata servers of another data centre.
fn with_site(replicas: u32, site: &str, addresses: &[&str]) -> Result<Value> {
    let mut spec = spec_of(DRM)?;
    spec["drmdata"]["replicas"] = json!(replicas);
    spec["remoteSites"] = json!([{"name": site, "drmdataAddresses": addresses}]);
    let variables = &mut spec["drmdata"]["podTemplate"]["spec"]["containers"][0]["env"];
    let mut variables =
        variables.as_array_mut().context("the example tells the stand-in its peers")?.iter_mut();
    let peers = variables.find(|v| v["name"] == "STAND_IN_PEERS").context("the stand-in's peers")?;
    peers["value"] = json!("$(DRMDATA_PEERS),$(REMOTE_DRMDATA)");
    Ok(spec)
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
    let names = field.pods_of(role).await?;
    field.edit(json!({"restart": "once"})).await?;
    let serving = async || {
        let found = field.ground.pods().list(&ListParams::default()).await?;
        let ready = found.items.iter().filter(|p| {
            p.metadata.name.as_ref().is_some_and(|n| names.contains_key(n)) && crate::harness::is_ready(p)
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
        let spec = with_site(2, "far", &["far-drmdata-0.far-drmdata"])?;
        // First of all the one that needs the others: it says what it waits for, and starts nothing.
        drm.apply(&spec).await?;
        drm.reason_is("Ready", "ReferenceNotFound", seconds(60)).await?;
        field.ground.apply(DATABASE).await?;
        let registry = field.of_kind("RegistryCluster", "registry");
        let mut held = spec_of(REGISTRY)?;
        held["paused"] = json!(true);
        registry.apply(&held).await?;
        drm.reason_is("Ready", "WaitingForRegistry", seconds(180)).await?;
        ensure!(drm.pods_of("drmdata").await?.is_empty(), "drmdata was started before its registry");
        registry.edit(json!({"paused": false})).await?;
        registry.ready(ROLLOUT).await?;
        let far = field.of_kind("DrmCluster", "far");
        let near = ["drm-drmdata-0.drm-drmdata:9870", "drm-drmdata-1.drm-drmdata:9870"];
        far.apply(&with_site(1, "near", &near)?).await?;
        drm.ready(ROLLOUT).await?;
        far.ready(ROLLOUT).await?;
        another_site_hears(&field).await?;
        ways_in(&far).await?;
        let servers = "drm-drmdata-0.drm-drmdata:9880,drm-drmdata-1.drm-drmdata:9880";
        start_client(&field, "drmclient", servers).await?;
        two_groups(&drm, "drmdata", "drmclient").await?;
        clients_gone_astray(&drm, "drmclient").await?;
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

/// What is pushed in one data centre arrives in the other one, both ways.
async fn another_site_hears(field: &Field) -> Result<()> {
    for (console, drmdata, value) in
        [("drm-console-0", "far-drmdata-0", "from near"), ("far-console-0", "drm-drmdata-1", "from far")]
    {
        let pushed = json!({"dataId": "app.switch", "value": value});
        let reply = field.ground.post_json(console, HTTP, "/push", &pushed).await?;
        ensure!(reply.status == 200, "{console}: {reply:?}");
        eventually(&format!("{drmdata} hears of what is pushed {value}"), seconds(60), async || {
            let values = field.ground.get(drmdata, HTTP, "/values").await?.json();
            ensure!(values[0]["value"] == value, "{values}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// A console is reached by an Ingress or by a route of a Gateway; what the spec no longer names goes. Where the Gateway API is
/// not there, that is told.
async fn ways_in(drm: &Field) -> Result<()> {
    const HOST: &str = "drm.example.org";
    let namespace = &drm.ground.namespace;
    let client = &drm.ground.client;
    let ingresses = Api::<Ingress>::namespaced(client.clone(), namespace);
    let routes = Api::<DynamicObject>::namespaced_with(
        client.clone(),
        namespace,
        &ApiResource::erase::<HttpRoute>(&()),
    );
    let name = "far-console";
    drm.edit(json!({"console": {"exposure": {"ingress": {"host": HOST}}}})).await?;
    eventually("the Ingress is there", seconds(60), async || {
        let ingress = serde_json::to_value(ingresses.get(name).await?)?;
        ensure!(ingress["spec"]["rules"][0]["host"] == HOST, "{ingress}");
        Ok(())
    })
    .await?;
    let brought = !gateway_api_is_there(drm).await?;
    drm.edit(
        json!({"console": {"exposure": {"ingress": null, "gateway": {"name": "public", "host": HOST}}}}),
    )
    .await?;
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    if brought {
        drm.tells(
            "Stalled",
            "WriteRefused",
            "no HTTPRoute of gateway.networking.k8s.io/v1: install what brings it",
        )
        .await?;
        definitions.create(&PostParams::default(), &serde_json::from_value(gateway_api_stand_in())?).await?;
    }
    let played = async {
        eventually("the route is there", seconds(120), async || {
            let route = serde_json::to_value(routes.get(name).await?)?;
            ensure!(route["spec"]["parentRefs"][0]["name"] == "public", "{route}");
            Ok(())
        })
        .await?;
        drm.ready(seconds(60)).await?;
        ensure!(ingresses.get_opt(name).await?.is_none(), "the Ingress is no longer wanted");
        drm.edit(json!({"console": {"exposure": null}})).await?;
        eventually("the route is gone", seconds(60), async || {
            ensure!(routes.get_opt(name).await?.is_none(), "it is there");
            Ok(())
        })
        .await?;
        drm.ready(seconds(60)).await
    };
    let outcome = played.await;
    if brought {
        definitions.delete(ROUTES, &DeleteParams::default()).await?;
    }
    outcome
}

const ROUTES: &str = "httproutes.gateway.networking.k8s.io";

async fn gateway_api_is_there(field: &Field) -> Result<bool> {
    let definitions = Api::<CustomResourceDefinition>::all(field.ground.client.clone());
    Ok(definitions.get_opt(ROUTES).await?.is_some())
}

/// A stand-in for the definition of `HTTPRoute`, which takes everything.
fn gateway_api_stand_in() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": ROUTES, "annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in for tests"}},
        "spec": {"group": "gateway.networking.k8s.io", "scope": "Namespaced",
            "names": {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {
                    "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}]}})
}

/// No client registers, as when addressing leads them astray (guide §1.3.1.2): the second group is not stopped until they are
/// back.
async fn clients_gone_astray(drm: &Field, client: &str) -> Result<()> {
    const ASTRAY: &str = "addressing-wrong";
    let before = drm.pods_of("drmdata").await?;
    drm.edit(json!({"restart": "astray"})).await?;
    let other = eventually("the first group is stopped", seconds(120), async || {
        let now = drm.pods_of("drmdata").await?;
        let mut same = before.iter().filter(|(name, uid)| now.get(*name) == Some(uid)).map(|(name, _)| name);
        let (other, none) = (same.next().context("both were stopped")?, same.next());
        ensure!(none.is_none(), "{before:?}");
        Ok(other.clone())
    })
    .await?;
    fault(drm, &other, ASTRAY, true).await?;
    let first = before.keys().find(|name| **name != other).context("two servers")?;
    // Long before it is Ready its control port is open.
    eventually("the first group is made again", seconds(120), async || {
        let now = drm.pods_of("drmdata").await?;
        ensure!(now.get(first).is_some_and(|uid| before.get(first) != Some(uid)), "{now:?}");
        fault(drm, first, ASTRAY, true).await
    })
    .await?;
    drm.tells("Ready", "WaitingForConnections", "connections of 20 before are back").await?;
    ensure!(
        drm.pods_of("drmdata").await?.get(&other) == before.get(&other),
        "{other} was stopped without clients"
    );
    for pod in [first, &other] {
        fault(drm, pod, ASTRAY, false).await?;
    }
    drm.ready(ROLLOUT).await?;
    ensure!(drm.pods_of("drmdata").await?.get(&other) != before.get(&other), "{other} was never restarted");
    connected(drm, client).await
}

/// While the registry is being changed, DRM restarts nothing.
async fn held_by_its_registry(registry: &Field, drm: &Field) -> Result<()> {
    let before = drm.pods_of("drmdata").await?;
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
    ensure!(drm.pods_of("drmdata").await? == before, "drmdata was restarted while its registry was");
    registry.ready(ROLLOUT).await?;
    drm.ready(ROLLOUT).await?;
    ensure!(drm.pods_of("drmdata").await? != before, "drmdata was never restarted");
    Ok(())
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
        let left = tasks.pods_of("server").await?;
        if left.is_empty() { Ok(()) } else { bail!("{left:?}") }
    })
    .await
}
