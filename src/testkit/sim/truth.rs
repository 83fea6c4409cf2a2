//! What is really so, by the fakes themselves: for the invariants.

use std::net::Ipv4Addr;

use serde_json::Value;

use super::gather::{members_of, recorded};
use super::{CLUSTER, NAMESPACE, Sim};
use crate::admin::registry::{v5, v6, wire};
use crate::api::v1alpha1::Role;
use crate::build::{REVISION, ROLE};
use crate::observe::{Addresses, Member, Speech};
use crate::plan::invariants::{ClosedBy, PodTruth, Truth};
use crate::status::memory_of;
use crate::testkit::kube::Key;
use crate::testkit::registry::{Reply, Request};

impl Sim {
    /// A GET of the test itself, by which the server that is asked learns nothing.
    pub(super) fn peek(
        &mut self,
        ip: Ipv4Addr,
        role: Role,
        path: &str,
    ) -> Option<crate::admin::answer::Answer> {
        let (now, port) = (self.world.now(), self.spec.port(role));
        match self.world.registry().glance(now, &Request::get(ip, port, path)) {
            Some(Reply::Answer(answer)) => Some(answer),
            _ => None,
        }
    }

    /// The addresses of the pods of a role.
    fn addresses(&self, role: Role) -> Vec<(Member, Ipv4Addr)> {
        let labels = [(ROLE, role.field())];
        let pods = self.world.cluster.objects().list("Pod", NAMESPACE, &labels).into_iter();
        pods.filter_map(|p| {
            Some((Member::of_pod(CLUSTER, p.pointer("/metadata/name")?.as_str()?)?, address(p)?))
        })
        .collect()
    }

    /// Pods with their members and objects.
    pub(super) fn pods(&self) -> Vec<(Member, Value)> {
        members_of(self.world.cluster.objects())
    }

    /// Whether the store of the metas says closed; `None` without a leader.
    pub(super) fn store_is_closed(&mut self) -> Option<bool> {
        for (_, ip) in self.addresses(Role::Meta) {
            let answer = self.peek(ip, Role::Meta, "/digest/pushSwitch");
            let text =
                answer.filter(|a| a.status == 200).map(|a| String::from_utf8_lossy(&a.body).into_owned());
            if let Some(text) = text {
                return Some(text.contains("closed") || text.contains(r#""stopPush":"true""#));
            }
        }
        None
    }

    /// Sessions that push now.
    pub(super) fn pushing(&mut self) -> Vec<Member> {
        let mut pushing = Vec::new();
        for (member, ip) in self.addresses(Role::Session) {
            let port = self.spec.port(Role::Session);
            let registry = self.world.registry();
            if registry.listens(ip, port) && !registry.push_is_stopped(ip) {
                pushing.push(member);
            }
        }
        pushing
    }

    pub(super) fn truth(&mut self) -> Truth {
        let object = recorded(self.world.cluster.objects());
        let memory = object.as_ref().map(|o| memory_of(CLUSTER, &o.status)).unwrap_or_default();
        if let Some(closed) = self.store_is_closed() {
            self.closed = closed;
        }
        let mut truth = Truth {
            group: self.group(),
            pushing: self.pushing().into_iter().collect(),
            closed_by: self.closed.then_some(ClosedBy::Operator),
            paused: self.spec.valid.common.paused,
            generation: object.as_ref().map_or(0, |o| o.generation),
            written: memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|f| f.act.clone()),
            last_act: memory.run.as_ref().and_then(|r| r.last_act_at).unwrap_or_default(),
            ..Truth::default()
        };
        for role in [Role::Meta, Role::Data, Role::Session] {
            let key = Key::new("apps/StatefulSet", NAMESPACE, &crate::build::role_name(CLUSTER, role));
            let set = self.world.cluster.objects().get(&key);
            let replicas = set.and_then(|s| s.pointer("/spec/replicas")?.as_u64()).unwrap_or(0);
            truth.replicas.insert(role, u32::try_from(replicas).unwrap_or(0));
        }
        let lists = [Role::Data, Role::Session].map(|role| (role, self.listed(role)));
        for (member, pod) in self.pods() {
            let listed =
                lists.iter().find(|(role, _)| *role == member.role).and_then(|(_, list)| list.as_ref());
            if let Some(fact) = self.pod_truth(member, &pod, listed) {
                truth.pods.insert(member, fact);
            }
        }
        truth
    }

    /// What the leader lists of a role. `None`: nobody leads.
    fn listed(&mut self, role: Role) -> Option<Addresses> {
        let center = self.spec.valid.data_center.to_string();
        for (_, ip) in self.addresses(Role::Meta) {
            let path = format!("/digest/{}/node/query", role.field());
            let list = self.peek(ip, Role::Meta, &path).and_then(|a| wire::nodes(&a, &center).ok());
            if list.is_some() {
                return list;
            }
        }
        None
    }

    fn pod_truth(&mut self, member: Member, pod: &Value, listed: Option<&Addresses>) -> Option<PodTruth> {
        let uid = pod.pointer("/metadata/uid")?.as_str()?.parse().ok()?;
        let ip = address(pod);
        let port = self.spec.port(member.role);
        let listens = ip.is_some_and(|ip| self.world.registry().listens(ip, port));
        let health = ip.and_then(|ip| self.peek(ip, member.role, "/health/check"));
        let name = member.pod_name(CLUSTER);
        let raft = self.spec.speech() == Speech::Raft;
        let volume =
            self.world.pods.volume_of(&name).filter(|_| raft && member.role == Role::Meta && ip.is_some());
        let blank = volume.is_some_and(|v| !self.world.registry().holds_raft_data(&v));
        let revision = pod.pointer("/metadata/labels").and_then(|l| l.get(REVISION)?.as_str());
        Some(PodTruth {
            uid,
            listens,
            // One that works and that no meta lists serves nobody.
            serves: listens
                && health.is_some_and(|h| h.status == 200)
                && listed.is_none_or(|list| ip.is_some_and(|ip| list.contains(&ip))),
            blank,
            is_target: revision == self.spec.revisions.get(&member.role).map(String::as_str),
            address: ip,
        })
    }

    /// The peers of the raft group that has a leader.
    fn group(&mut self) -> Option<Addresses> {
        if self.spec.speech() != Speech::Raft {
            return None;
        }
        for (_, ip) in self.addresses(Role::Meta) {
            let leads = self
                .peek(ip, Role::Meta, "/health/check")
                .is_some_and(|a| v5::raft_status(&a) == Ok(v5::RaftStatus::Leader));
            if leads {
                return self.peek(ip, Role::Meta, "/manage/queryPeer").and_then(|a| v5::peers(&a).ok());
            }
        }
        None
    }

    /// Whether one meta leads.
    pub(super) fn has_leader(&mut self) -> bool {
        let raft = self.spec.speech() == Speech::Raft;
        self.addresses(Role::Meta).into_iter().any(|(_, ip)| {
            let Some(health) = self.peek(ip, Role::Meta, "/health/check") else { return false };
            if raft {
                v5::raft_status(&health) == Ok(v5::RaftStatus::Leader)
            } else {
                v6::meta_health(&health).is_ok_and(|h| h.leads)
            }
        })
    }
}

pub(super) fn address(pod: &Value) -> Option<Ipv4Addr> {
    pod.pointer("/status/podIP")?.as_str()?.parse().ok()
}
