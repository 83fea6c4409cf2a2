//! Comparing JSON as an API server keeps it with JSON as it was sent.

use serde_json::Value;

/// Whether an object has all of what is wanted of it already. What it has besides is somebody else's: defaults of the API
/// server, fields of other managers. What is empty is wanted by nobody: the API server leaves it out.
#[must_use]
pub fn covers(present: &Value, wanted: &Value) -> bool {
    match (present, wanted) {
        (Value::Object(present), Value::Object(wanted)) => wanted.iter().all(|(key, value)| {
            present.get(key).map_or_else(|| is_empty(value), |there| covers(there, value))
        }),
        (Value::Array(present), Value::Array(wanted)) => {
            present.len() == wanted.len() && present.iter().zip(wanted).all(|(p, w)| covers(p, w))
        }
        _ => present == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_no_difference_and_values_are() {
        let present =
            json!({"spec": {"replicas": 3, "policy": "default", "ports": [{"port": 80, "protocol": "TCP"}]}});
        for (wanted, expected) in [
            (json!({"spec": {"replicas": 3}}), true),
            (json!({"spec": {"replicas": 2}}), false),
            (json!({"spec": {"ports": [{"port": 80}]}}), true),
            (json!({"spec": {"ports": [{"port": 80}, {"port": 81}]}}), false),
            (json!({"spec": {"paused": true}}), false),
            (json!({"spec": {"tolerations": [], "affinity": {"node": null}}}), true),
        ] {
            assert_eq!(covers(&present, &wanted), expected, "{wanted}");
        }
    }
}
