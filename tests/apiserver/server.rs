//! A cluster for these tests, and the few requests that they need.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::Deserialize;
use serde_json::{Value, json};

const NAMESPACE: &str = "sofa-apiserver-test";
const MANAGER: &str = "apiserver-test";

/// The cluster of these tests: the user's own, or one that goes with this value.
pub(crate) struct Cluster {
    kubeconfig: String,
    started: bool,
}

impl Cluster {
    pub(crate) fn start() -> Result<Self> {
        if let Ok(kubeconfig) = env::var("KUBECONFIG")
            && !kubeconfig.is_empty()
        {
            return Ok(Self { kubeconfig, started: false });
        }
        let mut cluster = Self { kubeconfig: String::new(), started: true };
        let output = script("up").output().context("cluster.sh cannot be run")?;
        ensure!(output.status.success(), "cluster.sh up: {}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8_lossy(&output.stdout);
        let path = printed.lines().find_map(|line| line.strip_prefix("export KUBECONFIG="));
        path.with_context(|| format!("cluster.sh up printed no KUBECONFIG: {printed}"))?
            .trim_matches(['\'', '"'])
            .clone_into(&mut cluster.kubeconfig);
        Ok(cluster)
    }

    /// Applies the committed files as a person does. kubectl reads YAML 1.1, where words such as `on` mean something.
    pub(crate) fn kubectl_apply_crds(&self) -> Result<()> {
        let beside = Path::new(&self.kubeconfig).with_file_name("bin").join("kubectl");
        let kubectl = if self.started { beside } else { "kubectl".into() };
        let manager = format!("--field-manager={MANAGER}");
        let output = Command::new(kubectl)
            .args(["--kubeconfig", &self.kubeconfig, "apply", "--server-side", &manager, "-f"])
            .arg(crds_folder())
            .output()
            .context("kubectl cannot be run")?;
        ensure!(output.status.success(), "kubectl apply: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    pub(crate) async fn connect(&self) -> Result<Server> {
        let file = Kubeconfig::read_from(&self.kubeconfig)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let server = Server { client: sofa_operator::kube_io::client(&config, 0)?, config };
        server.new_namespace().await?;
        Ok(server)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.started
            && let Ok(output) = script("down").output()
            && !output.status.success()
        {
            eprintln!("cluster.sh down: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn script(what: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/cluster.sh");
    let mut command = Command::new("timeout");
    command.arg("1800").arg(path).arg(what).env_remove("KUBECONFIG").env("FAKE_NODES", "1");
    // A cluster of its own, so that others on the machine are not disturbed.
    command.env("CLUSTER_ID", env::var("CLUSTER_ID").unwrap_or_else(|_| "3".to_owned()));
    command
}

fn crds_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")
}

/// The definitions as they are committed, by file.
pub(crate) fn committed_crds() -> Result<BTreeMap<String, Value>> {
    let folder = crds_folder();
    let mut crds = BTreeMap::new();
    for file in fs::read_dir(&folder).context("crds/ cannot be read: run `make crds`")? {
        let path = file?.path();
        let crd = Value::deserialize(serde_yaml::Deserializer::from_str(&fs::read_to_string(&path)?))?;
        crds.insert(path.display().to_string(), crd);
    }
    Ok(crds)
}

/// An object without what the API server writes into every one.
pub(crate) fn without_server_fields(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, _| field == "name" || field == "labels");
    }
    object
}

fn resource(kind: &str) -> ApiResource {
    ApiResource {
        group: "middleware.sofastack.io".into(),
        version: "v1alpha1".into(),
        api_version: "middleware.sofastack.io/v1alpha1".into(),
        kind: kind.into(),
        plural: format!("{}s", kind.to_lowercase()),
    }
}

fn object(kind: &str, name: &str, spec: &Value) -> Result<DynamicObject> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "middleware.sofastack.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
    }))?)
}

/// What the API server refused, in its own words, or what it took.
type Answer = std::result::Result<DynamicObject, String>;

