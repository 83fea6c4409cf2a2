//! SOFARegistry 5.4.3 and 6.3.0 brought up in order by plain manifests, and the real client on them.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use crate::harness::{Ground, eventually, seconds, story, throughout};
use crate::registry_admin::{META, SESSION};
use crate::stand_ins;

pub(crate) const META_5: &str = include_str!("manifests/registry-5.4.3-meta.yaml");
pub(crate) const DATA_5: &str = include_str!("manifests/registry-5.4.3-data.yaml");
pub(crate) const SESSION_5: &str = include_str!("manifests/registry-5.4.3-session.yaml");
const CLIENT: &str = include_str!("manifests/registry-client.yaml");
pub(crate) const MARIADB: &str = include_str!("manifests/mariadb.yaml");

/// How many dataIds the client publishes.
const IDS: u64 = 50;

/// Applies the roles one after the other, each when the one before is Ready, and prints how long each took in all.
pub(crate) async fn bring_up(ground: &Ground, version: &str, roles: [(&str, &str); 3]) -> Result<()> {
    let began = Instant::now();
    for (role, manifest) in roles {
        ground.apply(manifest).await?;
        // One that has started too early, on a machine that is busy, is started again after 100 s and then serves.
        ground.ready(role, seconds(300)).await?;
        println!("{version}: {role} healthy after {:.1} s", began.elapsed().as_secs_f64());
    }
    Ok(())
}

async fn start_client(ground: &Ground, sdk: &str) -> Result<()> {
    ground.apply_edited(CLIENT, |m| crate::harness::set_env(m, "SDK_VERSION", sdk)).await?;
    ground.ready("client", seconds(90)).await
}

async fn client(ground: &Ground) -> Result<Value> {
    Ok(ground.get("client-0", 8080, "/status").await?.json())
}

/// Waits until every dataId has come back with the value that was published last.
async fn all_received(ground: &Ground) -> Result<Value> {
    eventually("all values are received", seconds(90), async || {
        let status = client(ground).await?;
        if status["published"] == IDS && status["received"] == IDS { Ok(status) } else { bail!("{status}") }
    })
    .await
}

#[tokio::test]
async fn registry_5_comes_up_in_order_and_survives_new_addresses() {
    story("registry5", async |ground| {
        bring_up(&ground, "5.4.3", [("meta", META_5), ("data", DATA_5), ("session", SESSION_5)]).await?;
        start_client(&ground, "5.4.3").await?;
        let status = all_received(&ground).await?;
        ensure!(status["emptied"]["fromServer"] == 0, "a value was taken away: {status}");

        push_closed_holds_values_back(&ground, |switch| switch["pushSwitch"] == "closed").await?;
        all_metas_on_new_addresses(&ground).await
    })
    .await;
}

#[tokio::test]
async fn registry_6_comes_up_in_order_with_push_closed() {
    story("registry6", async |ground| {
        ground.apply(MARIADB).await?;
        ground.apply(include_str!("manifests/registry-6.3.0-database.yaml")).await?;
        let began = Instant::now();
        bring_up(
            &ground,
            "6.3.0",
            [
                ("meta", include_str!("manifests/registry-6.3.0-meta.yaml")),
                ("data", include_str!("manifests/registry-6.3.0-data.yaml")),
                ("session", include_str!("manifests/registry-6.3.0-session.yaml")),
            ],
        )
        .await?;
        println!("6.3.0: {:.1} s, its database included", began.elapsed().as_secs_f64());

        // A new database has the switch unset, and 6.x takes that for closed: nothing is pushed until it is opened once.
        let leader = leader(&ground).await?;
        let unset = ground.push_switch(&leader, META).await?;
        ensure!(unset.to_string().contains("NOTFOUND"), "the switch of a new database: {unset}");
        start_client(&ground, "6.3.0").await?;
        eventually("all is published", seconds(60), async || {
            let status = client(&ground).await?;
            if status["publishersRegistered"] == IDS { Ok(()) } else { bail!("{status}") }
        })
        .await?;
        throughout("nothing is pushed while push is closed", seconds(3), async || {
            let status = client(&ground).await?;
            if status["pushesTotal"] == 0 { Ok(()) } else { bail!("{status}") }
        })
        .await?;
        ground.switch_push(&leader, true).await?;
        let status = all_received(&ground).await?;
        ensure!(status["emptied"]["fromServer"] == 0, "a value was taken away: {status}");

        push_closed_holds_values_back(&ground, |switch| switch["stopPush"] == "true").await?;
        stand_ins::need_database_and_registry(&ground).await
    })
    .await;
}

