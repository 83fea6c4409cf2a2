//! Larger volumes: the claims that exist are grown one by one, and the StatefulSet, whose claim templates cannot be
//! changed, is made anew around its pods.
//!
//! May import `api`, `types` and `validate`.

use std::collections::BTreeMap;

use crate::api::objects;
use crate::api::v1alpha1::Role;
use crate::types::Bytes;
use crate::validate::{SizedStorage, ValidCluster};

/// The sizes of the volumes as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedVolumes {
    /// What each claim of the cluster asks for, by its name.
    pub claims: BTreeMap<String, Bytes>,
    /// What the claim template of each role's StatefulSet asks for; a role without one is absent.
    pub templates: BTreeMap<Role, Bytes>,
}

/// What it takes to give the volumes of a role the size that the spec wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeGrowth {
    /// The role.
    pub role: Role,
    /// Claims that have to grow.
    pub claims: Vec<ClaimGrowth>,
    /// Whether its StatefulSet has to be deleted, with its pods left alone, and applied again.
    pub recreate: bool,
}

/// A claim that has to grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimGrowth {
    /// Its name.
    pub name: String,
    /// What it has to ask for.
    pub size: Bytes,
}

/// What it takes, for each role that needs something. A volume that is larger than the spec says is left alone: none can
/// be made smaller.
#[must_use]
pub fn volume_growth(cluster: &impl ValidCluster, observed: &ObservedVolumes) -> Vec<VolumeGrowth> {
    let name = &cluster.common().identity.name;
    let growth = |component: &crate::validate::ValidComponent| {
        let SizedStorage::Claim { size, .. } = &component.storage else { return None };
        let prefix = format!("{}-", objects::claim_prefix(name, component.role));
        let claims: Vec<_> = observed
            .claims
            .iter()
            .filter(|(claim, has)| *has < size && claim.strip_prefix(&prefix).is_some_and(is_ordinal))
            .map(|(claim, _)| ClaimGrowth { name: claim.clone(), size: size.clone() })
            .collect();
        let recreate = observed.templates.get(&component.role).is_some_and(|has| has < size);
        (recreate || !claims.is_empty()).then_some(VolumeGrowth { role: component.role, claims, recreate })
    };
    cluster.components().into_iter().filter_map(growth).collect()
}

fn is_ordinal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
