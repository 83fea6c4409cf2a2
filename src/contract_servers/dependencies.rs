//! What a role needs from outside: a database that greets, a registry that gives addresses.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::args::{HostPort, HostPorts};
use super::faults::Fault;
use super::http;
use super::shared::{Dependency, Shared};

/// The name of the database in the state and in the health body.
pub(super) const DATABASE: &str = "database";
/// The name of the registry in the state; in the health body it is the service subscribed to there.
pub(super) const REGISTRY: &str = "registry";
/// The name of the message queue in the state.
pub(super) const QUEUE: &str = "mq";

/// The words of the guide for a subscription that got no addresses. Operations guide §1.4.3.13.
pub(super) const ADDRESSES_UNAVAILABLE: &str = "Addresses unavailable";

/// What the start of a role waits for.
#[derive(Debug)]
pub(super) struct Needs {
    pub(super) database: HostPort,
    /// Not looked at if empty.
    pub(super) registry: HostPorts,
    /// Time between two looks.
    pub(super) every: Duration,
}

/// Starts a task for each need, which looks at it again and again.
pub(super) fn watch(shared: &Arc<Shared>, needs: Needs) {
    expect(shared, DATABASE, needs.database.to_string(), true);
    let database = Arc::new(needs.database);
    tokio::spawn(look_on(Arc::clone(shared), DATABASE, Fault::DatabaseLost, needs.every, move || {
        let database = Arc::clone(&database);
        async move { greets(&database).await }
    }));
    if needs.registry.0.is_empty() {
        return;
    }
    expect(shared, REGISTRY, needs.registry.to_string(), true);
    let registry = Arc::new(needs.registry);
    tokio::spawn(look_on(Arc::clone(shared), REGISTRY, Fault::DataMasterMissing, needs.every, move || {
        let registry = Arc::clone(&registry);
        async move { gives_addresses(&registry).await.context(ADDRESSES_UNAVAILABLE) }
    }));
}

/// Lists a dependency as one that has not been seen yet.
pub(super) fn expect(shared: &Shared, name: &'static str, needs: String, gates_start: bool) {
    let dependency = Dependency { needs, ok: false, why: "not seen yet".to_owned(), gates_start };
    shared.dependencies.send_modify(|all| {
        all.insert(name, dependency);
    });
}

/// Looks at one dependency every `every`, and at once when a fault is switched.
async fn look_on<F, L>(shared: Arc<Shared>, name: &'static str, fault: Fault, every: Duration, look: L)
where
    F: Future<Output = anyhow::Result<()>> + Send,
    L: Fn() -> F + Send,
{
    let mut faults = shared.faults.subscribe();
    loop {
        let result = if shared.faults.is_on(|on| *on == fault) {
            let words = if fault == Fault::DataMasterMissing { ADDRESSES_UNAVAILABLE } else { "lost" };
            Err(format!("{words}: fault {fault}"))
        } else {
            look().await.map_err(|error| format!("{error:#}"))
        };
        shared.note_dependency(name, result);
        // Either the time is over or a fault was switched: both mean to look again.
        let _ = timeout(every, faults.changed()).await;
    }
}

/// Whether one `SessionServer` is healthy and names at least one server to connect to.
async fn gives_addresses(registry: &HostPorts) -> anyhow::Result<()> {
    let mut problem = None;
    for session in &registry.0 {
        match session_gives_addresses(session).await {
            Ok(()) => return Ok(()),
            Err(error) => problem = Some(error),
        }
    }
    problem.map_or(Ok(()), Err)
}

async fn session_gives_addresses(session: &HostPort) -> anyhow::Result<()> {
    let (status, body) = http::get(session, "/health/check").await?;
    let health: Value = serde_json::from_str(&body).unwrap_or_default();
    ensure!(status == 200 && health["success"] == true, "{session} is not healthy ({status})");
    let (status, body) = http::get(session, "/api/servers/query").await?;
    ensure!(status == 200 && !body.trim().is_empty(), "{session} names no servers ({status})");
    Ok(())
}

/// Whether a database greets with the first packet of the `MySQL` protocol, version 10.
async fn greets(database: &HostPort) -> anyhow::Result<()> {
    let look = async {
        let mut stream =
            TcpStream::connect((database.host.as_str(), database.port)).await.context("cannot connect")?;
        let packet = read_packet(&mut stream).await.context("no greeting")?;
        match packet.first() {
            Some(10) => {}
            // The byte that says error, two of its code, then words.
            Some(0xff) => {
                bail!("refuses connections: {}", String::from_utf8_lossy(packet.get(3..).unwrap_or_default()))
            }
            other => bail!("does not greet as MySQL does (protocol {other:?})"),
        }
        // What follows is courtesy only: whatever comes of it, the database has answered.
        let _ = take_leave(&mut stream).await;
        anyhow::Ok(())
    };
    timeout(http::CALL_WITHIN, look).await.context("no greeting in time")?
}

/// Ends a look as a login that is denied, not as a handshake that is broken off: `MySQL` blocks a host after
/// `max_connect_errors` (100) of the latter in a row, and denied logins do not count for it.
async fn take_leave(stream: &mut TcpStream) -> anyhow::Result<()> {
    // Capabilities PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH; largest packet 16 MiB; character set utf8.
    let mut login = vec![0, 0x82, 0x08, 0, 0, 0, 0, 1, 33];
    login.extend([0; 23]);
    login.extend(b"stand-in\0\0mysql_native_password\0");
    write_packet(stream, 1, &login).await?;
    let answer = timeout(Duration::from_millis(500), read_packet(stream)).await??;
    if answer.first() == Some(&0xfe) {
        // The server asks for another way to log in: an empty answer means no password.
        write_packet(stream, 3, &[]).await?;
        timeout(Duration::from_millis(500), read_packet(stream)).await??;
    }
    Ok(())
}

/// The payload of one packet: three bytes of length, one of sequence.
async fn read_packet(stream: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
    ensure!(length <= 4096, "{length} bytes are no greeting");
    let mut payload = vec![0; usize::try_from(length)?];
    stream.read_exact(&mut payload).await?;
    Ok(payload)
}

async fn write_packet(stream: &mut TcpStream, sequence: u8, payload: &[u8]) -> anyhow::Result<()> {
    let length = u32::try_from(payload.len())?.to_le_bytes();
    let mut packet = vec![length[0], length[1], length[2], sequence];
    packet.extend(payload);
    Ok(stream.write_all(&packet).await?)
}
