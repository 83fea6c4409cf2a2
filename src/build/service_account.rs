//! The `ServiceAccount` of a cluster's pods: it has no rights, and none of its tokens is mounted.
//!
//! May import `validate`.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::names;
use crate::validate::Common;

/// The `ServiceAccount` of a cluster.
pub(super) fn service_account(common: &Common) -> ServiceAccount {
    ServiceAccount {
        metadata: names::metadata(common, names::cluster_name(common), names::cluster_labels(common)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
