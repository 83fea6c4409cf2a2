//! Bad input, and hands in the works: each is told in one sentence, and each has a way out that loses nothing.

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

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
        field.apply(&smallest("5.4.3")).await?;
        field.ready(ROLLOUT).await?;
        field.start_client("5.4.3").await?;
        hands_in_the_works(&field).await?;
        an_image_that_is_not_there(&field).await
    })
    .await;
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
