//! What Kubernetes says of a cluster, read from its objects. Pure: who listed them, and when, is the caller's business.
//!
//! May import `types`, `api`, the names that `build` gives to objects, and the types of Kubernetes.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    ConfigMap, ContainerStatus, Node as KubeNode, PersistentVolumeClaim, Pod as KubePod,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Claim, Genesis, Kubernetes, Member, Node, Pod, PodPhase, RaftData, Trouble, Workload};
use crate::api::objects::{
    ADMISSION_GATE, RAFT_DATA, RAFT_DATA_GUARD, REVISION, SET_ASIDE, VOLUME_EMPTY, WAS_SET_ASIDE, claim_name,
    role_name,
};
use crate::api::v1alpha1::Role;
use crate::types::{DnsLabel, Moment, fingerprint};

/// The annotation of a pod by which a person says that it may be taken for gone though nobody can reach it.
pub const UNREACHABLE_ANNOTATION: &str = "middleware.sofastack.io/unreachable";
/// The one value of it that counts.
pub const ACCEPTED: &str = "accepted";
/// The annotation of a claim whose meta has been a member of the raft group. What has it not is blank.
pub const MEMBER_ANNOTATION: &str = "middleware.sofastack.io/raft-member";
/// Its value.
pub const IS_MEMBER: &str = "true";

/// The taint of a node that does not answer.
const UNREACHABLE_TAINT: &str = "node.kubernetes.io/unreachable";
/// The key of the ConfigMap with how far the first start has come.
const GENESIS_STATE: &str = "state";
/// The key of it with the uids of the founders' claims, separated by commas.
const GENESIS_CLAIMS: &str = "claims";
/// The key of it with the raft group: the same for ever, also for a cluster that is made again over its volumes.
const GENESIS_RAFT_GROUP: &str = "raftGroup";

/// The objects of one namespace, as they were listed. Those of other clusters may be among them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listed {
    /// Pods.
    pub pods: Vec<KubePod>,
    /// StatefulSets.
    pub stateful_sets: Vec<StatefulSet>,
    /// Claims.
    pub claims: Vec<PersistentVolumeClaim>,
    /// All nodes of the Kubernetes cluster.
    pub nodes: Vec<KubeNode>,
}

/// What they say of one cluster. `at`: when the first of the lists was asked for.
#[must_use]
pub fn read_kubernetes(cluster: &str, listed: &Listed, at: Moment) -> Kubernetes {
    let silent: BTreeSet<&str> =
        listed.nodes.iter().filter(|n| !answers(n)).filter_map(|n| name(&n.metadata)).collect();
    let known: BTreeSet<&str> = listed.nodes.iter().filter_map(|n| name(&n.metadata)).collect();
    let node_of = |pod: &KubePod| {
        let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref());
        let lost = node.is_some_and(|n| silent.contains(n) || !known.contains(n));
        if lost || reason(pod) == Some("NodeLost") { Node::Unreachable } else { Node::Reachable }
    };
    Kubernetes {
        at,
        pods: listed
            .pods
            .iter()
            .filter_map(|pod| {
                let member = Member::of_pod(cluster, name(&pod.metadata)?)?;
                Some((member, read_pod(pod, member.role, node_of(pod))?))
            })
            .collect(),
        workloads: Role::ALL
            .into_iter()
            .filter_map(|role| {
                let wanted = role_name(cluster, role);
                let set = listed.stateful_sets.iter().find(|s| name(&s.metadata) == Some(&wanted))?;
                Some((role, read_workload(set)?))
            })
            .collect(),
        claims: listed.claims.iter().filter_map(|claim| read_claim(cluster, claim)).collect(),
    }
}

fn name(meta: &ObjectMeta) -> Option<&str> {
    meta.name.as_deref()
}

fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Whether a node says that it is ready, and is not tainted as unreachable.
fn answers(node: &KubeNode) -> bool {
    let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let unknown = conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "Unknown");
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    !unknown && !taints.into_iter().any(|t| t.key == UNREACHABLE_TAINT)
}

fn reason(pod: &KubePod) -> Option<&str> {
    pod.status.as_ref()?.reason.as_deref()
}

