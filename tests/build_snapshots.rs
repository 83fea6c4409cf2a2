//! What `build` makes: snapshots of all objects, and tables of what has to hold for each of them.
//!
//! A snapshot that differs fails; to accept it, look at it and run with `INSTA_UPDATE=always`. A golden revision that
//! differs means that an upgrade of the operator would restart every pod of every cluster: see `golden_revisions`.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test's helpers fail as its test functions do"
)]

mod specs;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Value, json};
use sofa_operator::api::v1alpha1::Role;
use sofa_operator::build::{Build, Objects, ObservedVolumes, StatefulSetChange, claim_name, volume_growth};
use sofa_operator::plan::{Desired, DesiredRole, TemplateChoice};
use sofa_operator::validate::{ClusterKind, Referrer, ValidCluster};
use specs::{ANT, ANT_FULL, Around, DRM, DRM_FULL, POWERJOB, REGISTRY, REGISTRY_FULL, REGISTRY6, edited};

/// A cluster of any kind.
type AnyCluster = Box<dyn Build>;

fn around(spec: &Value) -> Around {
    match spec {
        _ if spec.get("engine").is_some() => Around::of(ClusterKind::Scheduler),
        _ if spec.get("dataCenter").is_some() => Around::of(ClusterKind::Registry),
        _ => Around::of(ClusterKind::Drm),
    }
}

fn valid(spec: &Value) -> AnyCluster {
    let around = around(spec);
    match around.identity.kind {
        ClusterKind::Registry => Box::new(around.registry(spec).unwrap()),
        ClusterKind::Drm => Box::new(around.drm(spec).unwrap()),
        ClusterKind::Scheduler => Box::new(around.scheduler(spec).unwrap()),
    }
}

/// Everything as the spec wants it.
fn reached(cluster: &(impl ValidCluster + ?Sized)) -> Desired {
    let role = |replicas| DesiredRole { replicas, template: TemplateChoice::Target };
    Desired {
        roles: cluster.components().iter().map(|c| (c.role, role(c.replicas))).collect(),
        meta_names: cluster.component(Role::Meta).map_or(0, |meta| meta.replicas),
    }
}

fn built(spec: &Value) -> Objects {
    let cluster = valid(spec);
    cluster.build(&reached(cluster.as_ref()))
}

fn all() -> [(&'static str, &'static Value); 8] {
    [
        ("registry-5", &REGISTRY),
        ("registry-6", &REGISTRY6),
        ("registry-6-full", &REGISTRY_FULL),
        ("drm", &DRM),
        ("drm-full", &DRM_FULL),
        ("antscheduler", &ANT),
        ("antscheduler-full", &ANT_FULL),
        ("powerjob", &POWERJOB),
    ]
}

/// All objects as values, each with its kind.
fn values(objects: &Objects) -> Vec<(&'static str, Value)> {
    fn of<T: serde::Serialize>(kind: &'static str, list: &[T]) -> Vec<(&'static str, Value)> {
        list.iter().map(|object| (kind, serde_json::to_value(object).unwrap())).collect()
    }
    let sets: Vec<_> = objects
        .stateful_sets
        .iter()
        .map(|change| match change {
            StatefulSetChange::Full(set) => serde_json::to_value(set).unwrap(),
            StatefulSetChange::Replicas { name, replicas } => json!({"name": name, "replicas": replicas}),
        })
        .collect();
    [
        of("ServiceAccount", std::slice::from_ref(&objects.service_account)),
        of("ConfigMap", &objects.config_maps),
        of("NetworkPolicy", &objects.network_policies),
        of("Service", &objects.services),
        of("PodDisruptionBudget", &objects.disruption_budgets),
        of("Ingress", &objects.ingresses),
        of("HTTPRoute", &objects.http_routes),
        of("StatefulSet", &sets),
    ]
    .concat()
}

fn yaml(objects: &Objects) -> String {
    let documents = values(objects).into_iter().map(|(_, value)| serde_yaml::to_string(&value).unwrap());
    documents.collect::<Vec<_>>().join("---\n")
}

fn pods(objects: &Objects) -> Vec<(String, PodTemplateSpec)> {
    let full = |change: &StatefulSetChange| match change {
        StatefulSetChange::Full(set) => Some((change.name().to_owned(), set.spec.clone().unwrap().template)),
        StatefulSetChange::Replicas { .. } => None,
    };
    objects.stateful_sets.iter().filter_map(full).collect()
}

