//! Bad input, and hands in the works: each is told in one sentence, and each has a way out that loses nothing.

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::field::{Field, NAME, ROLLOUT, spec, story};
use crate::harness::{eventually, seconds};

/// The smallest cluster: one server of each role.
fn smallest(version: &str) -> Value {
    let mut small = spec(version);
    for role in ["meta", "data", "session"] {
        small[role] = json!({"replicas": 1});
    }
    small
}

fn sets(field: &Field) -> Api<StatefulSet> {
    Api::namespaced(field.ground.client.clone(), &field.ground.namespace)
}

#[tokio::test]
async fn what_is_wrong_is_told_and_can_be_corrected() {
    story("inputs", async |field| {
        field.install().await?;
        a_secret_that_is_missing(&field).await?;
        let class = a_storage_class_that_is_missing(&field).await?;
        let started = async {
            field.ready(ROLLOUT).await?;
            field.start_client("5.4.3").await
        }
        .await;
        // It belongs to the whole cluster: nobody else takes it away. The volumes that were made by it stay.
        classes(&field).delete(&class, &DeleteParams::default()).await?;
        started?;
        hands_in_the_works(&field).await?;
        a_spec_that_cannot_be(&field).await?;
        a_port_that_answers_rubbish(&field).await?;
        an_image_that_is_not_there(&field).await
    })
    .await;
}

fn classes(field: &Field) -> Api<StorageClass> {
    Api::all(field.ground.client.clone())
}

/// A `StorageClass` that is not there: it says so and starts nothing; when it is made, the first start begins.
async fn a_storage_class_that_is_missing(field: &Field) -> Result<String> {
    let class = format!("{}-late", field.ground.namespace);
    // What an earlier run left would be there.
    classes(field).delete(&class, &DeleteParams::default()).await.ok();
    let mut spec = smallest("5.4.3");
    spec["meta"]["storage"] = json!({"storageClassName": class});
    field.apply(&spec).await?;
    let told = field.reason_is("Ready", "ReferenceNotFound", seconds(30)).await?;
    ensure!(told["message"].as_str().is_some_and(|m| m.contains(&class) && m.contains("make it")), "{told}");
    let made = sets(field).list(&ListParams::default()).await?.items;
    ensure!(made.is_empty(), "nothing is started without it: {}", made.len());
    // The same as the cluster's default one, under that name.
    let all = classes(field).list(&ListParams::default()).await?.items;
    let marked = |c: &StorageClass| {
        let marks = c.metadata.annotations.iter().flatten();
        marks.into_iter().any(|(k, v)| k == "storageclass.kubernetes.io/is-default-class" && v == "true")
    };
    let mut made =
        all.into_iter().find(marked).context("the Kubernetes cluster has no default StorageClass")?;
    let marks = made.metadata.annotations.take().unwrap_or_default();
    let marks = marks.into_iter().filter(|(key, _)| !key.contains("kubernetes.io/"));
    made.metadata =
        ObjectMeta { name: Some(class.clone()), annotations: Some(marks.collect()), ..ObjectMeta::default() };
    classes(field).create(&PostParams::default(), &made).await?;
    Ok(class)
}

/// `kubectl wait` until a condition of the present generation is so: what scripts and GitOps tools go by.
async fn kubectl_wait(field: &Field, condition: &str) -> Result<()> {
    let (object, until) = (format!("registrycluster/{NAME}"), format!("--for=condition={condition}"));
    let command = ["wait", &object, &until, "--timeout=60s", "--namespace", &field.ground.namespace];
    let run = Command::new("kubectl").args(command).stdin(Stdio::null()).output();
    let output = run.await.context("kubectl: `eval \"$(make -s cluster-env)\"` puts it into PATH")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kubectl {command:?}: {said} {}", field.summary().await);
    Ok(())
}

/// A change that cannot be: stalled by the rules of kstatus, with the reason, and what runs goes on. Put back, it is Ready.
async fn a_spec_that_cannot_be(field: &Field) -> Result<()> {
    kubectl_wait(field, "Ready").await?;
    let good = field.object().await?["spec"].clone();
    field.edit(json!({"image": "localhost/sofa-registry:5.9.9"})).await?;
    kubectl_wait(field, "Stalled").await?;
    kubectl_wait(field, "Ready=False").await?;
    kubectl_wait(field, "Reconciling=False").await?;
    let told = field.condition("Stalled").await?;
    ensure!(told["reason"] == "InvalidSpec", "{told}");
    field.edit(json!({"image": good["image"]})).await?;
    for condition in ["Stalled=False", "Reconciling=False", "Ready"] {
        kubectl_wait(field, condition).await?;
    }
    Ok(())
}

