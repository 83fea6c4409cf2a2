//! Every rule of the CRDs lets pass what it should and refuses what it should, in the client-side CEL of kube. The same
//! table runs on a real API server in `tests/apiserver`: some differences are only seen there.

#![expect(clippy::panic, reason = "a test ends by panicking with what was seen")]

mod crd_cases;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use kube::core::cel::{CompiledSchema, ErrorKind, ValidationErrors, Validator, compile_schema};
use schemars::JsonSchema;
use serde_json::{Value, json};
use sofa_operator::api::crd;
use sofa_operator::api::v1alpha1::{
    ClusterStatus, DrmCluster, MembershipKind, PushGroup, RegistryCluster, SchedulerCluster,
};
use sofa_operator::types;

use crate::crd_cases::{Case, cases, examples};

/// The schema of each kind.
fn schemas() -> BTreeMap<String, Value> {
    let of = |crd: crd::Crd| {
        let kind = crd.object["spec"]["names"]["kind"].as_str().unwrap_or_default().to_owned();
        (kind, crd.object["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
    };
    crd::all().unwrap_or_else(|e| panic!("{e}")).into_iter().map(of).collect()
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "middleware.sofastack.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
    })
}

fn validate(schema: &CompiledSchema, case: &Case) -> Result<(), ValidationErrors> {
    let name = case.object.as_deref().unwrap_or("case");
    let old = case.old.as_ref().map(|old| object(case.kind, name, old));
    let new = object(case.kind, name, &case.new);
    Validator::new().validate_compiled(schema, &new, old.as_ref())
}

/// What is wrong with the answer to a case.
fn wrong(case: &Case, answer: &Result<(), ValidationErrors>) -> Option<String> {
    let refused = case.refused != case.client_differs.is_some();
    match answer {
        Ok(()) if refused => Some("it passed".to_owned()),
        Err(errors) if !refused => Some(format!("it was refused: {errors}")),
        Err(errors) if errors.iter().any(|e| e.kind != ErrorKind::ValidationFailure) => {
            Some(format!("a rule could not be evaluated: {errors:?}"))
        }
        Err(errors) if !errors.iter().any(|e| e.message.contains(&case.rule)) => {
            Some(format!("another rule refused it: {errors}"))
        }
        _ => None,
    }
}

#[test]
fn each_case_passes_or_is_refused_as_the_table_says() {
    let compiled: BTreeMap<_, _> = schemas().iter().map(|(k, s)| (k.clone(), compile_schema(s))).collect();
    let mut failures = Vec::new();
    for case in cases() {
        if let Some(why) = wrong(&case, &validate(&compiled[case.kind], &case)) {
            failures.push(format!("{} / {} / {}: {why}", case.kind, case.rule, case.name));
        }
    }
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}

/// The messages of all rules in a schema.
fn messages(schema: &Value, into: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for rule in fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
            {
                into.insert(rule["message"].as_str().unwrap_or_default().to_owned());
            }
            fields.values().for_each(|inner| messages(inner, into));
        }
        Value::Array(list) => list.iter().for_each(|inner| messages(inner, into)),
        _ => {}
    }
}

#[test]
fn each_rule_has_a_passing_and_a_failing_case() {
    let cases = cases();
    for (kind, schema) in schemas() {
        let mut rules = BTreeSet::new();
        messages(&schema, &mut rules);
        for message in rules {
            let about: Vec<_> =
                cases.iter().filter(|c| c.kind == kind && message.starts_with(&c.rule)).collect();
            assert!(about.iter().any(|c| c.refused), "{kind}: no case is refused by the rule: {message}");
            assert!(about.iter().any(|c| !c.refused), "{kind}: no case passes the rule: {message}");
        }
    }
}

#[test]
fn each_case_is_about_one_rule() {
    let schemas = schemas();
    for case in cases() {
        let mut rules = BTreeSet::new();
        messages(&schemas[case.kind], &mut rules);
        let about = rules.iter().filter(|message| message.starts_with(&case.rule)).count();
        assert_eq!(about, 1, "{}: '{}' begins so many messages", case.kind, case.rule);
    }
}