/// One pod; `None` without a uid that is one. Of its containers the server's counts, which is named after its role: the kubelet
/// sorts them by name, and a person's sidecar may be the first.
fn read_pod(pod: &KubePod, role: Role, node: Node) -> Option<Pod> {
    let status = pod.status.as_ref();
    let container =
        status.and_then(|s| s.container_statuses.as_ref()?.iter().find(|c| c.name == role.field()));
    let revision = pod.metadata.labels.as_ref().and_then(|l| l.get(REVISION)).cloned();
    Some(Pod {
        uid: pod.metadata.uid.as_deref()?.parse().ok()?,
        address: status.and_then(|s| s.pod_ip.as_deref()?.parse().ok()),
        revision: revision.unwrap_or_default(),
        phase: phase(pod, container),
        node,
        started: container.and_then(started),
        trouble: trouble(pod, container),
        waived: annotation(&pod.metadata, UNREACHABLE_ANNOTATION) == Some(ACCEPTED),
        raft_data: annotation(&pod.metadata, RAFT_DATA).and_then(RaftData::of),
    })
}

/// When a container started last, whether or not it still runs.
fn started(container: &ContainerStatus) -> Option<Moment> {
    let mut states = [&container.state, &container.last_state].into_iter().flatten();
    let moment = states.find_map(|state| {
        let running = state.running.as_ref().and_then(|running| running.started_at.as_ref());
        running.or_else(|| state.terminated.as_ref()?.started_at.as_ref())
    });
    moment.map(Moment::from)
}

fn phase(pod: &KubePod, container: Option<&ContainerStatus>) -> PodPhase {
    let gates = pod.spec.iter().flat_map(|s| s.scheduling_gates.iter().flatten());
    if pod.metadata.deletion_timestamp.is_some() {
        PodPhase::Stopping
    } else if gates.into_iter().any(|g| g.name == ADMISSION_GATE) {
        PodPhase::Held
    } else if container.is_some_and(|c| c.ready) {
        PodPhase::Ready
    } else {
        PodPhase::Starting
    }
}

/// What keeps a pod from working, by the words of its kubelet or of the scheduler.
fn trouble(pod: &KubePod, container: Option<&ContainerStatus>) -> Option<Trouble> {
    let guards = pod.status.as_ref().and_then(|s| s.init_container_statuses.as_ref());
    let guard = guards.and_then(|all| all.iter().find(|c| c.name == RAFT_DATA_GUARD));
    if guard.is_some_and(has_found_nothing) {
        return Some(Trouble::VolumeEmpty);
    }
    let waits = |c: &'_ ContainerStatus| c.state.as_ref()?.waiting.as_ref()?.reason.clone();
    let waiting = guard.and_then(waits).or_else(|| container.and_then(waits));
    match waiting.as_deref() {
        Some("ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull") => {
            return Some(Trouble::Image);
        }
        Some("CrashLoopBackOff") => return Some(Trouble::Crash),
        Some("CreateContainerError" | "CreateContainerConfigError" | "RunContainerError") => {
            return Some(Trouble::Create);
        }
        _ => {}
    }
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let unschedulable = |c: &k8s_openapi::api::core::v1::PodCondition| {
        c.type_ == "PodScheduled" && c.status == "False" && c.reason.as_deref() == Some("Unschedulable")
    };
    conditions.into_iter().any(unschedulable).then_some(Trouble::Unschedulable)
}

/// Whether the container that looks for raft data ended because there is none, now or the last time that it ran.
fn has_found_nothing(guard: &ContainerStatus) -> bool {
    let mut states = [&guard.state, &guard.last_state].into_iter().flatten();
    let last = states.find_map(|state| state.terminated.as_ref());
    last.is_some_and(|state| state.exit_code == i32::from(VOLUME_EMPTY))
}

/// A StatefulSet; `None` while it is being deleted: its pods are then made by nobody.
fn read_workload(set: &StatefulSet) -> Option<Workload> {
    let spec = set.spec.as_ref().filter(|_| set.metadata.deletion_timestamp.is_none())?;
    let labels = spec.template.metadata.as_ref().and_then(|m| m.labels.as_ref());
    Some(Workload {
        replicas: u32::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0),
        revision: labels.and_then(|l| l.get(REVISION)).cloned().unwrap_or_default(),
    })
}

/// What a person asks for once: any word will do. One that is no label, and so no part of the name of a folder, counts by its
/// hash. `None`: an empty one.
fn aside_token(word: &str) -> Option<DnsLabel> {
    word.parse().or_else(|_| fingerprint(word).parse()).ok().filter(|_| !word.is_empty())
}

