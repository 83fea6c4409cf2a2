//! The direct transport on real sockets: what a server does with a connection, and what is made of it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::admin::transport::Server;

/// A server that reads one request and answers with these bytes, then closes; it gives back what it read.
async fn server(bytes: &'static [u8]) -> (Server, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut seen = vec![0; 4096];
        let read = socket.read(&mut seen).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        String::from_utf8_lossy(&seen[..read]).into_owned()
    });
    (Server { pod: None, host: "127.0.0.1".to_owned(), port }, task)
}

fn call<'a>(to: &'a Server, method: Method, fields: &'a [(&'a str, &'a str)]) -> Call<'a> {
    Call { to, method, path: "/manage/x", content: Content::Fields(fields), limit: Duration::from_secs(5) }
}

#[tokio::test]
async fn an_answer_comes_as_it_is() {
    let (to, task) = server(b"HTTP/1.1 500 x\r\ncontent-length: 2\r\n\r\n{}").await;
    let direct = Direct::new(None).unwrap();
    let answer = direct.send(call(&to, Method::Get, &[("a", "b c")])).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice(), answer.cut), (500, &b"{}"[..], false));
    assert!(task.await.unwrap().starts_with("GET /manage/x?a=b+c HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_form_is_sent_as_one() {
    let (to, task) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let direct = Direct::new(None).unwrap();
    direct.send(call(&to, Method::Post, &[("ipAddressList", "10.0.0.1,10.0.0.2")])).await.unwrap();
    let seen = task.await.unwrap();
    assert!(seen.contains("application/x-www-form-urlencoded"), "{seen}");
}

#[tokio::test]
async fn a_document_is_sent_as_it_is() {
    let (to, task) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let mut posted = call(&to, Method::Post, &[]);
    posted.content = Content::Json(r#"{"currentTime":1}"#);
    Direct::new(None).unwrap().send(posted).await.unwrap();
    let seen = task.await.unwrap();
    assert!(seen.contains("application/json") && seen.ends_with(r#"{"currentTime":1}"#), "{seen}");
}

#[tokio::test]
async fn a_page_has_an_address_of_its_own() {
    let (to, task) = server(b"HTTP/1.1 204 x\r\n\r\n").await;
    let url = format!("http://{to}/health?x=1");
    let answer = Direct::new(None).unwrap().page(&url, Duration::from_secs(5)).await.unwrap();
    assert_eq!(answer.status, 204);
    assert!(task.await.unwrap().starts_with("GET /health?x=1 HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let (to, _task) =
        server(b"HTTP/1.1 307 x\r\nlocation: http://10.0.0.2:9615/x\r\ncontent-length: 0\r\n\r\n").await;
    let answer = Direct::new(None).unwrap().send(call(&to, Method::Get, &[])).await.unwrap();
    assert_eq!((answer.status, answer.location.as_deref()), (307, Some("http://10.0.0.2:9615/x")));
}

#[tokio::test]
async fn an_answer_that_ends_too_early_is_cut() {
    let (to, _task) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"succ").await;
    let answer = Direct::new(None).unwrap().send(call(&to, Method::Get, &[])).await.unwrap();
    assert!(answer.cut);
    assert!(answer.text().is_err());
}

#[tokio::test]
async fn nobody_listens_or_nobody_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = Server { pod: None, host: "127.0.0.1".to_owned(), port };
    let mut hasty = call(&to, Method::Get, &[]);
    hasty.limit = Duration::from_millis(50);
    let direct = Direct::new(None).unwrap();
    assert_eq!(direct.send(hasty).await, Err(NoAnswer::TimedOut(to.to_string())));
    drop(listener);
    assert_eq!(direct.send(call(&to, Method::Get, &[])).await, Err(NoAnswer::Refused(to.to_string())));
}

#[tokio::test]
async fn rubbish_is_no_answer() {
    let (to, _task) = server(b"SSH-2.0-OpenSSH\r\n").await;
    let broken = Direct::new(None).unwrap().send(call(&to, Method::Get, &[])).await.unwrap_err();
    assert_eq!(broken.label(), "Broken");
}
