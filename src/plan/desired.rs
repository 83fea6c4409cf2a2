//! What each role should have now: part of every decision, so that applying what is built is never disruptive by itself.
//!
//! May import `types` and `api`.

use std::collections::BTreeMap;

use crate::api::v1alpha1::Role;

/// What each role should have now. `build` renders it and decides nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// By role; a role that is absent has no workload yet, and none is made.
    pub roles: BTreeMap<Role, DesiredRole>,
    /// How many metas the cluster has, those included that are still to come: the names that every server is told. It
    /// is no part of a pod template, so that scaling one role is no drift of the others.
    pub meta_names: u32,
}

/// What one role should have now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DesiredRole {
    /// How many pods its StatefulSet makes now: not what the spec wants, but what the rollout has reached.
    pub replicas: u32,
    /// Which template its pods are made from.
    pub template: TemplateChoice,
}

/// Which template the pods of a role are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TemplateChoice {
    /// The one that its StatefulSet has: its turn has not come.
    Keep,
    /// The one that the spec asks for.
    Target,
}
