//! The way to the API server: every request ends in time, none is tried twice behind the back of who sent it, and they share a few
//! connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::UPGRADE;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::{Client, Config, Error};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tower::timeout::{Timeout, TimeoutLayer};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_http::timeout::ResponseBodyTimeoutLayer;

/// How long the API server may take until it begins to answer: longer than it waits for any webhook (30 s at most).
const ANSWER: Duration = Duration::from_secs(40);
/// How long it may be silent in the middle of an answer. It ends a watch after 290 s, and speaks once a minute before.
const SILENCE: Duration = Duration::from_secs(295);
/// How long a connection may take until it can be used.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How often a connection by HTTP/2 is asked for a sign of life, and how long that is waited for: all requests on it end with it.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// How many watches share a connection: an API server answers 100 requests on one at a time, and a watch is never over.
const WATCHES: usize = 50;
/// How many other requests wait for the beginning of their answer at a time. The answers of some more are being read.
const AT_A_TIME: usize = 64;
/// How many wait for their turn, before whoever sends one waits himself.
const QUEUE: usize = 1024;
/// As much of one answer, and of all on a connection, may come before it is read.
const ANSWER_WINDOW_BYTES: u32 = 1 << 18;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// A client whose requests end: a server that is gone without a word is told as [`super::KubeError::Unanswered`], after 40 s;
/// one that falls silent in the middle of its answer after 295 s, and with HTTP/2 after 20 s if its machine is gone.
///
/// Where the API server speaks HTTP/2, requests share a connection, and up to `watches` watches have others. With a connection for
/// each request that is under way hundreds of clusters had 85 of them, and a third more CPU was used. What waits for its turn counts
/// as silence of the server, and is never sent once nobody waits for it any more. The lease, which is lost if it is renewed too late,
/// waits for nobody else's connection, and neither does a command in a pod.
///
/// Nothing is tried again by itself. The client of the library tries what is refused for the moment (an eviction by a budget
/// for disruptions above all) up to 15 times and for minutes: the command would then be done by a decision as old as that,
/// past a spec that has changed in between.
///
/// # Errors
/// What in the configuration cannot be used: a proxy among it.
pub fn client(config: &Config, watches: usize) -> Result<Client, Error> {
    if let Some(proxy) = &config.proxy_url {
        return Err(Error::ProxyProtocolUnsupported { proxy_url: Box::new(proxy.clone()) });
    }
    let tls = config.rustls_client_config()?;
    let alone = way(config, tls.clone(), Speaks::Http1)?;
    let shared = way(config, tls.clone(), Speaks::Http2)?;
    let once = ServiceBuilder::new().buffer(QUEUE).concurrency_limit(AT_A_TIME).service(shared);
    let mut ways = vec![way_of(alone), way_of(once)];
    for _ in 0..watches.div_ceil(WATCHES).max(1) {
        ways.push(way_of(way(config, tls.clone(), Speaks::Http2)?));
    }
    let (ways, turns) = (Arc::new(ways), Arc::new(AtomicUsize::new(0)));
    let send = move |request: Request<Body>| {
        let at = match Asks::of(&request) {
            Asks::Alone => 0,
            Asks::Once => 1,
            Asks::Watch => 2 + turns.fetch_add(1, Ordering::Relaxed) % (ways.len() - 2),
        };
        // A clone, made ready by itself: what reads the operator's token clones all that is below it, ready or not.
        ways[at].clone().oneshot(request)
    };
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::new(ANSWER))
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .layer(ResponseBodyTimeoutLayer::new(SILENCE))
        .service_fn(send);
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// How a request shares its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// With none that is under way: a command in a pod takes the connection for itself, and the lease waits for nobody.
    Alone,
    /// With all others that are answered once.
    Once,
    /// With others that stay.
    Watch,
}

impl Asks {
    fn of(request: &Request<Body>) -> Self {
        let uri = request.uri();
        if request.headers().contains_key(UPGRADE) || uri.path().starts_with("/apis/coordination.k8s.io/") {
            Self::Alone
        } else if uri.query().unwrap_or_default().split('&').any(|parameter| parameter == "watch=true") {
            Self::Watch
        } else {
            Self::Once
        }
    }
}

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    /// One request at a time.
    Http1,
    /// HTTP/2 where there is TLS and the server can.
    Http2,
}

/// A way that any request can go.
type Way = BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>;

fn way_of<S>(service: S) -> Way
where
    S: Service<Request<Body>, Response = Response<Incoming>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    Way::new(service.map_err(Into::into))
}

type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

