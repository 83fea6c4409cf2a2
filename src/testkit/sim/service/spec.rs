//! A spec of a cluster of servers, checked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::{CLUSTER, NAMESPACE};
use crate::api::v1alpha1::Role;
use crate::build::{Build, Objects};
use crate::plan::{Desired, ServiceTarget, drm_target, scheduler_target};
use crate::types::Moment;
use crate::validate::{
    ClusterKind, Common, Context, Environment, Identity, Invalid, Previous, ReferenceFact, References,
    SecretFact, ValidCluster, ValidDrm, ValidScheduler, validate_drm, validate_scheduler,
};

#[derive(Debug, Clone)]
pub(super) enum Valid {
    Drm(Box<ValidDrm>),
    Scheduler(Box<ValidScheduler>),
}

impl Valid {
    pub(super) fn common(&self) -> &Common {
        match self {
            Self::Drm(valid) => valid.common(),
            Self::Scheduler(valid) => valid.common(),
        }
    }

    pub(super) fn build(&self, desired: &Desired) -> Objects {
        match self {
            Self::Drm(valid) => valid.build(desired),
            Self::Scheduler(valid) => valid.build(desired),
        }
    }

    pub(super) fn targets(&self) -> BTreeMap<Role, String> {
        match self {
            Self::Drm(valid) => valid.targets(),
            Self::Scheduler(valid) => valid.targets(),
        }
    }

    pub(super) fn target(&self, revisions: &BTreeMap<Role, String>, now: Moment) -> ServiceTarget {
        match self {
            Self::Drm(valid) => drm_target(valid, revisions, now),
            Self::Scheduler(valid) => scheduler_target(valid, revisions, now),
        }
    }

    pub(super) fn of(kind: ClusterKind, object: &Value) -> Result<Self, String> {
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
        let identity = Identity { kind, namespace: NAMESPACE.to_owned(), name: CLUSTER.to_owned(), uid };
        let login = SecretFact::Found(["username", "password"].map(str::to_owned).into());
        let references = References {
            database: login.clone(),
            operator_login: login,
            registry: ReferenceFact::Found,
            ..References::default()
        };
        let environment = Environment::default();
        let context = Context {
            identity: &identity,
            references: &references,
            environment: &environment,
            previous: &Previous::default(),
        };
        let spec = object.get("spec").cloned().unwrap_or_default();
        let told = |all: Vec<Invalid>| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if kind == ClusterKind::Drm {
            let spec = serde_json::from_value(spec).map_err(|e| e.to_string())?;
            return validate_drm(&spec, &context).map(|v| Self::Drm(Box::new(v))).map_err(told);
        }
        let spec = serde_json::from_value(spec).map_err(|e| e.to_string())?;
        validate_scheduler(&spec, &context).map(|v| Self::Scheduler(Box::new(v))).map_err(told)
    }
}

/// A spec, checked, with the revisions of its templates.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) valid: Valid,
    pub(super) revisions: BTreeMap<Role, String>,
}
