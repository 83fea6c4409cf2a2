//! What a PowerJob server of 4.3.8 and 4.3.9 answers, and what it is told (measured: powerjob §1.3, §1.6).
//!
//! What a server knows of workers is in its memory only; who owns an app is in the database.
//!
//! May import `types` and the answers of `admin`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::admin::answer::{Answer, Unreadable};
use crate::admin::registry::wire::{self, Outcome};
use crate::types::Moment;

/// GET on the port `http` with [`HELLO_QUERY`]: who the server is and which workers have reported to it.
pub const HELLO_PATH: &str = "/server/hello";
/// Without it the workers are left out.
pub const HELLO_QUERY: &[(&str, &str)] = &[("debug", "true")];
/// GET on the port `http`. It takes 30 s to say that the database is down.
pub const HEALTH_PATH: &str = "/actuator/health";
/// POST of [`ping_body`] on the port `remote`: the very probe by which servers decide a takeover, with one second for it.
pub const PING_PATH: &str = "/friend/ping";
/// POST of [`heartbeat`] on the port `remote`.
pub const HEARTBEAT_PATH: &str = "/server/workerHeartbeat";
/// POST on the port `http`, with [`retry_query`].
pub const RETRY_PATH: &str = "/openApi/retryInstance";

/// What a server says of itself and of the workers that reported to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    /// Its address as it stands in `app_info.current_server`: host and port.
    pub address: String,
    /// When its process began, by its own clock.
    pub born: Moment,
    /// Its version in its own words; empty where it tells none, and `UNKNOWN` where its jar has none.
    pub version: String,
    /// Its own clock when it answered. `None`: it does not tell.
    pub server_time: Option<Moment>,
    /// The apps of which a worker has reported to it, by id. It does not have to own them.
    pub apps: BTreeMap<u64, Vec<Worker>>,
}

