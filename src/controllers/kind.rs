//! What each kind of cluster has of its own; everything else of a reconcile is shared.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::Context;
use super::ports::KubePorts;
use crate::api::v1alpha1::{ClusterStatus, RegistrySite};
use crate::build::{Build, VolumeGrowth};
use crate::effects::{Failure, Recorded};
use crate::kube_io::KubeError;
use crate::observe::{Kubernetes, Listed, Member};
use crate::plan::{Decision, Memory, Report};
use crate::types::Moment;
use crate::validate::{
    ClusterKind, Context as Against, Environment, Identity, Invalid, Previous, Product, References,
};

/// What a spec refers to, and what else is known before it is checked.
pub(super) struct Referred<K: Kind> {
    pub(super) references: References,
    pub(super) environment: Environment,
    pub(super) previous: Previous,
    pub(super) known: K::Known,
}

/// A cluster whose spec can be planned for, and what was decided.
pub(super) struct Planned<K: Kind> {
    pub(super) own: Recorded,
    pub(super) valid: K::Valid,
    pub(super) known: K::Known,
    pub(super) target: K::Target,
    pub(super) world: K::World,
    pub(super) decision: Decision,
    pub(super) growth: Vec<VolumeGrowth>,
    pub(super) at: Moment,
}

/// One kind of cluster.
pub(super) trait Kind: Sized + Send + Sync + 'static {
    /// Its custom resource.
    type Object: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static;
    /// Its spec.
    type Spec: DeserializeOwned + Send + Sync;
    /// The spec, checked.
    type Valid: Build + Send + Sync;
    /// What is read before the spec is checked, and is needed later.
    type Known: Send + Sync;
    /// What is wanted.
    type Target: Send + Sync;
    /// What is observed.
    type World: Send + Sync;

    /// Which kind it is.
    const KIND: ClusterKind;
    /// The software that clusters of this kind run.
    const PRODUCTS: &'static [Product];

    /// Reads what the spec refers to.
    fn refer(
        context: &Context,
        identity: &Identity,
        object: &Value,
        spec: &Self::Spec,
        listed: &Listed,
    ) -> impl Future<Output = Result<Referred<Self>, KubeError>> + Send;

    /// Checks the spec.
    fn validate(spec: &Self::Spec, against: &Against<'_>) -> Result<Self::Valid, Vec<Invalid>>;

    /// What is known before a server is asked.
    fn world(kubernetes: Kubernetes, known: &Self::Known) -> Self::World;

    /// Asks the servers, and whom else it needs.
    fn ask(
        context: &Context,
        own: &Recorded,
        valid: &Self::Valid,
        known: &Self::Known,
        world: &mut Self::World,
    ) -> impl Future<Output = ()> + Send;

    /// What is wanted. `wait`: no change is made now.
    fn target(valid: &Self::Valid, at: Moment, wait: bool) -> Self::Target;

    /// Decides.
    fn decide(
        own: &Recorded,
        target: &Self::Target,
        world: &Self::World,
        memory: &Memory,
        at: Moment,
    ) -> Decision;

    /// The status that follows.
    fn status(
        planned: &Planned<Self>,
        report: &Report,
        memory: &Memory,
        old: &ClusterStatus,
    ) -> ClusterStatus;

    /// What Kubernetes says.
    fn kubernetes(world: &Self::World) -> &Kubernetes;

    /// Whether a first start has begun that is written down and not over.
    fn is_beginning(_: &Self::World) -> bool {
        false
    }

    /// The raft group that is kept with the record of the first start.
    fn raft_group(_: &Self::Valid) -> Option<&str> {
        None
    }

    /// Its other sites.
    fn sites(_: &Self::Valid) -> &[RegistrySite] {
        &[]
    }

    /// Tells a scheduler of the workers of these apps.
    fn pre_register(
        _: &KubePorts<'_, Self>,
        _: Member,
        _: Member,
        _: &BTreeSet<u64>,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Err(no_scheduler()) }
    }

    /// Makes another scheduler the owner of these apps.
    fn move_apps(
        _: &KubePorts<'_, Self>,
        _: Member,
        _: Member,
        _: &BTreeSet<u64>,
    ) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Err(no_scheduler()) }
    }

    /// Runs instances again that were lost since then.
    fn retry_lost(_: &KubePorts<'_, Self>, _: Moment) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Err(no_scheduler()) }
    }
}

fn no_scheduler() -> Failure {
    Failure::Refused("this kind of cluster has no apps".to_owned())
}
