//! DRM and schedulers, bad input: each is told in one sentence with its reason, nothing that runs is touched, and each has a way
//! out after which all goes on by itself.

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::drm::spec_of;
use crate::field::{Field, ROLLOUT, story};
use crate::harness::{eventually, seconds};
use crate::powerjob::{Drains, sql, started_with};

const DATABASE: &str = include_str!("../../examples/stack/database.yaml");
const REGISTRY: &str = include_str!("../../examples/stack/registry.yaml");
const DRM: &str = include_str!("../../examples/stack/drm.yaml");
const POWERJOB: &str = include_str!("../../examples/stack/powerjob.yaml");
/// What the operator says of a login that is refused, of a table that is not there, and of a database that is not.
const REFUSED: &str = "the login is refused";
const NO_TABLE: &str = "a table is missing";
const NO_DATABASE: &str = "there is no such database";

#[tokio::test]
async fn what_services_need_is_told_and_can_be_corrected() {
    story("svcinputs", async |field| {
        // The registry of another team, in a namespace of its own.
        let theirs = field.beside().await?.of_kind("RegistryCluster", "registry");
        field.install_for(&[&field, &theirs]).await?;
        theirs.apply(&spec_of(REGISTRY)?).await?;
        field.ground.apply(DATABASE).await?;
        for job in ["drm-database-init", "powerjob-database-init"] {
            field.job_is_done(job, seconds(180)).await?;
        }
        tokio::try_join!(references(&field, &theirs), databases(&field)).map(|_| ())
    })
    .await;
}

/// DRM, with a registry that is not there, then one that does not let it in, then a database that does not.
async fn references(field: &Field, theirs: &Field) -> Result<()> {
    let drm = field.of_kind("DrmCluster", "drm");
    let nothing_runs = async || {
        let pods = drm.pods_of("drmdata").await?;
        ensure!(pods.is_empty(), "drmdata was started all the same: {pods:?}");
        Ok(())
    };
    drm.set_password("drm-database", "wrong").await?;
    drm.apply(&spec_of(DRM)?).await?;
    drm.tells("Ready", "ReferenceNotFound", "/registry is not there: make it, or correct registryRef")
        .await?;
    let shared = json!({"name": "registry", "namespace": theirs.ground.namespace});
    drm.edit(json!({"registryRef": shared, "database": {"name": "nowhere"}})).await?;
    drm.tells("Ready", "ReferenceNotFound", "lets in no clusters of namespace").await?;
    nothing_runs().await?;
    let leave =
        json!({"metadata": {"annotations": {"middleware.sofastack.io/allow-from": drm.ground.namespace}}});
    theirs.clusters().patch("registry", &PatchParams::default(), &Patch::Merge(&leave)).await?;
    drm.tells("Ready", "WaitingForDatabase", REFUSED).await?;
    drm.set_password("drm-database", "for-tests-only-drm").await?;
    drm.tells("Ready", "WaitingForDatabase", NO_DATABASE).await?;
    nothing_runs().await?;
    drm.edit(json!({"database": {"name": "drm"}})).await?;
    drm.ready(ROLLOUT).await
}

/// One PowerJob server, with a password that is wrong and tables that are not there, at its start and while it runs.
async fn databases(field: &Field) -> Result<()> {
    let scheduler = field.of_kind("SchedulerCluster", "powerjob");
    let mut spec = spec_of(POWERJOB)?;
    spec["server"]["replicas"] = json!(1);
    scheduler.set_password("powerjob-database", "wrong").await?;
    // The operator may log in, and there is no table yet: the servers make them.
    let user = "CREATE USER sofa_operator@'%' IDENTIFIED BY 'for-tests-only-operator'; GRANT SELECT ON powerjob.* TO sofa_operator@'%'";
    sql(&scheduler, user).await?;
    scheduler.apply(&spec).await?;
    scheduler.tells("Ready", "WaitingForDatabase", REFUSED).await?;
    ensure!(scheduler.pods_of("server").await?.is_empty(), "a server was started without its database");
    scheduler.tells("Degraded", "NotHighlyAvailable", NO_TABLE).await?;
    scheduler.set_password("powerjob-database", "for-tests-only-powerjob").await?;
    scheduler.ready(ROLLOUT).await?;
    scheduler.job_is_done("powerjob-operator-user", seconds(90)).await?;
    eventually("the tables are there", seconds(60), async || {
        let degraded = scheduler.condition("Degraded").await?;
        let message = degraded["message"].as_str().unwrap_or_default();
        ensure!(degraded["reason"] == "NotHighlyAvailable", "{degraded}");
        ensure!(!message.contains(NO_TABLE), "{message}");
        Ok(())
    })
    .await?;
    while_it_runs(&scheduler).await?;
    a_second_server(&scheduler).await
}

