//! The way to the API server: every request ends in time, and none is tried twice behind the back of who sent it.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;

/// How long the API server may take until it begins to answer: longer than it waits for any webhook (30 s at most).
const ANSWER: Duration = Duration::from_secs(40);
/// How long it may be silent in the middle of an answer. It ends a watch after 290 s, and speaks once a minute before.
const SILENCE: Duration = Duration::from_secs(295);

/// A client whose requests end: a server that is gone without a word is told as [`super::KubeError::Unanswered`], after 40 s;
/// one that falls silent in the middle of its answer after 295 s.
///
/// Nothing is tried again by itself. The client of the library tries what is refused for the moment (an eviction by a budget
/// for disruptions above all) up to 15 times and for minutes: the command would then be done by a decision as old as that,
/// past a spec that has changed in between.
///
/// # Errors
/// What in the configuration cannot be used.
pub fn client(mut config: Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.read_timeout = Some(SILENCE);
    // Counted from the request, and not from when its connection went idle.
    config.reset_reader_on_write = true;
    Ok(ClientBuilder::try_from(config)?.with_layer(&TimeoutLayer::new(ANSWER)).build())
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
        let config = Config::new(format!("http://{at}").parse().expect("a URL"));
        (Api::namespaced(client(config).expect("a client"), "ns"), asks)
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
        let (pods, _asks) = against(FULL.to_owned()).await;
        let said = pods.evict("a", &EvictParams::default()).await.map_err(KubeError::from);
        assert!(matches!(said, Err(KubeError::Unanswered(_))), "{said:?}");
    }
}
