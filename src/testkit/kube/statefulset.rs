//! The StatefulSet controller for `OnDelete`: it makes missing pods from the newest template, and deletes those beyond the
//! wanted number. It never replaces a pod that is there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::rng::hash;
use super::FakeCluster;
use super::json::{has_labels, list, number, set, text};
use super::object::Key;

/// The revision of a template.
fn revision(set_object: &Value) -> String {
    let template = set_object.pointer("/spec/template").map(Value::to_string).unwrap_or_default();
    format!("{}-{:010x}", text(set_object, "/metadata/name"), hash(&template) >> 24)
}

/// The reference of a pod to its set.
fn reference(key: &Key, owner: &Value) -> Value {
    json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": key.name,
        "uid": text(owner, "/metadata/uid"), "controller": true, "blockOwnerDeletion": true}])
}

/// Whether a pod is ready, by its condition.
pub(super) fn is_ready(pod: &Value) -> bool {
    list(pod, "/status/conditions")
        .iter()
        .any(|c| text(c, "/type") == "Ready" && text(c, "/status") == "True")
}

/// The label with the number of a pod of a StatefulSet.
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

impl FakeCluster {
    pub(super) fn step_statefulsets(&mut self) {
        for key in self.keys("apps/StatefulSet") {
            let Some(object) = self.objects.get(&key).cloned() else { continue };
            if text(&object, "/metadata/deletionTimestamp").is_empty() {
                self.step_statefulset(&key, &object);
            }
        }
    }

    fn pods_of(&self, owner: &Value) -> Vec<Value> {
        let uid = text(owner, "/metadata/uid");
        let pods = self.objects().list("Pod", text(owner, "/metadata/namespace"), &[]).into_iter();
        pods.filter(|p| list(p, "/metadata/ownerReferences").iter().any(|r| text(r, "/uid") == uid))
            .cloned()
            .collect()
    }

    fn step_statefulset(&mut self, key: &Key, object: &Value) {
        self.adopt(key, object);
        let wanted = number(object, "/spec/replicas").unwrap_or(1);
        let ordered = text(object, "/spec/podManagementPolicy") != "Parallel";
        for ordinal in 0..wanted {
            let pod = Key::new("Pod", &key.namespace, &format!("{}-{ordinal}", key.name));
            match self.objects.get(&pod) {
                None => self.make_pod(key, object, ordinal),
                Some(present) => {
                    if text(present, "/spec/nodeName").is_empty() {
                        self.make_claims(key, object, ordinal);
                    }
                    if !ordered || is_ready(&self.objects[&pod]) {
                        continue;
                    }
                    break;
                }
            }
            if ordered {
                break;
            }
        }
        for pod in self.pods_of(object) {
            let ordinal = pod["metadata"]["labels"][POD_INDEX].as_str().unwrap_or_default().parse::<u64>();
            let too_many = ordinal.is_ok_and(|o| o >= wanted);
            if too_many && text(&pod, "/metadata/deletionTimestamp").is_empty() {
                self.delete_pod(&Key::of(&pod), None);
            }
        }
        self.statefulset_status(key, object);
    }

    /// Pods that its selector matches and that nobody owns become its own: so does a set that was made anew around its
    /// pods find them.
    fn adopt(&mut self, key: &Key, object: &Value) {
        let nobodys: Vec<Key> = self
            .objects()
            .list("Pod", &key.namespace, &[])
            .into_iter()
            .filter(|p| list(p, "/metadata/ownerReferences").is_empty())
            .filter(|p| has_labels(p, object.pointer("/spec/selector/matchLabels")))
            .filter(|p| text(p, "/metadata/name").starts_with(&format!("{}-", key.name)))
            .map(Key::of)
            .collect();
        for pod in nobodys {
            self.controller_set(&pod, &["metadata", "ownerReferences"], reference(key, object));
        }
    }

