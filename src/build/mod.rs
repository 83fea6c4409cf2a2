//! Kubernetes objects from a valid spec and what each role should have now.
//!
//! Pure and infallible: what could fail was refused by `validate`, and what to do was decided by `plan`. One file for each
//! kind of object; one for what each kind of cluster says of its servers.
//!
//! May import `types`, `api`, `validate` and of `plan` only `Desired`. No live state, no clock, and nothing of the
//! operator's version: an upgrade of the operator must write nothing and restart nothing.

mod config_map;
mod disruption_budget;
mod drm;
mod exposure;
mod names;
mod network_policy;
mod overlay;
mod pod;
mod probes;
mod registry;
mod revision;
mod scheduler;
mod server;
mod service;
mod service_account;
mod stateful_set;
mod volumes;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

pub use crate::api::objects::{
    ADMISSION_GATE, APP, CLUSTER, CONFIG, OPERATOR, RESTART, REVISION, ROLE, WORKER_OF, claim_name, role_name,
};
pub use names::{client_service_name, cluster_name, config_name, member_host, peers_name};
pub use revision::revision;
pub use stateful_set::StatefulSetChange;
pub use volumes::{ClaimGrowth, ObservedVolumes, VolumeGrowth, volume_growth};

use self::server::Shape;
use crate::api::http_route::HttpRoute;
use crate::api::v1alpha1::Role;
use crate::plan::Desired;
use crate::validate::{ValidCluster, ValidDrm, ValidRegistry, ValidScheduler};

/// All objects of a cluster, in the order in which they are applied: what a pod needs comes before its StatefulSet.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    /// The account of the pods.
    pub service_account: ServiceAccount,
    /// The configuration file and the names of the members.
    pub config_maps: Vec<ConfigMap>,
    /// Who may reach what.
    pub network_policies: Vec<NetworkPolicy>,
    /// Headless ones and those for clients.
    pub services: Vec<Service>,
    /// How many servers may be drained at a time.
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    /// The ways in to consoles.
    pub ingresses: Vec<Ingress>,
    /// The ways in to consoles by a Gateway.
    pub http_routes: Vec<HttpRoute>,
    /// The servers, by role in the order in which they are started; none for a role that has not started.
    pub stateful_sets: Vec<StatefulSetChange>,
}

impl Objects {
    /// Those that are applied as a whole, in their order, as JSON. A StatefulSet of which only the replicas are set is not
    /// among them.
    ///
    /// # Errors
    /// If one cannot be written as JSON, which the types exclude.
    pub fn to_json(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        fn all<T: serde::Serialize>(
            objects: &[T],
        ) -> impl Iterator<Item = serde_json::Result<serde_json::Value>> {
            objects.iter().map(serde_json::to_value)
        }
        let sets = self.stateful_sets.iter().filter_map(|change| match change {
            StatefulSetChange::Full(set) => Some(serde_json::to_value(set)),
            StatefulSetChange::Replicas { .. } => None,
        });
        std::iter::once(serde_json::to_value(&self.service_account))
            .chain(all(&self.config_maps))
            .chain(all(&self.network_policies))
            .chain(all(&self.services))
            .chain(all(&self.disruption_budgets))
            .chain(all(&self.ingresses))
            .chain(all(&self.http_routes))
            .chain(sets)
            .collect()
    }
}

/// A valid cluster of a kind that objects are made for.
pub trait Build: ValidCluster {
    /// All objects that it should have now.
    fn build(&self, desired: &Desired) -> Objects;

    /// The pod template of each role that the spec asks for.
    fn templates(&self) -> BTreeMap<Role, PodTemplateSpec>;

    /// The revision of the pod template of each role that the spec asks for: the one that `build` puts on it.
    fn targets(&self) -> BTreeMap<Role, String> {
        self.templates().into_iter().map(|(role, template)| (role, revision(&template))).collect()
    }
}

impl Build for ValidRegistry {
    fn build(&self, desired: &Desired) -> Objects {
        objects(&registry::shape(self, Some(desired)), desired)
    }

    fn templates(&self) -> BTreeMap<Role, PodTemplateSpec> {
        templates(&registry::shape(self, None))
    }
}

impl Build for ValidDrm {
    fn build(&self, desired: &Desired) -> Objects {
        objects(&drm::shape(self, Some(desired)), desired)
    }

    fn templates(&self) -> BTreeMap<Role, PodTemplateSpec> {
        templates(&drm::shape(self, None))
    }
}

impl Build for ValidScheduler {
    fn build(&self, desired: &Desired) -> Objects {
        objects(&scheduler::shape(self), desired)
    }

    fn templates(&self) -> BTreeMap<Role, PodTemplateSpec> {
        templates(&scheduler::shape(self))
    }
}

fn objects(shape: &Shape, desired: &Desired) -> Objects {
    Objects {
        service_account: service_account::service_account(shape.common),
        config_maps: config_map::config_maps(shape),
        network_policies: network_policy::network_policies(shape),
        services: service::services(shape, desired),
        disruption_budgets: disruption_budget::disruption_budgets(shape, desired),
        ingresses: exposure::ingresses(shape),
        http_routes: exposure::http_routes(shape),
        stateful_sets: stateful_set::stateful_sets(shape, desired),
    }
}

fn templates(shape: &Shape) -> BTreeMap<Role, PodTemplateSpec> {
    let of = |(component, server): &(&crate::validate::ValidComponent, server::Server)| {
        (component.role, pod::template(shape, component, server))
    };
    shape.roles.iter().map(of).collect()
}
