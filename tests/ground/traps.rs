//! What goes wrong with SOFARegistry 5.4.3 when nobody is careful: the reasons for which this operator exists.

use anyhow::{Result, bail, ensure};
use kube::api::{DeleteParams, LogParams};
use serde_json::{Value, json};

use crate::harness::{Ground, eventually, is_ready, seconds, set_env, set_replicas, story, throughout};
use crate::registry::{DATA_5, META_5, SESSION_5};
use crate::registry_admin::{DATA, META, SESSION};

/// All applied at once, with the entry point's waiting switched off: data and sessions that come up before the metas have
/// a leader never serve, however long one waits after the metas are healthy. Only a restart, in order, cures them.
#[tokio::test]
async fn data_and_sessions_that_start_too_early_never_serve() {
    story("too-early", async |ground| {
        for (manifest, count) in [(META_5, 3), (DATA_5, 1), (SESSION_5, 1)] {
            ground
                .apply_edited(manifest, |m| {
                    set_env(m, "WAIT", "false");
                    set_replicas(m, count);
                    hold_metas(m);
                    never_restart(m);
                })
                .await?;
        }
        for pod in ["data-0", "session-0"] {
            eventually(&format!("{pod} has looked for a leader in vain"), seconds(90), async || {
                let log = ground.pods().logs(pod, &LogParams::default()).await?;
                if LOOKED_IN_VAIN.iter().any(|l| log.contains(l)) {
                    Ok(())
                } else {
                    bail!("{} bytes of log", log.len())
                }
            })
            .await?;
        }
        for meta in ["meta-0", "meta-1", "meta-2"] {
            ground.exec_in(meta, Some("hold"), &["touch", "/tmp/go"]).await?;
        }
        ground.ready("meta", seconds(120)).await?;
        throughout("data and session do not serve", seconds(60), async || {
            for (pod, port) in [("data-0", DATA), ("session-0", SESSION)] {
                if is_ready(&ground.pods().get(pod).await?)
                    || ground.get(pod, port, "/health/check").await?.status == 200
                {
                    bail!("{pod} serves");
                }
            }
            anyhow::Ok(())
        })
        .await?;
        ground.delete_pods(&["data-0"]).await?;
        ground.pod_ready("data-0", seconds(90)).await?;
        ground.delete_pods(&["session-0"]).await?;
        ground.pod_ready("session-0", seconds(90)).await
    })
    .await;
}

/// What 5.4.3 data and sessions log when no meta leads.
const LOOKED_IN_VAIN: [&str; 3] = ["Unknown leader", "start server error", "Refresh leader failed"];

/// Metas that have an address and do not start yet: which of all that start at once is the slower one is chance otherwise.
fn hold_metas(manifest: &mut Value) {
    if manifest["kind"] == "StatefulSet" && manifest["metadata"]["name"] == "meta" {
        manifest["spec"]["template"]["spec"]["initContainers"] = json!([{
            "name": "hold",
            "image": "localhost/base:1",
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", "until [ -e /tmp/go ]; do sleep 1; done"],
            "securityContext": {"runAsUser": 10001}
        }]);
    }
}

/// Without a startup probe a server that never serves stays as it is.
fn never_restart(manifest: &mut Value) {
    if let Some(container) =
        manifest.pointer_mut("/spec/template/spec/containers/0").and_then(Value::as_object_mut)
    {
        container.remove("startupProbe");
    }
}

/// A blank meta does not start while it knows less than a majority, however long: alone it would form a new cluster.
#[tokio::test]
async fn a_blank_meta_does_not_start_alone() {
    story("alone", async |ground| {
        let apply = async |count| {
            let edit = |m: &mut Value| {
                set_replicas(m, count);
                set_env(m, "WAIT_NAMES_SECONDS", "1");
            };
            ground.apply_edited(META_5, edit).await
        };
        apply(1).await?;
        eventually("it waits for the others", seconds(60), async || {
            let log = ground.pods().logs("meta-0", &LogParams::default()).await?;
            if log.contains("meta waits for the names of: meta-1.meta meta-2.meta") {
                Ok(())
            } else {
                bail!("{log}")
            }
        })
        .await?;
        throughout("it does not start", seconds(10), async || {
            let log = ground.pods().logs("meta-0", &LogParams::default()).await?;
            if log.contains("starts, the metas are") {
                bail!("{log}")
            }
            anyhow::Ok(())
        })
        .await?;
        // With two of three it starts, after its short time for the third.
        apply(2).await?;
        ground.ready("meta", seconds(90)).await
    })
    .await;
}

