//! A very small HTTP client for trusted test servers: one request, one connection, status and body.
//!
//! HTTP/1.0, so that the end of the body is the end of the connection and no chunks need reading.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::args::{HostPort, HostPorts};

/// The deadline of one call: name, connection, request and answer together.
pub(super) const CALL_WITHIN: Duration = Duration::from_secs(3);

/// The largest answer that is read, in bytes: a list of values in a test is far smaller.
const ANSWER_BYTES: u64 = 4 << 20;

/// A GET; status and body.
pub(super) async fn get(at: &HostPort, path: &str) -> anyhow::Result<(u16, String)> {
    call(at, format!("GET {path} HTTP/1.0\r\nHost: {at}\r\nConnection: close\r\n\r\n")).await
}

/// A POST of JSON; status and body.
pub(super) async fn post(at: &HostPort, path: &str, body: &Value) -> anyhow::Result<(u16, String)> {
    let (body, kind) = (body.to_string(), "Content-Type: application/json");
    let length = body.len();
    let head = format!("POST {path} HTTP/1.0\r\nHost: {at}\r\nConnection: close\r\n{kind}");
    call(at, format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}")).await
}

async fn call(at: &HostPort, request: String) -> anyhow::Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect((at.host.as_str(), at.port)).await.context("cannot connect")?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
        read_answer(&String::from_utf8_lossy(&answer))
    };
    let answer = timeout(CALL_WITHIN, exchange).await;
    answer
        .with_context(|| format!("{at} did not answer within {CALL_WITHIN:?}"))?
        .with_context(|| at.to_string())
}

/// Status and body of a whole answer.
fn read_answer(answer: &str) -> anyhow::Result<(u16, String)> {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { bail!("the answer is no HTTP") };
    let status = head.split_ascii_whitespace().nth(1).and_then(|status| status.parse().ok());
    Ok((status.context("the answer has no status")?, body.to_owned()))
}

/// Every address behind a list of names, sorted, each once. Names that do not resolve are left out as long as
/// one does, as a headless Service leaves out pods that are not ready.
///
/// # Errors
/// No name resolves.
pub(super) async fn resolve(list: &HostPorts) -> anyhow::Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    let mut problem = None;
    for at in &list.0 {
        match timeout(CALL_WITHIN, lookup_host((at.host.as_str(), at.port))).await {
            Ok(Ok(addresses)) => found.extend(addresses),
            Ok(Err(error)) => problem = Some(format!("{at}: {error}")),
            Err(_) => problem = Some(format!("{at} did not resolve within {CALL_WITHIN:?}")),
        }
    }
    found.sort_unstable();
    found.dedup();
    match problem {
        Some(problem) if found.is_empty() => bail!("no address: {problem}"),
        _ => Ok(found),
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_answers() {
        let answer = "HTTP/1.1 200 OK\r\nX: y\r\n\r\na\r\n\r\nb";
        assert_eq!(read_answer(answer).unwrap(), (200, "a\r\n\r\nb".to_owned()));
        for bad in ["", "HTTP/1.1 200 OK", "HTTP/1.1\r\n\r\n"] {
            assert!(read_answer(bad).is_err(), "{bad:?}");
        }
    }
}
