//! Fake SOFARegistry servers for pods that are fake too: an HTTP proxy that answers for the address of every pod of a
//! `RegistryCluster` as the servers were measured to (`testkit::registry`).
//!
//! For benchmarks on fake nodes, where pods say that they run and nothing runs in them. A server starts when its pod has an
//! address and what the image's start script waits for is there, and ends with the pod. Each cluster is a network of its own.
//! `--speed 20` lets its time pass twenty times as fast: then the figures are the operator's and not the servers'.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, State};
use axum::http::{Method as HttpMethod, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use clap::Parser;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use sofa_operator::api::objects::{CLUSTER, ROLE};
use sofa_operator::testkit::registry::{
    FakeRegistry, Method, ProcessSpec, Reply, Request, ServerLine, ServerRole, Signal, VolumeId,
};

/// How often what waits for others is looked at again.
const TICK: Duration = Duration::from_millis(50);
/// How long a meta waits for the names of the others before it leaves them out, in the servers' own time (`entrypoint.sh`).
const WAIT_NAMES: u64 = 60_000;
/// How long an answer is waited for, in the servers' own time.
const PATIENCE: u64 = 20_000;
const LONGEST_FORM: usize = 64 << 10;

#[derive(Parser)]
#[command(about)]
struct Args {
    /// Where the proxy listens.
    #[arg(long, default_value = "127.0.0.1:9099")]
    listen: SocketAddr,
    /// How many times as fast as they were measured the servers are.
    #[arg(long, default_value_t = 1)]
    speed: u64,
    /// How many metas each cluster has: a meta waits for the names of all.
    #[arg(long, default_value_t = 1)]
    metas: usize,
}

/// A pod that has an address.
struct Server {
    uid: String,
    ip: Ipv4Addr,
    role: ServerRole,
    line: ServerLine,
    /// When its pod got its address, in the servers' own time.
    since: u64,
    runs: bool,
}

/// One cluster's servers.
struct Network {
    registry: FakeRegistry,
    /// By the name of the pod.
    servers: BTreeMap<String, Server>,
    /// How many metas there are to be.
    metas: usize,
}

type Shared<T> = Arc<Mutex<T>>;

struct Middleware {
    began: Instant,
    speed: u64,
    metas: usize,
    /// By namespace and cluster.
    networks: Mutex<HashMap<String, Shared<Network>>>,
    by_address: Mutex<HashMap<Ipv4Addr, Shared<Network>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Network {
    fn new(seed: u64, metas: usize) -> Self {
        Self { registry: FakeRegistry::new(seed), servers: BTreeMap::new(), metas }
    }

    /// A pod has an address now, or another one.
    fn add(&mut self, name: String, server: Server, now: u64) {
        if let Some(before) = self.servers.get(&name) {
            if before.uid == server.uid {
                return;
            }
            self.registry.release(before.ip, now);
        }
        self.registry.attach(server.ip);
        self.servers.insert(name, server);
    }

    fn remove(&mut self, name: &str, uid: &str, now: u64) -> Option<Ipv4Addr> {
        let server = self.servers.get(name).filter(|s| s.uid == uid)?;
        let ip = server.ip;
        self.registry.release(ip, now);
        self.servers.remove(name);
        Some(ip)
    }

    /// Starts whoever waits for nothing any more.
    fn tick(&mut self, now: u64) {
        self.registry.advance(now);
        let waiting: Vec<String> =
            self.servers.iter().filter(|(_, s)| !s.runs).map(|(name, _)| name.clone()).collect();
        for name in waiting {
            let Some(server) = self.servers.get(&name) else { continue };
            let (role, ip, line, since) = (server.role, server.ip, server.line, server.since);
            let metas: Vec<Ipv4Addr> =
                self.servers.values().filter(|s| s.role == ServerRole::Meta).map(|s| s.ip).collect();
            let volume = VolumeId(name.clone());
            let ready = match role {
                ServerRole::Meta => {
                    // Alone, a blank meta of 5.x would elect itself.
                    let blank = line == ServerLine::V5 && !self.registry.holds_raft_data(&volume);
                    let enough = !blank || metas.len() * 2 > self.metas;
                    metas.len() >= self.metas || (now >= since + WAIT_NAMES && enough)
                }
                ServerRole::Data => self.any_serves(ServerRole::Meta, now),
                ServerRole::Session => self.any_serves(ServerRole::Data, now),
            };
            if !ready {
                continue;
            }
            let spec = ProcessSpec { config_metas: metas, volume, ..ProcessSpec::new(line, role, ip) };
            self.registry.start(spec, now);
            if let Some(server) = self.servers.get_mut(&name) {
                server.runs = true;
            }
        }
    }

    /// Whether a server of this role says that it works; a meta of 6.x only when it leads and is warm.
    fn any_serves(&mut self, role: ServerRole, now: u64) -> bool {
        let asked: Vec<_> =
            self.servers.values().filter(|s| s.runs && s.role == role).map(|s| (s.ip, s.line)).collect();
        asked.into_iter().any(|(ip, line)| {
            let request = Request::get(ip, role.http_port(), "/health/check");
            let Some(Reply::Answer(answer)) = self.registry.http_at_once(now, &request) else { return false };
            let warm = line == ServerLine::V5
                || role != ServerRole::Meta
                || String::from_utf8_lossy(&answer.body).contains("warmuped:true");
            answer.status == 200 && warm
        })
    }
}

impl Middleware {
    fn now(&self) -> u64 {
        let real = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        real.saturating_mul(self.speed)
    }

    fn network(&self, key: &str) -> Shared<Network> {
        let mut networks = lock(&self.networks);
        let seed = networks.len() as u64;
        Arc::clone(
            networks
                .entry(key.to_owned())
                .or_insert_with(|| Arc::new(Mutex::new(Network::new(seed, self.metas)))),
        )
    }

    fn see(&self, pod: &Pod, gone: bool) {
        let label = |name| pod.labels().get(name).cloned().unwrap_or_default();
        let role = match label(ROLE).as_str() {
            "meta" => ServerRole::Meta,
            "data" => ServerRole::Data,
            "session" => ServerRole::Session,
            _ => return,
        };
        let network = self.network(&format!("{}/{}", pod.namespace().unwrap_or_default(), label(CLUSTER)));
        let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
        if gone {
            if let Some(ip) = lock(&network).remove(&name, &uid, self.now()) {
                lock(&self.by_address).remove(&ip);
            }
            return;
        }
        let ip = pod.status.as_ref().and_then(|s| s.pod_ip.as_ref()).and_then(|ip| ip.parse().ok());
        let Some(ip) = ip else { return };
        if pod.metadata.deletion_timestamp.is_some() {
            return lock(&network).registry.stop(ip, Signal::Term, self.now());
        }
        let image = pod.spec.as_ref().and_then(|s| s.containers.first()?.image.clone()).unwrap_or_default();
        let line = if image.contains(":6") { ServerLine::V6 } else { ServerLine::V5 };
        let now = self.now();
        lock(&network).add(name, Server { uid, ip, role, line, since: now, runs: false }, now);
        lock(&self.by_address).insert(ip, network);
    }

    async fn follow_pods(&self, client: Client) -> Result<()> {
        let pods = watcher::watcher(Api::<Pod>::all(client), watcher::Config::default().labels(CLUSTER));
        pods.try_for_each(async |event| {
            match event {
                Event::Apply(pod) | Event::InitApply(pod) => self.see(&pod, false),
                Event::Delete(pod) => self.see(&pod, true),
                Event::Init | Event::InitDone => {}
            }
            Ok(())
        })
        .await
        .context("the pods cannot be watched")
    }

    async fn start_servers(&self) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let networks: Vec<_> = lock(&self.networks).values().cloned().collect();
            for network in networks {
                let mut network = lock(&network);
                if network.servers.values().any(|s| !s.runs) {
                    network.tick(self.now());
                }
            }
        }
    }

    async fn answer(&self, request: &Request) -> Reply {
        let Some(network) = lock(&self.by_address).get(&request.ip).cloned() else { return Reply::TimedOut };
        let call = lock(&network).registry.send(self.now(), request);
        loop {
            {
                let mut network = lock(&network);
                network.registry.advance(self.now());
                // Nobody reads what happened.
                drop(network.registry.take_events());
                if let Some(reply) = network.registry.reply(call) {
                    return reply;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The fields of a query, or of a form.
fn fields(text: &str) -> Vec<(String, String)> {
    let uri = Uri::builder().path_and_query(format!("/?{text}")).build();
    uri.ok().and_then(|uri| Query::try_from_uri(&uri).ok()).map(|Query(fields)| fields).unwrap_or_default()
}

async fn proxy(State(middleware): State<Arc<Middleware>>, request: axum::extract::Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let (Some(Ok(ip)), Some(port)) = (head.uri.host().map(str::parse), head.uri.port_u16()) else {
        return (StatusCode::BAD_REQUEST, "this is a proxy for the addresses of pods").into_response();
    };
    let body = to_bytes(body, LONGEST_FORM).await.unwrap_or_default();
    let form = fields(&String::from_utf8_lossy(&body));
    let (method, fields) = match head.method {
        HttpMethod::POST => (Method::Post, form),
        HttpMethod::PUT => (Method::Put, form),
        _ => (Method::Get, fields(head.uri.query().unwrap_or_default())),
    };
    let asked = Request { method, fields, ..Request::get(ip, port, head.uri.path()) }.patient_for(PATIENCE);
    match middleware.answer(&asked).await {
        Reply::Answer(answer) => {
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, answer.body).into_response();
            if let Some(location) = answer.location.and_then(|l| l.parse().ok()) {
                response.headers_mut().insert("location", location);
            }
            response
        }
        Reply::Refused | Reply::Closed => StatusCode::BAD_GATEWAY.into_response(),
        Reply::TimedOut => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let client = Client::try_default().await.context("no cluster: set KUBECONFIG")?;
    let middleware = Arc::new(Middleware {
        began: Instant::now(),
        speed: args.speed.max(1),
        metas: args.metas,
        networks: Mutex::default(),
        by_address: Mutex::default(),
    });
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("{} cannot be listened on", args.listen))?;
    let served = axum::serve(listener, Router::new().fallback(proxy).with_state(Arc::clone(&middleware)));
    tokio::select! {
        ended = served => ended.context("the proxy ended"),
        ended = middleware.follow_pods(client) => ended,
        () = middleware.start_servers() => Ok(()),
    }
}
