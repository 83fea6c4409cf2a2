//! What the servers of DRM and schedulers need, and how they are: databases, registries, dependencies, and commands in pods.
//!
//! What was not heard is unknown and never a pass.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures::future::{join, join_all};
use serde_json::Value;

use super::clock::now;
use super::context::Context;
use super::gather::{ANSWER_LIMIT, annotations, heard, port, secret_values, server};
use crate::admin::answer::Answer;
use crate::admin::database::Login;
use crate::admin::transport::{Call, Content, Method};
use crate::api::v1alpha1::{
    ClusterRef, ClusterStatus, ConditionStatus, ConditionType, Database, DatabaseSecret, Dependency,
    PushOwner, RegistryCluster, Role, RolloutState,
};
use crate::api::v1alpha1::{Reason, Switch};
use crate::kube_io::{KubeError, kind, run_in_pod};
use crate::observe::{Fact, Kubernetes, Member, Need, Pod, PodPhase, Sockets, Unknown};
use crate::types::Moment;
use crate::validate::{Identity, ReferenceFact, SecretFact, ValidCluster, may_refer};

/// How long a database is waited for.
pub(super) const DATABASE_LIMIT: Duration = Duration::from_secs(3);
/// How long a command in a pod is waited for: the health of drmdata alone may take 2 s.
const COMMAND_LIMIT: Duration = Duration::from_secs(5);
/// Where MySQL listens unless a spec says otherwise.
const DATABASE_PORT: u16 = 3306;
/// Stands between what a health command prints and the sockets.
const MARK: &str = "-- sockets --";

/// What the spec refers to, as it was read.
pub(super) struct Known {
    /// The registry: its object, if it was read.
    pub(super) registry: Option<Value>,
    /// The login of the servers, if their Secret has one.
    pub(super) login: Option<Login>,
    /// The operator's own login.
    pub(super) operator: Option<Login>,
}

/// A login of a database by a Secret, and whether the Secret has what it takes.
pub(super) async fn login(
    context: &Context,
    namespace: &str,
    database: &Database,
    secret: &DatabaseSecret,
) -> Result<(SecretFact, Option<Login>), KubeError> {
    let values = match secret_values(context, namespace, secret.name.as_str()).await? {
        Ok(values) => values,
        Err(fact) => return Ok((fact, None)),
    };
    let text = |key: &Option<String>, usual: &str| {
        let value = values.get(key.as_deref().unwrap_or(usual))?;
        String::from_utf8(value.clone()).ok()
    };
    let login = text(&secret.username_key, "username").zip(text(&secret.password_key, "password"));
    let login = login.map(|(user, password)| Login {
        host: as_in(namespace, database.host.as_str()),
        port: database.port.unwrap_or(DATABASE_PORT),
        database: database.name.clone(),
        user,
        password,
        tls: database.parameters.as_ref().is_some_and(|p| p.get("useSSL").is_some_and(|v| v == "true")),
    });
    Ok((SecretFact::Found(values.into_keys().collect()), login))
}

/// A host as the pods of this namespace find it: a name without a dot is that of a Service beside them.
fn as_in(namespace: &str, host: &str) -> String {
    if host.contains('.') { host.to_owned() } else { format!("{host}.{namespace}") }
}

/// The registry that a spec refers to, and whether it may.
pub(super) async fn registry(
    context: &Context,
    identity: &Identity,
    reference: &ClusterRef,
) -> Result<(ReferenceFact, Option<Value>), KubeError> {
    let own = &identity.namespace;
    let namespace = reference.namespace.as_ref().map_or_else(|| own.clone(), ToString::to_string);
    let read = context.objects.get(&kind::<RegistryCluster>(), &namespace, reference.name.as_str()).await;
    match read {
        Ok(Some(object)) => {
            let fact = may_refer(&annotations(&object), &namespace, own);
            Ok((fact, Some(object)))
        }
        Ok(None) => Ok((ReferenceFact::NotFound, None)),
        Err(KubeError::Forbidden(_)) => Ok((ReferenceFact::Unknown, None)),
        Err(other) => Err(other),
    }
}

