//! The CRDs on a real API server: they are taken, nothing of them or of objects changes on the way, and every rule
//! answers as the table of `tests/crd_cases` says. With `KUBECONFIG` set by the user that cluster is used (the CRDs stay
//! on it), else one is started and taken down.

mod connections;
#[path = "../crd_cases/mod.rs"]
mod crd_cases;
mod server;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::crd_cases::{Case, cases, edited, examples};
use crate::server::{Server, without_server_fields};

#[test]
fn the_api_on_a_real_api_server() {
    let cluster = server::Cluster::start().unwrap_or_else(|e| panic!("{e:#}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|e| panic!("{e}"));
    let failures = runtime.block_on(async {
        let server = cluster.connect().await.unwrap_or_else(|e| panic!("{e:#}"));
        let mut failures = Vec::new();
        let mut note = |story: &str, outcome: Result<()>| {
            println!("{story}: {}", if outcome.is_ok() { "ok" } else { "FAILED" });
            failures.extend(outcome.err().map(|e| format!("{story}: {e:#}")));
        };
        let taken = definitions(&cluster, &server).await;
        let stop = taken.is_err();
        note("the CRDs read back as they were applied", taken);
        if stop {
            return failures;
        }
        note("examples read back as they were applied", examples_stay(&server).await);
        note("a status with every field is kept", status(&server).await);
        note("sessions and drmdata can be scaled", scale(&server).await);
        note("the columns of a table", columns(&server).await);
        note("what the schema refuses", schema_refusals(&server).await);
        note("every case of the table", table(&server).await);
        note("the operator's client has few connections", connections::few(&server.config).await);
        server.end().await;
        failures
    });
    drop(cluster);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Applied again, by kubectl too, a definition is what it was, and nothing is written.
async fn definitions(cluster: &server::Cluster, server: &Server) -> Result<()> {
    for (file, crd) in server::committed_crds()? {
        let (first, warnings) = server.apply_crd(&crd).await?;
        ensure!(warnings.is_empty(), "{file}: {warnings:?}");
        server.established(&crd).await?;
        cluster.kubectl_apply_crds()?;
        let (second, _) = server.apply_crd(&crd).await?;
        ensure!(
            without_server_fields(&second) == crd,
            "{file} reads back otherwise:\n{}\nnot\n{crd}",
            without_server_fields(&second)
        );
        ensure!(
            first["metadata"]["generation"] == second["metadata"]["generation"],
            "{file} is written twice"
        );
        let conditions = second["status"]["conditions"].to_string();
        ensure!(!conditions.contains("NonStructuralSchema"), "{file}: {conditions}");
    }
    Ok(())
}

async fn examples_stay(server: &Server) -> Result<()> {
    for (kind, name, spec) in examples::smallest().into_iter().chain(examples::full()) {
        let name = format!("example-{name}");
        let first = server.apply(kind, &name, &spec).await.with_context(|| format!("{kind} {name}"))?;
        let read = server.get(kind, &name).await?;
        let seen = read.get("spec").cloned().unwrap_or_else(|| json!({}));
        ensure!(seen == spec, "{kind} {name} reads back otherwise:\n{seen}\nnot\n{spec}");
        let second = server.apply(kind, &name, &spec).await?;
        ensure!(
            first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"],
            "{kind} {name} is written again although nothing changed"
        );
    }
    Ok(())
}

async fn status(server: &Server) -> Result<()> {
    for (kind, name) in [
        ("RegistryCluster", "example-full"),
        ("DrmCluster", "example-full"),
        ("SchedulerCluster", "example-full-ant"),
    ] {
        let kept = server.patch_status(kind, name, &examples::status()).await?;
        ensure!(
            kept["status"] == examples::status(),
            "{kind}: {}\nnot\n{}",
            kept["status"],
            examples::status()
        );
        ensure!(kept["spec"]["version"].is_string(), "{kind}: a status changes no spec");
    }
    Ok(())
}

async fn scale(server: &Server) -> Result<()> {
    for (kind, field) in [("RegistryCluster", "session"), ("DrmCluster", "drmdata")] {
        let seen = server.scale(kind, "example-full").await?;
        let status = examples::status();
        ensure!(seen["spec"]["replicas"] == 3, "{kind}: {seen}");
        ensure!(seen["status"]["replicas"] == status["scale"]["replicas"], "{kind}: {seen}");
        ensure!(seen["status"]["selector"] == status["scale"]["selector"], "{kind}: {seen}");
        server.set_scale(kind, "example-full", 5).await?;
        let read = server.get(kind, "example-full").await?;
        ensure!(read["spec"][field]["replicas"] == 5, "{kind}: {}", read["spec"][field]);
        let small = if kind == "RegistryCluster" { "example-small-5" } else { "example-small" };
        server.set_scale(kind, small, 4).await?;
        let read = server.get(kind, small).await?;
        ensure!(read["spec"][field]["replicas"] == 4, "{kind}, not said before: {}", read["spec"]);
    }
    Ok(())
}

async fn columns(server: &Server) -> Result<()> {
    let expected = [
        ("RegistryCluster", vec!["example-full", "7/8", "6.3.0", "Closed", "Acting"]),
        ("DrmCluster", vec!["example-full", "7/8", "1.0.0", "Acting"]),
        ("SchedulerCluster", vec!["example-full-ant", "AntScheduler", "7/8", "1.0.0", "Acting"]),
        ("PushGroup", vec!["example-full", "registry", "registry"]),
    ];
    for (kind, cells) in expected {
        let table = server.table(kind).await?;
        let rows = table["rows"].as_array().context("no rows")?;
        let seen = rows.iter().map(|row| &row["cells"]).find(|row| row[0] == cells[0]).context("no row")?;
        let seen = seen.as_array().context("no cells")?;
        ensure!(seen.len() == cells.len() + 1, "{kind}: {seen:?}");
        ensure!(seen.iter().zip(&cells).all(|(seen, cell)| seen == cell), "{kind}: {seen:?}, not {cells:?}");
        let last = &table["columnDefinitions"][cells.len()];
        ensure!(last["name"] == "Age" && last["type"] == "date", "{kind}: {last}");
    }
    Ok(())
}

/// What the schema alone refuses: a word of the API server's answer names the field.
async fn schema_refusals(server: &Server) -> Result<()> {
    let spec = |path: &str, value: Value| edited(&examples::REGISTRY, &[(path, value)]);
    let wrong = [
        ("spec.version", spec("version", json!("5.4"))),
        ("spec.image", spec("image", Value::Null)),
        ("spec.dataCenter", spec("dataCenter", json!("a:b"))),
        ("spec.membership", spec("membership", json!("Raft"))),
        ("spec.meta.replicas", spec("meta/replicas", json!(0))),
        ("spec.meta.replicas", spec("meta/replicas", json!("three"))),
        ("spec.data.heap", spec("data/heap", json!("3Gi"))),
        ("spec.data.storage.size", spec("data/storage/size", json!("large"))),
        ("spec.data.resources.limits.cpu", spec("data/resources/limits/cpu", json!("4 cores"))),
        ("spec.data.resources.limits.cpu", spec("data/resources/limits/cpu", json!(-1))),
        ("spec.session.ports", spec("session/ports", json!([{"name": "client", "port": 70_000}]))),
        ("spec.rollout.approved", spec("rollout/approved", json!("yes"))),
        ("spec.rollout.verify.minRecoveryPercent", spec("rollout/verify/minRecoveryPercent", json!(101))),
        (
            "spec.rollout.windows[0].cron",
            spec("rollout/windows", json!([{"cron": "daily", "duration": "1h"}])),
        ),
        (
            "spec.remoteSites[1]",
            spec(
                "remoteSites",
                json!([
                    {"name": "a", "cidrs": ["10.0.0.0/8"]}, {"name": "a", "cidrs": ["10.0.0.0/8"]},
                ]),
            ),
        ),
        ("spec.remoteSites[0].cidrs[0]", spec("remoteSites", json!([{"name": "a", "cidrs": ["10.0.0.0"]}]))),
    ];
    for (field, spec) in wrong {
        match server.create("RegistryCluster", "refused", &spec).await? {
            Err(answer) if answer.contains(field) => {}
            Err(answer) => bail!("{field}: another field is refused: {answer}"),
            Ok(_) => bail!("{field} is taken: {spec}"),
        }
    }
    null_is_never_kept(server).await
}

/// No field has two ways to be absent: `null` is dropped at creation, and refused by server-side apply.
async fn null_is_never_kept(server: &Server) -> Result<()> {
    let mut null = examples::REGISTRY.clone();
    null["region"] = Value::Null;
    let made = server.create("RegistryCluster", "null", &null).await?;
    ensure!(made.is_ok_and(|object| object.data["spec"].get("region").is_none()), "null is kept");
    match server.apply("RegistryCluster", "null", &null).await {
        Err(error) if error.to_string().contains("spec.region") => Ok(()),
        other => bail!("null is applied: {other:?}"),
    }
}

async fn table(server: &Server) -> Result<()> {
    let mut wrong = Vec::new();
    let cases = cases();
    for (at, case) in cases.iter().enumerate() {
        if let Err(why) = one(server, at, case).await {
            wrong.push(format!("{} / {} / {}: {why:#}", case.kind, case.rule, case.name));
        }
    }
    let differ = cases.iter().filter(|case| case.client_differs.is_some()).count();
    println!("{} cases; the client-side CEL differs in {differ}", cases.len());
    ensure!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    Ok(())
}

async fn one(server: &Server, at: usize, case: &Case) -> Result<()> {
    let usual = format!("case-{at}");
    let name = case.object.as_deref().unwrap_or(&usual);
    let answer = match &case.old {
        None => server.create(case.kind, name, &case.new).await?,
        Some(old) => match server.create(case.kind, name, old).await? {
            Ok(object) => server.update(&object, &case.new).await?,
            Err(answer) => bail!("the spec before the edit is refused: {answer}"),
        },
    };
    match answer {
        Ok(_) if case.refused => bail!("it passed"),
        Err(answer) if !case.refused => bail!("it was refused: {answer}"),
        Err(answer) if !answer.contains(&case.rule) => bail!("another rule refused it: {answer}"),
        _ => Ok(()),
    }
}
