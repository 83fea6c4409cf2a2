//! The two fakes together: pods of the image `sofa-registry` behave as those of §11 of `docs/measured/sofaregistry.md` did
//! on a real cluster, without an operator.

#![expect(clippy::expect_used, clippy::panic, reason = "a test ends by panicking with what was seen")]

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use sofa_operator::admin::registry::v5::{self, RaftStatus};
use sofa_operator::testkit::kube::{Crash, DeleteOptions, Key, LOCAL_STORAGE_CLASS, NodeLoss, Part, Write};
use sofa_operator::testkit::registry::{Reply, Request};
use sofa_operator::testkit::world::{CallerCrashed, World};

const CLOSE: &str = "/stopPushDataSwitch/open";

/// The set of one role: names of the metas from a ConfigMap, volumes for metas, probes as the operator makes them.
fn set(role: &str, replicas: u64, version: &str) -> Value {
    let labels = json!({"middleware.sofastack.io/cluster": "reg", "middleware.sofastack.io/role": role});
    let port = match role {
        "meta" => 9615,
        "data" => 9622,
        _ => 9603,
    };
    let check = |failures: u64| json!({"httpGet": {"path": "/health/check", "port": port}, "periodSeconds": 1, "failureThreshold": failures});
    let mut container = json!({"name": "server", "image": format!("sofa-registry:{version}"),
        "env": [{"name": "META_NODES", "valueFrom": {"configMapKeyRef": {"name": "reg-peers", "key": "META_NODES"}}},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "RAFT_SERVER_GROUP", "value": "reg"}],
        "readinessProbe": check(1)});
    if role != "meta" {
        container["startupProbe"] = check(180);
    }
    let mut set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": format!("reg-{role}"), "namespace": "n"},
        "spec": {"replicas": replicas, "serviceName": format!("reg-{role}"), "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"}, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}});
    if role == "meta" {
        set["spec"]["volumeClaimTemplates"] =
            json!([{"metadata": {"name": "raft"}, "spec": {"storageClassName": LOCAL_STORAGE_CLASS}}]);
    }
    set
}

fn pod(name: &str) -> Key {
    Key::new("Pod", "n", name)
}

struct Stage(World);

impl Stage {
    /// Three nodes; three metas, two data nodes, two sessions, all applied at once.
    fn set(seed: u64, version: &str) -> Self {
        let mut world = World::new(seed);
        for node in ["a", "b", "c"] {
            world.cluster.add_node(node);
        }
        let mut stage = Self(world);
        let peers = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "reg-peers", "namespace": "n"},
            "data": {"META_NODES": "reg-meta-0.reg-meta,reg-meta-1.reg-meta,reg-meta-2.reg-meta"}});
        stage.write(&Write::apply("op", peers));
        for (role, replicas) in [("meta", 3), ("data", 2), ("session", 2)] {
            stage.write(&Write::apply("op", set(role, replicas, version)));
        }
        stage
    }

    fn serving(seed: u64, version: &str) -> Self {
        let mut stage = Self::set(seed, version);
        assert!(stage.0.pass_until(300_000, |w| ready(w) == 7), "{:#?}", stage.0.take_transcript());
        stage
    }

    fn write(&mut self, write: &Write) {
        self.0.write(write).unwrap_or_else(|e| panic!("{e}"));
    }

    fn delete(&mut self, name: &str) {
        self.write(&Write::Delete(pod(name), DeleteOptions::default()));
    }

    fn ip(&self, name: &str) -> Ipv4Addr {
        let pod = self.0.cluster.objects().get(&pod(name)).expect("a pod");
        pod["status"]["podIP"].as_str().expect("an address").parse().expect("an address")
    }

    fn command(&mut self, to: &str, path: &str, list: &[&str]) -> String {
        let list: Vec<String> = list.iter().map(|name| self.ip(name).to_string()).collect();
        let request = Request::form(self.ip(to), 9615, path, &[("ipAddressList", &list.join(","))]);
        match self.0.http(&request).expect("a caller that lives") {
            Reply::Answer(answer) => String::from_utf8(answer.body).expect("text"),
            other => format!("{other:?}"),
        }
    }

    fn raft(&mut self, name: &str) -> Option<RaftStatus> {
        let request = Request::get(self.ip(name), 9615, "/health/check");
        let reply = self.0.http(&request).expect("a caller that lives");
        reply.answer().and_then(|a| v5::raft_status(a).ok())
    }

    fn is_ready(&self, name: &str) -> bool {
        self.0.cluster.objects().get(&pod(name)).is_some_and(pod_is_ready)
    }

    fn leader(&mut self) -> String {
        let names = ["reg-meta-0", "reg-meta-1", "reg-meta-2"];
        names.into_iter().find(|m| self.raft(m) == Some(RaftStatus::Leader)).expect("a leader").to_owned()
    }
}

