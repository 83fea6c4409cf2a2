//! The overlay of a pod template: that it is part of one, and that it touches nothing that the operator owns.
//!
//! May import `api` and `problem`, and the types of Kubernetes.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value};

use super::problem::Notes;
use crate::api::v1alpha1::{GROUP, PodTemplateOverlay, Role};

/// Fields of the spec of a pod that decide which member a pod is and when it starts.
const OWNED_SPEC: [&str; 8] = [
    "activeDeadlineSeconds",
    "ephemeralContainers",
    "hostname",
    "nodeName",
    "restartPolicy",
    "schedulingGates",
    "setHostnameAsFQDN",
    "subdomain",
];
/// Labels by which Services and budgets find their pods.
const OWNED_LABELS: [&str; 4] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/component",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/part-of",
];
/// Variables with which a server is told who it is, and the field that is the place to change them.
const OWNED_ENV: [(&str, &str); 9] = [
    ("META_NODES", "meta.replicas"),
    ("DRMDATA_NODES", "drmdata.replicas"),
    ("DATA_CENTER", "dataCenter"),
    ("REGION", "region"),
    ("RAFT_SERVER_GROUP", "no field, it is fixed at the first start"),
    ("SERVER_ADDRESS", "no field, it is the server's name"),
    ("JDBC_URL", "database"),
    ("JDBC_USERNAME", "database.secretRef"),
    ("JDBC_PASSWORD", "database.secretRef"),
];
/// Lists whose entries are laid over those of the same name.
const NAMED: [&str; 4] = ["containers", "initContainers", "volumes", "imagePullSecrets"];

/// Notes everything that is wrong with an overlay.
pub(super) fn check(overlay: Option<&PodTemplateOverlay>, role: Role, notes: &mut Notes) {
    let Some(PodTemplateOverlay(overlay)) = overlay else { return };
    let mut check = Checker { at: format!("{}.podTemplate", role.field()), role, notes };
    for part in ["metadata", "spec"] {
        match overlay.get(part) {
            Some(Value::Object(fields)) if part == "spec" => check.spec(fields),
            Some(Value::Object(fields)) => check.metadata(fields),
            Some(_) => check.no_map(part),
            None => {}
        }
    }
    check.shape(overlay);
}

struct Checker<'a> {
    /// The field that the overlay is.
    at: String,
    role: Role,
    notes: &'a mut Notes,
}

impl Checker<'_> {
    fn owned(&mut self, path: &str, place: &str) {
        let field = format!("{}.{path}", self.at);
        let message = format!("{field} is the operator's own{place}: remove it");
        self.notes.wrong(field, message);
    }

    fn no_map(&mut self, part: &str) {
        let field = format!("{}.{part}", self.at);
        let message =
            format!("{field} must be a map, as in a StatefulSet's template: write it so, or remove it");
        self.notes.wrong(field, message);
    }

    fn metadata(&mut self, metadata: &Map<String, Value>) {
        for (key, value) in metadata {
            let keys = value.as_object().into_iter().flat_map(Map::keys);
            let owned: Vec<_> = match key.as_str() {
                "labels" => {
                    keys.filter(|k| in_group(k) || OWNED_LABELS.contains(&k.as_str())).cloned().collect()
                }
                "annotations" => keys.filter(|k| in_group(k)).cloned().collect(),
                _ => {
                    self.owned(&format!("metadata.{key}"), "");
                    continue;
                }
            };
            for name in owned {
                self.owned(&format!("metadata.{key}['{name}']"), "");
            }
        }
    }

    fn spec(&mut self, spec: &Map<String, Value>) {
        for key in OWNED_SPEC.iter().filter(|key| spec.contains_key(**key)) {
            self.owned(&format!("spec.{key}"), "");
        }
        for list in NAMED.iter().filter(|list| spec.contains_key(**list)) {
            self.named(&format!("spec.{list}"), &spec[*list]);
        }
        let containers = spec.get("containers").and_then(Value::as_array).into_iter().flatten();
        for (index, container) in containers.enumerate() {
            let path = format!("spec.containers[{index}]");
            if let Some(env) = container.get("env") {
                self.named(&format!("{path}.env"), env);
            }
            if container.get("name").and_then(Value::as_str) == Some(self.role.field()) {
                self.server(&path, container);
            }
        }
    }

    /// The container of the server itself.
    fn server(&mut self, path: &str, container: &Value) {
        if container.get("image").is_some() {
            let place = if self.role == Role::Console { "console.image" } else { "image" };
            self.owned(&format!("{path}.image"), &format!(", the place to change it is {place}"));
        }
        let env = container.get("env").and_then(Value::as_array).into_iter().flatten();
        for (index, name) in env.map(|env| env["name"].as_str().unwrap_or_default()).enumerate() {
            if let Some((_, place)) = OWNED_ENV.iter().find(|(owned, _)| *owned == name) {
                self.owned(
                    &format!("{path}.env[{index}]"),
                    &format!(" ({name}), the place to change it is {place}"),
                );
            }
            if name == "JAVA_OPTS" {
                let field = format!("{}.{path}.env[{index}]", self.at);
                let message = format!(
                    "{field} (JAVA_OPTS) replaces the operator's, so that {}.heap has no effect: use \
                     JAVA_TOOL_OPTIONS, which adds to them",
                    self.role.field()
                );
                self.notes.warn(field, message);
            }
        }
    }

    /// A list whose entries are laid over those of the same name: without a name none would be found.
    fn named(&mut self, path: &str, list: &Value) {
        let named = |item: &Value| item.get("name").is_some_and(Value::is_string);
        if !list.as_array().is_some_and(|items| items.iter().all(named)) {
            let field = format!("{}.{path}", self.at);
            let message = format!(
                "{field} must be a list in which each entry has a name: it is laid over the one of the same name"
            );
            self.notes.wrong(field, message);
        }
    }

    /// That it is part of a pod template, with no field that Kubernetes does not know.
    fn shape(&mut self, overlay: &Map<String, Value>) {
        if overlay.values().any(|part| !part.is_object()) {
            return;
        }
        let written = without_nulls(&Value::Object(overlay.clone()));
        let read = serde_json::from_value::<PodTemplateSpec>(written.clone());
        match read.and_then(serde_json::to_value) {
            Ok(known) => {
                let mut unknown = Vec::new();
                unknown_fields(&written, &known, "", &mut unknown);
                for path in unknown {
                    let field = format!("{}{path}", self.at);
                    let message =
                        format!("{field} is no field of a pod template: correct its name, or remove it");
                    self.notes.wrong(field, message);
                }
            }
            Err(error) => {
                let message = format!(
                    "{} is no part of a pod template ({error}): write it as in a StatefulSet's template",
                    self.at
                );
                self.notes.wrong(self.at.clone(), message);
            }
        }
    }
}

fn in_group(key: &str) -> bool {
    key.strip_prefix(GROUP).is_some_and(|rest| rest.starts_with('/'))
}

/// A null takes a field out of the template: it has no other meaning.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// Paths that were written and not understood.
fn unknown_fields(written: &Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            for (key, value) in written {
                let path = format!("{path}.{key}");
                match known.get(key) {
                    Some(known) => unknown_fields(value, known, &path, unknown),
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(written), Value::Array(known)) => {
            for (index, (written, known)) in written.iter().zip(known).enumerate() {
                unknown_fields(written, known, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}
