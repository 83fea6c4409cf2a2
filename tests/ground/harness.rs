//! What every story needs: a namespace, manifests, the pods' HTTP ports through the API server, and patience with a
//! deadline.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
use kube::api::{
    ApiResource, AttachParams, DeleteParams, DynamicObject, GroupVersionKind, ListParams, LogParams, Patch,
    PatchParams, PostParams,
};
use kube::client::Body;
use kube::{Api, Client, Config};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

/// How often a condition is looked at again.
const LOOK: Duration = Duration::from_millis(300);
/// How long one look may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long one command in a pod may take.
const EXEC: Duration = Duration::from_secs(20);

/// A namespace in which one story plays.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// What an HTTP port of a pod answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Reply {
    /// The body as JSON; anything else becomes `null`, which no expectation meets.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

/// Plays a story: in a new namespace, which goes at its end. If it fails, the state of its pods is printed first.
pub(crate) async fn story<F>(name: &str, play: impl FnOnce(Ground) -> F)
where
    F: Future<Output = Result<()>>,
{
    let ground = Ground::new(name).await.expect("a cluster: run `make test`, or set KUBECONFIG");
    let began = Instant::now();
    let outcome = play(ground.clone()).await;
    println!("{name}: {:.0} s", began.elapsed().as_secs_f64());
    if let Err(error) = outcome {
        ground.print_pods().await;
        ground.delete_namespace().await;
        panic!("{name}: {error:#}");
    }
    ground.delete_namespace().await;
}

