//! Budgets of disruption, and evictions.

use serde_json::{Value, json};

use super::FakeCluster;
use super::json::{has_labels, list, number, text};
use super::object::{ApiError, Key};
use super::statefulset::is_ready;

/// `3`, or `50%` of the expected pods, rounded up.
fn share(value: &Value, of: u64) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => {
            let percent: u64 = text.strip_suffix('%')?.parse().ok()?;
            Some((of * percent).div_ceil(100))
        }
        _ => None,
    }
}

impl FakeCluster {
    /// Pods of a budget.
    fn pods_under(&self, budget: &Value) -> Vec<&Value> {
        let pods = self.objects().list("Pod", text(budget, "/metadata/namespace"), &[]).into_iter();
        pods.filter(|p| has_labels(p, budget.pointer("/spec/selector/matchLabels"))).collect()
    }

    pub(super) fn step_budgets(&mut self) {
        for key in self.keys("policy/PodDisruptionBudget") {
            let Some(budget) = self.objects.get(&key) else { continue };
            let status = self.budget_status(budget);
            self.controller_set(&key, &["status"], status);
        }
    }

    fn budget_status(&self, budget: &Value) -> Value {
        let pods = self.pods_under(budget);
        let owners: std::collections::BTreeSet<&str> = pods
            .iter()
            .map(|p| text(p, "/metadata/ownerReferences/0/uid"))
            .filter(|u| !u.is_empty())
            .collect();
        // What the owners want, not what is there.
        let scales: u64 = self
            .objects()
            .list("apps/StatefulSet", "", &[])
            .into_iter()
            .filter(|s| owners.contains(text(s, "/metadata/uid")))
            .filter_map(|s| number(s, "/spec/replicas"))
            .sum();
        let bare = pods.iter().filter(|p| list(p, "/metadata/ownerReferences").is_empty()).count();
        let expected = scales + u64::try_from(bare).unwrap_or(0);
        let desired = match (budget.pointer("/spec/minAvailable"), budget.pointer("/spec/maxUnavailable")) {
            (Some(least), _) => share(least, expected).unwrap_or(0),
            (None, Some(most)) => expected.saturating_sub(share(most, expected).unwrap_or(0)),
            (None, None) => 0,
        };
        let healthy =
            pods.iter().filter(|p| is_ready(p) && text(p, "/metadata/deletionTimestamp").is_empty()).count();
        let healthy = u64::try_from(healthy).unwrap_or(0);
        json!({
            "observedGeneration": number(budget, "/metadata/generation"),
            "expectedPods": expected,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "disruptionsAllowed": healthy.saturating_sub(desired),
        })
    }

    /// POST on `eviction`.
    pub(super) fn evict(&mut self, key: &Key, uid: Option<&str>) -> Result<Value, ApiError> {
        let pod = self.found(key)?;
        let present = text(&pod, "/metadata/uid");
        if let Some(wanted) = uid.filter(|wanted| *wanted != present) {
            return Err(ApiError::Conflict(format!("{key}: uid is {present}, not {wanted}")));
        }
        // A pod that never ran, or is going already, takes nothing from a budget.
        let free =
            text(&pod, "/status/phase") != "Running" || !text(&pod, "/metadata/deletionTimestamp").is_empty();
        if !free {
            self.spend_budget(key, &pod)?;
        }
        Ok(self.delete_pod(key, None))
    }

    fn spend_budget(&mut self, key: &Key, pod: &Value) -> Result<(), ApiError> {
        let budgets: Vec<Value> = self
            .objects()
            .list("policy/PodDisruptionBudget", &key.namespace, &[])
            .into_iter()
            .filter(|b| has_labels(pod, b.pointer("/spec/selector/matchLabels")))
            .cloned()
            .collect();
        let budget = match budgets.as_slice() {
            [] => return Ok(()),
            [one] => one,
            _ => return Err(ApiError::Internal(format!("{key} has more than one PodDisruptionBudget"))),
        };
        let of = |field: &str| number(budget, &format!("/status/{field}")).unwrap_or(0);
        if number(budget, "/status/observedGeneration") < number(budget, "/metadata/generation") {
            return Err(ApiError::TooManyRequests(format!("{key}: the budget is still being read")));
        }
        if !is_ready(pod) {
            let always = text(budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow";
            let healthy = of("currentHealthy") >= of("desiredHealthy") && of("desiredHealthy") > 0;
            if always || healthy {
                return Ok(());
            }
        }
        let allowed = of("disruptionsAllowed");
        if allowed == 0 {
            return Err(ApiError::TooManyRequests(format!(
                "{key}: cannot evict pod as it would violate the pod's disruption budget"
            )));
        }
        self.controller_set(&Key::of(budget), &["status", "disruptionsAllowed"], json!(allowed - 1));
        Ok(())
    }
}
