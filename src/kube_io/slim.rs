//! What is kept of an object: as much as `observe` reads. Hundreds of clusters are held in memory.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Container, ContainerStatus, Node, NodeSpec, NodeStatus, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    Pod, PodSpec, PodStatus, PodTemplateSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;

/// The metadata by which an object is known, without what changes with every write.
fn known(meta: ObjectMeta) -> ObjectMeta {
    ObjectMeta { managed_fields: None, resource_version: None, creation_timestamp: None, ..meta }
}

/// A pod.
pub(super) fn pod(pod: Pod) -> Pod {
    Pod {
        metadata: known(pod.metadata),
        spec: pod.spec.map(|spec| PodSpec {
            node_name: spec.node_name,
            scheduling_gates: spec.scheduling_gates,
            ..PodSpec::default()
        }),
        status: pod.status.map(|status| PodStatus {
            pod_ip: status.pod_ip,
            reason: status.reason,
            conditions: status.conditions.map(|all| {
                let scheduled = all.into_iter().filter(|c| c.type_ == "PodScheduled");
                scheduled
                    .map(|mut c| {
                        c.last_probe_time = None;
                        c.last_transition_time = None;
                        c
                    })
                    .collect()
            }),
            container_statuses: status.container_statuses.map(|all| all.into_iter().map(container).collect()),
            ..PodStatus::default()
        }),
    }
}

fn container(status: ContainerStatus) -> ContainerStatus {
    ContainerStatus {
        name: status.name,
        ready: status.ready,
        state: status.state,
        restart_count: status.restart_count,
        ..ContainerStatus::default()
    }
}

/// A StatefulSet, without its status: pods are counted one by one.
pub(super) fn stateful_set(set: StatefulSet) -> StatefulSet {
    StatefulSet {
        metadata: known(set.metadata),
        spec: set.spec.map(|spec| StatefulSetSpec {
            replicas: spec.replicas,
            template: template(spec.template),
            volume_claim_templates: spec
                .volume_claim_templates
                .map(|all| all.into_iter().map(claim).collect()),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

fn template(template: PodTemplateSpec) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: template.metadata.map(|meta| ObjectMeta { labels: meta.labels, ..ObjectMeta::default() }),
        spec: template.spec.map(|spec| PodSpec {
            containers: spec
                .containers
                .into_iter()
                .map(|c| Container { name: c.name, image: c.image, ..Container::default() })
                .collect(),
            scheduling_gates: spec.scheduling_gates,
            ..PodSpec::default()
        }),
    }
}

/// A claim.
pub(super) fn claim(claim: PersistentVolumeClaim) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: known(claim.metadata),
        spec: claim.spec.map(|spec| PersistentVolumeClaimSpec {
            resources: spec.resources,
            storage_class_name: spec.storage_class_name,
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// A node: whether it answers.
pub(super) fn node(node: Node) -> Node {
    let metadata = ObjectMeta { name: node.metadata.name, ..ObjectMeta::default() };
    Node {
        metadata,
        spec: node.spec.map(|spec| NodeSpec { taints: spec.taints, ..NodeSpec::default() }),
        status: node.status.map(|status| NodeStatus {
            conditions: status.conditions.map(|all| {
                let ready = all.into_iter().filter(|c| c.type_ == "Ready");
                ready
                    .map(|mut c| {
                        c.last_heartbeat_time = None;
                        c
                    })
                    .collect()
            }),
            ..NodeStatus::default()
        }),
    }
}

/// The metadata of anything.
pub(super) fn meta<K>(mut object: PartialObjectMeta<K>) -> PartialObjectMeta<K> {
    object.metadata.managed_fields = None;
    object
}
