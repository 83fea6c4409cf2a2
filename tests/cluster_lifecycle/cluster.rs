//! What every story needs: its turn on the one cluster, the scripts' outcomes, kubectl, and patience with a deadline.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::leftovers::{Marks, Snapshot};

/// The cluster of these tests; others may be up on the same machine at the same time.
pub(crate) const ID: &str = "2";
/// Prefix of what the machine sees of it: cgroups and interfaces.
pub(crate) const TOP: &str = "sofa2";
pub(crate) const BRIDGE: &str = "sofa-br2";
/// Nodes, pods, Services.
pub(crate) const NETS: [&str; 3] = ["10.99.2.", "10.202.", "10.222."];
/// Where its state is: a folder that no other cluster shares, so that it must be gone at the end.
pub(crate) const RUN: &str = "/var/lib/sofa-lifecycle";
pub(crate) const STATE: &str = "/var/lib/sofa-lifecycle/cluster-2";
/// A first start builds the programs; all others take seconds.
const SCRIPT_SECONDS: &str = "1800";
/// How often a condition is looked at again.
const LOOK: Duration = Duration::from_millis(150);

/// One story plays at a time: they share the cluster, and some of them the whole machine's names.
static TURN: Mutex<()> = Mutex::new(());

/// What a command did.
pub(crate) struct Outcome {
    pub(crate) command: String,
    pub(crate) succeeded: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Its stdout; panics with all that was seen if it failed.
    pub(crate) fn expect_success(self) -> String {
        assert!(self.succeeded, "{} failed: {}{}", self.command, self.stderr, self.stdout);
        self.stdout
    }

    /// The one error line of a command that must fail. Lines that end in `...` only tell what it is doing.
    pub(crate) fn expect_refusal(self) -> String {
        let Self { command, succeeded, stdout, stderr } = self;
        assert!(!succeeded, "{command} must fail, but printed: {stdout}{stderr}");
        let lines: Vec<_> = stderr.lines().filter(|line| !line.ends_with("...")).collect();
        assert_eq!(lines.len(), 1, "{command} must print one error line, but printed: {stderr}");
        assert!(stdout.is_empty(), "{command} failed and printed on stdout: {stdout}");
        lines[0].to_owned()
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    Outcome {
        command: format!("{command:?}"),
        succeeded: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The root of the checkout.
pub(crate) fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `cluster.sh` with these arguments, for the cluster of these tests whatever the environment says.
pub(crate) fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.arg(SCRIPT_SECONDS).arg(checkout().join("tests/cluster/cluster.sh")).args(arguments);
    command.env_remove("KUBECONFIG").env_remove("FAKE_NODES").env("CLUSTER_ID", ID).env("SOFA_RUN", RUN);
    command
}

pub(crate) fn cluster(arguments: &[&str]) -> Outcome {
    run(&mut script(arguments))
}

pub(crate) fn build_images(builder: &Path, cache: &Path, names: &[&str]) -> Outcome {
    run(Command::new("timeout").arg(SCRIPT_SECONDS).arg(builder).args(names).env("SOFA_CACHE", cache))
}

/// The cache that the scripts use.
pub(crate) fn cache() -> PathBuf {
    if let Some(cache) = env::var_os("SOFA_CACHE").filter(|c| !c.is_empty()) {
        return cache.into();
    }
    let home = || PathBuf::from(env::var_os("HOME").expect("HOME is set")).join(".cache");
    env::var_os("XDG_CACHE_HOME")
        .filter(|c| !c.is_empty())
        .map_or_else(home, PathBuf::from)
        .join("sofa-operator")
}

fn kubectl_command(user: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(format!("{STATE}/bin/kubectl"));
    command
        .arg("--kubeconfig")
        .arg(format!("{STATE}/{user}.kubeconfig"))
        .arg("--request-timeout=5s")
        .args(arguments);
    command
}

pub(crate) fn kubectl(arguments: &[&str]) -> Outcome {
    kubectl_as("admin", arguments)
}

pub(crate) fn kubectl_as(user: &str, arguments: &[&str]) -> Outcome {
    run(&mut kubectl_command(user, arguments))
}

/// One field of an object: what the `JSONPath` gives, or why not.
pub(crate) fn field(object: &str, path: &str) -> Result<String, String> {
    let seen = kubectl(&["get", object, "-o", &format!("jsonpath={{{path}}}")]);
    if seen.succeeded { Ok(seen.stdout) } else { Err(seen.stderr) }
}

/// Applies manifests. A new namespace has no service account at first and then refuses pods: hence the patience.
pub(crate) fn apply(manifests: &str) {
    eventually(Duration::from_secs(20), "manifests are accepted", || {
        let mut child = kubectl_command("admin", &["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        // Dropped at the end of the statement: kubectl sees the end of its input.
        child
            .stdin
            .take()
            .expect("stdin is piped")
            .write_all(manifests.as_bytes())
            .map_err(|e| e.to_string())?;
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    });
}

/// What `look` gives once it gives something; panics with what it saw last when the deadline has passed.
pub(crate) fn eventually<T>(
    deadline: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < end, "not within {deadline:?}: {what}. Seen last: {seen}"),
        }
        // The only sleep: processes, kernel objects and API objects have no common event to wait for.
        thread::sleep(LOOK);
    }
}

/// `Ok` if both are the same, else what was seen.
pub(crate) fn same(seen: &str, wanted: &str) -> Result<(), String> {
    if seen == wanted { Ok(()) } else { Err(format!("'{seen}', not '{wanted}'")) }
}

/// Waits until the pod is Ready.
pub(crate) fn await_ready(pod: &str) {
    eventually(Duration::from_mins(1), &format!("pod {pod} is Ready"), || {
        let status = field(&format!("pod/{pod}"), ".status.conditions[?(@.type==\"Ready\")].status")?;
        same(&status, "True").map_err(|e| format!("{e}; {}", kubectl(&["get", "pods", "-o", "wide"]).stdout))
    });
}

/// A pod that sleeps on this node.
pub(crate) fn sleeper(name: &str, node: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec: {{nodeName: {node}, {SLEEP}}}
"
    )
}

