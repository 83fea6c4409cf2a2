//! ConfigMaps: the configuration file, and the names of the members.
//!
//! The names are in a ConfigMap of their own that no pod template depends on: scaling one role is then no drift of the
//! others. A server reads them when it starts; who runs is told by the other servers.
//!
//! May import `validate`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::names;
use super::server::Shape;

/// All ConfigMaps of a cluster.
pub(super) fn config_maps(shape: &Shape) -> Vec<ConfigMap> {
    let common = shape.common;
    let map = |name: String, data: BTreeMap<String, String>| ConfigMap {
        metadata: names::metadata(common, name, names::cluster_labels(common)),
        data: Some(data),
        ..ConfigMap::default()
    };
    let peers = (!shape.peers.is_empty()).then(|| map(names::peers_name(common), shape.peers.clone()));
    let file = shape
        .config_file
        .as_ref()
        .map(|file| map(names::config_name(common), [(file.name.to_owned(), file.text.clone())].into()));
    peers.into_iter().chain(file).collect()
}
