//! Cases of the rules of a `RegistryCluster` alone.

use serde_json::{Value, json};

use super::examples::{REGISTRY, REGISTRY6};
use super::{About, Case, Edits};

const KIND: &str = "RegistryCluster";

pub(super) fn add(cases: &mut Vec<Case>) {
    membership(cases);
    others(cases);
}

fn membership(cases: &mut Vec<Case>) {
    let mut about = |rule: &str, base: &Value, add: &dyn Fn(&mut About)| {
        add(&mut About::new(cases, KIND, base, rule));
    };
    about("membership: Auto knows", &REGISTRY, &|rule| {
        rule.accepts("5.x without a word", &[])
            .accepts("5.x, Auto", &[("membership", json!("Auto"))])
            .accepts(
                "2.8.0, by address",
                &[("version", json!("2.8.0")), ("membership", json!("RaftByAddress"))],
            )
            .accepts(
                "2.9.0, self-healing",
                &[("version", json!("2.9.0")), ("membership", json!("RaftSelfHealing"))],
            )
            .refuses("2.9.0 without a word", &[("version", json!("2.9.0"))])
            .refuses("2.9.0, Auto", &[("version", json!("2.9.0")), ("membership", json!("Auto"))])
            .refuses("7.0.0 without a word", &[("version", json!("7.0.0"))])
            .refuses("50.0.0 is no 5.x", &[("version", json!("50.0.0"))])
            .refuses_change(
                "the word is taken away",
                &[("version", json!("2.9.0")), ("membership", json!("RaftSelfHealing"))],
                &[("version", json!("2.9.0"))],
            );
    });
    about("membership of version 5.x is RaftByAddress", &REGISTRY, &|rule| {
        rule.accepts("said", &[("membership", json!("RaftByAddress"))])
            .refuses("self-healing", &[("membership", json!("RaftSelfHealing"))])
            .refuses_change("self-healing, added", &[], &[("membership", json!("RaftSelfHealing"))]);
    });
    about("membership of version 6.x is Database", &REGISTRY6, &|rule| {
        rule.accepts("said", &[("membership", json!("Database"))])
            .accepts("Auto", &[("membership", json!("Auto"))])
            .refuses("by address", &[("membership", json!("RaftByAddress"))]);
    });
    about("database is missing: version 6.x", &REGISTRY6, &|rule| {
        rule.accepts("6.x with one", &[])
            .refuses("6.x without one", &[("database", Value::Null)])
            .refuses_change("taken away", &[], &[("database", Value::Null)])
            .accepts_change("moved", &[], &[("database/host", json!("db2.example"))])
            .refuses(
                "8.0.0 by Database without one",
                &[("version", json!("8.0.0")), ("membership", json!("Database")), ("database", Value::Null)],
            );
    });
    about("version and membership: a raft group", &REGISTRY6, &|rule| {
        let five: Edits = &[("version", json!("5.4.3"))];
        rule.refuses_change("5.x to 6.x", five, &[])
            .refuses_change("6.x to 5.x", &[], five)
            .accepts_change("within 5.x", five, &[("version", json!("5.4.5"))])
            .accepts_change("within 6.x", &[], &[("version", json!("6.4.0"))])
            .accepts_change(
                "2.8 by address to 2.9 self-healing",
                &[("version", json!("2.8.0")), ("membership", json!("RaftByAddress"))],
                &[("version", json!("2.9.0")), ("membership", json!("RaftSelfHealing"))],
            )
            .accepts_change(
                "what Auto means is said",
                five,
                &[("version", json!("5.4.3")), ("membership", json!("RaftByAddress"))],
            )
            .refuses_change(
                "2.9 into a database",
                &[("version", json!("2.9.0")), ("membership", json!("RaftSelfHealing"))],
                &[("version", json!("2.9.0")), ("membership", json!("Database"))],
            );
    });
}

fn others(cases: &mut Vec<Case>) {
    let mut about = |rule: &str, base: &Value, add: &dyn Fn(&mut About)| {
        add(&mut About::new(cases, KIND, base, rule));
    };
    about("dataCenter cannot be changed", &REGISTRY, &|rule| {
        rule.refuses_change("another one", &[], &[("dataCenter", json!("West"))]).accepts_change(
            "the region is another matter",
            &[],
            &[("region", json!("ZONE_2"))],
        );
    });
    about("meta.replicas must be 1, 3, 5 or 7", &REGISTRY, &|rule| {
        for replicas in [1, 3, 5, 7] {
            rule.accepts(&format!("{replicas}"), &[("meta/replicas", json!(replicas))]);
        }
        for replicas in [2, 4, 9, 64] {
            rule.refuses(&format!("{replicas}"), &[("meta/replicas", json!(replicas))]);
        }
        rule.accepts("meta without replicas", &[("meta", json!({}))])
            .refuses_change("added", &[], &[("meta/replicas", json!(4))])
            .accepts_change("taken away", &[("meta/replicas", json!(5))], &[]);
    });
    about("meta.storage.type must be Claim", &REGISTRY, &|rule| {
        rule.refuses("5.x", &[("meta/storage/type", json!("Ephemeral"))])
            .accepts("5.x, Claim", &[("meta/storage/type", json!("Claim"))])
            .accepts("data of 5.x", &[("data/storage/type", json!("Ephemeral"))]);
    });
    about("meta.storage.type must be Claim", &REGISTRY6, &|rule| {
        rule.accepts("6.x", &[("meta/storage/type", json!("Ephemeral"))]);
    });
    let site = |fields: Value| [("remoteSites", json!([fields]))];
    about("an entry of remoteSites needs", &REGISTRY, &|rule| {
        rule.accepts("read", &site(json!({"name": "west", "metaAddresses": ["10.1.0.1:9615"]})))
            .accepts("let in", &site(json!({"name": "west", "cidrs": ["10.1.0.0/16"]})))
            .refuses("neither", &site(json!({"name": "west"})));
    });
    about("remoteSites: push of a site can be closed only", &REGISTRY, &|rule| {
        let cidrs = json!(["10.1.0.0/16"]);
        rule.refuses("no metas", &site(json!({"name": "w", "cidrs": cidrs, "closePush": true})))
            .accepts("false", &site(json!({"name": "w", "cidrs": cidrs, "closePush": false})))
            .accepts("metas", &site(json!({"name": "w", "metaAddresses": ["m.w"], "closePush": true})));
    });
}