fn answer(result: kube::Result<DynamicObject>) -> Result<Answer> {
    match result {
        Ok(object) => Ok(Ok(object)),
        Err(kube::Error::Api(status)) if status.code == 422 => Ok(Err(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

/// The API server.
pub(crate) struct Server {
    client: Client,
    pub(crate) config: Config,
}

impl Server {
    fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), NAMESPACE, &resource(kind))
    }

    async fn new_namespace(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let new: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
        let mut last = None;
        for _ in 0..100 {
            match namespaces.create(&PostParams::default(), &new).await {
                Ok(_) => return Ok(()),
                // One of an earlier run is still going.
                Err(error) => last = Some(error),
            }
            self.end().await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        bail!("the namespace {NAMESPACE} cannot be made: {last:?}")
    }

    /// Removes what these tests made; the definitions stay: they may be the user's.
    pub(crate) async fn end(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(NAMESPACE, &DeleteParams::default()).await.ok();
    }

    /// Applies a definition: as the API server has it then, and its warnings.
    pub(crate) async fn apply_crd(&self, crd: &Value) -> Result<(Value, Vec<String>)> {
        let name = crd["metadata"]["name"].as_str().context("a definition without a name")?;
        let path = format!(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager={MANAGER}&force=true"
        );
        let request = http::Request::patch(path)
            .header("content-type", "application/apply-patch+yaml")
            .body(serde_json::to_vec(crd)?.into())?;
        let response = self.client.send(request).await?;
        let warnings = response.headers().get_all("warning").iter();
        let warnings = warnings.map(|w| String::from_utf8_lossy(w.as_bytes()).into_owned()).collect();
        let status = response.status();
        let body = response.into_body().collect_bytes().await?;
        ensure!(status.is_success(), "{name}: {}", String::from_utf8_lossy(&body));
        Ok((serde_json::from_slice(&body)?, warnings))
    }

    /// Waits until objects of this definition can be made.
    pub(crate) async fn established(&self, crd: &Value) -> Result<()> {
        let name = crd["metadata"]["name"].as_str().context("a definition without a name")?;
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for _ in 0..100 {
            let conditions = crds.get(name).await?.status.and_then(|s| s.conditions).unwrap_or_default();
            if conditions.iter().any(|c| c.type_ == "Established" && c.status == "True") {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("{name} is not established")
    }

    pub(crate) async fn create(&self, kind: &str, name: &str, spec: &Value) -> Result<Answer> {
        answer(self.api(kind).create(&PostParams::default(), &object(kind, name, spec)?).await)
    }

    /// The object with another spec.
    pub(crate) async fn update(&self, old: &DynamicObject, spec: &Value) -> Result<Answer> {
        let kind = old.types.as_ref().map(|t| t.kind.clone()).context("no kind")?;
        let name = old.metadata.name.clone().context("no name")?;
        let mut new = old.clone();
        new.data["spec"] = spec.clone();
        answer(self.api(&kind).replace(&name, &PostParams::default(), &new).await)
    }

    pub(crate) async fn apply(&self, kind: &str, name: &str, spec: &Value) -> Result<Value> {
        let patch = object(kind, name, spec)?;
        let params = PatchParams::apply(MANAGER).force();
        Ok(serde_json::to_value(self.api(kind).patch(name, &params, &Patch::Apply(&patch)).await?)?)
    }

    pub(crate) async fn get(&self, kind: &str, name: &str) -> Result<Value> {
        Ok(serde_json::to_value(self.api(kind).get(name).await?)?)
    }

    pub(crate) async fn patch_status(&self, kind: &str, name: &str, status: &Value) -> Result<Value> {
        let patch = json!({
            "apiVersion": "middleware.sofastack.io/v1alpha1", "kind": kind, "status": status,
        });
        let params = PatchParams::apply(MANAGER).force();
        Ok(serde_json::to_value(self.api(kind).patch_status(name, &params, &Patch::Apply(&patch)).await?)?)
    }

    pub(crate) async fn scale(&self, kind: &str, name: &str) -> Result<Value> {
        Ok(serde_json::to_value(self.api(kind).get_scale(name).await?)?)
    }

    pub(crate) async fn set_scale(&self, kind: &str, name: &str, replicas: u32) -> Result<()> {
        let patch = json!({"spec": {"replicas": replicas}});
        self.api(kind).patch_scale(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    /// What `kubectl get` shows.
    pub(crate) async fn table(&self, kind: &str) -> Result<Value> {
        let resource = resource(kind);
        let path = format!("/apis/{}/namespaces/{NAMESPACE}/{}", resource.api_version, resource.plural);
        let request = http::Request::get(path)
            .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(Vec::new())?;
        Ok(self.client.request(request).await?)
    }
}
