//! What a `SchedulerCluster` has of its own.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use futures::future::{join_all, join3};
use serde_json::Value;

use super::ask_powerjob::{Asked, ask_apps, move_apps, powerjob, pre_register, retry_lost};
use super::ask_service::{
    Known, answers, askable, by_readiness, counts, get, inside, login, needs, ports, registry, sockets,
};
use super::clock::now;
use super::context::Context;
use super::kind::{Kind, Planned, Referred};
use super::ports::KubePorts;
use super::service;
use crate::admin::scheduler::antscheduler::unreported;
use crate::api::v1alpha1::{ClusterStatus, Engine, Role, SchedulerCluster, SchedulerClusterSpec};
use crate::build::Build;
use crate::effects::{Failure, Recorded};
use crate::kube_io::KubeError;
use crate::observe::{Fact, Kubernetes, Listed, Member, Pod, ServerView, ServiceWorld, Unknown, port_view};
use crate::plan::{Decision, Memory, Report, ServiceTarget, scheduler_target};
use crate::types::Moment;
use crate::validate::{
    ClusterKind, Context as Against, Environment, Identity, Invalid, Previous, Product, References,
    ValidScheduler, validate_scheduler,
};

/// The kind `SchedulerCluster`.
pub(super) struct Schedulers;

impl Kind for Schedulers {
    type Object = SchedulerCluster;
    type Spec = SchedulerClusterSpec;
    type Valid = ValidScheduler;
    type Known = Known;
    type Target = ServiceTarget;
    type World = ServiceWorld;

    const KIND: ClusterKind = ClusterKind::Scheduler;
    const PRODUCTS: &'static [Product] = &[Product::AntScheduler, Product::PowerJob];

    async fn refer(
        context: &Context,
        identity: &Identity,
        _: &Value,
        spec: &SchedulerClusterSpec,
        _: &Listed,
    ) -> Result<Referred<Self>, KubeError> {
        let mut references = References::default();
        let mut known = Known { registry: None, login: None, operator: None };
        let namespace = &identity.namespace;
        if let Some(database) = &spec.database {
            (references.database, known.login) =
                login(context, namespace, database, &database.secret_ref).await?;
            let own = spec.powerjob.as_ref().and_then(|p| p.database_secret_ref.as_ref());
            if let Some(secret) = own {
                (references.operator_login, known.operator) =
                    login(context, namespace, database, secret).await?;
            }
        }
        if let Some(reference) = &spec.registry_ref {
            (references.registry, known.registry) = registry(context, identity, reference).await?;
        }
        let environment =
            Environment { operator_namespace: context.settings.namespace.clone(), ..Environment::default() };
        Ok(Referred { references, environment, previous: Previous::default(), known })
    }

    fn validate(spec: &SchedulerClusterSpec, against: &Against<'_>) -> Result<ValidScheduler, Vec<Invalid>> {
        validate_scheduler(spec, against)
    }

    fn world(kubernetes: Kubernetes, _: &Known) -> ServiceWorld {
        ServiceWorld { kubernetes, ..ServiceWorld::default() }
    }

    async fn ask(
        context: &Context,
        own: &Recorded,
        valid: &ValidScheduler,
        known: &Known,
        world: &mut ServiceWorld,
    ) {
        let servers = askable(&world.kubernetes);
        let needs = needs(context, &valid.common.identity.namespace, known, &valid.dependencies);
        if valid.engine == Engine::PowerJob {
            let wanted = valid.targets();
            let asked = servers.iter().map(|(member, pod, address)| {
                let is_new = wanted.get(&member.role) == Some(&pod.revision);
                powerjob(context, valid, *member, *address, is_new)
            });
            let at = now();
            let rows = ask_apps(context, own, valid, known);
            let (asked, needs, rows) = join3(join_all(asked), needs, rows).await;
            let asked = Asked { servers: asked, at };
            world.servers = asked.views();
            world.apps_fault = rows.as_ref().and_then(|rows| rows.as_ref().err()).map(ToString::to_string);
            world.apps = rows.map(|rows| asked.apps(valid, rows));
            world.needs = needs;
            return;
        }
        let asked = servers.iter().map(|(member, pod, address)| async move {
            (*member, view(context, valid, *member, pod, *address).await)
        });
        let tasks =
            join_all(servers.iter().map(|(member, _, address)| tasks(context, valid, *member, *address)));
        let (servers, needs, tasks) = join3(join_all(asked), needs, tasks).await;
        world.servers = servers.into_iter().collect();
        world.tasks = tasks.into_iter().flatten().collect();
        world.needs = needs;
    }

    fn target(valid: &ValidScheduler, at: Moment, wait: bool) -> ServiceTarget {
        let mut target = scheduler_target(valid, &valid.targets(), at);
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

    async fn pre_register(
        ports: &KubePorts<'_, Self>,
        from: Member,
        to: Member,
        apps: &BTreeSet<u64>,
    ) -> Result<(), Failure> {
        pre_register(ports, from, to, apps).await
    }

    async fn move_apps(
        ports: &KubePorts<'_, Self>,
        from: Member,
        to: Member,
        apps: &BTreeSet<u64>,
    ) -> Result<(), Failure> {
        move_apps(ports, from, to, apps).await
    }

    async fn retry_lost(ports: &KubePorts<'_, Self>, since: Moment) -> Result<(), Failure> {
        retry_lost(ports, since).await
    }
}

/// Tasks of one server that were triggered and not reported, where they are asked for.
async fn tasks(
    context: &Context,
    valid: &ValidScheduler,
    member: Member,
    address: Ipv4Addr,
) -> Option<(Member, Fact<u64>)> {
    let path = valid.task_gate.as_deref().filter(|_| member.role == Role::Server)?;
    let at = now();
    let answer = get(context, valid, member, address, path, &[]).await;
    let told = answer.and_then(|answer| unreported(&answer).map_err(|_| Unknown::Unreadable));
    Some((member, told.map_or_else(|why| Fact::unknown(why, at), |count| Fact::known(count, at))))
}

/// How one server of `AntScheduler` is, or its console.
async fn view(
    context: &Context,
    valid: &ValidScheduler,
    member: Member,
    pod: &Pod,
    address: Ipv4Addr,
) -> Fact<ServerView> {
    let at = now();
    let answer = answers(context, valid, member, address).await;
    if member.role == Role::Console || !counts(valid.connection_counting) {
        return if answer.is_ok() { port_view(answer, None, at) } else { by_readiness(pod, at) };
    }
    let told = inside(context, valid, member, None).await;
    let open = ports(valid, member.role);
    let seen = told.sockets.as_deref().map(|text| sockets(valid, member, text, &open));
    port_view(answer, seen.as_ref(), at)
}
