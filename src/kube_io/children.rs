//! What the operator made, followed by watches: of pods, StatefulSets, claims and nodes as much is kept as is read of them;
//! of everything else a stamp.
//!
//! Only objects with the operator's label are watched. What a change concerns is told as the cluster that it belongs to.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, join_all};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::error::KubeError;
use super::ledger::{ChildKey, Ledger};
use super::referrers::{Reference, Referrers, Refers, Registry};
use super::slim;
use super::table::Table;
use super::told::{Change, Told};
use crate::api::http_route::HttpRoute;
use crate::api::objects::{OPERATOR, REGISTRY_APP};
use crate::api::v1alpha1::{DrmCluster, SchedulerCluster};

/// How many objects a list brings at a time: what is read of one is kept, the rest is dropped at once.
const PAGE: u32 = 50;
/// How often a kind is looked for that this cluster does not have. What is written of it is known without that.
const EXTENSION_PACE: Duration = Duration::from_mins(5);
/// How soon again where the API server did not tell.
const UNTOLD_PACE: Duration = Duration::from_secs(5);

/// A cluster that something happened to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Woken {
    /// The software that it runs: the label `app.kubernetes.io/name`.
    pub software: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub cluster: String,
}

/// What the operator made.
#[derive(Debug)]
pub struct Children {
    pods: Table<Pod>,
    stateful_sets: Table<StatefulSet>,
    claims: Table<PersistentVolumeClaim>,
    nodes: Table<Node>,
    referrers: Referrers,
    ledger: Arc<Ledger>,
    wake: UnboundedSender<Woken>,
    /// How many of the lists have come.
    listed: watch::Sender<usize>,
}

/// Which namespaces are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Everywhere,
    /// These.
    Namespaces(Vec<String>),
}

impl Scope {
    /// The names by which an `Api` is made: `None` is all.
    #[must_use]
    pub fn parts(&self) -> Vec<Option<String>> {
        match self {
            Self::Everywhere => vec![None],
            Self::Namespaces(names) => names.iter().cloned().map(Some).collect(),
        }
    }
}

/// How soon it is to be looked for again whether this cluster has a kind. `None`: it has.
async fn until_served<K: Resource<DynamicType = ()>>(client: &Client) -> Option<Duration> {
    match client.list_api_group_resources(&K::api_version(&())).await.map_err(KubeError::from) {
        Ok(list) if list.resources.iter().any(|resource| resource.kind == K::kind(&())) => None,
        Ok(_) | Err(KubeError::NotFound(_)) => Some(EXTENSION_PACE),
        Err(_) => Some(UNTOLD_PACE),
    }
}

/// All objects of a kind.
pub(crate) fn everything() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// Those with the operator's label.
fn ours() -> watcher::Config {
    everything().labels(&format!("app.kubernetes.io/managed-by={OPERATOR}"))
}

/// All objects of a kind, or those of one namespace.
pub(crate) fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), name))
}

