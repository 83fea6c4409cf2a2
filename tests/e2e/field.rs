//! What every story needs: an operator, a cluster's object, its pods, and a client that publishes and subscribes.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{Ground, client, eventually, seconds};

/// The cluster of every story.
pub(crate) const NAME: &str = "prod";
/// How many dataIds the client publishes.
pub(crate) const IDS: u64 = 50;
/// A rollout of seven servers takes two minutes on an idle machine of two cores.
pub(crate) const ROLLOUT: Duration = Duration::from_mins(8);
const DATABASE: &str = include_str!("../../examples/registry-6-mariadb.yaml");
const CLIENT: &str = include_str!("../ground/manifests/registry-client.yaml");

/// The kinds of clusters, those that others refer to first.
const KINDS: [&str; 3] = ["RegistryCluster", "DrmCluster", "SchedulerCluster"];

/// One story's namespaces and operator.
#[derive(Clone)]
pub(crate) struct Field {
    pub(crate) ground: Ground,
    story: String,
    /// The kind of the cluster that is spoken of.
    kind: &'static str,
    /// Its name.
    pub(crate) cluster: &'static str,
}

/// Plays a story; at its end, good or bad, all that it made goes, unless `E2E_KEEP` is set and the story failed.
pub(crate) async fn story<F>(name: &str, play: impl FnOnce(Field) -> F)
where
    F: Future<Output = Result<()>>,
{
    let field = Field::new(name).await.expect("a cluster with the operator's image: run `make test-e2e`");
    let began = Instant::now();
    let outcome = play(field.clone()).await;
    println!("{name}: {:.0} s", began.elapsed().as_secs_f64());
    if outcome.is_err() {
        field.print().await;
    }
    if outcome.is_ok() || std::env::var_os("E2E_KEEP").is_none() {
        field.clear().await;
    }
    if let Err(error) = outcome {
        panic!("{name}: {error:#}");
    }
}

/// How many servers [`spec`] asks for.
pub(crate) const SERVERS: usize = 7;

/// A spec for a small machine: three metas, two data servers, two sessions.
pub(crate) fn spec(version: &str) -> Value {
    json!({
        "version": version,
        "image": format!("localhost/sofa-registry:{version}"),
        "dataCenter": "DefaultDataCenter",
        "profile": "Small",
        "meta": {"replicas": 3}, "data": {"replicas": 2}, "session": {"replicas": 2},
        // The stories ask the metas themselves, through the API server.
        "networkPolicy": {"extraFrom": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]},
    })
}

