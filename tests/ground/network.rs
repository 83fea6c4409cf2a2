//! Pods, names, policies and volumes on real nodes.

use anyhow::{Result, bail, ensure};
use kube::api::DeleteParams;

use crate::harness::{Ground, eventually, seconds, story, throughout};

const PODS: &str = include_str!("manifests/network.yaml");

/// What a pod's web server tells about who asked; it takes a moment until DNS and policies know a new pod.
async fn asks(ground: &Ground, pod: &str, host: &str) -> Result<String> {
    let answer = ground
        .exec(pod, &["timeout", "3", "wget", "-q", "-O", "-", &format!("http://{host}:8080/cgi-bin/who")])
        .await?;
    Ok(answer.trim().to_owned())
}

#[tokio::test]
async fn pods_reach_each_other_with_their_own_addresses() {
    story("network", async |ground| {
        ground.apply(PODS).await?;
        ground.ready("web", seconds(90)).await?;
        let nodes = [node(&ground, "web-0").await?, node(&ground, "web-1").await?];
        ensure!(nodes[0] != nodes[1], "two pods on two nodes: {nodes:?}");
        for (from, to) in [("web-0", "web-1"), ("web-1", "web-0"), ("web-0", "web-0")] {
            let own = ground.pod_ip(from).await?;
            // By name, and by the Service's own address: nobody on the way rewrites the source, on one node or two.
            for host in [
                format!("{to}.web"),
                format!("{to}.web.{}.svc.cluster.local", ground.namespace),
                ground.pod_ip(to).await?,
            ] {
                eventually(&format!("{from} reaches {host}"), seconds(20), async || {
                    let seen = asks(&ground, from, &host).await?;
                    if seen == own { Ok(()) } else { bail!("{to} saw {seen}, {from} is {own}") }
                })
                .await?;
            }
        }
        eventually("the Service's address answers", seconds(20), async || {
            asks(&ground, "web-0", "web-vip").await
        })
        .await?;
        policies(&ground).await?;
        volumes(&ground).await
    })
    .await;
}

/// What wget says when its time is up: the packet was dropped. Any other failure is none of the policy's.
const DROPPED: &str = "exit code 143";

/// A policy that lets only some pods in is enforced, on one node and across two: who reached a pod before does not any more.
async fn policies(ground: &Ground) -> Result<()> {
    const WEBS: [&str; 2] = ["web-0.web", "web-1.web"];
    const STRANGERS: [&str; 2] = ["stranger-0", "stranger-1"];
    ground.ready("stranger", seconds(60)).await?;
    for web in WEBS {
        for stranger in STRANGERS {
            eventually(&format!("{stranger} reaches {web} without a policy"), seconds(20), async || {
                asks(ground, stranger, web).await
            })
            .await?;
        }
    }
    ground.apply(include_str!("manifests/policy.yaml")).await?;
    for web in WEBS {
        for stranger in STRANGERS {
            eventually(&format!("{stranger} is kept from {web}"), seconds(30), async || {
                is_kept_out(ground, stranger, web).await
            })
            .await?;
        }
    }
    throughout("strangers stay out", seconds(5), async || is_kept_out(ground, "stranger-0", WEBS[0]).await)
        .await?;
    for web in WEBS {
        eventually(&format!("web-0 reaches {web}"), seconds(20), async || asks(ground, "web-0", web).await)
            .await?;
    }
    Ok(())
}

async fn is_kept_out(ground: &Ground, pod: &str, host: &str) -> Result<()> {
    match asks(ground, pod, host).await {
        Ok(_) => bail!("it got an answer"),
        Err(error) => {
            let words = format!("{error:#}");
            if words.contains(DROPPED) || words.contains("refused") { Ok(()) } else { bail!("{words}") }
        }
    }
}

/// A claim outlives its pod and binds it to the node where the volume is.
async fn volumes(ground: &Ground) -> Result<()> {
    let before = node(ground, "web-0").await?;
    ground.exec("web-0", &["sh", "-c", "echo kept > /data/word"]).await?;
    ground.pods().delete("web-0", &DeleteParams::default()).await?;
    eventually("the next pod has what the last one wrote", seconds(60), async || {
        let word = ground.exec("web-0", &["cat", "/data/word"]).await?;
        let at = node(ground, "web-0").await?;
        if word.trim() == "kept" && at == before { Ok(()) } else { bail!("{word} on {at}") }
    })
    .await
}

async fn node(ground: &Ground, pod: &str) -> Result<String> {
    Ok(ground.pods().get(pod).await?.spec.and_then(|s| s.node_name).unwrap_or_default())
}
