//! `AntScheduler` and its console: tasks triggered on clients and reported by them, and the message queue.
//!
//! From the operations guide: tasks by RPC go over the clients' long connections on 9001, tasks by message
//! over a long connection to the queue on 9529 (§1.3.1.2); a switch-over minds the tasks that are "triggered
//! but not reported" (§1.2.1.3). Invented: `POST :8080/trigger`, `GET :8080/tasks`, and the lines.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::args::HostPort;
use super::connections::{Greeting, next_line, split, write_line};
use super::control::{Answer, read_body, refusal};
use super::dependencies::{QUEUE, expect};
use super::faults::Fault;
use super::http::CALL_WITHIN;
use super::shared::{Shared, Work, pause};

/// Between two attempts to reach the queue.
const RECONNECT: Duration = Duration::from_millis(500);

/// Messages that may wait for the queue.
const WAITING_MESSAGES: usize = 64;

/// The console of `AntScheduler`: its ports, and nothing behind them.
pub(super) struct Console;

impl Work for Console {}

/// The tasks of one process, counted.
#[derive(Debug, Default)]
struct Tasks {
    triggered: u64,
    reported: u64,
    unreported: BTreeSet<u64>,
    /// Reports that the fault `not-reported` holds back.
    held: Vec<u64>,
    messages: u64,
}

impl Tasks {
    fn report(&mut self, id: u64) {
        if self.unreported.remove(&id) {
            self.reported += 1;
        }
    }
}

/// How a task reaches an application.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Via {
    /// Over a client's connection on 9001; the client reports.
    #[default]
    Rpc,
    /// Over the message queue; nobody reports here.
    Message,
}

#[derive(Debug, Deserialize)]
struct Trigger {
    task: String,
    #[serde(default)]
    via: Via,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Heard {
    Report { report: u64 },
    Hello { client: String },
}

/// An `AntScheduler` server.
pub(super) struct Scheduler {
    shared: Arc<Shared>,
    tasks: watch::Sender<Tasks>,
    messages: mpsc::Sender<String>,
    has_queue: bool,
}

impl Scheduler {
    /// Makes the server, and keeps a connection to the queue if there is to be one.
    pub(super) fn start(shared: &Arc<Shared>, queue: Option<HostPort>) -> Arc<Self> {
        let (messages, waiting) = mpsc::channel(WAITING_MESSAGES);
        let has_queue = queue.is_some();
        if let Some(queue) = queue {
            expect(shared, QUEUE, queue.to_string(), false);
            tokio::spawn(keep_queue(Arc::clone(shared), queue, waiting));
        }
        Arc::new(Self { shared: Arc::clone(shared), tasks: watch::Sender::default(), messages, has_queue })
    }

    /// The counts; reports that were held back count as soon as the fault is off.
    fn counts(&self) -> Value {
        let holds = self.holds_reports();
        self.tasks.send_modify(|tasks| {
            if !holds {
                for id in std::mem::take(&mut tasks.held) {
                    tasks.report(id);
                }
            }
        });
        let tasks = self.tasks.borrow();
        json!({
            "triggered": tasks.triggered,
            "reported": tasks.reported,
            "unreported": tasks.unreported.len(),
            "messages": tasks.messages,
        })
    }

    fn holds_reports(&self) -> bool {
        self.shared.faults.is_on(|fault| *fault == Fault::NotReported)
    }

    /// Fires a task on one registered client, another one each time.
    fn trigger_by_rpc(&self, task: &str) -> Result<Value, &'static str> {
        let mut id = 0;
        // Counted before it is sent: a report must never come before its task is known.
        self.tasks.send_modify(|tasks| {
            tasks.triggered += 1;
            id = tasks.triggered;
            tasks.unreported.insert(id);
        });
        let line = json!({ "task": task, "id": id }).to_string();
        if let Some(client) = self.shared.connections.tell_one(id, &line) {
            return Ok(json!({ "id": id, "client": client }));
        }
        self.tasks.send_modify(|tasks| {
            tasks.triggered -= u64::from(tasks.unreported.remove(&id));
        });
        Err("no targets was found")
    }

    /// Hands a task to the message queue.
    fn trigger_by_message(&self, task: &str) -> Result<Value, &'static str> {
        let line = json!({ "task": task }).to_string();
        if !self.has_queue || !self.shared.has(QUEUE) || self.messages.try_send(line).is_err() {
            return Err("no available connection");
        }
        self.tasks.send_modify(|tasks| tasks.messages += 1);
        Ok(json!({ "via": "message" }))
    }
}

impl Work for Scheduler {
    fn routes(self: Arc<Self>) -> Router {
        Router::new()
            .route("/trigger", post(trigger))
            .route("/tasks", get(async |State(s): State<Arc<Self>>| Json(s.counts())))
            .with_state(self)
    }

    fn hear(&self, connection: u64, line: &str) -> Vec<String> {
        match serde_json::from_str(line) {
            Ok(Heard::Report { report }) => {
                let holds = self.holds_reports();
                self.tasks
                    .send_modify(|tasks| if holds { tasks.held.push(report) } else { tasks.report(report) });
                Vec::new()
            }
            Ok(Heard::Hello { client }) => {
                vec![match self.shared.connections.register(connection, &client) {
                    Greeting::First => json!({ "registered": true }).to_string(),
                    Greeting::Again => json!({ "heartbeat": true }).to_string(),
                }]
            }
            Err(_) => Vec::new(),
        }
    }

    fn state(&self) -> Value {
        json!({ "tasks": self.counts() })
    }
}

async fn trigger(State(scheduler): State<Arc<Scheduler>>, body: String) -> Result<Json<Value>, Answer> {
    let Trigger { task, via } = read_body(&body)?;
    // The words of the two refusals are those of the real server's logs (operations guide §1.3.1.2, §1.3.2.2).
    let done = match via {
        Via::Rpc => scheduler.trigger_by_rpc(&task),
        Via::Message => scheduler.trigger_by_message(&task),
    };
    scheduler
        .shared
        .log(format_args!("task {task} by {via:?}: {}", done.as_ref().err().unwrap_or(&"triggered")));
    done.map(Json).map_err(|why| refusal(StatusCode::SERVICE_UNAVAILABLE, why))
}

/// Keeps a connection to the queue open, and opens it again when it is lost.
async fn keep_queue(shared: Arc<Shared>, queue: HostPort, mut messages: mpsc::Receiver<String>) {
    loop {
        let Err(error) = hold_queue(&shared, &queue, &mut messages).await;
        shared.note_dependency(QUEUE, Err(format!("no available connection: {error:#}")));
        pause(RECONNECT).await;
    }
}

/// Holds one connection to the queue; why it ended.
async fn hold_queue(
    shared: &Shared,
    queue: &HostPort,
    messages: &mut mpsc::Receiver<String>,
) -> anyhow::Result<std::convert::Infallible> {
    let mut faults = shared.faults.subscribe();
    let unreachable = || shared.faults.is_on(|fault| *fault == Fault::MqUnreachable);
    if unreachable() {
        bail!("fault mq-unreachable");
    }
    let stream = timeout(CALL_WITHIN, TcpStream::connect((queue.host.as_str(), queue.port)));
    let (mut lines, mut out) = split(stream.await.context("no connection in time")??);
    shared.note_dependency(QUEUE, Ok(()));
    loop {
        tokio::select! {
            line = next_line(&mut lines) => {
                line.context("the queue closed the connection")?;
            }
            Some(message) = messages.recv() => write_line(&mut out, &message).await?,
            _ = faults.changed() => if unreachable() { bail!("fault mq-unreachable") },
        }
    }
}