impl Children {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, wake: UnboundedSender<Woken>) -> Self {
        Self {
            pods: Table::default(),
            stateful_sets: Table::default(),
            claims: Table::default(),
            nodes: Table::default(),
            referrers: Referrers::default(),
            ledger,
            wake,
            listed: watch::Sender::new(0),
        }
    }

    /// The pods of a cluster.
    #[must_use]
    pub fn pods(&self, namespace: &str, cluster: &str) -> Vec<Pod> {
        self.pods.of(namespace, cluster)
    }

    /// The StatefulSets of a cluster.
    #[must_use]
    pub fn stateful_sets(&self, namespace: &str, cluster: &str) -> Vec<StatefulSet> {
        self.stateful_sets.of(namespace, cluster)
    }

    /// The claims of a cluster.
    #[must_use]
    pub fn claims(&self, namespace: &str, cluster: &str) -> Vec<PersistentVolumeClaim> {
        self.claims.of(namespace, cluster)
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        self.nodes.of("", "")
    }

    /// The clusters that refer to a registry, in order.
    #[must_use]
    pub fn referrers(&self, namespace: &str, registry: &str) -> Vec<Reference> {
        self.referrers.of(namespace, registry)
    }

    /// Follows all of it, for ever; tells `ready` when every list has come once.
    pub async fn follow(&self, client: &Client, scope: &Scope, ready: watch::Sender<bool>) {
        let mut watches: Vec<BoxFuture<'_, ()>> = Vec::new();
        let nodes = Api::<Node>::all(client.clone());
        let kept = |node| Told::keeping(&slim::node(node));
        watches.push(Box::pin(self.watch(nodes, everything(), kept, |change| {
            self.nodes.change(None, change);
        })));
        for part in scope.parts() {
            watches.push(self.tabled(client, part.clone(), &self.pods, slim::pod));
            watches.push(self.tabled(client, part.clone(), &self.claims, slim::claim));
            let at = part.clone();
            let sets = api(client, part.as_deref());
            let kept = |set| Told::keeping(&slim::stateful_set(set));
            watches.push(Box::pin(self.watch(sets, ours(), kept, move |change| {
                let _noted = self.note::<StatefulSet, _>(at.as_deref(), &change);
                self.wake_all(self.stateful_sets.change(at.as_deref(), change));
            })));
            watches.push(self.stamps::<ConfigMap>(client, part.clone()));
            watches.push(self.stamps::<Service>(client, part.clone()));
            watches.push(self.stamps::<ServiceAccount>(client, part.clone()));
            watches.push(self.stamps::<NetworkPolicy>(client, part.clone()));
            watches.push(self.stamps::<PodDisruptionBudget>(client, part.clone()));
            watches.push(self.stamps::<Ingress>(client, part.clone()));
            watches.push(self.extension::<HttpRoute>(client, part.clone()));
            watches.push(self.referring::<DrmCluster>(client, part.clone()));
            watches.push(self.referring::<SchedulerCluster>(client, part.clone()));
        }
        let lists = watches.len();
        let all_listed = async {
            let mut listed = self.listed.subscribe();
            // The sender is our own: it cannot go first.
            let _all = listed.wait_for(|n| *n >= lists).await;
            ready.send_replace(true);
        };
        futures::future::join(join_all(watches), all_listed).await;
    }

    /// Follows a kind of which something is kept.
    fn tabled<'a, K>(
        &'a self,
        client: &Client,
        namespace: Option<String>,
        table: &'a Table<K>,
        slim: fn(K) -> K,
    ) -> BoxFuture<'a, ()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Serialize
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        let objects = api(client, namespace.as_deref());
        let kept = move |object| Told::keeping(&slim(object));
        Box::pin(self.watch(objects, ours(), kept, move |change| {
            self.wake_all(table.change(namespace.as_deref(), change));
        }))
    }

    /// Follows the metadata of a kind.
    fn stamps<'a, K>(&'a self, client: &Client, namespace: Option<String>) -> BoxFuture<'a, ()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Send + 'static,
    {
        Box::pin(self.follow_stamps::<K>(client.clone(), namespace, true))
    }

    async fn follow_stamps<K>(&self, client: Client, namespace: Option<String>, counts: bool)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Send + 'static,
    {
        let metas: Api<PartialObjectMeta<K>> = api(&client, namespace.as_deref());
        let note = |change| self.wake_all(self.note::<K, _>(namespace.as_deref(), &change));
        self.watch_counted(metas, ours(), |meta| Told::of(&meta), counts, note).await;
    }

    /// Follows the metadata of a kind that not every cluster has, from when this one has it.
    fn extension<'a, K>(&'a self, client: &Client, namespace: Option<String>) -> BoxFuture<'a, ()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Send + 'static,
    {
        let client = client.clone();
        Box::pin(async move {
            // Nobody waits for its list: when it comes, what nobody wants any more is taken away.
            self.listed.send_modify(|n| *n += 1);
            while let Some(pace) = until_served::<K>(&client).await {
                tokio::time::sleep(pace).await;
            }
            self.follow_stamps::<K>(client, namespace, false).await;
        })
    }

    /// Follows whom clusters of a kind refer to.
    fn referring<'a, K>(&'a self, client: &Client, namespace: Option<String>) -> BoxFuture<'a, ()>
    where
        K: Refers
            + Resource<Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        let objects: Api<K> = api(client, namespace.as_deref());
        Box::pin(self.watch(objects, everything(), std::convert::identity, move |change| {
            let registries: Vec<Registry> = match change {
                Change::All(all) => self.referrers.only(namespace.as_deref(), &all),
                Change::One(object) => self.referrers.note(&object),
                Change::Gone(object) => self.referrers.forget(&object),
            };
            for (namespace, cluster) in registries {
                let software = REGISTRY_APP.to_owned();
                // Nobody listens any more when the operator stops.
                let _sent = self.wake.send(Woken { software, namespace, cluster });
            }
        }))
    }

    /// Follows one kind, and counts its first list.
    async fn watch<K, T>(
        &self,
        api: Api<K>,
        config: watcher::Config,
        slim: impl Fn(K) -> T,
        tell: impl FnMut(Change<T>),
    ) where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        self.watch_counted(api, config, slim, true, tell).await;
    }

    /// Follows one kind; whether its first list is one of those that are waited for is `counts`.
    async fn watch_counted<K, T>(
        &self,
        api: Api<K>,
        config: watcher::Config,
        slim: impl Fn(K) -> T,
        counts: bool,
        mut tell: impl FnMut(Change<T>),
    ) where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        let mut list = Vec::new();
        let mut first = counts;
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => list.clear(),
                Ok(watcher::Event::InitApply(object)) => list.push(slim(object)),
                Ok(watcher::Event::InitDone) => {
                    tell(Change::All(std::mem::take(&mut list)));
                    if std::mem::take(&mut first) {
                        self.listed.send_modify(|n| *n += 1);
                    }
                }
                Ok(watcher::Event::Apply(object)) => tell(Change::One(slim(object))),
                Ok(watcher::Event::Delete(object)) => tell(Change::Gone(slim(object))),
                Err(error) => {
                    tracing::debug!(kind = %K::kind(&()), %error, "a watch broke off, it begins anew");
                }
            }
        }
    }

    /// Notes the stamps of these objects; gives back whose objects are no longer as they were.
    fn note<K: Resource<DynamicType = ()>, T>(
        &self,
        namespace: Option<&str>,
        change: &Change<Told<T>>,
    ) -> Vec<Woken> {
        let kind = K::kind(&()).into_owned();
        let key = |object: &Told<T>| ChildKey {
            kind: kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        };
        let noted = |object: &Told<T>| {
            self.ledger.seen(key(object), object.seen.clone()).then(|| object.woken()).flatten()
        };
        match change {
            Change::All(objects) => {
                let there: HashSet<ChildKey> = objects.iter().map(key).collect();
                self.ledger.only(&kind, namespace, &there);
                objects.iter().filter_map(noted).collect()
            }
            Change::One(object) => noted(object).into_iter().collect(),
            Change::Gone(object) => {
                self.ledger.gone(&key(object));
                object.woken().into_iter().collect()
            }
        }
    }

    fn wake_all(&self, changed: Vec<Woken>) {
        for woken in changed {
            // Nobody listens any more when the operator stops.
            let _sent = self.wake.send(woken);
        }
    }
}