/// A worker as one server knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// Its address: host and port.
    pub address: String,
    /// The last report of it, by the worker's clock. After 60 s the server takes it for gone.
    pub last_active: Moment,
    /// HTTP or AKKA.
    pub protocol: String,
    /// Its client, such as `KingPenguin`; empty where it tells none.
    pub client: String,
    /// Its version; 4.3.9 does not keep it, and it is empty then.
    pub version: String,
    /// Its tag: jobs may ask for it. `None`: it has none.
    pub tag: Option<String>,
    /// Processors, memory, disk and score, as they were read: they are handed on and not understood.
    pub system_metrics: Value,
    /// Light tasks that it runs.
    pub light: u64,
    /// Heavy tasks that it runs.
    pub heavy: u64,
    /// Whether it takes no more.
    pub overloading: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HelloWire {
    #[serde(default, deserialize_with = "in_text")]
    server_info: Option<ServerInfoWire>,
    #[serde(default, deserialize_with = "in_text")]
    default_address: Option<AddressWire>,
    server_time_ts: Option<i64>,
    #[serde(default, deserialize_with = "in_text")]
    app_id2_cluster_info: Option<BTreeMap<String, ClusterWire>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerInfoWire {
    born_time: i64,
    version: Option<String>,
}

#[derive(Deserialize)]
struct AddressWire {
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterWire {
    all_workers: BTreeMap<String, WorkerWire>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WorkerWire {
    address: Option<String>,
    last_active_time: i64,
    protocol: Option<String>,
    client: Option<String>,
    version: Option<String>,
    tag: Option<String>,
    system_metrics: Option<Value>,
    light_task_tracker_num: Option<u64>,
    heavy_task_tracker_num: Option<u64>,
    overloading: Option<bool>,
}

/// Parts of a hello are objects, or texts with the JSON of an object in them, as 4.3.9 writes its address.
fn in_text<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(
    from: D,
) -> Result<Option<T>, D::Error> {
    use serde::de::Error as _;
    let value = match Value::deserialize(from)? {
        Value::Null => return Ok(None),
        Value::String(text) => serde_json::from_str(&text).map_err(D::Error::custom)?,
        value => value,
    };
    serde_json::from_value(value).map(Some).map_err(D::Error::custom)
}

/// `data` of an answer that says `success: true`, or the whole of one without an envelope.
fn data(answer: &Answer) -> Result<Value, Unreadable> {
    let mut body: Value = answer.json()?;
    match body.get("success") {
        None => Ok(body),
        Some(Value::Bool(true)) => Ok(body.get_mut("data").map(Value::take).unwrap_or_default()),
        Some(_) => Err(answer.not_understood()),
    }
}

/// `GET /server/hello?debug=true`. It answers with the database down too.
///
/// # Errors
/// [`Unreadable`] when it is not a server's hello: its address, its birth or its workers are missing.
pub fn hello(answer: &Answer) -> Result<Hello, Unreadable> {
    let wire: HelloWire = serde_json::from_value(data(answer)?).map_err(|_| answer.not_understood())?;
    let (Some(info), Some(address), Some(clusters)) =
        (wire.server_info, wire.default_address, wire.app_id2_cluster_info)
    else {
        return Err(answer.not_understood());
    };
    let mut apps = BTreeMap::new();
    for (id, cluster) in clusters {
        let id: u64 = id.parse().map_err(|_| answer.not_understood())?;
        apps.insert(id, cluster.all_workers.into_iter().map(|(key, worker)| worker.read(key)).collect());
    }
    Ok(Hello {
        address: address.address,
        born: Moment::from_millis(info.born_time),
        version: info.version.unwrap_or_default(),
        server_time: wire.server_time_ts.map(Moment::from_millis),
        apps,
    })
}

impl WorkerWire {
    fn read(self, key: String) -> Worker {
        Worker {
            address: self.address.unwrap_or(key),
            last_active: Moment::from_millis(self.last_active_time),
            protocol: self.protocol.unwrap_or_default(),
            client: self.client.unwrap_or_default(),
            version: self.version.unwrap_or_default(),
            tag: self.tag,
            system_metrics: self.system_metrics.unwrap_or_default(),
            light: self.light_task_tracker_num.unwrap_or_default(),
            heavy: self.heavy_task_tracker_num.unwrap_or_default(),
            overloading: self.overloading.unwrap_or_default(),
        }
    }
}

/// `POST /friend/ping`, answered within a second: this server is not taken for dead.
///
/// # Errors
/// [`Unreadable`] for every answer but `success: true`.
pub fn ping(answer: &Answer) -> Result<(), Unreadable> {
    match wire::outcome(answer)? {
        Outcome::Accepted => Ok(()),
        Outcome::Refused(_) => Err(answer.not_understood()),
    }
}

/// The body of a ping.
#[must_use]
pub fn ping_body(now: Moment) -> Value {
    json!({"currentTime": now.as_millis()})
}

/// `GET /actuator/health`: whether the server and its database work. 503 with `DOWN` is an answer.
///
/// # Errors
/// [`Unreadable`] for any other word.
pub fn health(answer: &Answer) -> Result<bool, Unreadable> {
    #[derive(Deserialize)]
    struct Health {
        status: String,
    }
    let told = if answer.status == 503 { Answer { status: 200, ..answer.clone() } } else { answer.clone() };
    match (told.json::<Health>()?.status.as_str(), answer.status) {
        ("UP", 200) => Ok(true),
        ("DOWN" | "OUT_OF_SERVICE", _) => Ok(false),
        _ => Err(answer.not_understood()),
    }
}

/// A worker's report, as if it had sent it itself: the body of `POST /server/workerHeartbeat` (§1.6, step 2). `now` is its
/// time: the server takes the worker for alive from then on, and leaves out an older report of it.
#[must_use]
pub fn heartbeat(worker: &Worker, app_id: u64, app_name: &str, now: Moment) -> Value {
    // A report without metrics fails in the server.
    let metrics = if worker.system_metrics.is_object() { worker.system_metrics.clone() } else { json!({}) };
    json!({
        "workerAddress": worker.address,
        "appName": app_name,
        "appId": app_id,
        "heartbeatTime": now.as_millis(),
        "protocol": worker.protocol,
        "client": worker.client,
        "version": worker.version,
        "tag": worker.tag,
        "systemMetrics": metrics,
        "lightTaskTrackerNum": worker.light,
        "heavyTaskTrackerNum": worker.heavy,
        "overload": worker.overloading,
        "containerInfos": [],
    })
}

/// Whether a worker's report was taken: the server answers 200 and says nothing.
///
/// # Errors
/// [`Unreadable`] for every other status, and for a body that says `success: false`.
pub fn heartbeat_taken(answer: &Answer) -> Result<(), Unreadable> {
    answer.text()?;
    match wire::outcome(answer) {
        Ok(Outcome::Refused(_)) => Err(answer.not_understood()),
        _ => Ok(()),
    }
}

/// The fields of `POST /openApi/retryInstance`.
#[must_use]
pub fn retry_query(app: u64, instance: u64) -> [(&'static str, String); 2] {
    [("instanceId", instance.to_string()), ("appId", app.to_string())]
}

/// What came of `POST /openApi/retryInstance`. An instance of a workflow is refused: its workflow is retried.
///
/// # Errors
/// [`Unreadable`] when the answer does not tell whether it was accepted.
pub fn retried(answer: &Answer) -> Result<Outcome, Unreadable> {
    wire::outcome(answer)
}
