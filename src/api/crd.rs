//! The CRDs, made from the types and written as YAML.
//!
//! What `kube` makes is tidied here once, for all kinds: nothing that the API server or a `GitOps` tool would see
//! differently after it was applied.
//!
//! May import `types` and the versions of the API.

use kube::CustomResourceExt;
use schemars::Schema;
use serde_json::{Map, Value, json};

use super::v1alpha1::{CelRule, DrmCluster, PushGroup, RegistryCluster, SchedulerCluster, name_rule};

/// A CRD as it is applied, and the file that holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Crd {
    /// The plural with the group, which is its name in Kubernetes.
    pub name: String,
    /// The file in `crds/`.
    pub file: String,
    /// The object.
    pub object: Value,
}

/// Why the CRDs cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// A type cannot be written as a schema.
    #[error("the CRD of {kind} cannot be made")]
    Json {
        /// The kind.
        kind: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A CRD cannot be written as YAML.
    #[error("the CRD {name} cannot be written as YAML")]
    Yaml {
        /// The CRD.
        name: String,
        /// Why.
        #[source]
        source: serde_yaml::Error,
    },
}

/// All CRDs, in the order of their names.
///
/// # Errors
/// If a type cannot be written as JSON, which a test excludes.
pub fn all() -> Result<Vec<Crd>, CrdError> {
    Ok(vec![
        crd::<DrmCluster>("DrmCluster", &[name_rule()])?,
        crd::<PushGroup>("PushGroup", &[])?,
        crd::<RegistryCluster>("RegistryCluster", &[name_rule()])?,
        crd::<SchedulerCluster>("SchedulerCluster", &[name_rule()])?,
    ])
}

fn crd<K: CustomResourceExt>(kind: &'static str, rules: &[CelRule]) -> Result<Crd, CrdError> {
    let mut object = serde_json::to_value(K::crd()).map_err(|source| CrdError::Json { kind, source })?;
    // What the API server would add by itself.
    if let Some(spec) = object.pointer_mut("/spec").and_then(Value::as_object_mut) {
        spec.insert("conversion".into(), json!({"strategy": "None"}));
        if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
            names.insert("listKind".into(), json!(format!("{kind}List")));
        }
    }
    if let Some(versions) = object.pointer_mut("/spec/versions").and_then(Value::as_array_mut) {
        for version in versions {
            if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
                tidy(schema);
                put_rules(schema, rules);
            }
        }
    }
    let name = K::crd_name().to_owned();
    let plural = name.split('.').next().unwrap_or(&name);
    Ok(Crd { file: format!("{plural}.yaml"), object, name })
}

impl Crd {
    /// The text of its file.
    ///
    /// # Errors
    /// If it cannot be written as YAML, which a test excludes.
    pub fn to_yaml(&self) -> Result<String, CrdError> {
        let yaml = serde_yaml::to_string(&self.object)
            .map_err(|source| CrdError::Yaml { name: self.name.clone(), source })?;
        Ok(format!("# Made by `make crds` from src/api. Do not edit.\n{yaml}"))
    }
}

/// The root of a schema is no type of ours: its rules are put there.
fn put_rules(schema: &mut Value, rules: &[CelRule]) {
    if rules.is_empty() {
        return;
    }
    if let Ok(root) = <&mut Schema>::try_from(schema) {
        super::v1alpha1::attach(root, rules);
    }
}

/// Formats that Kubernetes knows; of others it warns at every apply.
const FORMATS: [&str; 3] = ["int32", "int64", "date-time"];

/// Takes out of a schema what has no meaning for Kubernetes.
fn tidy(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    tidy_fields(fields);
    for (key, value) in fields.iter_mut() {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(tidy),
            ("items" | "additionalProperties", value) => tidy(value),
            _ => {}
        }
    }
}

fn tidy_fields(fields: &mut Map<String, Value>) {
    // A field is absent by being left out. `null` would be a second way to say so, and be kept: so it is dropped at
    // creation, and refused by server-side apply.
    fields.remove("nullable");
    fields.remove("title");
    if fields.get("format").and_then(Value::as_str).is_some_and(|f| !FORMATS.contains(&f)) {
        fields.remove("format");
    }
    // 1.0 and 1 are one number for the API server and two for a tool that compares text.
    for bound in ["minimum", "maximum"] {
        if let Some(number) = fields.get(bound).and_then(Value::as_f64).and_then(whole) {
            fields.insert(bound.into(), json!(number));
        }
    }
    if let Some(text) = fields.get("description").and_then(Value::as_str) {
        fields.insert("description".into(), json!(unwrap_lines(text)));
    }
}

/// A number that is whole and can be held without loss.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0).then(|| format!("{number:.0}").parse().ok()).flatten()
}

/// Lines of a doc comment joined to sentences; paragraphs stay.
fn unwrap_lines(text: &str) -> String {
    let paragraph = |p: &str| p.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
    text.split("\n\n").map(paragraph).collect::<Vec<_>>().join("\n\n")
}
