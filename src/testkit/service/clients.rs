//! Clients of drmdata: each keeps one connection to any server that serves, and makes another one when it is lost.

use std::collections::BTreeMap;

use super::Process;
use crate::api::v1alpha1::Role;
use crate::testkit::Millis;

/// A client is back so long after it has lost its connection: the nearest, and the farthest.
const BACK_IN: (Millis, Millis) = (1_000, 9_000);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// To this process.
    To(u64),
    /// None until then.
    Lost { until: Millis },
}

/// The clients, and what was seen of the servers.
#[derive(Debug, Clone)]
pub struct Clients {
    links: Vec<Link>,
    served_once: bool,
    /// When no server served any more, once one did.
    unserved: Vec<Millis>,
}

impl Clients {
    /// So many clients, of which none is connected.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { links: vec![Link::Lost { until: 0 }; count], served_once: false, unserved: Vec::new() }
    }

    /// Connections to a process.
    #[must_use]
    pub fn connections(&self, process: u64) -> u64 {
        self.links.iter().filter(|link| **link == Link::To(process)).map(|_| 1).sum()
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.links.iter().filter(|link| matches!(link, Link::To(_))).count()
    }

    /// When no server served any more, once one did.
    #[must_use]
    pub fn unserved(&self) -> &[Millis] {
        &self.unserved
    }

    pub(super) fn step(&mut self, processes: &[&Process], now: Millis) -> Vec<String> {
        let serving: Vec<u64> =
            processes.iter().filter(|p| p.role == Role::Drmdata && p.serves()).map(|p| p.id).collect();
        if serving.is_empty() && self.served_once {
            self.unserved.push(now);
        }
        self.served_once |= !serving.is_empty();
        let mut counts: BTreeMap<u64, u64> = serving.iter().map(|id| (*id, self.connections(*id))).collect();
        for (index, link) in self.links.iter_mut().enumerate() {
            match *link {
                Link::To(process) if !serving.contains(&process) => {
                    let spread = BACK_IN.1 - BACK_IN.0;
                    let wait = BACK_IN.0 + (index as Millis * 1_700) % spread;
                    *link = Link::Lost { until: now + wait };
                }
                Link::Lost { until } if now >= until => {
                    // Behind a load balancer: to the server with the fewest.
                    let Some((id, count)) = counts.iter_mut().min_by_key(|(_, count)| **count) else {
                        continue;
                    };
                    *count += 1;
                    *link = Link::To(*id);
                }
                _ => {}
            }
        }
        Vec::new()
    }
}
