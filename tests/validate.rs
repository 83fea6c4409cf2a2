//! What `validate` refuses, tells and resolves: tables.

#![expect(clippy::expect_used, reason = "a test's helpers fail as its test functions do")]

mod specs;

use std::time::Duration;

use serde_json::{Value, json};
use sofa_operator::api::v1alpha1::{Approval, MembershipKind, OnTimeout, Reason, Role, Strategy};
use sofa_operator::validate::{
    Check, ClusterKind, Common, Invalid, Missing, ReferenceFact, SecretFact, SizedStorage, ValidCluster,
    ValidComponent, WindowVerdict, may_refer,
};
use specs::{ANT, Around, DRM, Edits, POWERJOB, REGISTRY, REGISTRY_FULL, REGISTRY6, edited};

fn problems(base: &Value, edits: Edits) -> Vec<Invalid> {
    let spec = edited(base, edits);
    let kind = match spec {
        _ if spec.get("engine").is_some() => ClusterKind::Scheduler,
        _ if spec.get("dataCenter").is_some() => ClusterKind::Registry,
        _ => ClusterKind::Drm,
    };
    let around = Around::of(kind);
    match kind {
        ClusterKind::Registry => around.registry(&spec).err(),
        ClusterKind::Drm => around.drm(&spec).err(),
        ClusterKind::Scheduler => around.scheduler(&spec).err(),
    }
    .unwrap_or_default()
}

/// One field is wrong, and the sentence about it has these words.
fn refused(base: &Value, edits: Edits, field: &str, words: &str) {
    let found = problems(base, edits);
    assert_eq!(found.len(), 1, "{edits:?}: {found:?}");
    assert_eq!(found[0].field, field, "{edits:?}: {}", found[0]);
    assert!(found[0].message.contains(words), "{edits:?}: {}", found[0]);
    assert_eq!(found[0].reason, Reason::InvalidSpec, "{}", found[0]);
    assert!(found[0].message.contains(": "), "it says what to do: {}", found[0]);
}

#[test]
fn the_smallest_and_the_fullest_specs_are_right() {
    for spec in
        [&REGISTRY, &REGISTRY6, &REGISTRY_FULL, &DRM, &ANT, &POWERJOB, &specs::DRM_FULL, &specs::ANT_FULL]
    {
        assert_eq!(problems(spec, &[]), [], "{:#}", **spec);
    }
}

/// A meta is asked often whether it is ready. What a spec says of that, however little, stands for all of it.
#[test]
fn the_readiness_of_a_meta_is_asked_often_unless_the_spec_says_how() {
    let around = Around::of(ClusterKind::Registry);
    for (edits, meta) in [
        (&[][..], (2, 2, 15)),
        (&[("/meta", json!({"probes": {"startupTimeout": "3m"}}))], (2, 2, 15)),
        (&[("/meta", json!({"probes": {"readiness": {"timeoutSeconds": 9}}}))], (10, 9, 3)),
        (&[("/meta", json!({"probes": {"readiness": {"failureThreshold": 4}}}))], (10, 3, 4)),
    ] {
        let valid = around.registry(&edited(&REGISTRY, edits)).unwrap();
        let pace = |c: &ValidComponent| {
            let rule = &c.probes.readiness;
            (rule.period_seconds, rule.timeout_seconds, rule.failure_threshold)
        };
        assert_eq!((pace(&valid.meta), pace(&valid.data)), (meta, (10, 3, 3)), "{edits:?}");
    }
}