/// The part of a pod's spec that every pod of these stories shares; the image is on every node.
pub(crate) const SLEEP: &str = "terminationGracePeriodSeconds: 1, automountServiceAccountToken: false, containers: \
     [{name: sleep, image: 'localhost/base:1', imagePullPolicy: IfNotPresent, command: [sleep, '100000']}]";

/// The id of the process that the scripts started under this name.
pub(crate) fn pid_of(program: &str) -> u32 {
    let text = fs::read_to_string(format!("{STATE}/pid/{program}")).unwrap_or_default();
    text.trim().parse().unwrap_or_else(|_| panic!("{program} has no pid file: '{text}'"))
}

/// All processes whose cgroup is below this one.
pub(crate) fn processes_below(cgroup: &str) -> BTreeSet<u32> {
    all_processes().filter(|pid| in_cgroup(*pid, cgroup)).collect()
}

pub(crate) fn in_cgroup(pid: u32, cgroup: &str) -> bool {
    let below = format!("/{cgroup}");
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|path| path.starts_with(&below))
}

pub(crate) fn all_processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").expect("/proc").flatten().filter_map(|e| e.file_name().to_str()?.parse().ok())
}

pub(crate) fn kill_now(pids: impl IntoIterator<Item = u32>) {
    // A process may have ended by itself since it was found.
    let pids = pids.into_iter().map(|pid| pid.to_string());
    run(Command::new("kill").arg("-KILL").args(pids));
}

/// A folder that goes with its owner.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Everyone may enter it.
    pub(crate) fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("sofa-lifecycle-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left in place it only takes room; a panic in here would hide the story's own.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A small file system that goes with its owner.
pub(crate) struct SmallDisk(Folder);

impl SmallDisk {
    pub(crate) fn new(name: &str) -> Self {
        let disk = Self(Folder::new(name));
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=20m", "sofa-small"]).arg(disk.path()))
            .expect_success();
        disk
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg(self.path()));
    }
}

/// A story's turn: no cluster is up when it begins, and none when it ends, however it ends.
pub(crate) struct Story {
    before: Snapshot,
    marks: Marks,
    _machine: fs::File,
    _turn: MutexGuard<'static, ()>,
}

impl Story {
    pub(crate) fn begin() -> Self {
        // A story that failed has taken its cluster down: the next one may go on.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let user = run(Command::new("id").arg("-u")).expect_success();
        assert_eq!(user.trim(), "0", "these tests start a cluster: run them as root");
        // The same tests of another checkout wait too. A folder can be locked, and no file is left for it.
        let machine = fs::File::open("/var/lib").expect("/var/lib is there");
        machine.lock().expect("/var/lib can be locked");
        cluster(&["down"]).expect_success();
        Self {
            before: Snapshot::take(&Marks::default()),
            marks: Marks::default(),
            _machine: machine,
            _turn: turn,
        }
    }

    /// `cluster.sh up`; panics with its words if it fails. What it said on stderr.
    pub(crate) fn up(&mut self, nodes: &str) -> String {
        self.started(cluster(&["up", nodes]))
    }

    pub(crate) fn up_with_fake_nodes(&mut self, fake_nodes: &str) -> String {
        self.started(run(script(&["up"]).env("FAKE_NODES", fake_nodes)))
    }

    fn started(&mut self, up: Outcome) -> String {
        let said = up.stderr.clone();
        let printed = up.expect_success();
        assert!(
            printed.contains(&format!("export KUBECONFIG={STATE}/admin.kubeconfig")),
            "up printed: {printed}"
        );
        assert!(printed.contains(&format!("export PATH={STATE}/bin:")), "up printed: {printed}");
        self.remember_marks();
        said
    }

    /// Remembers what the cluster has now whose name does not tell whose it is.
    pub(crate) fn remember_marks(&mut self) {
        self.marks.gather();
    }

    /// Nothing of the cluster is there but what was there when the story began.
    pub(crate) fn expect_nothing_left(&self) {
        // The kernel removes network namespaces and cgroups a little later than it says.
        eventually(Duration::from_secs(10), "nothing of the cluster is left", || {
            let left = Snapshot::take(&self.marks).beyond(&self.before);
            if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
        });
    }

    /// Takes the cluster down and looks for what it left.
    pub(crate) fn end(mut self) {
        self.remember_marks();
        let down = cluster(&["down"]);
        assert_eq!(down.stderr, "cluster: down\n");
        down.expect_success();
        self.expect_nothing_left();
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        let down = cluster(&["down"]);
        if !down.succeeded {
            eprintln!("{}: {}", down.command, down.stderr);
        }
    }
}
