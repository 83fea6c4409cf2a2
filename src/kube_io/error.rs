//! What the API server said when something was not done.

/// Why something was not done, or is not known to be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeError {
    /// It is not there.
    #[error("not found: {0}")]
    NotFound(String),
    /// A precondition (resourceVersion, uid) does not hold: somebody was faster.
    #[error("conflict: {0}")]
    Conflict(String),
    /// It is not allowed: RBAC, or its namespace is going away.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// It was refused and not done: it is invalid, or a budget for disruptions says no.
    #[error("{0}")]
    Refused(String),
    /// No answer came, or one that may be another the next time. It may have been done.
    #[error("{0}")]
    Unanswered(String),
}

impl KubeError {
    /// A word from a closed set, for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NotFound",
            Self::Conflict(_) => "Conflict",
            Self::Forbidden(_) => "Forbidden",
            Self::Refused(_) => "Refused",
            Self::Unanswered(_) => "Unanswered",
        }
    }
}

/// The cause of a refused eviction that names the budget for disruptions.
const BUDGET: &str = "DisruptionBudget";
/// What is said of a pod that two of them count, which is never evicted.
const TWO_BUDGETS: &str = "more than one PodDisruptionBudget";

impl From<kube::Error> for KubeError {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = &error else {
            return Self::Unanswered(format!("no answer from the API server: {}", chain(&error)));
        };
        let message = status.message.clone();
        let causes = status.details.iter().flat_map(|details| &details.causes);
        match status.code {
            404 => Self::NotFound(message),
            409 => Self::Conflict(message),
            401 | 403 => Self::Forbidden(message),
            400 | 405 | 413 | 415 | 422 => Self::Refused(message),
            429 if let Some(budget) = causes.clone().find(|cause| cause.reason == BUDGET) => {
                Self::Refused(format!("{message} {}", budget.message))
            }
            500 if message.contains(TWO_BUDGETS) => Self::Refused(message),
            // 429 without a budget: the API server is full, and anybody's request would be refused now.
            code => Self::Unanswered(format!("the API server said HTTP {code}: {message}")),
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_two_budgets_count_is_refused() {
        let said = |message: &str| {
            let status = serde_json::json!({"status": "Failure", "code": 500, "message": message});
            KubeError::from(kube::Error::Api(serde_json::from_value(status).expect("a status")))
        };
        let words = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        assert_eq!(said(words), KubeError::Refused(words.to_owned()));
        assert!(matches!(said("etcd is gone"), KubeError::Unanswered(_)));
    }
}
