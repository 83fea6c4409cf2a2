//! Cases of the rules of a `SchedulerCluster` alone.

use serde_json::{Value, json};

use super::examples::{ANT, POWERJOB};
use super::{About, Case, Edits};

pub(super) fn add(cases: &mut Vec<Case>) {
    const KIND: &str = "SchedulerCluster";
    let mut about = |rule: &str, base: &Value, add: &dyn Fn(&mut About)| {
        add(&mut About::new(cases, KIND, base, rule));
    };
    about("engine cannot be changed", &POWERJOB, &|rule| {
        let ant: Edits = &[
            ("engine", json!("AntScheduler")),
            ("registryRef", json!({"name": "registry"})),
            ("powerjob", Value::Null),
        ];
        rule.refuses_change("PowerJob to AntScheduler", &[], ant)
            .refuses_change("AntScheduler to PowerJob", ant, &[])
            .accepts_change("kept", &[], &[("version", json!("4.3.10"))]);
    });
    about("database is missing: PowerJob", &POWERJOB, &|rule| {
        rule.accepts("there", &[]).refuses("not there", &[("database", Value::Null)]).refuses_change(
            "taken away",
            &[],
            &[("database", Value::Null)],
        );
    });
    about("database is missing: AntScheduler", &ANT, &|rule| {
        rule.accepts("there", &[]).refuses("not there", &[("database", Value::Null)]).refuses_change(
            "taken away",
            &[],
            &[("database", Value::Null)],
        );
    });
    about("registryRef is missing", &ANT, &|rule| {
        rule.accepts("there", &[]).refuses("not there", &[("registryRef", Value::Null)]).refuses_change(
            "taken away",
            &[],
            &[("registryRef", Value::Null)],
        );
    });
    about("console, mq, registryRef, connectionCounting and taskGate are", &POWERJOB, &|rule| {
        let given: [(&str, Value); 5] = [
            ("console", json!({})),
            ("mq", json!({"address": "mq:9529"})),
            ("registryRef", json!({"name": "registry"})),
            ("connectionCounting", json!("Enabled")),
            ("taskGate", json!({"path": "/tasks"})),
        ];
        for one in given {
            rule.refuses(one.0, std::slice::from_ref(&one));
            rule.refuses_change(&format!("{} added", one.0), &[], std::slice::from_ref(&one));
        }
        rule.accepts("none of them", &[]);
    });
    about("console, mq, registryRef, connectionCounting and taskGate are", &ANT, &|rule| {
        rule.accepts(
            "AntScheduler has them",
            &[
                ("console", json!({})),
                ("mq", json!({"address": "mq"})),
                ("connectionCounting", json!("Disabled")),
            ],
        );
    });
    about("powerjob is for engine PowerJob", &ANT, &|rule| {
        rule.refuses("given", &[("powerjob", json!({}))]).accepts("not given", &[]);
    });
    about("powerjob is for engine PowerJob", &POWERJOB, &|rule| {
        rule.accepts("PowerJob", &[("powerjob/retryLost", json!("Enabled"))]);
    });
    about("rollout.strategy of PowerJob", &POWERJOB, &|rule| {
        rule.refuses("two groups", &[("rollout/strategy", json!("TwoGroups"))])
            .accepts("one by one", &[("rollout/strategy", json!("OneByOne"))]);
    });
    about("rollout.strategy of PowerJob", &ANT, &|rule| {
        rule.accepts("AntScheduler may", &[("rollout/strategy", json!("TwoGroups"))]);
    });
    let port = |name: &str| [("server/ports", json!([{"name": name, "port": 1234}]))];
    about("server.ports: the names", &POWERJOB, &|rule| {
        rule.accepts("akka", &port("akka")).refuses("client", &port("client"));
    });
    about("server.ports: the names", &ANT, &|rule| {
        rule.accepts("client", &port("client")).refuses("akka", &port("akka"));
    });
}