#[test]
fn snapshots() {
    for (name, spec) in all() {
        insta::assert_snapshot!(name, yaml(&built(spec)));
    }
}

/// The same spec gives the same pod template with every version of the operator: an upgrade restarts nothing. Who has to
/// change one of these lines says in `CHANGELOG.md` that the upgrade is a rollout of every cluster.
#[test]
fn golden_revisions() {
    let golden = include_str!("golden/revisions.txt");
    let mut found = String::from(
        "# Revisions of the pod templates of the examples in tests/specs. See tests/build_snapshots.rs.\n",
    );
    for (name, spec) in all() {
        for (role, revision) in valid(spec).targets() {
            writeln!(found, "{name} {} {revision}", role.field()).unwrap();
        }
    }
    assert_eq!(found, golden, "found:\n{found}");
}

#[test]
fn a_template_holds_its_revision_and_nothing_of_the_operators_version() {
    for (name, spec) in all() {
        let targets = valid(spec).targets();
        let pods = pods(&built(spec));
        assert_eq!(pods.len(), targets.len());
        for (set, template) in pods {
            let text = serde_json::to_string(&template).unwrap();
            let word = |c: char| c.is_ascii_alphanumeric() || c == '.';
            let mut words = text.split(|c| !word(c));
            assert!(words.all(|word| word != env!("CARGO_PKG_VERSION")), "{name} {set}: {text}");
            let labels = template.metadata.unwrap().labels.unwrap();
            assert!(
                targets.values().any(|target| *target == labels["middleware.sofastack.io/revision"]),
                "{set}"
            );
        }
    }
}

#[test]
fn a_change_is_a_change_of_its_roles_and_of_no_others() {
    let three = [Role::Meta, Role::Data, Role::Session];
    for (base, path, value, changed) in [
        (&REGISTRY, "/restart", json!("now"), &three[..]),
        (&REGISTRY, "/image", json!("localhost/sofa-registry:5.4.3-2"), &three),
        (&REGISTRY, "/region", json!("ZONE_B"), &three),
        (&REGISTRY, "/data/ports", json!([{"name": "http", "port": 9606}]), &three),
        (&REGISTRY, "/meta/heap", json!("1000Mi"), &[Role::Meta]),
        (&REGISTRY, "/data/resources/limits/memory", json!("9Gi"), &[Role::Data]),
        (&REGISTRY, "/session/podTemplate/spec", json!({"priorityClassName": "x"}), &[Role::Session]),
        (&REGISTRY, "/meta/replicas", json!(5), &[]),
        (&REGISTRY, "/data/replicas", json!(7), &[]),
        (&REGISTRY, "/session/replicas", json!(7), &[]),
        (&REGISTRY, "/data/storage/size", json!("50Gi"), &[]),
        (&REGISTRY, "/session/service", json!({"type": "LoadBalancer", "perPod": true}), &[]),
        (&REGISTRY, "/networkPolicy/extraFrom", json!([{"ipBlock": {"cidr": "10.0.0.0/8"}}]), &[]),
        (&REGISTRY, "/push/hold", json!(true), &[]),
        (&REGISTRY, "/paused", json!(true), &[]),
        (&REGISTRY, "/rollout/approval", json!("Manual"), &[]),
        (&REGISTRY, "/pushGroup", json!("city"), &[]),
        (&REGISTRY6, "/database/host", json!("other.example"), &three),
        (&DRM, "/console/image", json!("x:1"), &[Role::Console]),
        (&DRM, "/drmdata/replicas", json!(4), &[]),
        (&DRM, "/remoteSites", json!([{"name": "w", "drmdataAddresses": ["10.0.0.1"]}]), &[Role::Drmdata]),
        (&ANT, "/mq", json!({"address": "mq"}), &[Role::Server, Role::Console]),
        (&POWERJOB, "/server/replicas", json!(3), &[]),
        (&POWERJOB, "/server/ports", json!([{"name": "akka", "port": 10087}]), &[Role::Server]),
    ] {
        let (before, after) = (valid(base).targets(), valid(&edited(base, &[(path, value)])).targets());
        let differ: BTreeSet<_> = before.keys().filter(|role| before[role] != after[role]).copied().collect();
        assert_eq!(differ, changed.iter().copied().collect(), "{path}");
    }
}

