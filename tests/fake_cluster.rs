//! Keeps the fake Kubernetes API honest: each semantic that operators get wrong is a table or a short story.

#![expect(clippy::panic, reason = "a test ends by panicking with what was seen")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sofa_operator::testkit::kube::{
    ApiError, Cache, Change, Crash, DeleteOptions, FakeCluster, Key, LOCAL_STORAGE_CLASS, NodeLoss, Part,
    Propagation, Started, Workload, Write,
};
use sofa_operator::testkit::{Millis, Signal};

/// Processes that start at once, end a second after SIGTERM, and are as healthy as the test says.
#[derive(Default)]
struct Processes {
    running: BTreeMap<String, Option<Millis>>,
    sick: BTreeSet<String>,
    stubborn: BTreeSet<String>,
    story: Vec<String>,
    now: Millis,
}

fn name(pod: &Value) -> String {
    pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl Workload for Processes {
    fn advance(&mut self, to: Millis) {
        self.now = to;
    }

    fn on_container_start(&mut self, container: &Started<'_>, _now: Millis) {
        let pod = container.pod;
        let ip = pod.pointer("/status/podIP").and_then(Value::as_str).unwrap_or_default();
        self.story.push(format!("{} starts on {ip}", name(pod)));
        self.running.insert(name(pod), None);
    }

    fn on_container_stop(&mut self, pod: &Value, signal: Signal, now: Millis) {
        self.story.push(format!("{} {signal:?}", name(pod)));
        match signal {
            Signal::Kill => {
                self.running.remove(&name(pod));
            }
            Signal::Term if self.stubborn.contains(&name(pod)) => {}
            Signal::Term => {
                self.running.insert(name(pod), Some(now + 1_000));
            }
        }
    }

    fn exited(&mut self, pod: &Value, now: Millis) -> Option<u8> {
        match self.running.get(&name(pod)) {
            Some(Some(at)) if now >= *at => Some(143),
            Some(_) => None,
            None => Some(1),
        }
    }

    fn probe(&mut self, pod: &Value, _probe: &Value, _now: Millis) -> bool {
        !self.sick.contains(&name(pod))
    }

    fn on_address_released(&mut self, pod: &Value, _now: Millis) {
        self.story.push(format!("{} is gone", name(pod)));
        self.running.remove(&name(pod));
    }

    fn on_cut_off(&mut self, _pod: &Value, _cut_off: bool, _now: Millis) {}

    fn next_due(&self) -> Option<Millis> {
        self.running.values().flatten().copied().filter(|at| *at > self.now).min()
    }
}

struct Lab {
    cluster: FakeCluster,
    pods: Processes,
}

impl Lab {
    fn new(nodes: &[&str]) -> Self {
        let mut cluster = FakeCluster::new();
        for node in nodes {
            cluster.add_node(node);
        }
        Self { cluster, pods: Processes::default() }
    }

    fn pass(&mut self, seconds: u64) {
        self.cluster.advance(self.cluster.now() + seconds * 1_000, &mut self.pods);
    }

    fn write(&mut self, write: &Write) -> Value {
        self.cluster.write(write).unwrap_or_else(|e| panic!("{e}"))
    }

    fn code(&mut self, write: &Write) -> u16 {
        self.cluster.write(write).map_or_else(|e| e.code(), |_| 200)
    }

    fn get(&self, key: &Key) -> Value {
        self.cluster.objects().get(key).unwrap_or_else(|| panic!("no {key}")).clone()
    }

    fn exists(&self, key: &Key) -> bool {
        self.cluster.objects().get(key).is_some()
    }

    fn pod_names(&self) -> Vec<String> {
        self.cluster.objects().list("Pod", "n", &[]).into_iter().map(name).collect()
    }

    fn uid(&self, key: &Key) -> String {
        field(&self.get(key), "/metadata/uid").to_owned()
    }

    fn ready(&self, pod: &str) -> bool {
        self.get(&pod_key(pod))
            .pointer("/status/conditions")
            .and_then(Value::as_array)
            .is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
    }
}

fn field<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn pod_key(name: &str) -> Key {
    Key::new("Pod", "n", name)
}

fn config(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}, "data": data})
}

