//! What is kept of an object: as much as `observe` reads. Hundreds of clusters are held in memory.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Container, ContainerStatus, Node, NodeSpec, NodeStatus, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    Pod, PodSpec, PodStatus, PodTemplateSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The metadata by which an object is known, without what changes with every write.
fn known(meta: ObjectMeta) -> ObjectMeta {
    ObjectMeta { managed_fields: None, resource_version: None, creation_timestamp: None, ..meta }
}

/// A pod.
pub(crate) fn pod(pod: Pod) -> Pod {
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
            init_container_statuses: status
                .init_container_statuses
                .map(|all| all.into_iter().map(container).collect()),
            ..PodStatus::default()
        }),
    }
}

fn container(status: ContainerStatus) -> ContainerStatus {
    ContainerStatus {
        name: status.name,
        ready: status.ready,
        state: status.state,
        last_state: status.last_state,
        restart_count: status.restart_count,
        ..ContainerStatus::default()
    }
}

/// A StatefulSet, without its status: pods are counted one by one.
pub(crate) fn stateful_set(set: StatefulSet) -> StatefulSet {
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
pub(crate) fn claim(claim: PersistentVolumeClaim) -> PersistentVolumeClaim {
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
pub(crate) fn node(node: Node) -> Node {
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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSchedulingGate;
    use kube::Resource;
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;
    use crate::kube_io::told::Told;
    use crate::observe::{Listed, PodPhase, RaftData, Trouble, read_kubernetes};
    use crate::types::Moment;

    /// As it comes back from a table.
    fn kept<K: Resource + Serialize + DeserializeOwned>(object: &K) -> K {
        Told::keeping(object).kept.object().unwrap()
    }

    /// A pod in all that may be read of it; `status` as its kubelet writes it.
    fn told(status: &Value) -> Pod {
        let pod = json!({
            "metadata": {
                "name": "prod-meta-0", "uid": "00000000-0000-4000-8000-000000000001", "resourceVersion": "7",
                "labels": {"middleware.sofastack.io/revision": "t1"},
                "annotations": {
                    "middleware.sofastack.io/unreachable": "accepted", "middleware.sofastack.io/raft-data": "kept",
                },
            },
            "spec": {"nodeName": "node-1", "containers": [{"name": "meta", "image": "x:1"}]},
            "status": status,
        });
        serde_json::from_value(pod).unwrap()
    }

    /// What a decision is made from is the same by the caches and past them: by the caches it is waited.
    #[test]
    fn nothing_that_is_read_of_a_pod_is_dropped() {
        let ran = json!({"terminated": {"exitCode": 1, "startedAt": "2026-11-26T10:00:00Z", "finishedAt": "2026-11-26T10:00:09Z"}});
        let found_nothing = json!({"terminated": {"exitCode": crate::api::objects::VOLUME_EMPTY}});
        let container = |name: &str, state: Value, last: &Value| json!([{"name": name, "ready": false, "restartCount": 3, "image": "x:1", "imageID": "", "state": state, "lastState": last}]);
        let waits = |reason: &str| json!({"waiting": {"reason": reason}});
        let runs = json!({"running": {"startedAt": "2026-11-26T10:01:00Z"}});
        let unschedulable = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]);
        let statuses = [
            json!({"podIP": "10.0.0.7", "containerStatuses": container("meta", runs, &json!({}))}),
            json!({"podIP": "10.0.0.7", "containerStatuses": container("meta", waits("CrashLoopBackOff"), &ran)}),
            json!({"containerStatuses": container("meta", waits("ImagePullBackOff"), &json!({}))}),
            json!({"initContainerStatuses": container("raft-data", waits("CrashLoopBackOff"), &found_nothing)}),
            json!({"initContainerStatuses": container("raft-data", waits("CreateContainerError"), &json!({}))}),
            json!({"conditions": unschedulable}),
            json!({"reason": "NodeLost"}),
        ];
        let mut troubles = Vec::new();
        for status in &statuses {
            let read = |pod: Pod| {
                let listed = Listed { pods: vec![pod], ..Listed::default() };
                read_kubernetes("prod", &listed, Moment::from_millis(1_795_223_049_000))
            };
            let (full, slim) = (read(told(status)), read(kept(&pod(told(status)))));
            assert_eq!(slim, full, "{status}");
            let one = full.pods.into_values().next().unwrap();
            assert!(
                one.waived && one.phase == PodPhase::Starting && one.raft_data == Some(RaftData::Kept),
                "{one:?}"
            );
            troubles.push((one.trouble, one.started.is_some()));
        }
        let expected = [
            (None, true),
            (Some(Trouble::Crash), true),
            (Some(Trouble::Image), false),
            (Some(Trouble::VolumeEmpty), false),
            (Some(Trouble::Create), false),
            (Some(Trouble::Unschedulable), false),
            (None, false),
        ];
        assert_eq!(troubles, expected);
    }

    /// The same of a pod that is held or stops, and of the metadata, sizes, images and gates of the others.
    #[test]
    fn nothing_that_is_read_of_the_others_is_dropped() {
        let mut held = told(&json!({}));
        held.spec.as_mut().unwrap().scheduling_gates =
            Some(vec![PodSchedulingGate { name: crate::api::objects::ADMISSION_GATE.to_owned() }]);
        let mut stops = told(&json!({}));
        stops.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-11-26T10:00:00Z")).unwrap());
        for (full, phase) in [(held, PodPhase::Held), (stops, PodPhase::Stopping)] {
            let read = |pod: Pod| {
                let listed = Listed { pods: vec![pod], ..Listed::default() };
                read_kubernetes("prod", &listed, Moment::from_millis(1)).pods.into_values().next().unwrap()
            };
            assert_eq!((read(kept(&pod(full.clone()))), phase), (read(full.clone()), read(full).phase));
        }
        let size = json!({"requests": {"storage": "10Gi"}});
        let set: StatefulSet = serde_json::from_value(json!({
            "metadata": {"name": "prod-meta"},
            "spec": {
                "replicas": 3, "serviceName": "x", "selector": {},
                "template": {
                    "metadata": {"labels": {"middleware.sofastack.io/revision": "t1"}},
                    "spec": {
                        "schedulingGates": [{"name": crate::api::objects::ADMISSION_GATE}],
                        "containers": [{"name": "meta", "image": "x:1", "command": ["y"]}],
                    },
                },
                "volumeClaimTemplates": [{"metadata": {"name": "home"}, "spec": {"resources": size}}],
            },
        }))
        .unwrap();
        let home: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": {
                "name": "home-prod-meta-0", "uid": "c",
                "annotations": {"middleware.sofastack.io/raft-member": "true", "middleware.sofastack.io/set-raft-data-aside": "t"},
            },
            "spec": {"resources": size, "storageClassName": "fast"},
        }))
        .unwrap();
        let (slim_set, slim_home) = (kept(&stateful_set(set.clone())), kept(&claim(home.clone())));
        let read = |set: &StatefulSet, home: &PersistentVolumeClaim| {
            let listed =
                Listed { stateful_sets: vec![set.clone()], claims: vec![home.clone()], ..Listed::default() };
            read_kubernetes("prod", &listed, Moment::from_millis(1))
        };
        let full = read(&set, &home);
        assert_eq!(
            (read(&slim_set, &slim_home), full.workloads.len(), full.claims.len()),
            (full.clone(), 1, 1)
        );
        let spec = |set: &StatefulSet| set.spec.clone().unwrap();
        let (whole, slim) = (spec(&set), spec(&slim_set));
        let pod = |spec: &StatefulSetSpec| spec.template.spec.clone().unwrap();
        assert_eq!(pod(&slim).scheduling_gates, pod(&whole).scheduling_gates);
        assert_eq!(pod(&slim).containers[0].image, pod(&whole).containers[0].image);
        let sizes = |all: &Option<Vec<PersistentVolumeClaim>>| {
            all.clone().unwrap()[0].spec.clone().unwrap().resources
        };
        assert_eq!(sizes(&slim.volume_claim_templates), sizes(&whole.volume_claim_templates));
        assert_eq!(slim_home.spec.unwrap().resources, home.spec.unwrap().resources);
    }
}