#[test]
fn the_names_of_the_metas_are_those_of_the_decision() {
    let cluster = valid(&REGISTRY);
    let mut desired = reached(cluster.as_ref());
    desired.meta_names = 2;
    let maps = cluster.build(&desired).config_maps;
    let peers = maps.iter().find(|map| map.metadata.name.as_deref() == Some("prod-registry-peers")).unwrap();
    let expected = "prod-meta-0.prod-meta,prod-meta-1.prod-meta";
    assert_eq!(peers.data.as_ref().unwrap()["META_NODES"], expected);
    let names = cluster.build(&reached(cluster.as_ref())).services;
    assert!(names.iter().any(|service| service.metadata.name.as_deref() == Some("prod-meta")));
}

#[test]
fn a_role_is_made_when_it_is_decided_and_from_the_template_that_is_decided() {
    let cluster = valid(&REGISTRY);
    let role = |replicas, template| DesiredRole { replicas, template };
    let desired = Desired {
        roles: BTreeMap::from([
            (Role::Meta, role(3, TemplateChoice::Keep)),
            (Role::Data, role(2, TemplateChoice::Target)),
        ]),
        meta_names: 3,
    };
    let sets = cluster.build(&desired).stateful_sets;
    assert_eq!(sets[0], StatefulSetChange::Replicas { name: "prod-meta".to_owned(), replicas: 3 });
    let StatefulSetChange::Full(data) = &sets[1] else { panic!("{:?}", sets[1]) };
    assert_eq!(data.spec.as_ref().unwrap().replicas, Some(2));
    assert_eq!(sets.len(), 2);
    assert_eq!(cluster.build(&Desired::default()).stateful_sets, []);
}