#[test]
fn what_is_wrong_with_a_registry_is_told() {
    for (edits, field, words) in [
        (&[("/version", json!("2.8.0")), ("/image", json!("r/x:1"))][..], "membership", "say RaftByAddress"),
        (
            &[("/membership", json!("Database")), ("/database", REGISTRY6["database"].clone())],
            "membership",
            "version 5.x",
        ),
        (&[("/image", json!("r/sofa-registry:6.3.0"))], "image", "is of 6.3.0 by its tag, version is 5.4.3"),
        (&[("/meta/replicas", json!(2))], "meta.replicas", "1, 3, 5 or 7"),
        (&[("/meta/replicas", json!(9))], "meta.replicas", "1, 3, 5 or 7"),
        (&[("/data/replicas", json!(0))], "data.replicas", "from 1 to 64"),
        (&[("/session/replicas", json!(65))], "session.replicas", "from 1 to 64"),
        (&[("/meta/storage/type", json!("Ephemeral"))], "meta.storage.type", "must be Claim"),
        (&[("/data/service/perPod", json!(true))], "data.service.perPod", "remove it"),
        (
            &[("/session/service/loadBalancerClass", json!("x"))],
            "session.service.type",
            "for type LoadBalancer",
        ),
        (&[("/data/heap", json!("8192Mi"))], "data.heap", "must be smaller"),
        (
            &[
                ("/data/heap", json!("600Mi")),
                ("/profile", json!("Small")),
                ("/data/resources/limits/memory", json!("600Mi")),
            ],
            "data.heap",
            "must be smaller",
        ),
        (
            &[("/data/resources", json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}))],
            "data.resources.requests.memory",
            "lower the request",
        ),
        (
            &[("/data/resources", json!({"requests": {"cpu": "2"}, "limits": {"cpu": "500m"}}))],
            "data.resources.requests.cpu",
            "lower the request",
        ),
        (
            &[("/data/ports", json!([{"name": "raft", "port": 1}]))],
            "data.ports[0].name",
            "session, sync, http",
        ),
        (&[("/data/ports", json!([{"name": "sync", "port": 0}]))], "data.ports[0].port", "from 1 to 65535"),
        (
            &[("/data/ports", json!([{"name": "sync", "port": 9622}]))],
            "data.ports",
            "http and sync are both 9622",
        ),
        (
            &[("/data/probes/liveness", json!({"path": "/x", "command": ["y"]}))],
            "data.probes.liveness.command",
            "not by both",
        ),
        (&[("/data/probes/startupTimeout", json!("5s"))], "data.probes.startupTimeout", "at least 10s"),
        (&[("/rollout/verify/timeout", json!("10s"))], "rollout.verify.timeout", "from 1m to 24h"),
        (
            &[("/rollout/verify/minRecoveryPercent", json!(0))],
            "rollout.verify.minRecoveryPercent",
            "from 1 to 100",
        ),
        (
            &[("/rollout/windows", json!([{"cron": "0 25 * * *", "duration": "1h"}]))],
            "rollout.windows[0].cron",
            "hour (0-23)",
        ),
        (
            &[("/rollout/windows", json!([{"cron": "0 2 31 4 *", "duration": "1h"}]))],
            "rollout.windows[0].cron",
            "never comes",
        ),
        (
            &[(
                "/rollout/windows",
                json!([
                    {"cron": "0 2 * * *", "duration": "1h"}, {"cron": "0 2 * * *", "duration": "1h", "timeZone": "Asia/Peking"},
                ]),
            )],
            "rollout.windows[1].timeZone",
            "Asia/Peking",
        ),
        (
            &[("/rollout/windows", json!([{"cron": "0 2 * * *", "duration": "1s"}]))],
            "rollout.windows[0].duration",
            "1m to 168h",
        ),
        (&[("/networkPolicy/extraFrom", json!([{}]))], "networkPolicy.extraFrom[0]", "either an ipBlock"),
    ] {
        refused(&REGISTRY, edits, field, words);
    }
    for survivor in ["data-0", "other-meta-0", "meta-x"] {
        let confirm = json!({"metaMajority": {"confirm": {"incident": "a1", "survivor": survivor}}});
        let field = "recovery.metaMajority.confirm.survivor";
        refused(&REGISTRY, &[("/recovery", confirm)], field, survivor);
    }
    refused(&REGISTRY6, &[("/membership", json!("RaftByAddress"))], "membership", "version 6.x is Database");
    refused(&REGISTRY6, &[("/database", Value::Null)], "database", "give its host, name and secretRef");
    refused(&REGISTRY6, &[("/database/port", json!(0))], "database.port", "from 1 to 65535");
}

