//! What a cluster could leave on the machine. Only what is this cluster's counts: others, of other ids, come and go at the
//! same time. Most of it carries the cluster's name, its networks or its state folder; the rest is remembered while the
//! cluster is up (`Marks`).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{BRIDGE, ID, NETS, RUN, STATE, TOP, all_processes, in_cgroup, processes_below, run};

/// What the cluster had while it was up and whose name does not tell whose it is.
#[derive(Default)]
pub(crate) struct Marks {
    /// Inodes of network namespaces.
    namespaces: BTreeSet<u64>,
    /// Sockets of containerd's shims.
    sockets: BTreeSet<PathBuf>,
}

impl Marks {
    pub(crate) fn gather(&mut self) {
        let host = fs::metadata("/proc/self/ns/net").expect("the own namespace").ino();
        let held = processes_below(TOP).into_iter().filter_map(namespace_of);
        let mounted =
            mounts().into_iter().filter(|m| m.contains(STATE)).filter_map(|m| mounted_namespace(&m));
        self.namespaces.extend(held.chain(mounted).filter(|inode| *inode != host));
        for node in entries(Path::new(STATE)) {
            for task in entries(&node.join("containerd/state/io.containerd.runtime.v2.task/k8s.io")) {
                let address = fs::read_to_string(task.join("address")).unwrap_or_default();
                self.sockets.extend(address.strip_prefix("unix://").map(PathBuf::from));
            }
        }
    }
}

/// Everything of the cluster that is on the machine, one line each.
pub(crate) struct Snapshot {
    things: BTreeSet<String>,
    /// The values that kubelet changes for the whole machine, where no cluster is up: then they must be the machine's own.
    sysctls: Option<String>,
}

impl Snapshot {
    pub(crate) fn take(marks: &Marks) -> Self {
        let mut things = BTreeSet::new();
        things.extend(processes());
        things.extend(
            mounts().into_iter().filter(|m| is_ours(m) || holds_own_namespace(m, marks)).map(of("mount")),
        );
        things.extend(lines(&["ip", "-o", "link"]).into_iter().filter(|l| is_ours(l)).map(of("link")));
        for family in ["-4", "-6"] {
            let routes = lines(&["ip", family, "route", "show", "table", "all"]);
            things.extend(routes.into_iter().filter(|l| is_ours(l)).map(of("route")));
        }
        things.extend(namespaces(marks));
        things.extend(cgroups());
        for save in [&["iptables-save"][..], &["ip6tables-save"], &["nft", "list", "ruleset"]] {
            things.extend(lines(save).into_iter().filter(|l| is_cluster_rule(l)).map(of("firewall")));
        }
        things.extend(files(marks));
        let alone =
            fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten().all(|h| !has_a_cluster(&h.path()));
        let sysctls = alone.then(|| {
            let kept = fs::read_to_string("/run/sofa-operator.sysctls").unwrap_or_default();
            kept + &SYSCTLS
                .map(|name| format!("{name}: {}", fs::read_to_string(name).unwrap_or_default()))
                .concat()
        });
        Self { things, sysctls }
    }

    /// What is here and was not there.
    pub(crate) fn beyond(&self, before: &Self) -> Vec<String> {
        let mut left: Vec<_> = self.things.difference(&before.things).cloned().collect();
        if let (Some(now), Some(then)) = (&self.sysctls, &before.sysctls)
            && now != then
        {
            left.push(format!("sysctls: {now} before: {then}"));
        }
        left
    }
}

const SYSCTLS: [&str; 6] = [
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/kernel/keys/root_maxkeys",
    "/proc/sys/kernel/keys/root_maxbytes",
];

fn of(kind: &str) -> impl Fn(String) -> String {
    move |thing| format!("{kind}: {thing}")
}

/// Whether a line names the cluster, its networks or its state folder.
fn is_ours(line: &str) -> bool {
    let words = line.split(|c: char| c.is_whitespace() || matches!(c, ':' | '@' | '"'));
    words.into_iter().any(|word| {
        word == BRIDGE
            || word.starts_with(&format!("{TOP}-"))
            || word.starts_with(RUN)
            || NETS.iter().any(|net| word.starts_with(net))
    })
}

/// Whether a firewall rule is one that a cluster makes: no cluster has a business in the machine's own firewall.
fn is_cluster_rule(line: &str) -> bool {
    is_ours(line) || ["KUBE-", "CNI-"].iter().any(|name| line.contains(name))
}

