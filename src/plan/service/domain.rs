//! What each act on servers looks like when it is done, and what is remembered of it.

use std::time::Duration;

use super::picture::Picture;
use crate::api::v1alpha1::{ActKind, Reason};
use crate::observe::Counts;
use crate::plan::machine::{Domain, Limits, Next, subject};
use crate::plan::memory::{Act, Memory};
use crate::plan::report::Wait;

impl Domain for Picture<'_> {
    fn next(&self, memory: &Memory) -> Next {
        self.first_need(memory)
    }

    fn is_visible(&self, act: &Act) -> bool {
        if self.facts_are_fresh().is_err() {
            return false;
        }
        match act.kind {
            _ if act.stops_pods() => act.targets.iter().all(|t| t.is_stopped(&self.w.kubernetes)),
            ActKind::ScaleUp => act.targets.iter().all(|t| self.replicas(t.member.role) > t.member.ordinal),
            ActKind::ScaleDown => {
                act.targets.iter().all(|t| self.replicas(t.member.role) <= t.member.ordinal)
            }
            ActKind::MoveApp => self.has_moved(act).is_ok(),
            _ => false,
        }
    }

    fn holds(&self, act: &Act, _: &Memory) -> Result<(), Wait> {
        self.facts_are_fresh()?;
        match act.kind {
            _ if act.stops_pods() => act.targets.iter().try_for_each(|t| t.is_made_again(&self.w.kubernetes)),
            ActKind::ScaleUp | ActKind::ScaleDown if self.is_visible(act) => Ok(()),
            ActKind::PreRegister | ActKind::MoveApp => self.has_moved(act),
            ActKind::RetryLost if self.nothing_is_lost() => Ok(()),
            _ => Err(Wait::new(Reason::WaitingForFreshFacts, subject(act), "its effect is not seen yet")),
        }
    }

    fn limits(&self, act: &Act) -> Limits {
        let (seconds, attempts) = if act.stops_pods() { (600, 1) } else { (30, 6) };
        Limits { time: Duration::from_secs(seconds), attempts }
    }

    /// What clients have is counted before the first of their servers is stopped.
    fn on_written(&self, act: &Act, memory: &mut Memory) {
        let connections = self.connections();
        let decides = act.role().is_some_and(|role| self.clients_decide(role));
        let Some(run) = &mut memory.run else { return };
        let takes = matches!(act.kind, ActKind::RestartPods | ActKind::ScaleDown);
        if takes && decides && run.baseline.is_none() {
            run.baseline = Some((Counts { connections, ..Counts::default() }, self.now));
        }
    }

    fn on_verified(&self, act: &Act, memory: &mut Memory) {
        let Some(run) = memory.run.as_mut().filter(|_| act.kind == ActKind::RestartPods) else { return };
        for target in &act.targets {
            if let Some(uid) = self.pod(target.member).map(|p| p.uid.clone()) {
                run.done.entry(target.member.role).or_default().insert(uid);
            }
        }
    }
}
