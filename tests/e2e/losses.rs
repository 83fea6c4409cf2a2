//! Servers that are lost: one, some, all. Nothing that clients have registered is lost with them.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::field::{Field, ROLLOUT, story};
use crate::harness::{eventually, seconds};

const METAS: [&str; 3] = ["prod-meta-0", "prod-meta-1", "prod-meta-2"];
const META: u16 = 9615;
/// The volume of a server; its claim has this name before that of the pod.
const HOME: &str = "home";

/// The peers of each meta's own raft configuration.
async fn peers(field: &Field, meta: &str) -> Result<BTreeSet<String>> {
    Ok(serde_json::from_str(&field.ground.get(meta, META, "/manage/queryPeer").await?.body)?)
}

/// Waits until every meta leads or follows, and all of them know the addresses that they have.
async fn one_group(field: &Field, within: std::time::Duration) -> Result<()> {
    eventually("the metas are one group", within, async || {
        let mut addresses = BTreeSet::new();
        for meta in METAS {
            addresses.insert(field.ground.pod_ip(meta).await?);
        }
        for meta in METAS {
            let health = field.ground.get(meta, META, "/health/check").await?;
            ensure!(health.status == 200, "{meta}: {}", health.body);
            let known = peers(field, meta).await?;
            ensure!(known == addresses, "{meta} knows {known:?}, they are {addresses:?}");
        }
        Ok(())
    })
    .await
}

/// A meta on a new address is let into the group by `changePeer`, with push as it was.
#[tokio::test]
async fn a_meta_that_comes_back_on_another_address_is_let_in_again() {
    story("address", async |field| {
        field.started(&json!({})).await?;
        field.ground.delete_pods(&["prod-meta-1"]).await?;
        one_group(&field, seconds(90)).await?;
        field.ready(seconds(60)).await?;
        field.nothing_is_lost().await?;
        // A data server and a session are replaced by Kubernetes, and the others hear of it.
        field.ground.delete_pods(&["prod-data-0"]).await?;
        field.ready(seconds(120)).await?;
        field.ground.delete_pods(&["prod-session-1"]).await?;
        field.ready(seconds(120)).await?;
        field.nothing_is_lost().await?;
        a_person_holds_push(&field).await
    })
    .await;
}

/// `spec.push.hold` keeps push closed; taken away, it opens. Push that a person closed at the metas stays closed.
async fn a_person_holds_push(field: &Field) -> Result<()> {
    let state = async |wanted: &str, owner: Value| {
        eventually(&format!("push is {wanted}"), seconds(60), async || {
            let push = field.object().await?["status"]["push"].clone();
            ensure!(push["state"] == wanted && push["owner"] == owner, "{push}");
            Ok(())
        })
        .await
    };
    // A person looks at the answer, and asks again where it was no success.
    let at_the_metas = async |switch: &str| {
        eventually(&format!("{switch} at {}", METAS[0]), seconds(60), async || {
            let reply = field.ground.get(METAS[0], META, switch).await?;
            ensure!(reply.body.contains("\"success\":true"), "{}: {}", reply.status, reply.body);
            Ok(())
        })
        .await
    };
    field.edit(json!({"push": {"hold": true}})).await?;
    state("Closed", json!("Spec")).await?;
    let before = field.client().await?["pushesTotal"].clone();
    field.republish().await?;
    field.edit(json!({"push": {"hold": false}})).await?;
    state("Open", Value::Null).await?;
    field.all_received().await?;
    ensure!(field.client().await?["pushesTotal"] != before, "what was published meanwhile arrives");
    // A person at the metas: the operator sees it, says so, and leaves it.
    at_the_metas("/stopPushDataSwitch/open").await?;
    state("Closed", json!("Other")).await?;
    at_the_metas("/stopPushDataSwitch/close").await?;
    state("Open", Value::Null).await
}

