//! Whether the CRDs that are installed know what this operator writes.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use super::error::KubeError;
use super::objects::{Objects, kind};
use crate::api::crd;
use crate::types::covers;

/// What is wrong with a CRD.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrdFault {
    /// It is not there.
    #[error("the CRD {0} is not there: apply the crds folder of this version, or let the chart do it")]
    Missing(String),
    /// It lacks fields.
    #[error(
        "the CRD {0} is older than this operator: apply the crds folder of this version, or let the chart do it"
    )]
    Outdated(String),
    /// It could not be read.
    #[error("the CRD {0} could not be read: {1}")]
    Unread(String, KubeError),
}

/// Reads the CRDs and compares them with the ones that this operator was made with. All faults at once.
pub async fn check_crds(objects: &Objects) -> Vec<CrdFault> {
    let kind = kind::<CustomResourceDefinition>();
    let mut faults = Vec::new();
    // They cannot fail to be made: a test of the project makes them.
    for wanted in crd::all().unwrap_or_default() {
        match objects.get(&kind, "", &wanted.name).await {
            Ok(Some(present)) if knows(&present, &wanted.object) => {}
            Ok(Some(_)) => faults.push(CrdFault::Outdated(wanted.name)),
            Ok(None) => faults.push(CrdFault::Missing(wanted.name)),
            Err(error) => faults.push(CrdFault::Unread(wanted.name, error)),
        }
    }
    faults
}

/// Whether the schema that is installed has every field of ours. Rules and descriptions may differ: a newer CRD has more.
fn knows(present: &Value, wanted: &Value) -> bool {
    let versions = |object: &Value| object.pointer("/spec/versions").and_then(Value::as_array).cloned();
    let present = versions(present).unwrap_or_default();
    versions(wanted).unwrap_or_default().iter().all(|version| {
        let name = version.get("name");
        let there =
            present.iter().find(|v| v.get("name") == name && v.get("served") == Some(&Value::Bool(true)));
        there.is_some_and(|there| covers(&fields(&there["schema"]), &fields(&version["schema"])))
    })
}

/// The fields of a schema and nothing else of it.
fn fields(schema: &Value) -> Value {
    let below = |key: &str, value: &Value| match key {
        "properties" => Some(Value::Object(
            value
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, inner)| (name.clone(), fields(inner)))
                .collect(),
        )),
        "openAPIV3Schema" | "items" | "additionalProperties" => Some(fields(value)),
        "type" => Some(value.clone()),
        _ => None,
    };
    let Some(map) = schema.as_object() else { return Value::Null };
    Value::Object(map.iter().filter_map(|(key, value)| Some((key.clone(), below(key, value)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crd_knows_itself_and_what_has_fewer_fields() {
        for crd in crd::all().unwrap() {
            assert!(knows(&crd.object, &crd.object), "{}", crd.name);
            let mut older = crd.object.clone();
            let spec =
                older.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties");
            let spec = spec.and_then(Value::as_object_mut).unwrap();
            let first = spec.keys().next().unwrap().clone();
            spec.remove(&first);
            assert!(!knows(&older, &crd.object), "{} without {first}", crd.name);
            assert!(knows(&crd.object, &older), "a newer one does");
        }
    }
}
