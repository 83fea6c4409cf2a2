//! A cluster starts once, is left alone by those who use another, and ends without a trace.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::cluster::{
    Folder, RUN, STATE, Story, apply, await_ready, cluster, eventually, field, kubectl, pid_of,
    processes_below, run, same, script, sleeper,
};

fn node_uids() -> String {
    kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.uid}"]).expect_success()
}

#[test]
fn a_cluster_starts_once_and_ends_without_a_trace() {
    let mut story = Story::begin();
    story.up("2");
    let (api, nodes) = (pid_of("apiserver"), node_uids());
    assert_eq!(nodes.split_whitespace().count(), 2, "nodes: {nodes}");
    apply(&(sleeper("first", "node-1") + &sleeper("second", "node-2")));
    await_ready("first");
    await_ready("second");

    bad_requests_change_nothing();
    story.up("2");
    assert_eq!((api, &nodes), (pid_of("apiserver"), &node_uids()), "a second up changes nothing");
    pods_outlive_the_api();
    the_users_own_cluster_is_used_and_left_alone();
    assert_eq!(nodes, node_uids(), "they are the same nodes to the end");

    story.end();
    let again = cluster(&["down"]);
    assert_eq!(again.stderr, "cluster: no cluster is up\n");
    again.expect_success();
}

fn bad_requests_change_nothing() {
    let folder = Folder::new("load");
    let missing = folder.join("missing.tar");
    let line = cluster(&["load", missing.to_str().expect("UTF-8")]).expect_refusal();
    assert!(line.contains("missing.tar cannot be read: name an image"), "{line}");

    let garbage = folder.join("garbage.tar");
    fs::write(&garbage, "no archive").expect("the file is written");
    let line = cluster(&["load", garbage.to_str().expect("UTF-8")]).expect_refusal();
    assert!(line.contains("cannot import") && line.contains("garbage.tar"), "{line}");
    assert!(line.contains("give an image archive"), "{line}");
    let remembered = fs::read_to_string(format!("{STATE}/images")).unwrap_or_default();
    assert!(!remembered.contains("garbage"), "the next up would fail on it: {remembered}");

    let line = cluster(&["load", "nobody-knows-it"]).expect_refusal();
    assert!(line.starts_with("images: there is no image nobody-knows-it: there are base:1, "), "{line}");
    let line = cluster(&["load"]).expect_refusal();
    assert!(line.contains("say which image"), "{line}");

    for verb in ["kill-node", "start-node"] {
        let line = cluster(&[verb, "9"]).expect_refusal();
        assert_eq!(line, "cluster: there is no node '9': say which, 1 to 2");
    }
    let line = run(script(&["up"]).env("FAKE_NODES", "1")).expect_refusal();
    assert_eq!(line, "cluster: a cluster with FAKE_NODES=0 is up: cluster.sh down first");
    let elsewhere = format!("{RUN}-2");
    let line = run(script(&["up"]).env("SOFA_RUN", &elsewhere)).expect_refusal();
    assert!(line.contains("processes of a cluster 2 run that") && line.contains("CLUSTER_ID"), "{line}");
    assert!(!Path::new(&elsewhere).exists(), "{elsewhere} was made");
}

fn pods_outlive_the_api() {
    let processes = processes_below("sofa2/node-");
    assert!(processes.len() >= 4, "two pods of two processes each: {processes:?}");
    let uids = || [field("pod/first", ".metadata.uid"), field("pod/second", ".metadata.uid")];
    let before = uids();

    cluster(&["stop-api"]).expect_success();
    assert!(!kubectl(&["get", "nodes"]).succeeded, "the API server answers after stop-api");
    assert!(processes.is_subset(&processes_below("sofa2/node-")), "a pod ended with the API server");

    cluster(&["start-api"]).expect_success();
    assert_eq!(before, uids());
    for pod in ["first", "second"] {
        await_ready(pod);
        assert_eq!(
            field(&format!("pod/{pod}"), ".status.containerStatuses[0].restartCount").as_deref(),
            Ok("0")
        );
    }
    assert!(processes.is_subset(&processes_below("sofa2/node-")), "a pod was restarted with the API server");
    eventually(Duration::from_secs(20), "the API takes writes", || {
        same(&kubectl(&["create", "configmap", "written"]).stdout, "configmap/written created\n")
    });
}

/// This story's cluster plays the user's: the scripts work for another one that must not come to be.
fn the_users_own_cluster_is_used_and_left_alone() {
    let kubeconfig = format!("{STATE}/admin.kubeconfig");
    let other = |arguments: &[&str]| {
        let path = format!("{STATE}/bin:{}", std::env::var("PATH").unwrap_or_default());
        run(script(arguments).env("CLUSTER_ID", "3").env("KUBECONFIG", &kubeconfig).env("PATH", path))
    };
    let up = other(&["up"]);
    assert_eq!(up.stderr, "cluster: KUBECONFIG is set: using that cluster, none is started\n");
    up.expect_success();
    let status = other(&["status"]).expect_success();
    assert!(status.contains("node-2"), "the status of the user's cluster: {status}");
    let loaded = other(&["load", "pause"]);
    assert!(loaded.stderr.contains("load these into it"), "{}", loaded.stderr);
    assert!(Path::new(loaded.expect_success().trim()).is_file(), "load prints the archive");
    let down = other(&["down"]);
    assert_eq!(down.stderr, "cluster: KUBECONFIG names a cluster that is not ours: it is left alone\n");
    down.expect_success();

    let links = run(Command::new("ip").args(["-o", "link"])).expect_success();
    assert!(!links.contains("sofa3") && !links.contains("sofa-br3"), "a cluster was started: {links}");
    assert!(!Path::new(RUN).join("cluster-3").exists(), "a state folder was made");
    assert!(processes_below("sofa3").is_empty(), "processes were started");
}
