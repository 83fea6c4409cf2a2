//! The servers of a `DrmCluster`.
//!
//! Their images are not public: which arguments they take is not known, so none are given, and what they are told is in
//! variables of our own names. An overlay can hand them on under other names, as in `value: $(DATABASE_ADDRESS)`.
//!
//! May import `api`, `plan::Desired` and `validate`.

use super::names;
use super::scheduler::registry_address;
use super::server::{
    Server, Shape, env, env_of_database, env_of_database_address, env_of_field, env_of_peers, member_hosts,
};
use crate::api::v1alpha1::Role;
use crate::plan::Desired;
use crate::validate::{ValidCluster, ValidDrm};

/// The variable with the names of all drmdata of this cluster.
const NODES: &str = "DRMDATA_NODES";
/// The variable with their addresses, on the port on which drmdata take values from each other.
const PEERS: &str = "DRMDATA_PEERS";
/// The variable with the addresses of drmdata in other data centres. It is in the template: a site that is added has to be
/// told to the servers, and they are told when they start.
const REMOTE: &str = "REMOTE_DRMDATA";
const GRACE_SECONDS: i64 = 30;
/// The port of `PEERS` where an address names none.
const DATA_PORT: u16 = 9870;

pub(super) fn shape<'a>(valid: &'a ValidDrm, desired: Option<&Desired>) -> Shape<'a> {
    let common = &valid.common;
    let cluster = &common.identity.name;
    let now = desired.and_then(|desired| desired.roles.get(&Role::Drmdata)).map_or(0, |role| role.replicas);
    let count = valid.drmdata.replicas.max(now);
    let data_port = valid.drmdata.ports.number("data").unwrap_or(DATA_PORT);
    Shape {
        common,
        roles: valid.components().into_iter().map(|c| (c, server(valid, c.role))).collect(),
        config_file: None,
        peers: [
            (NODES.to_owned(), member_hosts(cluster, Role::Drmdata, count, None)),
            (PEERS.to_owned(), member_hosts(cluster, Role::Drmdata, count, Some(data_port))),
        ]
        .into(),
    }
}

fn server(valid: &ValidDrm, role: Role) -> Server {
    let mut variables = vec![
        env_of_field("POD_IP", "status.podIP"),
        env_of_field("POD_NAME", "metadata.name"),
        env_of_peers(NODES, names::peers_name(&valid.common)),
        env_of_peers(PEERS, names::peers_name(&valid.common)),
        env("REGISTRY_ADDRESS", registry_address(&valid.registry)),
        env_of_database_address(&valid.database),
    ];
    variables.extend(env_of_database(&valid.database));
    if role == Role::Drmdata && !valid.remote_drmdata.is_empty() {
        let remote = valid.remote_drmdata.iter().map(|address| {
            let port = if address.as_str().contains(':') { String::new() } else { format!(":{DATA_PORT}") };
            format!("{address}{port}")
        });
        variables.push(env(REMOTE, remote.collect::<Vec<_>>().join(",")));
    }
    Server { env: variables, grace_seconds: GRACE_SECONDS, ..Server::default() }
}