/// The messages of a spec, as `kind/name: message`.
fn refusals(kind: &str, name: &str, spec: &Value) -> Option<String> {
    let schema = compile_schema(&schemas()[kind]);
    let answer = Validator::new().validate_compiled(&schema, &object(kind, name, spec), None);
    answer.err().map(|errors| format!("{kind}/{name}: {errors}"))
}

#[test]
fn the_examples_pass_and_read_back_unchanged() {
    fn unchanged<T: serde::Serialize + serde::de::DeserializeOwned>(object: &Value) {
        let read: T = serde_json::from_value(object.clone()).unwrap_or_else(|e| panic!("{object}: {e}"));
        assert_eq!(serde_json::to_value(read).unwrap_or_default(), *object);
    }
    for (kind, name, spec) in examples::smallest().into_iter().chain(examples::full()) {
        assert_eq!(refusals(kind, name, &spec), None);
        let object = object(kind, name, &spec);
        match kind {
            "RegistryCluster" => unchanged::<RegistryCluster>(&object),
            "DrmCluster" => unchanged::<DrmCluster>(&object),
            "SchedulerCluster" => unchanged::<SchedulerCluster>(&object),
            "PushGroup" => unchanged::<PushGroup>(&object),
            other => panic!("no kind {other}"),
        }
    }
    unchanged::<ClusterStatus>(&examples::status());
}

#[test]
fn a_status_of_a_newer_operator_can_be_read() {
    let mut status = examples::status();
    status["conditions"][0]["reason"] = json!("SomethingNew");
    status["conditions"][0]["type"] = json!("Sparkling");
    status["somethingNew"] = json!({"a": 1});
    status["rollout"]["steps"][0]["kind"] = json!("Sparkle");
    status["rollout"]["act"]["kind"] = json!("Sparkle");
    status["members"][0]["state"] = json!("Sparkling");
    let read: ClusterStatus = serde_json::from_value(status).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((read.conditions.len(), read.members.len()), (1, 1));
    let rollout = read.rollout.unwrap_or_else(|| panic!("the rest of it is kept"));
    assert_eq!((rollout.steps.len(), rollout.act), (1, None), "what is not understood is left out");
}

#[test]
fn the_membership_follows_from_the_version_or_is_said() {
    let kind = |edits: crd_cases::Edits| {
        let spec = crd_cases::edited(&examples::REGISTRY, edits);
        let cluster: RegistryCluster = serde_json::from_value(object("RegistryCluster", "case", &spec))
            .unwrap_or_else(|e| panic!("{e}"));
        cluster.spec.membership_kind()
    };
    let (five, two) = (("version", json!("5.4.3")), ("version", json!("2.9.0")));
    assert_eq!(kind(std::slice::from_ref(&five)), Some(MembershipKind::RaftByAddress));
    assert_eq!(kind(&[five, ("membership", json!("Auto"))]), Some(MembershipKind::RaftByAddress));
    assert_eq!(kind(&[("version", json!("6.3.0"))]), Some(MembershipKind::Database));
    assert_eq!(kind(std::slice::from_ref(&two)), None);
    assert_eq!(kind(&[two, ("membership", json!("RaftSelfHealing"))]), Some(MembershipKind::RaftSelfHealing));
}

/// Whether the schema of a text type lets `text` pass: its lengths, and its pattern by the same engine as the rules.
fn schema_accepts<T: JsonSchema>(text: &str) -> bool {
    let mut schema = schemars::schema_for!(T).to_value();
    let pattern = schema["pattern"].as_str().unwrap_or_default().to_owned();
    let at = |field: &str| schema[field].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
    let fits = (at("minLength")..=at("maxLength")).contains(&text.chars().count());
    schema["type"] = json!("string");
    schema["x-kubernetes-validations"] =
        json!([{"rule": format!("self.matches({})", json!(pattern)), "message": "no"}]);
    fits && Validator::new().validate(&schema, &json!(text), None).is_ok()
}

fn agree<T: JsonSchema + FromStr>(good: &[&str], bad: &[&str]) {
    let name = T::schema_name();
    for (texts, expected) in [(good, true), (bad, false)] {
        for text in texts {
            assert_eq!(text.parse::<T>().is_ok(), expected, "{name} in Rust: '{text}'");
            assert_eq!(schema_accepts::<T>(text), expected, "{name} in the schema: '{text}'");
        }
    }
}

