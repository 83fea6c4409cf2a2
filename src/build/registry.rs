//! The servers of a `RegistryCluster`, as the image `sofa-registry` wants to be told (`images/sofa-registry`).
//!
//! May import `api`, `plan::Desired`, `types` and `validate`.

use k8s_openapi::api::core::v1::EnvVar;

use super::names;
use super::server::{
    ConfigFile, Server, Shape, env, env_of_database, env_of_field, env_of_peers, member_hosts,
};
use crate::api::v1alpha1::{MembershipKind, Profile, Role};
use crate::plan::Desired;
use crate::validate::{ValidCluster, ValidComponent, ValidRegistry};

/// The variable with the names of all metas.
const META_NODES: &str = "META_NODES";
/// The image looks for working metas on this port before it starts a data or session process.
const PORT_THAT_THE_IMAGE_ASKS: u16 = 9615;
/// SIGTERM to the end took the servers a few seconds; a Kubernetes node that is busy is slower.
const GRACE_SECONDS: i64 = 30;
/// Starts faster and takes less memory on few cores (sofaregistry.md §13).
const SMALL_JVM: &[&str] = &["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// Properties of all three roles by the port that each of them is: who asks another role has its own property for it
/// (sofaregistry.md §2). None is known for the port `sync` of a session: a change of it tells what the image has.
const PROPERTIES: [(Role, &str, &[&str]); 10] = [
    (Role::Meta, "session", &["meta.server.sessionServerPort", "session.server.metaServerPort"]),
    (Role::Meta, "data", &["meta.server.dataServerPort", "data.server.metaServerPort"]),
    (Role::Meta, "meta", &["meta.server.metaServerPort"]),
    (Role::Meta, "raft", &["meta.server.raftServerPort"]),
    (Role::Meta, "http", &["meta.server.httpServerPort"]),
    (Role::Data, "session", &["data.server.port", "session.server.dataServerPort"]),
    (Role::Data, "sync", &["data.server.syncDataPort"]),
    (Role::Data, "http", &["data.server.httpServerPort"]),
    (Role::Session, "client", &["session.server.serverPort"]),
    (Role::Session, "http", &["session.server.httpServerPort"]),
];

pub(super) fn shape<'a>(valid: &'a ValidRegistry, desired: Option<&Desired>) -> Shape<'a> {
    let cluster = &valid.common.identity.name;
    let metas = desired.map_or(0, |desired| desired.meta_names);
    let nodes = member_hosts(cluster, Role::Meta, metas, None);
    Shape {
        common: &valid.common,
        roles: valid
            .components()
            .into_iter()
            .map(|component| (component, server(valid, component)))
            .collect(),
        config_file: Some(ConfigFile {
            folder: "/etc/sofa-registry",
            name: "application.properties",
            text: properties(valid),
        }),
        peers: [(META_NODES.to_owned(), nodes)].into(),
    }
}

fn server(valid: &ValidRegistry, component: &ValidComponent) -> Server {
    let raft = valid.membership != MembershipKind::Database;
    Server {
        args: vec![component.role.field().to_owned()],
        env: variables(valid, raft),
        java_options: if valid.common.profile == Profile::Small { SMALL_JVM } else { &[] },
        grace_seconds: GRACE_SECONDS,
        gated: raft && component.role == Role::Meta,
    }
}

fn variables(valid: &ValidRegistry, raft: bool) -> Vec<EnvVar> {
    let mut variables = vec![
        env_of_peers(META_NODES, names::peers_name(&valid.common)),
        env_of_field("POD_IP", "status.podIP"),
        env("DATA_CENTER", valid.data_center.as_str()),
        env("REGION", valid.region.as_str()),
    ];
    if raft {
        variables.push(env("RAFT_SERVER_GROUP", &valid.raft_group));
    }
    if let Some(database) = &valid.database {
        variables.extend(env_of_database(database));
    }
    // The image would ask for ever on the usual port; the operator starts the roles in order all the same.
    if valid.meta.ports.number("http") != Some(PORT_THAT_THE_IMAGE_ASKS) {
        variables.push(env("WAIT", "false"));
    }
    variables
}

/// The ports that differ from the usual ones. The others are left to the jar: it knows its own version's.
fn properties(valid: &ValidRegistry) -> String {
    let mut text = String::from("# Ports that differ from the usual ones.\n");
    for (role, port, properties) in PROPERTIES {
        let number = valid.component(role).and_then(|component| component.ports.changed(port));
        for (property, number) in properties.iter().filter_map(|property| Some((property, number?))) {
            text.extend([property, "=", &number.to_string(), "\n"]);
        }
    }
    text
}