#[test]
fn every_object_has_its_owner_and_a_name_of_its_own_and_no_claim_has() {
    for (name, spec) in all() {
        let mut names = BTreeSet::new();
        for (kind, value) in values(&built(spec)) {
            let metadata = &value["metadata"];
            assert!(
                names.insert((kind, metadata["name"].to_string())),
                "{name}: two of {kind} {}",
                metadata["name"]
            );
            assert_eq!(metadata["namespace"], "pay");
            assert!(metadata["name"].as_str().unwrap().starts_with("prod-"), "{kind} {}", metadata["name"]);
            let owner = &metadata["ownerReferences"][0];
            assert_eq!(owner["uid"], "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "{kind}");
            assert_eq!((&owner["controller"], &owner["blockOwnerDeletion"]), (&json!(true), &json!(true)));
            assert_eq!(owner["apiVersion"], "middleware.sofastack.io/v1alpha1");
            for claim in value["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
                assert!(claim["metadata"].get("ownerReferences").is_none());
                assert_eq!(claim["metadata"]["name"], "home");
            }
        }
    }
}

/// Labels and annotations of the custom resource, such as Argo CD's tracking label, cannot get into a child: `validate`
/// and `build` are not even given them. This finds what would do so by another way.
#[test]
fn children_have_only_the_labels_and_annotations_that_are_theirs() {
    let labels = [
        "app.kubernetes.io/name",
        "app.kubernetes.io/component",
        "app.kubernetes.io/managed-by",
        "app.kubernetes.io/part-of",
        "middleware.sofastack.io/cluster",
        "middleware.sofastack.io/role",
    ];
    for (name, spec) in
        [("registry-5", &REGISTRY), ("drm", &DRM), ("antscheduler", &ANT), ("powerjob", &POWERJOB)]
    {
        for (kind, value) in values(&built(spec)) {
            let metadata = &value["metadata"];
            assert!(metadata.get("annotations").is_none(), "{name} {kind}");
            for label in metadata["labels"].as_object().unwrap().keys() {
                assert!(labels.contains(&label.as_str()), "{name} {kind} {label}");
            }
            let spec = value["spec"].to_string();
            assert!(
                !spec.contains("argocd") && !spec.contains("app.kubernetes.io/instance"),
                "{name} {kind}"
            );
        }
    }
}

#[test]
fn pods_are_restricted_and_stay_so_under_an_overlay() {
    for (name, spec) in all() {
        for (set, template) in pods(&built(spec)) {
            let value = serde_json::to_value(&template).unwrap();
            let pod = &value["spec"];
            let at = format!("{name} {set}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{at}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{at}");
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{at}");
            let server = &pod["containers"][0];
            assert_eq!(server["securityContext"]["allowPrivilegeEscalation"], false, "{at}");
            assert_eq!(server["securityContext"]["capabilities"]["drop"], json!(["ALL"]), "{at}");
            assert_eq!(format!("prod-{}", server["name"].as_str().unwrap()), set);
            let admission = json!([{"name": "middleware.sofastack.io/admission"}]);
            let gated = (name == "registry-5" && set == "prod-meta").then_some(&admission);
            assert_eq!(pod.get("schedulingGates"), gated, "{at}");
        }
    }
}

#[test]
fn passwords_stay_in_their_secret() {
    for (name, spec) in all() {
        for (kind, value) in values(&built(spec)) {
            if kind != "StatefulSet" {
                assert!(!value.to_string().to_lowercase().contains("jdbc"), "{name} {kind}: {value}");
                continue;
            }
            for env in value["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap() {
                if ["JDBC_USERNAME", "JDBC_PASSWORD"].contains(&env["name"].as_str().unwrap()) {
                    assert!(
                        env.get("value").is_none() && env["valueFrom"]["secretKeyRef"].is_object(),
                        "{name}"
                    );
                }
            }
        }
    }
}

/// Who may reach what, by role: the open ports, and how many friends reach everything.
#[test]
fn network_policies_let_in_whom_they_say() {
    let plain = |spec: &Value| built(spec);
    let mut with_referrer = around(&REGISTRY6);
    with_referrer.environment.referrers = ["drm", "drm"]
        .map(|name| Referrer { kind: ClusterKind::Drm, namespace: "shop".to_owned(), name: name.to_owned() })
        .to_vec();
    let referred = with_referrer.registry(&REGISTRY6).unwrap();
    let referred = referred.build(&reached(&referred));
    for (name, objects, policy, open, friends) in [
        ("registry-5", &plain(&REGISTRY), "prod-meta", &[][..], 2),
        ("registry-5", &plain(&REGISTRY), "prod-data", &[], 2),
        ("registry-5", &plain(&REGISTRY), "prod-session", &[9600, 9603], 2),
        ("registry-6-full", &plain(&REGISTRY_FULL), "prod-meta", &[], 6),
        ("registry-6-full", &plain(&REGISTRY_FULL), "prod-data", &[], 6),
        ("registry-6-full", &plain(&REGISTRY_FULL), "prod-session", &[9600, 9603], 6),
        ("a referrer counts once", &referred, "prod-meta", &[], 3),
        ("drm", &plain(&DRM), "prod-drmdata", &[9880, 80], 2),
        ("drm", &plain(&DRM), "prod-console", &[80], 2),
        ("drm-full", &plain(&DRM_FULL), "prod-drmdata", &[9880, 80], 3),
        ("antscheduler", &plain(&ANT), "prod-server", &[9001, 12200], 2),
        ("antscheduler", &plain(&ANT), "prod-console", &[8080], 2),
        ("powerjob and its workers", &plain(&POWERJOB), "prod-server", &[], 3),
    ] {
        let found = objects.network_policies.iter().find(|p| p.metadata.name.as_deref() == Some(policy));
        let spec = serde_json::to_value(found.unwrap()).unwrap()["spec"].clone();
        let at = format!("{name} {policy}");
        assert_eq!(spec["policyTypes"], json!(["Ingress"]), "{at}");
        let rules = spec["ingress"].as_array().unwrap();
        let (everybody, friendly): (Vec<_>, Vec<_>) =
            rules.iter().partition(|rule| rule.get("from").is_none());
        let ports: Vec<_> = everybody
            .iter()
            .flat_map(|rule| {
                rule["ports"].as_array().unwrap().iter().map(|port| port["port"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(ports, open, "{at}");
        assert_eq!(friendly.len(), 1, "{at}");
        assert_eq!(friendly[0]["from"].as_array().unwrap().len(), friends, "{at}");
        assert!(friendly[0].get("ports").is_none(), "{at}");
    }
}

#[test]
fn budgets_keep_metas_and_let_broken_others_go() {
    let budgets = built(&REGISTRY).disruption_budgets;
    let shown: Vec<_> = budgets
        .iter()
        .map(|budget| {
            let spec = budget.spec.as_ref().unwrap();
            (budget.metadata.name.as_deref().unwrap(), spec.unhealthy_pod_eviction_policy.as_deref().unwrap())
        })
        .collect();
    let expected =
        [("prod-meta", "IfHealthyBudget"), ("prod-data", "AlwaysAllow"), ("prod-session", "AlwaysAllow")];
    assert_eq!(shown, expected);
}

#[test]
fn volumes_only_grow() {
    let cluster = Around::of(ClusterKind::Registry).registry(&REGISTRY).unwrap();
    let size = |text: &str| text.parse().unwrap();
    let observed = ObservedVolumes {
        claims: [
            (claim_name("prod", Role::Meta, 0), size("240Gi")),
            (claim_name("prod", Role::Meta, 1), size("300Gi")),
            (claim_name("prod", Role::Data, 0), size("20Gi")),
            (claim_name("prod", Role::Data, 1), size("40Gi")),
            ("home-prod-data-x".to_owned(), size("1Gi")),
            ("home-prod-data-0-old".to_owned(), size("1Gi")),
        ]
        .into(),
        templates: [(Role::Meta, size("240Gi")), (Role::Data, size("20Gi")), (Role::Session, size("30Gi"))]
            .into(),
    };
    let shown: Vec<_> = volume_growth(&cluster, &observed)
        .into_iter()
        .map(|growth| {
            let claims = growth.claims.iter().map(|claim| format!("{} to {}", claim.name, claim.size));
            (growth.role, claims.collect::<Vec<_>>().join(" "), growth.recreate)
        })
        .collect();
    let expected =
        [(Role::Data, "home-prod-data-0 to 40Gi".to_owned(), true), (Role::Session, String::new(), true)];
    assert_eq!(shown, expected);
}

/// What makes the hand-written StatefulSets work on the real cluster is in the generated ones.
#[test]
fn the_generated_sets_have_what_makes_the_hand_written_ones_work() {
    let small = json!("Small");
    for (file, spec) in [
        (include_str!("ground/manifests/registry-5.4.3-meta.yaml"), &REGISTRY),
        (include_str!("ground/manifests/registry-5.4.3-data.yaml"), &REGISTRY),
        (include_str!("ground/manifests/registry-5.4.3-session.yaml"), &REGISTRY),
        (include_str!("ground/manifests/registry-6.3.0-meta.yaml"), &REGISTRY6),
        (include_str!("ground/manifests/registry-6.3.0-data.yaml"), &REGISTRY6),
        (include_str!("ground/manifests/registry-6.3.0-session.yaml"), &REGISTRY6),
        (include_str!("ground/manifests/powerjob.yaml"), &POWERJOB),
    ] {
        let documents: Vec<Value> =
            file.split("\n---\n").map(|text| serde_yaml::from_str(text).unwrap()).collect();
        let (service, set) = (&documents[0], &documents[1]["spec"]);
        let hand = &set["template"]["spec"];
        let name = match hand["containers"][0]["name"].as_str().unwrap() {
            "powerjob" => "prod-server".to_owned(),
            role => format!("prod-{role}"),
        };
        let objects = built(&edited(spec, &[("/profile", small.clone())]));
        let all = values(&objects);
        let made =
            |kind| &all.iter().find(|(k, v)| *k == kind && v["metadata"]["name"] == name.as_str()).unwrap().1;
        let ours = &made("StatefulSet")["spec"];
        let pod = &ours["template"]["spec"];
        for path in ["/podManagementPolicy", "/updateStrategy/type"] {
            assert_eq!(set.pointer(path), ours.pointer(path), "{name} {path}");
        }
        for path in ["/automountServiceAccountToken", "/securityContext"] {
            assert_eq!(hand.pointer(path), pod.pointer(path), "{name} {path}");
        }
        let (hand, ours) = (&hand["containers"][0], &pod["containers"][0]);
        for path in [
            "/args",
            "/imagePullPolicy",
            "/securityContext",
            "/readinessProbe/httpGet",
            "/startupProbe/httpGet",
            "/volumeMounts/0",
            "/resources",
        ] {
            let ours = ours.pointer(path);
            assert!(hand.pointer(path).is_none_or(|hand| Some(hand) == ours), "{name} {path}: {ours:?}");
        }
        for env in hand["env"].as_array().unwrap() {
            let ours = ours["env"].as_array().unwrap().iter().find(|ours| ours["name"] == env["name"]);
            assert!(ours.is_some(), "{name} {}", env["name"]);
        }
        let http = hand["ports"][0]["containerPort"].as_u64();
        let port = ours["ports"].as_array().unwrap().iter().find(|port| port["name"] == "http").unwrap();
        assert_eq!(port["containerPort"].as_u64(), http, "{name}");
        for path in ["/spec/clusterIP", "/spec/publishNotReadyAddresses"] {
            assert_eq!(service.pointer(path), made("Service").pointer(path), "{name} {path}");
        }
    }
}