#[test]
fn types_and_schemas_say_the_same_of_names() {
    let (long, too_long) = ("a".repeat(63), "a".repeat(64));
    agree::<types::DnsLabel>(
        &["a", "a-1", "1a", &long],
        &["", "A", "a.b", "-a", "a-", "a_b", "ä", &too_long],
    );
    agree::<types::ObjectName>(
        &["a", "a.b", "a-1.b-2"],
        &["", "a..b", ".a", "a.", "A", "a-.b", &"a".repeat(254)],
    );
    agree::<types::PlaceName>(
        &["DefaultDataCenter", "DEFAULT_ZONE", "a.b-c", "1"],
        &["", "a b", "a:b", "-a", "a,b", &too_long],
    );
    agree::<types::Host>(&["db", "10.0.0.1", "db-1.example"], &["", "db:3306", "[::1]", "-db", "a b"]);
    agree::<types::Address>(
        &["db", "db:1", "10.0.0.1:9615", "a:65535"],
        &["", "db:", "db:0", "db:65536", "db:99999", "::1", "db:09", ":80", "db:80:80", "db:655360"],
    );
    agree::<types::Cidr>(
        &["10.0.0.0/8", "0.0.0.0/0", "255.255.255.255/32", "192.168.1.0/24"],
        &[
            "10.0.0.0",
            "10.0.0.0/33",
            "256.0.0.0/8",
            "10.0.0/8",
            "1.2.3.4.5/8",
            "10.00.0.0/8",
            "fe80::/10",
            "0.0.0.0/",
        ],
    );
    agree::<types::HttpUrl>(
        &["http://a", "https://a.b:8080/c?d=e"],
        &["http://", "https://", "ftp://a.example", "http://a b", "http:///health", "http://a/\"x"],
    );
    agree::<types::ImageName>(&["a", "r.example:5000/a/b:1.0@sha256:00ff"], &["", "a b", "-a", "/a", "a;b"]);
}

#[test]
fn types_and_schemas_say_the_same_of_versions_sizes_and_times() {
    agree::<types::Version>(
        &["5.4.3", "6.3.0", "2.9.0-rc.1", "0.0.0", "10.20.30"],
        &["", "5.4", "5.4.3.2", "v5.4.3", "05.4.3", "5.4.3-", "5.4.3-a_b", "5.4.x", "5.4.3+a", "1.2.123456"],
    );
    agree::<types::Bytes>(
        &["1", "8Gi", "1.5Gi", "0", "40G", "512Mi", "1k", "999999999Ti"],
        &["", "Gi", "8gb", "-1", "1.2345Gi", "1.Gi", "08Gi", "1e3", "1Pi", "1 Gi", "1234567890"],
    );
    agree::<types::Heap>(&["Auto", "1Mi", "3000Mi"], &["", "auto", "3000", "3Gi", "0Mi", "10000000Mi"]);
    agree::<types::Span>(
        &["20m", "1h30m", "45s", "0s", "1h1m1s"],
        &["", "5", "1m1h", "1.5h", "10ms", "-1m", "1d", "123456m", "01m"],
    );
    agree::<types::CronText>(
        &["0 1 * * *", "*/5 1-3 1,15 * MON-FRI", "30 1 * * 2-4"],
        &["", "0 1 * *", "0 1 * * * *", "@daily", "0  1 * * *", " 0 1 * * *", "0 1 * * ?"],
    );
    agree::<types::TimeZone>(&["UTC", "Asia/Shanghai", "Etc/GMT+8"], &["", "+08:00", "Asia Shanghai", "8"]);
    agree::<types::PlanId>(&["01234567", "0123456789abcdef"], &["", "0123456", "0123456g", "ABCDEF01"]);
    agree::<types::RolloutId>(&["r-17", "1"], &["", "R", "r_1", "r-"]);
    agree::<types::PodUid>(
        &["1b4e28ba-2fa1-11d2-883f-0016d3cca427"],
        &["", "1b4e28ba2fa111d2883f0016d3cca427", "1B4E28BA-2FA1-11D2-883F-0016D3CCA427"],
    );
}