fn config_key(name: &str) -> Key {
    Key::new("ConfigMap", "n", name)
}

/// A StatefulSet as the operator makes one: Parallel, `OnDelete`, one pod a node, a claim for each pod.
fn stateful(replicas: u64, image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "meta", "namespace": "n"},
        "spec": {"replicas": replicas, "serviceName": "meta", "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"}, "selector": {"matchLabels": {"app": "meta"}},
            "template": {"metadata": {"labels": {"app": "meta"}}, "spec": {
                "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "meta"}}}]}},
                "containers": [{"name": "main", "image": image,
                    "readinessProbe": {"httpGet": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1}}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"},
                "spec": {"storageClassName": LOCAL_STORAGE_CLASS}}]}})
}

fn set_key() -> Key {
    Key::new("apps/StatefulSet", "n", "meta")
}

fn budget(spec: &Value) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "meta", "namespace": "n"},
        "spec": spec})
}

/// Three nodes, three pods, all ready.
fn three() -> Lab {
    let mut lab = Lab::new(&["a", "b", "c"]);
    lab.write(&Write::apply("op", stateful(3, "v1")));
    lab.pass(10);
    for pod in ["meta-0", "meta-1", "meta-2"] {
        assert!(lab.ready(pod), "{pod}");
    }
    lab
}

