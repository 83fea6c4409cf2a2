//! The stand-ins of `contract-servers`, tried as the real program on loopback.
//!
//! Each process gets a loopback address of its own (127.x.y.z) and the ports of its role plus 20000, so that
//! tests run beside each other without looking for free ports. What the stand-ins need is faked here, and
//! named fake: a database that only greets, a registry that only answers two questions, a silent queue.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its test functions do")]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Added to every port: no root needed, and below the ports that the kernel gives to clients.
const OFFSET: u16 = 20_000;

/// For each thing waited for: far above what a busy machine of two cores takes.
const DEADLINE: Duration = Duration::from_secs(10);

/// A loopback address that no other test of this or another process uses.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 1 + (high & 0x7f), low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Looks again and again until `look` gives something; fails with `what` at the deadline.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let waiting = timeout(DEADLINE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(15)).await;
        }
    });
    waiting.await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}

/// One HTTP request; status, head and body.
async fn http(at: SocketAddr, request: &str, body: &str) -> std::io::Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(at).await?;
    let length = body.len();
    stream
        .write_all(format!("{request} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes())
        .await?;
    let mut answer = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut answer)).await??;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok((status, head.to_lowercase(), body.to_owned()))
}

/// A running stand-in; killed when dropped.
struct StandIn {
    child: Child,
    ip: Ipv4Addr,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_contract-servers"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

impl StandIn {
    fn start(ip: Ipv4Addr, role: &str, flags: &[&str]) -> Self {
        let (ip_text, offset) = (ip.to_string(), OFFSET.to_string());
        let mut args =
            vec![role, "--listen", &ip_text, "--health-listen", &ip_text, "--port-offset", &offset];
        args.extend(flags);
        Self { child: command(&args).spawn().unwrap(), ip }
    }

    /// A server with its dependencies already there.
    fn server(role: &str, fakes: &Fakes, flags: &[&str]) -> Self {
        Self::server_at(own_address(), role, fakes, flags)
    }

    fn server_at(ip: Ipv4Addr, role: &str, fakes: &Fakes, flags: &[&str]) -> Self {
        let (database, registry) = (fakes.database.to_string(), fakes.registry.to_string());
        let mut all = vec!["--database", &database, "--registry", &registry, "--check-millis", "50"];
        all.extend(flags);
        Self::start(ip, role, &all)
    }

    /// An application whose connections try again within 100 ms.
    fn client(servers: &str, connections: &str) -> Self {
        let mut flags = vec!["--servers", servers, "--connections", connections];
        flags.extend(["--max-backoff-millis", "100", "--heartbeat-millis", "200"]);
        Self::start(own_address(), "client", &flags)
    }

    fn at(&self, port: u16) -> SocketAddr {
        (self.ip, port + OFFSET).into()
    }

    async fn get(&self, port: u16, path: &str) -> Value {
        eventually(&format!("GET {port}{path}"), async || {
            let (_, _, body) = http(self.at(port), &format!("GET {path}"), "").await.ok()?;
            serde_json::from_str(&body).ok()
        })
        .await
    }

    async fn post(&self, port: u16, path: &str, body: Value) -> (u16, Value) {
        let answer = http(self.at(port), &format!("POST {path}"), &body.to_string()).await.unwrap();
        (answer.0, serde_json::from_str(&answer.2).unwrap())
    }

    async fn fault(&self, fault: &str, on: bool) {
        let (status, answer) = self.post(8899, "/fault", json!({ "fault": fault, "on": on })).await;
        assert_eq!(status, 200, "{answer}");
    }

    async fn started(self) -> Self {
        eventually("started", async || (self.get(8899, "/state").await["started"] == true).then_some(()))
            .await;
        eventually("ports open", async || {
            let state = self.get(8899, "/state").await;
            state["ports"].as_object()?.values().all(|port| port["open"] == true).then_some(())
        })
        .await;
        self
    }

    /// The documented numbers of the ports on which the process listens, as the kernel says.
    fn listens_on(&self) -> BTreeSet<u16> {
        let own = format!("{:08X}", u32::from_le_bytes(self.ip.octets()));
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let listening =
            rows.filter(|row| row[3] == "0A").filter_map(|row| row[1].strip_prefix(&own)?.strip_prefix(':'));
        listening.map(|port| u16::from_str_radix(port, 16).unwrap() - OFFSET).collect()
    }