fn way(config: &Config, tls: ClientConfig, speaks: Speaks) -> Result<HttpClient<Connector, Body>, Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone()).map_err(|e| Error::Service(e.into()))?;
        https = https.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let connector = match speaks {
        Speaks::Http1 => https.enable_http1().wrap_connector(tcp),
        Speaks::Http2 => https.enable_all_versions().wrap_connector(tcp),
    };
    Ok(HttpClient::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        // A connection that has requests and gets no new one would be taken for idle, and another one be made beside it.
        .pool_idle_timeout(None)
        .http2_keep_alive_interval(SIGN_OF_LIFE)
        .http2_keep_alive_timeout(SIGN_OF_LIFE)
        .http2_initial_stream_window_size(ANSWER_WINDOW_BYTES)
        .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .build(Connector::new(Timeout::new(connector, HANDSHAKE))))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::Api;
    use kube::api::EvictParams;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;
    use crate::kube_io::KubeError;

    /// Read again and again, as the operator's own in its pod is.
    const TOKEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/token");

    /// What the API server says while it is full.
    const FULL: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 43\r\n\r\n\
        Too many requests, please try again later.\n";

    /// What the API server says while a budget for disruptions allows nothing.
    fn budget_says_no() -> String {
        let status = r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429,
            "message": "Cannot evict pod.", "reason": "TooManyRequests",
            "details": {"causes": [{"reason": "DisruptionBudget", "message": "The budget c-data needs 2 pods"}]}}"#;
        let head = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 10\r\ncontent-type: application/json";
        format!("{head}\r\ncontent-length: {}\r\n\r\n{status}", status.len())
    }

    /// A client of a server that says these words to every request, and tells that it was asked.
    async fn against(words: String) -> (Api<Pod>, mpsc::UnboundedReceiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let (asked, asks) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (asked, words) = (asked.clone(), words.clone());
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    while stream.read(&mut request).await.is_ok_and(|n| n > 0) {
                        if asked.send(()).is_err() || stream.write_all(words.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let mut config = Config::new(format!("http://{at}").parse().expect("a URL"));
        config.auth_info.token_file = Some(TOKEN.to_owned());
        (Api::namespaced(client(&config, 0).expect("a client"), "ns"), asks)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_silent_is_waited_for_so_long_and_no_longer() {
        let (pods, mut asks) = against(String::new()).await;
        let began = tokio::time::Instant::now();
        let said = pods.get("a").await.map_err(KubeError::from);
        assert!(matches!(said, Err(KubeError::Unanswered(_))), "{said:?}");
        assert!((ANSWER..ANSWER * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert!(asks.try_recv().is_ok(), "it was asked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_falls_silent_in_its_answer_is_waited_for_so_long_and_no_longer() {
        let (pods, _asks) = against("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned()).await;
        let began = tokio::time::Instant::now();
        let said = pods.get("a").await.map_err(KubeError::from);
        assert!(matches!(said, Err(KubeError::Unanswered(_))), "{said:?}");
        assert!((SILENCE..SILENCE * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    /// A watch takes no place of those that are answered at once; the lease and a command in a pod wait for no connection of others.
    #[test]
    fn who_shares_a_connection() {
        let get = |uri: &str| Request::get(uri).body(Body::empty()).expect("a request");
        assert_eq!(Asks::of(&get("/api/v1/pods?limit=50&watching=true")), Asks::Once);
        assert_eq!(Asks::of(&get("/api/v1/pods?limit=50&watch=true")), Asks::Watch);
        assert_eq!(Asks::of(&get("/apis/coordination.k8s.io/v1/namespaces/a/leases/b")), Asks::Alone);
        let mut exec = get("/api/v1/namespaces/a/pods/b/exec?command=c");
        exec.headers_mut().insert(UPGRADE, http::HeaderValue::from_static("websocket"));
        assert_eq!(Asks::of(&exec), Asks::Alone);
    }

    #[tokio::test]
    async fn what_is_refused_for_the_moment_is_not_tried_again() {
        let (pods, asks) = against(budget_says_no()).await;
        let said = pods.evict("a", &EvictParams::default()).await.map_err(KubeError::from);
        let words = "Cannot evict pod. The budget c-data needs 2 pods";
        assert_eq!(said.err(), Some(KubeError::Refused(words.to_owned())));
        assert_eq!(asks.len(), 1);
    }

    /// What anybody may be told says nothing of the request: it is not taken for wrong.
    #[tokio::test]
    async fn an_api_server_that_is_full_has_refused_nothing() {
        let (pods, asks) = against(FULL.to_owned()).await;
        for _ in 0..3 {
            let said = pods.evict("a", &EvictParams::default()).await.map_err(KubeError::from);
            assert!(matches!(said, Err(KubeError::Unanswered(_))), "{said:?}");
        }
        assert_eq!(asks.len(), 3);
    }
}
