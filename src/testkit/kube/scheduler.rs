//! The scheduler: gates hold, required anti-affinity by node holds, local volumes stay where they are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::FakeCluster;
use super::json::{has_labels, list, text};
use super::lifecycle::set_condition;
use super::object::Key;

/// Claims of this storage class are bound to the node of their first pod.
pub const LOCAL_STORAGE_CLASS: &str = "local-path";

const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

impl FakeCluster {
    pub(super) fn step_scheduler(&mut self) {
        for key in self.keys("Pod") {
            let Some(pod) = self.objects.get(&key).cloned() else { continue };
            let placed = !text(&pod, "/spec/nodeName").is_empty();
            if placed || !text(&pod, "/metadata/deletionTimestamp").is_empty() {
                continue;
            }
            if !list(&pod, "/spec/schedulingGates").is_empty() {
                self.unscheduled(&key, "SchedulingGated");
                continue;
            }
            match self.node_for(&pod) {
                Some(node) => self.place(&key, &pod, &node),
                None => self.unscheduled(&key, "Unschedulable"),
            }
        }
    }

    fn unscheduled(&mut self, key: &Key, reason: &str) {
        let now = self.now;
        let Some(mut pod) = self.objects.get(key).cloned() else { return };
        super::json::set(&mut pod, &["status", "phase"], "Pending".into());
        set_condition(&mut pod, "PodScheduled", "False", reason, now);
        self.replace(key, pod);
    }

    fn place(&mut self, key: &Key, pod: &Value, node: &str) {
        let now = self.now;
        let mut placed = pod.clone();
        super::json::set(&mut placed, &["spec", "nodeName"], node.into());
        super::json::set(&mut placed, &["status", "phase"], "Pending".into());
        set_condition(&mut placed, "PodScheduled", "True", "", now);
        self.replace(key, placed);
        for claim in claims_of(key, pod) {
            if self.objects.get(&claim).is_some_and(is_local) {
                self.controller_set(&claim, &["metadata", "annotations", SELECTED_NODE], node.into());
            }
        }
    }

    /// The node with the fewest pods of those that are possible.
    fn node_for(&self, pod: &Value) -> Option<String> {
        let key = Key::of(pod);
        let claims = claims_of(&key, pod);
        let bound = |c: &Key| {
            let claim = self.objects.get(c).filter(|c| text(c, "/metadata/deletionTimestamp").is_empty());
            claim.is_some_and(|c| text(c, "/status/phase") == "Bound")
        };
        if !claims.iter().all(bound) {
            return None;
        }
        let kept: Vec<&str> = claims
            .iter()
            .filter_map(|c| self.objects.get(c))
            .filter_map(|c| c.pointer("/metadata/annotations")?.get(SELECTED_NODE)?.as_str())
            .collect();
        let mut pods: BTreeMap<&str, usize> = BTreeMap::new();
        for other in self.objects().list("Pod", "", &[]) {
            *pods.entry(text(other, "/spec/nodeName")).or_default() += 1;
        }
        self.objects()
            .list("Node", "", &[])
            .into_iter()
            .filter(|node| self.takes_pods(node))
            .map(|node| text(node, "/metadata/name"))
            .filter(|name| kept.iter().all(|k| k == name) && !self.repels(name, pod, &key.namespace))
            .min_by_key(|name| (pods.get(name).copied().unwrap_or(0), *name))
            .map(str::to_owned)
    }

    fn takes_pods(&self, node: &Value) -> bool {
        let name = text(node, "/metadata/name");
        node.pointer("/spec/unschedulable") != Some(&json!(true))
            && list(node, "/spec/taints").is_empty()
            && !self.lost_nodes.contains_key(name)
    }

    /// Whether required anti-affinity keeps the pod off a node: those that are ending count too.
    fn repels(&self, node: &str, pod: &Value, namespace: &str) -> bool {
        let terms =
            list(pod, "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution");
        let there = self.objects().list("Pod", namespace, &[]);
        terms.iter().any(|term| {
            text(term, "/topologyKey") == "kubernetes.io/hostname"
                && there.iter().any(|other| {
                    text(other, "/spec/nodeName") == node
                        && has_labels(other, term.pointer("/labelSelector/matchLabels"))
                })
        })
    }
}

fn is_local(claim: &Value) -> bool {
    text(claim, "/spec/storageClassName") == LOCAL_STORAGE_CLASS
        && claim.pointer("/metadata/annotations").and_then(|a| a.get(SELECTED_NODE)).is_none()
}

/// The claims of a pod.
pub(super) fn claims_of(key: &Key, pod: &Value) -> Vec<Key> {
    list(pod, "/spec/volumes")
        .iter()
        .map(|v| text(v, "/persistentVolumeClaim/claimName"))
        .filter(|name| !name.is_empty())
        .map(|name| Key::new("PersistentVolumeClaim", &key.namespace, name))
        .collect()
}
