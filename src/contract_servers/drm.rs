//! drmdata and `DSRConsole`: the five steps of a push (operations guide §1.2.2).
//!
//! 1. A person pushes on the console, the database gives the version. Here: `POST :80/push` on the console,
//!    which refuses while its database is lost; the version is invented (milliseconds, always rising).
//! 2. The console tells one drmdata of its data centre key, value and version: `POST /push` there.
//! 3. That drmdata broadcasts to the drmdata servers of all data centres: `POST :9870/sync`.
//! 4. Each of them tells its clients over their long connections. Invented: the line has the value too.
//! 5. A client pulls the value over HTTP: `GET /pull?dataId=` on 80 and 9870.
//!
//! With each heartbeat a client says its versions and is told of newer ones (§1.3.2.1). A drmdata that starts
//! copies what its peers have, and again every 30 s, in place of reading the shared database.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::args::{HostPort, HostPorts};
use super::connections::Greeting;
use super::control::{Answer, read_body, refusal};
use super::dependencies::DATABASE;
use super::http;
use super::shared::{Shared, Work, pause};

/// Between two copies from the peers: as often as a client's heartbeat (operations guide §1.3.2.1).
const COPY_EVERY: Duration = Duration::from_secs(30);

/// A value of a key, as it was pushed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pushed {
    data_id: String,
    value: String,
    version: u64,
}

/// What a person or a console says of a push; a console knows the version.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Push {
    data_id: String,
    value: String,
    version: Option<u64>,
}

/// What a client says, at first and with each heartbeat.
#[derive(Debug, Deserialize)]
struct Hello {
    client: String,
    #[serde(default)]
    versions: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pull {
    data_id: String,
}

#[derive(Debug, Default)]
struct Values {
    by_id: BTreeMap<String, Pushed>,
    last: Option<Pushed>,
}

/// Gives versions: the milliseconds of the clock, yet always more than the last, and so over restarts too.
#[derive(Debug, Default)]
struct Versions(AtomicU64);

impl Versions {
    fn next(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let later = |last: u64| Some(now.max(last.saturating_add(1)));
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).map_or(now, |last| now.max(last + 1))
    }
}

/// A drmdata server.
pub(super) struct Drmdata {
    shared: Arc<Shared>,
    peers: HostPorts,
    values: watch::Sender<Values>,
    versions: Versions,
}

impl Drmdata {
    pub(super) fn new(shared: Arc<Shared>, peers: HostPorts) -> Arc<Self> {
        Arc::new(Self { shared, peers, values: watch::Sender::default(), versions: Versions::default() })
    }

    /// Takes over what the peers know and this server does not.
    async fn copy(&self) {
        // No peer is no failure: the first server of all has none.
        let mut asked = JoinSet::new();
        for peer in http::resolve(&self.peers).await.unwrap_or_default() {
            asked.spawn(async move { http::get(&peer.into(), "/values").await });
        }
        while let Some(answer) = asked.join_next().await {
            let Ok(Ok((200, body))) = answer else { continue };
            for pushed in serde_json::from_str::<Vec<Pushed>>(&body).unwrap_or_default() {
                self.accept(&pushed);
            }
        }
    }

    /// Keeps a value if it is newer than what is known, and tells the clients; how many were told.
    fn accept(&self, pushed: &Pushed) -> usize {
        let newer = self.values.send_if_modified(|values| {
            let known = values.by_id.get(&pushed.data_id).map(|known| known.version);
            if known.is_some_and(|version| version >= pushed.version) {
                return false;
            }
            values.by_id.insert(pushed.data_id.clone(), pushed.clone());
            values.last = Some(pushed.clone());
            true
        });
        if !newer {
            return 0;
        }
        let told = self.shared.connections.tell_all(&json!(pushed).to_string());
        self.shared.log(format_args!(
            "value of {} version {} told to {told} clients",
            pushed.data_id, pushed.version
        ));
        told
    }

    /// Step 3: tells every peer; what came of it, by address.
    async fn broadcast(&self, pushed: &Pushed) -> BTreeMap<String, String> {
        if self.peers.0.is_empty() {
            return BTreeMap::new();
        }
        let peers = match http::resolve(&self.peers).await {
            Ok(peers) => peers,
            Err(error) => return BTreeMap::from([(self.peers.to_string(), format!("{error:#}"))]),
        };
        let mut calls = JoinSet::new();
        for peer in peers {
            let body = json!(pushed);
            calls.spawn(async move {
                let result = match http::post(&peer.into(), "/sync", &body).await {
                    Ok((200, _)) => "ok".to_owned(),
                    Ok((status, _)) => format!("answered {status}"),
                    Err(error) => format!("{error:#}"),
                };
                (peer.to_string(), result)
            });
        }
        let mut results = BTreeMap::new();
        while let Some(called) = calls.join_next().await {
            results.extend(called);
        }
        results
    }
}

