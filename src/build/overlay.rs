//! Laying a person's part of a pod template over the generated one.
//!
//! - Maps are merged; a null takes a key out.
//! - Containers are merged by name; other lists of named things (volumes, env, ports, volume mounts) have the entries of
//!   the same name replaced and the others added.
//! - Every other list and value is replaced.
//! - Of a probe's ways to ask, one is left: the overlay's.
//!
//! May import nothing of this package.

use serde_json::{Map, Value};

/// Lists whose entries are merged, because a person writes only what differs. Entries of other lists are replaced as a
/// whole: one variable with the old `value` and the new `valueFrom` would be none.
const MERGED: [&str; 2] = ["containers", "initContainers"];
/// Ways to ask of which a probe has one.
const WAYS: [&str; 4] = ["exec", "grpc", "httpGet", "tcpSocket"];

/// The base with the overlay over it.
pub(super) fn overlaid(base: Value, overlay: &Map<String, Value>) -> Value {
    let mut merged = base;
    if let Value::Object(fields) = &mut merged {
        merge_maps(fields, overlay);
    }
    merged
}

fn merge_maps(base: &mut Map<String, Value>, overlay: &Map<String, Value>) {
    if WAYS.iter().any(|way| overlay.contains_key(*way)) {
        base.retain(|key, _| !WAYS.contains(&key.as_str()) || overlay.contains_key(key));
    }
    for (key, value) in overlay {
        match (base.get_mut(key), value) {
            (_, Value::Null) => {
                base.remove(key);
            }
            (Some(Value::Object(base)), Value::Object(overlay)) => merge_maps(base, overlay),
            (Some(Value::Array(base)), Value::Array(overlay))
                if !base.is_empty() && named(base) && named(overlay) =>
            {
                merge_lists(base, overlay, MERGED.contains(&key.as_str()));
            }
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

fn name(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}

/// Whether all in a list have names. An empty list over one of named things adds nothing.
fn named(list: &[Value]) -> bool {
    list.iter().all(|item| name(item).is_some())
}

/// Each entry over the first of its name that the base had; a second one of the same name, such as another mount of one
/// volume, is added.
fn merge_lists(base: &mut Vec<Value>, overlay: &[Value], deep: bool) {
    let had = base.len();
    let mut taken = vec![false; had];
    for item in overlay {
        match (0..had).find(|index| !taken[*index] && name(&base[*index]) == name(item)) {
            Some(index) => {
                taken[index] = true;
                match (&mut base[index], item) {
                    (Value::Object(base), Value::Object(item)) if deep => merge_maps(base, item),
                    (base, item) => *base = item.clone(),
                }
            }
            None => base.push(item.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merges_as_it_says() {
        for (what, base, overlay, expected) in [
            (
                "maps are merged",
                json!({"a": {"b": 1}}),
                json!({"a": {"c": 2}}),
                json!({"a": {"b": 1, "c": 2}}),
            ),
            ("a null takes out", json!({"a": {"b": 1}, "c": 2}), json!({"a": null}), json!({"c": 2})),
            ("other lists are replaced", json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            ("an empty list takes all away", json!({"a": [1]}), json!({"a": []}), json!({"a": []})),
            (
                "but adds nothing to named things",
                json!({"env": [{"name": "x"}]}),
                json!({"env": []}),
                json!({"env": [{"name": "x"}]}),
            ),
            (
                "containers are merged by name",
                json!({"containers": [{"name": "x", "image": "i", "env": [{"name": "A", "value": "1"}]}]}),
                json!({"containers": [{"name": "y"}, {"name": "x", "tty": true, "env": [{"name": "B", "value": "2"}]}]}),
                json!({"containers": [
                    {"name": "x", "image": "i", "tty": true, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                    {"name": "y"},
                ]}),
            ),
            (
                "a variable is replaced",
                json!({"env": [{"name": "A", "value": "1"}]}),
                json!({"env": [{"name": "A", "valueFrom": {}}]}),
                json!({"env": [{"name": "A", "valueFrom": {}}]}),
            ),
            (
                "a volume is replaced",
                json!({"volumes": [{"name": "home", "emptyDir": {}}, {"name": "config"}]}),
                json!({"volumes": [{"name": "home", "hostPath": {"path": "/x"}}]}),
                json!({"volumes": [{"name": "home", "hostPath": {"path": "/x"}}, {"name": "config"}]}),
            ),
            (
                "a second mount of one volume is added",
                json!({"volumeMounts": [{"name": "home", "mountPath": "/a"}]}),
                json!({"volumeMounts": [{"name": "home", "mountPath": "/b"}, {"name": "home", "mountPath": "/c"}]}),
                json!({"volumeMounts": [{"name": "home", "mountPath": "/b"}, {"name": "home", "mountPath": "/c"}]}),
            ),
            (
                "a probe asks in one way",
                json!({"livenessProbe": {"httpGet": {"path": "/"}, "periodSeconds": 10}}),
                json!({"livenessProbe": {"tcpSocket": {"port": 1}}}),
                json!({"livenessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 10}}),
            ),
            (
                "and keeps its way where the overlay has none",
                json!({"livenessProbe": {"httpGet": {"path": "/"}}}),
                json!({"livenessProbe": {"periodSeconds": 5}}),
                json!({"livenessProbe": {"httpGet": {"path": "/"}, "periodSeconds": 5}}),
            ),
            (
                "a map over a value replaces it",
                json!({"a": 1}),
                json!({"a": {"b": 1}}),
                json!({"a": {"b": 1}}),
            ),
        ] {
            assert_eq!(overlaid(base, overlay.as_object().unwrap()), expected, "{what}");
        }
    }
}
