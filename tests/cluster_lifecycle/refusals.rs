//! Bad input and a bad place: one line that names the thing and says what to do, and nothing is left half-made.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::cluster::{Folder, ID, RUN, SmallDisk, Story, build_images, checkout, cluster, run, script};

#[test]
fn bad_words_are_refused() {
    let story = Story::begin();
    let up = |variable: &str, value: &str, nodes: &str| {
        let line = run(script(&["up", nodes]).env(variable, value)).expect_refusal();
        story.expect_nothing_left();
        line
    };
    assert_eq!(up("CLUSTER_ID", "x", "2"), "cluster: CLUSTER_ID is 'x': it must be one digit");
    assert_eq!(up("CLUSTER_ID", ID, "0"), "cluster: NODES is '0': it must be 1 to 9");
    assert_eq!(up("CLUSTER_ID", ID, "abc"), "cluster: NODES is 'abc': it must be 1 to 9");
    assert_eq!(up("CLUSTER_ID", ID, "10"), "cluster: NODES is '10': it must be 1 to 9");
    assert_eq!(up("FAKE_NODES", "abc", "2"), "cluster: FAKE_NODES is 'abc': it must be a number");
    let long = format!("{RUN}/{}", "long".repeat(10));
    let line = up("SOFA_RUN", &long, "2");
    assert_eq!(line, "cluster: SOFA_RUN is too long for the sockets below it: use at most 50 characters");
    let line = up("SOFA_RUN", &format!("{RUN} 2"), "2");
    assert_eq!(line, format!("cluster: SOFA_RUN is '{RUN} 2': use letters, digits, and . _ - / only"));

    for arguments in [
        &["load", "pause"][..],
        &["kill-node", "1"],
        &["start-node", "1"],
        &["stop-api"],
        &["start-api"],
        &["env"],
    ] {
        let line = cluster(arguments).expect_refusal();
        assert!(line.contains("is up: make cluster-up"), "{arguments:?}: {line}");
        story.expect_nothing_left();
    }
}

#[test]
fn a_port_in_use_is_named_with_its_program() {
    let story = Story::begin();
    let refuse = |port: &str| {
        let line = cluster(&["up"]).expect_refusal();
        let process = format!("pid={}", std::process::id());
        assert!(line.contains(&format!("port {port}")) && line.contains(&process), "{line}");
        assert!(line.ends_with(": end that program, then try again"), "{line}");
        story.expect_nothing_left();
    };
    // Another cluster that is up on this machine has this port on its own address, and then nobody gets all of them.
    if let Ok(_listener) = TcpListener::bind("0.0.0.0:6443") {
        refuse("6443 (apiserver)");
    }
    let _listener = TcpListener::bind("127.77.2.1:2379").expect("etcd's port is free");
    refuse("2379 (etcd)");
}

#[test]
fn a_kubeconfig_that_does_not_serve_is_refused() {
    let story = Story::begin();
    let folder = Folder::new("kubeconfig");
    let missing = folder.join("missing");
    let line = run(script(&["up"]).env("KUBECONFIG", &missing)).expect_refusal();
    let words = format!("cluster: KUBECONFIG={} cannot be read: correct it, or unset it", missing.display());
    assert!(line.starts_with(&words), "{line}");

    let silent = folder.join("silent");
    let text = "apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]
users: [{name: a, user: {token: a}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
current-context: a
";
    fs::write(&silent, text).expect("the file is written");
    let line = run(script(&["up"]).env("KUBECONFIG", &silent)).expect_refusal();
    let words = format!("cluster: the cluster of KUBECONFIG={} does not answer (", silent.display());
    assert!(line.starts_with(&words) && line.contains("127.0.0.1:1"), "{line}");
    assert!(line.ends_with(": correct it, or unset it to start a local cluster"), "{line}");
    story.expect_nothing_left();
}

#[test]
fn without_root_nothing_starts() {
    let story = Story::begin();
    // The checkout may be where only root can go.
    let folder = Folder::new("scripts");
    run(Command::new("cp").arg("-r").arg(checkout().join("tests/cluster")).arg(folder.path()))
        .expect_success();
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(folder.path())).expect_success();
    for verb in ["up", "down"] {
        let line = run(Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(folder.join("cluster/cluster.sh"))
            .arg(verb)
            .env_remove("KUBECONFIG")
            .env("CLUSTER_ID", ID)
            .env("SOFA_RUN", folder.join("run"))
            .env("SOFA_CACHE", folder.join("cache")))
        .expect_refusal();
        assert!(line.starts_with("cluster: needs root") && line.contains("sudo"), "{line}");
    }
    assert_eq!(names_in(folder.path()), ["cluster"], "something was made");
    story.expect_nothing_left();
}

#[test]
fn a_missing_part_is_named_with_its_package() {
    let story = Story::begin();
    for (part, package) in
        [("containerd", "containerd"), ("ipset", "ipset"), ("openssl", "openssl"), ("curl", "curl")]
    {
        let folder = Folder::new("tools");
        for source in env::split_paths(&env::var_os("PATH").expect("PATH is set")) {
            for tool in
                fs::read_dir(&source).into_iter().flatten().flatten().filter(|tool| tool.file_name() != part)
            {
                // The first of a name counts, as in PATH itself.
                let _ = symlink(tool.path(), folder.path().join(tool.file_name()));
            }
        }
        let line = run(script(&["up"]).env("PATH", folder.path())).expect_refusal();
        let words =
            format!("cluster: {part} is missing: make deps installs it (Debian: apt-get install {package})");
        assert_eq!(line, words);
        story.expect_nothing_left();
    }
}

#[test]
fn a_full_disk_is_named_with_the_way_out() {
    let story = Story::begin();
    let disk = SmallDisk::new("disk");
    let expect = |line: &str, needs: &str, variable: &str| {
        let free = line.split(" has ").nth(1).and_then(|rest| rest.split(" MiB free and ").next());
        let free: u32 =
            free.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no free space in: {line}"));
        assert!(free <= 20, "{line}");
        assert!(line.contains(&disk.path().display().to_string()), "{line}");
        assert!(line.contains(needs), "{line}");
        assert!(line.ends_with(&format!(": free some, or set {variable} to another disk")), "{line}");
        story.expect_nothing_left();
    };
    let line = run(script(&["up"]).env("SOFA_RUN", disk.path().join("run"))).expect_refusal();
    expect(&line, "a cluster needs 2000", "SOFA_RUN");
    let line = run(script(&["up"]).env("SOFA_CACHE", disk.path())).expect_refusal();
    expect(&line, "building kube needs 6000", "SOFA_CACHE");
    let line = build_images(&checkout().join("images/build.py"), disk.path(), &["pause"]).expect_refusal();
    assert!(line.starts_with("images: "), "{line}");
    expect(&line, "the build needs 3000", "SOFA_CACHE");
    assert_eq!(names_in(disk.path()), Vec::<String>::new(), "something was made");
}

/// The names in a folder, sorted.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names: BTreeSet<_> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.into_iter().collect()
}
