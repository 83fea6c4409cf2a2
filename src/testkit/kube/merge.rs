//! Server-side apply: which fields an object has, how two merge, and what is taken away.
//!
//! As the API server does it for the built-in kinds: maps merge, the lists named in [`merge_key`] merge by their key,
//! `finalizers` is a set, every other list is one value.

use std::collections::BTreeMap;

use serde_json::Value;

/// One step of a field's path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A field of a map.
    Field(String),
    /// An item of a list, by its key.
    Item(String),
}

pub(super) type FieldPath = Vec<Step>;

/// The fields that tell the items of a list apart; `None`: the list is one value.
const fn merge_key(field: &str) -> Option<&'static [&'static str]> {
    Some(match field.as_bytes() {
        b"containers"
        | b"initContainers"
        | b"ephemeralContainers"
        | b"env"
        | b"volumes"
        | b"schedulingGates"
        | b"imagePullSecrets" => &["name"],
        b"ports" => &["containerPort", "port", "protocol"],
        b"volumeMounts" => &["mountPath"],
        b"ownerReferences" => &["uid"],
        b"conditions" => &["type"],
        b"topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        b"hostAliases" => &["ip"],
        _ => return None,
    })
}

/// The key of an item: the values of its key fields; of an item of a set: the item.
fn item_key(field: &str, item: &Value) -> Option<String> {
    if field == "finalizers" {
        return item.as_str().map(str::to_owned);
    }
    let keys = merge_key(field)?;
    let map = item.as_object()?;
    let parts: Vec<String> = keys.iter().filter_map(|k| map.get(*k).map(|v| format!("{k}={v}"))).collect();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// The items of a list by key, if it is one that merges.
fn keyed<'a>(field: &str, value: &'a Value) -> Option<Vec<(String, &'a Value)>> {
    let items = value.as_array()?;
    items.iter().map(|item| item_key(field, item).map(|key| (key, item))).collect()
}

/// Every field that an applied object sets, with its value.
pub(super) fn leaves(object: &Value) -> BTreeMap<FieldPath, Value> {
    let mut found = BTreeMap::new();
    collect("", object, &mut Vec::new(), &mut found);
    // Who the object is belongs to nobody.
    for name in ["apiVersion", "kind"] {
        found.remove(&vec![Step::Field(name.to_owned())]);
    }
    for name in ["name", "namespace", "resourceVersion", "uid"] {
        found.remove(&vec![Step::Field("metadata".to_owned()), Step::Field(name.to_owned())]);
    }
    found
}

fn collect(field: &str, value: &Value, path: &mut FieldPath, found: &mut BTreeMap<FieldPath, Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, below) in fields {
                path.push(Step::Field(name.clone()));
                collect(name, below, path, found);
                path.pop();
            }
        }
        Value::Array(items) if !items.is_empty() => match keyed(field, value) {
            Some(items) => {
                for (key, item) in items {
                    path.push(Step::Item(key));
                    collect("", item, path, found);
                    path.pop();
                }
            }
            None => {
                found.insert(path.clone(), value.clone());
            }
        },
        _ => {
            found.insert(path.clone(), value.clone());
        }
    }
}

/// Merges what is applied into what is there.
pub(super) fn merge(field: &str, target: &mut Value, applied: &Value) {
    match (&mut *target, applied) {
        (Value::Object(present), Value::Object(fields)) => {
            for (name, below) in fields {
                merge(name, present.entry(name).or_insert(Value::Null), below);
            }
        }
        (Value::Array(present), Value::Array(_)) => match keyed(field, applied) {
            Some(items) => {
                for (key, item) in items {
                    let there = present.iter_mut().find(|p| item_key(field, p).as_ref() == Some(&key));
                    match there {
                        Some(there) => merge("", there, item),
                        None => present.push(item.clone()),
                    }
                }
            }
            None => *target = applied.clone(),
        },
        _ => *target = applied.clone(),
    }
}

/// Takes fields away, and with them the maps and items that they leave without anything of their own.
pub(super) fn remove(value: &mut Value, paths: &[FieldPath]) {
    // Twice: the key of an item goes only once nothing else is left of it.
    for path in paths.iter().chain(paths) {
        remove_below("", value, path);
    }
}

fn remove_below(field: &str, value: &mut Value, path: &[Step]) {
    let Some((first, rest)) = path.split_first() else { return };
    match (first, value) {
        (Step::Field(name), Value::Object(fields)) => {
            if rest.is_empty() {
                fields.remove(name);
            } else if let Some(below) = fields.get_mut(name) {
                remove_below(name, below, rest);
                if is_void(below) {
                    fields.remove(name);
                }
            }
        }
        (Step::Item(key), Value::Array(items)) => {
            let at = items.iter().position(|item| item_key(field, item).as_ref() == Some(key));
            let Some(at) = at else { return };
            let whole = match rest {
                [] => true,
                // Without its key the item cannot be found again: it goes as a whole, when nothing else is in it.
                [Step::Field(name)] if is_key(field, name) => items
                    .get(at)
                    .and_then(Value::as_object)
                    .is_some_and(|item| item.keys().all(|name| is_key(field, name))),
                _ => {
                    if let Some(item) = items.get_mut(at) {
                        remove_below("", item, rest);
                    }
                    false
                }
            };
            if whole {
                items.remove(at);
            }
        }
        _ => {}
    }
}

fn is_key(field: &str, name: &str) -> bool {
    merge_key(field).is_some_and(|keys| keys.contains(&name))
}

fn is_void(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