    async fn health(&self) -> (u16, String) {
        eventually("health", async || {
            let (status, _, body) = http(self.at(9500), "GET /checkService", "").await.ok()?;
            Some((status, body))
        })
        .await
    }

    async fn health_has(&self, line: &str) {
        eventually(line, async || self.health().await.1.lines().any(|l| l.starts_with(line)).then_some(()))
            .await;
    }

    /// Waits until the application's status has `value` at `field`.
    async fn status_is(&self, field: &str, value: impl Into<Value>) -> Value {
        let value = value.into();
        eventually(&format!("{field} = {value}"), async || {
            let status = self.get(8080, "/status").await;
            (status[field] == value).then_some(status)
        })
        .await
    }
}

/// The fakes that servers need, at addresses that are known before the fakes are started.
struct Fakes {
    database: SocketAddr,
    registry: SocketAddr,
    names_servers: Arc<AtomicBool>,
    logins: Arc<AtomicUsize>,
}

impl Fakes {
    fn new() -> Self {
        let ip = own_address();
        let names_servers = Arc::new(AtomicBool::new(true));
        Self {
            database: (ip, 3306).into(),
            registry: (ip, 9603).into(),
            names_servers,
            logins: Arc::default(),
        }
    }

    async fn all() -> (Self, FakeServer, FakeServer) {
        let fakes = Self::new();
        let (database, registry) = (fakes.start_database().await, fakes.start_registry().await);
        (fakes, database, registry)
    }

    async fn start_database(&self) -> FakeServer {
        FakeServer::start(self.database, Fake::Database(Arc::clone(&self.logins))).await
    }

    async fn start_registry(&self) -> FakeServer {
        FakeServer::start(self.registry, Fake::Registry(Arc::clone(&self.names_servers))).await
    }
}

/// What a fake server plays.
enum Fake {
    /// The greeting of `MySQL` and the refusal of whoever logs in, counted.
    Database(Arc<AtomicUsize>),
    /// A healthy `SessionServer`, with servers to name or not.
    Registry(Arc<AtomicBool>),
    /// Takes all, says nothing.
    Queue,
}

async fn greet(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(&packet(0, b"\x0a8.0.0-fake\0")).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let mut login = vec![0; usize::from(head[0])];
    stream.read_exact(&mut login).await?;
    assert!(head[3] == 1 && login[32..].starts_with(b"stand-in\0"));
    stream.write_all(&packet(2, b"\xff\x15\x04#28000denied")).await
}

async fn answer_session(mut stream: TcpStream, servers: &str) -> std::io::Result<()> {
    let mut request = vec![0; 1024];
    let length = stream.read(&mut request).await?;
    let body = match &request[..length] {
        request if request.starts_with(b"GET /health/check ") => r#"{"success":true,"message":"fake"}"#,
        request if request.starts_with(b"GET /api/servers/query ") => servers,
        _ => "",
    };
    stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{body}").as_bytes()).await
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let head = [u8::try_from(payload.len()).unwrap(), 0, 0, sequence];
    [&head, payload].concat()
}

/// A fake server that answers one connection after the other; closed when dropped.
struct FakeServer(JoinHandle<()>);

impl FakeServer {
    async fn start(at: SocketAddr, fake: Fake) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        Self(tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // Whoever goes away early is no failure of the test.
                match &fake {
                    Fake::Database(logins) => {
                        let done = greet(stream).await;
                        logins.fetch_add(usize::from(done.is_ok()), Ordering::Relaxed);
                    }
                    Fake::Registry(names_servers) => {
                        let servers =
                            if names_servers.load(Ordering::Relaxed) { "10.0.0.1:9600" } else { "" };
                        let _ = answer_session(stream, servers).await;
                    }
                    Fake::Queue => {
                        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    }
                }
            }
        }))
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn opens_only_when_needs_are_there(role: &str, early: &[u16], late: &[u16], flags: &[&str]) {
    let fakes = Fakes::new();
    let server = StandIn::server(role, &fakes, flags);
    let early: BTreeSet<u16> = early.iter().copied().collect();
    let all: BTreeSet<u16> = late.iter().copied().chain(early.iter().copied()).collect();

    eventually("early ports", async || (server.listens_on() == early).then_some(())).await;
    let _database = fakes.start_database().await;
    eventually("database seen", async || {
        let state = server.get(8899, "/state").await;
        (state["dependencies"]["database"]["ok"] == true).then(|| assert_eq!(state["started"], false))
    })
    .await;
    assert_eq!(server.listens_on(), early, "{role} without registry");
    if early.contains(&9500) {
        let (status, body) = server.health().await;
        assert!(status == 200 && body.contains("startup:false") && body.contains("database:true"), "{body}");
        assert!(body.contains("TaskManageFacade:false Addresses unavailable"), "{body}");
    }
    let _registry = fakes.start_registry().await;
    let server = server.started().await;
    assert_eq!(server.listens_on(), all, "{role}");
    let state = server.get(8899, "/state").await;
    assert!(state["standIn"] == true && state["role"] == role, "{state}");
    eventually("logins are ended", async || (fakes.logins.load(Ordering::Relaxed) > 1).then_some(())).await;
}