/// A spec with some fields otherwise.
pub(crate) fn with(mut spec: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

impl Field {
    async fn new(story: &str) -> Result<Self> {
        let client = client().await?;
        let ground = Ground { client, namespace: format!("sofa-e2e-{story}") };
        let field = Self { ground, story: story.to_owned(), kind: KINDS[0], cluster: NAME };
        field.clear().await;
        for namespace in [field.ground.namespace.clone(), field.operators()] {
            field.make_namespace(&namespace).await?;
        }
        Ok(field)
    }

    async fn make_namespace(&self, name: &str) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.ground.client.clone());
        let new: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        let made = eventually("the namespace is new", seconds(90), async || {
            namespaces.create(&PostParams::default(), &new).await
        });
        made.await.map(|_| ())
    }

    /// The same field in a second namespace, which is made, and goes with the story.
    pub(crate) async fn beside(&self) -> Result<Self> {
        let mut other = self.clone();
        other.ground.namespace = self.neighbour();
        self.make_namespace(&other.ground.namespace).await?;
        Ok(other)
    }

    fn neighbour(&self) -> String {
        format!("sofa-e2e-{}-beside", self.story)
    }

    /// The same field, of another cluster.
    pub(crate) fn of(&self, cluster: &'static str) -> Self {
        Self { cluster, ..self.clone() }
    }

    /// The same field, of a cluster of another kind.
    pub(crate) fn of_kind(&self, kind: &'static str, cluster: &'static str) -> Self {
        Self { kind, cluster, ..self.clone() }
    }

    /// The operator, a 5.4.3 that is as its spec wants it, and a client on it.
    pub(crate) async fn started(&self, more: &Value) -> Result<()> {
        self.install().await?;
        self.apply(&with(spec("5.4.3"), more)).await?;
        self.ready(ROLLOUT).await?;
        self.start_client("5.4.3").await
    }

    /// The namespace of the operator.
    pub(crate) fn operators(&self) -> String {
        format!("sofa-e2e-{}-op", self.story)
    }

    /// Installs the operator by its chart, for this story's namespace alone.
    pub(crate) async fn install(&self) -> Result<()> {
        self.install_for(&[self]).await
    }

    /// Installs the operator by its chart, for the namespaces of these fields.
    pub(crate) async fn install_for(&self, fields: &[&Self]) -> Result<()> {
        let namespaces: Vec<&str> = fields.iter().map(|field| field.ground.namespace.as_str()).collect();
        self.helm(&[
            "install",
            &self.release(),
            "charts/sofa-operator",
            "--set",
            "crds.install=false,log.format=text,operator.slowPace=10,exec.enabled=true",
            "--set",
            &format!("namespaces={{{}}}", namespaces.join(",")),
            "--wait",
            "--timeout",
            "60s",
        ])
        .await
    }

    fn release(&self) -> String {
        format!("e2e-{}", self.story)
    }

    pub(crate) async fn helm(&self, args: &[&str]) -> Result<()> {
        let run = Command::new("helm")
            .args(args)
            .args(["--namespace", &self.operators()])
            .stdin(Stdio::null())
            .output();
        let output = run.await.context("helm: `eval \"$(make -s cluster-env)\"` puts it into PATH")?;
        ensure!(output.status.success(), "helm {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    pub(crate) fn operator_pods(&self) -> Api<Pod> {
        Api::namespaced(self.ground.client.clone(), &self.operators())
    }

    pub(crate) fn clusters(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("middleware.sofastack.io", "v1alpha1", self.kind);
        Api::namespaced_with(
            self.ground.client.clone(),
            &self.ground.namespace,
            &ApiResource::from_gvk(&kind),
        )
    }

    /// Applies the cluster's object, as a person does with `kubectl apply --server-side`.
    pub(crate) async fn apply(&self, spec: &Value) -> Result<()> {
        let object = json!({"apiVersion": "middleware.sofastack.io/v1alpha1", "kind": self.kind,
            "metadata": {"name": self.cluster}, "spec": spec});
        let person = PatchParams::apply("a-person").force();
        self.clusters().patch(self.cluster, &person, &Patch::Apply(&object)).await?;
        Ok(())
    }

    /// Changes single fields of the spec.
    pub(crate) async fn edit(&self, spec: Value) -> Result<()> {
        let patch = json!({"spec": spec});
        self.clusters().patch(self.cluster, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    /// The cluster's object.
    pub(crate) async fn object(&self) -> Result<Value> {
        Ok(serde_json::to_value(self.clusters().get(self.cluster).await?)?)
    }

    /// A condition of its status, if it is of the present generation.
    pub(crate) async fn condition(&self, kind: &str) -> Result<Value> {
        let object = self.object().await?;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.into_iter().find(|c| c["type"] == kind);
        let found = found.with_context(|| format!("no condition {kind} yet"))?;
        let generation = &object["metadata"]["generation"];
        ensure!(
            &found["observedGeneration"] == generation,
            "{kind} is of {}, not {generation}",
            found["observedGeneration"]
        );
        Ok(found)
    }

    /// Waits until a condition of the present generation is so.
    pub(crate) async fn condition_is(&self, kind: &str, status: &str, within: Duration) -> Result<Value> {
        eventually(&format!("{kind} is {status}"), within, async || {
            let condition = self.condition(kind).await?;
            if condition["status"] == status { Ok(condition) } else { bail!("{}", self.summary().await) }
        })
        .await
    }

    /// Waits until a condition of the present generation has this reason and says these words.
    pub(crate) async fn tells(&self, kind: &str, reason: &str, words: &str) -> Result<()> {
        eventually(&format!("{kind} for {reason}: {words}"), seconds(90), async || {
            let found = self.condition(kind).await?;
            let says = found["message"].as_str().is_some_and(|message| message.contains(words));
            if found["reason"] == reason && says { Ok(()) } else { bail!("{found}") }
        })
        .await
    }

    /// The pods of a role of this cluster: their names and uids.
    pub(crate) async fn pods_of(&self, role: &str) -> Result<BTreeMap<String, String>> {
        let of =
            format!("middleware.sofastack.io/cluster={},middleware.sofastack.io/role={role}", self.cluster);
        let found = self.ground.pods().list(&ListParams::default().labels(&of)).await?;
        let named = found.items.into_iter().filter_map(|p| Some((p.metadata.name?, p.metadata.uid?)));
        Ok(named.collect())
    }

    /// Waits until a condition of the present generation has this reason.
    pub(crate) async fn reason_is(&self, kind: &str, reason: &str, within: Duration) -> Result<Value> {
        eventually(&format!("{kind} for {reason}"), within, async || {
            let condition = self.condition(kind).await?;
            if condition["reason"] == reason { Ok(condition) } else { bail!("{}", self.summary().await) }
        })
        .await
    }

    /// Waits until the cluster is as its spec wants it.
    pub(crate) async fn ready(&self, within: Duration) -> Result<()> {
        self.condition_is("Ready", "True", within).await.map(|_| ())
    }

    /// Where it stands, in a line.
    pub(crate) async fn summary(&self) -> String {
        let Ok(object) = self.object().await else { return "no object".to_owned() };
        let status = &object["status"];
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let told: Vec<String> = conditions
            .iter()
            .filter(|c| {
                ["Ready", "Progressing", "Stalled", "Degraded"]
                    .contains(&c["type"].as_str().unwrap_or_default())
            })
            .map(|c| format!("{}={} {}: {}", c["type"], c["status"], c["reason"], c["message"]))
            .collect();
        format!(
            "{} push {} rollout {} {}",
            status["ready"],
            status["push"]["state"],
            status["rollout"]["state"],
            told.join("; ")
        )
    }

    /// Starts the database of the example, and waits until it has the tables of 6.x.
    pub(crate) async fn start_database(&self) -> Result<()> {
        let objects: Vec<&str> = DATABASE.split("\n---\n").filter(|o| o.contains("step: database")).collect();
        self.ground.apply(&objects.join("\n---\n")).await?;
        self.job_is_done("registry-database-init", seconds(180)).await
    }

    /// Changes the password in a Secret.
    pub(crate) async fn set_password(&self, secret: &str, password: &str) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.ground.client.clone(), &self.ground.namespace);
        let patch = json!({"stringData": {"password": password}});
        secrets.patch(secret, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    /// Waits until a Job has succeeded.
    pub(crate) async fn job_is_done(&self, name: &str, within: Duration) -> Result<()> {
        let jobs: Api<Job> = Api::namespaced(self.ground.client.clone(), &self.ground.namespace);
        eventually(&format!("Job {name} is done"), within, async || {
            let status = jobs.get(name).await?.status.unwrap_or_default();
            if status.succeeded == Some(1) { Ok(()) } else { bail!("{:?} failed", status.failed) }
        })
        .await
    }

    /// Starts the real client against the sessions of this cluster.
    pub(crate) async fn start_client(&self, sdk: &str) -> Result<()> {
        self.ground
            .apply_edited(CLIENT, |manifest| {
                crate::harness::set_env(manifest, "SDK_VERSION", sdk);
                crate::harness::set_env(manifest, "REGISTRY_ADDRESS", &format!("{NAME}-session-client"));
            })
            .await?;
        self.ground.ready("client", seconds(90)).await?;
        self.all_received().await.map(|_| ())
    }

    /// What the client says.
    pub(crate) async fn client(&self) -> Result<Value> {
        Ok(self.ground.get("client-0", 8080, "/status").await?.json())
    }

    /// The client publishes a next version of every value.
    pub(crate) async fn republish(&self) -> Result<()> {
        self.ground.post_json("client-0", 8080, "/republish", &json!({})).await.map(|_| ())
    }

    /// Publishes once more, and waits until all of it has come back.
    pub(crate) async fn nothing_is_lost(&self) -> Result<()> {
        self.republish().await?;
        self.all_received().await.map(|_| ())
    }

    /// Push is open, as the status says.
    pub(crate) async fn push_is_open(&self) -> Result<()> {
        ensure!(self.object().await?["status"]["push"]["state"] == "Open", "{}", self.summary().await);
        Ok(())
    }

    /// Waits until every value has come back as it was published last, and none was ever taken away.
    pub(crate) async fn all_received(&self) -> Result<Value> {
        let status = eventually("all values are received", seconds(120), async || {
            let status = self.client().await?;
            if status["published"] == IDS && status["received"] == IDS {
                Ok(status)
            } else {
                bail!("{status}")
            }
        })
        .await?;
        ensure!(status["emptied"]["fromServer"] == 0, "a value was taken away: {status}");
        Ok(status)
    }

    /// Ends the operator's container at once, as the kernel does when memory is short; the kubelet starts it again.
    pub(crate) async fn kill_operator(&self) -> Result<()> {
        let pods = self.operator_pods().list(&ListParams::default()).await?;
        for pod in pods {
            let name = pod.metadata.name.unwrap_or_default();
            let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            self.operator_pods().delete(&name, &now).await?;
        }
        Ok(())
    }

    async fn print(&self) {
        for kind in KINDS {
            let Ok(found) = self.of_kind(kind, NAME).clusters().list(&ListParams::default()).await else {
                continue;
            };
            for object in found {
                println!("--- {kind} {}", object.metadata.name.unwrap_or_default());
                println!("{}", serde_json::to_string_pretty(&object.data["status"]).unwrap_or_default());
            }
        }
        let Ok(pods) = self.ground.pods().list(&ListParams::default()).await else { return };
        for pod in pods {
            let status = pod.status.unwrap_or_default();
            let containers = status.container_statuses.unwrap_or_default();
            let state: Vec<_> = containers.iter().map(|c| (c.ready, c.restart_count)).collect();
            println!(
                "{} {} {state:?}",
                pod.metadata.name.unwrap_or_default(),
                status.phase.unwrap_or_default()
            );
        }
        let Ok(operators) = self.operator_pods().list(&ListParams::default()).await else { return };
        for pod in operators {
            let name = pod.metadata.name.unwrap_or_default();
            let params = LogParams { tail_lines: Some(120), ..LogParams::default() };
            println!(
                "--- {name}\n{}",
                self.operator_pods().logs(&name, &params).await.unwrap_or_else(|e| e.to_string())
            );
        }
    }

    /// The clusters first, while there is an operator that ends them in order; then everything else.
    async fn clear(&self) {
        let mut beside = self.clone();
        beside.ground.namespace = self.neighbour();
        let all = || [self, &beside].into_iter().flat_map(|at| KINDS.map(|kind| at.of_kind(kind, NAME)));
        for of in all().map(|at| at.clusters()) {
            // What is absent is as good as deleted; what stays shows when it is made again.
            of.delete_collection(&DeleteParams::default(), &ListParams::default()).await.ok();
        }
        for of in all().map(|at| at.clusters()) {
            let gone = eventually("the clusters are gone", seconds(30), async || {
                match of.list(&ListParams::default()).await {
                    Ok(left) if left.items.is_empty() => Ok(()),
                    Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                    other => bail!("{other:?}"),
                }
            });
            if gone.await.is_ok() {
                continue;
            }
            let free = json!({"metadata": {"finalizers": []}});
            for left in of.list(&ListParams::default()).await.map(|l| l.items).unwrap_or_default() {
                let name = left.metadata.name.unwrap_or_default();
                of.patch(&name, &PatchParams::default(), &Patch::Merge(&free)).await.ok();
            }
        }
        self.helm(&["uninstall", &self.release(), "--wait", "--ignore-not-found"]).await.ok();
        let namespaces: Api<Namespace> = Api::all(self.ground.client.clone());
        for namespace in [self.ground.namespace.clone(), self.operators(), self.neighbour()] {
            namespaces.delete(&namespace, &DeleteParams::default()).await.ok();
        }
    }
}
