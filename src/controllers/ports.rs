//! The ports of `effects` onto a real API server and real servers.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use serde::Serialize;
use serde_json::{Value, json};

use super::ask_registry::{push_group, site_servers};
use super::clock::now;
use super::context::Context;
use super::gather;
use super::kind::{Kind, Planned};
use crate::admin::answer::Answer;
use crate::admin::transport::{Call, Content, NoAnswer, Server, Transport};
use crate::api::objects::{ADMISSION_GATE, FINALIZER, KEPT, RAFT_DATA, WAS_SET_ASIDE};
use crate::api::v1alpha1::{ClusterStatus, DeletionPolicy, PushGroup, PushGroupActor, PushGroupHolder, Role};
use crate::build::{Objects, StatefulSetChange, claim_name, role_name};
use crate::effects::{
    Admin, AdminRequest, ClusterObjects, Failure, Pods, Recipient, Record, Recorded, Scheduler,
};
use crate::kube_io::{ChildKey, KubeError, Orphan, PodWriter, Writer, kind};
use crate::observe::{
    Genesis, IS_MEMBER, Kubernetes, MEMBER_ANNOTATION, Member, RaftData, genesis_data, genesis_name,
};
use crate::plan::{GroupChange, Stop, Target};
use crate::types::{DnsLabel, Moment, Time};
use crate::validate::{Identity, ValidCluster};

impl From<KubeError> for Failure {
    fn from(error: KubeError) -> Self {
        let text = error.to_string();
        match error {
            KubeError::Conflict(_) | KubeError::NotFound(_) => Self::Conflict(text),
            KubeError::Refused(_) | KubeError::Forbidden(_) => Self::Refused(text),
            KubeError::Unanswered(_) => Self::Unanswered(text),
        }
    }
}

/// The ports for one cluster in one turn.
pub(super) struct KubePorts<'a, K: Kind> {
    pub(super) context: &'a Context,
    /// The object as it was read.
    pub(super) object: &'a Value,
    /// What was read besides, and decided.
    pub(super) planned: &'a Planned<K>,
    /// The status that was written.
    pub(super) written: Option<ClusterStatus>,
}

