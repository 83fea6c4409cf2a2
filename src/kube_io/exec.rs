//! A command in a container, for what a server tells on its own loopback only.
//!
//! It needs a right of its own (`pods/exec`): without it the answer is `Forbidden`, and what was asked is unknown.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use kube::client::UpgradeConnectionError;
use kube::{Client, Error};
use tokio::io::AsyncReadExt;

use super::error::KubeError;

/// As much of what a command writes is read.
const OUTPUT_BYTES: u64 = 1 << 20;

/// What a command writes to its standard output in this container, whatever its exit code.
///
/// # Errors
/// What the API server says; `Unanswered` if the command does not end within the limit.
pub async fn run_in_pod(
    client: &Client,
    (namespace, pod): (&str, &str),
    container: &str,
    command: &[&str],
    limit: Duration,
) -> Result<String, KubeError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let how = AttachParams::default().container(container).stdin(false).stdout(true).stderr(false);
    let work = async {
        let mut attached = pods.exec(pod, command.iter().copied(), &how).await.map_err(refused)?;
        let mut text = Vec::new();
        if let Some(output) = attached.stdout() {
            let read = output.take(OUTPUT_BYTES).read_to_end(&mut text).await;
            read.map_err(|e| KubeError::Unanswered(format!("the command in {pod}: {e}")))?;
        }
        String::from_utf8(text).map_err(|_| KubeError::Unanswered(format!("no text from {pod}")))
    };
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(KubeError::Unanswered(format!("the command in {pod} does not end"))))
}

fn refused(error: Error) -> KubeError {
    match &error {
        Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(code)) => match code.as_u16() {
            401 | 403 => KubeError::Forbidden("pods/exec is not allowed".to_owned()),
            404 => KubeError::NotFound("the pod, or its container".to_owned()),
            code => KubeError::Unanswered(format!("HTTP {code}")),
        },
        _ => error.into(),
    }
}