/// Whether what the servers need works.
pub(super) async fn needs(
    context: &Context,
    namespace: &str,
    known: &Known,
    dependencies: &[Dependency],
) -> Vec<Need> {
    let database = async {
        match &known.login {
            Some(login) => Some(database(context, login).await),
            None => None,
        }
    };
    let asked = dependencies.iter().map(|dependency| self::dependency(context, namespace, dependency));
    let asked = join_all(asked);
    let (database, asked) = join(database, asked).await;
    let registry = known.registry.as_ref().map(registry_need);
    database.into_iter().chain(registry).chain(asked).collect()
}

async fn database(context: &Context, login: &Login) -> Need {
    let at = now();
    let answer = context.databases.answers(login, DATABASE_LIMIT).await;
    Need {
        reason: Reason::WaitingForDatabase,
        subject: format!("database {}", login.host),
        works: Fact::known(answer.is_ok(), at),
        fault: answer.err().map(|fault| fault.to_string()),
    }
}

/// A registry that is being changed holds the others: their servers would come back to one whose push is closed.
fn registry_need(object: &Value) -> Need {
    let status: ClusterStatus =
        object.get("status").cloned().and_then(|s| serde_json::from_value(s).ok()).unwrap_or_default();
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let serves = status
        .conditions
        .iter()
        .any(|c| c.kind == ConditionType::Available && c.status == ConditionStatus::True);
    let acts = status.rollout.as_ref().is_some_and(|r| r.state != RolloutState::Done && r.act.is_some());
    let holds = status.push.as_ref().is_some_and(|p| p.owner == Some(PushOwner::Operator));
    let fault = match (serves, acts || holds) {
        (false, _) => Some("it is not available yet: see its conditions"),
        (true, true) => Some("it is being changed: this waits until its push is open again"),
        (true, false) => None,
    };
    Need {
        reason: Reason::WaitingForRegistry,
        subject: format!("RegistryCluster {}/{}", text("/metadata/namespace"), text("/metadata/name")),
        works: Fact::known(fault.is_none(), now()),
        fault: fault.map(str::to_owned),
    }
}

async fn dependency(context: &Context, namespace: &str, dependency: &Dependency) -> Need {
    let at = now();
    let url = page_in(namespace, dependency.health_url.as_str());
    let answer = context.pages.page(&url, ANSWER_LIMIT).await;
    let fault = match &answer {
        Ok(answer) if (200..300).contains(&answer.status) => None,
        Ok(answer) => Some(format!("its health answers {}", answer.status)),
        Err(why) => Some(why.to_string()),
    };
    Need {
        reason: Reason::WaitingForDependency,
        subject: dependency.name.to_string(),
        works: Fact::known(fault.is_none(), at),
        fault,
    }
}

/// The address of a page, with its host as the pods of this namespace find it.
fn page_in(namespace: &str, url: &str) -> String {
    let Ok(mut parsed) = reqwest::Url::parse(url) else { return url.to_owned() };
    let host = parsed.host_str().map(|host| as_in(namespace, host));
    // What is no host stays as it is, and is told by whoever asks for the page.
    match parsed.set_host(host.as_deref()) {
        Ok(()) => parsed.to_string(),
        Err(_) => url.to_owned(),
    }
}

/// The pods that may answer.
pub(super) fn askable(kubernetes: &Kubernetes) -> Vec<(Member, Pod, Ipv4Addr)> {
    let runs = |pod: &Pod| pod.phase != PodPhase::Stopping;
    let pods = kubernetes.pods.iter().filter(|(_, pod)| runs(pod));
    pods.filter_map(|(member, pod)| Some((*member, pod.clone(), pod.address?))).collect()
}

/// A GET on the port `http` of a server.
pub(super) async fn get(
    context: &Context,
    valid: &impl ValidCluster,
    member: Member,
    address: Ipv4Addr,
    path: &str,
    query: &[(&str, &str)],
) -> Result<Answer, Unknown> {
    let to = server(valid, member, address);
    let call =
        Call { to: &to, method: Method::Get, path, content: Content::Fields(query), limit: ANSWER_LIMIT };
    heard(context, call).await
}

