//! What was observed: the world that a plan is made from. Every piece of it is a [`Fact`]: known since a moment, or
//! unknown for a reason.
//!
//! May import `types`, `api` and the words of `admin`.

mod fact;
mod member;
mod pods;
mod registry;
mod service;

pub use fact::{Fact, Unknown};
pub use member::{Member, NotAMember};
pub use pods::{Claim, Kubernetes, Node, Pod, PodPhase, Revision, Trouble, Workload};
pub(crate) use registry::read;
pub use registry::{
    Actor, Addresses, Counts, DataView, Genesis, GroupView, Lists, MetaView, RegistryWorld, SessionView,
    Standing,
};
pub use service::{App, Apps, Need, ServerView, ServiceWorld};