/// Two blank metas beside one that knows the cluster: they elect each other and form a new, empty cluster; the survivor
/// looks healthy and is not part of it.
#[tokio::test]
async fn two_blank_metas_form_a_new_empty_cluster() {
    story("blank-metas", async |ground| {
        ground.apply(META_5).await?;
        ground.ready("meta", seconds(120)).await?;
        ground.switch_push("meta-0", false).await?;
        // The survivor keeps its address: the two others go with their volumes.
        for claim in ["home-meta-1", "home-meta-2"] {
            ground.claims().delete(claim, &DeleteParams::default()).await?;
        }
        let old = ground.peers("meta-0").await?;
        ground.delete_pods(&["meta-1", "meta-2"]).await?;
        let (one, two) = eventually("the blank ones elect each other", seconds(90), async || {
            anyhow::Ok((ground.raft_status("meta-1").await?, ground.raft_status("meta-2").await?))
        })
        .await?;
        ensure!([one.as_str(), two.as_str()].contains(&"Leader"), "a leader among them: {one}, {two}");
        let new = ground.peers("meta-1").await?;
        ensure!(new != old, "a new group: {new:?}, before {old:?}");
        eventually("what was stored is gone", seconds(20), async || {
            let switch = ground.push_switch("meta-1", META).await?;
            if switch["msg"].as_str().is_some_and(|m| m.contains("NOTFOUND")) {
                Ok(())
            } else {
                bail!("{switch}")
            }
        })
        .await?;
        ensure!(ground.peers("meta-0").await? == old, "the survivor still believes in the old group");
        Ok(())
    })
    .await;
}

/// `changePeer` with an address that belongs to another cluster by now: with the default raft group that cluster's meta
/// is swallowed; with a group of its own for each cluster nothing happens.
#[tokio::test]
async fn a_raft_group_of_its_own_keeps_two_clusters_apart() {
    story("groups", async |ground| {
        let pairs = [("own", "alpha", "beta"), ("default", "", "")];
        for (name, a, b) in pairs {
            two_clusters(&ground, name, a, b).await?;
        }
        for (name, ..) in pairs {
            ground.ready(&format!("{name}-a"), seconds(150)).await?;
            ground.ready(&format!("{name}-b"), seconds(60)).await?;
        }
        let b_alone = ground.peers("own-b-0").await?;
        let refused = swallow(&ground, "own").await;
        ensure!(refused.is_err(), "with groups of their own changePeer fails");
        ensure!(ground.raft_status("own-b-0").await? == "Leader", "B is unharmed");
        ensure!(ground.peers("own-b-0").await? == b_alone, "B keeps its own group");
        ensure!(ground.peers("own-a-0").await?.len() == 2, "A keeps its own group");

        eventually("A takes B's meta for its own", seconds(30), async || swallow(&ground, "default").await)
            .await?;
        eventually("B is swallowed", seconds(20), async || {
            let (status, peers) =
                (ground.raft_status("default-b-0").await?, ground.peers("default-b-0").await?);
            if status == "Follower" && peers.len() == 3 { Ok(()) } else { bail!("{status}, {peers:?}") }
        })
        .await
    })
    .await;
}

/// Cluster A of two metas and cluster B of one, as StatefulSets `NAME-a` and `NAME-b`.
async fn two_clusters(ground: &Ground, name: &str, group_a: &str, group_b: &str) -> Result<()> {
    for (side, count, group) in [("a", 2, group_a), ("b", 1, group_b)] {
        let set = format!("{name}-{side}");
        let nodes: Vec<_> = (0..count).map(|i| format!("{set}-{i}.{set}")).collect();
        let yaml = META_5
            .replace("name: meta\n", &format!("name: {set}\n"))
            .replace("serviceName: meta\n", &format!("serviceName: {set}\n"))
            .replace("sofa: meta\n", &format!("sofa: {set}\n"));
        ground
            .apply_edited(&yaml, |m| {
                set_replicas(m, count);
                set_env(m, "META_NODES", &nodes.join(","));
                set_env(m, "RAFT_SERVER_GROUP", group);
            })
            .await?;
    }
    Ok(())
}

/// Tells A that B's meta is its third member.
async fn swallow(ground: &Ground, name: &str) -> Result<()> {
    let mut ips = Vec::new();
    for pod in ["a-0", "a-1", "b-0"] {
        ips.push(ground.pod_ip(&format!("{name}-{pod}")).await?);
    }
    let ips: Vec<_> = ips.iter().map(String::as_str).collect();
    ground.set_peers(&format!("{name}-a-0"), "changePeer", &ips).await
}