/// The MetaServer that leads: on 6.x only that one takes commands, the others answer 307.
async fn leader(ground: &Ground) -> Result<String> {
    eventually("one meta leads", seconds(60), async || {
        for meta in ["meta-0", "meta-1", "meta-2"] {
            let ip = ground.pod_ip(meta).await?;
            let reply = ground.get(meta, META, "/health/check").await?;
            if reply.status == 200 && reply.body.contains(&format!("leader:{ip},")) {
                return Ok(meta.to_owned());
            }
        }
        bail!("none of the three says that it does")
    })
    .await
}

/// Push closed: republished values stay away; opened again: every one arrives.
async fn push_closed_holds_values_back(ground: &Ground, closed: impl Fn(&Value) -> bool) -> Result<()> {
    let meta = if ground.namespace.ends_with('6') { leader(ground).await? } else { "meta-0".to_owned() };
    ground.switch_push(&meta, false).await?;
    for session in ["session-0", "session-1"] {
        eventually(&format!("{session} has push closed"), seconds(20), async || {
            let switch = ground.push_switch(session, SESSION).await?;
            if closed(&switch) || switch["pushSwitch"] == "closed" { Ok(()) } else { bail!("{switch}") }
        })
        .await?;
    }
    let before = client(ground).await?["pushesTotal"].clone();
    ground.post_json("client-0", 8080, "/republish", &json!({})).await?;
    throughout("nothing is pushed while push is closed", seconds(5), async || {
        let status = client(ground).await?;
        // `received` 0: every value was published anew, and none of them came.
        if status["pushesTotal"] == before && status["received"] == 0 && status["published"] == IDS {
            Ok(())
        } else {
            bail!("{before} pushes became {status}")
        }
    })
    .await?;
    ground.switch_push(&meta, true).await?;
    all_received(ground).await?;
    Ok(())
}

/// A power loss: all metas come back on new addresses with their volumes, and stay down until the member that was leader
/// is reset and the others are joined to it one at a time. Nothing is lost.
async fn all_metas_on_new_addresses(ground: &Ground) -> Result<()> {
    const METAS: [&str; 3] = ["meta-0", "meta-1", "meta-2"];
    ground.switch_push("meta-0", false).await?;
    let survivor = ground.raft_leader(&METAS).await?;
    let old = ground.peers(survivor).await?;

    ground.delete_pods(&METAS).await?;
    let mut ips = Vec::new();
    for meta in METAS {
        eventually(&format!("{meta} answers without a leader"), seconds(60), async || {
            let reply = ground.get(meta, META, "/health/check").await?;
            // Its own configuration is answered a moment later than its health.
            let listed = ground.peers(meta).await?;
            if reply.status == 500 && reply.body.contains("raftStatus:false") && listed == old {
                Ok(())
            } else {
                bail!("{reply:?}, peers {listed:?}")
            }
        })
        .await?;
        ips.push(ground.pod_ip(meta).await?);
    }
    ensure!(ips.iter().all(|ip| !old.contains(ip)), "every address is new: {ips:?}, before {old:?}");
    throughout("the metas stay down", seconds(15), async || {
        for meta in METAS {
            let reply = ground.get(meta, META, "/health/check").await?;
            if reply.status != 500 || ground.peers(meta).await? != old {
                bail!("{meta}: {reply:?}");
            }
        }
        anyhow::Ok(())
    })
    .await?;

    let ip = |meta: &str| ips[METAS.iter().position(|m| *m == meta).unwrap_or_default()].as_str();
    let began = Instant::now();
    // The first answer may be success:false although the reset took effect.
    eventually("resetPeer succeeds", seconds(30), async || {
        ground.set_peers(survivor, "resetPeer", &[ip(survivor)]).await
    })
    .await?;
    eventually("the survivor leads", seconds(20), async || {
        match ground.raft_status(survivor).await?.as_str() {
            "Leader" => Ok(()),
            other => bail!("{other}"),
        }
    })
    .await?;
    let mut group = vec![ip(survivor)];
    for meta in METAS.into_iter().filter(|m| *m != survivor) {
        group.push(ip(meta));
        ground.join(survivor, &group, meta).await?;
    }
    println!(
        "5.4.3: three metas on new addresses in one group {:.1} s after resetPeer",
        began.elapsed().as_secs_f64()
    );
    for meta in METAS {
        eventually(&format!("{meta} still has what was stored"), seconds(20), async || {
            let switch = ground.push_switch(meta, META).await?;
            if switch["pushSwitch"] == "closed" { Ok(()) } else { bail!("{switch}") }
        })
        .await?;
    }
    Ok(())
}
