//! Two real PowerJob servers on one database, and a real worker that runs a job.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use serde_json::json;

use crate::harness::{Ground, eventually, seconds, story};
use crate::registry::MARIADB;

const HTTP: u16 = 7700;
/// `instance_info.status` of an instance that succeeded.
const SUCCEEDED: u64 = 5;
/// `status` of a worker that no longer reports; the others (1 to 3) tell how loaded its machine is.
const OFFLINE: u64 = 9999;

#[tokio::test]
async fn powerjob_runs_a_job() {
    story("powerjob", async |ground| {
        ground.apply(MARIADB).await?;
        ground.apply(include_str!("manifests/powerjob-database.yaml")).await?;
        let began = Instant::now();
        ground.apply(include_str!("manifests/powerjob.yaml")).await?;
        ground.apply(include_str!("manifests/powerjob-worker.yaml")).await?;
        ground.ready("powerjob", seconds(300)).await?;
        println!("PowerJob 4.3.9: two servers healthy after {:.1} s", began.elapsed().as_secs_f64());

        call(&ground, "/appInfo/save", &json!({"appName": "ground", "password": "for-tests-only"})).await?;
        let assert = ground.get("powerjob-0", HTTP, "/server/assert?appName=ground").await?.json();
        let app_id = assert["data"].as_u64().ok_or_else(|| anyhow::anyhow!("no app: {assert}"))?;
        // What is dispatched before the worker's first heartbeat fails at once, and nothing tries it again.
        eventually("a server knows the worker", seconds(90), async || {
            let list = ground.get("powerjob-0", HTTP, &format!("/system/listWorker?appId={app_id}")).await?.json();
            match list["data"][0]["status"].as_u64() {
                Some(status) if status != OFFLINE => Ok(()),
                _ => bail!("{list}"),
            }
        })
        .await?;
        let job = call(
            &ground,
            "/openApi/saveJob",
            &json!({"jobName": "echo", "appId": app_id, "jobParams": "hello", "timeExpressionType": "API", "executeType": "STANDALONE",
                "processorType": "BUILT_IN", "processorInfo": "sofa.Echo", "maxInstanceNum": 0, "concurrency": 5, "instanceRetryNum": 0,
                "enable": true, "dispatchStrategy": "HEALTH_FIRST", "lifeCycle": {}}),
        )
        .await?;
        let run = eventually("a run is taken", seconds(60), async || {
            let path = format!("/openApi/runJob?appId={app_id}&jobId={job}&delay=0");
            let reply = ground.post_json("powerjob-0", HTTP, &path, &json!({})).await?.json();
            reply["data"].as_u64().ok_or_else(|| anyhow::anyhow!("{reply}"))
        })
        .await?;
        eventually("the instance has succeeded", seconds(60), async || {
            let reply = ground.post_json("powerjob-1", HTTP, &format!("/openApi/fetchInstanceStatus?instanceId={run}"), &json!({})).await?;
            if reply.json()["data"] == SUCCEEDED { Ok(()) } else { bail!("{}", reply.body) }
        })
        .await?;
        let worker = ground.get("worker-0", 8080, "/status").await?.json();
        let id = run.to_string();
        let ran = worker["instances"].as_array().is_some_and(|all| all.iter().any(|i| i["instanceId"].as_str() == Some(&id) && i["result"] == "hello"));
        ensure!(ran, "the worker ran it: {worker}");
        Ok(())
    })
    .await;
}

/// A POST whose answer must say `success: true`; returns its `data`.
async fn call(ground: &Ground, path: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
    let reply = ground.post_json("powerjob-0", HTTP, path, body).await?;
    let json = reply.json();
    if json["success"] == true {
        Ok(json["data"].clone())
    } else {
        bail!("{path}: {} {}", reply.status, reply.body)
    }
}
