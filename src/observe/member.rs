//! Members: the servers of a cluster, each with a name that outlives its pod.
//!
//! May import `types` and `api`.

use std::fmt;

use crate::api::v1alpha1::Role;
use crate::types::DnsLabel;

/// One server of a cluster: its role and the ordinal that its StatefulSet gives it. Its name stays when its pod is made
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The part that it plays.
    pub role: Role,
    /// Its number, from 0.
    pub ordinal: u32,
}

impl Member {
    /// The member of this role and number.
    #[must_use]
    pub const fn new(role: Role, ordinal: u32) -> Self {
        Self { role, ordinal }
    }

    /// The name of its pod: `<cluster>-<role>-<ordinal>`.
    #[must_use]
    pub fn pod_name(self, cluster: &str) -> String {
        format!("{cluster}-{self}")
    }

    /// The member whose pod in this cluster has this name.
    #[must_use]
    pub fn of_pod(cluster: &str, pod: &str) -> Option<Self> {
        pod.strip_prefix(cluster)?.strip_prefix('-')?.parse().ok()
    }
}

/// `meta-0`: short enough for a plan, long enough for a person.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.role.field(), self.ordinal)
    }
}

/// No member has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no member: a role, '-' and a number are expected, as in meta-0")]
pub struct NotAMember(String);

impl std::str::FromStr for Member {
    type Err = NotAMember;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (role, ordinal) = text.rsplit_once('-')?;
            let role = Role::ALL.into_iter().find(|r| r.field() == role)?;
            let ordinal: u32 = ordinal.parse().ok()?;
            (ordinal.to_string().len() + 1 + role.field().len() == text.len())
                .then_some(Self { role, ordinal })
        };
        read().ok_or_else(|| NotAMember(text.to_owned()))
    }
}

impl TryFrom<&DnsLabel> for Member {
    type Error = NotAMember;

    fn try_from(name: &DnsLabel) -> Result<Self, Self::Error> {
        name.as_str().parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_again_by_the_name_of_its_pod() {
        let member = Member::new(Role::Session, 12);
        assert_eq!(member.pod_name("pay-reg"), "pay-reg-session-12");
        assert_eq!(Member::of_pod("pay-reg", "pay-reg-session-12"), Some(member));
        for other in [
            "pay-reg-session-",
            "pay-reg-session-01",
            "pay-session-1",
            "pay-reg-worker-1",
            "pay-reg-meta-0-x",
        ] {
            assert_eq!(Member::of_pod("pay-reg", other), None, "{other}");
        }
    }
}
