//! StatefulSets: one for each role that the decision starts.
//!
//! They make all pods at once (`Parallel`) and never replace one by themselves (`OnDelete`): order is the planner's.
//!
//! May import `api`, `plan::Desired`, `types` and `validate`.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::server::{Server, Shape};
use super::{names, pod};
use crate::api::objects;
use crate::api::objects::HOME;
use crate::plan::{Desired, TemplateChoice};
use crate::validate::{SizedStorage, ValidComponent};

/// What is done to a StatefulSet.
#[derive(Debug, Clone, PartialEq)]
pub enum StatefulSetChange {
    /// It is applied as a whole.
    Full(Box<StatefulSet>),
    /// Only its replicas are set: its template's turn has not come. To be written as a merge patch: a server-side apply
    /// of so few fields would take all others away.
    Replicas {
        /// Its name.
        name: String,
        /// How many pods it makes.
        replicas: u32,
    },
}

impl StatefulSetChange {
    /// The name of the StatefulSet.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Full(set) => set.metadata.name.as_deref().unwrap_or_default(),
            Self::Replicas { name, .. } => name,
        }
    }
}

/// The StatefulSets of the roles that have started or start now.
pub(super) fn stateful_sets(shape: &Shape, desired: &Desired) -> Vec<StatefulSetChange> {
    let change = |(component, server): &(&ValidComponent, Server)| {
        let role = desired.roles.get(&component.role)?;
        Some(match role.template {
            TemplateChoice::Target => {
                StatefulSetChange::Full(Box::new(full(shape, component, server, role.replicas)))
            }
            TemplateChoice::Keep => StatefulSetChange::Replicas {
                name: objects::role_name(&shape.common.identity.name, component.role),
                replicas: role.replicas,
            },
        })
    };
    shape.roles.iter().filter_map(change).collect()
}

fn full(shape: &Shape, component: &ValidComponent, server: &Server, replicas: u32) -> StatefulSet {
    let common = shape.common;
    let name = objects::role_name(&common.identity.name, component.role);
    StatefulSet {
        metadata: names::role_metadata(common, component, name.clone()),
        spec: Some(StatefulSetSpec {
            replicas: Some(i32::try_from(replicas).unwrap_or(i32::MAX)),
            service_name: Some(name),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            selector: names::selector(names::role_selector(common, component.role)),
            template: pod::template(shape, component, server),
            volume_claim_templates: claim_template(shape, component).map(|claim| vec![claim]),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// The claim of each server. It has no owner: volumes outlive the cluster.
fn claim_template(shape: &Shape, component: &ValidComponent) -> Option<PersistentVolumeClaim> {
    let SizedStorage::Claim { size, class } = &component.storage else { return None };
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(HOME.to_owned()),
            labels: Some(names::role_labels(shape.common, component.role)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: class.as_ref().map(ToString::to_string),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size.to_string()))].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    })
}