/// A POST of JSON to a server.
pub(super) async fn post(
    context: &Context,
    to: &crate::admin::transport::Server,
    path: &str,
    body: &Value,
    limit: Duration,
) -> Result<Answer, Unknown> {
    let text = body.to_string();
    let call = Call { to, method: Method::Post, path, content: Content::Json(&text), limit };
    heard(context, call).await
}

/// What a pod tells only to a command in it.
pub(super) struct Inside {
    /// The health that drmdata tells on its own loopback.
    pub(super) health: Result<String, Unknown>,
    /// The sockets of the pod. `None`: they were not read.
    pub(super) sockets: Option<String>,
}

/// Runs the one command that tells all of it. `health`: the port of drmdata's health.
pub(super) async fn inside(
    context: &Context,
    valid: &impl ValidCluster,
    member: Member,
    health: Option<u16>,
) -> Inside {
    let identity = &valid.common().identity;
    let check = health.map(|port| format!("curl -s -m 2 localhost:{port}/checkService; echo; "));
    let script = format!(
        "{}echo '{MARK}'; cat /proc/net/tcp; cat /proc/net/tcp6 2> /dev/null || true",
        check.unwrap_or_default()
    );
    let pod = member.pod_name(&identity.name);
    let place = (identity.namespace.as_str(), pod.as_str());
    let command = ["sh", "-c", &script];
    let client = context.objects.client();
    let printed = run_in_pod(client, place, member.role.field(), &command, COMMAND_LIMIT).await;
    context.metrics.asked(printed.as_ref().err().map_or("Answered", KubeError::label));
    match printed {
        Ok(text) => match text.split_once(&format!("{MARK}\n")) {
            Some((health, sockets)) => {
                Inside { health: Ok(health.trim().to_owned()), sockets: Some(sockets.to_owned()) }
            }
            None => Inside { health: Err(Unknown::Unreadable), sockets: None },
        },
        // The kubelet asks the same by the readiness probe: without the right to ask, its word is taken.
        Err(KubeError::Forbidden(_)) => Inside { health: Err(Unknown::NotAsked), sockets: None },
        Err(_) => Inside { health: Err(Unknown::TimedOut), sockets: None },
    }
}

/// The sockets of a server, as they are judged.
pub(super) fn sockets<'a>(
    valid: &impl ValidCluster,
    member: Member,
    text: &'a str,
    ports: &'a [u16],
) -> Sockets<'a> {
    Sockets { text, clients: port(valid, member.role, "client"), ports }
}

/// The ports that a server of this role has to listen on.
pub(super) fn ports(valid: &impl ValidCluster, role: Role) -> Vec<u16> {
    valid.component(role).map(|c| c.ports.iter().map(|(_, number)| number).collect()).unwrap_or_default()
}

/// Whether a server answers on its port `http`, whatever it says there.
pub(super) async fn answers(
    context: &Context,
    valid: &impl ValidCluster,
    member: Member,
    address: Ipv4Addr,
) -> Result<Option<u16>, Unknown> {
    get(context, valid, member, address, "/", &[]).await.map(|_| None)
}

/// Whether commands in pods are wanted.
pub(super) const fn counts(counting: Switch) -> bool {
    matches!(counting, Switch::Enabled)
}

/// A server of which the kubelet's word is all that is known.
pub(super) fn by_readiness(pod: &Pod, at: Moment) -> Fact<crate::observe::ServerView> {
    let failing = (pod.phase != PodPhase::Ready).then_some(Reason::WaitingForPod);
    Fact::known(crate::observe::ServerView { failing, connections: None }, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_as_the_pods_find_them() {
        assert_eq!(as_in("pay", "mariadb"), "mariadb.pay");
        assert_eq!(as_in("pay", "mariadb.db"), "mariadb.db");
        assert_eq!(as_in("pay", "10.0.0.1"), "10.0.0.1");
        assert_eq!(page_in("pay", "http://tenants:8080/health?a=1"), "http://tenants.pay:8080/health?a=1");
        assert_eq!(page_in("pay", "https://tenants.example/health"), "https://tenants.example/health");
    }
}
