//! What a `DrmCluster` has of its own.

use std::net::Ipv4Addr;

use futures::future::join_all;
use serde_json::Value;

use super::ask_service::{
    Known, answers, askable, by_readiness, counts, inside, login, needs, ports, registry, sockets,
};
use super::clock::now;
use super::context::Context;
use super::gather::port;
use super::kind::{Kind, Planned, Referred};
use super::service;
use crate::api::v1alpha1::{ClusterStatus, DrmCluster, DrmClusterSpec, Role};
use crate::build::Build;
use crate::effects::Recorded;
use crate::kube_io::KubeError;
use crate::observe::{
    Fact, Kubernetes, Listed, Member, Pod, ServerView, ServiceWorld, Unknown, drmdata_view, port_view,
};
use crate::plan::{Decision, Memory, Report, ServiceTarget, drm_target};
use crate::types::Moment;
use crate::validate::{
    ClusterKind, Context as Against, Environment, Identity, Invalid, Previous, Product, References, ValidDrm,
    validate_drm,
};

/// The kind `DrmCluster`.
pub(super) struct Drm;

impl Kind for Drm {
    type Object = DrmCluster;
    type Spec = DrmClusterSpec;
    type Valid = ValidDrm;
    type Known = Known;
    type Target = ServiceTarget;
    type World = ServiceWorld;

    const KIND: ClusterKind = ClusterKind::Drm;
    const PRODUCTS: &'static [Product] = &[Product::Drm];

    async fn refer(
        context: &Context,
        identity: &Identity,
        _: &Value,
        spec: &DrmClusterSpec,
        _: &Listed,
    ) -> Result<Referred<Self>, KubeError> {
        let database = &spec.database;
        let (fact, login) = login(context, &identity.namespace, database, &database.secret_ref).await?;
        let (reference, registry) = registry(context, identity, &spec.registry_ref).await?;
        Ok(Referred {
            references: References { database: fact, registry: reference, ..References::default() },
            environment: Environment {
                operator_namespace: context.settings.namespace.clone(),
                ..Environment::default()
            },
            previous: Previous::default(),
            known: Known { registry, login, operator: None },
        })
    }

    fn validate(spec: &DrmClusterSpec, against: &Against<'_>) -> Result<ValidDrm, Vec<Invalid>> {
        validate_drm(spec, against)
    }

    fn world(kubernetes: Kubernetes, _: &Known) -> ServiceWorld {
        ServiceWorld { kubernetes, ..ServiceWorld::default() }
    }

    async fn ask(context: &Context, _: &Recorded, valid: &ValidDrm, known: &Known, world: &mut ServiceWorld) {
        let servers = askable(&world.kubernetes);
        let asked = servers.iter().map(|(member, pod, address)| async move {
            (*member, view(context, valid, *member, pod, *address).await)
        });
        let needs = needs(context, &valid.common.identity.namespace, known, &valid.dependencies);
        let (servers, needs) = futures::future::join(join_all(asked), needs).await;
        world.servers = servers.into_iter().collect();
        world.needs = needs;
    }

    fn target(valid: &ValidDrm, at: Moment, wait: bool) -> ServiceTarget {
        let mut target = drm_target(valid, &valid.targets(), at);
        target.paused |= wait;
        target
    }

    fn decide(
        own: &Recorded,
        target: &ServiceTarget,
        world: &ServiceWorld,
        memory: &Memory,
        now: Moment,
    ) -> Decision {
        service::decide(own, target, world, memory, now)
    }

    fn status(
        planned: &Planned<Self>,
        report: &Report,
        memory: &Memory,
        old: &ClusterStatus,
    ) -> ClusterStatus {
        service::status(planned, report, memory, old)
    }

    fn kubernetes(world: &ServiceWorld) -> &Kubernetes {
        &world.kubernetes
    }
}

/// How one server is.
async fn view(
    context: &Context,
    valid: &ValidDrm,
    member: Member,
    pod: &Pod,
    address: Ipv4Addr,
) -> Fact<ServerView> {
    let at = now();
    if member.role == Role::Console {
        return port_view(answers(context, valid, member, address).await, None, at);
    }
    if !counts(valid.connection_counting) {
        return by_readiness(pod, at);
    }
    let told = inside(context, valid, member, Some(port(valid, member.role, "health"))).await;
    if told.health == Err(Unknown::NotAsked) {
        return by_readiness(pod, at);
    }
    let open = ports(valid, member.role);
    let seen = told.sockets.as_deref().map(|text| sockets(valid, member, text, &open));
    drmdata_view(told.health.as_deref().map_err(|why| *why), seen.as_ref(), at)
}