/// The claim of a member of this cluster; `None` while it is being deleted: it still holds its volume, but for no new pod.
fn read_claim(cluster: &str, claim: &PersistentVolumeClaim) -> Option<(Member, Claim)> {
    let called = name(&claim.metadata).filter(|_| claim.metadata.deletion_timestamp.is_none())?;
    let ordinal = called.rsplit_once('-')?.1.parse().ok()?;
    let role = Role::ALL.into_iter().find(|role| claim_name(cluster, *role, ordinal) == called)?;
    let marked = annotation(&claim.metadata, MEMBER_ANNOTATION) == Some(IS_MEMBER);
    let token = annotation(&claim.metadata, SET_ASIDE).and_then(aside_token);
    let aside = token.filter(|token| annotation(&claim.metadata, WAS_SET_ASIDE) != Some(token.as_str()));
    Some((Member::new(role, ordinal), Claim { uid: claim.metadata.uid.clone()?, marked, aside }))
}

/// The name of the ConfigMap in which the first start of a cluster is recorded.
#[must_use]
pub fn genesis_name(cluster: &str) -> String {
    format!("{cluster}-registry-genesis")
}

/// How far the first start has come, by its record. A record that is damaged counts as done: then blank metas are let in
/// one at a time, and never start a second cluster.
#[must_use]
pub fn read_genesis(record: Option<&ConfigMap>) -> Genesis {
    let Some(record) = record else { return Genesis::Never };
    let word = |key: &str| record.data.as_ref().and_then(|d| d.get(key)).map(String::as_str);
    match (word(GENESIS_STATE), word(GENESIS_CLAIMS)) {
        (Some("Never"), _) => Genesis::Never,
        (Some("Begun"), Some(claims)) if !claims.is_empty() => {
            Genesis::Begun { claims: claims.split(',').map(str::to_owned).collect() }
        }
        _ => Genesis::Done,
    }
}

/// The raft group that was fixed at the first start, by its record.
#[must_use]
pub fn read_raft_group(record: Option<&ConfigMap>) -> Option<String> {
    record?.data.as_ref()?.get(GENESIS_RAFT_GROUP).filter(|name| !name.is_empty()).cloned()
}

