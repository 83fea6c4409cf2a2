//! A cluster grows by a node; the node dies, its pods wait for a decision, move, and the node comes back.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::cluster::{
    Folder, SLEEP, STATE, Story, apply, await_ready, build_images, cache, checkout, cluster, eventually,
    field, kubectl, run, same, sleeper,
};

/// The controller-manager gives up on a node after 16 s, taints follow, pods tolerate them for 5 s.
const LOSS: Duration = Duration::from_mins(1);
const TAINT: &str = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute";

/// A `StatefulSet` and a Deployment of one pod each that prefer node-3 and leave a lost node after 5 s.
fn workloads() -> String {
    let template = |app: &str| {
        format!(
            "
  replicas: 1
  selector: {{matchLabels: {{app: {app}}}}}
  template:
    metadata: {{labels: {{app: {app}}}}}
    spec:
      affinity: {{nodeAffinity: {{preferredDuringSchedulingIgnoredDuringExecution: [{{weight: 100, preference: {{matchExpressions:
        [{{key: kubernetes.io/hostname, operator: In, values: [node-3]}}]}}}}]}}}}
      tolerations:
      - {{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 5}}
      - {{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 5}}
      {}
",
            SLEEP.replace(", automount", "\n      automount").replace(", containers", "\n      containers")
        )
    };
    format!(
        "
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: member}}
spec:
  serviceName: member{}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: worker}}
spec:{}",
        template("member"),
        template("worker")
    )
}

/// The archive of an image of another name, in a file with a blank in its name.
fn tiny_archive(folder: &Folder) -> String {
    let pause = build_images(&checkout().join("images/build.py"), &cache(), &["pause"]).expect_success();
    let unpacked = folder.join("unpacked");
    fs::create_dir(&unpacked).expect("a new folder");
    run(Command::new("tar").arg("-xf").arg(pause.trim()).arg("-C").arg(&unpacked)).expect_success();
    let manifest = unpacked.join("manifest.json");
    let text = fs::read_to_string(&manifest).expect("an archive has a manifest");
    fs::write(&manifest, text.replace("localhost/pause:1", "localhost/tiny:1"))
        .expect("the manifest is written");
    let archive = folder.join("a tiny image.tar");
    run(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&unpacked).arg(".")).expect_success();
    archive.to_str().expect("UTF-8").to_owned()
}

fn worker_on(node: &str) -> Result<String, String> {
    let seen = kubectl(&[
        "get",
        "pods",
        "-l",
        "app=worker",
        "-o",
        &format!("jsonpath={{range .items[?(@.spec.nodeName==\"{node}\")]}}{{.metadata.name}}{{end}}"),
    ])
    .expect_success();
    if seen.is_empty() { Err(kubectl(&["get", "pods", "-o", "wide"]).stdout) } else { Ok(seen) }
}

fn node_ready(status: &str) -> Result<(), String> {
    same(&field("node/node-3", ".status.conditions[?(@.type==\"Ready\")].status")?, status)
}

#[test]
fn a_lost_nodes_pods_wait_move_and_the_node_comes_back() {
    let mut story = Story::begin();
    story.up("2");
    let folder = Folder::new("tiny");
    cluster(&["load", &tiny_archive(&folder)]).expect_success();
    story.up("3");
    let socket = format!("{STATE}/node-3/containerd.sock");
    let images =
        run(Command::new("ctr").args(["-a", &socket, "-n", "k8s.io", "images", "ls", "-q"])).expect_success();
    for image in ["localhost/tiny:1", "localhost/base:1"] {
        assert!(images.lines().any(|line| line == image), "the new node lacks {image}: {images}");
    }

    apply(&workloads());
    await_ready("member-0");
    let worker = eventually(LOSS, "the Deployment's pod is on node-3", || worker_on("node-3"));
    await_ready(&worker);
    let member = field("pod/member-0", ".metadata.uid");
    assert_eq!(field("pod/member-0", ".spec.nodeName").as_deref(), Ok("node-3"));
    story.remember_marks();

    cluster(&["kill-node", "3"]).expect_success();
    eventually(LOSS, "the killed node is NotReady", || node_ready("Unknown"));
    assert_eq!(field("pod/member-0", ".metadata.uid"), member, "a node that is only NotReady loses no pod");
    eventually(LOSS, "the Deployment has another pod on a node that lives", || {
        worker_on("node-1").or_else(|_| worker_on("node-2"))
    });
    for pod in ["member-0", &worker] {
        let object = format!("pod/{pod}");
        eventually(LOSS, "the lost node's pod is to be deleted", || {
            field(&object, ".metadata.deletionTimestamp")
                .and_then(|t| if t.is_empty() { Err(t) } else { Ok(()) })
        });
        assert_eq!(
            field(&object, ".spec.nodeName").as_deref(),
            Ok("node-3"),
            "{pod} stays bound: it may still run"
        );
    }
    assert_eq!(
        field("pod/member-0", ".metadata.uid"),
        member,
        "a StatefulSet's pod has no second life meanwhile"
    );

    kubectl(&["taint", "node", "node-3", TAINT]).expect_success();
    eventually(LOSS, "the StatefulSet's pod moves", || {
        let node = field("pod/member-0", ".spec.nodeName")?;
        if ["node-1", "node-2"].contains(&node.as_str()) { Ok(()) } else { Err(format!("it is on '{node}'")) }
    });
    await_ready("member-0");
    assert_ne!(field("pod/member-0", ".metadata.uid"), member);

    cluster(&["start-node", "3"]).expect_success();
    eventually(LOSS, "the node is Ready again", || node_ready("True"));
    kubectl(&["taint", "node", "node-3", &format!("{TAINT}-")]).expect_success();
    apply(&sleeper("newcomer", "node-3"));
    await_ready("newcomer");
    story.end();
}
