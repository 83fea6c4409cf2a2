//! An application that holds long connections to drmdata or `AntScheduler`, and counts all that happens to them.
//!
//! From the operations guide: clients connect again by themselves to a server that is there (§2.4.1), send a
//! heartbeat with the versions they have every 30 s (§1.3.2.1), and know the servers by addressing (§1.1).
//! Invented: the lines, `GET :8080/status`, and the back-off.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::args::ClientArgs;
use super::connections::{next_line, split, write_line};
use super::http;
use super::shared::{Shared, Work, pause};

/// Heartbeats without an answer after which a server counts as dead: a node that is gone sends no end of the
/// connection, and one lost answer is no proof.
const SILENT_HEARTBEATS: u32 = 3;

/// The first back-off is the longest divided by this.
const BACKOFF_STEPS: u64 = 50;

/// All that the connections of one process count.
#[derive(Debug, Default)]
struct Tally {
    /// Registered connections by server.
    open: BTreeMap<SocketAddr, usize>,
    /// Connections that were registered again after they were lost.
    reconnects: u64,
    /// Attempts that did not lead to a registered connection.
    failures: u64,
    last_failure: Option<String>,
    values: BTreeMap<String, Received>,
    tasks: u64,
}

/// What came in for one key, over all connections.
#[derive(Debug, Default)]
struct Received {
    count: u64,
    version: u64,
    value: Value,
}

/// The application.
pub(super) struct Clients {
    shared: Arc<Shared>,
    args: ClientArgs,
    tally: watch::Sender<Tally>,
}

/// What one connection remembers from one attempt to the next.
struct Memory {
    index: usize,
    attempt: usize,
    was_registered: bool,
    /// The newest version it was told of each key: a value counts once for each connection.
    versions: BTreeMap<String, u64>,
}

impl Clients {
    /// Makes the application and starts its connections.
    pub(super) fn start(shared: &Arc<Shared>, args: ClientArgs) -> Arc<Self> {
        let clients = Arc::new(Self { shared: Arc::clone(shared), args, tally: watch::Sender::default() });
        for index in 0..clients.args.connections {
            tokio::spawn(Arc::clone(&clients).keep(index));
        }
        clients
    }

    /// Keeps one connection open.
    async fn keep(self: Arc<Self>, index: usize) {
        let mut random = SplitMix(self.args.seed.wrapping_add(index as u64));
        let mut memory = Memory { index, attempt: 0, was_registered: false, versions: BTreeMap::new() };
        let mut failures = 0;
        loop {
            let mut registered_at = None;
            let Err(error) = self.hold(&mut memory, &mut registered_at).await;
            self.tally.send_modify(|tally| {
                match registered_at {
                    Some(address) => {
                        tally.open.entry(address).and_modify(|open| *open = open.saturating_sub(1));
                    }
                    None => tally.failures += 1,
                }
                tally.last_failure = Some(format!("{error:#}"));
            });
            failures = if registered_at.is_some() { 0 } else { failures + 1 };
            self.shared.log(format_args!("connection {index} ended: {error:#}"));
            memory.attempt += 1;
            pause(back_off(self.args.max_backoff_millis, failures, random.next())).await;
        }
    }