/// As when nodes are drained one after the other: every meta moves, the leader last. Data servers and sessions that are connected
/// to the leader alone lose the metas with it (measured: sofaregistry §14), whoever that is by chance: twice. They are made
/// again with push closed, and nobody is told that a value is gone.
#[tokio::test]
async fn every_meta_moves_and_the_leader_last() {
    story("drained", async |field| {
        field.started(&json!({})).await?;
        for round in 1..=2 {
            let datas = field.pods_of("data").await?;
            let leader = field.object().await?["status"]["lastLeader"].clone();
            let mut order = METAS;
            order.sort_by_key(|meta| leader == *meta);
            for meta in order {
                field.ground.delete_pods(&[meta]).await?;
                one_group(&field, seconds(90)).await?;
                field.ready(ROLLOUT).await?;
            }
            let moved = Instant::now();
            eventually("the lists are those of the new leader", seconds(90), async || {
                // Data servers that are cut off stay listed for 30 s.
                ensure!(moved.elapsed() > seconds(40), "they may be old");
                Ok(())
            })
            .await?;
            field.ready(ROLLOUT).await?;
            field.push_is_open().await?;
            field.nothing_is_lost().await?;
            let lost = field.pods_of("data").await? != datas;
            println!("drained, round {round}: the data servers lost the metas: {lost}");
        }
        Ok(())
    })
    .await;
}

/// A power loss: every meta back on a new address with its volume. Nothing heals by itself; by the operator it does.
#[tokio::test]
async fn all_metas_on_new_addresses_become_one_group_again() {
    story("power", async |field| {
        field.started(&json!({})).await?;
        field.edit(json!({"recovery": {"metaMajority": {"mode": "Automatic"}}})).await?;
        field.ready(seconds(60)).await?;
        field.ground.delete_pods(&METAS).await?;
        eventually("every meta answers", seconds(90), async || {
            for meta in METAS {
                let health = field.ground.get(meta, META, "/health/check").await?;
                // Only the server itself says this: without a pod, or without a process, the API server answers.
                ensure!(health.body.contains("MetaServerBoot"), "{meta}: {}", health.body);
            }
            Ok::<_, anyhow::Error>(())
        })
        .await?;
        let answered = Instant::now();
        one_group(&field, seconds(120)).await?;
        println!(
            "power loss: one group {:.1} s after the last meta answered",
            answered.elapsed().as_secs_f64()
        );
        field.ready(ROLLOUT).await?;
        field.push_is_open().await?;
        field.nothing_is_lost().await?;
        a_person_confirms(&field).await
    })
    .await;
}

/// By default a person decides. Two metas are lost with their volumes: the incident tells who could survive, and after a
/// confirmation of it that one begins anew; the blank ones are let in, one after the other.
async fn a_person_confirms(field: &Field) -> Result<()> {
    field.edit(json!({"recovery": {"metaMajority": {"mode": "Manual"}}})).await?;
    field.ready(seconds(60)).await?;
    let leader = field.object().await?["status"]["lastLeader"].clone();
    let lost: Vec<&str> = METAS.into_iter().filter(|meta| leader != *meta).collect();
    ensure!(lost.len() == 2, "the last leader is one of the three: {leader}");
    for meta in &lost {
        // It goes with the pod that uses it.
        field.ground.claims().delete(&format!("{HOME}-{meta}"), &DeleteParams::default()).await?;
    }
    field.ground.delete_pods(&lost).await?;
    let incident = eventually("only the last leader could survive", seconds(120), async || {
        let incident = field.object().await?["status"]["incident"].clone();
        if incident["survivors"] == json!([leader]) {
            Ok(incident)
        } else {
            bail!("{}", field.summary().await)
        }
    })
    .await?;
    field.edit(json!({"recovery": {"metaMajority": {"confirm": {"incident": incident["id"], "survivor": leader}}}})).await?;
    one_group(field, seconds(180)).await?;
    field.ready(ROLLOUT).await?;
    field.push_is_open().await?;
    field.nothing_is_lost().await
}
