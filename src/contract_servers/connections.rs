//! The long connections that clients hold to a server (9880, 9001): JSON lines both ways, one object each.
//!
//! The real protocol is bolt, and closed. The lines are invented: a client says `{"client":name,"versions":{}}`
//! at once and as its heartbeat; the server answers the first with `{"registered":true}`, the others with
//! `{"heartbeat":true}`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines, Take};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};

use super::shared::{Shared, Work};

/// The longest line, in bytes: far above a pushed value in a test, far below what would hurt the process.
const LINE_BYTES: u64 = 1 << 20;

/// Lines that may wait for one client; a client that reads so slowly misses the rest and is told at its next
/// heartbeat, as the guide's clients are (operations guide §1.3.2.1).
const WAITING_LINES: usize = 256;

/// How long a write to one client may take before the connection counts as dead.
const WRITE_WITHIN: Duration = Duration::from_secs(3);

/// The open connections of clients.
#[derive(Debug, Default)]
pub(super) struct Connections {
    next: AtomicU64,
    open: watch::Sender<BTreeMap<u64, Connection>>,
}

#[derive(Debug)]
struct Connection {
    from: SocketAddr,
    /// The client's name, once it has said it.
    client: Option<String>,
    to: mpsc::Sender<Arc<str>>,
}

/// Whether a client's word was its first on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greeting {
    First,
    Again,
}

impl Connections {
    /// Registers the client of a connection.
    pub(super) fn register(&self, connection: u64, client: &str) -> Greeting {
        let mut greeting = Greeting::Again;
        self.open.send_if_modified(|open| {
            let fresh = open.get_mut(&connection).filter(|known| known.client.is_none());
            let Some(fresh) = fresh else { return false };
            fresh.client = Some(client.to_owned());
            greeting = Greeting::First;
            true
        });
        greeting
    }

    /// Sends a line to every registered client; how many took it.
    pub(super) fn tell_all(&self, line: &str) -> usize {
        let line: Arc<str> = line.into();
        let open = self.open.borrow();
        open.values().filter(|c| c.client.is_some() && c.to.try_send(Arc::clone(&line)).is_ok()).count()
    }

    /// Sends a line to one registered client, another one each time; whether one took it.
    pub(super) fn tell_one(&self, turn: u64, line: &str) -> Option<SocketAddr> {
        let open = self.open.borrow();
        let registered: Vec<_> = open.values().filter(|connection| connection.client.is_some()).collect();
        let count = u64::try_from(registered.len()).unwrap_or(u64::MAX);
        let index = usize::try_from(turn.checked_rem(count)?).ok()?;
        let mut from_turn = registered.iter().cycle().skip(index).take(registered.len());
        from_turn.find(|connection| connection.to.try_send(line.into()).is_ok()).map(|c| c.from)
    }

    /// How many are open, how many of them are registered, and by which client.
    pub(super) fn state(&self) -> Value {
        let open = self.open.borrow();
        let mut clients = BTreeMap::<&str, usize>::new();
        for client in open.values().filter_map(|connection| connection.client.as_deref()) {
            *clients.entry(client).or_default() += 1;
        }
        json!({ "open": open.len(), "registered": clients.values().sum::<usize>(), "clients": clients })
    }

    fn add(&self, from: SocketAddr, to: mpsc::Sender<Arc<str>>) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.send_modify(|open| {
            open.insert(id, Connection { from, client: None, to });
        });
        id
    }
}

/// Takes a connection out of the list when its task ends or is aborted.
struct Listed {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.shared.connections.open.send_modify(|open| {
            open.remove(&self.id);
        });
    }
}

/// Serves one connection of a client until either side ends it.
pub(super) async fn serve(stream: TcpStream, from: SocketAddr, shared: Arc<Shared>, work: Arc<dyn Work>) {
    let (to, mut waiting) = mpsc::channel(WAITING_LINES);
    let id = shared.connections.add(from, to);
    let _listed = Listed { shared: Arc::clone(&shared), id };
    let (mut lines, mut out) = split(stream);
    loop {
        let answers: Vec<String> = tokio::select! {
            line = next_line(&mut lines) => match line {
                Some(line) => work.hear(id, &line),
                None => return,
            },
            Some(line) = waiting.recv() => vec![line.to_string()],
        };
        for answer in answers {
            if write_line(&mut out, &answer).await.is_err() {
                return;
            }
        }
    }
}

/// A stream read by lines of bounded length.
pub(super) type BoundedLines = Lines<BufReader<Take<OwnedReadHalf>>>;

/// Splits a connection into its lines and its writing half.
pub(super) fn split(stream: TcpStream) -> (BoundedLines, OwnedWriteHalf) {
    let (read, write) = stream.into_split();
    (BufReader::new(read.take(LINE_BYTES)).lines(), write)
}

/// The next line; `None` at the end, on an error, and on a line that is too long. May be cancelled.
pub(super) async fn next_line(lines: &mut BoundedLines) -> Option<String> {
    let line = lines.next_line().await.ok()??;
    lines.get_mut().get_mut().set_limit(LINE_BYTES);
    Some(line)
}

/// Writes one line, within a deadline.
pub(super) async fn write_line(out: &mut OwnedWriteHalf, line: &str) -> std::io::Result<()> {
    let bytes = format!("{line}\n");
    tokio::time::timeout(WRITE_WITHIN, out.write_all(bytes.as_bytes())).await?
}
