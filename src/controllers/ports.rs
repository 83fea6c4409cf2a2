//! The ports of `effects` onto a real API server and real servers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Serialize;
use serde_json::{Value, json};

use super::clock::now;
use super::context::Context;
use super::gather;
use crate::admin::answer::Answer;
use crate::admin::transport::{Call, NoAnswer, Server, Transport};
use crate::api::objects::{ADMISSION_GATE, CLUSTER};
use crate::api::v1alpha1::{ClusterStatus, DeletionPolicy, PushGroup, PushGroupActor, PushGroupHolder, Role};
use crate::build::{Objects, StatefulSetChange, VolumeGrowth, claim_name};
use crate::effects::{Admin, AdminRequest, ClusterObjects, Failure, Pods, Recipient, Record, Recorded};
use crate::kube_io::{ChildKey, KubeError, Orphan, PodWriter, Writer, kind_of};
use crate::observe::{Genesis, IS_MEMBER, MEMBER_ANNOTATION, Member, genesis_data, genesis_name};
use crate::plan::{GroupChange, Stop, Target};
use crate::types::{DnsLabel, Time};
use crate::validate::ValidRegistry;

/// The finalizer of every cluster.
pub(super) const FINALIZER: &str = "middleware.sofastack.io/cluster";

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

/// The object of a cluster, as an effect has to know it.
pub(super) fn recorded(object: &Value) -> Recorded {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let status = object.get("status").cloned().unwrap_or_default();
    Recorded {
        uid: text("/metadata/uid"),
        resource_version: text("/metadata/resourceVersion"),
        generation: object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default(),
        deleting: !text("/metadata/deletionTimestamp").is_empty(),
        status: serde_json::from_value::<Option<ClusterStatus>>(status).ok().flatten().unwrap_or_default(),
    }
}

/// The ports for one cluster in one turn.
pub(super) struct KubePorts<'a> {
    pub(super) context: &'a Context,
    /// The object as it was read.
    pub(super) object: &'a Value,
    pub(super) valid: &'a ValidRegistry,
    /// Whose address is whose, for the way through the API server.
    pub(super) members: BTreeMap<Ipv4Addr, Member>,
    /// Volumes that have to grow.
    pub(super) growth: Vec<VolumeGrowth>,
}

