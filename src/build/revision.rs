//! The revision of a pod template: a short hash by which a pod tells which template it was made from.
//!
//! It depends on the template alone: not on the operator's version, not on the order of keys, not on the names of the
//! other members.
//!
//! May import `validate`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

use crate::api::objects::REVISION;
use crate::types::fingerprint;

/// The revision of a template: 12 hexadecimal digits. The label that holds it does not count.
#[must_use]
pub fn revision(template: &PodTemplateSpec) -> String {
    let mut template = template.clone();
    if let Some(labels) = template.metadata.as_mut().and_then(|metadata| metadata.labels.as_mut()) {
        labels.remove(REVISION);
    }
    // Kubernetes' own types have no value that JSON cannot hold.
    let value = serde_json::to_value(template).unwrap_or_default();
    fingerprint(&canonical(&value))
}

/// The template with its revision as a label.
pub(super) fn with_revision(mut template: PodTemplateSpec) -> PodTemplateSpec {
    let revision = revision(&template);
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().insert(REVISION.to_owned(), revision);
    template
}

/// JSON with the keys of each object in order: whether a map of `serde_json` keeps its order depends on features that any
/// crate can switch on.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            let fields = sorted
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_and_the_label_itself_do_not_count() {
        let read = |value: Value| serde_json::from_value::<PodTemplateSpec>(value).unwrap();
        let plain =
            read(json!({"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "x"}]}}));
        let labelled = with_revision(plain.clone());
        assert_eq!(revision(&plain), revision(&labelled));
        assert_eq!(canonical(&json!({"b": [1, "x\"y"], "a": null})), r#"{"a":null,"b":[1,"x\"y"]}"#);
        let other =
            read(json!({"metadata": {"labels": {"a": "2"}}, "spec": {"containers": [{"name": "x"}]}}));
        assert_ne!(revision(&plain), revision(&other));
    }
}
