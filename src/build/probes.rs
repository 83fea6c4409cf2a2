//! Probes.
//!
//! May import `validate`.

use k8s_openapi::api::core::v1::{ExecAction, HTTPGetAction, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::validate::{Check, ProbeRule};

/// A probe of a container.
pub(super) fn probe(rule: &ProbeRule) -> Probe {
    let number = |value: u32| Some(i32::try_from(value).unwrap_or(i32::MAX));
    let port = |name: &str| IntOrString::String(name.to_owned());
    let mut probe = Probe {
        period_seconds: number(rule.period_seconds),
        timeout_seconds: number(rule.timeout_seconds),
        failure_threshold: number(rule.failure_threshold),
        ..Probe::default()
    };
    match &rule.check {
        Check::Http(path) => {
            probe.http_get = Some(HTTPGetAction {
                path: Some(path.clone()),
                port: port("http"),
                ..HTTPGetAction::default()
            });
        }
        Check::Tcp(name) => probe.tcp_socket = Some(TCPSocketAction { host: None, port: port(name) }),
        Check::Command(command) => probe.exec = Some(ExecAction { command: Some(command.clone()) }),
    }
    probe
}
