//! What a spec is checked against: facts that others gathered.
//!
//! May import `types`, `api` and `valid`.

use std::collections::{BTreeMap, BTreeSet};

use super::parts::{DatabaseLogin, SizedStorage, ValidComponent};
use super::problem::Notes;
use super::valid::{ClusterName, Identity, Missing, Referrer};
use crate::api::v1alpha1::{ClusterRef, DatabaseSecret, MembershipKind, Reason};
use crate::types::{Version, fingerprint};

/// The annotation of a `RegistryCluster` that names the namespaces whose clusters may refer to it, separated by commas;
/// `*` is all of them. Those of its own namespace may always.
pub const ALLOW_FROM: &str = "middleware.sofastack.io/allow-from";

/// Everything that a spec is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Which object it is.
    pub identity: &'a Identity,
    /// Whether what it refers to is there.
    pub references: &'a References,
    /// Where the operator and the cluster stand.
    pub environment: &'a Environment,
    /// What runs now.
    pub previous: &'a Previous,
}

/// Whether what a spec refers to is there. What the spec does not refer to is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// The Secret of `database`.
    pub database: SecretFact,
    /// The Secret of `powerjob.databaseSecretRef`.
    pub operator_login: SecretFact,
    /// The object of `registryRef`.
    pub registry: ReferenceFact,
    /// The storage classes that the spec names and that are known not to be there.
    pub absent_classes: BTreeSet<String>,
}

/// Whether an object is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReferenceFact {
    /// It is.
    Found,
    /// It is not.
    NotFound,
    /// It is in another namespace and does not let this one in.
    NotAllowed,
    /// The operator may not read it.
    #[default]
    Unknown,
}

/// Whether a Secret is there, and with which keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SecretFact {
    /// It is, with these keys.
    Found(BTreeSet<String>),
    /// It is not.
    NotFound,
    /// The operator may not read it.
    #[default]
    Unknown,
}

/// Where the operator and the cluster stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// The namespace of the operator.
    pub operator_namespace: String,
    /// The raft group that was fixed at the first start; `None`: there was none yet, and `proposed_raft_group` is taken.
    pub raft_group: Option<String>,
    /// The clusters that refer to this one and may.
    pub referrers: Vec<Referrer>,
}

/// What runs now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Previous {
    /// The version that the servers run, the lowest if they differ; `None`: nothing runs yet.
    pub version: Option<Version>,
    /// How their metas know their members; `None`: nothing runs yet.
    pub membership: Option<MembershipKind>,
}

/// Whether a cluster of `namespace` may refer to a `RegistryCluster` with these annotations in `registry_namespace`.
#[must_use]
pub fn may_refer(
    annotations: &BTreeMap<String, String>,
    registry_namespace: &str,
    namespace: &str,
) -> ReferenceFact {
    let named = || {
        let list = annotations.get(ALLOW_FROM).map_or("", String::as_str);
        list.split(',').map(str::trim).any(|name| name == "*" || name == namespace)
    };
    if registry_namespace == namespace || named() { ReferenceFact::Found } else { ReferenceFact::NotAllowed }
}

/// A raft group for a cluster that was never started: another one for each object, also for one of the same name in
/// another Kubernetes cluster, because two of one name can swallow each other (measured, sofaregistry.md §12).
/// jraft wants a letter first, then letters, digits, '-' and '_'.
#[must_use]
pub fn proposed_raft_group(identity: &Identity) -> String {
    format!("{}-{}", identity.name, fingerprint(&identity.uid))
}

/// The login of a database, noted as missing where its Secret is not there or lacks a key.
pub(super) fn login(
    field: &str,
    secret: &DatabaseSecret,
    fact: &SecretFact,
    notes: &mut Notes,
) -> DatabaseLogin {
    let login = DatabaseLogin {
        name: secret.name.clone(),
        username_key: secret.username_key.clone().unwrap_or_else(|| "username".to_owned()),
        password_key: secret.password_key.clone().unwrap_or_else(|| "password".to_owned()),
    };
    let name = &secret.name;
    let message = match fact {
        SecretFact::Found(keys) => {
            let lacks: Vec<_> = [&login.username_key, &login.password_key]
                .into_iter()
                .filter(|key| !keys.contains(*key))
                .map(|key| format!("'{key}'"))
                .collect();
            if lacks.is_empty() {
                return login;
            }
            format!("Secret {name} has no {}: add it, or name the key that has it", lacks.join(" and no "))
        }
        SecretFact::NotFound => format!(
            "Secret {name} is not there: make it, with the keys '{}' and '{}'",
            login.username_key, login.password_key
        ),
        SecretFact::Unknown => {
            format!("Secret {name} could not be read: let the operator read the Secrets of this namespace")
        }
    };
    notes.waiting.push(missing(field, format!("Secret {name}"), message));
    login
}

/// The registry that is referred to, noted as missing where it is not there or does not let this namespace in.
pub(super) fn registry(reference: &ClusterRef, context: &Context, notes: &mut Notes) -> ClusterName {
    let own = &context.identity.namespace;
    let namespace = reference.namespace.as_ref().map_or_else(|| own.clone(), ToString::to_string);
    let name = ClusterName { namespace, name: reference.name.to_string() };
    let shown = format!("RegistryCluster {}/{}", name.namespace, name.name);
    let message = match context.references.registry {
        ReferenceFact::Found => return name,
        ReferenceFact::NotFound => format!("{shown} is not there: make it, or correct registryRef"),
        ReferenceFact::NotAllowed => {
            format!("{shown} lets in no clusters of namespace {own}: name it in its annotation {ALLOW_FROM}")
        }
        ReferenceFact::Unknown => {
            format!("{shown} could not be read: let the operator read RegistryClusters of its namespace")
        }
    };
    notes.waiting.push(missing("registryRef", shown, message));
    name
}

/// The StorageClass of a component, noted as missing where it is not there and no volume was made by it yet: its servers
/// would wait for their volumes for ever, and by then their claims could not be changed any more. What runs has its volumes.
pub(super) fn storage_class(component: &ValidComponent, context: &Context, notes: &mut Notes) {
    let SizedStorage::Claim { class: Some(class), .. } = &component.storage else { return };
    let absent = context.references.absent_classes.contains(class.as_str());
    if !absent || context.previous.membership.is_some() || context.previous.version.is_some() {
        return;
    }
    let field = format!("{}.storage.storageClassName", component.role.field());
    let message = format!(
        "StorageClass {class} is not there: make it (for volumes that are made by hand with provisioner \
         kubernetes.io/no-provisioner), or delete this cluster, of which nothing runs yet, and make it with another class"
    );
    notes.waiting.push(missing(&field, format!("StorageClass {class}"), message));
}

fn missing(field: &str, subject: String, message: String) -> Missing {
    Missing { field: field.to_owned(), subject, message, reason: Reason::ReferenceNotFound }
}