    fn make_pod(&mut self, key: &Key, owner: &Value, ordinal: u64) {
        let name = format!("{}-{ordinal}", key.name);
        let mut pod = owner.pointer("/spec/template").cloned().unwrap_or_else(|| json!({}));
        set(&mut pod, &["apiVersion"], "v1".into());
        set(&mut pod, &["kind"], "Pod".into());
        set(&mut pod, &["metadata", "name"], name.clone().into());
        set(&mut pod, &["metadata", "namespace"], key.namespace.clone().into());
        let labels = [
            ("controller-revision-hash", revision(owner)),
            ("statefulset.kubernetes.io/pod-name", name.clone()),
            (POD_INDEX, ordinal.to_string()),
        ];
        for (label, value) in labels {
            set(&mut pod, &["metadata", "labels", label], value.into());
        }
        set(&mut pod, &["metadata", "ownerReferences"], reference(key, owner));
        set(&mut pod, &["spec", "hostname"], name.clone().into());
        set(&mut pod, &["spec", "subdomain"], text(owner, "/spec/serviceName").into());
        self.make_claims(key, owner, ordinal);
        let mut volumes = list(&pod, "/spec/volumes").to_vec();
        for template in list(owner, "/spec/volumeClaimTemplates") {
            let volume = text(template, "/metadata/name");
            let claim = format!("{volume}-{name}");
            volumes.retain(|v| text(v, "/name") != volume);
            volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}}));
        }
        set(&mut pod, &["spec", "volumes"], volumes.into());
        set(&mut pod, &["status"], json!({"phase": "Pending"}));
        // A name that is taken is tried again at the next step, as the controller does.
        let _taken = self.insert(pod);
    }

    /// The claims of a pod; also of one that has no node yet and has lost its claim.
    fn make_claims(&mut self, key: &Key, owner: &Value, ordinal: u64) {
        for template in list(owner, "/spec/volumeClaimTemplates") {
            let claim = format!("{}-{}-{ordinal}", text(template, "/metadata/name"), key.name);
            self.make_claim(key, template, &claim);
        }
    }

    /// A claim that is there is used again: it outlives its pod.
    fn make_claim(&mut self, owner: &Key, template: &Value, name: &str) {
        let claim = Key::new("PersistentVolumeClaim", &owner.namespace, name);
        if self.objects.contains_key(&claim) {
            return;
        }
        let mut object = template.clone();
        set(&mut object, &["apiVersion"], "v1".into());
        set(&mut object, &["kind"], "PersistentVolumeClaim".into());
        set(&mut object, &["metadata", "name"], name.into());
        set(&mut object, &["metadata", "namespace"], owner.namespace.clone().into());
        set(&mut object, &["metadata", "finalizers"], json!(["kubernetes.io/pvc-protection"]));
        let _taken = self.insert(object);
    }

    fn statefulset_status(&mut self, key: &Key, object: &Value) {
        let pods = self.pods_of(object);
        let newest = revision(object);
        let of = |p: &&Value, hash: &str| text(p, "/metadata/labels/controller-revision-hash") == hash;
        let updated = pods.iter().filter(|p| of(p, &newest)).count();
        let present: BTreeSet<&str> =
            pods.iter().map(|p| text(p, "/metadata/labels/controller-revision-hash")).collect();
        let old = text(object, "/status/currentRevision");
        // OnDelete never moves currentRevision by itself; it follows once every pod is new.
        let all_new = present.iter().all(|r| *r == newest);
        let current = if old.is_empty() || all_new { newest.clone() } else { old.to_owned() };
        let ready = pods.iter().filter(|p| is_ready(p)).count();
        let status = json!({
            "observedGeneration": number(object, "/metadata/generation"),
            "replicas": pods.len(),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "updatedReplicas": updated,
            "currentReplicas": pods.iter().filter(|p| of(p, &current)).count(),
            "currentRevision": current,
            "updateRevision": newest,
        });
        self.controller_set(key, &["status"], status);
    }
}
