//! A cluster of fake nodes: pods are Ready at once, and the audit log tells what the operator asked.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::cluster::{
    STATE, Story, apply, cluster, eventually, field, kill_now, kubectl, kubectl_as, pid_of, processes_below,
    same, script,
};

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: many}
spec:
  replicas: 5
  selector: {matchLabels: {app: many}}
  template:
    metadata: {labels: {app: many}}
    spec: {containers: [{name: nothing, image: nowhere}]}
";

fn requests_of_the_operator() -> usize {
    let log = fs::read_to_string(format!("{STATE}/audit.log")).unwrap_or_default();
    log.lines().filter(|line| line.contains("\"username\":\"operator\"")).count()
}

fn ask_as_operator() {
    let before = requests_of_the_operator();
    kubectl_as("operator", &["get", "namespaces"]).expect_success();
    eventually(Duration::from_secs(10), "the audit log shows the operator's request", || {
        let now = requests_of_the_operator();
        if now > before { Ok(()) } else { Err(format!("{now} requests, as before")) }
    });
}

#[test]
fn fake_nodes_run_pods_and_keep_an_audit_log() {
    let mut story = Story::begin();
    // A start that is cut off leaves no half a cluster to the next one.
    let mut start = script(&["up"]).env("FAKE_NODES", "3").spawn().expect("the script starts");
    let pid_file = Path::new(STATE).join("pid/apiserver");
    eventually(Duration::from_mins(1), "the start has come to the API server", || {
        fs::read_to_string(&pid_file)
            .ok()
            .filter(|t| t.ends_with('\n'))
            .ok_or_else(|| "no pid file".to_owned())
    });
    kill_now(children_of(start.id()).into_iter().chain([start.id()]));
    start.wait().expect("it has ended");
    assert!(processes_below("sofa2").contains(&pid_of("etcd")), "etcd outlives the script that was cut off");
    let said = story.up_with_fake_nodes("3");
    assert!(said.contains("removing what a start that was cut off left"), "up said: {said}");

    let nodes = kubectl(&["get", "nodes", "--no-headers"]).expect_success();
    assert_eq!(nodes.lines().filter(|line| line.contains(" Ready ")).count(), 3, "{nodes}");
    apply(DEPLOYMENT);
    eventually(Duration::from_secs(30), "five pods are Ready", || {
        same(&field("deployment/many", ".status.readyReplicas")?, "5")
    });

    assert_eq!(requests_of_the_operator(), 0, "the operator has asked nothing yet");
    ask_as_operator();
    cluster(&["stop-api"]).expect_success();
    cluster(&["start-api"]).expect_success();
    ask_as_operator();
    story.end();
}

/// `timeout` starts the script as its child; what the script itself has started is to live on.
fn children_of(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}