#[test]
fn a_write_with_an_old_version_is_a_conflict() {
    let mut lab = Lab::new(&[]);
    let old = lab.write(&Write::Create(config("c", &json!({"a": "1"}))));
    let version = field(&old, "/metadata/resourceVersion").to_owned();
    let mut newer = old.clone();
    newer["data"]["a"] = "2".into();
    lab.write(&Write::Update(newer.clone(), Part::Main));
    let mut plain = newer.clone();
    plain["data"]["a"] = "3".into();
    plain["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
    let other_uid = json!({"metadata": {"uid": "other"}, "data": {"a": "4"}});
    for (what, write, code) in [
        ("update on the old version", Write::Update(newer, Part::Main), 409),
        ("status on the old version", Write::status(config_key("c"), &json!({"x": 1}), &version), 409),
        ("patch on another uid", Write::MergePatch(config_key("c"), other_uid, Part::Main), 409),
        ("update without a version", Write::Update(plain, Part::Main), 200),
        ("create again", Write::Create(config("c", &json!({}))), 409),
        ("update of nothing", Write::Update(config("d", &json!({})), Part::Main), 404),
    ] {
        assert_eq!(lab.code(&write), code, "{what}");
    }
}

#[test]
fn generation_counts_changes_of_the_spec_only() {
    let mut lab = Lab::new(&[]);
    lab.write(&Write::apply("op", stateful(0, "v1")));
    let generation = |lab: &Lab| lab.get(&set_key())["metadata"]["generation"].as_u64();
    let version = |lab: &Lab| lab.cluster.version();
    assert_eq!(generation(&lab), Some(1));
    let before = version(&lab);
    lab.write(&Write::apply("op", stateful(0, "v1")));
    assert_eq!(version(&lab), before, "the same apply changes nothing, not even the version");
    lab.write(&Write::MergePatch(set_key(), json!({"metadata": {"labels": {"x": "y"}}}), Part::Main));
    assert_eq!(generation(&lab), Some(1), "labels");
    lab.write(&Write::MergePatch(
        set_key(),
        json!({"status": {"replicas": 7}, "spec": {"replicas": 9}}),
        Part::Status,
    ));
    assert_eq!(generation(&lab), Some(1), "the status");
    assert_eq!(lab.get(&set_key())["spec"]["replicas"], 0, "a status write leaves the spec alone");
    lab.write(&Write::MergePatch(
        set_key(),
        json!({"spec": {"replicas": 0}, "status": {"replicas": 8}}),
        Part::Main,
    ));
    assert_eq!(lab.get(&set_key())["status"]["replicas"], 7, "a main write leaves the status alone");
    lab.write(&Write::apply("op", stateful(0, "v2")));
    assert_eq!(generation(&lab), Some(2), "the spec");
    let mut moved = stateful(0, "v2");
    moved["spec"]["serviceName"] = "other".into();
    assert_eq!(lab.code(&Write::apply("op", moved)), 422, "a field that must not change");
}

#[test]
fn server_side_apply_merges_by_name_and_takes_away_what_it_no_longer_wants() {
    let pod = |containers: Value, labels: Value| {
        json!({"apiVersion": "x/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "n", "labels": labels},
            "spec": {"containers": containers}})
    };
    let env =
        |list: &[(&str, &str)]| list.iter().map(|(n, v)| json!({"name": n, "value": v})).collect::<Value>();
    let key = Key::new("x/Thing", "n", "t");
    let mut lab = Lab::new(&[]);
    let first = json!([{"name": "main", "image": "v1", "env": env(&[("A", "1"), ("B", "2")]), "args": ["x", "y"],
        "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81, "protocol": "TCP"}]}]);
    lab.write(&Write::apply("op", pod(first, json!({"a": "1", "b": "2"}))));
    // Somebody else adds a sidecar and a label.
    let other = json!([{"name": "side", "image": "s"}]);
    lab.write(&Write::apply("other", pod(other, json!({"c": "3"}))));
    let second = json!([{"name": "main", "image": "v2", "env": env(&[("B", "3")]), "args": ["z"],
        "ports": [{"containerPort": 80, "protocol": "TCP"}]}]);
    lab.write(&Write::apply("op", pod(second, json!({"a": "1"}))));
    let after = lab.get(&key);
    assert_eq!(
        after["metadata"]["labels"],
        json!({"a": "1", "c": "3"}),
        "its own label is gone, the other's stays"
    );
    assert_eq!(
        after["spec"]["containers"],
        json!([
            {"name": "main", "image": "v2", "env": [{"name": "B", "value": "3"}], "args": ["z"],
                "ports": [{"containerPort": 80, "protocol": "TCP"}]},
            {"name": "side", "image": "s"},
        ])
    );
    // A field of another manager: a conflict, unless by force; then it is no longer the other's.
    let claim = |force| Write::Apply {
        object: pod(json!([{"name": "main", "image": "v3"}]), json!({"c": "mine"})),
        manager: "third".to_owned(),
        force,
        part: Part::Main,
    };
    assert_eq!(lab.code(&claim(false)), 409);
    assert_eq!(lab.get(&key), after, "a conflict changes nothing");
    assert_eq!(lab.code(&claim(true)), 200);
    assert_eq!(lab.get(&key)["metadata"]["labels"]["c"], "mine");
    lab.write(&Write::apply("other", pod(json!([{"name": "side", "image": "s"}]), json!({}))));
    assert_eq!(lab.get(&key)["metadata"]["labels"]["c"], "mine", "the other's own apply cannot take it away");
    // A whole item that is wanted no more.
    lab.write(&Write::apply("other", pod(json!([]), json!({}))));
    assert_eq!(lab.get(&key)["spec"]["containers"].as_array().map(Vec::len), Some(1));
    // A precondition holds for an apply too.
    let mut old = pod(json!([]), json!({}));
    old["metadata"]["resourceVersion"] = "1".into();
    assert_eq!(lab.code(&Write::apply("op", old)), 409);
}

#[test]
fn finalizers_hold_and_owners_take_their_dependents_along() {
    let child = |owner_uid: &str| {
        let mut child = config("child", &json!({}));
        child["metadata"]["ownerReferences"] =
            json!([{"kind": "ConfigMap", "name": "owner", "uid": owner_uid}]);
        child
    };
    for (propagation, child_left) in
        [(Propagation::Background, false), (Propagation::Foreground, false), (Propagation::Orphan, true)]
    {
        let mut lab = Lab::new(&[]);
        let mut owner = config("owner", &json!({}));
        owner["metadata"]["finalizers"] = json!(["op/wait"]);
        lab.write(&Write::Create(owner));
        let uid = lab.uid(&config_key("owner"));
        lab.write(&Write::Create(child(&uid)));
        lab.write(&Write::Delete(
            config_key("owner"),
            DeleteOptions { propagation, ..DeleteOptions::default() },
        ));
        lab.pass(1);
        assert!(lab.exists(&config_key("owner")), "the finalizer holds it");
        assert!(!field(&lab.get(&config_key("owner")), "/metadata/deletionTimestamp").is_empty());
        lab.write(&Write::MergePatch(
            config_key("owner"),
            json!({"metadata": {"finalizers": []}}),
            Part::Main,
        ));
        lab.pass(1);
        assert!(!lab.exists(&config_key("owner")), "{propagation:?}");
        assert_eq!(lab.exists(&config_key("child")), child_left, "{propagation:?}");
    }
    // A reference to an owner of the same name with another uid is a reference to nobody.
    let mut lab = Lab::new(&[]);
    lab.write(&Write::Create(config("owner", &json!({}))));
    lab.write(&Write::Create(child("00000000-0000-4000-8000-ffffffffffff")));
    lab.pass(1);
    assert!(!lab.exists(&config_key("child")));
    let wrong = DeleteOptions { uid: Some("other".to_owned()), ..DeleteOptions::default() };
    assert_eq!(lab.code(&Write::Delete(config_key("owner"), wrong)), 409);
}

#[test]
fn a_namespace_that_is_going_takes_nothing_new() {
    let mut lab = Lab::new(&[]);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "n", "finalizers": ["kubernetes"]}});
    lab.write(&Write::Create(namespace));
    lab.write(&Write::Create(config("before", &json!({}))));
    lab.write(&Write::Delete(Key::new("Namespace", "", "n"), DeleteOptions::default()));
    assert_eq!(lab.code(&Write::Create(config("after", &json!({})))), 403);
    assert_eq!(lab.code(&Write::apply("op", config("before", &json!({"x": "y"})))), 200);
}

#[test]
fn on_delete_makes_missing_pods_from_the_newest_template_and_touches_no_other() {
    let mut lab = three();
    let ips = |lab: &Lab| -> BTreeSet<String> {
        let pods = lab.cluster.objects().list("Pod", "n", &[]);
        pods.iter().map(|p| field(p, "/status/podIP").to_owned()).collect()
    };
    let nodes: BTreeSet<String> = lab
        .cluster
        .objects()
        .list("Pod", "n", &[("app", "meta")])
        .iter()
        .map(|p| field(p, "/spec/nodeName").to_owned())
        .collect();
    assert_eq!(nodes.len(), 3, "one a node");
    let (uids, before) = (["meta-0", "meta-1", "meta-2"].map(|p| lab.uid(&pod_key(p))), ips(&lab));
    let claim = lab.uid(&Key::new("PersistentVolumeClaim", "n", "data-meta-1"));
    lab.write(&Write::apply("op", stateful(3, "v2")));
    lab.pass(600);
    assert_eq!(["meta-0", "meta-1", "meta-2"].map(|p| lab.uid(&pod_key(p))), uids, "nobody is replaced");
    let status = lab.get(&set_key())["status"].clone();
    assert_eq!((&status["updatedReplicas"], &status["readyReplicas"]), (&json!(0), &json!(3)));
    assert_ne!(status["currentRevision"], status["updateRevision"]);
    assert_eq!(status["observedGeneration"], 2);
    // Whoever deletes it, whenever: the new pod has the newest template, a new address, its old volume and node.
    let node = field(&lab.get(&pod_key("meta-1")), "/spec/nodeName").to_owned();
    lab.write(&Write::Delete(pod_key("meta-1"), DeleteOptions::default()));
    lab.pass(20);
    let new = lab.get(&pod_key("meta-1"));
    assert_eq!(new["spec"]["containers"][0]["image"], "v2");
    assert!(!before.contains(field(&new, "/status/podIP")), "a new address");
    assert_eq!(lab.uid(&Key::new("PersistentVolumeClaim", "n", "data-meta-1")), claim, "its old volume");
    assert_eq!(field(&new, "/spec/nodeName"), node, "a local volume keeps its node");
    assert_eq!(lab.get(&set_key())["status"]["updatedReplicas"], 1);
    assert_eq!(
        new.pointer("/metadata/labels/controller-revision-hash"),
        lab.get(&set_key()).pointer("/status/updateRevision")
    );
}

#[test]
fn scaling_makes_and_deletes_pods_and_keeps_their_claims() {
    let mut lab = three();
    lab.cluster.add_node("d");
    lab.write(&Write::MergePatch(set_key(), json!({"spec": {"replicas": 4}}), Part::Main));
    lab.pass(10);
    assert_eq!(lab.pod_names().len(), 4);
    lab.write(&Write::MergePatch(set_key(), json!({"spec": {"replicas": 1}}), Part::Main));
    lab.pass(40);
    assert_eq!(lab.pod_names(), ["meta-0"]);
    assert_eq!(lab.cluster.objects().list("PersistentVolumeClaim", "n", &[]).len(), 4);
    // A claim is deleted only when no pod uses it.
    let claim = Key::new("PersistentVolumeClaim", "n", "data-meta-0");
    lab.write(&Write::Delete(claim.clone(), DeleteOptions::default()));
    lab.pass(5);
    assert!(lab.exists(&claim));
    lab.write(&Write::MergePatch(set_key(), json!({"spec": {"replicas": 0}}), Part::Main));
    lab.pass(40);
    assert!(!lab.exists(&claim));
    // Deleted with its dependents orphaned, a StatefulSet leaves its pods behind.
    let mut lab = three();
    let orphan = DeleteOptions { propagation: Propagation::Orphan, ..DeleteOptions::default() };
    lab.write(&Write::Delete(set_key(), orphan));
    lab.pass(60);
    assert_eq!(lab.pod_names().len(), 3);
    // Made anew around its pods, it takes them over as they are.
    let uids = ["meta-0", "meta-1", "meta-2"].map(|p| lab.uid(&pod_key(p)));
    lab.write(&Write::apply("op", stateful(3, "v1")));
    lab.pass(60);
    assert_eq!(["meta-0", "meta-1", "meta-2"].map(|p| lab.uid(&pod_key(p))), uids);
    assert_eq!(lab.get(&set_key())["status"]["replicas"], 3);
    let mut lab = three();
    lab.write(&Write::Delete(set_key(), DeleteOptions::default()));
    lab.pass(60);
    assert!(lab.pod_names().is_empty());
}

#[test]
fn a_gate_holds_a_pod_until_it_is_lifted() {
    let mut lab = Lab::new(&["a", "b"]);
    let mut gated = stateful(2, "v1");
    gated["spec"]["template"]["spec"]["schedulingGates"] = json!([{"name": "sofa/admitted"}]);
    lab.write(&Write::apply("op", gated));
    lab.pass(60);
    assert!(lab.pods.story.is_empty(), "nothing runs");
    assert_eq!(lab.get(&pod_key("meta-0"))["status"]["conditions"][0]["reason"], "SchedulingGated");
    let lift = |gates: Value| {
        Write::MergePatch(pod_key("meta-0"), json!({"spec": {"schedulingGates": gates}}), Part::Main)
    };
    assert_eq!(lab.code(&lift(json!([{"name": "another"}]))), 422, "gates can only be removed");
    assert_eq!(lab.code(&lift(json!([]))), 200);
    let image = json!({"spec": {"containers": [{"name": "main", "image": "v9"}]}});
    assert_eq!(
        lab.code(&Write::MergePatch(pod_key("meta-1"), image, Part::Main)),
        422,
        "a pod's spec is fixed"
    );
    lab.pass(10);
    assert_eq!(lab.pods.story, ["meta-0 starts on 10.200.0.1"]);
    // A pod that was never placed goes at once when it is deleted.
    let uid = lab.uid(&pod_key("meta-1"));
    lab.write(&Write::Delete(pod_key("meta-1"), DeleteOptions::default()));
    lab.pass(1);
    assert_ne!(lab.uid(&pod_key("meta-1")), uid);
}

#[test]
fn two_members_never_share_a_node() {
    let mut lab = Lab::new(&["a", "b"]);
    lab.write(&Write::apply("op", stateful(3, "v1")));
    lab.pass(60);
    assert_eq!(lab.get(&pod_key("meta-2"))["status"]["conditions"][0]["reason"], "Unschedulable");
    lab.cluster.add_node("c");
    lab.pass(10);
    assert!(lab.ready("meta-2"));
}

#[test]
fn a_pod_ends_in_order_or_is_killed_after_its_grace() {
    let mut lab = three();
    lab.pods.stubborn.insert("meta-1".to_owned());
    lab.pods.story.clear();
    lab.write(&Write::Delete(pod_key("meta-0"), DeleteOptions::default()));
    lab.write(&Write::Delete(pod_key("meta-1"), DeleteOptions::default()));
    lab.pass(1);
    let uid = lab.uid(&pod_key("meta-1"));
    lab.pass(28);
    assert_eq!(lab.uid(&pod_key("meta-1")), uid, "it has 30 s");
    assert!(!lab.ready("meta-1"), "and is not ready meanwhile");
    lab.pass(10);
    assert_eq!(
        lab.pods.story,
        [
            "meta-0 Term",
            "meta-1 Term",
            "meta-0 is gone",
            "meta-0 starts on 10.200.0.4",
            "meta-1 Kill",
            "meta-1 is gone",
            "meta-1 starts on 10.200.0.5",
        ]
    );
}

#[test]
fn a_container_that_ends_or_fails_its_probe_starts_again_later_and_later() {
    let mut lab = Lab::new(&["a"]);
    let mut sets = stateful(1, "v1");
    sets["spec"]["template"]["spec"]["containers"][0]["startupProbe"] =
        json!({"httpGet": {"port": 1}, "periodSeconds": 5, "failureThreshold": 4});
    lab.write(&Write::apply("op", sets));
    lab.pods.sick.insert("meta-0".to_owned());
    lab.pass(300);
    let starts = lab.pods.story.iter().filter(|s| s.contains("starts")).count();
    assert!((4..=9).contains(&starts), "20 s for the probe, then at once, 10 s, 20 s, 40 s …: {starts}");
    let pod = lab.get(&pod_key("meta-0"));
    assert_eq!(field(&pod, "/status/podIP"), "10.200.0.1", "the same pod, the same address");
    assert!(pod["status"]["containerStatuses"][0]["restartCount"].as_u64() >= Some(3));
    lab.pods.sick.clear();
    lab.pass(200);
    assert!(lab.ready("meta-0"));
    // A process that ends by itself.
    lab.pods.running.clear();
    lab.pass(1);
    assert!(!lab.ready("meta-0"));
    lab.pass(400);
    assert!(lab.ready("meta-0"));
}

#[test]
fn evictions_ask_the_budget() {
    let selector = json!({"matchLabels": {"app": "meta"}});
    for (what, spec, sick, codes) in [
        ("one may go", json!({"maxUnavailable": 1}), vec![], [200, 429]),
        ("two must stay", json!({"minAvailable": 2}), vec![], [200, 429]),
        ("percent, rounded up", json!({"minAvailable": "50%"}), vec![], [200, 429]),
        ("all must stay", json!({"minAvailable": 3}), vec![], [429, 429]),
        ("one is sick already", json!({"maxUnavailable": 1}), vec!["meta-2"], [429, 429]),
        ("the sick one may go, two are well", json!({"maxUnavailable": 1}), vec!["meta-0"], [200, 429]),
        ("too many sick: none", json!({"maxUnavailable": 1}), vec!["meta-0", "meta-2"], [429, 429]),
        (
            "unless the sick always may",
            json!({"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}),
            vec!["meta-0", "meta-2"],
            [200, 429],
        ),
    ] {
        let mut lab = three();
        let mut spec = spec;
        spec["selector"] = selector.clone();
        lab.write(&Write::Create(budget(&spec)));
        lab.pods.sick = sick.into_iter().map(str::to_owned).collect();
        assert_eq!(
            lab.code(&Write::Evict(pod_key("meta-0"), None)),
            429,
            "{what}: the budget is still being read"
        );
        lab.pass(5);
        let seen = ["meta-0", "meta-1"].map(|p| lab.code(&Write::Evict(pod_key(p), None)));
        assert_eq!(seen, codes, "{what}");
    }
    let mut lab = three();
    assert_eq!(lab.code(&Write::Evict(pod_key("meta-0"), Some("another".to_owned()))), 409, "not this pod");
    let uid = lab.uid(&pod_key("meta-0"));
    assert_eq!(lab.code(&Write::Evict(pod_key("meta-0"), Some(uid))), 200, "without a budget");
    assert_eq!(lab.code(&Write::Evict(pod_key("meta-9"), None)), 404);
    for name in ["x", "y"] {
        let mut two = budget(&json!({"maxUnavailable": 1, "selector": selector}));
        two["metadata"]["name"] = name.into();
        lab.write(&Write::Create(two));
    }
    lab.pass(5);
    assert_eq!(lab.code(&Write::Evict(pod_key("meta-1"), None)), 500, "two budgets");
}

#[test]
fn a_pod_on_a_lost_node_is_unknown_not_gone() {
    for (what, lift) in [("the node comes back", 0), ("the node is deleted", 1), ("out of service", 2)] {
        let mut lab = three();
        let node = field(&lab.get(&pod_key("meta-0")), "/spec/nodeName").to_owned();
        let old = lab.get(&pod_key("meta-0"));
        lab.cluster.lose_node(&node, NodeLoss::PowerOff, &mut lab.pods);
        lab.pass(10);
        assert!(lab.ready("meta-0"), "nobody has noticed");
        lab.pass(40);
        assert!(!lab.ready("meta-0"));
        lab.pass(3_600);
        let pod = lab.get(&pod_key("meta-0"));
        assert_eq!(pod["metadata"]["uid"], old["metadata"]["uid"], "an hour later it is still there");
        assert!(!field(&pod, "/metadata/deletionTimestamp").is_empty(), "and being deleted");
        lab.write(&Write::Delete(pod_key("meta-0"), DeleteOptions::default()));
        lab.pass(60);
        assert_eq!(lab.uid(&pod_key("meta-0")), field(&old, "/metadata/uid"), "a delete does not help");
        let key = Key::new("Node", "", &node);
        match lift {
            0 => lab.cluster.restore_node(&node, &mut lab.pods),
            1 => {
                lab.write(&Write::Delete(key, DeleteOptions::default()));
            }
            _ => {
                let taint = json!({"spec": {"taints": [
                    {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}]}});
                lab.write(&Write::MergePatch(key, taint, Part::Main));
            }
        }
        lab.pass(30);
        assert_ne!(lab.uid(&pod_key("meta-0")), field(&old, "/metadata/uid"), "{what}");
    }
}

#[test]
fn after_a_power_loss_the_same_pods_have_new_addresses() {
    let mut lab = three();
    let before: Vec<Value> = ["meta-0", "meta-1", "meta-2"].iter().map(|p| lab.get(&pod_key(p))).collect();
    for node in ["a", "b", "c"] {
        lab.cluster.lose_node(node, NodeLoss::PowerOff, &mut lab.pods);
    }
    lab.pass(120);
    for node in ["a", "b", "c"] {
        lab.cluster.restore_node(node, &mut lab.pods);
    }
    lab.pass(30);
    for old in before {
        let new = lab.get(&Key::of(&old));
        assert_eq!(new["metadata"]["uid"], old["metadata"]["uid"]);
        assert_ne!(new["status"]["podIP"], old["status"]["podIP"]);
        assert!(lab.ready(&name(&new)));
    }
}

#[test]
fn a_cache_lags_and_misses_and_a_new_list_mends_it() {
    let mut lab = Lab::new(&[]);
    let mut cache = Cache::new();
    for n in 0..3 {
        lab.write(&Write::Create(config(&format!("c{n}"), &json!({"v": "1"}))));
    }
    cache.read(&lab.cluster, 1);
    assert_eq!(cache.objects().list("ConfigMap", "n", &[]).len(), 1, "it lags");
    assert_eq!(cache.lag(&lab.cluster), 2);
    cache.catch_up(&lab.cluster);
    lab.write(&Write::Delete(config_key("c0"), DeleteOptions::default()));
    lab.write(&Write::apply("op", config("c1", &json!({"v": "2"}))));
    lab.write(&Write::apply("op", config("c2", &json!({"v": "2"}))));
    cache.miss(&lab.cluster, 2);
    cache.catch_up(&lab.cluster);
    let value = |cache: &Cache, n: &str| cache.objects().get(&config_key(n)).map(|o| o["data"]["v"].clone());
    assert_eq!(value(&cache, "c0"), Some(json!("1")), "a deletion missed");
    assert_eq!(value(&cache, "c1"), Some(json!("1")), "a change missed");
    assert_eq!(value(&cache, "c2"), Some(json!("2")));
    // Writes on what it believes are refused.
    let stale = cache.objects().get(&config_key("c1")).expect("c1").clone();
    assert_eq!(lab.code(&Write::Update(stale, Part::Main)), 409);
    cache.relist(&lab.cluster);
    assert_eq!((value(&cache, "c0"), value(&cache, "c1")), (None, Some(json!("2"))));
    let events = lab.cluster.watch_events();
    assert!(events.windows(2).all(|w| w[0].version < w[1].version), "one counter for all");
    assert_eq!(events.iter().filter(|e| e.change == Change::Deleted).count(), 1);
}

#[test]
fn the_caller_crashes_where_the_test_wants() {
    let write = |n: u32| Write::Create(config(&format!("c{n}"), &json!({})));
    for (crash, there) in [(Crash::Before(2), 1), (Crash::After(2), 2)] {
        let mut lab = Lab::new(&[]);
        lab.cluster.tripwire.arm(crash);
        let results: Vec<Result<Value, ApiError>> = (1..=4).map(|n| lab.cluster.write(&write(n))).collect();
        assert!(results[0].is_ok());
        assert!(results[1..].iter().all(|r| *r == Err(ApiError::CallerCrashed)), "dead from then on");
        assert_eq!(lab.cluster.objects().list("ConfigMap", "n", &[]).len(), there, "{crash:?}");
        lab.cluster.tripwire.revive();
        assert!(lab.cluster.write(&write(3)).is_ok());
    }
    let mut lab = Lab::new(&[]);
    lab.write(&write(1));
    lab.code(&write(1));
    lab.write(&Write::apply("op", config("c1", &json!({}))));
    assert_eq!(
        lab.cluster.take_log(),
        [
            "create ConfigMap n/c1: done",
            "create ConfigMap n/c1: ConfigMap n/c1 already exists",
            "apply ConfigMap n/c1: unchanged",
        ]
    );
}