/// Looks until `probe` is `Ok`, and returns what it gave; after `within` it fails with the last reason.
pub(crate) async fn eventually<T, E: Display>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> std::result::Result<T, E>,
) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(why) if Instant::now() >= end => bail!("not within {within:?}: {what}: {why:#}"),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Looks for the whole of `span`: `probe` has to be `Ok` every time.
pub(crate) async fn throughout<E: Display>(
    what: &str,
    span: Duration,
    mut probe: impl AsyncFnMut() -> std::result::Result<(), E>,
) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < span {
        if let Err(why) = probe().await {
            bail!("after {:?} no longer: {what}: {why:#}", began.elapsed());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// The way to the cluster. A pod that refuses a connection is an answer (503), not a reason to try again inside the client, and
/// a request that is never answered ends.
pub(crate) async fn client() -> Result<Client> {
    Ok(sofa_operator::kube_io::client(&Config::infer().await?, 0)?)
}

impl Ground {
    async fn new(story: &str) -> Result<Self> {
        let client = client().await?;
        let ground = Self { client, namespace: format!("sofa-ground-{story}") };
        ground.delete_namespace().await;
        let namespaces: Api<Namespace> = Api::all(ground.client.clone());
        let new: Namespace = serde_json::from_value(json!({"metadata": {"name": ground.namespace}}))?;
        eventually("the namespace is new", Duration::from_secs(90), async || {
            namespaces.create(&PostParams::default(), &new).await
        })
        .await?;
        Ok(ground)
    }

    async fn delete_namespace(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        // Absent is as good as deleted; anything else shows when the name is made again.
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.ok();
    }

    /// Applies every document of `yaml`.
    pub(crate) async fn apply(&self, yaml: &str) -> Result<()> {
        self.apply_edited(yaml, |_| ()).await
    }

    /// Applies every document of `yaml` after `edit`.
    pub(crate) async fn apply_edited(&self, yaml: &str, edit: impl Fn(&mut Value)) -> Result<()> {
        for document in serde_yaml::Deserializer::from_str(yaml) {
            let mut value = Value::deserialize(document)?;
            edit(&mut value);
            let object: DynamicObject = serde_json::from_value(value)?;
            let types = object.types.clone().context("a manifest without kind")?;
            let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types)?);
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
            let name = object.metadata.name.clone().context("a manifest without name")?;
            api.patch(&name, &PatchParams::apply("ground-tests").force(), &Patch::Apply(&object))
                .await
                .with_context(|| format!("{} {name}", types.kind))?;
        }
        Ok(())
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn pod_ip(&self, pod: &str) -> Result<String> {
        let status = self.pods().get(pod).await?.status.unwrap_or_default();
        status.pod_ip.with_context(|| format!("{pod} has no address yet"))
    }

    /// Waits until all replicas of a StatefulSet are Ready.
    pub(crate) async fn ready(&self, name: &str, within: Duration) -> Result<()> {
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &self.namespace);
        eventually(&format!("{name} is Ready"), within, async || {
            let set = sets.get(name).await?;
            let wanted = set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
            let ready = set.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0);
            if ready == wanted { Ok(()) } else { bail!("{ready} of {wanted}") }
        })
        .await
    }

    /// Waits until the pod is Ready.
    pub(crate) async fn pod_ready(&self, pod: &str, within: Duration) -> Result<()> {
        eventually(&format!("{pod} is Ready"), within, async || {
            let pod = self.pods().get(pod).await?;
            if is_ready(&pod) { Ok(()) } else { bail!("{}", phase(&pod)) }
        })
        .await
    }

    /// Deletes pods and waits until others, or none, stand in their places.
    pub(crate) async fn delete_pods(&self, names: &[&str]) -> Result<()> {
        let mut before = Vec::new();
        for name in names {
            before.push(self.pods().get(name).await?.metadata.uid);
        }
        for name in names {
            self.pods().delete(name, &DeleteParams::default()).await?;
        }
        for (name, uid) in names.iter().zip(before) {
            eventually(&format!("{name} is gone"), seconds(60), async || {
                match self.pods().get_opt(name).await? {
                    Some(pod) if pod.metadata.uid == uid => bail!("{}", phase(&pod)),
                    _ => Ok(()),
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Runs a command in a pod: what it printed on standard output, or an error with standard error.
    pub(crate) async fn exec(&self, pod: &str, command: &[&str]) -> Result<String> {
        self.exec_in(pod, None, command).await
    }

    /// Runs a command in one container of a pod.
    pub(crate) async fn exec_in(
        &self,
        pod: &str,
        container: Option<&str>,
        command: &[&str],
    ) -> Result<String> {
        let params = AttachParams {
            container: container.map(Into::into),
            ..AttachParams::default().stdout(true).stderr(true)
        };
        let run = async {
            let mut process = self.pods().exec(pod, command.iter().copied(), &params).await?;
            let status = process.take_status().context("no status")?;
            let mut stdout = process.stdout().context("no stdout")?;
            let mut stderr = process.stderr().context("no stderr")?;
            let (mut out, mut err) = (String::new(), String::new());
            tokio::try_join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err))?;
            anyhow::Ok((status.await, out, err))
        };
        let ended = tokio::time::timeout(EXEC, run).await;
        let (status, out, err) = ended.with_context(|| format!("{command:?} in {pod} does not end"))??;
        match status {
            Some(s) if s.status.as_deref() == Some("Success") => Ok(out),
            other => bail!(
                "{command:?} in {pod}: {} {}",
                err.trim(),
                other.and_then(|s| s.message).unwrap_or_default()
            ),
        }
    }

    /// GET of an HTTP port of a pod, through the API server, so that it works from outside the cluster too.
    pub(crate) async fn get(&self, pod: &str, port: u16, path: &str) -> Result<Reply> {
        self.call("GET", pod, port, path, None).await
    }

    /// POST of an HTML form.
    pub(crate) async fn post_form(&self, pod: &str, port: u16, path: &str, form: &str) -> Result<Reply> {
        self.call("POST", pod, port, path, Some(("application/x-www-form-urlencoded", form))).await
    }

    /// POST of JSON.
    pub(crate) async fn post_json(&self, pod: &str, port: u16, path: &str, body: &Value) -> Result<Reply> {
        self.call("POST", pod, port, path, Some(("application/json", &body.to_string()))).await
    }

    async fn call(
        &self,
        method: &str,
        pod: &str,
        port: u16,
        path: &str,
        content: Option<(&str, &str)>,
    ) -> Result<Reply> {
        let uri = format!("/api/v1/namespaces/{}/pods/{pod}:{port}/proxy{path}", self.namespace);
        let mut request = http::Request::builder().method(method).uri(uri);
        if let Some((kind, _)) = content {
            request = request.header("Content-Type", kind);
        }
        let body = content.map(|(_, body)| body.as_bytes().to_vec()).unwrap_or_default();
        let send = async {
            let response = self.client.send(request.body(Body::from(body))?).await?;
            let status = response.status().as_u16();
            let bytes = response.into_body().collect_bytes().await?;
            anyhow::Ok(Reply { status, body: String::from_utf8_lossy(&bytes).into_owned() })
        };
        tokio::time::timeout(ANSWER, send)
            .await
            .with_context(|| format!("{pod}:{port}{path}: no answer in {ANSWER:?}"))?
    }

    async fn print_pods(&self) {
        let Ok(pods) = self.pods().list(&ListParams::default()).await else { return };
        for pod in pods {
            let name = pod.metadata.name.clone().unwrap_or_default();
            println!("--- {name}: {}", phase(&pod));
            let params = LogParams { tail_lines: Some(15), ..LogParams::default() };
            println!("{}", self.pods().logs(&name, &params).await.unwrap_or_else(|e| e.to_string()));
        }
    }
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

fn phase(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let restarts: i32 = status.container_statuses.iter().flatten().map(|c| c.restart_count).sum();
    let waiting: Vec<_> = status
        .container_statuses
        .iter()
        .flatten()
        .filter_map(|c| c.state.as_ref()?.waiting.as_ref()?.reason.clone())
        .collect();
    format!("{} {waiting:?}, {restarts} restarts, not Ready yet", status.phase.unwrap_or_default())
}

/// Sets an environment variable of the first container of every pod template in `manifest`.
pub(crate) fn set_env(manifest: &mut Value, name: &str, value: &str) {
    let Some(list) =
        manifest.pointer_mut("/spec/template/spec/containers/0/env").and_then(Value::as_array_mut)
    else {
        return;
    };
    list.retain(|e| e["name"] != name);
    list.push(json!({"name": name, "value": value}));
}

/// Sets the number of replicas of a StatefulSet.
pub(crate) fn set_replicas(manifest: &mut Value, count: u32) {
    if manifest["kind"] == "StatefulSet" {
        manifest["spec"]["replicas"] = json!(count);
    }
}

/// A short deadline, in seconds.
pub(crate) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
