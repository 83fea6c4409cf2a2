//! What a kind of cluster says of its servers: everything else is the same for all.
//!
//! May import `api` and `validate`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMapKeySelector, EnvVar, EnvVarSource, ObjectFieldSelector, SecretKeySelector,
};

use super::names;
use crate::api::v1alpha1::Role;
use crate::validate::{Common, Product, ValidComponent, ValidDatabase};

/// What the pod of a role has of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Server {
    /// Arguments for the image; none: those that it has.
    pub(super) args: Vec<String>,
    /// Variables, without `JAVA_OPTS`.
    pub(super) env: Vec<EnvVar>,
    /// Options of the JVM beside its heap.
    pub(super) java_options: &'static [&'static str],
    /// How long it may take to stop.
    pub(super) grace_seconds: i64,
    /// Whether its pods wait until the operator lets them be scheduled.
    pub(super) gated: bool,
}

/// A configuration file, a change of which is a change of the pods.
#[derive(Debug, Clone)]
pub(super) struct ConfigFile {
    /// The folder that it is mounted in.
    pub(super) folder: &'static str,
    /// Its name in that folder.
    pub(super) name: &'static str,
    /// What is in it.
    pub(super) text: String,
}

/// A cluster as everything that is built from it sees it.
#[derive(Debug, Clone)]
pub(super) struct Shape<'a> {
    /// What all kinds have.
    pub(super) common: &'a Common,
    /// Its roles, each with what its pod has of its own.
    pub(super) roles: Vec<(&'a ValidComponent, Server)>,
    /// Its configuration file, if it has one.
    pub(super) config_file: Option<ConfigFile>,
    /// The names of the members, by the variables that the servers read: no part of any pod template.
    pub(super) peers: BTreeMap<String, String>,
}

/// A variable with a value.
pub(super) fn env(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.into()), ..EnvVar::default() }
}

/// A variable from a field of the pod.
pub(super) fn env_of_field(name: &str, path: &str) -> EnvVar {
    let field_ref = ObjectFieldSelector { field_path: path.to_owned(), api_version: None };
    env_from(name, EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() })
}

/// A variable from the ConfigMap with the names of the members: with its value in the template, scaling would be a
/// change of every pod.
pub(super) fn env_of_peers(name: &str, config_map: String) -> EnvVar {
    let key = ConfigMapKeySelector { name: config_map, key: name.to_owned(), optional: None };
    env_from(name, EnvVarSource { config_map_key_ref: Some(key), ..EnvVarSource::default() })
}

/// The variables of a database. User and password stay in their Secret.
pub(super) fn env_of_database(database: &ValidDatabase) -> Vec<EnvVar> {
    let secret = |name: &str, key: &str| {
        let key =
            SecretKeySelector { name: database.secret.name.to_string(), key: key.to_owned(), optional: None };
        env_from(name, EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() })
    };
    vec![
        env("JDBC_URL", &database.jdbc_url),
        secret("JDBC_USERNAME", &database.secret.username_key),
        secret("JDBC_PASSWORD", &database.secret.password_key),
    ]
}

/// The variable with the address of a database alone, for images that are told by variables of our own names.
pub(super) fn env_of_database_address(database: &ValidDatabase) -> EnvVar {
    env("DATABASE_ADDRESS", format!("{}:{}", database.host, database.port))
}

fn env_from(name: &str, source: EnvVarSource) -> EnvVar {
    EnvVar { name: name.to_owned(), value_from: Some(source), ..EnvVar::default() }
}

/// The names of the members of a role, with a port or without, separated by commas.
pub(super) fn member_hosts(cluster: &str, role: Role, count: u32, port: Option<u16>) -> String {
    let host = |ordinal| {
        let host = names::member_host(cluster, role, ordinal);
        port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    };
    (0..count).map(host).collect::<Vec<_>>().join(",")
}

/// Which ports of a role clients use: those of its Service, and those that everybody may reach.
///
/// Source: the operations guide's list of resources ("LB"). `/manage/*` of the metas and PowerJob's ports know no
/// password, so nobody else gets in there.
pub(super) const fn client_ports(
    product: Product,
    role: Role,
) -> (&'static [&'static str], &'static [&'static str]) {
    match (product, role) {
        (_, Role::Meta) => (&["meta"], &[]),
        (_, Role::Data) => (&[], &[]),
        // Clients find the addresses of all SessionServers on 9603, then connect to one on 9600.
        (_, Role::Session) => (&["client", "http"], &["client", "http"]),
        (_, Role::Drmdata) => (&["client", "data", "http"], &["client", "http"]),
        (Product::PowerJob, Role::Server) => (&["http"], &[]),
        (_, Role::Server) => (&["client", "rpc"], &["client", "rpc"]),
        (_, Role::Console) => (&["http"], &["http"]),
    }
}

/// Ports that only the pod itself reaches.
pub(super) const LOCAL_PORT: &str = "health";

/// The ports of a component that others reach, with their numbers.
pub(super) fn reachable(component: &ValidComponent) -> impl Iterator<Item = (&'static str, u16)> + '_ {
    component.ports.iter().filter(|(name, _)| *name != LOCAL_PORT)
}

/// These ports of a component, with their numbers.
pub(super) fn numbered(
    component: &ValidComponent,
    names: &'static [&'static str],
) -> Vec<(&'static str, u16)> {
    names.iter().filter_map(|name| Some((*name, component.ports.number(name)?))).collect()
}
