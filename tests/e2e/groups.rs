//! Clusters that close push together: two of one Kubernetes cluster by a push group, and one that knows the other as a site.
//! They share a namespace, and the name of one begins with that of the other's MetaServers.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::field::{Field, NAME, ROLLOUT, spec, story, with};
use crate::harness::{eventually, seconds};

/// The StatefulSet of the first cluster's metas is called so, and its first pod `prod-meta-0`.
const OTHER: &str = "prod-meta";

/// Applies the smallest cluster, each of a data centre of its own.
async fn apply(field: &Field, more: &Value) -> Result<()> {
    let one = json!({"replicas": 1});
    let center = if field.cluster == NAME { "CenterA" } else { "CenterB" };
    let small = json!({"meta": one, "data": one, "session": one, "dataCenter": center});
    field.apply(&with(with(spec("5.4.3"), &small), more)).await
}

/// What the session of a cluster says of its switch.
async fn is_closed(field: &Field) -> Result<bool> {
    let said = field.ground.get(&format!("{}-session-0", field.cluster), 9603, "/digest/pushSwitch").await?;
    ensure!(said.status == 200, "{}", said.body);
    Ok(said.body.contains("closed"))
}

/// The first cluster's session is replaced; meanwhile push of the other is closed, and in the end both are open.
async fn roll(field: &Field, more: Value) -> Result<()> {
    let other = field.of(OTHER);
    let uid = async || anyhow::Ok(field.ground.pods().get("prod-session-0").await?.metadata.uid);
    let before = uid().await?;
    apply(field, &more).await?;
    eventually("push of the other is closed before a server is stopped", ROLLOUT, async || {
        if is_closed(&other).await? { Ok(()) } else { bail!("it is open") }
    })
    .await?;
    // A server is stopped only when both have been closed: it is still there when the other is seen closed, or it was stopped
    // after that.
    eventually("the session is another one", ROLLOUT, async || {
        ensure!(is_closed(&other).await?, "push of the other is open while the first one rolls");
        if uid().await? != before {
            return Ok(());
        }
        bail!("{}", field.summary().await)
    })
    .await?;
    field.ready(ROLLOUT).await?;
    eventually("push is open on both", seconds(60), async || {
        for field in [field, &other] {
            ensure!(!is_closed(field).await?, "{} is closed", field.cluster);
        }
        Ok(())
    })
    .await?;
    other.ready(ROLLOUT).await
}

fn turn(n: u32) -> Value {
    json!({"replicas": 1, "podTemplate": {"metadata": {"annotations": {"turn": n.to_string()}}}})
}

#[tokio::test]
async fn clusters_that_belong_together_close_push_together() {
    story("groups", async |field| {
        field.install().await?;
        let (group, other) = (json!({"pushGroup": "city"}), field.of(OTHER));
        for field in [&field, &other] {
            apply(field, &group).await?;
        }
        for field in [&field, &other] {
            field.ready(ROLLOUT).await?;
        }
        roll(&field, json!({"pushGroup": "city", "session": turn(1)})).await?;
        no_holders(&field).await?;
        // The same two without a group; the first one knows the other as a site, by the address of its meta.
        apply(&other, &json!({})).await?;
        other.ready(ROLLOUT).await?;
        let address = field.ground.pod_ip(&format!("{OTHER}-meta-0")).await?;
        let site = json!([{"name": "site-b", "metaAddresses": [address], "closePush": true}]);
        roll(&field, json!({"remoteSites": site, "session": turn(2)})).await?;
        the_other_goes_alone(&field).await
    })
    .await;
}

/// The pods of a cluster by the label that they carry, with their uids.
async fn pods_of(field: &Field) -> Result<BTreeMap<String, String>> {
    let own = ListParams::default().labels(&format!("middleware.sofastack.io/cluster={}", field.cluster));
    let pods = field.ground.pods().list(&own).await?.items;
    Ok(pods.into_iter().filter_map(|p| Some((p.metadata.name?, p.metadata.uid?))).collect())
}

/// The other cluster is deleted. Nothing of it stays but its volumes, and nothing of the first one is touched.
async fn the_other_goes_alone(field: &Field) -> Result<()> {
    let other = field.of(OTHER);
    let before = pods_of(field).await?;
    let names: Vec<_> = before.keys().map(String::as_str).collect();
    ensure!(names == ["prod-data-0", "prod-meta-0", "prod-session-0"], "{names:?}");
    let names: Vec<_> = pods_of(&other).await?.into_keys().collect();
    ensure!(names == ["prod-meta-data-0", "prod-meta-meta-0", "prod-meta-session-0"], "{names:?}");
    field.clusters().delete(OTHER, &DeleteParams::default()).await?;
    let sets: Api<StatefulSet> = Api::namespaced(field.ground.client.clone(), &field.ground.namespace);
    eventually("the other cluster is gone", seconds(120), async || {
        let pods = pods_of(&other).await?;
        let sets = sets.list(&ListParams::default()).await?.items;
        let left: Vec<_> = sets.into_iter().filter_map(|s| s.metadata.name).collect();
        ensure!(pods.is_empty() && left == ["prod-data", "prod-meta", "prod-session"], "{pods:?} {left:?}");
        Ok(())
    })
    .await?;
    field.ready(seconds(60)).await?;
    ensure!(pods_of(field).await? == before, "pods of {NAME} were touched");
    let claims = field.ground.claims().list(&ListParams::default()).await?.items;
    ensure!(claims.len() == 6, "the volumes of both are kept: {}", claims.len());
    Ok(())
}

/// The object of the group is left with nobody in it.
async fn no_holders(field: &Field) -> Result<()> {
    let kind = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("middleware.sofastack.io", "v1alpha1", "PushGroup"),
        "pushgroups",
    );
    let groups: Api<DynamicObject> =
        Api::namespaced_with(field.ground.client.clone(), &field.operators(), &kind);
    eventually("nobody holds the group", seconds(60), async || {
        let spec = groups.get("city").await?.data["spec"].clone();
        let free = spec["holders"].as_array().is_none_or(Vec::is_empty) && spec["actor"].is_null();
        if free { Ok(()) } else { bail!("{spec}") }
    })
    .await
}
