//! What is left in the end, without what differs from run to run: uids, addresses, times.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::gather::{members_of, object_key, recorded};
use super::truth::address;
use super::{NAMESPACE, Sim};
use crate::admin::registry::v5;
use crate::api::v1alpha1::{ClusterStatus, Condition, Role};
use crate::observe::{IS_MEMBER, MEMBER_ANNOTATION, Speech};
use crate::testkit::kube::json::text;
use crate::testkit::kube::{Key, Objects};

/// The end of a run: a line for each thing, so that two of them can be compared by a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndState(pub(super) BTreeMap<String, String>);

impl EndState {
    /// In what another end differs from this one.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let show = |end: &Self, key: &String| end.0.get(key).cloned().unwrap_or_else(|| "nothing".to_owned());
        keys.into_iter()
            .filter(|key| self.0.get(*key) != other.0.get(*key))
            .map(|key| format!("{key}: {} is now {}", show(self, key), show(other, key)))
            .collect()
    }

    /// All of it.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().map(|(key, value)| format!("{key}: {value}")).collect()
    }
}

/// What a status says, without its times.
pub(super) fn add_status(status: &ClusterStatus, end: &mut BTreeMap<String, String>) {
    let words = |c: &Condition| format!("{:?}={:?} {:?}", c.kind, c.status, c.reason);
    let conditions: Vec<String> = status.conditions.iter().map(words).collect();
    end.insert("conditions".to_owned(), conditions.join(", "));
    let push = status.push.as_ref().map(|p| (p.state, p.owner, p.group.clone()));
    end.insert("push".to_owned(), format!("{push:?}"));
    let rollout = status.rollout.as_ref();
    let run = rollout.map(|r| (r.state, r.plan_id.clone(), r.act.is_some(), r.baseline.is_some(), r.halted));
    end.insert("rollout".to_owned(), format!("{run:?}"));
    end.insert("incident".to_owned(), format!("{:?}", status.incident.as_ref().map(|i| i.reason)));
    end.insert("ready".to_owned(), format!("{:?}", status.ready));
    let waits: Vec<_> = status.waiting_on.iter().map(|w| (w.reason, w.subject.clone())).collect();
    end.insert("waiting".to_owned(), format!("{waits:?}"));
}

/// The objects of a cluster, without uids, addresses and times.
pub(super) fn add_objects(objects: Objects<'_>, own: &Key, end: &mut BTreeMap<String, String>) {
    for kind in [
        "apps/StatefulSet",
        "ConfigMap",
        "Service",
        "ServiceAccount",
        "networking.k8s.io/NetworkPolicy",
        "policy/PodDisruptionBudget",
    ] {
        for object in objects.list(kind, NAMESPACE, &[]) {
            let mut kept = object.clone();
            if let Value::Object(fields) = &mut kept {
                fields.remove("metadata");
                fields.remove("status");
            }
            if let Some(claims) = kept.pointer_mut("/data/claims") {
                *claims = claims.as_str().unwrap_or_default().split(',').count().into();
            }
            end.insert(format!("{kind} {}", text(object, "/metadata/name")), kept.to_string());
        }
    }
    for claim in objects.list("PersistentVolumeClaim", NAMESPACE, &[]) {
        let marked = claim.pointer("/metadata/annotations").and_then(|a| a.get(MEMBER_ANNOTATION)?.as_str());
        end.insert(
            format!("claim {}", text(claim, "/metadata/name")),
            format!("{}", marked == Some(IS_MEMBER)),
        );
    }
    for (member, pod) in members_of(objects) {
        let status = pod.pointer("/status/containerStatuses/0/ready").cloned().unwrap_or_default();
        let spec = json!({"image": pod.pointer("/spec/containers/0/image"), "ready": status,
            "revision": pod.pointer("/metadata/labels").and_then(|l| l.get(crate::build::REVISION)),
            "gates": pod.pointer("/spec/schedulingGates"), "deleted": pod.pointer("/metadata/deletionTimestamp").is_some()});
        end.insert(format!("pod {member}"), spec.to_string());
    }
    let own = objects.get(own);
    end.insert("object".to_owned(), own.and_then(|o| o.get("spec")).unwrap_or(&Value::Null).to_string());
}

impl Sim {
    /// What is left now.
    pub fn end(&mut self, gapless: bool) -> EndState {
        let mut end = BTreeMap::new();
        add_objects(self.world.cluster.objects(), &object_key(), &mut end);
        self.add_servers(&mut end);
        self.add_clients(gapless, &mut end);
        if let Some(own) = recorded(self.world.cluster.objects()) {
            add_status(&own.status, &mut end);
        }
        EndState(end)
    }

    /// The switch, the peers, the store, the clusters that were ever begun.
    fn add_servers(&mut self, end: &mut BTreeMap<String, String>) {
        let pods = self.pods();
        let names: BTreeMap<Ipv4Addr, String> =
            pods.iter().filter_map(|(m, p)| Some((address(p)?, m.to_string()))).collect();
        let name = |ip: &Ipv4Addr| names.get(ip).cloned().unwrap_or_else(|| format!("a stranger ({ip})"));
        end.insert("store".to_owned(), format!("closed: {:?}", self.store_is_closed()));
        let cut_off: Vec<String> = self.world.registry().cut_off().iter().map(name).collect();
        if !cut_off.is_empty() {
            let told = format!(
                "{} reach no store: whoever asked them before they were let in did that",
                cut_off.join(", ")
            );
            self.violations.push(told);
        }
        end.insert("leader".to_owned(), self.has_leader().to_string());
        for (member, pod) in &pods {
            let Some(ip) = address(pod) else { continue };
            match member.role {
                Role::Meta if self.spec.speech() == Speech::Raft => {
                    let peers =
                        self.peek(ip, Role::Meta, "/manage/queryPeer").and_then(|a| v5::peers(&a).ok());
                    let mut peers: Vec<String> = peers.iter().flatten().map(name).collect();
                    peers.sort();
                    let lineage = self.world.registry().lineage(ip);
                    end.insert(
                        format!("peers of {member}"),
                        format!("{} in cluster {lineage:?}", peers.join(",")),
                    );
                }
                Role::Session => {
                    let stopped = self.world.registry().push_is_stopped(ip);
                    end.insert(format!("switch of {member}"), format!("closed: {stopped}"));
                }
                _ => {}
            }
        }
    }

    fn add_clients(&mut self, gapless: bool, end: &mut BTreeMap<String, String>) {
        let clients = self.clients.clone();
        for (index, client) in clients.into_iter().enumerate() {
            let Some(view) = self.world.registry().client_view(client) else { continue };
            let seen: Vec<String> = view
                .seen
                .iter()
                .map(|(id, seen)| {
                    let emptied = if gapless { seen.emptied } else { 0 };
                    format!("{id}={:?} emptied {emptied} times", seen.values)
                })
                .collect();
            end.insert(
                format!("client {index}"),
                format!("connected: {}; {}", view.session.is_some(), seen.join("; ")),
            );
        }
    }
}
