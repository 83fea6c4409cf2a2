//! When each cluster was last seen past the caches.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::types::Moment;
use crate::validate::ClusterKind;

/// A cluster with something under way is seen past the caches at least so often. By the caches it may only be waited, so a watch
/// that is silently behind, which is noticed after 5 min at the latest, costs so long at each step and nothing else.
const LONGEST: Duration = Duration::from_secs(15);

/// Which clusters were seen past the caches, and when.
#[derive(Debug, Default)]
pub struct Listings(Mutex<HashMap<Key, Moment>>);

type Key = (ClusterKind, String, String);

impl Listings {
    /// Whether the caches have been believed long enough.
    pub(super) fn is_due(&self, key: &Key, now: Moment) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(key).is_none_or(|at| now.since(*at) >= LONGEST || *at > now)
    }

    /// A cluster was seen, and what was decided by it is done.
    pub(super) fn note(&self, key: Key, now: Moment) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, now);
    }

    /// A cluster is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caches_are_believed_for_a_while() {
        let (listings, start) = (Listings::default(), Moment::from_millis(1_000_000));
        let key = || (ClusterKind::Registry, "pay".to_owned(), "prod".to_owned());
        assert!(listings.is_due(&key(), start), "it was never seen");
        listings.note(key(), start);
        assert!(!listings.is_due(&key(), start.after(LONGEST.saturating_sub(Duration::from_millis(1)))));
        assert!(listings.is_due(&key(), start.after(LONGEST)));
        assert!(listings.is_due(&key(), start.before(Duration::from_millis(1))), "the clock was set back");
        assert!(listings.is_due(&(ClusterKind::Drm, "pay".to_owned(), "prod".to_owned()), start));
        listings.forget(&key());
        assert!(listings.is_due(&key(), start));
    }
}