/// The data of that record.
#[must_use]
pub fn genesis_data(genesis: &Genesis, raft_group: &str) -> BTreeMap<String, String> {
    let (state, claims) = match genesis {
        Genesis::Never => ("Never", String::new()),
        Genesis::Begun { claims } => ("Begun", claims.iter().cloned().collect::<Vec<_>>().join(",")),
        Genesis::Done => ("Done", String::new()),
    };
    let state = (GENESIS_STATE.to_owned(), state.to_owned());
    [state, (GENESIS_CLAIMS.to_owned(), claims), (GENESIS_RAFT_GROUP.to_owned(), raft_group.to_owned())]
        .into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(edit: impl FnOnce(&mut Value)) -> Pod {
        let mut pod = json!({
            "metadata": {"name": "prod-meta-1", "uid": "00000000-0000-4000-8000-000000000001",
                "labels": {"middleware.sofastack.io/revision": "abc"}, "annotations": {}},
            "spec": {"nodeName": "a", "containers": []},
            "status": {"podIP": "10.0.0.7", "containerStatuses": [{"name": "meta", "image": "", "imageID": "",
                "ready": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}}}]},
        });
        edit(&mut pod);
        let listed = Listed {
            pods: vec![serde_json::from_value(pod).unwrap()],
            nodes: ["a", "b"]
                .map(|n| {
                    let status = if n == "a" { "True" } else { "Unknown" };
                    serde_json::from_value(json!({"metadata": {"name": n},
                        "status": {"conditions": [{"type": "Ready", "status": status}]}}))
                    .unwrap()
                })
                .into(),
            ..Listed::default()
        };
        let seen = read_kubernetes("prod", &listed, Moment::default());
        seen.pods.get(&Member::new(Role::Meta, 1)).unwrap().clone()
    }

    #[test]
    fn a_pod_that_works() {
        let seen = pod(|_| {});
        assert_eq!(seen.address, "10.0.0.7".parse().ok());
        assert_eq!(
            (seen.revision.as_str(), seen.phase, seen.node),
            ("abc", PodPhase::Ready, Node::Reachable)
        );
        assert_eq!(seen.started.map(Moment::as_millis), Some(1_767_225_605_000));
        assert!(seen.trouble.is_none() && !seen.waived);
    }

    #[test]
    fn a_container_that_has_ended_had_started() {
        let at = "2026-01-01T00:00:05Z";
        for state in [
            json!({"state": {"terminated": {"exitCode": 1, "startedAt": at}}}),
            json!({"state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1, "startedAt": at}}}),
        ] {
            let seen = pod(|p| {
                for key in ["state", "lastState"] {
                    p["status"]["containerStatuses"][0][key] = state[key].clone();
                }
            });
            assert_eq!(seen.started.map(Moment::as_millis), Some(1_767_225_605_000), "{state}");
        }
        let never = pod(|p| p["status"]["containerStatuses"][0]["state"] = json!({"waiting": {}}));
        assert_eq!(never.started, None);
    }

    #[test]
    fn a_sidecar_says_nothing_of_the_server() {
        let sidecar = json!({"name": "agent", "image": "", "imageID": "", "ready": false, "restartCount": 9,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
        let seen = pod(|p| {
            let statuses = p["status"]["containerStatuses"].as_array_mut().unwrap();
            statuses.insert(0, sidecar);
        });
        assert!(seen.phase == PodPhase::Ready && seen.trouble.is_none(), "{seen:?}");
    }

    #[test]
    fn phases() {
        let gated = pod(|p| p["spec"]["schedulingGates"] = json!([{"name": ADMISSION_GATE}]));
        assert_eq!(gated.phase, PodPhase::Held);
        let others = pod(|p| p["spec"]["schedulingGates"] = json!([{"name": "quota"}]));
        assert_eq!(others.phase, PodPhase::Ready, "a gate of somebody else is not ours to lift");
        let stopping = pod(|p| p["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:09Z"));
        assert_eq!(stopping.phase, PodPhase::Stopping);
        assert_eq!(
            pod(|p| p["status"]["containerStatuses"][0]["ready"] = json!(false)).phase,
            PodPhase::Starting
        );
        assert_eq!(pod(|p| p["status"] = json!({})).phase, PodPhase::Starting);
    }

    #[test]
    fn nodes_that_do_not_answer() {
        assert_eq!(pod(|p| p["spec"]["nodeName"] = json!("b")).node, Node::Unreachable);
        assert_eq!(
            pod(|p| p["spec"]["nodeName"] = json!("c")).node,
            Node::Unreachable,
            "a node that was deleted"
        );
        assert_eq!(pod(|p| p["status"]["reason"] = json!("NodeLost")).node, Node::Unreachable);
        assert!(pod(|p| p["metadata"]["annotations"][UNREACHABLE_ANNOTATION] = json!("accepted")).waived);
        assert!(!pod(|p| p["metadata"]["annotations"][UNREACHABLE_ANNOTATION] = json!("maybe")).waived);
    }

    #[test]
    fn troubles() {
        for (reason, trouble) in [
            ("ImagePullBackOff", Some(Trouble::Image)),
            ("ErrImagePull", Some(Trouble::Image)),
            ("CrashLoopBackOff", Some(Trouble::Crash)),
            ("CreateContainerError", Some(Trouble::Create)),
            ("ContainerCreating", None),
        ] {
            let state = json!({"waiting": {"reason": reason}});
            assert_eq!(
                pod(|p| p["status"]["containerStatuses"][0]["state"] = state).trouble,
                trouble,
                "{reason}"
            );
        }
        let scheduled = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]);
        let seen = pod(|p| p["status"] = json!({"conditions": scheduled}));
        assert_eq!(seen.trouble, Some(Trouble::Unschedulable));
    }

    #[test]
    fn a_meta_whose_volume_is_empty() {
        let guard = |state: Value| {
            pod(|p| {
                p["status"]["initContainerStatuses"] = json!([{"name": RAFT_DATA_GUARD, "image": "", "imageID": "",
                    "ready": false, "restartCount": 1, "state": state["now"], "lastState": state["before"]}]);
            })
        };
        let ended = |code: u8| json!({"terminated": {"exitCode": code}});
        let again = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        for (state, trouble) in [
            (json!({"now": ended(VOLUME_EMPTY)}), Some(Trouble::VolumeEmpty)),
            (json!({"now": again, "before": ended(VOLUME_EMPTY)}), Some(Trouble::VolumeEmpty)),
            (json!({"now": again, "before": ended(127)}), Some(Trouble::Crash)),
            (json!({"now": {"waiting": {"reason": "ErrImagePull"}}}), Some(Trouble::Image)),
            (json!({"now": ended(0)}), None),
            (json!({"now": ended(0), "before": ended(VOLUME_EMPTY)}), None),
        ] {
            assert_eq!(guard(state.clone()).trouble, trouble, "{state}");
        }
        for (word, may_be_blank) in
            [("blank", true), ("kept", false), ("aside-t1", true), ("aside-", false), ("else", false)]
        {
            let seen = pod(|p| p["metadata"]["annotations"][RAFT_DATA] = json!(word));
            assert_eq!(seen.may_be_blank(), may_be_blank, "{word}");
            assert!(seen.raft_data.is_none_or(|data| data.word() == word), "{word}");
        }
    }

    #[test]
    fn claims_and_workloads() {
        let claim = |name: &str, mark: Value| -> PersistentVolumeClaim {
            let meta = json!({"name": name, "uid": "u", "annotations": {MEMBER_ANNOTATION: mark}});
            serde_json::from_value(json!({"metadata": meta})).unwrap()
        };
        let mut going = claim("home-prod-meta-2", json!("true"));
        let mut aside = claim("home-prod-meta-3", json!("true"));
        for (key, value) in [(SET_ASIDE, "t2"), (WAS_SET_ASIDE, "t1")] {
            aside.metadata.annotations.as_mut().unwrap().insert(key.to_owned(), value.to_owned());
        }
        let mut done = aside.clone();
        done.metadata.name = Some("home-prod-meta-4".to_owned());
        done.metadata.annotations.as_mut().unwrap().insert(SET_ASIDE.to_owned(), "t1".to_owned());
        // No label, so that its hash is the token.
        let mut odd = done.clone();
        odd.metadata.name = Some("home-prod-meta-5".to_owned());
        odd.metadata.annotations.as_mut().unwrap().insert(SET_ASIDE.to_owned(), "../2026".to_owned());
        let mut odd_done = odd.clone();
        odd_done.metadata.name = Some("home-prod-meta-6".to_owned());
        odd_done
            .metadata
            .annotations
            .as_mut()
            .unwrap()
            .insert(WAS_SET_ASIDE.to_owned(), fingerprint("../2026"));
        going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:09Z")).unwrap();
        let set = json!({"metadata": {"name": "prod-data"}, "spec": {"replicas": 3, "serviceName": "", "selector": {},
            "template": {"metadata": {"labels": {"middleware.sofastack.io/revision": "r1"}}}}});
        let listed = Listed {
            claims: vec![
                claim("home-prod-meta-0", json!("true")),
                claim("home-prod-data-1", json!("no")),
                claim("home-prod-x-meta-0", json!("true")),
                claim("logs-prod-meta-0", json!("true")),
                going,
                aside,
                done,
                odd,
                odd_done,
            ],
            stateful_sets: vec![serde_json::from_value(set).unwrap()],
            ..Listed::default()
        };
        let seen = read_kubernetes("prod", &listed, Moment::default());
        let claims: Vec<_> = seen.claims.iter().map(|(m, c)| (m.to_string(), c.marked)).collect();
        let marked = ["meta-0", "meta-3", "meta-4", "meta-5", "meta-6"].map(|m| (m.to_owned(), true));
        assert_eq!(claims, [&marked[..], &[("data-1".to_owned(), false)]].concat());
        let asides: Vec<String> =
            seen.claims.values().filter_map(|c| c.aside.as_ref()).map(ToString::to_string).collect();
        assert_eq!(asides, ["t2".to_owned(), fingerprint("../2026")], "for each token once");
        assert_eq!(
            seen.workloads.get(&Role::Data),
            Some(&Workload { replicas: 3, revision: "r1".to_owned() })
        );
    }

    #[test]
    fn the_record_of_the_first_start_comes_back() {
        for genesis in [
            Genesis::Never,
            Genesis::Done,
            Genesis::Begun { claims: ["a".to_owned(), "b".to_owned()].into() },
        ] {
            let record = ConfigMap { data: Some(genesis_data(&genesis, "prod-1")), ..ConfigMap::default() };
            assert_eq!(read_genesis(Some(&record)), genesis);
            assert_eq!(read_raft_group(Some(&record)).as_deref(), Some("prod-1"));
        }
        assert_eq!(read_raft_group(Some(&ConfigMap::default())), None);
        assert_eq!(read_genesis(None), Genesis::Never);
        assert_eq!(
            read_genesis(Some(&ConfigMap::default())),
            Genesis::Done,
            "damaged: never a second first start"
        );
    }
}
