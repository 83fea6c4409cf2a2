//! Requests through the API server's proxy of pods: from where no pod can be reached, as from a person's own machine.
//!
//! May import the transport and the answers of this module.

use kube::Client;
use kube::client::Body;

use super::answer::{Answer, BODY_LIMIT_BYTES};
use super::transport::{Call, Content, Method, NoAnswer, Transport};

/// The transport.
#[derive(Clone)]
pub struct Proxied {
    client: Client,
}

impl Proxied {
    /// A transport by this client.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Transport for Proxied {
    async fn send(&self, call: Call<'_>) -> Result<Answer, NoAnswer> {
        let server = call.to.to_string();
        let broken = |why: String| NoAnswer::Broken { server: server.clone(), why };
        let Some((namespace, pod)) = &call.to.pod else {
            return Err(broken("it is no pod of this Kubernetes cluster".to_owned()));
        };
        let (fields, kind) = match call.content {
            Content::Fields(all) => (fields(all), "application/x-www-form-urlencoded"),
            Content::Json(text) => (text.to_owned(), "application/json"),
        };
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{}/proxy{}", call.to.port, call.path);
        let builder = match call.method {
            Method::Get if fields.is_empty() => http::Request::get(path),
            Method::Get => http::Request::get(format!("{path}?{fields}")),
            Method::Post => http::Request::post(path),
            Method::Put => http::Request::put(path),
        };
        let body = if call.method == Method::Get { Vec::new() } else { fields.into_bytes() };
        let request =
            builder.header("content-type", kind).body(Body::from(body)).map_err(|e| broken(e.to_string()))?;
        let read = async {
            let response = self.client.send(request).await.map_err(|e| broken(e.to_string()))?;
            let (head, body) = response.into_parts();
            let location = head.headers.get("location").and_then(|v| v.to_str().ok()).map(str::to_owned);
            let collected = http_body_util::Limited::new(body, BODY_LIMIT_BYTES);
            let collected = http_body_util::BodyExt::collect(collected).await;
            let cut = collected.is_err();
            let body = collected.map(|c| c.to_bytes().to_vec()).unwrap_or_default();
            Ok(Answer { status: head.status.as_u16(), location, body, cut })
        };
        let answer = tokio::time::timeout(call.limit, read)
            .await
            .map_err(|_| NoAnswer::TimedOut(server.clone()))??;
        told_by_the_api_server(answer, &server)
    }
}

/// The API server says in its own words that a pod did not answer.
fn told_by_the_api_server(answer: Answer, server: &str) -> Result<Answer, NoAnswer> {
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status != 503 && answer.status != 502 && answer.status != 504 {
        return Ok(answer);
    }
    if text.contains("connection refused") {
        Err(NoAnswer::Refused(server.to_owned()))
    } else if text.contains("timeout") || text.contains("deadline") || answer.status == 504 {
        Err(NoAnswer::TimedOut(server.to_owned()))
    } else {
        let why = text.chars().take(160).collect();
        Err(NoAnswer::Broken { server: server.to_owned(), why })
    }
}

/// Fields as a form has them.
fn fields(fields: &[(&str, &str)]) -> String {
    let Ok(mut url) = reqwest::Url::parse("http://fields") else { return String::new() };
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_tells_who_did_not_answer() {
        let refused = Answer::new(
            503,
            "error trying to reach service: dial tcp 10.0.0.1:9615: connect: connection refused",
        );
        assert_eq!(told_by_the_api_server(refused, "s").unwrap_err().label(), "Refused");
        let late = Answer::new(503, "error trying to reach service: dial tcp 10.0.0.1:9615: i/o timeout");
        assert_eq!(told_by_the_api_server(late, "s").unwrap_err().label(), "TimedOut");
        let failed = Answer::new(500, r#"{"success":false,"message":"x"}"#);
        assert_eq!(
            told_by_the_api_server(failed.clone(), "s"),
            Ok(failed),
            "a server's own failure is its answer"
        );
    }

    #[test]
    fn fields_are_escaped() {
        assert_eq!(fields(&[("ids", "a#@#b"), ("x", "1,2")]), "ids=a%23%40%23b&x=1%2C2");
        assert_eq!(fields(&[]), "");
    }
}
