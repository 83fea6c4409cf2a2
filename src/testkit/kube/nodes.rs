//! Nodes: they come, are lost, come back, or are given up.

use serde_json::{Value, json};

use super::json::{list, set, text};
use super::lifecycle::{State, set_condition};
use super::object::Key;
use super::{FakeCluster, Signal, Workload};

/// How a node is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeLoss {
    /// Its processes are dead.
    PowerOff,
    /// Its processes run on, cut off from everything.
    CutOff,
}

const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

impl FakeCluster {
    /// Adds a node that is ready.
    pub fn add_node(&mut self, name: &str) {
        let node = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
        if self.insert(node).is_ok() {
            self.node_condition(name, "True", "KubeletReady");
        }
    }

    fn node_condition(&mut self, name: &str, status: &str, reason: &str) {
        let (key, now) = (Key::new("Node", "", name), self.now);
        if let Some(mut node) = self.objects.get(&key).cloned() {
            set_condition(&mut node, "Ready", status, reason, now);
            self.replace(&key, node);
        }
    }

    pub(super) fn pods_on(&self, node: &str) -> Vec<Value> {
        let pods = self.objects().list("Pod", "", &[]).into_iter();
        pods.filter(|p| text(p, "/spec/nodeName") == node).cloned().collect()
    }

    /// A node is lost: its kubelet is silent from now on.
    pub fn lose_node(&mut self, name: &str, loss: NodeLoss, workload: &mut dyn Workload) {
        self.lost_nodes.insert(name.to_owned(), self.now);
        for pod in self.pods_on(name) {
            let running = self.runtimes.get(text(&pod, "/metadata/uid")).is_some_and(|r| r.state.runs());
            match loss {
                NodeLoss::PowerOff if running => {
                    workload.on_container_stop(&pod, Signal::Kill, self.now);
                    workload.on_address_released(&pod, self.now);
                }
                NodeLoss::PowerOff => {}
                NodeLoss::CutOff => workload.on_cut_off(&pod, true, self.now),
            }
            if let Some(runtime) = self.runtimes.get_mut(text(&pod, "/metadata/uid")) {
                runtime.powered_off |= loss == NodeLoss::PowerOff;
            }
        }
        self.step(workload);
    }

    /// A lost node is back. Pods that were deleted meanwhile end; after a power loss the others start again, each with a
    /// new address.
    pub fn restore_node(&mut self, name: &str, workload: &mut dyn Workload) {
        self.lost_nodes.remove(name);
        self.node_condition(name, "True", "KubeletReady");
        let key = Key::new("Node", "", name);
        if let Some(node) = self.objects.get(&key) {
            let left: Vec<Value> = list(node, "/spec/taints")
                .iter()
                .filter(|t| text(t, "/key") != UNREACHABLE)
                .cloned()
                .collect();
            self.controller_set(&key, &["spec", "taints"], left.into());
        }
        let at = self.now + self.timing.container_start;
        for pod in self.pods_on(name) {
            let Some(runtime) = self.runtimes.get_mut(text(&pod, "/metadata/uid")) else { continue };
            runtime.quiet_until = 0;
            if std::mem::take(&mut runtime.powered_off) {
                runtime.restarts += 1;
                runtime.address = None;
                runtime.state = State::Creating { at };
            } else {
                workload.on_cut_off(&pod, false, self.now);
            }
        }
        self.step(workload);
    }

    /// What the controllers make of lost nodes and of nodes that are no more.
    pub(super) fn step_nodes(&mut self, workload: &mut dyn Workload) {
        let lost: Vec<(String, u64)> = self.lost_nodes.iter().map(|(n, at)| (n.clone(), *at)).collect();
        for (name, since) in lost {
            let unknown = since + self.timing.node_unknown;
            let evicts = unknown + self.timing.node_evicts;
            self.due(unknown);
            self.due(evicts);
            if self.now >= unknown {
                self.mark_unreachable(&name);
            }
            if self.now >= evicts {
                for pod in self.pods_on(&name) {
                    self.delete_pod(&Key::of(&pod), None);
                }
            }
        }
        // Pods on a node that was deleted, or is declared out of service, are taken away by force.
        let given_up: Vec<Value> = self
            .objects()
            .list("Pod", "", &[])
            .into_iter()
            .filter(|pod| {
                let node = text(pod, "/spec/nodeName");
                let object = self.objects.get(&Key::new("Node", "", node));
                let out = object.is_some_and(|n| {
                    self.lost_nodes.contains_key(node)
                        && list(n, "/spec/taints").iter().any(|t| text(t, "/key") == OUT_OF_SERVICE)
                });
                !node.is_empty() && (object.is_none() || out)
            })
            .cloned()
            .collect();
        for pod in given_up {
            workload.on_container_stop(&pod, Signal::Kill, self.now);
            self.end_pod(&pod, workload);
        }
    }

    fn mark_unreachable(&mut self, name: &str) {
        self.node_condition(name, "Unknown", "NodeStatusUnknown");
        let key = Key::new("Node", "", name);
        if let Some(node) = self.objects.get(&key).cloned() {
            let mut taints = list(&node, "/spec/taints").to_vec();
            if !taints.iter().any(|t| text(t, "/key") == UNREACHABLE) {
                taints.push(json!({"key": UNREACHABLE, "effect": "NoExecute"}));
                self.controller_set(&key, &["spec", "taints"], taints.into());
            }
        }
        let now = self.now;
        for mut pod in self.pods_on(name) {
            set_condition(&mut pod, "Ready", "False", "NodeNotReady", now);
            set(&mut pod, &["status", "reason"], "NodeLost".into());
            self.replace(&Key::of(&pod), pod);
        }
    }
}
