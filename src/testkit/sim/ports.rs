//! The ports of [`crate::effects`] onto the fakes.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::{CLUSTER, NAMESPACE};
use crate::admin::answer::Answer;
use crate::admin::transport;
use crate::api::objects::{FINALIZER, OPERATOR};
use crate::api::objects::{KEPT, RAFT_DATA, WAS_SET_ASIDE};
use crate::api::v1alpha1::ClusterStatus;
use crate::build::{ADMISSION_GATE, Objects, StatefulSetChange, claim_name};
use crate::effects::{
    Admin, AdminRequest, ClusterObjects, Failure, Pods, Recipient, Record, Recorded, Scheduler,
};
use crate::observe::{Genesis, IS_MEMBER, MEMBER_ANNOTATION, Member, RaftData, genesis_data, genesis_name};
use crate::plan::{GroupChange, Stop, Target};
use crate::testkit::kube::{ApiError, DeleteOptions, Key, Part, Write};
use crate::testkit::registry::{Method, Reply, Request};
use crate::testkit::world::{Processes, RegistryPods, World};
use crate::types::{Moment, covers};

/// The fakes, as the operator reaches them.
pub(super) struct SimPorts<'a, P = RegistryPods> {
    pub(super) world: &'a mut World<P>,
    /// The cluster's own object.
    pub(super) object: Key,
    /// The port of the metas.
    pub(super) port: u16,
    /// Their raft group.
    pub(super) raft_group: &'a str,
    /// What was applied last: the same is not compared again.
    pub(super) applied: &'a mut Option<Objects>,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Conflict(_) | ApiError::AlreadyExists(_) => Self::Conflict(error.to_string()),
            ApiError::CallerCrashed => Self::Unanswered(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl<P: Processes> SimPorts<'_, P> {
    fn send(&mut self, write: &Write) -> Result<Value, Failure> {
        self.world.write(write).map_err(Failure::from)
    }

    fn apply_one(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        let wanted = serde_json::to_value(object).map_err(|e| Failure::Refused(e.to_string()))?;
        let present = self.world.cluster.objects().get(&Key::of(&wanted));
        if present.is_some_and(|p| covers(p, &wanted)) {
            return Ok(());
        }
        self.send(&Write::apply(OPERATOR, wanted)).map(|_| ())
    }

    fn set(&mut self, change: &StatefulSetChange) -> Result<(), Failure> {
        match change {
            StatefulSetChange::Full(set) => self.apply_one(set),
            StatefulSetChange::Replicas { name, replicas } => {
                let key = Key::new("apps/StatefulSet", NAMESPACE, name);
                let patch = json!({"spec": {"replicas": replicas}});
                let present = self.world.cluster.objects().get(&key);
                if present.is_some_and(|p| covers(p, &patch)) {
                    return Ok(());
                }
                self.send(&Write::MergePatch(key, patch, Part::Main)).map(|_| ())
            }
        }
    }

    /// The pod of a target, if it is still that very pod.
    fn pod(&self, target: &Target) -> Option<(Key, Value)> {
        let key = Key::new("Pod", NAMESPACE, &target.member.pod_name(CLUSTER));
        let pod = self.world.cluster.objects().get(&key)?.clone();
        let uid = pod.pointer("/metadata/uid").and_then(Value::as_str)?;
        (target.uid.as_ref().map(crate::types::PodUid::as_str) == Some(uid)).then_some((key, pod))
    }
}

impl<P: Processes + Send> Record for SimPorts<'_, P> {
    async fn read(&mut self) -> Result<Option<Recorded>, Failure> {
        Ok(self.world.cluster.objects().get(&self.object).map(Recorded::of))
    }

    async fn write(&mut self, status: &ClusterStatus, resource_version: &str) -> Result<(), Failure> {
        let Some(mut object) = self.world.cluster.objects().get(&self.object).cloned() else {
            return Err(Failure::Conflict("the object is gone".to_owned()));
        };
        let status = serde_json::to_value(status).map_err(|e| Failure::Refused(e.to_string()))?;
        if let Value::Object(fields) = &mut object {
            fields.insert("status".to_owned(), status);
        }
        if let Some(version) = object.pointer_mut("/metadata/resourceVersion") {
            *version = resource_version.into();
        }
        self.send(&Write::Update(object, Part::Status)).map(|_| ())
    }

    async fn let_go(&mut self) -> Result<(), Failure> {
        let object = self.world.cluster.objects().get(&self.object);
        let finalizers =
            object.and_then(|o| o.pointer("/metadata/finalizers")?.as_array()).cloned().unwrap_or_default();
        let left: Vec<Value> = finalizers.into_iter().filter(|f| f != FINALIZER).collect();
        let patch = json!({"metadata": {"finalizers": left}});
        self.send(&Write::MergePatch(self.object.clone(), patch, Part::Main)).map(|_| ())
    }
}

