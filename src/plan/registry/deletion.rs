//! The end of a cluster: what we closed is opened, then sessions, data and metas end in this order.

use std::time::Duration;

use super::picture::Picture;
use crate::api::v1alpha1::{ActKind, PushOwner, Reason, Role, RolloutState};
use crate::observe::{Addresses, PodPhase};
use crate::plan::decision::{Command, Wake};
use crate::plan::machine::{Next, Turn};
use crate::plan::memory::{Act, Memory};
use crate::plan::report::Wait;

/// How long a cluster that is deleted is kept for opening push: a leader is elected within 25 s.
const OPENING_PATIENCE: Duration = Duration::from_mins(5);

impl Picture<'_> {
    /// Opens push that we closed, while there is a session to open it on.
    pub(crate) fn open_before_deletion(&self, memory: &Memory) -> Next {
        if self.is_deaf_to_opening(memory) {
            return Next::Done;
        }
        self.open(
            memory,
            "the cluster is deleted: what the operator closed is opened before the sessions stop",
        )
    }

    /// Whether there is nothing of ours to open, or nobody who could: no leader, no session, or it failed as often as it may.
    pub(crate) fn is_deaf_to_opening(&self, memory: &Memory) -> bool {
        let failed = memory.run.as_ref().is_some_and(|r| {
            r.state == RolloutState::Halted && r.act.as_ref().is_some_and(|f| f.act.kind == ActKind::OpenPush)
        });
        memory.push.owner != Some(PushOwner::Operator)
            || failed
            || self.waited(memory, Reason::Deleting, "push") >= OPENING_PATIENCE
            || self.pods(Role::Session).all(|(_, p)| p.phase == PodPhase::Stopping)
    }

    /// The cluster ends without any act: its workloads are taken away.
    pub(crate) fn without_acts(&self, mut memory: Memory) -> Turn {
        if let Some(run) = &mut memory.run {
            run.act = None;
            run.deadline = None;
            run.state = if self.is_ended() { RolloutState::Done } else { RolloutState::Gating };
        }
        let next = if self.is_ended() {
            Next::Done
        } else {
            Next::wait(Wait::new(Reason::Deleting, "cluster", "sessions, data and metas end in this order"))
        };
        Turn { memory, command: None, memory_if_refused: None, wake: Wake::Soon, next, why: None }
    }

    /// 6.x: a data node that ends in order puts itself on a list of those that are kept out, and takes itself off when it
    /// starts again; addresses of pods that never return stay on it (measured: sofaregistry §7).
    pub(crate) fn clear_blacklist(&self, _: &Memory) -> Option<Next> {
        let (leader, view) = self.leader()?;
        if self.is_raft() || self.t.paused || self.converged(Role::Data).is_err() {
            return None;
        }
        let held = self.held_addresses(Role::Data);
        let addresses: Addresses = view.blacklist.difference(&held).copied().collect();
        if addresses.is_empty() {
            return None;
        }
        let command = Command::ClearBlacklist { via: self.address(leader)?, addresses };
        Some(Next::act(
            Act::on_cluster(ActKind::ClearBlacklist),
            command,
            "addresses that never return are kept out",
        ))
    }
}
