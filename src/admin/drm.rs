//! What a command in a pod of drmdata or `AntScheduler` prints: the health that drmdata tells on its own loopback, and the
//! sockets of the pod.
//!
//! May import the errors of `answer`.

use super::answer::Unreadable;

/// How much of a text an error shows.
const EXCERPT_CHARS: usize = 160;
/// `st` of a socket in `/proc/net/tcp` (Linux, `include/net/tcp_states.h`).
const ESTABLISHED: &str = "01";
const LISTEN: &str = "0A";
/// Columns of a row of `/proc/net/tcp` up to its inode; the kernel prints some more.
const COLUMNS: usize = 10;

/// What `checkService` says to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failing {
    /// The data master is missing: `TaskManageFacade`, "Addresses unavailable" (operations guide §1.4.3.13).
    DataMaster,
    /// The data source is not connected (operations guide §1.4.3.13).
    DataSource,
    /// Something else.
    Other,
}

/// What drmdata's `localhost:9500/checkService` says: `None`, it works. The body decides, whatever the status was: the guide
/// greps it for `false` (§1.4.3.13). Lines and JSON are read alike: each `name:true` or `name:false why` is one check.
///
/// # Errors
/// [`Unreadable`] when no check is in it, or when none is passed and none is failed.
pub fn check_service(body: &str) -> Result<Option<Failing>, Unreadable> {
    let lower = body.to_lowercase();
    let parts = || lower.split(['\n', '\r', ',', ';', '{', '}']).map(str::trim).filter(|p| !p.is_empty());
    let failed: Vec<&str> = parts().filter(|part| part.contains("false")).collect();
    if failed.is_empty() {
        let passed = !lower.trim_start().starts_with('<') && parts().any(is_passed);
        return if passed { Ok(None) } else { Err(not_understood(body)) };
    }
    let master = failed.iter().any(|part| part.contains("taskmanagefacade"));
    if master || lower.contains("addresses unavailable") {
        return Ok(Some(Failing::DataMaster));
    }
    let names = ["database", "datasource", "data source", "data_source", "data-source"];
    let source = failed.iter().any(|part| names.iter().any(|name| part.contains(name)));
    Ok(Some(if source { Failing::DataSource } else { Failing::Other }))
}

/// `true` alone, or as the value of a name.
fn is_passed(part: &str) -> bool {
    let value = part.rsplit_once([':', '=']).map_or(part, |(_, value)| value);
    value.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'') == "true"
}

/// Connections that are established to this port of the pod, from the texts of `/proc/net/tcp` and `/proc/net/tcp6`, one
/// after the other. A client that came over IPv4 to a server that listens on both stands in the second one only.
///
/// # Errors
/// [`Unreadable`] when a line is neither a header nor a whole socket, when the text does not begin with a header, or does not
/// end with the end of a line: half an answer is never a count.
pub fn connections(proc_net_tcp: &str, port: u16) -> Result<u64, Unreadable> {
    let sockets = sockets(proc_net_tcp)?;
    Ok(sockets.iter().filter(|s| s.port == port && s.state == ESTABLISHED).map(|_| 1).sum())
}

/// Whether a process of the pod listens on this port, from the same text as [`connections`].
///
/// # Errors
/// As [`connections`].
pub fn listens(proc_net_tcp: &str, port: u16) -> Result<bool, Unreadable> {
    Ok(sockets(proc_net_tcp)?.iter().any(|s| s.port == port && s.state == LISTEN))
}

struct Socket<'a> {
    port: u16,
    state: &'a str,
}

fn sockets(text: &str) -> Result<Vec<Socket<'_>>, Unreadable> {
    let is_header = |line: &str| line.trim_start().starts_with("sl ");
    let whole = text.ends_with('\n') && text.lines().next().is_some_and(is_header);
    if !whole {
        return Err(not_understood(text));
    }
    let rows = text.lines().filter(|line| !is_header(line) && !line.trim().is_empty());
    rows.map(|line| socket(line).ok_or_else(|| not_understood(line))).collect()
}

fn socket(line: &str) -> Option<Socket<'_>> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let [number, local, remote, state, ..] = columns.as_slice() else { return None };
    number.strip_suffix(':')?.parse::<u64>().ok()?;
    let (_, port) = (end(remote)?, end(local)?);
    (columns.len() >= COLUMNS && state.len() == 2).then_some(Socket { port, state })
}

/// The port of `0100007F:1F90`, with an address of IPv4 or IPv6 before it.
fn end(text: &str) -> Option<u16> {
    let (address, port) = text.split_once(':')?;
    let hex = address.bytes().all(|b| b.is_ascii_hexdigit());
    (hex && matches!(address.len(), 8 | 32) && port.len() == 4).then(|| u16::from_str_radix(port, 16).ok())?
}

fn not_understood(text: &str) -> Unreadable {
    let words: Vec<&str> = text.split_whitespace().collect();
    Unreadable::NotUnderstood(words.join(" ").chars().take(EXCERPT_CHARS).collect())
}