fn pod_is_ready(pod: &Value) -> bool {
    pod.pointer("/status/conditions")
        .and_then(Value::as_array)
        .is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

fn ready(world: &World) -> usize {
    world.cluster.objects().list("Pod", "n", &[]).into_iter().filter(|p| pod_is_ready(p)).count()
}

#[test]
fn applied_all_at_once_the_image_waits_and_all_serve() {
    for version in ["5.4.3", "6.3.0"] {
        let mut stage = Stage::serving(1, version);
        assert!(stage.0.now() < 120_000, "{version}: {} ms", stage.0.now());
        let transcript = stage.0.take_transcript();
        let restarts = |p: &&Value| p["status"]["containerStatuses"][0]["restartCount"] != 0;
        assert_eq!(stage.0.cluster.objects().list("Pod", "n", &[]).iter().filter(|p| restarts(p)).count(), 0);
        assert!(transcript.iter().any(|l| l.contains("begins a new, empty cluster")) == (version == "5.4.3"));
        let clients = {
            let now = stage.0.now();
            stage.0.registry().populate("n/reg", 10, now)
        };
        stage.0.pass(5_000);
        let connected =
            clients.iter().all(|&c| stage.0.registry().client_view(c).is_some_and(|v| v.session.is_some()));
        assert!(connected, "clients find the sessions of their cluster");
    }
}

#[test]
fn a_first_start_reads_like_a_story() {
    let mut stage = Stage::serving(1, "5.4.3");
    let story: Vec<String> = stage
        .0
        .take_transcript()
        .into_iter()
        .map(|line| line.split_once(" s  ").map_or(line.clone(), |(_, what)| what.to_owned()))
        .filter(|line| line.starts_with("operator") || line.starts_with("reg-meta"))
        .filter(|line| !line.contains("container starts"))
        .collect();
    assert_eq!(
        story[..4],
        [
            "operator: apply ConfigMap n/reg-peers: done",
            "operator: apply apps/StatefulSet n/reg-meta: done",
            "operator: apply apps/StatefulSet n/reg-data: done",
            "operator: apply apps/StatefulSet n/reg-session: done",
        ]
    );
    let of = |what: &str| story.iter().filter(|l| l.contains(what)).count();
    assert_eq!((of("meta is up"), of("begins a new"), of("leads"), of("follows reg-meta")), (3, 1, 1, 2));
}

#[test]
fn section_11_a_meta_on_a_new_address_is_not_ready_until_the_peers_are_changed() {
    let mut stage = Stage::serving(2, "5.4.3");
    let leader = stage.leader();
    let metas = ["reg-meta-0", "reg-meta-1", "reg-meta-2"];
    let gone = *metas.iter().find(|m| **m != leader).expect("a follower");
    let (old, volume) = (stage.ip(gone), stage.0.pods.volume_of(gone));
    stage.delete(gone);
    stage.0.pass(300_000);
    assert_ne!(stage.ip(gone), old);
    assert_eq!(stage.0.pods.volume_of(gone), volume, "its old volume");
    assert_eq!(stage.raft(gone), Some(RaftStatus::NotInGroup), "for ever");
    assert!(!stage.is_ready(gone));
    assert!(stage.0.get(&leader, "/manage/queryPeer").contains(&old.to_string()));
    let before = stage.0.now();
    let answer = stage.command(&leader, "/manage/changePeer", &metas);
    assert_eq!(answer, r#"{"success":true,"message":null}"#);
    assert!((3_100..3_400).contains(&(stage.0.now() - before)), "the world went on meanwhile");
    stage.0.pass(2_000);
    assert!(stage.is_ready(gone));
}

#[test]
fn section_14_servers_that_start_ask_no_meta_that_waits_to_be_let_in() {
    let metas = ["reg-meta-0", "reg-meta-1", "reg-meta-2"];
    let mut tried = 0;
    for seed in 20..40 {
        let mut stage = Stage::serving(seed, "5.4.3");
        let leader = stage.leader();
        // The first name on the list is the first to be asked.
        if leader == metas[0] {
            continue;
        }
        tried += 1;
        let followers = metas.into_iter().filter(|m| **m != leader);
        for meta in followers.chain([leader.as_str()]) {
            stage.delete(meta);
            stage.0.pass(60_000);
            assert_eq!(stage.raft(meta), Some(RaftStatus::NotInGroup), "it waits");
            if meta == metas[0] {
                stage.delete("reg-session-0");
                assert!(stage.0.pass_until(10_000, |w| ready(w) == 5), "it ends");
                assert!(stage.0.pass_until(60_000, |w| ready(w) == 6), "it found a meta that works");
            }
            let leads = stage.leader();
            let answer = stage.command(&leads, "/manage/changePeer", &metas);
            assert!(answer.contains("true"), "{answer} {:#?}", stage.0.take_transcript());
            stage.0.pass(5_000);
        }
        assert_eq!(stage.0.registry().cut_off(), Vec::<Ipv4Addr>::new(), "{:#?}", stage.0.take_transcript());
    }
    assert!(tried > 3, "{tried}");
}

#[test]
fn a_blank_meta_waits_for_a_majority_of_names() {
    let mut stage = Stage::set(3, "5.4.3");
    // Only one meta can be placed: the others' names never resolve.
    stage.write(&Write::MergePatch(
        Key::new("apps/StatefulSet", "n", "reg-meta"),
        json!({"spec": {"replicas": 1}}),
        Part::Main,
    ));
    stage.0.pass(600_000);
    assert_eq!(ready(&stage.0), 0);
    assert_eq!(stage.0.get("reg-meta-0", "/health/check"), "Refused", "it would have elected itself");
    stage.write(&Write::MergePatch(
        Key::new("apps/StatefulSet", "n", "reg-meta"),
        json!({"spec": {"replicas": 2}}),
        Part::Main,
    ));
    assert!(stage.0.pass_until(120_000, |w| w.get("reg-meta-0", "/health/check").starts_with("200")));
}

#[test]
fn power_loss_leaves_all_metas_without_a_leader_and_reset_peer_cures_it() {
    let mut stage = Stage::serving(4, "5.4.3");
    let leader = stage.leader();
    let ip = stage.ip(&leader);
    stage.0.http(&Request::get(ip, 9615, CLOSE)).expect("a caller that lives");
    for node in ["a", "b", "c"] {
        stage.0.lose_node(node, NodeLoss::PowerOff);
    }
    stage.0.pass(60_000);
    for node in ["a", "b", "c"] {
        stage.0.restore_node(node);
    }
    stage.0.pass(300_000);
    assert_eq!(ready(&stage.0), 0, "nothing heals by itself");
    assert!(stage.command(&leader, "/manage/resetPeer", &[&leader]).contains("replaceAll"));
    stage.0.pass(4_000);
    assert!(stage.command(&leader, "/manage/resetPeer", &[&leader]).contains("true"));
    let mut list = vec![leader.as_str()];
    for meta in ["reg-meta-0", "reg-meta-1", "reg-meta-2"].into_iter().filter(|m| **m != leader) {
        list.push(meta);
        assert!(stage.command(&leader, "/manage/changePeer", &list).contains("true"));
    }
    assert!(stage.0.get(&leader, "/digest/pushSwitch").contains("closed"), "the switch is kept");
    assert!(stage.0.pass_until(300_000, |w| ready(w) == 7), "{:#?}", stage.0.take_transcript());
}

#[test]
fn two_wiped_metas_at_once_are_a_new_empty_cluster() {
    let mut stage = Stage::serving(5, "5.4.3");
    let leader = stage.leader();
    let survivor = leader.clone();
    for gone in ["reg-meta-0", "reg-meta-1", "reg-meta-2"].into_iter().filter(|m| **m != survivor) {
        let volume = stage.0.pods.volume_of(gone).expect("a volume");
        stage.delete(gone);
        stage.0.registry().wipe(&volume);
    }
    stage.0.pass(30_000);
    let lineages: std::collections::BTreeSet<Option<u64>> = ["reg-meta-0", "reg-meta-1", "reg-meta-2"]
        .map(|m| {
            let ip = stage.ip(m);
            stage.0.registry().lineage(ip)
        })
        .into();
    assert_eq!(lineages.len(), 2, "fact 5: what the operator's gates are for");
}

#[test]
fn a_node_that_is_cut_off_takes_no_part_and_comes_back() {
    let mut stage = Stage::serving(6, "5.4.3");
    let leader = stage.leader();
    let object = stage.0.cluster.objects().get(&pod(&leader)).expect("a pod");
    let node = object["spec"]["nodeName"].as_str().expect("a node").to_owned();
    let ip = stage.ip(&leader);
    stage.0.lose_node(&node, NodeLoss::CutOff);
    stage.0.pass(50_000);
    assert!(!stage.is_ready(&leader), "Unknown after 40 s");
    let reply = stage.0.http(&Request::get(ip, 9615, "/health/check").patient_for(2_000));
    assert_eq!(reply, Ok(Reply::TimedOut));
    let second = stage.leader();
    assert_ne!(second, leader);
    stage.0.restore_node(&node);
    stage.0.pass(5_000);
    assert_eq!(stage.ip(&leader), ip, "the same process on the same address");
    assert_eq!(stage.raft(&leader), Some(RaftStatus::Follower));
    assert!(stage.is_ready(&leader));
}

#[test]
fn writes_and_commands_share_one_crash_point() {
    let mut stage = Stage::serving(7, "5.4.3");
    let leader = stage.leader();
    let ip = stage.ip(&leader);
    let sent = stage.0.cluster.tripwire.sent();
    assert_eq!(sent, 4, "reads are not counted");
    stage.0.cluster.tripwire.arm(Crash::After(sent + 1));
    let close = Request::get(ip, 9615, CLOSE);
    assert_eq!(stage.0.http(&close), Err(CallerCrashed));
    assert!(stage.0.write(&Write::Evict(pod(&leader), None)).is_err(), "dead for both");
    stage.0.pass(1_000);
    stage.0.cluster.tripwire.revive();
    assert!(stage.0.get("reg-session-0", "/digest/pushSwitch").contains("closed"), "it took effect");
    stage.0.cluster.tripwire.arm(Crash::Before(sent + 2));
    assert_eq!(stage.0.http(&Request::get(ip, 9615, "/stopPushDataSwitch/close")), Err(CallerCrashed));
    stage.0.pass(1_000);
    assert!(stage.0.get("reg-session-0", "/digest/pushSwitch").contains("closed"), "this one did not");
}

#[test]
fn a_server_that_ends_or_hangs_is_started_again_by_its_kubelet() {
    let mut stage = Stage::serving(8, "6.3.0");
    let ip = stage.ip("reg-data-0");
    let now = stage.0.now();
    stage.0.registry().stop(ip, sofa_operator::testkit::Signal::Term, now);
    stage.0.pass(5_000);
    assert!(!stage.is_ready("reg-data-0"));
    assert!(stage.0.pass_until(60_000, |w| ready(w) == 7));
    assert_eq!(stage.ip("reg-data-0"), ip, "a restarted container keeps the pod's address");
    let object = stage.0.cluster.objects().get(&pod("reg-data-0")).expect("a pod");
    assert_eq!(object["status"]["containerStatuses"][0]["restartCount"], 1);
    // A frozen process is not ready: without a liveness probe nobody starts it again.
    let now = stage.0.now();
    stage.0.registry().freeze(ip, now);
    stage.0.pass(60_000);
    assert!(!stage.is_ready("reg-data-0"));
}
