//! A `DrmCluster`, checked.
//!
//! May import `types`, `api` and the other modules of `validate`.

use super::component::{Part, component, console};
use super::database::database;
use super::input::{Context, registry};
use super::problem::{Invalid, Notes};
use super::valid::{Common, Product, ValidDrm};
use super::{image, rollout};
use crate::api::v1alpha1::{DrmClusterSpec, Role, Switch};

/// The spec of a `DrmCluster` with everything resolved.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn validate_drm(spec: &DrmClusterSpec, context: &Context) -> Result<ValidDrm, Vec<Invalid>> {
    let mut notes = Notes::default();
    rollout::name(context, &mut notes);
    image::check("image", &spec.image, &spec.version, &mut notes);
    if let Some(own) = spec.console.as_ref().and_then(|console| console.image.as_ref()) {
        image::check("console.image", own, &spec.version, &mut notes);
    }
    let part = |role| Part {
        product: Product::Drm,
        role,
        profile: spec.profile.unwrap_or_default(),
        version: &spec.version,
        image: &spec.image,
    };
    let drmdata = component(spec.drmdata.as_ref(), part(Role::Drmdata), &mut notes);
    let console = console(spec.console.as_ref(), part(Role::Console), &mut notes);
    let database = database(&spec.database, Product::Drm, &context.references.database, &mut notes);
    let registry = registry(&spec.registry_ref, context, &mut notes);
    let sites = spec.remote_sites.clone().unwrap_or_default();
    let cidrs = sites.iter().flat_map(|site| site.cidrs.clone().unwrap_or_default());
    let network = rollout::network(spec.network_policy.as_ref(), cidrs, context, &mut notes);
    let rollout = rollout::rollout(spec.rollout.as_ref(), &mut notes);
    if !notes.problems.is_empty() {
        return Err(notes.problems);
    }
    Ok(ValidDrm {
        common: Common {
            identity: context.identity.clone(),
            product: Product::Drm,
            version: spec.version.clone(),
            rollout,
            paused: spec.paused.unwrap_or_default(),
            restart: spec.restart.clone(),
            profile: spec.profile.unwrap_or_default(),
            network,
            deletion: spec.deletion_policy.unwrap_or_default(),
            warnings: notes.warnings,
            waiting: notes.waiting,
        },
        drmdata,
        console,
        database,
        registry,
        dependencies: spec.dependencies.clone().unwrap_or_default(),
        connection_counting: spec.connection_counting.unwrap_or(Switch::Enabled),
        remote_drmdata: sites.into_iter().flat_map(|site| site.drmdata_addresses).collect(),
    })
}