#[test]
fn what_is_wrong_with_the_others_is_told() {
    let refs = json!({"name": "registry"});
    for (base, edits, field, words) in [
        (&DRM, &[("/image", json!("drm:2.0.0"))][..], "image", "is of 2.0.0"),
        (&DRM, &[("/console/image", json!("console:2.0.0"))], "console.image", "is of 2.0.0"),
        (
            &DRM,
            &[(
                "/console/exposure",
                json!({
                    "ingress": {"host": "a.b"}, "gateway": {"name": "g", "host": "a.b"},
                }),
            )],
            "console.exposure.gateway",
            "not by both",
        ),
        (&DRM, &[("/console/service/perPod", json!(true))], "console.service.perPod", "drmdata only"),
        (&DRM, &[("/drmdata/heap", json!("4096Mi"))], "drmdata.heap", "must be smaller"),
        (&ANT, &[("/database", Value::Null)], "database", "AntScheduler keeps its tasks"),
        (&ANT, &[("/registryRef", Value::Null)], "registryRef", "name a RegistryCluster"),
        (&ANT, &[("/powerjob", json!({}))], "powerjob", "remove it"),
        (
            &ANT,
            &[("/server/ports", json!([{"name": "akka", "port": 1}]))],
            "server.ports[0].name",
            "http, server, client, rpc",
        ),
        (&POWERJOB, &[("/database", Value::Null)], "database", "find each other"),
        (&POWERJOB, &[("/registryRef", refs)], "registryRef", "for engine AntScheduler"),
        (&POWERJOB, &[("/console", json!({}))], "console", "for engine AntScheduler"),
        (&POWERJOB, &[("/rollout/strategy", json!("TwoGroups"))], "rollout.strategy", "OneByOne"),
        (
            &POWERJOB,
            &[("/server/ports", json!([{"name": "rpc", "port": 1}]))],
            "server.ports[0].name",
            "http, remote, akka",
        ),
    ] {
        refused(base, edits, field, words);
    }
}

