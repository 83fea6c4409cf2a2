//! Ids that outlive a process: they stand in status and in specs.
//!
//! May import nothing of this package but the macro of `text`.

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

text_type! {
    /// What a person approves: a hash of the target templates and replicas, not of observations, so that the same
    /// target has the same id tomorrow.
    PlanId, "plan id", "8 to 64 digits and letters a-f", "^[0-9a-f]+$", 8, 64, is_lower_hex
}

impl PlanId {
    /// The id of what has this hash.
    #[must_use]
    pub fn from_hash(hash: u64) -> Self {
        Self(format!("{hash:016x}"))
    }
}

text_type! {
    /// One run towards a target. A new spec begins a new one; the plan's id may then be an old one again.
    RolloutId, "rollout id", "at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends",
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", 1, 63, |text| super::text::is_plain_lower(text, "-")
}

text_type! {
    /// The uid of a pod, as Kubernetes gives it: another pod of the same name has another one.
    PodUid, "pod uid", "a UUID in lower case",
    "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", 36, 36, |text| {
        let parts: Vec<_> = text.split('-').collect();
        parts.iter().map(|p| p.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|p| is_lower_hex(p))
    }
}