#[tokio::test]
async fn drmdata_opens_its_ports_when_its_needs_are_there() {
    opens_only_when_needs_are_there("drmdata", &[8899, 9500], &[80, 9870, 9880, 12200], &[]).await;
}

#[tokio::test]
async fn dsrconsole_opens_its_ports_when_its_needs_are_there() {
    let flags = ["--drmdata", "127.0.0.1:1"];
    opens_only_when_needs_are_there("dsrconsole", &[8899], &[80, 8341, 12200], &flags).await;
}

#[tokio::test]
async fn antscheduler_opens_its_ports_when_its_needs_are_there() {
    opens_only_when_needs_are_there("antscheduler", &[8899], &[8080, 9000, 9001, 12200], &[]).await;
}

#[tokio::test]
async fn scheduler_console_opens_its_ports_when_its_needs_are_there() {
    opens_only_when_needs_are_there("scheduler-console", &[8899], &[8080, 12200], &[]).await;
}

#[tokio::test]
async fn client_opens_its_ports_at_once() {
    let client = StandIn::client("127.0.0.1:1", "1").started().await;
    assert_eq!(client.listens_on(), BTreeSet::from([8080, 8899]));
}

#[tokio::test]
async fn health_body_says_each_fault() {
    let (fakes, _database, _registry) = Fakes::all().await;
    let drm = StandIn::server("drmdata", &fakes, &[]).started().await;
    let healthy = "passed:true\nstartup:true\ndatabase:true\nTaskManageFacade:true\n".to_owned();
    drm.health_has("passed:true").await;
    assert_eq!(drm.health().await, (200, healthy.clone()));
    let table = [
        ("database-lost", "database:false"),
        ("data-master-missing", "TaskManageFacade:false Addresses unavailable"),
        ("never-ready", "startup:false"),
    ];
    for (fault, line) in table {
        drm.fault(fault, true).await;
        drm.health_has(line).await;
        let (status, body) = drm.health().await;
        assert!(status == 200 && body.starts_with("passed:false\n"), "{body}");
        assert_eq!(drm.listens_on().len(), 6, "ports stay open with {fault}");
        drm.fault(fault, false).await;
        drm.health_has("passed:true").await;
    }
    for fault in ["addressing-wrong", "port-down:9880", "port-down:80"] {
        drm.fault(fault, true).await;
        assert_eq!(drm.health().await, (200, healthy.clone()), "{fault} is not seen by health");
        drm.fault(fault, false).await;
    }
    drm.fault("health-500", true).await;
    let (status, body) = drm.health().await;
    assert!(status == 500 && !body.contains("false"), "{body}");
    drm.fault("health-500", false).await;
    drm.fault("health-hangs", true).await;
    let mut asked = TcpStream::connect(drm.at(9500)).await.unwrap();
    asked.write_all(b"GET /checkService HTTP/1.0\r\n\r\n").await.unwrap();
    let silence = timeout(Duration::from_millis(300), asked.read_u8()).await;
    assert!(silence.is_err(), "no answer while health hangs: {silence:?}");
}

#[tokio::test]
async fn ports_stay_open_when_what_was_needed_is_lost() {
    let (fakes, database, _registry) = Fakes::all().await;
    let drm = StandIn::server("drmdata", &fakes, &[]).started().await;
    drop(database);
    drm.health_has("database:false").await;
    fakes.names_servers.store(false, Ordering::Relaxed);
    drm.health_has("TaskManageFacade:false Addresses unavailable").await;
    assert_eq!(drm.listens_on().len(), 6);
    let _database = fakes.start_database().await;
    fakes.names_servers.store(true, Ordering::Relaxed);
    drm.health_has("passed:true").await;
}