impl KubePorts<'_> {
    fn namespace(&self) -> &str {
        &self.valid.common.identity.namespace
    }

    fn cluster(&self) -> &str {
        &self.valid.common.identity.name
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
            StatefulSetChange::Replicas { name, replicas } => {
                let kind = json!({"apiVersion": "apps/v1", "kind": "StatefulSet"});
                let patch = json!({"spec": {"replicas": replicas}});
                match self.writer().ensure_fields(&kind, self.namespace(), name, &patch).await {
                    // It is being taken away.
                    Err(KubeError::NotFound(_)) if recorded(self.object).deleting => {}
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
        for growth in &self.growth {
            let claims = kind_of(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim"}))?;
            for claim in &growth.claims {
                let patch = json!({"spec": {"resources": {"requests": {"storage": claim.size.to_string()}}}});
                self.context.objects.merge(&claims, self.namespace(), &claim.name, &patch).await?;
            }
            let name = crate::build::role_name(self.cluster(), growth.role);
            let is_whole = objects
                .stateful_sets
                .iter()
                .any(|s| s.name() == name && matches!(s, StatefulSetChange::Full(_)));
            if growth.recreate && is_whole {
                let sets = kind_of(&json!({"apiVersion": "apps/v1", "kind": "StatefulSet"}))?;
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
        let objects = &self.context.objects;
        let claims = kind_of(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim"}))?;
        let records = kind_of(&json!({"apiVersion": "v1", "kind": "ConfigMap"}))?;
        let own = format!("{CLUSTER}={}", self.cluster());
        let mut gone = objects.list(&claims, self.namespace(), &own).await?;
        gone.retain(|claim| {
            let name = claim.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let prefixes = [Role::Meta, Role::Data, Role::Session];
            prefixes.iter().any(|role| {
                name.strip_prefix(&format!("home-{}-", crate::build::role_name(self.cluster(), *role)))
                    .is_some_and(|ordinal| ordinal.bytes().all(|b| b.is_ascii_digit()))
            })
        });
        for (kind, object) in gone.iter().map(|claim| (&claims, claim)).chain(
            objects
                .get(&records, self.namespace(), &genesis_name(self.cluster()))
                .await?
                .iter()
                .map(|r| (&records, r)),
        ) {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let (name, uid) = (text("/metadata/name"), text("/metadata/uid"));
            objects.delete(kind, self.namespace(), name, uid, Orphan::Nothing).await?;
        }
        Ok(())
    }

    async fn sent(&self, server: &Server, request: &AdminRequest) -> Result<Answer, NoAnswer> {
        let fields: Vec<(&str, &str)> = request.form.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let call = Call {
            to: server,
            method: request.method,
            path: &request.path,
            fields: &fields,
            limit: request.limit,
        };
        self.context.admins.send(call).await
    }

    /// A site is told by the first of its metas that listens and leads, or is not asked to.
    async fn tell_site(&self, site: &DnsLabel, request: &AdminRequest) -> Result<Answer, Failure> {
        let Some(site) = self.valid.remote_sites.iter().find(|s| s.name == *site) else {
            return Err(Failure::Refused(format!(
                "remoteSites has no {site} any more: its push has to be looked after by hand"
            )));
        };
        let mut last = Failure::Refused(format!("site {} has no metaAddresses", site.name));
        for server in gather::site_servers(self.valid, site) {
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

fn json(object: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(object).map_err(|e| Failure::Refused(e.to_string()))
}

impl Record for KubePorts<'_> {
    async fn read(&mut self) -> Result<Option<Recorded>, Failure> {
        let kind = kind_of(self.object)?;
        let object = self.context.objects.get(&kind, self.namespace(), self.cluster()).await?;
        Ok(object.as_ref().map(recorded))
    }

    async fn write(&mut self, status: &ClusterStatus, resource_version: &str) -> Result<(), Failure> {
        let mut object = self.object.clone();
        object["status"] = json(status)?;
        object["metadata"]["resourceVersion"] = resource_version.into();
        self.context.objects.replace_status(&object).await?;
        Ok(())
    }

    async fn let_go(&mut self) -> Result<(), Failure> {
        if self.valid.common.deletion == DeletionPolicy::DeleteData {
            self.delete_data().await?;
        }
        let_go(self.context, self.object).await
    }
}

/// Takes our finalizer off.
pub(super) async fn let_go(context: &Context, object: &Value) -> Result<(), Failure> {
    let kind = kind_of(object)?;
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let Some(present) = context.objects.get(&kind, namespace, name).await? else { return Ok(()) };
    let finalizers =
        present.pointer("/metadata/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    let left: Vec<Value> = finalizers.into_iter().filter(|f| f != FINALIZER).collect();
    let version = present.pointer("/metadata/resourceVersion");
    let patch = json!({"metadata": {"finalizers": left, "resourceVersion": version}});
    match context.objects.merge(&kind, namespace, name, &patch).await {
        Ok(_) | Err(KubeError::NotFound(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl ClusterObjects for KubePorts<'_> {
    async fn apply(&mut self, objects: &Objects) -> Result<(), Failure> {
        if recorded(self.object).deleting {
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
        writer.prune(self.namespace(), &self.valid.common.identity.uid, &wanted).await?;
        Ok(())
    }

    async fn mark(&mut self, member: Member) -> Result<(), Failure> {
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim"});
        let name = claim_name(self.cluster(), member.role, member.ordinal);
        let patch = json!({"metadata": {"annotations": {MEMBER_ANNOTATION: IS_MEMBER}}});
        self.writer().ensure_fields(&claim, self.namespace(), &name, &patch).await?;
        Ok(())
    }

    async fn write_genesis(&mut self, genesis: &Genesis) -> Result<(), Failure> {
        // No owner: it outlives the object, as the volumes do.
        let record = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": genesis_name(self.cluster()), "namespace": self.namespace(), "labels": {
                "app.kubernetes.io/managed-by": crate::api::objects::OPERATOR}},
            "data": genesis_data(genesis, &self.valid.raft_group)});
        self.context.objects.apply(&record).await?;
        Ok(())
    }

    async fn change_group(&mut self, change: &GroupChange) -> Result<(), Failure> {
        let present = gather::push_group(self.context, &change.group).await?;
        let Some(next) = next_group(present.as_ref(), change, self) else { return Ok(()) };
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
fn next_group(present: Option<&PushGroup>, change: &GroupChange, ports: &KubePorts<'_>) -> Option<PushGroup> {
    let identity = &ports.valid.common.identity;
    let mut next = present.cloned().unwrap_or_else(|| {
        let mut group = PushGroup::new(change.group.as_str(), crate::api::v1alpha1::PushGroupSpec::default());
        group.metadata.namespace = Some(ports.context.settings.namespace.clone());
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

impl Pods for KubePorts<'_> {
    async fn release(&mut self, target: &Target) -> Result<(), Failure> {
        let Some(uid) = &target.uid else { return Ok(()) };
        let name = target.member.pod_name(self.cluster());
        Ok(self.pods().lift_gate(&name, uid.as_str(), ADMISSION_GATE).await?)
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

impl Admin for KubePorts<'_> {
    async fn command(&mut self, request: &AdminRequest) -> Result<Answer, Failure> {
        if !self.context.leadership.may_take(request.limit) {
            return Err(Failure::Refused("this operator may not lead until the answer comes".to_owned()));
        }
        let ip = match &request.to {
            Recipient::Meta(ip) => *ip,
            Recipient::Site(site) => return self.tell_site(site, request).await,
        };
        let member = self.members.get(&ip).copied().unwrap_or(Member::new(Role::Meta, 0));
        let server = gather::server(self.valid, member, ip);
        let answer = self.sent(&server, request).await;
        answer.map_err(|why| Failure::Unanswered(why.to_string()))
    }
}
