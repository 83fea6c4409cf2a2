//! The push switch: what it is, who closed it, and when it is closed or opened.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::picture::Picture;
use crate::admin::registry::wire::PushSwitch;
use crate::api::v1alpha1::{ActKind, PushOwner, PushState, Reason, Role};
use crate::observe::{Counts, Member, Node, PodPhase, Unknown};
use crate::plan::decision::Command;
use crate::plan::machine::Next;
use crate::plan::memory::{Act, Memory, Run};
use crate::plan::planted::Planted;
use crate::plan::report::Wait;
use crate::types::DnsLabel;

/// What the switch is, all servers together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nobody has set it yet.
    NeverSet,
    /// Open in the store and on every session that may serve.
    Open,
    /// Closed in the store and on every session that may serve.
    Closed,
    /// Some are open, some closed.
    Mixed {
        /// What the store has.
        store: PushSwitch,
        /// Sessions that differ from it.
        others: BTreeSet<Member>,
    },
    /// It cannot be told.
    Unknown(Wait),
}

impl Picture<'_> {
    /// What the switch is. A session that refuses connections does not serve: its management port opens before the clients'.
    /// One that does not answer in time may serve. One that is deaf hears of no switch, and is told of nothing to push.
    pub(crate) fn reading(&self) -> Reading {
        let store = match self.stored_switch() {
            Ok(store) => store,
            Err(wait) => return Reading::Unknown(wait),
        };
        let mut others = BTreeSet::new();
        for (member, pod) in self.pods(Role::Session) {
            if pod.waived || matches!(pod.phase, PodPhase::Held) || pod.address.is_none() {
                continue;
            }
            let unreachable = pod.node == Node::Unreachable;
            if !unreachable && self.hears_of_no_switch(member, pod) {
                continue;
            }
            match self.session_view(member) {
                Ok(view) if !unreachable => match view.push {
                    Some(switch) if same(switch, store) => {}
                    Some(_) => {
                        others.insert(member);
                    }
                    None => {
                        return Reading::Unknown(unreachable_session(
                            member,
                            "its push switch is not understood",
                        ));
                    }
                },
                Err(Unknown::Refused) if !unreachable => {}
                Err(why) => return Reading::Unknown(unreachable_session(member, &why.to_string())),
                Ok(_) => return Reading::Unknown(unreachable_session(member, "its node does not answer")),
            }
        }
        if let Some(wait) = self.listed_without_pod() {
            return Reading::Unknown(wait);
        }
        if let Some(reading) = self.sites_reading(store) {
            return reading;
        }
        match (store, others.is_empty()) {
            (_, false) => Reading::Mixed { store, others },
            (PushSwitch::NeverSet, true) => Reading::NeverSet,
            (PushSwitch::Open, true) => Reading::Open,
            (PushSwitch::Closed, true) => Reading::Closed,
        }
    }

    /// What the store of the metas has; only the leader's word counts.
    pub(crate) fn stored_switch(&self) -> Result<PushSwitch, Wait> {
        let Some((leader, view)) = self.leader() else {
            return Err(Wait::new(Reason::WaitingForLeader, "metas", "no leader of the metas is known"));
        };
        match view.push {
            Some(_) if view.gray => Err(Wait::new(
                Reason::PushOpenedByOther,
                leader,
                "push was opened for some sessions alone (gray list): empty that list",
            )),
            Some(switch) => Ok(switch),
            None => Err(Wait::new(
                Reason::WaitingForLeader,
                leader,
                "the push switch of the metas cannot be read",
            )),
        }
    }

    /// A session that the metas list and that has no pod of ours: it may serve until it leaves the lists.
    fn listed_without_pod(&self) -> Option<Wait> {
        let held = self.held_addresses(Role::Session);
        let listed = &self.lists()?.sessions;
        let address = listed.difference(&held).next()?;
        Some(Wait::new(
            Reason::SessionUnreachable,
            address,
            "the metas still list this session, and it has no pod (8 s after its end it is gone)",
        ))
    }

    /// The sites together with ours: closed, all of them have to be; open, those that we closed. What another closed there
    /// stays as it is.
    fn sites_reading(&self, store: PushSwitch) -> Option<Reading> {
        let ours = &self.input.memory.push.sites;
        let closed = store == PushSwitch::Closed;
        for site in self.t.close_sites.iter().filter(|site| closed || ours.contains(*site)) {
            match crate::observe::read(self.w.sites.get(site), self.cutoff) {
                Ok(switch) if same(*switch, store) => {}
                Ok(_) => return Some(Reading::Mixed { store, others: BTreeSet::new() }),
                Err(why) => {
                    let message = format!("the push switch of this site is not known: {why}");
                    return Some(Reading::Unknown(Wait::new(Reason::SessionUnreachable, site, message)));
                }
            }
        }
        None
    }

    /// The meta that is told to close or open push: the same one while it lives, because the stored version is that
    /// host's clock, and the next one after an attempt that came to nothing. On 6.x only the leader listens.
    fn switch_meta(&self, memory: &Memory) -> Option<Ipv4Addr> {
        let leader = self.leader()?.0;
        if !self.is_raft() {
            return self.address(leader);
        }
        self.nth_attempt(memory, self.serving_metas().map(|(m, _)| m))
    }

    /// Closes push, when nothing is in the way.
    pub(crate) fn close(&self, memory: &Memory, why: &str) -> Next {
        if let Err(wait) = self.stored_switch() {
            return Next::wait(wait);
        }
        let recovers = self.recovers(memory);
        let counting = memory.push.owner.is_none() && !self.t.hold && !recovers && self.has_work();
        let uncounted = memory.run.as_ref().is_some_and(|r| r.baseline.is_none()) && self.counts().is_none();
        if counting && uncounted {
            let subject = self.pods(Role::Session).find(|(m, _)| self.session_counts(*m).is_none());
            let subject = subject.map_or_else(|| "sessions".to_owned(), |(m, _)| m.to_string());
            return Next::wait(Wait::new(
                Reason::WaitingForFreshFacts,
                subject,
                "what its clients have cannot be counted, and that is needed before push is closed",
            ));
        }
        match self.switch_meta(memory) {
            Some(via) => Next::act(
                Act::on_cluster(ActKind::ClosePush),
                Command::ClosePush { via, sites: self.open_sites() },
                why,
            ),
            None => {
                Next::wait(Wait::new(Reason::WaitingForLeader, "metas", "no leader of the metas is known"))
            }
        }
    }

    /// Sites that are closed together with ours and are not known to be closed.
    fn open_sites(&self) -> BTreeSet<DnsLabel> {
        let is_closed = |site: &DnsLabel| {
            crate::observe::read(self.w.sites.get(site), self.cutoff) == Ok(&PushSwitch::Closed)
        };
        self.t.close_sites.iter().filter(|site| !is_closed(site)).cloned().collect()
    }

    /// Opens push: ours, and that of the sites that we closed.
    pub(crate) fn open(&self, memory: &Memory, why: &str) -> Next {
        if let Err(wait) = self.stored_switch() {
            return Next::wait(wait);
        }
        match self.switch_meta(memory) {
            Some(via) => {
                let sites = self.input.memory.push.sites.intersection(&self.t.close_sites).cloned().collect();
                Next::act(Act::on_cluster(ActKind::OpenPush), Command::OpenPush { via, sites }, why)
            }
            None => {
                Next::wait(Wait::new(Reason::WaitingForLeader, "metas", "no leader of the metas is known"))
            }
        }
    }

    /// `spec.push.hold`, and the rule that what was opened behind our back halts us before the next act.
    pub(crate) fn hold_push(&self, memory: &Memory) -> Option<Next> {
        if self.was_opened_by_other(memory) {
            return Some(Next::Halt(Wait::new(
                Reason::PushOpenedByOther,
                "push",
                "push was opened while a rollout holds it closed: close it again, or change the spec, and it goes on",
            )));
        }
        if self.t.hold && self.reading() != Reading::Closed && memory.push.owner != Some(PushOwner::Other) {
            return Some(self.close(memory, "spec.push.hold is set"));
        }
        None
    }

    /// Whether somebody opened push that we hold closed and still need closed.
    fn was_opened_by_other(&self, memory: &Memory) -> bool {
        memory.push.state == PushState::Closed
            && memory.push.owner == Some(PushOwner::Operator)
            && self.needs_closed(memory)
            && self.stored_switch() == Ok(PushSwitch::Open)
    }

    /// Opens push on a cluster where the switch was never set: 6.x starts closed (measured: sofaregistry §1, fact 6), and
    /// sessions of 5.x compare versions each minute only once it was set (§4).
    pub(crate) fn open_first(&self, memory: &Memory) -> Option<Next> {
        let missed = matches!(self.reading(), Reading::Mixed { store: PushSwitch::Open, .. });
        if missed && memory.push.owner.is_none() && !self.t.paused && !self.t.hold {
            return Some(
                self.open(
                    memory,
                    "a session missed that push was opened (measured: sofaregistry §1, fact 7)",
                ),
            );
        }
        if self.reading() != Reading::NeverSet && self.stored_switch() != Ok(PushSwitch::NeverSet) {
            return None;
        }
        if self.t.hold
            || self.t.paused
            || memory.push.owner.is_some()
            || self.converged(Role::Session).is_err()
        {
            return None;
        }
        Some(self.open(memory, "the push switch of this cluster was never set"))
    }

    /// Who closed push, by what is read now and what was remembered.
    pub(crate) fn note_push(&self, memory: &mut Memory) {
        let in_flight = memory.run.as_ref().is_some_and(is_switching);
        let in_incident = memory.incident.is_some();
        let old = memory.push.clone();
        let reading = self.reading();
        let record = &mut memory.push;
        let opening = memory.run.as_ref().is_some_and(is_opening);
        record.state = match (&reading, record.owner) {
            // It is told to open, and the sessions have not heard of it yet.
            (Reading::Closed, _) if opening => record.state,
            (Reading::Closed, _) => PushState::Closed,
            (Reading::Open | Reading::NeverSet, None) => PushState::Open,
            (Reading::Unknown(_), None) => PushState::Unknown,
            _ => record.state,
        };
        if in_flight {
            return;
        }
        match (record.owner, &reading) {
            (None, Reading::Closed | Reading::Mixed { store: PushSwitch::Closed, .. }) => {
                record.owner = Some(PushOwner::Other);
            }
            (Some(PushOwner::Other), Reading::Open) => record.owner = None,
            // Who closed it has opened it. A session may miss that, and then it is told again (`open_first`). A store that was
            // recovered may have missed the closing.
            (Some(PushOwner::Other), Reading::Mixed { store: PushSwitch::Open, .. }) if !in_incident => {
                record.owner = None;
            }
            (Some(PushOwner::Other | PushOwner::Operator), Reading::Closed) if self.t.hold => {
                record.owner = Some(PushOwner::Spec);
            }
            _ => {}
        }
        if memory.push.owner == Some(PushOwner::Spec) && !self.t.hold && self.needs_closed(memory) {
            memory.push.owner = Some(PushOwner::Operator);
        }
        let opened = memory.push.owner == Some(PushOwner::Operator)
            && reading == Reading::Open
            && !self.needs_closed(memory);
        if opened {
            memory.push.owner = None;
        }
        let record = &mut memory.push;
        if record.owner.is_none() && reading == Reading::Open {
            record.state = PushState::Open;
            record.group = None;
            record.sites.clear();
        }
        record.why = record.owner.map(|owner| why_closed(owner).to_owned());
        if (record.state, record.owner) != (old.state, old.owner) {
            record.since = self.now;
        }
    }

    /// What is remembered together with the writing down of a change of the switch.
    pub(crate) fn note_switching(&self, kind: ActKind, memory: &mut Memory) {
        let counts = self.counts();
        let push = &mut memory.push;
        if kind == ActKind::OpenPush {
            push.state = PushState::Opening;
            push.since = self.now;
            return;
        }
        if push.owner.is_none() || (self.t.hold && push.owner != Some(PushOwner::Other)) {
            push.owner = Some(if self.t.hold { PushOwner::Spec } else { PushOwner::Operator });
            push.group.clone_from(&self.t.push_group);
            push.since = self.now;
        }
        push.sites.extend(self.open_sites());
        push.state = PushState::Closing;
        push.why = push.owner.map(|owner| why_closed(owner).to_owned());
        let recovers = self.recovers(memory);
        if let Some(run) =
            memory.run.as_mut().filter(|r| r.baseline.is_none() && (self.has_work() || recovers))
        {
            // After a loss of the metas the sessions may know nothing: then only what the data lacks is verified.
            run.baseline = counts.or(recovers.then(Counts::default)).map(|c| (c, self.now));
        }
    }

    /// What is remembered when push is seen open after we opened it.
    pub(crate) fn note_opened(&self, memory: &mut Memory) {
        memory.push.owner = None;
        memory.push.group = None;
        memory.push.sites.clear();
        memory.push.why = None;
        memory.push.state = PushState::Open;
        memory.push.since = self.now;
        if let Some(run) = &mut memory.run {
            run.baseline = None;
            run.metas_since_close = false;
            run.refilled = None;
            run.counting_since = None;
            run.counts_right_since = None;
        }
    }

    /// What the clients of all sessions have. `None` while one of them cannot be counted.
    pub(crate) fn counts(&self) -> Option<Counts> {
        let mut sum: Option<Counts> = None;
        for (member, pod) in self.pods(Role::Session) {
            if pod.waived || self.refuses(member) || !pod.may_run() {
                continue;
            }
            let counts = self.session_counts(member)?;
            sum = Some(sum.map_or(counts, |s| s.plus(counts)));
        }
        Some(sum.unwrap_or_default())
    }

    pub(crate) fn session_counts(&self, member: Member) -> Option<Counts> {
        self.session_view(member).ok()?.counts
    }

    /// Planted faults that concern the gate on push.
    pub(crate) fn push_is_closed(&self) -> Result<(), Wait> {
        if self.is_planted(Planted::RestartsWhileOpen) {
            return Ok(());
        }
        match self.reading() {
            Reading::Closed => Ok(()),
            Reading::Unknown(wait) => Err(wait),
            Reading::NeverSet | Reading::Open => {
                Err(Wait::new(Reason::WaitingForPushClosed, "push", "push is not closed"))
            }
            Reading::Mixed { others, .. } => {
                let names: Vec<String> = others.iter().map(ToString::to_string).collect();
                Err(Wait::new(
                    Reason::WaitingForPushClosed,
                    names.join(", "),
                    "push is not closed on every session",
                ))
            }
        }
    }
}

