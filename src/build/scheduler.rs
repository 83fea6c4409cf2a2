//! The servers of a `SchedulerCluster`: PowerJob as its image wants to be told (`images/powerjob`), `AntScheduler` as
//! drmdata is.
//!
//! May import `api`, `types` and `validate`.

use std::collections::BTreeMap;

use super::names;
use super::server::{ConfigFile, Server, Shape, env, env_of_database, env_of_database_address, env_of_field};
use crate::api::objects;
use crate::api::v1alpha1::{Engine, Profile, Role};
use crate::validate::{ClusterName, ValidCluster, ValidScheduler};

/// A server hands its apps over before it stops; `SIGTERM` itself took up to 3.5 s (powerjob.md §1.2).
const POWERJOB_GRACE_SECONDS: i64 = 60;
const ANT_GRACE_SECONDS: i64 = 30;
/// Starts faster on few cores (powerjob.md §1.2); the image has the serial collector already.
const SMALL_JVM: &[&str] = &["-XX:TieredStopAtLevel=1"];
/// Properties by the port that each is (powerjob.md §1.2).
const PROPERTIES: [(&str, &str); 3] =
    [("http", "server.port"), ("remote", "oms.http.port"), ("akka", "oms.akka.port")];
/// The port of a message queue where its address names none.
const MQ_PORT: u16 = 9529;

pub(super) fn shape(valid: &ValidScheduler) -> Shape<'_> {
    let (server, config_file) = match valid.engine {
        Engine::AntScheduler => (ant(valid), None),
        Engine::PowerJob => (powerjob(valid), Some(powerjob_file(valid))),
    };
    Shape {
        common: &valid.common,
        roles: valid.components().into_iter().map(|component| (component, server.clone())).collect(),
        config_file,
        // PowerJob's servers find each other in the database, those of AntScheduler in the registry.
        peers: BTreeMap::new(),
    }
}

fn powerjob(valid: &ValidScheduler) -> Server {
    let headless = objects::role_name(&valid.common.identity.name, Role::Server);
    // The DNS name as the server's address: its row in the database and its apps outlive its pod (powerjob.md §1.2).
    let mut variables =
        vec![env_of_field("POD", "metadata.name"), env("SERVER_ADDRESS", format!("$(POD).{headless}"))];
    variables.extend(env_of_database(&valid.database));
    Server {
        env: variables,
        java_options: if valid.common.profile == Profile::Small { SMALL_JVM } else { &[] },
        grace_seconds: POWERJOB_GRACE_SECONDS,
        ..Server::default()
    }
}

/// The ports that differ from the usual ones.
fn powerjob_file(valid: &ValidScheduler) -> ConfigFile {
    let mut text = String::from("# Ports that differ from the usual ones.\n");
    for (port, property) in PROPERTIES {
        if let Some(number) = valid.server.ports.changed(port) {
            text.extend([property, "=", &number.to_string(), "\n"]);
        }
    }
    ConfigFile { folder: "/etc/powerjob", name: "application.properties", text }
}

fn ant(valid: &ValidScheduler) -> Server {
    let mut variables =
        vec![env_of_field("POD_IP", "status.podIP"), env_of_field("POD_NAME", "metadata.name")];
    variables.extend(valid.registry.as_ref().map(|name| env("REGISTRY_ADDRESS", registry_address(name))));
    variables.extend(valid.mq.as_ref().map(|mq| {
        let address = mq.address.as_str();
        let port = if address.contains(':') { String::new() } else { format!(":{MQ_PORT}") };
        env("MQ_ADDRESS", format!("{address}{port}"))
    }));
    variables.push(env_of_database_address(&valid.database));
    variables.extend(env_of_database(&valid.database));
    Server { env: variables, grace_seconds: ANT_GRACE_SECONDS, ..Server::default() }
}

/// Where the SessionServers of a registry answer over HTTP.
pub(super) fn registry_address(registry: &ClusterName) -> String {
    let service = names::client_service_name(&registry.name, Role::Session);
    format!("{service}.{}:9603", registry.namespace)
}