impl Work for Drmdata {
    /// Copies what the peers have once, then goes on doing so in the background.
    fn prepare(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            self.copy().await;
            tokio::spawn(async move {
                loop {
                    pause(COPY_EVERY).await;
                    self.copy().await;
                }
            });
        })
    }

    fn routes(self: Arc<Self>) -> Router {
        Router::new()
            .route("/push", post(push))
            .route("/sync", post(sync))
            .route("/pull", get(pull))
            .route("/values", get(values))
            .with_state(self)
    }

    fn hear(&self, connection: u64, line: &str) -> Vec<String> {
        let Ok(hello) = serde_json::from_str::<Hello>(line) else { return Vec::new() };
        let mut answers = vec![match self.shared.connections.register(connection, &hello.client) {
            Greeting::First => json!({ "registered": true }).to_string(),
            Greeting::Again => json!({ "heartbeat": true }).to_string(),
        }];
        let values = self.values.borrow();
        let behind =
            |pushed: &&Pushed| hello.versions.get(&pushed.data_id).is_none_or(|v| *v < pushed.version);
        answers.extend(values.by_id.values().filter(behind).map(|pushed| json!(pushed).to_string()));
        answers
    }

    fn state(&self) -> Value {
        let values = self.values.borrow();
        json!({ "lastPush": values.last, "values": values.by_id.len() })
    }
}

async fn push(State(drm): State<Arc<Drmdata>>, body: String) -> Result<Json<Value>, Answer> {
    let Push { data_id, value, version } = read_body(&body)?;
    let version = version.unwrap_or_else(|| drm.versions.next());
    let pushed = Pushed { data_id, value, version };
    let told = drm.accept(&pushed);
    let peers = drm.broadcast(&pushed).await;
    Ok(Json(json!({ "version": version, "clients": told, "peers": peers })))
}

async fn sync(State(drm): State<Arc<Drmdata>>, body: String) -> Result<Json<Value>, Answer> {
    Ok(Json(json!({ "clients": drm.accept(&read_body(&body)?) })))
}

async fn pull(State(drm): State<Arc<Drmdata>>, Query(pull): Query<Pull>) -> Result<Json<Value>, Answer> {
    let found = drm.values.borrow().by_id.get(&pull.data_id).map(|pushed| Json(json!(pushed)));
    found.ok_or_else(|| refusal(StatusCode::NOT_FOUND, format!("no value of {}", pull.data_id)))
}

async fn values(State(drm): State<Arc<Drmdata>>) -> Json<Value> {
    Json(drm.values.borrow().by_id.values().map(|pushed| json!(pushed)).collect())
}

/// A `DSRConsole`.
pub(super) struct Console {
    shared: Arc<Shared>,
    drmdata: HostPorts,
    versions: Versions,
    turn: AtomicUsize,
    last: watch::Sender<Option<Pushed>>,
}

impl Console {
    pub(super) fn new(shared: Arc<Shared>, drmdata: HostPorts) -> Arc<Self> {
        let (versions, turn, last) = (Versions::default(), AtomicUsize::new(0), watch::Sender::new(None));
        Arc::new(Self { shared, drmdata, versions, turn, last })
    }

    /// Step 2: tells one drmdata, another one each time; the next if one does not take it.
    async fn tell_one(&self, pushed: &Pushed) -> anyhow::Result<(HostPort, Value)> {
        let servers = http::resolve(&self.drmdata).await?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut problem = anyhow::anyhow!("{} names no address", self.drmdata);
        for step in 0..servers.len() {
            let server = HostPort::from(servers[turn.wrapping_add(step) % servers.len()]);
            match http::post(&server, "/push", &json!(pushed)).await {
                Ok((200, body)) => return Ok((server, serde_json::from_str(&body).unwrap_or_default())),
                Ok((status, _)) => problem = anyhow::anyhow!("{server} answered {status}"),
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }
}

impl Work for Console {
    fn routes(self: Arc<Self>) -> Router {
        Router::new().route("/push", post(push_on_console)).with_state(self)
    }

    fn state(&self) -> Value {
        json!({ "lastPush": *self.last.borrow() })
    }
}

async fn push_on_console(State(console): State<Arc<Console>>, body: String) -> Result<Json<Value>, Answer> {
    let Push { data_id, value, version: _ } = read_body(&body)?;
    if !console.shared.has(DATABASE) {
        return Err(refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "the database is lost: no version for the push",
        ));
    }
    let pushed = Pushed { data_id, value, version: console.versions.next() };
    let told = console.tell_one(&pushed).await;
    let (server, result) = told.map_err(|error| {
        console.shared.log(format_args!("push of {} failed: {error:#}", pushed.data_id));
        refusal(StatusCode::BAD_GATEWAY, format!("no drmdata took the push: {error:#}"))
    })?;
    console.shared.log(format_args!("push of {} version {} to {server}", pushed.data_id, pushed.version));
    let version = pushed.version;
    console.last.send_replace(Some(pushed));
    Ok(Json(json!({ "version": version, "drmdata": server.to_string(), "result": result })))
}
