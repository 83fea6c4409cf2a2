//! Both lines of SOFARegistry: the first start, and a rolling change, with a client that publishes all the while.

use anyhow::{Result, bail, ensure};
use serde_json::json;

use crate::field::{Field, ROLLOUT, SERVERS, spec, story};
use crate::harness::{eventually, seconds};
use crate::witness::Witness;

/// A rolling change with a client on it: nothing is pushed while push is closed, all of it arrives afterwards, and every
/// server is of the new template.
async fn roll(field: &Field, edit: serde_json::Value) -> Result<()> {
    let pods = |object: &serde_json::Value| {
        let members = object["status"]["members"].as_array().cloned().unwrap_or_default();
        members.into_iter().map(|m| m["podUid"].to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    let before = pods(&field.object().await?);
    let witness = Witness::of(field);
    field.edit(edit).await?;
    eventually("push is closed", seconds(60), async || {
        let state = field.object().await?["status"]["push"]["state"].clone();
        if state == "Closed" { Ok(()) } else { bail!("{}", field.summary().await) }
    })
    .await?;
    let pushes = field.client().await?["pushesTotal"].clone();
    field.republish().await?;
    eventually("data servers are replaced", ROLLOUT, async || {
        let status = field.client().await?;
        ensure!(status["pushesTotal"] == pushes, "pushed while push is closed: {status}");
        let stops = witness.stops();
        if stops.iter().any(|s| s.pod.contains("-data-1")) {
            Ok(())
        } else {
            bail!("{}", field.summary().await)
        }
    })
    .await?;
    field.ready(ROLLOUT).await?;
    field.all_received().await?;
    let after = pods(&field.object().await?);
    ensure!(
        after.len() == SERVERS && before.is_disjoint(&after),
        "not every pod is new: {before:?} {after:?}"
    );
    let stops = witness.judge_restart()?;
    println!(
        "rolling change: {:.0} s from the first stop to the last",
        stops[SERVERS - 1].at.saturating_sub(stops[0].at).as_secs_f64()
    );
    Ok(())
}

#[tokio::test]
async fn registry_5_starts_and_rolls_with_push_closed() {
    story("five", async |field| {
        field.install().await?;
        let began = std::time::Instant::now();
        field.apply(&spec("5.4.3")).await?;
        field.ready(ROLLOUT).await?;
        println!("5.4.3: Ready {:.0} s after it was applied", began.elapsed().as_secs_f64());
        field.start_client("5.4.3").await?;
        roll(&field, json!({"restart": "once"})).await
    })
    .await;
}