impl<K: Kind> KubePorts<'_, K> {
    fn valid(&self) -> &K::Valid {
        &self.planned.valid
    }

    fn identity(&self) -> &Identity {
        &self.valid().common().identity
    }

    fn namespace(&self) -> &str {
        &self.identity().namespace
    }

    fn cluster(&self) -> &str {
        &self.identity().name
    }

    fn writer(&self) -> Writer<'_> {
        Writer { objects: &self.context.objects, ledger: &self.context.ledger }
    }

    fn pods(&self) -> PodWriter {
        PodWriter::new(self.context.objects.client().clone(), self.namespace())
    }

    async fn set(&self, change: &StatefulSetChange) -> Result<(), Failure> {
        match change {
            StatefulSetChange::Full(set) => {
                self.writer().ensure(&json(set)?).await?;
            }
            // As it was listed for this decision, past every cache. Only the end of a cluster asks for another number.
            StatefulSetChange::Replicas { name, replicas }
                if was_seen_with(K::kubernetes(&self.planned.world), self.cluster(), name, *replicas) => {}
            StatefulSetChange::Replicas { name, replicas } => {
                let sets = kind::<StatefulSet>();
                let patch = json!({"spec": {"replicas": replicas}});
                match self.writer().ensure_fields(&sets, self.namespace(), name, &patch).await {
                    // It is being taken away.
                    Err(KubeError::NotFound(_)) if self.planned.own.deleting => {}
                    other => {
                        other?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Larger volumes: each claim is asked to grow, and a StatefulSet whose claim template is too small is made anew around
    /// its pods, which nobody notices.
    async fn grow(&self, objects: &Objects) -> Result<(), Failure> {
        let (claims, sets) = (kind::<PersistentVolumeClaim>(), kind::<StatefulSet>());
        for growth in &self.planned.growth {
            for claim in &growth.claims {
                let patch = json!({"spec": {"resources": {"requests": {"storage": claim.size.to_string()}}}});
                self.context.objects.merge(&claims, self.namespace(), &claim.name, &patch).await?;
            }
            let name = role_name(self.cluster(), growth.role);
            let is_whole = objects
                .stateful_sets
                .iter()
                .any(|s| s.name() == name && matches!(s, StatefulSetChange::Full(_)));
            if growth.recreate && is_whole {
                let present = self.context.objects.get(&sets, self.namespace(), &name).await?;
                let uid = present.as_ref().and_then(|s| s.pointer("/metadata/uid")?.as_str());
                if let Some(uid) = uid {
                    let objects = &self.context.objects;
                    objects.delete(&sets, self.namespace(), &name, uid, Orphan::WhatItOwns).await?;
                }
            }
        }
        Ok(())
    }

    /// What outlives a cluster, and goes only where the spec says so: the volumes, and the record of the first start, without
    /// which new volumes would never be let in together.
    async fn delete_data(&self) -> Result<(), Failure> {
        let (objects, claims, records) =
            (&self.context.objects, kind::<PersistentVolumeClaim>(), kind::<ConfigMap>());
        for (member, claim) in &K::kubernetes(&self.planned.world).claims {
            // A cluster of another kind may have the same name.
            if self.valid().component(member.role).is_some() {
                let name = claim_name(self.cluster(), member.role, member.ordinal);
                objects.delete(&claims, self.namespace(), &name, &claim.uid, Orphan::Nothing).await?;
            }
        }
        if K::raft_group(self.valid()).is_none() {
            // A registry of the same name has one, and keeps it.
            return Ok(());
        }
        let name = genesis_name(self.cluster());
        let record = objects.get(&records, self.namespace(), &name).await?;
        let uid = record.as_ref().and_then(|r| r.pointer("/metadata/uid")?.as_str());
        if let Some(uid) = uid {
            objects.delete(&records, self.namespace(), &name, uid, Orphan::Nothing).await?;
        }
        Ok(())
    }

    async fn sent(&self, server: &Server, request: &AdminRequest) -> Result<Answer, NoAnswer> {
        let fields: Vec<(&str, &str)> = request.form.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let call = Call {
            to: server,
            method: request.method,
            path: &request.path,
            content: Content::Fields(&fields),
            limit: request.limit,
        };
        self.context.admins.send(call).await
    }

    /// A site is told by the first of its metas that listens and leads, or is not asked to.
    async fn tell_site(&self, site: &DnsLabel, request: &AdminRequest) -> Result<Answer, Failure> {
        let Some(site) = K::sites(self.valid()).iter().find(|s| s.name == *site) else {
            return Err(Failure::Refused(format!(
                "remoteSites has no {site} any more: its push has to be looked after by hand"
            )));
        };
        let mut last = Failure::Refused(format!("site {} has no metaAddresses", site.name));
        for server in site_servers(self.valid(), site) {
            match self.sent(&server, request).await {
                Ok(answer) if answer.location.is_none() => return Ok(answer),
                Ok(_) => last = Failure::Refused(format!("{server} does not lead")),
                // It was not delivered: the next one may be told.
                Err(why @ NoAnswer::Refused(_)) => last = Failure::Unanswered(why.to_string()),
                Err(why) => return Err(Failure::Unanswered(why.to_string())),
            }
        }
        Err(last)
    }
}

/// Whether this StatefulSet was seen to make so many pods.
pub(super) fn was_seen_with(seen: &Kubernetes, cluster: &str, name: &str, replicas: u32) -> bool {
    let mut workloads = seen.workloads.iter();
    workloads.any(|(role, seen)| role_name(cluster, *role) == name && seen.replicas == replicas)
}

fn json(object: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(object).map_err(|e| Failure::Refused(e.to_string()))
}

impl<K: Kind> Record for KubePorts<'_, K> {
    async fn read(&mut self) -> Result<Option<Recorded>, Failure> {
        let clusters = kind::<K::Object>();
        let object = self.context.objects.get(&clusters, self.namespace(), self.cluster()).await?;
        Ok(object.as_ref().map(Recorded::of))
    }

    async fn write(&mut self, status: &ClusterStatus, resource_version: &str) -> Result<(), Failure> {
        let mut object = self.object.clone();
        object["status"] = json(status)?;
        object["metadata"]["resourceVersion"] = resource_version.into();
        self.context.objects.replace_status(&object).await?;
        self.written = Some(status.clone());
        Ok(())
    }

    async fn let_go(&mut self) -> Result<(), Failure> {
        if self.valid().common().deletion == DeletionPolicy::DeleteData {
            self.delete_data().await?;
        }
        let_go::<K>(self.context, self.object).await
    }
}

/// The finalizers of an object.
fn finalizers(object: &Value) -> Vec<Value> {
    object.pointer("/metadata/finalizers").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Whether ours is among them.
pub(super) fn is_held(object: &Value) -> bool {
    finalizers(object).iter().any(|f| f == FINALIZER)
}

/// Puts our finalizer on: from now on the object does not go before it was ended in order.
pub(super) async fn take_hold<K: Kind>(context: &Context, object: &Value) -> Result<Value, KubeError> {
    let mut all = finalizers(object);
    all.push(FINALIZER.into());
    set_finalizers::<K>(context, object, &all).await
}

/// Takes our finalizer off. An object that is gone is no error.
pub(super) async fn let_go<K: Kind>(context: &Context, object: &Value) -> Result<(), Failure> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let present = context.objects.get(&kind::<K::Object>(), namespace, name).await?;
    let Some(present) = present else { return Ok(()) };
    let left: Vec<Value> = finalizers(&present).into_iter().filter(|f| f != FINALIZER).collect();
    match set_finalizers::<K>(context, &present, &left).await {
        Ok(_) | Err(KubeError::NotFound(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Gives an object these finalizers, if it is as it was read.
async fn set_finalizers<K: Kind>(
    context: &Context,
    object: &Value,
    all: &[Value],
) -> Result<Value, KubeError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let version = object.pointer("/metadata/resourceVersion");
    let patch = json!({"metadata": {"finalizers": all, "resourceVersion": version}});
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    context.objects.merge(&kind::<K::Object>(), namespace, name, &patch).await
}

impl<K: Kind> ClusterObjects for KubePorts<'_, K> {
    async fn apply(&mut self, objects: &Objects) -> Result<(), Failure> {
        if self.planned.own.deleting {
            // What its servers are made of goes by itself, also before them: only how many there are is decided here.
            for change in &objects.stateful_sets {
                self.set(change).await?;
            }
            return Ok(());
        }
        self.grow(objects).await?;
        let whole = objects.to_json().map_err(|e| Failure::Refused(e.to_string()))?;
        let writer = self.writer();
        for object in &whole {
            writer.ensure(object).await?;
        }
        for change in &objects.stateful_sets {
            if let StatefulSetChange::Replicas { .. } = change {
                self.set(change).await?;
            }
        }
        let wanted: Vec<ChildKey> = whole.iter().map(ChildKey::of).collect::<Result<_, _>>()?;
        writer.prune(self.namespace(), &self.identity().uid, &wanted).await?;
        Ok(())
    }

    async fn mark(&mut self, member: Member) -> Result<(), Failure> {
        let claims = kind::<PersistentVolumeClaim>();
        let name = claim_name(self.cluster(), member.role, member.ordinal);
        let mut annotations = json!({MEMBER_ANNOTATION: IS_MEMBER});
        let pod = K::kubernetes(&self.planned.world).pods.get(&member);
        if let Some(RaftData::Aside(token)) = pod.and_then(|pod| pod.raft_data.as_ref()) {
            annotations[WAS_SET_ASIDE] = token.to_string().into();
        }
        let patch = json!({"metadata": {"annotations": annotations}});
        // The claim first: a pod whose raft data were set aside would be asked to do it again.
        self.writer().ensure_fields(&claims, self.namespace(), &name, &patch).await?;
        if let Some(pod) = pod {
            let name = member.pod_name(self.cluster());
            self.pods().annotate(&name, pod.uid.as_str(), RAFT_DATA, KEPT).await?;
        }
        Ok(())
    }

    async fn write_genesis(&mut self, genesis: &Genesis) -> Result<(), Failure> {
        let Some(raft_group) = K::raft_group(self.valid()) else {
            return Err(Failure::Refused("this kind of cluster has no record of a first start".to_owned()));
        };
        // No owner: it outlives the object, as the volumes do.
        let record = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": genesis_name(self.cluster()), "namespace": self.namespace(), "labels": {
                "app.kubernetes.io/managed-by": crate::api::objects::OPERATOR}},
            "data": genesis_data(genesis, raft_group)});
        self.context.objects.apply(&record).await?;
        Ok(())
    }

    async fn change_group(&mut self, change: &GroupChange) -> Result<(), Failure> {
        let present = push_group(self.context, &change.group).await?;
        let Some(next) =
            next_group(present.as_ref(), change, self.identity(), &self.context.settings.namespace)
        else {
            return Ok(());
        };
        let value = json(&next)?;
        if present.is_some() {
            self.context.objects.replace(&value).await?;
        } else {
            self.context.objects.create(&value).await?;
        }
        Ok(())
    }
}

/// The group's object after a change of our entries in it. `None`: there is nothing to change. Its resourceVersion is the
/// one that was read: whoever was faster wins, and we look again.
fn next_group(
    present: Option<&PushGroup>,
    change: &GroupChange,
    identity: &Identity,
    namespace: &str,
) -> Option<PushGroup> {
    let mut next = present.cloned().unwrap_or_else(|| {
        let mut group = PushGroup::new(change.group.as_str(), crate::api::v1alpha1::PushGroupSpec::default());
        group.metadata.namespace = Some(namespace.to_owned());
        group
    });
    let before = next.spec.clone();
    let since: Time = now().into();
    let held = next.spec.holders.iter().any(|h| h.uid == identity.uid);
    if change.hold && !held {
        next.spec.holders.push(PushGroupHolder {
            namespace: identity.namespace.parse().ok()?,
            name: identity.name.parse().ok()?,
            uid: identity.uid.clone(),
            since: since.clone(),
            why: "a rollout of it closes push".to_owned(),
        });
    }
    if !change.hold {
        next.spec.holders.retain(|h| h.uid != identity.uid);
    }
    let actor_is_us = next.spec.actor.as_ref().is_some_and(|a| a.uid == identity.uid);
    if change.act && next.spec.actor.is_none() {
        next.spec.actor = Some(PushGroupActor {
            namespace: identity.namespace.parse().ok()?,
            name: identity.name.parse().ok()?,
            uid: identity.uid.clone(),
            rollout: None,
            since,
        });
    } else if !change.act && actor_is_us {
        next.spec.actor = None;
    }
    (next.spec != before || present.is_none()).then_some(next)
}

impl<K: Kind> Pods for KubePorts<'_, K> {
    async fn release(&mut self, target: &Target, raft_data: &RaftData) -> Result<(), Failure> {
        let Some(uid) = &target.uid else { return Ok(()) };
        let name = target.member.pod_name(self.cluster());
        let mark = (RAFT_DATA, &*raft_data.word());
        Ok(self.pods().lift_gate(&name, uid.as_str(), ADMISSION_GATE, mark).await?)
    }

    async fn stop(&mut self, target: &Target, how: Stop) -> Result<(), Failure> {
        let Some(uid) = &target.uid else { return Ok(()) };
        let name = target.member.pod_name(self.cluster());
        match how {
            Stop::Evict => self.pods().evict(&name, uid.as_str()).await?,
            Stop::Delete => self.pods().delete(&name, uid.as_str()).await?,
        }
        Ok(())
    }

    async fn scale(&mut self, change: &StatefulSetChange) -> Result<(), Failure> {
        self.set(change).await
    }
}

