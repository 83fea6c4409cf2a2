//! What is so in Kubernetes, by the caches or past them, and one question to one server.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod, Secret};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::Context;
use crate::admin::answer::Answer;
use crate::admin::transport::{Call, NoAnswer, Server, Transport};
use crate::api::objects::{APP, CLUSTER};
use crate::api::v1alpha1::Role;
use crate::kube_io::{KubeError, slim};
use crate::observe::{Listed, Member, Unknown};
use crate::validate::{Identity, Product, SecretFact, ValidCluster};

/// How long one answer is waited for. A server that serves answers in milliseconds.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Where Kubernetes is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// What the watches have told: good enough to see that there is nothing to do. By it nothing is ever written.
    Cache,
    /// The API server itself.
    Server,
}

/// The objects of a cluster that runs one of these products: clusters of several kinds may have one name.
pub(super) async fn listed(
    context: &Context,
    identity: &Identity,
    products: &[Product],
    source: Source,
) -> Result<Listed, KubeError> {
    let (namespace, cluster) = (&identity.namespace, &identity.name);
    let children = &context.children;
    // Whether a node answers takes its neighbours 40 s to say: a cache is not behind that.
    let mut nodes = children.nodes();
    if source == Source::Cache {
        return Ok(Listed {
            pods: of(products, children.pods(namespace, cluster)),
            stateful_sets: of(products, children.stateful_sets(namespace, cluster)),
            claims: of(products, children.claims(namespace, cluster)),
            nodes,
        });
    }
    let client = || context.objects.client().clone();
    let labels: Vec<&str> = products.iter().map(|p| p.label()).collect();
    let own = ListParams::default().labels(&format!("{CLUSTER}={cluster},{APP} in ({})", labels.join(",")));
    let (pods, sets, claims) = (
        Api::<Pod>::namespaced(client(), namespace),
        Api::<StatefulSet>::namespaced(client(), namespace),
        Api::<PersistentVolumeClaim>::namespaced(client(), namespace),
    );
    if nodes.is_empty() {
        // Who only shows a plan follows nothing.
        nodes = Api::<Node>::all(client()).list(&ListParams::default()).await?.items;
    }
    let (pods, stateful_sets, claims) = futures::try_join!(
        all(&pods, &own, slim::pod),
        all(&sets, &own, slim::stateful_set),
        all(&claims, &own, slim::claim),
    )?;
    Ok(Listed { pods, stateful_sets, claims, nodes })
}

/// All of a kind, and of each as much as is read: they are held until the servers have answered.
async fn all<K: Clone + Debug + DeserializeOwned>(
    objects: &Api<K>,
    own: &ListParams,
    slim: fn(K) -> K,
) -> Result<Vec<K>, KubeError> {
    Ok(objects.list(own).await?.items.into_iter().map(slim).collect())
}

fn of<K: ResourceExt>(products: &[Product], objects: Vec<K>) -> Vec<K> {
    let is_of = |object: &K| {
        let app = object.labels().get(APP);
        app.is_some_and(|app| products.iter().any(|product| product.label() == app))
    };
    objects.into_iter().filter(is_of).collect()
}

/// The keys and values of a Secret, or why there are none: it is not there, or the operator may not read it.
pub(super) async fn secret_values(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Result<BTreeMap<String, Vec<u8>>, SecretFact>, KubeError> {
    let secrets = Api::<Secret>::namespaced(context.objects.client().clone(), namespace);
    Ok(match secrets.get_opt(name).await.map_err(KubeError::from) {
        Ok(Some(secret)) => {
            Ok(secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect())
        }
        Ok(None) => Err(SecretFact::NotFound),
        Err(KubeError::Forbidden(_)) => Err(SecretFact::Unknown),
        Err(other) => return Err(other),
    })
}

/// The keys of a Secret. Its values are dropped at once.
pub(super) async fn secret(context: &Context, namespace: &str, name: &str) -> Result<SecretFact, KubeError> {
    let values = secret_values(context, namespace, name).await?;
    Ok(values.map_or_else(|fact| fact, |values| SecretFact::Found(values.into_keys().collect())))
}

/// The server of a member, by its admin port.
pub(super) fn server(valid: &impl ValidCluster, member: Member, address: Ipv4Addr) -> Server {
    server_at(valid, member, address, port(valid, member.role, "http"))
}

/// The server of a member, by another port.
pub(super) fn server_at(valid: &impl ValidCluster, member: Member, address: Ipv4Addr, port: u16) -> Server {
    let identity = &valid.common().identity;
    Server {
        pod: Some((identity.namespace.clone(), member.pod_name(&identity.name))),
        host: address.to_string(),
        port,
    }
}

/// A port of a role, by its name.
pub(super) fn port(valid: &impl ValidCluster, role: Role, name: &str) -> u16 {
    valid.component(role).and_then(|c| c.ports.number(name)).unwrap_or_default()
}

/// Asks once.
pub(super) async fn heard(context: &Context, call: Call<'_>) -> Result<Answer, Unknown> {
    let answer = context.admins.send(call).await;
    context.metrics.asked(answer.as_ref().err().map_or("Answered", NoAnswer::label));
    answer.map_err(|why| match why {
        NoAnswer::Refused(_) => Unknown::Refused,
        NoAnswer::TimedOut(_) | NoAnswer::Broken { .. } => Unknown::TimedOut,
    })
}

/// The annotations of an object.
pub(super) fn annotations(object: &Value) -> BTreeMap<String, String> {
    let found = object.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten();
    found.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
