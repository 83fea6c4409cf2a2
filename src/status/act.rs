//! The key of an act: a hash of what it says, so that an act that a hand has changed is known and never done.
//!
//! May import `types`, `api`, and `plan`.

use std::fmt::Write as _;

use crate::plan::Act;
use crate::types::{Moment, RolloutId, fingerprint};

/// The key of this act, written down at this moment. It is the same from the writing down to its end, whatever run it
/// belongs to meanwhile.
pub(super) fn key(act: &Act, written_at: Moment) -> Option<RolloutId> {
    let kind = format!("{:?}", act.kind).to_lowercase();
    let mut text = format!("{kind} {}", written_at.ceil_second().as_millis());
    for target in &act.targets {
        let _ = write!(text, " {}={}", target.member, target.uid.as_ref().map_or("", |uid| uid.as_str()));
    }
    format!("{kind}-{}", fingerprint(&text)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::{ActKind, Role};
    use crate::observe::Member;

    /// An act that was written down by the operator of yesterday has to be known by that of today.
    #[test]
    fn a_key_is_the_same_in_every_version() {
        let uid = "00000000-0000-4000-8000-000000000001".parse().ok();
        let act = Act::on(ActKind::RestartPods, Member::new(Role::Meta, 2), uid);
        let at = Moment::from_millis(1_795_223_049_000);
        assert_eq!(key(&act, at).unwrap().as_str(), "restartpods-b1cf51e168dd");
        assert_eq!(
            key(&act, Moment::from_millis(1_795_223_048_001)),
            key(&act, at),
            "a status has full seconds"
        );
        assert_ne!(key(&act, at.after(std::time::Duration::from_secs(1))), key(&act, at));
        assert!(key(&Act::on_cluster(ActKind::ClosePush), Moment::default()).is_some());
    }
}
