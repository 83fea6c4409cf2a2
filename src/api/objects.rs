//! Names, labels and marks of the objects of a cluster: what is built carries them, and by them it is found again.
//!
//! May import `v1alpha1`.

use super::v1alpha1::Role;

/// The label with the name of the cluster.
pub const CLUSTER: &str = "middleware.sofastack.io/cluster";
/// The finalizer of every cluster: it does not go before it was ended in order.
pub const FINALIZER: &str = "middleware.sofastack.io/cluster";
/// The label with the role, as `Role::field` has it.
pub const ROLE: &str = "middleware.sofastack.io/role";
/// The label of a pod with the revision of the template that it was made from.
pub const REVISION: &str = "middleware.sofastack.io/revision";
/// The annotation of a pod with `spec.restart`.
pub const RESTART: &str = "middleware.sofastack.io/restart";
/// The annotation of a pod with the fingerprint of its configuration file.
pub const CONFIG: &str = "middleware.sofastack.io/config";
/// The scheduling gate that the pods of raft metas are born with.
pub const ADMISSION_GATE: &str = "middleware.sofastack.io/admission";
/// The annotation of a raft meta's pod that says what its volume may be, set with the lifting of its gate: [`BLANK`], or else
/// it starts only where it finds raft data. A claim may be lost between the lifting and the start.
pub const RAFT_DATA: &str = "middleware.sofastack.io/raft-data";
/// Its value for a meta that is let in as a blank one.
pub const BLANK: &str = "blank";
/// Its value for a meta whose volume is a member's.
pub const KEPT: &str = "kept";
/// Its value, before a token, for a meta whose raft data are set aside, once for each token, before it starts blank.
pub const ASIDE: &str = "aside-";
/// The annotation of a claim by which a person has the raft data on it set aside; its value is a token of a person's choice.
pub const SET_ASIDE: &str = "middleware.sofastack.io/set-aside";
/// The annotation of a claim with the last token for which that was done.
pub const WAS_SET_ASIDE: &str = "middleware.sofastack.io/was-set-aside";
/// The init container that looks at it.
pub const RAFT_DATA_GUARD: &str = "raft-data";
/// The exit code by which that container says that the volume is empty.
pub const VOLUME_EMPTY: u8 = 66;
/// The label by which workers of a PowerJob cluster, in its namespace, are let in; its value is the cluster's name.
pub const WORKER_OF: &str = "middleware.sofastack.io/worker-of";
/// `app.kubernetes.io/name` of the operator's own pods, and the field manager of everything that it writes.
pub const OPERATOR: &str = "sofa-operator";
/// The label with the name of the software.
pub const APP: &str = "app.kubernetes.io/name";
/// Its value for `SOFARegistry`.
pub const REGISTRY_APP: &str = "sofa-registry";
/// The name of the volume in which a server keeps what outlives it.
pub const HOME: &str = "home";

/// The name of a StatefulSet, of its headless Service, and of what else a role has one of: `<cluster>-<role>`.
#[must_use]
pub fn role_name(cluster: &str, role: Role) -> String {
    format!("{cluster}-{}", role.field())
}

/// The claim of a member: `home-<cluster>-<role>-<ordinal>`.
#[must_use]
pub fn claim_name(cluster: &str, role: Role, ordinal: u32) -> String {
    format!("{}-{ordinal}", claim_prefix(cluster, role))
}

/// The names of the claims of a role, without `-` and the number.
#[must_use]
pub fn claim_prefix(cluster: &str, role: Role) -> String {
    format!("{}-{}", HOME, role_name(cluster, role))
}
