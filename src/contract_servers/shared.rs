//! What the tasks of one process know in common, and the start-up that lets the ports open.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::args::Common;
use super::connections::Connections;
use super::faults::{Fault, Faults, Switch};
use super::ports::{Port, Role, Serves};

/// How often the start-up looks again at faults that end by themselves: short against the whole seconds in
/// which they are given.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The part of a role that is not common to all.
pub(super) trait Work: Send + Sync + 'static {
    /// What the role does once its needs are there and before its ports open.
    fn prepare(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }

    /// What the role's HTTP ports serve.
    fn routes(self: Arc<Self>) -> Router {
        Router::new()
    }

    /// Answers one line that a client sent on its long connection.
    fn hear(&self, _connection: u64, _line: &str) -> Vec<String> {
        Vec::new()
    }

    /// The role's part of `GET :8899/state`.
    fn state(&self) -> Value {
        Value::Null
    }
}

/// The last look at something that the role needs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dependency {
    /// Where it is, as the command line says.
    pub(super) needs: String,
    /// Whether it is there.
    pub(super) ok: bool,
    /// Why it is not; empty if it is.
    pub(super) why: String,
    /// Whether the start waits for it.
    pub(super) gates_start: bool,
}

/// A port of the role now.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PortState {
    /// Where it is, or would be.
    pub(super) address: String,
    /// Whether the process listens there.
    pub(super) open: bool,
    /// Why it does not; empty if it does.
    pub(super) why: String,
}

/// What all tasks of a process know.
pub(super) struct Shared {
    pub(super) role: Role,
    pub(super) common: Common,
    pub(super) faults: Faults,
    /// Whether start-up is over. Never goes back.
    pub(super) started: watch::Sender<bool>,
    pub(super) dependencies: watch::Sender<BTreeMap<&'static str, Dependency>>,
    pub(super) ports: watch::Sender<BTreeMap<u16, PortState>>,
    pub(super) connections: Connections,
}

impl Shared {
    pub(super) fn new(role: Role, common: Common) -> Self {
        Self {
            role,
            common,
            faults: Faults::default(),
            started: watch::Sender::new(false),
            dependencies: watch::Sender::default(),
            ports: watch::Sender::default(),
            connections: Connections::default(),
        }
    }

    /// Writes one event to standard output, named as coming from a stand-in.
    pub(super) fn log(&self, event: fmt::Arguments<'_>) {
        // A log that nobody reads any more must not end the process.
        let _ = writeln!(std::io::stdout().lock(), "stand-in for {}: {event}", self.role);
    }

    /// Where a port is; the offset was checked with the command line.
    pub(super) fn address(&self, port: Port) -> SocketAddr {
        let health = port.serves == Serves::Health;
        let ip = if health { self.common.health_listen } else { self.common.listen };
        SocketAddr::new(ip, port.number.saturating_add(self.common.port_offset))
    }

    /// Why a port should be closed now; `None` if it should be open.
    pub(super) fn closed_reason(&self, port: Port) -> Option<&'static str> {
        if self.faults.closes(port.number, port.serves) {
            Some("fault port-down")
        } else if port.serves.waits_for_start() && !*self.started.borrow() {
            Some("start-up is not over")
        } else {
            None
        }
    }

    /// Switches a fault, and says so. `crash` ends the process here.
    pub(super) fn switch(&self, fault: Fault, to: Switch) {
        self.log(format_args!("fault {fault} {}", if to == Switch::On { "on" } else { "off" }));
        self.faults.switch(fault, to);
        if fault == Fault::Crash && to == Switch::On {
            std::process::exit(1);
        }
    }

    /// Notes a look at a dependency; says so only if it changed.
    pub(super) fn note_dependency(&self, name: &'static str, result: Result<(), String>) {
        self.dependencies.send_if_modified(|all| {
            let Some(known) = all.get_mut(name) else { return false };
            let (ok, why) = result.map_or_else(|why| (false, why), |()| (true, String::new()));
            let changed = known.ok != ok || known.why != why;
            if changed {
                let text = if ok { "is there" } else { why.as_str() };
                self.log(format_args!("{name} {}: {text}", known.needs));
                (known.ok, known.why) = (ok, why);
            }
            changed
        });
    }

    /// Whether a dependency is there; one that nobody asked for is.
    pub(super) fn has(&self, name: &str) -> bool {
        self.dependencies.borrow().get(name).is_none_or(|dependency| dependency.ok)
    }

    /// Whether a connection of a client is to be closed at once.
    pub(super) fn refuses_clients(&self) -> bool {
        self.faults.is_on(|fault| matches!(fault, Fault::AddressingWrong | Fault::ReconnectStormRefused(_)))
    }

    /// Everything, for `GET :8899/state`.
    pub(super) fn state(&self, work: &dyn Work) -> Value {
        let faults: Vec<_> = self.faults.active().iter().map(Fault::to_string).collect();
        json!({
            "standIn": true,
            "role": self.role.name(),
            "started": *self.started.borrow(),
            "ports": *self.ports.borrow(),
            "dependencies": *self.dependencies.borrow(),
            "faults": faults,
            "connections": self.connections.state(),
            "work": work.state(),
        })
    }

    fn may_start(&self) -> bool {
        let held = self.faults.is_on(|fault| matches!(fault, Fault::NeverReady | Fault::SlowStart(_)));
        !held
            && self.dependencies.borrow().values().all(|dependency| dependency.ok || !dependency.gates_start)
    }
}

/// Waits until the role may start, lets it prepare, and lets the ports open.
pub(super) async fn start_up(shared: Arc<Shared>, work: Arc<dyn Work>) {
    let mut dependencies = shared.dependencies.subscribe();
    let mut faults = shared.faults.subscribe();
    while !shared.may_start() {
        tokio::select! {
            _ = dependencies.changed() => {}
            _ = faults.changed() => {}
            () = pause(LOOK_AGAIN) => {}
        }
    }
    work.prepare().await;
    shared.log(format_args!("start-up is over"));
    shared.started.send_replace(true);
}

/// Lets time pass: the one place of the stand-in that does.
pub(super) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
