//! A cluster of any kind, from its object to a decision.

use std::collections::BTreeMap;

use serde_json::Value;

use super::clock::now;
use super::context::Context;
use super::gather::{self, Source};
use super::kind::{Kind, Planned, Referred};
use crate::api::v1alpha1::{Reason, Role};
use crate::build::{ObservedVolumes, volume_growth};
use crate::effects::Recorded;
use crate::kube_io::KubeError;
use crate::observe::{Listed, read_kubernetes};
use crate::status::memory_of;
use crate::types::Bytes;
use crate::validate::{Context as Against, Identity, Invalid, ValidCluster};

/// What came of reading an object.
pub(super) enum Looked<K: Kind> {
    /// Its spec is wrong.
    Invalid(Vec<Invalid>),
    /// Nothing of it runs yet, and something that its spec refers to is not there.
    Missing(Box<K::Valid>),
    /// It can be planned for.
    Planned(Box<Planned<K>>),
}

/// Reads all that concerns a cluster, and decides.
pub(super) async fn look<K: Kind>(
    context: &Context,
    object: &Value,
    source: Source,
) -> Result<Looked<K>, KubeError> {
    let at = now();
    let own = Recorded::of(object);
    let identity = identity::<K>(object, &own);
    let spec = match serde_json::from_value::<K::Spec>(object.get("spec").cloned().unwrap_or_default()) {
        Ok(spec) => spec,
        Err(error) => {
            let message = format!("the spec cannot be read: {error}: correct it");
            let problem = Invalid { field: String::new(), message, reason: Reason::InvalidSpec };
            return Ok(Looked::Invalid(vec![problem]));
        }
    };
    let listed = gather::listed(context, &identity, K::PRODUCTS, source).await?;
    let Referred { references, environment, previous, known } =
        K::refer(context, &identity, object, &spec, &listed).await?;
    let against = Against {
        identity: &identity,
        references: &references,
        environment: &environment,
        previous: &previous,
    };
    let valid = match K::validate(&spec, &against) {
        Ok(valid) => valid,
        Err(problems) => return Ok(Looked::Invalid(problems)),
    };
    let kubernetes = read_kubernetes(&identity.name, &listed, at);
    let is_missing_something = !valid.common().waiting.is_empty();
    if is_missing_something && kubernetes.workloads.is_empty() && !own.deleting {
        return Ok(Looked::Missing(Box::new(valid)));
    }
    let mut world = K::world(kubernetes, &known);
    K::ask(context, &own, &valid, &known, &mut world).await;
    let at = now();
    // What runs goes on to be looked after; no change is made while something that it needs is not there.
    let target = K::target(&valid, at, is_missing_something);
    let memory = memory_of(&identity.name, &own.status);
    let decision = K::decide(&own, &target, &world, &memory, at);
    let growth = volume_growth(&valid, &volumes(&listed));
    Ok(Looked::Planned(Box::new(Planned { own, valid, known, target, world, decision, growth, at })))
}

fn identity<K: Kind>(object: &Value, own: &Recorded) -> Identity {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    Identity {
        kind: K::KIND,
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        uid: own.uid.clone(),
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
