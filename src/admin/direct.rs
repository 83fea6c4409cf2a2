//! Requests straight to the addresses of the servers.
//!
//! May import the transport and the answers of this module.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Proxy, Response, Url};

use super::answer::{Answer, BODY_LIMIT_BYTES};
use super::transport::{CONNECT_LIMIT, Call, Content, Method, NoAnswer, Transport};

/// Idle connections that are kept for each server: its questions are asked one after the other.
const IDLE_CONNECTIONS: usize = 1;
/// So long they are kept: the questions of a look share one, and a look that hurries takes it over. Hundreds of clusters have a
/// thousand servers, and each connection has 20 KB of buffers.
const IDLE_TIME: Duration = Duration::from_secs(1);

/// The transport.
#[derive(Debug, Clone)]
pub struct Direct {
    client: Client,
}

/// The transport could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be made")]
pub struct NoClient(#[from] reqwest::Error);

impl Direct {
    /// A transport. `through`: an HTTP proxy that all requests go through; the environment's proxies are never used, they are
    /// for the world outside and not for pods.
    ///
    /// # Errors
    /// If the client cannot be made: the proxy's address is none.
    pub fn new(through: Option<&str>) -> Result<Self, NoClient> {
        // Admin ports speak plain HTTP: no authority has to be known for them.
        let plain = builder().tls_certs_only([]);
        let builder = match through {
            Some(proxy) => plain.proxy(Proxy::http(proxy)?),
            None => plain,
        };
        Ok(Self { client: builder.build()? })
    }

    /// A transport for [`Self::page`], which also speaks HTTPS where this machine knows authorities (`SSL_CERT_FILE`, or where
    /// its distribution has them). Where it knows none, a page by HTTPS is not trusted, and says so.
    ///
    /// # Errors
    /// If the client cannot be made.
    pub fn for_pages() -> Result<Self, NoClient> {
        let client = builder().build().or_else(|_| builder().tls_certs_only([]).build())?;
        Ok(Self { client })
    }
}

fn builder() -> ClientBuilder {
    // Whoever was first has installed the same one.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_TIME)
        .http1_only()
}

impl Transport for Direct {
    async fn send(&self, call: Call<'_>) -> Result<Answer, NoAnswer> {
        let server = call.to.to_string();
        let url = format!("http://{server}{}", call.path);
        let url: Url = url.parse().map_err(|e| broken(&server, format!("{url} is no address: {e}")))?;
        let request = match call.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url),
            Method::Put => self.client.put(url),
        };
        let request = match (call.content, call.method) {
            (Content::Fields(fields), Method::Get) => request.query(fields),
            (Content::Fields(fields), _) => request.form(fields),
            (Content::Json(text), _) => {
                request.header("content-type", "application/json").body(text.to_owned())
            }
        };
        let response = request.timeout(call.limit).send().await.map_err(|e| no_answer(&server, &e))?;
        read(response).await.map_err(|e| no_answer(&server, &e))
    }
}

impl Direct {
    /// Asks for a page by its whole address.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn page(&self, url: &str, limit: Duration) -> Result<Answer, NoAnswer> {
        let asked = self.client.get(url).timeout(limit).send().await;
        let response = asked.map_err(|e| no_answer(url, &e))?;
        read(response).await.map_err(|e| no_answer(url, &e))
    }
}

/// Reads at most as much as is understood. A connection that ends too early gives an answer that is cut.
async fn read(mut response: Response) -> Result<Answer, reqwest::Error> {
    let location = response.headers().get("location").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let mut answer = Answer { status: response.status().as_u16(), location, ..Answer::default() };
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = BODY_LIMIT_BYTES - answer.body.len();
                answer.body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
                if chunk.len() > room {
                    answer.cut = true;
                    return Ok(answer);
                }
            }
            Ok(None) => return Ok(answer),
            Err(e) if e.is_timeout() => return Err(e),
            Err(_) => {
                answer.cut = true;
                return Ok(answer);
            }
        }
    }
}

fn no_answer(server: &str, error: &reqwest::Error) -> NoAnswer {
    if error.is_timeout() {
        return NoAnswer::TimedOut(server.to_owned());
    }
    let mut cause = error.source();
    let mut why = error.to_string();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::ConnectionRefused
        {
            return NoAnswer::Refused(server.to_owned());
        }
        why = inner.to_string();
        cause = inner.source();
    }
    broken(server, why)
}

fn broken(server: &str, why: String) -> NoAnswer {
    NoAnswer::Broken { server: server.to_owned(), why }
}

#[cfg(test)]
#[path = "direct_tests.rs"]
mod tests;