    /// Opens one connection, registers, and holds it; why it ended, and where it was registered.
    async fn hold(
        &self,
        memory: &mut Memory,
        registered_at: &mut Option<SocketAddr>,
    ) -> anyhow::Result<std::convert::Infallible> {
        let addresses = http::resolve(&self.args.servers).await?;
        ensure!(!addresses.is_empty(), "get server list error: {} names no address", self.args.servers);
        let address = addresses[memory.index.wrapping_add(memory.attempt) % addresses.len()];
        let stream = timeout(http::CALL_WITHIN, TcpStream::connect(address)).await;
        let stream = stream.context("no connection in time")?.with_context(|| address.to_string())?;
        let (mut lines, mut out) = split(stream);
        write_line(&mut out, &self.hello(memory)).await?;
        let first = timeout(http::CALL_WITHIN, next_line(&mut lines)).await;
        let first = first.with_context(|| format!("{address} did not register in time"))?;
        let first =
            first.with_context(|| format!("client register failed: {address} closed the connection"))?;
        ensure!(first.contains("registered"), "{address} did not register: {first}");
        *registered_at = Some(address);
        self.note_registered(memory, address);

        let heartbeat = Duration::from_millis(self.args.heartbeat_millis);
        let mut ticks = interval(heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                line = next_line(&mut lines) => {
                    let line = line.with_context(|| format!("{address} closed the connection"))?;
                    heard = Instant::now();
                    if let Some(answer) = self.hear(memory, &line) {
                        write_line(&mut out, &answer).await?;
                    }
                }
                _ = ticks.tick() => {
                    if heard.elapsed() > heartbeat * SILENT_HEARTBEATS {
                        bail!("{address} is silent");
                    }
                    write_line(&mut out, &self.hello(memory)).await?;
                }
            }
        }
    }

    /// What a connection says at first and with each heartbeat.
    fn hello(&self, memory: &Memory) -> String {
        json!({ "client": self.args.name, "versions": memory.versions }).to_string()
    }

    fn note_registered(&self, memory: &mut Memory, address: SocketAddr) {
        let again = std::mem::replace(&mut memory.was_registered, true);
        self.tally.send_modify(|tally| {
            *tally.open.entry(address).or_default() += 1;
            tally.reconnects += u64::from(again);
        });
        self.shared.log(format_args!("connection {} registered at {address}", memory.index));
    }

    /// Takes a line of a server; the answer, if it wants one.
    fn hear(&self, memory: &mut Memory, line: &str) -> Option<String> {
        let line: Value = serde_json::from_str(line).ok()?;
        if let (Some(key), Some(version)) = (line["dataId"].as_str(), line["version"].as_u64()) {
            let known = memory.versions.get(key);
            if known.is_none_or(|known| *known < version) {
                memory.versions.insert(key.to_owned(), version);
                self.tally.send_modify(|tally| {
                    let received = tally.values.entry(key.to_owned()).or_default();
                    received.count += 1;
                    if received.version < version {
                        (received.version, received.value) = (version, line["value"].clone());
                    }
                });
            }
            return None;
        }
        let id = line["id"].as_u64()?;
        self.tally.send_modify(|tally| tally.tasks += 1);
        Some(json!({ "report": id }).to_string())
    }

    fn status(&self) -> Value {
        let tally = self.tally.borrow();
        let last = |r: &Received| json!({ "count": r.count, "version": r.version, "value": r.value });
        let values: BTreeMap<_, _> = tally.values.iter().map(|(key, r)| (key, last(r))).collect();
        json!({
            "standIn": true,
            "wanted": self.args.connections,
            "open": tally.open.values().sum::<usize>(),
            "perAddress": tally.open.iter().map(|(at, n)| (at.to_string(), *n)).collect::<BTreeMap<_, _>>(),
            "reconnects": tally.reconnects,
            "failures": tally.failures,
            "lastFailure": tally.last_failure,
            "received": tally.values.values().map(|received| received.count).sum::<u64>(),
            "values": values,
            "tasks": tally.tasks,
        })
    }
}

impl Work for Clients {
    fn routes(self: Arc<Self>) -> Router {
        Router::new()
            .route("/status", get(async |State(clients): State<Arc<Self>>| Json(clients.status())))
            .with_state(self)
    }

    fn state(&self) -> Value {
        self.status()
    }
}

/// How long to wait after so many failures in a row: twice as long each time up to `max` milliseconds, of which
/// between a half and all, as `random` says.
fn back_off(max: u64, failures: u32, random: u64) -> Duration {
    let full = (max / BACKOFF_STEPS).max(1).saturating_mul(1 << failures.min(16)).min(max.max(1));
    Duration::from_millis(full - random % (full / 2 + 1))
}

/// `SplitMix64`: the same numbers for the same seed, and good enough to spread reconnects.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backs_off_between_half_and_all_of_a_growing_time() {
        let mut random = SplitMix(1);
        for failures in 0..40 {
            let full = (100 << failures.min(10)).min(5000);
            let waited = u64::try_from(back_off(5000, failures, random.next()).as_millis()).unwrap();
            assert!((full / 2..=full).contains(&waited), "{failures}: {waited} of {full}");
        }
    }

    #[test]
    fn one_seed_is_one_sequence() {
        let (mut one, mut same, mut other) = (SplitMix(7), SplitMix(7), SplitMix(8));
        let (a, b, c) = (one.next(), same.next(), other.next());
        assert!(a == b && a != c);
    }
}