#[tokio::test]
async fn start_waits_for_faults_given_at_start() {
    let (fakes, _database, _registry) = Fakes::all().await;
    let slow = StandIn::server("drmdata", &fakes, &["--fault", "slow-start:1"]);
    let never = StandIn::server("antscheduler", &fakes, &["--fault", "never-ready,mq-unreachable"]);
    slow.health_has("startup:false").await;
    slow.started().await;
    assert_eq!(never.get(8899, "/state").await["faults"], json!(["never-ready", "mq-unreachable"]));
    assert_eq!(never.listens_on(), BTreeSet::from([8899]));
    never.fault("never-ready", false).await;
    never.started().await;
}

#[tokio::test]
async fn a_port_that_is_down_is_closed_with_its_connections() {
    let (fakes, _database, _registry) = Fakes::all().await;
    let drm = StandIn::server("drmdata", &fakes, &[]).started().await;
    for port in [80, 9880, 12200] {
        let mut open = TcpStream::connect(drm.at(port)).await.unwrap();
        drm.fault(&format!("port-down:{port}"), true).await;
        eventually("port closed", async || (!drm.listens_on().contains(&port)).then_some(())).await;
        let end = timeout(DEADLINE, open.read(&mut [0])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)), "the connection on {port} ends");
        drm.fault(&format!("port-down:{port}"), false).await;
        eventually("port open", async || drm.listens_on().contains(&port).then_some(())).await;
    }
    let (status, answer) = drm.post(8899, "/fault", json!({ "fault": "port-down:9001", "on": true })).await;
    assert!(status == 400 && answer["error"] == "the stand-in for drmdata has no port 9001", "{answer}");
}

