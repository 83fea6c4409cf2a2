//! Sentences that the CRDs have too: what their rules refuse is refused here again, because `kubectl apply
//! --validate=false`, an older CRD or a restored backup lets it through. A test compares both.
//!
//! May import nothing of this package.

pub(super) const META_REPLICAS: &str =
    "meta.replicas must be 1, 3, 5 or 7: an even number bears no more failures than one less";
pub(super) const META_STORAGE: &str = "meta.storage.type must be Claim where the metas are a raft group: a meta that comes \
     back without its log is a new member";
pub(super) const MEMBERSHIP_UNKNOWN: &str = "membership: Auto knows the open-source versions 5.x and 6.x only: say \
     RaftByAddress, RaftSelfHealing or Database for this version";
pub(super) const MEMBERSHIP_5: &str =
    "membership of version 5.x is RaftByAddress: say that or Auto, or correct the version";
pub(super) const MEMBERSHIP_6: &str =
    "membership of version 6.x is Database: say that or Auto, or correct the version";
pub(super) const MEMBERSHIP_CHANGE: &str = "version and membership: a raft group (5.x) cannot become a cluster in a database \
     (6.x), nor the other way: put the version back, or make a new cluster and move the clients";
pub(super) const REGISTRY_DATABASE: &str = "database is missing: version 6.x and membership Database keep the members in it: \
     give its host, name and secretRef";
pub(super) const POWERJOB_DATABASE: &str =
    "database is missing: PowerJob's servers find each other in it: give its host, name and secretRef";
pub(super) const ANT_DATABASE: &str =
    "database is missing: AntScheduler keeps its tasks in it: give its host, name and secretRef";
pub(super) const ANT_REGISTRY: &str =
    "registryRef is missing: AntScheduler cannot start without a registry: name a RegistryCluster";
pub(super) const ANT_ONLY: &str =
    "console, mq, registryRef, connectionCounting and taskGate are for engine AntScheduler: remove them";
pub(super) const POWERJOB_ONLY: &str = "powerjob is for engine PowerJob: remove it";
pub(super) const POWERJOB_STRATEGY: &str = "rollout.strategy of PowerJob is OneByOne: each server's apps have to be moved before it stops: remove it";
pub(super) const HEAP: &str = "heap must be smaller than resources.limits.memory, or the server is killed when it fills \
     it: lower it, or leave it out for the guide's table";
pub(super) const MEMORY_REQUEST: &str = "resources.requests.memory must not be more than resources.limits.memory: lower the request or raise the limit";
pub(super) const CPU_REQUEST: &str =
    "resources.requests.cpu must not be more than resources.limits.cpu: lower the request or raise the limit";
pub(super) const PROBE: &str = "a probe asks by path or by command, not by both: remove one of them";
pub(super) const LOAD_BALANCER: &str = "service.loadBalancerClass and service.loadBalancerSourceRanges are for type \
     LoadBalancer: set the type, or remove them";
pub(super) const EXPOSURE: &str = "exposure is by ingress or by gateway, not by both: remove one of them";
pub(super) const WINDOW_DURATION: &str =
    "the duration of a window must be from 1m to 168h (a week): for any time, leave out rollout.windows";
pub(super) const VERIFY_TIMEOUT: &str = "rollout.verify.timeout must be from 1m to 24h: clients need their time to come \
     back, and push stays closed meanwhile";

/// All of them, for the comparison with the CRDs.
#[cfg(test)]
pub(super) const ALL: &[&str] = &[
    META_REPLICAS,
    META_STORAGE,
    MEMBERSHIP_UNKNOWN,
    MEMBERSHIP_5,
    MEMBERSHIP_6,
    MEMBERSHIP_CHANGE,
    REGISTRY_DATABASE,
    POWERJOB_DATABASE,
    ANT_DATABASE,
    ANT_REGISTRY,
    ANT_ONLY,
    POWERJOB_ONLY,
    POWERJOB_STRATEGY,
    HEAP,
    MEMORY_REQUEST,
    CPU_REQUEST,
    PROBE,
    LOAD_BALANCER,
    EXPOSURE,
    WINDOW_DURATION,
    VERIFY_TIMEOUT,
];

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;

    use super::ALL;
    use crate::api::v1alpha1::{DrmCluster, RegistryCluster, SchedulerCluster};

    /// All messages of rules below a value.
    fn messages(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                if let Some(rules) = fields.get("x-kubernetes-validations").and_then(|r| r.as_array()) {
                    found.extend(rules.iter().filter_map(|r| Some(r["message"].as_str()?.to_owned())));
                }
                fields.values().for_each(|value| messages(value, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|value| messages(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_crds_say_the_same() {
        let mut found = Vec::new();
        for crd in [RegistryCluster::crd(), DrmCluster::crd(), SchedulerCluster::crd()] {
            messages(&serde_json::to_value(crd).unwrap(), &mut found);
        }
        for sentence in ALL {
            assert!(found.iter().any(|message| message == sentence), "no CRD says: {sentence}");
        }
    }
}