fn processes() -> Vec<String> {
    let ours = all_processes().filter(|pid| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let folder = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        in_cgroup(*pid, TOP) || String::from_utf8_lossy(&command).contains(RUN) || folder.starts_with(RUN)
    });
    ours.map(|pid| {
        format!("process: {pid} {}", fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default())
    })
    .collect()
}

fn mounts() -> Vec<String> {
    fs::read_to_string("/proc/self/mountinfo").expect("mounts").lines().map(str::to_owned).collect()
}

/// The network namespace that a mount holds.
fn mounted_namespace(mount: &str) -> Option<u64> {
    mount.split_whitespace().nth(3)?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

fn holds_own_namespace(mount: &str, marks: &Marks) -> bool {
    // The kernel gives an inode number to another namespace when it is free again: one of another cluster, perhaps.
    mounted_namespace(mount).is_some_and(|inode| marks.namespaces.contains(&inode))
        && !mount.contains("/cluster-")
}

fn namespace_of(pid: u32) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

fn namespaces(marks: &Marks) -> Vec<String> {
    let of_others = |pid: u32| in_cgroup(pid, "sofa") && !in_cgroup(pid, TOP);
    let held = all_processes()
        .filter_map(|pid| Some((pid, namespace_of(pid).filter(|inode| marks.namespaces.contains(inode))?)))
        .filter(|(pid, _)| !of_others(*pid))
        .map(|(pid, inode)| format!("network namespace: {inode}, held by process {pid}"));
    let named = entries(Path::new("/run/netns")).into_iter().filter(|file| {
        let inode = fs::metadata(file).map_or(0, |m| m.ino());
        marks.namespaces.contains(&inode) || file.to_string_lossy().contains(TOP)
    });
    held.chain(named.map(|file| format!("network namespace: {}", file.display()))).collect()
}

/// In cgroup v1 each hierarchy has a folder of its own; in v2 there is one.
fn cgroups() -> Vec<String> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = entries(root).into_iter().chain([root.to_owned()]);
    let groups =
        hierarchies.flat_map(|h| entries(&h)).filter(|group| group.file_name().is_some_and(|n| n == TOP));
    groups.map(|group| format!("cgroup: {}", group.display())).collect()
}

/// Whether a hierarchy has a group of any cluster.
fn has_a_cluster(hierarchy: &Path) -> bool {
    let is_one = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix("sofa").is_some_and(|id| id.len() == 1)
    };
    is_one(hierarchy) || entries(hierarchy).iter().any(|group| is_one(group))
}

