//! The end of a rollout: what clients have is counted until enough of it is back, the DataServers are refilled where they
//! lack something, and push is opened.

use std::time::Duration;

use super::ROLES;
use super::picture::Picture;
use super::push::Reading;
use crate::api::v1alpha1::{ActKind, OnTimeout, PushOwner, PushState, Reason, Role};
use crate::observe::{Actor, Speech};
use crate::plan::decision::{Command, Stop};
use crate::plan::machine::Next;
use crate::plan::memory::{Act, Memory, Run, Target};
use crate::plan::planted::Planted;
use crate::plan::report::Wait;

/// How long DataServers may lack what sessions have before that counts as lost: their own sync took up to 4 s, a killed
/// one stays listed for 30 s (measured: sofaregistry §3, §4).
const SYNC_PATIENCE: Duration = Duration::from_secs(45);

/// Whom it concerns when the DataServers lack something: by this it is timed.
const DATA: &str = "data";

/// What the counts say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Counted {
    /// Clients are back and the data holds all of it.
    Right,
    /// Clients are not back yet.
    ClientsMissing,
    /// Clients are back, the data lacks something of theirs.
    DataMissing,
    /// A figure is not known.
    Unknown,
}

impl Picture<'_> {
    /// Opens what we closed, or what a person no longer holds, when nothing needs it closed any more.
    pub(crate) fn wind_down(&self, memory: &Memory) -> Option<Next> {
        if self.is_planted(Planted::ForgetsToOpen) {
            return None;
        }
        let foreign =
            memory.push.owner == Some(PushOwner::Other) && self.is_planted(Planted::OpensForeignPush);
        match memory.push.owner {
            _ if self.t.hold => return None,
            Some(PushOwner::Operator | PushOwner::Spec) => {}
            _ if foreign => {}
            _ => return None,
        }
        for role in ROLES {
            if self.replicas(role) == 0 {
                continue;
            }
            if let Err(wait) = self.converged(role) {
                return Some(Next::wait(wait));
            }
        }
        let run = memory.run.as_ref()?;
        if run.baseline.is_some()
            && let Some(next) = self.verify_counts(run, memory)
        {
            return Some(next);
        }
        if let Err(wait) = self.group_may_open() {
            return Some(Next::wait(wait));
        }
        Some(self.open(memory, "the rollout is over and the clients are back"))
    }

    /// `None` when enough is back.
    fn verify_counts(&self, run: &Run, memory: &Memory) -> Option<Next> {
        let counted = self.counted(run);
        let Some(since) = run.counting_since else {
            return Some(Next::wait(Wait::new(
                Reason::WaitingForCounts,
                "clients",
                "what clients have is counted",
            )));
        };
        if counted == Counted::Right && !self.is_planted(Planted::WaitsForever) {
            let first = run.counts_right_since?;
            let again = self.oldest_session_fact().is_none_or(|at| at > first);
            return (!again).then(|| {
                Next::wait(Wait::new(
                    Reason::WaitingForCounts,
                    "clients",
                    "enough is back; it is counted once more",
                ))
            });
        }
        if counted == Counted::DataMissing
            && self.waited(memory, Reason::DataLost, DATA) >= SYNC_PATIENCE
            && let Some(next) = self.refill(run)
        {
            return Some(next);
        }
        let (reason, message) = match counted {
            Counted::DataMissing => {
                (Reason::DataLost, "the DataServers lack publishers that the sessions have")
            }
            Counted::Unknown => {
                (Reason::CountsNotRecovered, "what clients have cannot be counted on every server")
            }
            _ => (Reason::CountsNotRecovered, "not enough publishers, subscribers and watchers are back"),
        };
        if self.now.since(since) < self.t.verify.timeout || self.is_planted(Planted::WaitsForever) {
            return Some(Next::wait(Wait::new(Reason::WaitingForCounts, "clients", message)));
        }
        if self.t.verify.on_timeout == OnTimeout::Reopen && self.nothing_is_lost(run) {
            return None;
        }
        let message =
            format!("{message}; push stays closed until they are, or until a new spec says otherwise");
        Some(Next::Halt(Wait::new(reason, "clients", message)))
    }

    /// That the DataServers lack something that the sessions have: it is timed from when that is first seen.
    pub(crate) fn missing_data(&self, memory: &Memory) -> Option<Wait> {
        let run = memory.run.as_ref().filter(|r| r.counting_since.is_some())?;
        (self.counted(run) == Counted::DataMissing).then(|| {
            Wait::new(Reason::DataLost, DATA, "the DataServers lack publishers that the sessions have")
        })
    }

    fn counted(&self, run: &Run) -> Counted {
        let Some((baseline, _)) = run.baseline else { return Counted::Right };
        let Some(counts) = self.counts() else { return Counted::Unknown };
        let Some(held) = self.held_publishers() else { return Counted::Unknown };
        let orphaned = self.w.orphaned_ids.as_ref().filter(|f| f.at() >= self.cutoff).and_then(|f| f.value());
        let Some(orphaned) = orphaned else { return Counted::Unknown };
        if !counts.recovered(baseline, self.t.verify.percent) {
            return Counted::ClientsMissing;
        }
        let expected = counts.publishers.saturating_mul(self.copies());
        let close = held.abs_diff(expected).saturating_mul(100) <= expected;
        if close && *orphaned == 0 { Counted::Right } else { Counted::DataMissing }
    }

    /// The publishers that all DataServers hold together. `None`: one of them did not tell.
    fn held_publishers(&self) -> Option<u64> {
        let mut datas = self.pods(Role::Data).map(|(member, _)| self.data_view(member).ok()?.publishers);
        datas.try_fold(0_u64, |sum, publishers| Some(sum.saturating_add(publishers?)))
    }

    /// Whether no id that had publishers before can be without: the DataServers hold as many as there were. No endpoint of 5.4.3
    /// lists the ids that a DataServer holds, so ids that lost one of several publishers count as lost too.
    fn nothing_is_lost(&self, run: &Run) -> bool {
        let Some((baseline, _)) = run.baseline else { return false };
        let had = baseline.publishers.saturating_mul(self.copies());
        self.held_publishers().is_some_and(|held| held >= had)
    }

    /// How many DataServers hold each publisher.
    fn copies(&self) -> u64 {
        Speech::from(self.t.membership).copies(u64::from(self.replicas(Role::Data)))
    }

    fn oldest_session_fact(&self) -> Option<crate::types::Moment> {
        self.w.sessions.values().map(crate::observe::Fact::at).min()
    }

    /// One more session is started again, so that its clients register again and the DataServers get what they lack.
    fn refill(&self, run: &Run) -> Option<Next> {
        let none = std::collections::BTreeSet::new();
        let done = run.refilled.as_ref().unwrap_or(&none);
        let (member, pod) = self.pods(Role::Session).find(|(_, p)| !done.contains(&p.uid))?;
        if self.t.paused {
            return Some(Next::wait(Wait::new(
                Reason::PausedBySpec,
                member,
                "the DataServers lack publishers and sessions have to be restarted: spec.paused is set",
            )));
        }
        let gates = self
            .is_our_turn()
            .and_then(|()| self.push_is_closed())
            .and_then(|()| self.others_work(Role::Session, &[member]));
        if let Err(wait) = gates {
            return Some(Next::wait(wait));
        }
        let target = Target { member, uid: Some(pod.uid.clone()) };
        let act = Act { kind: ActKind::RefillSession, targets: vec![target.clone()] };
        let command = Command::StopPods { targets: vec![target], how: Stop::Evict };
        Some(Next::act(
            act,
            command,
            "the DataServers lack publishers that its clients have: they register again",
        ))
    }

    /// What is remembered of the counting: since when, and since when it is right.
    pub(crate) fn note_counts(&self, memory: &mut Memory) {
        let closed = matches!(memory.push.owner, Some(PushOwner::Operator | PushOwner::Spec)) && !self.t.hold;
        let busy = !closed || self.needs_closed(memory);
        let settled = ROLES.iter().all(|r| self.converged(*r).is_ok());
        let Some(run) = &mut memory.run else { return };
        if busy || run.baseline.is_none() {
            run.counting_since = None;
            run.counts_right_since = None;
            return;
        }
        if !settled {
            run.counts_right_since = None;
            return;
        }
        run.counting_since.get_or_insert(self.now);
        if self.counted(run) == Counted::Right {
            run.counts_right_since.get_or_insert(self.now.ceil_second());
        } else {
            run.counts_right_since = None;
        }
    }

    /// Push of a group is opened when no cluster holds it closed any more.
    fn group_may_open(&self) -> Result<(), Wait> {
        let Some(group) = &self.w.group else { return Ok(()) };
        match crate::observe::read(Some(group), self.cutoff) {
            Ok(view) if !view.we_hold && !view.others_hold => Ok(()),
            Ok(_) => Err(Wait::new(
                Reason::WaitingForPushGroup,
                "push group",
                "a cluster of the push group holds push closed",
            )),
            Err(why) => Err(Wait::new(
                Reason::WaitingForPushGroup,
                "push group",
                format!("the push group is not known: {why}"),
            )),
        }
    }

    /// Another cluster of the group holds push closed: we close ours too.
    pub(crate) fn close_for_group(&self, memory: &Memory) -> Option<Next> {
        let view = self.w.group.as_ref().and_then(|g| crate::observe::read(Some(g), self.cutoff).ok())?;
        let open = matches!(self.reading(), Reading::Open | Reading::Mixed { .. } | Reading::NeverSet);
        // Once it is written down that we close it, it is ours: the act is proposed again until it is done.
        let free = memory.push.owner.is_none() || memory.push.state == PushState::Closing;
        (view.others_hold && open && free && self.pods(Role::Session).next().is_some())
            .then(|| self.close(memory, "another cluster of the push group holds push closed"))
    }

    /// Whether this cluster itself still needs the group's push closed.
    pub(crate) fn holds_group(&self, memory: &Memory) -> bool {
        if self.needs_closed(memory) {
            return true;
        }
        let Some(run) = &memory.run else { return false };
        let counting = memory.push.owner.is_some_and(|o| o != PushOwner::Other) && run.baseline.is_some();
        let twice = run
            .counts_right_since
            .is_some_and(|first| self.oldest_session_fact().is_none_or(|at| at > first));
        let acting = run.act.as_ref().is_some_and(|f| f.act.stops_pods());
        acting || (counting && !twice)
    }

    /// Who may act in the group, as it was read.
    pub(crate) fn actor(&self) -> Option<Actor> {
        self.w.group.as_ref().and_then(|g| crate::observe::read(Some(g), self.cutoff).ok()).map(|v| v.actor)
    }
}
