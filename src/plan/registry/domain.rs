//! What each act of a registry looks like when it is done, and what is remembered of it.

use std::time::Duration;

use super::picture::Picture;
use super::push::Reading;
use crate::api::v1alpha1::{ActKind, Reason, Role};
use crate::observe::{Addresses, PodPhase};
use crate::plan::machine::{Domain, Limits, Next, subject};
use crate::plan::memory::{Act, Memory, Target};
use crate::plan::planted::Planted;
use crate::plan::report::Wait;

impl Domain for Picture<'_> {
    fn next(&self, memory: &Memory) -> Next {
        let next = self.first_need(memory);
        match next {
            Next::Wait(_) if self.is_planted(Planted::WaitsSilently) => Next::Wait(Vec::new()),
            next => next,
        }
    }

    fn is_visible(&self, act: &Act) -> bool {
        if self.facts_are_fresh().is_err() {
            return false;
        }
        match act.kind {
            ActKind::RestartPods | ActKind::RepairPod | ActKind::RefillSession => {
                act.targets.iter().all(|t| t.is_stopped(&self.w.kubernetes))
            }
            ActKind::ReleasePods => act.targets.iter().all(|t| self.is_released(t)),
            ActKind::OpenPush => self.reading() == Reading::Open,
            ActKind::ScaleUp => act.targets.iter().all(|t| self.replicas(t.member.role) > t.member.ordinal),
            ActKind::ScaleDown => {
                act.targets.iter().all(|t| self.replicas(t.member.role) <= t.member.ordinal)
            }
            ActKind::ResetPeer => self.has_reset(act),
            // Closing twice equals once, and what a person closed meanwhile is then ours as it was written down. The others
            // are commands that equal themselves done twice.
            _ => false,
        }
    }

    fn holds(&self, act: &Act, memory: &Memory) -> Result<(), Wait> {
        self.facts_are_fresh()?;
        match act.kind {
            ActKind::RestartPods | ActKind::RepairPod | ActKind::RefillSession => {
                act.targets.iter().try_for_each(|t| t.is_made_again(&self.w.kubernetes))
            }
            ActKind::ReleasePods if act.targets.iter().all(|t| self.is_released(t)) => Ok(()),
            ActKind::ClosePush => self.is_closed(),
            ActKind::OpenPush => self.is_open(),
            ActKind::ChangePeer => self.peers_settled().and_then(|()| self.is_in_or_out(act, memory)),
            // Data and sessions that the survivor still lists know the metas that were, and leave its lists by themselves.
            ActKind::ResetPeer if self.has_reset(act) => Ok(()),
            ActKind::ScaleUp | ActKind::ScaleDown if self.is_visible(act) => Ok(()),
            ActKind::DisableRenew if self.leader().is_some_and(|(_, v)| v.renew_off == Some(true)) => Ok(()),
            ActKind::ClearBlacklist if self.blacklist_is_clear() => Ok(()),
            _ => Err(Wait::new(Reason::WaitingForFreshFacts, subject(act), "its effect is not seen yet")),
        }
    }

    fn limits(&self, act: &Act) -> Limits {
        let (seconds, attempts) = match act.kind {
            // A stop takes a grace period, and an eviction may be refused for a while.
            ActKind::RestartPods | ActKind::RepairPod | ActKind::RefillSession => (600, 1),
            // Seen on every session within 1 s (measured: sofaregistry §4); then it is sent again.
            ActKind::ClosePush | ActKind::OpenPush => (10, 6),
            // The call takes 3.3 s, the lists follow within 3 s (§5).
            ActKind::ChangePeer | ActKind::ResetPeer => (20, 10),
            _ => (120, 3),
        };
        Limits { time: Duration::from_secs(seconds), attempts }
    }

    fn on_written(&self, act: &Act, memory: &mut Memory) {
        match act.kind {
            ActKind::ClosePush | ActKind::OpenPush => self.note_switching(act.kind, memory),
            ActKind::RefillSession => {
                if let Some(run) = &mut memory.run {
                    run.refilled.get_or_insert_default();
                }
            }
            _ => {}
        }
    }

    fn on_verified(&self, act: &Act, memory: &mut Memory) {
        if act.kind == ActKind::OpenPush {
            self.note_opened(memory);
        }
        let Some(run) = &mut memory.run else { return };
        match act.kind {
            ActKind::ClosePush => run.metas_since_close = false,
            _ if act.stops_pods() => {
                let forgets = self.is_planted(Planted::ForgetsDone);
                for target in &act.targets {
                    let Some(uid) = self.pod(target.member).map(|p| p.uid.clone()) else { continue };
                    run.metas_since_close |= target.member.role == Role::Meta;
                    if act.kind == ActKind::RefillSession {
                        run.refilled.get_or_insert_default().insert(uid.clone());
                    }
                    if act.kind != ActKind::RestartPods {
                        continue;
                    }
                    let done = run.done.entry(target.member.role).or_default();
                    if forgets {
                        done.clear();
                    }
                    done.insert(uid);
                }
            }
            _ => {}
        }
    }
}

impl Picture<'_> {
    fn is_released(&self, target: &Target) -> bool {
        self.pod(target.member)
            .is_none_or(|p| Some(&p.uid) != target.uid.as_ref() || p.phase != PodPhase::Held)
    }

    fn is_closed(&self) -> Result<(), Wait> {
        match self.reading() {
            Reading::Closed => Ok(()),
            Reading::Unknown(wait) => Err(wait),
            _ => {
                Err(Wait::new(Reason::WaitingForPushClosed, "push", "it is not closed on every session yet"))
            }
        }
    }

    fn is_open(&self) -> Result<(), Wait> {
        match self.reading() {
            Reading::Open => Ok(()),
            Reading::Unknown(wait) => Err(wait),
            _ => Err(Wait::new(Reason::WaitingForPushOpen, "push", "it is not open on every session yet")),
        }
    }

    /// Whether the member of a `changePeer` is in the group, or out of it if it was to leave.
    fn is_in_or_out(&self, act: &Act, _: &Memory) -> Result<(), Wait> {
        let Some(target) = act.targets.first() else { return Ok(()) };
        let listed =
            self.address(target.member).is_some_and(|a| self.group().is_some_and(|g| g.contains(&a)));
        let same_pod = self.pod(target.member).is_some_and(|p| Some(&p.uid) == target.uid.as_ref());
        let leaves = self.leaving() == Some(target.member);
        if !same_pod || listed != leaves {
            Ok(())
        } else {
            Err(Wait::new(
                Reason::WaitingForPeers,
                target.member,
                "the group does not name its new members yet",
            ))
        }
    }

    fn has_reset(&self, act: &Act) -> bool {
        let Some(survivor) = act.targets.first().map(|t| t.member) else { return false };
        let alone: Addresses = self.address(survivor).into_iter().collect();
        self.leader().is_some_and(|(m, _)| m == survivor)
            && self.group() == Some(&alone)
            && self.lists().is_some_and(|lists| lists.metas == alone)
    }

    fn blacklist_is_clear(&self) -> bool {
        let held = self.held_addresses(Role::Data);
        self.leader().is_some_and(|(_, v)| v.blacklist.is_subset(&held))
    }
}
