//! What the operator sees: the fakes' objects and answers, read as a real gatherer would read them.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::ConfigMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{CLUSTER, NAMESPACE, Spec, moment};
use crate::admin::answer::Answer;
use crate::effects::Recorded;
use crate::observe::{
    Heard, Listed, Member, Question, RegistryWorld, Told, Unknown, askable, genesis_name, note_told,
    orphaned_ids, read_genesis, read_kubernetes, read_raft_group,
};
use crate::testkit::kube::{Key, Objects};
use crate::testkit::registry::{Reply, Request};
use crate::testkit::world::World;
use crate::types::Moment;

/// The cluster's own object.
pub(super) fn object_key() -> Key {
    Key::new("middleware.sofastack.io/RegistryCluster", NAMESPACE, CLUSTER)
}

/// The cluster's own object, as these objects have it.
pub(super) fn recorded(objects: Objects<'_>) -> Option<Recorded> {
    objects.get(&object_key()).map(Recorded::of)
}

fn list<T: DeserializeOwned>(objects: Objects<'_>, kind: &str, namespace: &str) -> Vec<T> {
    let all = objects.list(kind, namespace, &[]).into_iter();
    all.filter_map(|object| serde_json::from_value(object.clone()).ok()).collect()
}

/// The record of the first start.
fn first_start(objects: Objects<'_>) -> Option<ConfigMap> {
    let record = objects.get(&Key::new("ConfigMap", NAMESPACE, &genesis_name(CLUSTER)));
    record.and_then(|object| serde_json::from_value(object.clone()).ok())
}

/// The raft group that was fixed at the first start.
pub(super) fn raft_group(objects: Objects<'_>) -> Option<String> {
    read_raft_group(first_start(objects).as_ref())
}

/// Pods with their members and objects.
pub(super) fn members_of(objects: Objects<'_>) -> Vec<(Member, Value)> {
    let pods = objects.list("Pod", NAMESPACE, &[]).into_iter();
    pods.filter_map(|p| {
        let name = p.pointer("/metadata/name")?.as_str()?;
        Some((Member::of_pod(CLUSTER, name)?, p.clone()))
    })
    .collect()
}

/// The objects of the cluster.
pub(super) fn listed(objects: Objects<'_>) -> Listed {
    Listed {
        pods: list(objects, "Pod", NAMESPACE),
        stateful_sets: list(objects, "apps/StatefulSet", NAMESPACE),
        claims: list(objects, "PersistentVolumeClaim", NAMESPACE),
        nodes: list(objects, "Node", ""),
    }
}

/// What Kubernetes says, by these objects, which were listed at this moment.
pub(super) fn kubernetes(objects: Objects<'_>, at: Moment) -> RegistryWorld {
    RegistryWorld {
        kubernetes: read_kubernetes(CLUSTER, &listed(objects), at),
        genesis: read_genesis(first_start(objects).as_ref()),
        ..RegistryWorld::default()
    }
}

/// Asks every server that may answer all that is to be asked of it.
pub(super) fn ask_all(world: &mut World, spec: &Spec, seen: &mut RegistryWorld) {
    let (at, speech) = (moment(world.now()), spec.speech());
    for (member, address) in askable(seen) {
        let port = spec.port(member.role);
        let mut told = Told::new();
        while let Some(question) = Question::next(member.role, speech, &told) {
            told.insert(question, ask(world, address, port, question, member.role));
        }
        let heard = Heard { told: &told, data_center: spec.valid.data_center.as_str(), at };
        note_told(seen, member, speech, &heard);
    }
    seen.orphaned_ids = orphaned_ids(seen, speech);
}

fn ask(
    world: &mut World,
    address: Ipv4Addr,
    port: u16,
    question: Question,
    role: crate::api::v1alpha1::Role,
) -> Result<Answer, Unknown> {
    let mut request = Request::get(address, port, question.path(role));
    request.fields = question.query().iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let now = world.now();
    match world.registry().http_at_once(now, &request) {
        Some(Reply::Answer(answer)) => Ok(answer),
        Some(Reply::Refused) => Err(Unknown::Refused),
        Some(Reply::TimedOut | Reply::Closed) | None => Err(Unknown::TimedOut),
    }
}
