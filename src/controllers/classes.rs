//! Which storage classes that a spec names are not there: asked once, before anything is made by them.

use std::collections::BTreeSet;

use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;

use super::context::Context;
use crate::api::v1alpha1::RegistryClusterSpec;

/// The names of those that are known not to be there. One that cannot be asked for may be.
pub(super) async fn absent(context: &Context, spec: &RegistryClusterSpec) -> BTreeSet<String> {
    let classes = Api::<StorageClass>::all(context.objects.client().clone());
    let mut absent = BTreeSet::new();
    for name in named(spec) {
        if matches!(classes.get_metadata_opt(name).await, Ok(None)) {
            absent.insert(name.to_owned());
        }
    }
    absent
}

fn named(spec: &RegistryClusterSpec) -> BTreeSet<&str> {
    let parts = [&spec.meta, &spec.data, &spec.session].into_iter().flatten();
    parts.filter_map(|part| Some(part.storage.as_ref()?.storage_class_name.as_ref()?.as_str())).collect()
}
