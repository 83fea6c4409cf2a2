//! Names, labels and owners of the objects of a cluster.
//!
//! Nothing of the custom resource's own labels and annotations is handed on: a tool that tracks objects by them, such as
//! Argo CD, would take the children for its own and delete them. For the same reason `app.kubernetes.io/instance` is never
//! set, and no label holds a version: a label of the operator's version would make it a change of every object.
//!
//! May import `api` and `validate`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};

use crate::api::objects::{APP, CLUSTER, OPERATOR, ROLE, role_name};
use crate::api::v1alpha1::{GROUP, Role, VERSION};
use crate::validate::{Common, Product, ValidComponent};

/// Labels, in the order of their names.
pub(super) type Labels = BTreeMap<String, String>;

/// The name of the Service for the clients of a role.
#[must_use]
pub fn client_service_name(cluster: &str, role: Role) -> String {
    format!("{cluster}-{}-client", role.field())
}

/// The name of the ConfigMap with the names of the members.
#[must_use]
pub fn peers_name(common: &Common) -> String {
    format!("{}-peers", cluster_name(common))
}

/// The name of the ConfigMap with the configuration file.
#[must_use]
pub fn config_name(common: &Common) -> String {
    format!("{}-config", cluster_name(common))
}

/// The name of what a cluster has one of: clusters of different kinds may share a name.
#[must_use]
pub fn cluster_name(common: &Common) -> String {
    format!("{}-{}", common.identity.name, common.identity.kind.word())
}

/// The name of a member in the cluster's own DNS: `<cluster>-meta-0.<cluster>-meta`.
#[must_use]
pub fn member_host(cluster: &str, role: Role, ordinal: u32) -> String {
    let name = role_name(cluster, role);
    format!("{name}-{ordinal}.{name}")
}

/// The labels by which the pods of a cluster are found.
pub(super) fn cluster_selector(product: Product, cluster: &str) -> Labels {
    labels([(APP, product.label()), (CLUSTER, cluster)])
}

/// The labels by which the pods of a role are found: they never change, because a StatefulSet's selector cannot.
pub(super) fn role_selector(common: &Common, role: Role) -> Labels {
    let mut selector = cluster_selector(common.product, &common.identity.name);
    selector.insert(ROLE.to_owned(), role.field().to_owned());
    selector
}

/// These labels as a selector.
pub(super) fn selector(labels: Labels) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

/// Pairs as labels.
pub(super) fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// All labels of an object that the whole cluster has one of.
pub(super) fn cluster_labels(common: &Common) -> Labels {
    let mut all = cluster_selector(common.product, &common.identity.name);
    all.extend(labels([
        ("app.kubernetes.io/managed-by", OPERATOR),
        ("app.kubernetes.io/part-of", "sofastack"),
    ]));
    all
}

/// All labels of an object of a role.
pub(super) fn role_labels(common: &Common, role: Role) -> Labels {
    let mut all = cluster_labels(common);
    all.extend(role_selector(common, role));
    all.insert("app.kubernetes.io/component".to_owned(), role.field().to_owned());
    all
}

/// The metadata of an object that the cluster owns.
pub(super) fn metadata(common: &Common, name: String, labels: Labels) -> ObjectMeta {
    let identity = &common.identity;
    ObjectMeta {
        name: Some(name),
        namespace: Some(identity.namespace.clone()),
        labels: Some(labels),
        owner_references: Some(vec![OwnerReference {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: identity.kind.kind().to_owned(),
            name: identity.name.clone(),
            uid: identity.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}

/// The metadata of an object of a role that the cluster owns.
pub(super) fn role_metadata(common: &Common, component: &ValidComponent, name: String) -> ObjectMeta {
    metadata(common, name, role_labels(common, component.role))
}