fn files(marks: &Marks) -> Vec<String> {
    let mut found: Vec<PathBuf> = marks.sockets.iter().filter(|s| s.exists()).cloned().collect();
    found.extend(entries(Path::new("/var/lib/cni/results")).into_iter().filter(|result| {
        let text = fs::read_to_string(result).unwrap_or_default();
        text.contains(RUN)
    }));
    found.extend(entries(Path::new("/var/log/containers")).into_iter().filter(|link| {
        let target = fs::read_link(link).unwrap_or_default();
        target.starts_with(RUN)
    }));
    found.extend(
        [RUN.into(), STATE.into(), format!("{STATE}.lock").into()]
            .into_iter()
            .filter(|f: &PathBuf| f.exists()),
    );
    found.into_iter().map(|file| format!("file: {}", file.display())).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

/// What a command prints; nothing where the machine does not have it.
fn lines(command: &[&str]) -> Vec<String> {
    let found = run(Command::new("which").arg(command[0])).succeeded;
    if !found {
        return Vec::new();
    }
    run(Command::new(command[0]).args(&command[1..])).expect_success().lines().map(str::to_owned).collect()
}

mod planted {
    //! The comparison sees what it is there to see.

    use super::*;
    use crate::cluster::Story;
    use std::process::{Child, Stdio};

    /// Something of the cluster's name, and how it goes again.
    struct Plant {
        remove: Vec<String>,
    }

    impl Plant {
        fn new(make: &str, remove: &str) -> Self {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let make = words(make);
            let plant = Self { remove: words(remove) };
            run(Command::new(&make[0]).args(&make[1..])).expect_success();
            plant
        }
    }

    impl Drop for Plant {
        fn drop(&mut self) {
            run(Command::new(&self.remove[0]).args(&self.remove[1..]));
        }
    }

    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            // It may have ended by itself.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn sleeper(command: &mut Command) -> Sleeper {
        Sleeper(command.stdin(Stdio::null()).spawn().expect("sleep starts"))
    }

    fn left(story: &Snapshot, marks: &Marks) -> Vec<String> {
        Snapshot::take(marks).beyond(story)
    }

    #[test]
    fn what_is_left_is_seen() {
        let _story = Story::begin();
        let mut marks = Marks::default();
        let before = Snapshot::take(&marks);
        assert_eq!(left(&before, &marks), Vec::<String>::new(), "nothing is planted yet");
        let hierarchy = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "" } else { "pids/" };
        let group = format!("/sys/fs/cgroup/{hierarchy}{TOP}");
        let result = format!("/var/lib/cni/results/{TOP}-planted");
        let log = format!("/var/log/containers/{TOP}-planted.log");
        for (make, remove, kind) in [
            (
                format!("ip route add blackhole 10.20{ID}.0.0/16"),
                format!("ip route del blackhole 10.20{ID}.0.0/16"),
                "route:",
            ),
            (format!("ip link add {TOP}-v9 type bridge"), format!("ip link del {TOP}-v9"), "link:"),
            (format!("mkdir {group}"), format!("rmdir {group}"), "cgroup:"),
            (format!("install -D /dev/null {STATE}.lock"), format!("rm -r {RUN}"), "file:"),
            (format!("mount -m -t tmpfs sofa-planted {STATE}"), format!("umount {STATE}"), "mount:"),
            (format!("ln -sf {STATE}/node-1/x {log}"), format!("rm {log}"), "file:"),
        ] {
            let parent = Path::new(&log).parent().expect("a folder");
            fs::create_dir_all(parent).expect("the folder of the logs' links");
            let plant = Plant::new(&make, &remove);
            let seen = left(&before, &marks);
            assert!(
                seen.iter().any(|thing| thing.starts_with(kind)),
                "after '{make}' there is no '{kind}' in {seen:?}"
            );
            drop(plant);
        }
        run(Command::new("rm").args(["-rf", RUN])).expect_success();

        fs::create_dir_all("/var/lib/cni/results").expect("the folder of the results");
        fs::write(&result, format!("{{\"netns\": \"{STATE}/node-1/netns\"}}"))
            .expect("the result is written");
        let seen = left(&before, &marks);
        fs::remove_file(&result).expect("the result is removed");
        assert_eq!(seen, [format!("file: {result}")]);

        fs::create_dir_all(STATE).expect("the state folder is made");
        let process = sleeper(Command::new("sleep").arg("60").current_dir(STATE));
        fs::remove_dir_all(RUN).expect("the state folder is removed");
        let seen = left(&before, &marks);
        drop(process);
        assert!(
            seen.len() == 1 && seen[0].starts_with("process:"),
            "a process in the state folder: {seen:?}"
        );

        let process = sleeper(Command::new("unshare").args(["--net", "sleep", "60"]));
        let host = namespace_of(std::process::id()).expect("the own namespace");
        let inode = crate::cluster::eventually(
            std::time::Duration::from_secs(10),
            "unshare has its namespace",
            || {
                namespace_of(process.0.id())
                    .filter(|inode| *inode != host)
                    .ok_or_else(|| "the machine's own".to_owned())
            },
        );
        marks.namespaces.insert(inode);
        let seen = left(&before, &marks);
        drop(process);
        assert!(
            seen.len() == 1 && seen[0].starts_with("network namespace:"),
            "a namespace that was ours: {seen:?}"
        );
        assert_eq!(left(&before, &marks), Vec::<String>::new(), "nothing is planted any more");
    }

    #[test]
    fn only_this_clusters_lines_count() {
        for ours in [
            "10.99.2.0/24 dev sofa-br2 proto kernel",
            "10.202.1.0/24 via 10.99.2.11",
            "23: sofa2-v1@if2: <UP>",
            "-A KUBE-SERVICES -d 10.222.0.1/32 -j ACCEPT",
            "-A FORWARD -i sofa-br2 -j ACCEPT",
        ] {
            assert!(is_cluster_rule(ours), "{ours}");
        }
        for other in [
            "10.99.0.0/24 dev sofa-br0",
            "10.99.20.0/24 dev eth1",
            "23: sofa0-v2@if2: <UP>",
            "110.202.1.0/24 dev eth0",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