impl<K: Kind> Admin for KubePorts<'_, K> {
    async fn command(&mut self, request: &AdminRequest) -> Result<Answer, Failure> {
        if !self.context.leadership.may_take(request.limit) {
            return Err(Failure::Refused("this operator may not lead until the answer comes".to_owned()));
        }
        let ip = match &request.to {
            Recipient::Meta(ip) => *ip,
            Recipient::Site(site) => return self.tell_site(site, request).await,
        };
        // Whose address it is, for the way through the API server.
        let pods = &K::kubernetes(&self.planned.world).pods;
        let member = pods.iter().find(|(_, pod)| pod.address == Some(ip)).map(|(member, _)| *member);
        let server = gather::server(self.valid(), member.unwrap_or(Member::new(Role::Meta, 0)), ip);
        let answer = self.sent(&server, request).await;
        answer.map_err(|why| Failure::Unanswered(why.to_string()))
    }
}

impl<K: Kind> Scheduler for KubePorts<'_, K> {
    async fn pre_register(&mut self, from: Member, to: Member, apps: &BTreeSet<u64>) -> Result<(), Failure> {
        K::pre_register(self, from, to, apps).await
    }

    async fn move_apps(&mut self, from: Member, to: Member, apps: &BTreeSet<u64>) -> Result<(), Failure> {
        K::move_apps(self, from, to, apps).await
    }

    async fn retry_lost(&mut self, since: Moment) -> Result<(), Failure> {
        K::retry_lost(self, since).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Workload;

    #[test]
    fn a_statefulset_is_left_alone_only_where_it_was_seen_as_it_is_wanted() {
        let data = Workload { replicas: 3, revision: "r1".to_owned() };
        let seen = Kubernetes { workloads: [(Role::Data, data)].into(), ..Kubernetes::default() };
        assert!(was_seen_with(&seen, "prod", "prod-data", 3));
        assert!(!was_seen_with(&seen, "prod", "prod-data", 0), "another number");
        assert!(!was_seen_with(&seen, "prod", "prod-session", 3), "one that is not there");
        assert!(!was_seen_with(&seen, "test", "prod-data", 3), "one of another cluster");
    }
}
