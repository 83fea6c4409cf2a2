//! What a `RegistryCluster` has of its own.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;

use super::ask_registry::{ask_all, ask_group, ask_sites, first_start};
use super::classes;
use super::context::Context;
use super::gather::{self, annotations};
use super::kind::{Kind, Planned, Referred};
use crate::api::objects::ADMISSION_GATE;
use crate::api::v1alpha1::{
    ClusterStatus, MembershipKind, RegistryCluster, RegistryClusterSpec, RegistrySite, Role,
};
use crate::build::{Build, role_name};
use crate::effects::Recorded;
use crate::kube_io::{KubeError, Reference};
use crate::observe::{Genesis, Kubernetes, Listed, RegistryWorld, read_genesis, read_raft_group};
use crate::plan::{Decision, Memory, RegistryInput, RegistryTarget, Report, plan_registry, registry_target};
use crate::status::{RegistryView, registry_status};
use crate::types::{ImageName, Moment};
use crate::validate::{
    ClusterKind, Context as Against, Environment, Identity, Invalid, Previous, Product, ReferenceFact,
    References, Referrer, ValidRegistry, may_refer, validate_registry,
};

/// The kind `RegistryCluster`.
pub(super) struct Registry;

impl Kind for Registry {
    type Object = RegistryCluster;
    type Spec = RegistryClusterSpec;
    type Valid = ValidRegistry;
    /// The record of the first start.
    type Known = Option<ConfigMap>;
    type Target = RegistryTarget;
    type World = RegistryWorld;

    const KIND: ClusterKind = ClusterKind::Registry;
    const PRODUCTS: &'static [Product] = &[Product::Registry];

    async fn refer(
        context: &Context,
        identity: &Identity,
        object: &Value,
        spec: &RegistryClusterSpec,
        listed: &Listed,
    ) -> Result<Referred<Self>, KubeError> {
        // Members that are rows of a database begin without a record.
        let record = match spec.membership_kind() {
            Some(MembershipKind::Database) => None,
            _ => first_start(context, identity).await?,
        };
        let mut references = References::default();
        if let Some(database) = &spec.database {
            references.database =
                gather::secret(context, &identity.namespace, database.secret_ref.name.as_str()).await?;
        }
        let environment = Environment {
            operator_namespace: context.settings.namespace.clone(),
            raft_group: read_raft_group(record.as_ref()),
            referrers: referrers(context, identity, object),
        };
        let previous = previous(&identity.name, listed);
        if previous.membership.is_none() {
            references.absent_classes = classes::absent(context, spec).await;
        }
        Ok(Referred { references, environment, previous, known: record })
    }

    fn validate(spec: &RegistryClusterSpec, against: &Against<'_>) -> Result<ValidRegistry, Vec<Invalid>> {
        validate_registry(spec, against)
    }

    fn world(kubernetes: Kubernetes, record: &Option<ConfigMap>) -> RegistryWorld {
        RegistryWorld { kubernetes, genesis: read_genesis(record.as_ref()), ..RegistryWorld::default() }
    }

    async fn ask(
        context: &Context,
        own: &Recorded,
        valid: &ValidRegistry,
        _: &Option<ConfigMap>,
        world: &mut RegistryWorld,
    ) {
        ask_all(context, valid, world).await;
        ask_sites(context, valid, world).await;
        ask_group(context, valid, &own.status, world).await;
    }

    fn target(valid: &ValidRegistry, at: Moment, wait: bool) -> RegistryTarget {
        let mut target = registry_target(valid, &valid.targets(), at);
        target.paused |= wait;
        target
    }

    fn decide(
        own: &Recorded,
        target: &RegistryTarget,
        world: &RegistryWorld,
        memory: &Memory,
        at: Moment,
    ) -> Decision {
        plan_registry(&RegistryInput {
            now: at,
            generation: own.generation,
            deleting: own.deleting,
            target,
            world,
            memory,
            planted: None,
        })
    }

    fn status(
        planned: &Planned<Self>,
        report: &Report,
        memory: &Memory,
        old: &ClusterStatus,
    ) -> ClusterStatus {
        let view = RegistryView { target: &planned.target, world: &planned.world };
        registry_status(&planned.subject(), &view, report, memory, old)
    }

    fn kubernetes(world: &RegistryWorld) -> &Kubernetes {
        &world.kubernetes
    }

    fn is_beginning(world: &RegistryWorld) -> bool {
        matches!(world.genesis, Genesis::Begun { .. })
    }

    fn raft_group(valid: &ValidRegistry) -> Option<&str> {
        Some(&valid.raft_group)
    }

    fn sites(valid: &ValidRegistry) -> &[RegistrySite] {
        &valid.remote_sites
    }
}

/// Who refers to it and may.
fn referrers(context: &Context, identity: &Identity, object: &Value) -> Vec<Referrer> {
    let annotations = annotations(object);
    let may = |reference: &Reference| {
        may_refer(&annotations, &identity.namespace, &reference.namespace) == ReferenceFact::Found
    };
    let of = |reference: Reference| {
        let kinds = [ClusterKind::Drm, ClusterKind::Scheduler];
        let kind = kinds.into_iter().find(|kind| kind.kind() == reference.kind)?;
        Some(Referrer { kind, namespace: reference.namespace, name: reference.name })
    };
    let all = context.children.referrers(&identity.namespace, &identity.name);
    all.into_iter().filter(may).filter_map(of).collect()
}

/// What runs, by the StatefulSets: metas with a gate are raft metas, and the lowest version is that of the oldest image.
fn previous(cluster: &str, listed: &Listed) -> Previous {
    let set = |role| {
        let wanted = role_name(cluster, role);
        listed.stateful_sets.iter().find(move |s| s.metadata.name.as_deref() == Some(&wanted))
    };
    let template = |role| set(role).and_then(|s| s.spec.as_ref()?.template.spec.as_ref());
    let gated = template(Role::Meta)
        .map(|pod| pod.scheduling_gates.iter().flatten().any(|gate| gate.name == ADMISSION_GATE));
    let images = [Role::Meta, Role::Data, Role::Session].into_iter().filter_map(|role| {
        let image: ImageName = template(role)?.containers.first()?.image.as_deref()?.parse().ok()?;
        image.as_str().rsplit_once(':')?.1.parse().ok()
    });
    Previous {
        version: images.min(),
        membership: gated
            .map(|gated| if gated { MembershipKind::RaftByAddress } else { MembershipKind::Database })
            .filter(|_| set(Role::Meta).is_some()),
    }
}