#[test]
fn an_overlay_touches_nothing_that_the_operator_owns() {
    for (overlay, field, words) in [
        (json!({"spec": {"restartPolicy": "Never"}}), "spec.restartPolicy", "operator's own"),
        (json!({"spec": {"schedulingGates": []}}), "spec.schedulingGates", "operator's own"),
        (json!({"spec": {"nodeName": "n"}}), "spec.nodeName", "operator's own"),
        (json!({"metadata": {"name": "x"}}), "metadata.name", "operator's own"),
        (
            json!({"metadata": {"labels": {"middleware.sofastack.io/role": "x"}}}),
            "metadata.labels['middleware.sofastack.io/role']",
            "operator's own",
        ),
        (
            json!({"metadata": {"labels": {"app.kubernetes.io/name": "x"}}}),
            "metadata.labels['app.kubernetes.io/name']",
            "operator's own",
        ),
        (
            json!({"metadata": {"annotations": {"middleware.sofastack.io/restart": "x"}}}),
            "metadata.annotations['middleware.sofastack.io/restart']",
            "operator's own",
        ),
        (
            json!({"spec": {"containers": [{"name": "data", "image": "x"}]}}),
            "spec.containers[0].image",
            "the place to change it is image",
        ),
        (
            json!({"spec": {"containers": [{"name": "data", "env": [{"name": "META_NODES", "value": "x"}]}]}}),
            "spec.containers[0].env[0]",
            "(META_NODES), the place to change it is meta.replicas",
        ),
        (
            json!({"spec": {"containers": [{"name": "data", "env": [{"name": "JDBC_PASSWORD", "value": "x"}]}]}}),
            "spec.containers[0].env[0]",
            "database.secretRef",
        ),
        (json!({"spec": {"containers": [{"image": "x"}]}}), "spec.containers", "each entry has a name"),
        (json!({"spec": {"containers": Value::Null}}), "spec.containers", "each entry has a name"),
        (json!({"spec": {"volumes": [{"emptyDir": {}}]}}), "spec.volumes", "each entry has a name"),
        (json!({"spec": {"priorityClas": "x"}}), "spec.priorityClas", "no field of a pod template"),
        (json!({"spec": Value::Null}), "spec", "must be a map"),
        (json!({"metadata": "x"}), "metadata", "must be a map"),
        (json!({"sepc": {}}), "sepc", "no field of a pod template"),
        (
            json!({"spec": {"containers": [{"name": "data", "resources": {"limit": {}}}]}}),
            "spec.containers[0].resources.limit",
            "no field of a pod template",
        ),
    ] {
        let field = format!("data.podTemplate.{field}");
        refused(&REGISTRY, &[("/data/podTemplate", overlay)], &field, words);
    }
    let wrong_type = json!({"spec": {"terminationGracePeriodSeconds": "long"}});
    refused(&REGISTRY, &[("/data/podTemplate", wrong_type)], "data.podTemplate", "no part of a pod template");
    for right in [
        json!({}),
        json!({"metadata": {"labels": {"team": "x", "app.kubernetes.io/version": "1"}}}),
        json!({"spec": {"affinity": Value::Null, "tolerations": [{"operator": "Exists"}]}}),
        json!({"spec": {"containers": [{"name": "sidecar", "image": "x"}, {"name": "data", "tty": true}]}}),
        json!({"spec": {"volumes": [{"name": "home", "hostPath": {"path": "/x"}}]}}),
    ] {
        assert_eq!(problems(&REGISTRY, &[("/data/podTemplate", right)]), []);
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let found = problems(
        &REGISTRY,
        &[
            ("/image", json!("r/sofa-registry:5.4.2")),
            ("/meta", json!({"replicas": 4, "storage": {"type": "Ephemeral"}, "heap": "9999Mi"})),
            ("/rollout/windows", json!([{"cron": "0 0 30 2 *", "duration": "1h", "timeZone": "Nowhere"}])),
        ],
    );
    let fields: Vec<_> = found.iter().map(|invalid| invalid.field.as_str()).collect();
    let expected = [
        "image",
        "meta.heap",
        "meta.replicas",
        "meta.storage.type",
        "rollout.windows[0].timeZone",
        "rollout.windows[0].cron",
    ];
    assert_eq!(fields, expected);
    let sentence = "spec.meta.replicas: meta.replicas must be 1, 3, 5 or 7: an even number bears no more failures \
                    than one less";
    assert_eq!(found[2].to_string(), sentence);
}

#[test]
fn a_name_that_no_service_could_have_is_refused() {
    for name in ["1st", "a.b", "Prod", "prod-", &"a".repeat(41)] {
        let mut around = Around::of(ClusterKind::Registry);
        name.clone_into(&mut around.identity.name);
        let found = around.registry(&REGISTRY).unwrap_err();
        assert_eq!(found[0].field, "metadata.name", "{name}");
        assert!(found[0].to_string().starts_with("metadata.name: "), "{}", found[0]);
    }
}

#[test]
fn what_runs_cannot_become_anything() {
    let commercial = json!({
        "version": "2.9.0", "image": "r/x:1", "dataCenter": "d", "membership": "RaftSelfHealing",
    });
    for (spec, runs, kind, expected) in [
        (&*REGISTRY6, "5.4.3", Some(MembershipKind::RaftByAddress), Some("raft group (5.x) cannot become")),
        (&*REGISTRY, "6.3.0", None, Some("raft group (5.x) cannot become")),
        (&commercial, "6.3.0", Some(MembershipKind::Database), Some("raft group (5.x) cannot become")),
        (&commercial, "5.4.3", Some(MembershipKind::RaftByAddress), Some("of another line than 5.4.3")),
        (&commercial, "2.8.1", Some(MembershipKind::RaftByAddress), None),
        (&*REGISTRY, "5.3.0", Some(MembershipKind::RaftByAddress), None),
        (&*REGISTRY, "5.5.0", Some(MembershipKind::RaftByAddress), None),
        (&*REGISTRY6, "6.1.0", Some(MembershipKind::Database), None),
    ] {
        let mut around = Around::of(ClusterKind::Registry);
        around.previous.version = Some(runs.parse().unwrap());
        around.previous.membership = kind;
        let found = around.registry(spec).err().unwrap_or_default();
        assert_eq!(found.len(), usize::from(expected.is_some()), "{runs}: {found:?}");
        for (found, words) in found.iter().zip(expected) {
            assert!(found.message.contains(words), "{found}");
            assert_eq!(found.reason, Reason::MembershipChange);
        }
    }
}

#[test]
fn what_is_allowed_and_not_good_is_told() {
    for (base, edits, field, degrades) in [
        (&REGISTRY, &[("/meta/replicas", json!(1))][..], "meta.replicas", Some(Reason::NotHighlyAvailable)),
        (
            &REGISTRY,
            &[("/data/resources/limits/memory", json!("500Mi"))],
            "data.resources.limits.memory",
            None,
        ),
        (&REGISTRY, &[("/data/storage/type", json!("Ephemeral"))], "data.storage.type", None),
        (&REGISTRY, &[("/workarounds/renewSwitch", json!("Never"))], "workarounds.renewSwitch", None),
        (&REGISTRY, &[("/data/service/type", json!("ClusterIP"))], "data.service", None),
        (&REGISTRY, &[("/rollout/approved", json!("0123456789abcdef"))], "rollout.approved", None),
        (
            &REGISTRY,
            &[
                ("/version", json!("2.8.0")),
                ("/image", json!("r/x:1")),
                ("/membership", json!("RaftSelfHealing")),
            ],
            "membership",
            None,
        ),
        (
            &REGISTRY,
            &[
                ("/version", json!("2.9.1")),
                ("/image", json!("r/x:1")),
                ("/membership", json!("RaftByAddress")),
            ],
            "membership",
            None,
        ),
        (
            &REGISTRY,
            &[(
                "/data/podTemplate",
                json!({"spec": {"containers": [
                    {"name": "data", "env": [{"name": "JAVA_OPTS", "value": "-Xmx1g"}]},
                ]}}),
            )],
            "data.podTemplate.spec.containers[0].env[0]",
            None,
        ),
    ] {
        let valid = Around::of(ClusterKind::Registry).registry(&edited(base, edits)).unwrap();
        let warnings = &valid.common.warnings;
        assert_eq!(warnings.len(), 1, "{edits:?}: {warnings:?}");
        assert_eq!((warnings[0].field.as_str(), warnings[0].degrades), (field, degrades));
    }
    let calm = Around::of(ClusterKind::Registry).registry(&REGISTRY).unwrap();
    assert_eq!(calm.common.warnings, []);
}

/// PowerJob's apps are moved with a login and a measured version; that they are not is told, with what can be done.
#[test]
fn that_apps_are_not_moved_is_told() {
    let login = ("/powerjob/databaseSecretRef", json!({"name": "operator"}));
    let retry = ("/powerjob/retryLost", json!("Enabled"));
    let version = [("/version", json!("4.3.7")), ("/image", json!("localhost/powerjob:4.3.7"))];
    for (edits, told) in [
        (vec![], Some(("powerjob.databaseSecretRef", "give the operator a user"))),
        (vec![login.clone()], None),
        (
            [version.as_slice(), std::slice::from_ref(&login)].concat(),
            Some(("version", "set powerjob.retryLost")),
        ),
        ([version.as_slice(), &[login, retry]].concat(), Some(("version", "is run again"))),
    ] {
        let valid = Around::of(ClusterKind::Scheduler).scheduler(&edited(&POWERJOB, &edits)).unwrap();
        let found: Vec<_> =
            valid.common.warnings.iter().filter(|w| w.degrades == Some(Reason::AppsNotMoved)).collect();
        assert_eq!(found.len(), usize::from(told.is_some()), "{edits:?}: {found:?}");
        if let (Some(found), Some((field, words))) = (found.first(), told) {
            assert_eq!(found.field, field);
            assert!(found.message.contains(words), "{}", found.message);
        }
    }
}

#[test]
fn what_is_missing_is_waited_for() {
    let mut around = Around::of(ClusterKind::Drm);
    around.references.database = SecretFact::Found(["username".to_owned()].into());
    for (registry, words) in [
        (ReferenceFact::NotFound, "make it, or correct registryRef"),
        (ReferenceFact::NotAllowed, "lets in no clusters of namespace pay"),
        (ReferenceFact::Unknown, "could not be read"),
    ] {
        around.references.registry = registry;
        let Common { waiting, .. } = around.drm(&DRM).unwrap().common;
        let Missing { field, subject, message, reason } = &waiting[0];
        assert_eq!((field.as_str(), subject.as_str()), ("database.secretRef", "Secret registry-database"));
        assert_eq!(
            message,
            "Secret registry-database has no 'password': add it, or name the key that has it"
        );
        assert_eq!(*reason, Reason::ReferenceNotFound);
        assert_eq!(
            (waiting[1].field.as_str(), waiting[1].subject.as_str()),
            ("registryRef", "RegistryCluster pay/registry")
        );
        assert!(waiting[1].message.contains(words), "{}", waiting[1].message);
    }
    // What the spec does not refer to is not looked for.
    around.references = sofa_operator::validate::References::default();
    assert_eq!(around.registry(&REGISTRY).unwrap().common.waiting, []);
}

#[test]
fn a_storage_class_that_is_not_there_holds_up_a_first_start_alone() {
    let mut around = Around::of(ClusterKind::Registry);
    around.references.absent_classes = ["fast".to_owned()].into();
    let of_class = |name: &str| edited(&REGISTRY, &[("/data/storage/storageClassName", json!(name))]);
    let spec = of_class("fast");
    let Common { waiting, .. } = around.registry(&spec).unwrap().common;
    let [Missing { field, subject, message, reason }] = waiting.as_slice() else { panic!("{waiting:?}") };
    assert_eq!(
        (field.as_str(), subject.as_str(), *reason),
        ("data.storage.storageClassName", "StorageClass fast", Reason::ReferenceNotFound)
    );
    assert!(message.contains("make it"), "{message}");
    assert_eq!(around.registry(&of_class("slow")).unwrap().common.waiting, []);
    assert_eq!(
        around.registry(&REGISTRY).unwrap().common.waiting,
        [],
        "the default class is nobody's to name"
    );
    around.previous.membership = Some(MembershipKind::RaftByAddress);
    assert_eq!(around.registry(&spec).unwrap().common.waiting, [], "what runs has its volumes");
}

#[test]
fn another_namespace_is_let_in_by_name_only() {
    for (allow, expected) in [
        (None, ReferenceFact::NotAllowed),
        (Some(""), ReferenceFact::NotAllowed),
        (Some("paying"), ReferenceFact::NotAllowed),
        (Some("shop, pay"), ReferenceFact::Found),
        (Some("*"), ReferenceFact::Found),
    ] {
        let annotations = allow.map(|list| (sofa_operator::validate::ALLOW_FROM.to_owned(), list.to_owned()));
        assert_eq!(may_refer(&annotations.into_iter().collect(), "shared", "pay"), expected, "{allow:?}");
    }
    assert_eq!(may_refer(&std::collections::BTreeMap::new(), "pay", "pay"), ReferenceFact::Found);
}

#[test]
fn the_guides_sizes_are_the_defaults() {
    let around = Around::of(ClusterKind::Registry);
    let guide = around.registry(&REGISTRY).unwrap();
    let small = around.registry(&edited(&REGISTRY, &[("/profile", json!("Small"))])).unwrap();
    let small6 = around.registry(&edited(&REGISTRY6, &[("/profile", json!("Small"))])).unwrap();
    let drm = Around::of(ClusterKind::Drm).drm(&DRM).unwrap();
    let powerjob = Around::of(ClusterKind::Scheduler).scheduler(&POWERJOB).unwrap();
    let rows: [(&dyn ValidCluster, Role, &str); 9] = [
        (&guide, Role::Meta, "3 x 4C8Gi/8Gi 240Gi heap 6144"),
        (&guide, Role::Data, "3 x 8C8Gi/8Gi 40Gi heap 6144"),
        (&guide, Role::Session, "2 x 4C8Gi/8Gi 40Gi heap 6144"),
        (&small, Role::Meta, "1 x 50mC384Mi/640Mi 1Gi heap 256"),
        (&small6, Role::Data, "1 x 50mC512Mi/768Mi 1Gi heap 384"),
        (&drm, Role::Drmdata, "2 x 2C4Gi/4Gi 40Gi heap 3000"),
        (&drm, Role::Console, "2 x 2C4Gi/4Gi 40Gi heap 3000"),
        (&powerjob, Role::Server, "2 x 2C4Gi/4Gi 40Gi heap 3000"),
        (&small, Role::Session, "1 x 50mC384Mi/640Mi 1Gi heap 256"),
    ];
    for (cluster, role, expected) in rows {
        let c = cluster.component(role).unwrap();
        let r = &c.resources;
        let shown = format!(
            "{} x {}C{}/{} {} heap {}",
            c.replicas,
            r.cpu_request,
            r.memory_request,
            r.memory_limit,
            c.storage.size(),
            c.heap_mib
        );
        assert_eq!(shown, expected, "{role:?}");
        assert!(r.cpu_limit.is_none());
        assert!(matches!(c.storage, SizedStorage::Claim { class: None, .. }));
    }
}

#[test]
fn requests_follow_limits() {
    for (resources, expected) in [
        (json!({"limits": {"cpu": "2", "memory": "4Gi"}}), ("2", Some("2"), "4Gi", "4Gi")),
        (json!({"requests": {"cpu": "1"}}), ("1", None, "8Gi", "8Gi")),
        (json!({"requests": {"memory": "16Gi"}}), ("8", None, "16Gi", "16Gi")),
        (json!({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}), ("8", None, "1Gi", "2Gi")),
    ] {
        let spec = edited(&REGISTRY, &[("/data/resources", resources.clone())]);
        let valid = Around::of(ClusterKind::Registry).registry(&spec).unwrap();
        let sizes = &valid.data.resources;
        let shown = (
            sizes.cpu_request.to_string(),
            sizes.cpu_limit.as_ref().map(ToString::to_string),
            sizes.memory_request.to_string(),
            sizes.memory_limit.to_string(),
        );
        let (cpu, limit, memory, most) = expected;
        assert_eq!(
            shown,
            (cpu.to_owned(), limit.map(str::to_owned), memory.to_owned(), most.to_owned()),
            "{resources}"
        );
    }
}

#[test]
fn everything_that_a_full_spec_says_is_taken() {
    let valid = Around::of(ClusterKind::Registry).registry(&REGISTRY_FULL).unwrap();
    let rules = &valid.common.rollout;
    assert_eq!((rules.strategy, rules.approval), (Strategy::TwoGroups, Approval::Manual));
    assert_eq!(rules.approved.as_ref().unwrap().as_str(), "0123456789abcdef");
    assert_eq!((rules.verify.percent, rules.verify.on_timeout), (95, OnTimeout::Reopen));
    assert_eq!(rules.verify.timeout, Duration::from_mins(30));
    let verdict = rules.windows.verdict("2026-11-23T18:00:00Z".parse().unwrap());
    assert_eq!(verdict, WindowVerdict::Open { until: Some("2026-11-23T20:30:00Z".parse().unwrap()) });
    assert!(valid.hold && valid.common.paused && !valid.disable_renew);
    assert_eq!(valid.membership, MembershipKind::Database);
    let data = &valid.data;
    assert_eq!((data.replicas, data.heap_mib, data.ports.number("http")), (4, 5000, Some(9606)));
    assert_eq!(data.probes.readiness.check, Check::Http("/health".to_owned()));
    assert_eq!(data.probes.liveness.timeout_seconds, 9);
    assert_eq!((data.probes.startup.failure_threshold, data.probes.startup.period_seconds), (300, 2));
    let database = valid.database.unwrap();
    assert_eq!(
        database.jdbc_url,
        "jdbc:mysql://db.example:3307/registry_db?useUnicode=true&characterEncoding=utf8&useSSL=true&connectTimeout=3000"
    );
    assert_eq!(
        (database.secret.username_key.as_str(), database.secret.password_key.as_str()),
        ("user", "pass.word")
    );
}

#[test]
fn the_versions_decide_membership_and_workaround() {
    for (version, membership, kind, disable) in [
        ("5.4.3", "Auto", MembershipKind::RaftByAddress, true),
        ("5.2.0", "RaftByAddress", MembershipKind::RaftByAddress, true),
        ("5.4.4", "Auto", MembershipKind::RaftByAddress, false),
        ("2.9.0", "RaftSelfHealing", MembershipKind::RaftSelfHealing, false),
        ("2.8.0", "RaftByAddress", MembershipKind::RaftByAddress, false),
    ] {
        let edits =
            [("/version", json!(version)), ("/image", json!("r/x:1")), ("/membership", json!(membership))];
        let valid = Around::of(ClusterKind::Registry).registry(&edited(&REGISTRY, &edits)).unwrap();
        assert_eq!((valid.membership, valid.disable_renew), (kind, disable), "{version}");
    }
}

#[test]
fn a_raft_group_is_kept_once_fixed_and_is_each_objects_own_before() {
    let mut around = Around::of(ClusterKind::Registry);
    let first = around.registry(&REGISTRY).unwrap().raft_group;
    assert_eq!(first, around.registry(&REGISTRY).unwrap().raft_group);
    around.identity.uid = "2b4e28ba-2fa1-11d2-883f-0016d3cca427".to_owned();
    let other = around.registry(&REGISTRY).unwrap().raft_group;
    assert_ne!(first, other);
    assert!(first.starts_with("prod-") && first.len() == 17, "{first}");
    around.environment.raft_group = Some("fixed".to_owned());
    assert_eq!(around.registry(&REGISTRY).unwrap().raft_group, "fixed");
}

/// The guide greps the body for `false`; an answer that says nothing is no good one either.
#[test]
fn the_body_decides_whether_drmdata_works() {
    let valid = Around::of(ClusterKind::Drm).drm(&DRM).unwrap();
    let Check::Command(command) = &valid.drmdata.probes.readiness.check else {
        panic!("{:?}", valid.drmdata.probes)
    };
    for (answer, works) in [
        ("printf 'passed:true\nstartup:true\n'", true),
        ("printf 'passed:true\nTaskManageFacade:false Addresses unavailable\n'", false),
        ("printf ''", false),
        ("printf '<html>500</html>'", false),
        ("printf 'passed:true\n'; return 28", false),
    ] {
        let script = format!("curl() {{ {answer}; }}; {}", command[2]);
        let status = std::process::Command::new(&command[0]).args([&command[1], &script]).status().unwrap();
        assert_eq!(status.success(), works, "{answer}");
    }
}