#[tokio::test]
async fn a_push_reaches_every_client_over_two_drmdata() {
    let (fakes, _database, _registry) = Fakes::all().await;
    let (one, two) = (own_address(), own_address());
    let peers = format!("{one}:29870,{two}:29870");
    let first = StandIn::server_at(one, "drmdata", &fakes, &["--peers", &peers]).started().await;
    let second = StandIn::server_at(two, "drmdata", &fakes, &["--peers", &peers]).started().await;
    let clients = StandIn::client(&format!("{one}:29880,{two}:29880"), "6");
    let status = clients.status_is("open", 6).await;
    assert_eq!(status["perAddress"], json!({ format!("{one}:29880"): 3, format!("{two}:29880"): 3 }));

    let drmdata = format!("{one}:20080");
    let console = StandIn::server("dsrconsole", &fakes, &["--drmdata", &drmdata]).started().await;
    let (status, pushed) = console.post(80, "/push", json!({ "dataId": "a.b", "value": "v1" })).await;
    assert_eq!((status, &pushed["drmdata"]), (200, &json!(drmdata)), "{pushed}");
    let status = clients.status_is("received", 6).await;
    assert_eq!(status["values"]["a.b"], json!({ "count": 6, "value": "v1", "version": pushed["version"] }));
    for server in [&first, &second] {
        let expected = json!({ "dataId": "a.b", "value": "v1", "version": pushed["version"] });
        assert_eq!(server.get(9870, "/pull?dataId=a.b").await, expected);
        assert_eq!(server.get(8899, "/state").await["work"]["lastPush"], expected);
        assert_eq!(server.get(8899, "/state").await["connections"]["registered"], 3);
    }

    // A server that is down misses a push, and copies it when it starts again; its clients are told.
    drop(second);
    let (_, again) = console.post(80, "/push", json!({ "dataId": "a.b", "value": "v2" })).await;
    assert!(again["version"].as_u64() > pushed["version"].as_u64(), "{again} after {pushed}");
    let second = StandIn::server_at(two, "drmdata", &fakes, &["--peers", &peers]).started().await;
    assert_eq!(second.get(80, "/pull?dataId=a.b").await["value"], "v2");
    let status = clients.status_is("received", 12).await;
    assert_eq!(status["values"]["a.b"]["value"], "v2");

    console.fault("database-lost", true).await;
    eventually("push refused", async || {
        let (status, answer) = console.post(80, "/push", json!({ "dataId": "a.b", "value": "v3" })).await;
        (status == 503 && answer["error"].as_str()?.contains("database")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn antscheduler_counts_what_is_triggered_and_reported() {
    let (fakes, _database, _registry) = Fakes::all().await;
    let queue: SocketAddr = (own_address(), 9529).into();
    let scheduler = StandIn::server("antscheduler", &fakes, &["--mq", &queue.to_string()]).started().await;
    let tasks_are = async |triggered: u64, reported: u64, unreported: u64| {
        eventually(&format!("{triggered} {reported} {unreported}"), async || {
            let t = scheduler.get(8080, "/tasks").await;
            let counts = [&t["triggered"], &t["reported"], &t["unreported"]];
            (counts == [triggered, reported, unreported]).then_some(())
        })
        .await;
    };
    let trigger = async |body: Value| scheduler.post(8080, "/trigger", body).await;
    let no_client = trigger(json!({ "task": "t" })).await;
    assert_eq!(no_client, (503, json!({ "error": "no targets was found" })));
    tasks_are(0, 0, 0).await;

    let client = StandIn::client(&scheduler.at(9001).to_string(), "2");
    client.status_is("open", 2).await;
    assert_eq!(trigger(json!({ "task": "t" })).await.0, 200);
    tasks_are(1, 1, 0).await;
    scheduler.fault("not-reported", true).await;
    assert_eq!(trigger(json!({ "task": "t" })).await.0, 200);
    client.status_is("tasks", 2).await;
    tasks_are(2, 1, 1).await;
    scheduler.fault("not-reported", false).await;
    tasks_are(2, 2, 0).await;

    let message = json!({ "task": "m", "via": "message" });
    assert_eq!(trigger(message.clone()).await, (503, json!({ "error": "no available connection" })));
    let _queue = FakeServer::start(queue, Fake::Queue).await;
    let queue_is = async |ok: bool| {
        eventually("queue", async || {
            (scheduler.get(8899, "/state").await["dependencies"]["mq"]["ok"] == ok).then_some(())
        })
        .await;
    };
    queue_is(true).await;
    assert_eq!(trigger(message.clone()).await.0, 200);
    scheduler.fault("mq-unreachable", true).await;
    queue_is(false).await;
    assert_eq!(trigger(message).await.0, 503);
    scheduler.fault("mq-unreachable", false).await;
    queue_is(true).await;
}

#[tokio::test]
async fn client_reconnects_and_counts() {
    let (fakes, _database, _registry) = Fakes::all().await;
    let (one, two) = (own_address(), own_address());
    let first = StandIn::server_at(one, "drmdata", &fakes, &[]).started().await;
    let second = StandIn::server_at(two, "drmdata", &fakes, &[]).started().await;
    let client = StandIn::client(&format!("{one}:29880,{two}:29880"), "8");
    client.status_is("open", 8).await;

    drop(second);
    let status = client.status_is("reconnects", 4).await;
    assert_eq!(status["perAddress"][format!("{one}:29880")], 8, "{status}");
    // Heartbeats go on, and none of the connections ends by itself.
    first.fault("reconnect-storm-refused:60", true).await;
    let status = client.status_is("open", 8).await;
    assert_eq!(status["reconnects"], 4);

    first.fault("port-down:9880", true).await;
    client.status_is("open", 0).await;
    first.fault("port-down:9880", false).await;
    eventually("refused", async || {
        let failure = client.get(8080, "/status").await["lastFailure"].as_str()?.to_owned();
        failure.contains("closed the connection").then_some(())
    })
    .await;
    assert_eq!(client.get(8080, "/status").await["open"], 0);
    first.fault("reconnect-storm-refused", false).await;
    client.status_is("open", 8).await;
    assert_eq!(client.get(8080, "/status").await["reconnects"], 12);

    first.fault("addressing-wrong", true).await;
    client.status_is("open", 0).await;
    eventually("no client", async || {
        (first.get(8899, "/state").await["connections"]["registered"] == 0).then_some(())
    })
    .await;
    first.fault("addressing-wrong", false).await;
    client.status_is("open", 8).await;
}

#[tokio::test]
async fn ends_on_sigterm_with_zero_and_on_crash_with_one() {
    let (fakes, _database, _registry) = Fakes::all().await;
    let drm = StandIn::server("drmdata", &fakes, &[]).started().await;
    let client = StandIn::client(&drm.at(9880).to_string(), "3");
    client.status_is("open", 3).await;
    for mut stand_in in [client, drm] {
        let pid = stand_in.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        let ended = timeout(Duration::from_secs(2), stand_in.child.wait()).await;
        assert_eq!(ended.expect("ends within 2 s").unwrap().code(), Some(0));
    }
    let mut drm = StandIn::server("drmdata", &fakes, &[]).started().await;
    let order = json!({ "fault": "crash", "on": true }).to_string();
    assert!(http(drm.at(8899), "POST /fault", &order).await.is_err(), "no answer from a crash");
    assert_eq!(timeout(DEADLINE, drm.child.wait()).await.unwrap().unwrap().code(), Some(1));
}

#[tokio::test]
async fn every_answer_and_the_log_name_the_stand_in() {
    let (fakes, _database, _registry) = Fakes::all().await;
    let drm = StandIn::server("drmdata", &fakes, &[]).started().await;
    for (port, path) in
        [(80, "/"), (80, "/nothing"), (9500, "/checkService"), (8899, "/state"), (8899, "/none")]
    {
        let (_, head, _) = http(drm.at(port), &format!("GET {path}"), "").await.unwrap();
        assert!(head.contains("x-stand-in: true"), "{port}{path}: {head}");
    }
    let faults = drm.get(8899, "/faults").await;
    let known: Vec<_> = faults["known"].as_array().unwrap().iter().collect();
    assert_eq!(known.len(), 10, "drmdata has all faults but the two of the scheduler: {faults}");
    assert!(known.iter().all(|fault| fault["does"].is_string() && fault["source"].is_string()));

    let ended = run(&["client", "--servers", "127.0.0.1:1", "--fault", "crash"]).await;
    assert_eq!(ended.status.code(), Some(1));
    let log = String::from_utf8(ended.stdout).unwrap();
    assert!(log.starts_with("stand-in for client: ") && log.contains("not the real server"), "{log}");
}

/// Runs the program to its end.
async fn run(args: &[&str]) -> Output {
    let output =
        command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output();
    timeout(DEADLINE, output).await.unwrap().unwrap()
}

#[tokio::test]
async fn bad_usage_is_one_sentence_and_exit_two() {
    let needs = ["--database", "h:1", "--registry", "h:1"];
    let drm = |more: &[&'static str]| [&["drmdata"], &needs[..], more].concat();
    let table: Vec<(Vec<&str>, &str)> = vec![
        (vec![], "name the role: drmdata, dsrconsole"),
        (vec!["nothing"], "unrecognized subcommand 'nothing'"),
        (vec!["drmdata"], "required arguments were not provided: --database <HOST:PORT> --registry"),
        (vec!["drmdata", "--database", "h", "--registry", "h:1"], "\"h\" is not HOST:PORT"),
        (vec!["client", "--servers", ""], "give at least one HOST:PORT"),
        (drm(&["--fault", "no-such"]), "no fault \"no-such\"; there are database-lost"),
        (drm(&["--fault", "not-reported"]), "the stand-in for drmdata has no fault not-reported"),
        (drm(&["--port-offset", "60000"]), "--port-offset 60000 moves port 9870 beyond 65535"),
    ];
    for (args, words) in table {
        let output = run(&args).await;
        let sentence = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}: {sentence}");
        assert!(
            sentence.starts_with("contract-servers: ") && sentence.contains(words),
            "{args:?}: {sentence}"
        );
        assert_eq!(sentence.lines().count(), 1, "{sentence}");
    }
}

#[tokio::test]
async fn prints_version_and_help_and_reads_the_environment() {
    let version = run(&["--version"]).await;
    let expected = format!("contract-servers {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), expected);
    let help = run(&["--help"]).await;
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("STAND-IN"));

    let ip = own_address();
    let mut command = command(&["client"]);
    command.env("STAND_IN_SERVERS", "127.0.0.1:1").env("STAND_IN_CONNECTIONS", "4");
    command.env("STAND_IN_LISTEN", ip.to_string()).env("STAND_IN_PORT_OFFSET", OFFSET.to_string());
    let client = StandIn { child: command.spawn().unwrap(), ip };
    assert_eq!(client.status_is("wanted", 4).await["open"], 0);
}
