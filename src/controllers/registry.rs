//! A `RegistryCluster` from its object to a decision.

use std::collections::BTreeMap;

use serde_json::Value;

use super::clock::now;
use super::context::Context;
use super::gather::{self, Source};
use crate::api::objects::ADMISSION_GATE;
use crate::api::v1alpha1::{MembershipKind, Reason, RegistryClusterSpec, Role};
use crate::build::{Build, ObservedVolumes, VolumeGrowth, role_name, volume_growth};
use crate::effects::Recorded;
use crate::kube_io::KubeError;
use crate::observe::{Listed, RegistryWorld, read_genesis, read_kubernetes, read_raft_group};
use crate::plan::{Decision, RegistryInput, RegistryTarget, plan_registry, registry_target};
use crate::status::memory_of;
use crate::types::{Bytes, ImageName, Moment};
use crate::validate::{
    ClusterKind, Context as Against, Environment, Identity, Invalid, Previous, References, ValidRegistry,
    validate_registry,
};

/// A cluster whose spec can be planned for, and what was decided.
pub(super) struct Planned {
    pub(super) own: Recorded,
    pub(super) valid: ValidRegistry,
    pub(super) target: RegistryTarget,
    pub(super) world: RegistryWorld,
    pub(super) decision: Decision,
    pub(super) growth: Vec<VolumeGrowth>,
    pub(super) at: Moment,
}

/// What came of reading an object.
pub(super) enum Looked {
    /// Its spec is wrong.
    Invalid(Vec<Invalid>),
    /// Nothing of it runs yet, and something that its spec refers to is not there.
    Missing(Box<ValidRegistry>),
    /// It can be planned for.
    Planned(Box<Planned>),
}

/// Reads all that concerns a cluster, and decides.
pub(super) async fn look(context: &Context, object: &Value, source: Source) -> Result<Looked, KubeError> {
    let at = now();
    let own = Recorded::of(object);
    let identity = identity(object, &own);
    let spec = match serde_json::from_value::<RegistryClusterSpec>(
        object.get("spec").cloned().unwrap_or_default(),
    ) {
        Ok(spec) => spec,
        Err(error) => {
            let message = format!("the spec cannot be read: {error}: correct it");
            return Ok(Looked::Invalid(vec![Invalid {
                field: String::new(),
                message,
                reason: Reason::InvalidSpec,
            }]));
        }
    };
    let (listed, record) = futures::try_join!(
        gather::listed(context, &identity.namespace, &identity.name, source),
        gather::first_start(context, &identity.namespace, &identity.name),
    )?;
    let mut references = References::default();
    if let Some(database) = &spec.database {
        references.database =
            gather::secret(context, &identity.namespace, database.secret_ref.name.as_str()).await;
    }
    let against = Against {
        identity: &identity,
        references: &references,
        environment: &Environment {
            operator_namespace: context.settings.namespace.clone(),
            raft_group: read_raft_group(record.as_ref()),
            referrers: Vec::new(),
        },
        previous: &previous(&identity.name, &listed),
    };
    let valid = match validate_registry(&spec, &against) {
        Ok(valid) => valid,
        Err(problems) => return Ok(Looked::Invalid(problems)),
    };
    let mut world = RegistryWorld {
        kubernetes: read_kubernetes(&identity.name, &listed, at),
        genesis: read_genesis(record.as_ref()),
        ..RegistryWorld::default()
    };
    let is_missing_something = !valid.common.waiting.is_empty();
    if is_missing_something && world.kubernetes.workloads.is_empty() && !own.deleting {
        return Ok(Looked::Missing(Box::new(valid)));
    }
    let world_ref = &mut world;
    gather::ask_all(context, &valid, world_ref).await;
    gather::ask_sites(context, &valid, world_ref).await;
    gather::ask_group(context, &valid, &own.status, world_ref).await;
    Ok(Looked::Planned(Box::new(decide(own, valid, world, &listed))))
}

fn decide(own: Recorded, valid: ValidRegistry, world: RegistryWorld, listed: &Listed) -> Planned {
    let at = now();
    let mut target = registry_target(&valid, &valid.targets(), at);
    // What runs goes on to be looked after; no change is made while something that it needs is not there.
    target.paused |= !valid.common.waiting.is_empty();
    let memory = memory_of(&valid.common.identity.name, &own.status);
    let decision = plan_registry(&RegistryInput {
        now: at,
        generation: own.generation,
        deleting: own.deleting,
        target: &target,
        world: &world,
        memory: &memory,
        planted: None,
    });
    let growth = volume_growth(&valid, &volumes(listed));
    Planned { own, valid, target, world, decision, growth, at }
}

fn identity(object: &Value, own: &Recorded) -> Identity {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    Identity {
        kind: ClusterKind::Registry,
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        uid: own.uid.clone(),
    }
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

/// The sizes of the volumes as they are.
fn volumes(listed: &Listed) -> ObservedVolumes {
    let size = |claim: &k8s_openapi::api::core::v1::PersistentVolumeClaim| -> Option<Bytes> {
        let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
        requests.get("storage")?.0.parse().ok()
    };
    let claims = listed.claims.iter().filter_map(|c| Some((c.metadata.name.clone()?, size(c)?)));
    let template = |set: &k8s_openapi::api::apps::v1::StatefulSet| -> Option<(Role, Bytes)> {
        let name = set.metadata.name.as_deref()?;
        let role = Role::ALL.into_iter().find(|role| name.ends_with(&format!("-{}", role.field())))?;
        Some((role, size(set.spec.as_ref()?.volume_claim_templates.as_ref()?.first()?)?))
    };
    let templates: BTreeMap<Role, Bytes> = listed.stateful_sets.iter().filter_map(template).collect();
    ObservedVolumes { claims: claims.collect(), templates }
}
