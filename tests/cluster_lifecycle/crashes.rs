//! What is killed comes back, and what a machine's restart left is taken away.

use std::fs;
use std::time::Duration;

use crate::cluster::{
    STATE, Story, apply, await_ready, eventually, field, kill_now, kubectl, pid_of, processes_below, sleeper,
};

const PODS: [&str; 2] = ["first", "second"];

fn pod_fields(path: &str) -> [String; 2] {
    PODS.map(|pod| field(&format!("pod/{pod}"), path).unwrap_or_else(|e| panic!("{pod}: {e}")))
}

#[test]
fn what_is_killed_comes_back() {
    let mut story = Story::begin();
    story.up("2");
    apply(&(sleeper("first", "node-1") + &sleeper("second", "node-2")));
    for pod in PODS {
        await_ready(pod);
    }
    let uids = pod_fields(".metadata.uid");
    let processes = processes_below("sofa2/node-");
    let killed = ["apiserver", "etcd", "kubelet-1", "containerd-2"].map(pid_of);

    kill_now(killed);
    story.up("2");
    assert!(
        killed
            .iter()
            .all(|pid| !["apiserver", "etcd", "kubelet-1", "containerd-2"].map(pid_of).contains(pid))
    );
    for pod in PODS {
        await_ready(pod);
    }
    assert_eq!(uids, pod_fields(".metadata.uid"));
    assert_eq!(["0", "0"].map(str::to_owned), pod_fields(".status.containerStatuses[0].restartCount"));
    let now = processes_below("sofa2/node-");
    assert!(processes.is_subset(&now), "the pods' processes were {processes:?} and are {now:?}");

    kill_now(processes_below("sofa2"));
    story.up("2");
    for pod in PODS {
        await_ready(pod);
    }
    assert_eq!(uids, pod_fields(".metadata.uid"));
    // Ready is what the API server last heard: right after the start it may speak of the killed processes.
    eventually(Duration::from_mins(1), "two pods of two new processes each", || {
        let now = processes_below("sofa2/node-");
        if now.len() >= 4 && now.is_disjoint(&processes) { Ok(()) } else { Err(format!("{now:?}")) }
    });

    let boot = format!("{STATE}/boot");
    fs::write(&boot, "an earlier start of the machine\n").expect("the state folder is there");
    let said = story.up("2");
    assert!(said.contains("removing what a cluster before the machine's last start left"), "up said: {said}");
    let pods = kubectl(&["get", "pods", "-o", "name"]).expect_success();
    assert_eq!(pods, "", "a new cluster has no pods");
    story.end();
}
