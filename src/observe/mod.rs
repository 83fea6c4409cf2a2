//! What was observed: the world that a plan is made from. Every piece of it is a [`Fact`]: known since a moment, or
//! unknown for a reason.
//!
//! May import `types`, `api`, the words of `admin` and the names that `build` gives to objects.

mod fact;
mod member;
mod pods;
mod read_apps;
mod read_pods;
mod read_registry;
mod read_service;
mod registry;
mod service;

pub use fact::{Fact, Unknown};
pub use member::{Member, NotAMember};
pub use pods::{Claim, Kubernetes, Node, Pod, PodPhase, RaftData, Revision, Trouble, Workload};
pub use read_apps::{
    APPS_SQL, AppRow, DUE_SQL, DueRow, LOST_SQL, LostRow, MOVE_SQL, PENDING_SQL, PendingRow, Rows, ZONE,
    read_apps,
};
pub use read_pods::{
    ACCEPTED, IS_MEMBER, Listed, MEMBER_ANNOTATION, UNREACHABLE_ANNOTATION, genesis_data, genesis_name,
    read_genesis, read_kubernetes, read_raft_group,
};
pub use read_registry::{AdminPorts, Heard, Question, Speech, Told, askable, note_told, orphaned_ids};
pub use read_service::{Sockets, drmdata_view, port_view, powerjob_view};
pub(crate) use registry::read;
pub use registry::{
    Actor, Addresses, Counts, DataView, Genesis, GroupView, Lists, MetaView, RegistryWorld, SessionView,
    Standing, Store,
};
pub use service::{App, Apps, Need, ServerView, ServiceWorld, failure};
