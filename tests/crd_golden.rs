//! `crds/` holds what the types say, and nothing in it becomes a difference once it is applied.

#![expect(clippy::panic, reason = "a test ends by panicking with what was seen")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use sofa_operator::api::crd::{Crd, all};

fn crds() -> Vec<Crd> {
    all().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn the_committed_files_are_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let files =
        fs::read_dir(&folder).unwrap_or_else(|e| panic!("crds/ cannot be read ({e}): run `make crds`"));
    let there: BTreeSet<String> =
        files.flatten().map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    let wanted: BTreeSet<String> = crds().into_iter().map(|crd| crd.file).collect();
    assert_eq!(
        there, wanted,
        "crds/ holds other files than src/api says: run `make crds`, delete what is too much"
    );
    for crd in crds() {
        let committed = fs::read_to_string(folder.join(&crd.file)).unwrap_or_default();
        let wanted = crd.to_yaml().unwrap_or_else(|e| panic!("{e}"));
        assert!(committed == wanted, "crds/{} differs from src/api: run `make crds` and commit it", crd.file);
    }
}

/// Shows `see` every schema below this one, with its path.
fn walk(path: &str, schema: &Value, see: &mut impl FnMut(&str, &Map<String, Value>)) {
    let Some(fields) = schema.as_object() else { return };
    see(path, fields);
    for (name, property) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, see);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(schema) = fields.get(inner) {
            walk(&format!("{path}[]"), schema, see);
        }
    }
}

fn walk_all(see: &mut impl FnMut(&str, &Map<String, Value>)) {
    for crd in crds() {
        let kind = crd.object["spec"]["names"]["kind"].as_str().unwrap_or_default();
        walk(kind, &crd.object["spec"]["versions"][0]["schema"]["openAPIV3Schema"], see);
    }
}

#[test]
fn every_field_says_what_it_is() {
    walk_all(&mut |path, schema| {
        let item = path.ends_with("[]");
        let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        assert!(item || description.len() > 3, "{path} has no description");
    });
}

#[test]
fn no_field_has_a_default_or_a_second_way_to_be_absent() {
    walk_all(&mut |path, schema| {
        for word in ["default", "nullable", "anyOf", "oneOf", "allOf", "title", "deprecated"] {
            assert!(!schema.contains_key(word), "{path} has '{word}'");
        }
        for (word, value) in schema {
            assert!(
                *value != json!({}) && *value != json!([]),
                "{path}.{word} is empty: the API server drops it"
            );
        }
    });
}

/// `on` and `Off` without quotes are true and false for kubectl, which reads YAML 1.1.
#[test]
fn no_word_is_a_truth_value_of_yaml() {
    let plain = |word: &str| !["y", "n", "yes", "no", "on", "off"].contains(&word.to_lowercase().as_str());
    walk_all(&mut |path, schema| {
        let name = path.rsplit('.').next().unwrap_or_default();
        assert!(plain(name), "{path}: kubectl reads this name as true or false");
        for word in
            schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            assert!(plain(word), "{path}: kubectl reads {word} as true or false");
        }
    });
}

#[test]
fn no_rule_stands_twice_in_one_place() {
    walk_all(&mut |path, schema| {
        let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
        let rules: Vec<_> = rules.into_iter().flatten().map(|rule| rule["rule"].to_string()).collect();
        let different: BTreeSet<_> = rules.iter().collect();
        assert_eq!(rules.len(), different.len(), "{path}: server-side apply takes the rule for a key");
    });
}

#[test]
fn everything_is_bounded() {
    walk_all(&mut |path, schema| {
        let any = |words: &[&str]| words.iter().any(|word| schema.contains_key(*word));
        let fits = match schema.get("type").and_then(Value::as_str) {
            Some("string") => any(&["maxLength", "enum", "format"]),
            Some("array") => any(&["maxItems"]) && any(&["x-kubernetes-list-type"]),
            Some("integer") => any(&["minimum"]),
            Some("object") => {
                any(&["properties", "x-kubernetes-preserve-unknown-fields"])
                    || (any(&["maxProperties"]) && any(&["additionalProperties"]))
                    || path.matches('.').count() == 0
            }
            Some("boolean") => true,
            _ => any(&["x-kubernetes-int-or-string"]),
        };
        assert!(fits, "{path} is not bounded: the API server cannot bound the cost of a rule on it");
    });
}

#[test]
fn a_definition_has_nothing_that_differs_once_it_is_applied() {
    for crd in crds() {
        let spec = &crd.object["spec"];
        assert!(crd.object.get("status").is_none(), "{}: the status is the API server's", crd.name);
        assert_eq!(crd.object["metadata"]["name"], crd.name.as_str());
        assert_eq!(crd.object["metadata"]["labels"], json!({"app.kubernetes.io/part-of": "sofa-operator"}));
        assert_eq!(spec["conversion"], json!({"strategy": "None"}), "{}", crd.name);
        assert!(spec["names"]["listKind"].is_string(), "{}", crd.name);
        assert_eq!(spec["names"]["categories"], json!(["sofa"]), "{}", crd.name);
        assert_eq!(spec["scope"], "Namespaced", "{}", crd.name);
    }
}