/// A session whose management port is somebody else's. It is named, and push stays closed because nobody knows what it is
/// there; a person who says that it may be taken for gone gets the cluster out of it.
async fn a_port_that_answers_rubbish(field: &Field) -> Result<()> {
    let good = field.object().await?["spec"]["session"].clone();
    // As PID 1 httpd would not hear that it is to end.
    let page = "mkdir -p /tmp/www/health && echo '<h1>It works</h1>' > /tmp/www/health/check && \
                trap 'exit 0' TERM && { httpd -f -p 9603 -h /tmp/www & wait; }";
    let user = json!({"runAsUser": 10001});
    let other = json!({"name": "zz-page", "image": "localhost/base:1", "command": ["sh", "-c", page], "securityContext": user});
    let moved = json!({"name": "JAVA_TOOL_OPTIONS", "value": "-Dsession.server.httpServerPort=9604"});
    let overlay = json!({"spec": {"containers": [{"name": "session", "env": [moved]}, other]}});
    field.edit(json!({"session": {"podTemplate": overlay}})).await?;
    let broken = async || {
        let members = field.object().await?["status"]["members"].as_array().cloned().unwrap_or_default();
        let told = |m: &Value| m["message"].as_str().is_some_and(|m| m.contains("not understood"));
        members
            .into_iter()
            .find(|m| m["name"] == "prod-session-0" && m["state"] == "Broken" && told(m))
            .context("it is not named")
    };
    eventually("the session is named", ROLLOUT, async || broken().await).await?;
    field.reason_is("Degraded", "MemberBroken", seconds(30)).await?;
    field.edit(json!({"session": {"podTemplate": null}})).await?;
    eventually("it waits for the session's word", seconds(60), async || {
        let object = field.object().await?;
        let waits = object["status"]["waitingOn"].as_array().cloned().unwrap_or_default();
        ensure!(
            waits.iter().any(|w| w["reason"] == "SessionUnreachable"),
            "{} {waits:?}",
            field.summary().await
        );
        ensure!(object["status"]["push"]["state"] == "Closed", "{}", object["status"]["push"]);
        Ok(())
    })
    .await?;
    let accepted = json!({"metadata": {"annotations": {"middleware.sofastack.io/unreachable": "accepted"}}});
    let pods = field.ground.pods();
    pods.patch("prod-session-0", &PatchParams::default(), &Patch::Merge(&accepted)).await?;
    field.ready(ROLLOUT).await?;
    ensure!(field.object().await?["spec"]["session"] == good, "the spec is as it was");
    field.push_is_open().await?;
    field.nothing_is_lost().await
}

/// A 6.x cluster whose Secret is not there: it says so, starts nothing, and goes when it is deleted.
async fn a_secret_that_is_missing(field: &Field) -> Result<()> {
    let mut six = smallest("6.3.0");
    six["database"] =
        json!({"host": "mariadb", "name": "registrymetadb", "secretRef": {"name": "registry-database"}});
    field.apply(&six).await?;
    let told = field.reason_is("Ready", "ReferenceNotFound", seconds(30)).await?;
    ensure!(told["message"].as_str().is_some_and(|m| m.contains("registry-database")), "{told}");
    ensure!(
        sets(field).list(&ListParams::default()).await?.items.is_empty(),
        "nothing is started without it"
    );
    // With it the first role is started: no person has to do more.
    let secrets: Api<Secret> = Api::namespaced(field.ground.client.clone(), &field.ground.namespace);
    let secret =
        json!({"metadata": {"name": "registry-database"}, "stringData": {"username": "u", "password": "p"}});
    secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    eventually("the metas are made", seconds(60), async || sets(field).get("prod-meta").await.map(|_| ()))
        .await?;
    field.clusters().delete(NAME, &DeleteParams::default()).await?;
    eventually("the cluster is gone", seconds(60), async || match field.clusters().get_opt(NAME).await? {
        None => Ok(()),
        Some(_) => bail!("{}", field.summary().await),
    })
    .await
}

/// A hand-edited StatefulSet is put right again, a Service that was deleted is made again, and no pod is touched by that.
async fn hands_in_the_works(field: &Field) -> Result<()> {
    let pods = async || {
        let all = field.ground.pods().list(&ListParams::default()).await?;
        anyhow::Ok(
            all.items.into_iter().filter_map(|p| p.metadata.uid).collect::<std::collections::BTreeSet<_>>(),
        )
    };
    let before = pods().await?;
    let edit = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7}}}});
    sets(field).patch("prod-data", &PatchParams::default(), &Patch::Merge(&edit)).await?;
    eventually("the StatefulSet is put right", seconds(30), async || {
        let set = serde_json::to_value(sets(field).get("prod-data").await?)?;
        let grace = &set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
        ensure!(*grace != 7, "{grace}");
        Ok(())
    })
    .await?;
    let services: Api<Service> = Api::namespaced(field.ground.client.clone(), &field.ground.namespace);
    services.delete("prod-session-client", &DeleteParams::default()).await?;
    eventually("the Service is made again", seconds(30), async || {
        let service = services.get("prod-session-client").await?;
        if service.metadata.deletion_timestamp.is_none() { Ok(()) } else { bail!("it is going") }
    })
    .await?;
    field.ready(seconds(60)).await?;
    ensure!(pods().await? == before, "pods were touched");
    Ok(())
}

/// A version whose image is not there: the rollout stops at the first server with a reason, and the old version is the way out.
async fn an_image_that_is_not_there(field: &Field) -> Result<()> {
    let good = field.object().await?["spec"].clone();
    field.edit(json!({"version": "5.4.4", "image": "localhost/sofa-registry:5.4.4"})).await?;
    eventually("the broken server is named", ROLLOUT, async || {
        let object = field.object().await?;
        let members = object["status"]["members"].as_array().cloned().unwrap_or_default();
        let broken = members.iter().find(|m| m["message"].as_str().is_some_and(|m| m.contains("image")));
        if broken.is_some() { Ok(()) } else { bail!("{}", field.summary().await) }
    })
    .await?;
    field.edit(json!({"version": good["version"], "image": good["image"]})).await?;
    field.ready(ROLLOUT).await?;
    let push = field.object().await?["status"]["push"]["state"].clone();
    ensure!(push == "Open", "push is {push}");
    field.nothing_is_lost().await
}
