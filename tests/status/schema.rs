//! Whether a status is one that the API server would take: the bounds of the CRD's own schema.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value;
use sofa_operator::api::crd;
use sofa_operator::api::v1alpha1::ClusterStatus;

static STATUS: LazyLock<Value> = LazyLock::new(|| {
    let all = crd::all().expect("the CRDs can be made");
    let registry = all.into_iter().find(|crd| crd.file == "registryclusters.yaml").expect("there is one");
    registry.object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"].clone()
});

/// The status as it comes back from the API server.
pub(crate) fn stored(status: &ClusterStatus) -> ClusterStatus {
    let value = serde_json::to_value(status).expect("a status is JSON");
    check("status", &STATUS, &value);
    serde_json::from_value(value).expect("a status can be read")
}

fn check(path: &str, schema: &Value, value: &Value) {
    let bound = |word: &str| schema.get(word).and_then(Value::as_u64);
    match value {
        Value::String(text) => {
            let length = text.chars().count() as u64;
            assert!(bound("maxLength").is_none_or(|max| length <= max), "{path} is too long: {length}");
            assert!(bound("minLength").is_none_or(|min| length >= min), "{path} is too short: '{text}'");
            let words = schema.get("enum").and_then(Value::as_array);
            assert!(words.is_none_or(|words| words.contains(value)), "{path}: {text} is not in the schema");
        }
        Value::Number(number) => {
            let number = number.as_i64().expect("a whole number");
            let at = |word: &str| schema.get(word).and_then(Value::as_i64);
            assert!(at("minimum").is_none_or(|min| number >= min), "{path} is too small: {number}");
            assert!(at("maximum").is_none_or(|max| number <= max), "{path} is too large: {number}");
        }
        Value::Array(items) => {
            assert!(
                bound("maxItems").is_none_or(|max| items.len() as u64 <= max),
                "{path} has {} items",
                items.len()
            );
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            if let Some(keys) = keys {
                let key = |item: &Value| -> String {
                    keys.iter().map(|k| item[k.as_str().unwrap()].to_string()).collect()
                };
                let different: BTreeSet<String> = items.iter().map(key).collect();
                assert_eq!(different.len(), items.len(), "{path} has a key twice");
            }
            for (index, item) in items.iter().enumerate() {
                check(&format!("{path}[{index}]"), &schema["items"], item);
            }
        }
        Value::Object(fields) => {
            for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
                assert!(fields.contains_key(required.as_str().unwrap()), "{path} lacks {required}");
            }
            for (name, field) in fields {
                let inner = schema["properties"].get(name);
                check(
                    &format!("{path}.{name}"),
                    inner.unwrap_or_else(|| panic!("{path} has no {name}")),
                    field,
                );
            }
        }
        _ => {}
    }
}