fn why_closed(owner: PushOwner) -> &'static str {
    match owner {
        PushOwner::Operator => "a rollout or a repair is under way",
        PushOwner::Spec => "spec.push.hold is set",
        PushOwner::Other => "it was found closed and not by this operator: whoever closed it opens it",
    }
}

/// Whether a change of the switch is under way: closing from when it was written down, because we own it from then on;
/// opening from when it was sent.
fn is_switching(run: &Run) -> bool {
    run.act.as_ref().is_some_and(|f| match f.act.kind {
        ActKind::ClosePush => true,
        ActKind::OpenPush => f.done_at.is_some(),
        _ => false,
    })
}

/// Whether push was told to open, as far as is written down.
fn is_opening(run: &Run) -> bool {
    run.act.as_ref().is_some_and(|f| f.act.kind == ActKind::OpenPush && f.done_at.is_some())
}

/// Whether a session's switch is that of the store: one that nobody has set is open on 5.x and closed on 6.x.
fn same(session: PushSwitch, store: PushSwitch) -> bool {
    session == store || store == PushSwitch::NeverSet
}

fn unreachable_session(member: Member, why: &str) -> Wait {
    Wait::new(
        Reason::SessionUnreachable,
        member,
        format!(
            "whether push is closed there is not known: {why}. If it serves nobody, annotate its pod with \
             middleware.sofastack.io/unreachable=accepted"
        ),
    )
}