/// A restart waits for a password and for a table, and is made when both are right.
async fn while_it_runs(scheduler: &Field) -> Result<()> {
    let before = scheduler.pods_of("server").await?;
    scheduler.set_password("powerjob-database", "wrong").await?;
    scheduler.edit(json!({"restart": "with a wrong password"})).await?;
    scheduler.tells("Ready", "WaitingForDatabase", REFUSED).await?;
    sql(scheduler, "RENAME TABLE app_info TO app_info_away").await?;
    scheduler.set_password("powerjob-database", "for-tests-only-powerjob").await?;
    scheduler.tells("Ready", "WaitingForDatabase", NO_TABLE).await?;
    ensure!(scheduler.pods_of("server").await? == before, "the server was touched");
    sql(scheduler, "RENAME TABLE app_info_away TO app_info").await?;
    scheduler.ready(ROLLOUT).await?;
    ensure!(scheduler.pods_of("server").await? != before, "the server was never restarted");
    Ok(())
}

/// One server is allowed, and it is said what that means; with a second one beside it no more.
async fn a_second_server(scheduler: &Field) -> Result<()> {
    scheduler.tells("Degraded", "NotHighlyAvailable", "one failure stops the service").await?;
    let first = scheduler.pods_of("server").await?;
    scheduler.edit(json!({"server": {"replicas": 2}})).await?;
    scheduler.ready(ROLLOUT).await?;
    scheduler.condition_is("Degraded", "False", seconds(60)).await?;
    let both = scheduler.pods_of("server").await?;
    ensure!(
        both.len() == 2 && first.iter().all(|(name, uid)| both.get(name) == Some(uid)),
        "{first:?} {both:?}"
    );
    Ok(())
}

/// A build of one's own is no version with which moving apps was measured: its servers are simply stopped, that is said, and
/// what is lost is run again.
#[tokio::test]
#[ignore = "it takes long"]
async fn another_version_of_powerjob_is_simply_stopped_and_what_is_lost_is_run_again() {
    story("pjversion", async |field| {
        let jobs = started_with(&field, |spec| {
            spec["version"] = json!("4.3.9-own");
            spec["powerjob"]["retryLost"] = json!("Enabled");
        })
        .await?;
        jobs.field.tells("Degraded", "AppsNotMoved", "apps are moved with versions 4.3.8 and 4.3.9 only").await?;
        let before = jobs.field.pods_of("server").await?;
        let drains = Drains::of(&jobs.field);
        jobs.field.edit(json!({"restart": "once"})).await?;
        eventually("a server is stopped", seconds(90), async || {
            let now = jobs.field.pods_of("server").await?;
            ensure!(now != before, "{}", jobs.field.summary().await);
            Ok(())
        })
        .await?;
        // Whether a firing falls into the gap is chance: this one is lost in any case.
        let lost = jobs.sql("SELECT MAX(id) FROM instance_info WHERE status = 5").await?;
        let lost = lost.trim();
        jobs.sql(&format!(
            "UPDATE instance_info SET status = 4, result = 'no worker available', actual_trigger_time = UNIX_TIMESTAMP() * 1000 \
             WHERE id = {lost}"
        ))
        .await?;
        jobs.field.ready(ROLLOUT).await?;
        let after = jobs.field.pods_of("server").await?;
        ensure!(after.values().all(|uid| before.values().all(|old| old != uid)), "{before:?} {after:?}");
        eventually("what was lost is run again", seconds(180), async || {
            let left = jobs.count("status = 4 AND result = 'no worker available'").await?;
            let done = jobs.count(&format!("id = {lost} AND status = 5")).await?;
            if (left, done) == (0, 1) { Ok(()) } else { bail!("{left} are left; {done} of 1 has run") }
        })
        .await?;
        let drained = drains.end();
        ensure!(drained.is_empty(), "apps were moved: {drained:?}");
        let told = events(&jobs.field).await?;
        let has = |reason: &str| told.iter().any(|r| r == reason);
        ensure!(has("RestartPods") && has("RetryLost") && !has("PreRegister") && !has("MoveApp"), "{told:?}");
        Ok(())
    })
    .await;
}

/// The reasons of the Events of this cluster.
async fn events(field: &Field) -> Result<Vec<String>> {
    let all: Api<Event> = Api::namespaced(field.ground.client.clone(), &field.ground.namespace);
    let of = ListParams::default().fields(&format!("involvedObject.name={}", field.cluster));
    Ok(all.list(&of).await?.items.into_iter().filter_map(|event| event.reason).collect())
}
