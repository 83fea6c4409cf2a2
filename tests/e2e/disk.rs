//! A full disk. The volumes of the local cluster are folders without a limit, so the metas keep `raftData` in a small file
//! system in memory here: what is full is full in the same way, and it goes with the pod.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::field::{Field, ROLLOUT, story};
use crate::harness::{eventually, seconds};

/// How much a meta may keep. The log of its store takes 70 MiB in advance.
const ROOM: &str = "160Mi";
const RAFT_DATA: &str = "/home/sofa/raftData";

/// A meta that works and does not lead.
async fn follower(field: &Field) -> Result<String> {
    let members = field.object().await?["status"]["members"].as_array().cloned().unwrap_or_default();
    let follows = |m: &&Value| m["role"] == "Meta" && m["state"] == "Serving";
    let found = members.iter().find(follows).and_then(|m| m["name"].as_str());
    found.map(str::to_owned).context("no meta follows")
}

/// Has the store written: push is held and let go.
async fn writes(field: &Field) -> Result<()> {
    for (hold, state) in [(true, "Closed"), (false, "Open")] {
        field.edit(json!({"push": {"hold": hold}})).await?;
        eventually(&format!("push is {state}"), seconds(90), async || {
            let push = field.object().await?["status"]["push"].clone();
            if push["state"] == state { Ok(()) } else { bail!("{push} {}", field.summary().await) }
        })
        .await?;
    }
    Ok(())
}

/// One meta's disk is full: the others go on and lose nothing, it is named when it cannot start, and with room it is back.
#[tokio::test]
async fn a_full_disk_stops_one_meta_and_no_more() {
    story("disk", async |field| {
        let room = json!({"name": "room", "emptyDir": {"medium": "Memory", "sizeLimit": ROOM}});
        let mount = json!({"name": "room", "mountPath": RAFT_DATA});
        let overlay =
            json!({"spec": {"volumes": [room], "containers": [{"name": "meta", "volumeMounts": [mount]}]}});
        let memory = json!({"limits": {"memory": "1Gi"}});
        let (meta, one) =
            (json!({"replicas": 3, "podTemplate": overlay, "resources": memory}), json!({"replicas": 1}));
        field.started(&json!({"meta": meta, "data": one, "session": one})).await?;
        let full = follower(&field).await?;
        let filling = format!("dd if=/dev/zero of={RAFT_DATA}/full bs=1M; df {RAFT_DATA} | tail -n 1");
        let told = field.ground.exec(&full, &["sh", "-c", &filling]).await?;
        ensure!(told.contains("100%"), "{full} has room left: {told}");
        // Its log has room that it took in advance: while its process lives the meta goes on, and does not say anything.
        writes(&field).await?;
        field.nothing_is_lost().await?;
        // Started again, it finds no room to start in.
        field.ground.exec(&full, &["sh", "-c", "kill 1"]).await?;
        eventually("the meta is named", seconds(120), async || {
            let condition = field.condition("Ready").await?;
            let member = full.trim_start_matches("prod-");
            let named = condition["message"].as_str().is_some_and(|m| m.contains(member));
            if condition["status"] == "False" && named { Ok(()) } else { bail!("{}", field.summary().await) }
        })
        .await?;
        field.nothing_is_lost().await?;
        println!("a full disk: {}", field.summary().await);
        // A person makes room and has the pod made again.
        field.ground.delete_pods(&[&full]).await?;
        field.ready(ROLLOUT).await?;
        field.push_is_open().await?;
        field.nothing_is_lost().await
    })
    .await;
}