impl<P: Processes + Send> ClusterObjects for SimPorts<'_, P> {
    async fn apply(&mut self, objects: &Objects) -> Result<(), Failure> {
        if self.applied.as_ref() == Some(objects) {
            return Ok(());
        }
        *self.applied = None;
        self.apply_one(&objects.service_account)?;
        objects.config_maps.iter().try_for_each(|o| self.apply_one(o))?;
        objects.network_policies.iter().try_for_each(|o| self.apply_one(o))?;
        objects.services.iter().try_for_each(|o| self.apply_one(o))?;
        objects.disruption_budgets.iter().try_for_each(|o| self.apply_one(o))?;
        objects.stateful_sets.iter().try_for_each(|change| self.set(change))?;
        *self.applied = Some(objects.clone());
        Ok(())
    }

    async fn mark(&mut self, member: Member) -> Result<(), Failure> {
        let key =
            Key::new("PersistentVolumeClaim", NAMESPACE, &claim_name(CLUSTER, member.role, member.ordinal));
        let pod = Key::new("Pod", NAMESPACE, &member.pod_name(CLUSTER));
        let seen = self.world.cluster.objects().get(&pod);
        let word = seen.and_then(|p| p.pointer("/metadata/annotations")?.get(RAFT_DATA)?.as_str());
        let mut annotations = json!({MEMBER_ANNOTATION: IS_MEMBER});
        if let Some(RaftData::Aside(token)) = word.and_then(RaftData::of) {
            annotations[WAS_SET_ASIDE] = token.to_string().into();
        }
        let patch = json!({"metadata": {"annotations": annotations}});
        self.send(&Write::MergePatch(key, patch, Part::Main))?;
        let patch = json!({"metadata": {"annotations": {RAFT_DATA: KEPT}}});
        self.send(&Write::MergePatch(pod, patch, Part::Main)).map(|_| ())
    }

    async fn write_genesis(&mut self, genesis: &Genesis) -> Result<(), Failure> {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": genesis_name(CLUSTER), "namespace": NAMESPACE}, "data": genesis_data(genesis, self.raft_group)});
        self.apply_one(&object)
    }

    async fn change_group(&mut self, change: &GroupChange) -> Result<(), Failure> {
        Err(Failure::Refused(format!("no push group {} in this simulation", change.group)))
    }
}

impl<P: Processes + Send> Pods for SimPorts<'_, P> {
    async fn release(&mut self, target: &Target, raft_data: &RaftData) -> Result<(), Failure> {
        let Some((key, pod)) = self.pod(target) else { return Ok(()) };
        let gates =
            pod.pointer("/spec/schedulingGates").and_then(Value::as_array).cloned().unwrap_or_default();
        let left: Vec<Value> = gates
            .into_iter()
            .filter(|g| g.get("name").and_then(Value::as_str) != Some(ADMISSION_GATE))
            .collect();
        let uid = target.uid.as_ref().map(crate::types::PodUid::as_str);
        let mark = json!({RAFT_DATA: raft_data.word()});
        let patch = json!({"metadata": {"uid": uid, "annotations": mark}, "spec": {"schedulingGates": left}});
        self.send(&Write::MergePatch(key, patch, Part::Main)).map(|_| ())
    }

    async fn stop(&mut self, target: &Target, how: Stop) -> Result<(), Failure> {
        let Some((key, _)) = self.pod(target) else { return Ok(()) };
        let uid = target.uid.as_ref().map(ToString::to_string);
        let write = match how {
            Stop::Evict => Write::Evict(key, uid),
            Stop::Delete => Write::Delete(key, DeleteOptions { uid, ..DeleteOptions::default() }),
        };
        self.send(&write).map(|_| ())
    }

    async fn scale(&mut self, change: &StatefulSetChange) -> Result<(), Failure> {
        *self.applied = None;
        self.set(change)
    }
}

impl Admin for SimPorts<'_> {
    async fn command(&mut self, request: &AdminRequest) -> Result<Answer, Failure> {
        let Recipient::Meta(ip) = request.to else {
            return Err(Failure::Refused("no other sites in this simulation".to_owned()));
        };
        let method = match request.method {
            transport::Method::Get => Method::Get,
            transport::Method::Post => Method::Post,
            transport::Method::Put => Method::Put,
        };
        let fields = request.form.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
        let sent = Request { method, fields, ..Request::get(ip, self.port, &request.path) };
        let patience = u64::try_from(request.limit.as_millis()).unwrap_or(u64::MAX);
        match self.world.http(&sent.patient_for(patience)) {
            Ok(Reply::Answer(answer)) => Ok(answer),
            Ok(other) => Err(Failure::Unanswered(format!("{other:?}"))),
            Err(crashed) => Err(Failure::Unanswered(crashed.to_string())),
        }
    }
}

impl Scheduler for SimPorts<'_> {
    async fn pre_register(&mut self, _: Member, _: Member, _: &BTreeSet<u64>) -> Result<(), Failure> {
        Err(Failure::Refused("no schedulers in this simulation".to_owned()))
    }

    async fn move_apps(&mut self, _: Member, _: Member, _: &BTreeSet<u64>) -> Result<(), Failure> {
        Err(Failure::Refused("no schedulers in this simulation".to_owned()))
    }

    async fn retry_lost(&mut self, _: Moment) -> Result<(), Failure> {
        Err(Failure::Refused("no schedulers in this simulation".to_owned()))
    }
}
