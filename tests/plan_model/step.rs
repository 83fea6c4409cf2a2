//! What can happen: the operator reconciles, servers go on, people and machines interfere.

use std::time::Duration;

use sofa_operator::api::v1alpha1::{ActKind, PushOwner, PushState};
use sofa_operator::observe::Genesis;
use sofa_operator::plan::invariants::{ClosedBy, Invariant, judge};
use sofa_operator::plan::{
    Command, Decision, Memory, Planted, RegistryInput, Target, TemplateChoice, plan_registry,
};
use sofa_operator::types::Moment;

use crate::state::{
    BROKEN, First, MEMBERS, METAS, NOW, OLDEST, Phase, Pod, SESSIONS, Servers, State, Switch, Turn, address,
    role_index, uid,
};
use crate::view::{Setting, target, truth, world};

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// The operator decides and does it.
    Reconcile,
    /// It dies after its command, before it writes its status.
    Crash,
    /// A second operator has read the same status and does the same command.
    Twice,
    /// It decides on what an old cache shows.
    Stale,
    /// One session misses the change of the push switch.
    Missed(u8),
    /// A server goes on: its pod is made, or comes up.
    Server(u8),
    /// A minute passes.
    Minute,
    /// A pod is evicted: it comes back on another address.
    Evict(u8),
    /// A server stops answering.
    Freeze(u8),
    /// All metas are lost at once, and come back on other addresses.
    PowerLoss,
    /// A meta's volume is lost: with its pod, if that has started.
    LoseVolume(u8),
    /// The data nodes lose publishers.
    LoseData,
    /// A person wants another template.
    Edit(u8),
    Pause,
    Resume,
    Hold(bool),
    /// A person closes push past the operator.
    PersonCloses,
    /// A person opens push past the operator.
    PersonOpens,
    /// Another cluster of the push group begins to act.
    OtherActs,
    OtherRests,
}

/// With what a history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// All serve, and the spec has just been changed.
    Running,
    /// Nothing is there yet but a spec.
    FirstStart,
    /// All served, the spec has just been changed, and two of three metas are gone with their volumes.
    VolumesLost,
}

/// The model: which cluster, with which fault planted in the planner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) planted: Option<Planted>,
    pub(crate) faults: u8,
    pub(crate) begins: Begins,
    /// Which invariants are looked at; empty: all of them.
    pub(crate) looks_for: &'static [Invariant],
}

impl World {
    pub(crate) fn looks_at(&self, invariant: Invariant) -> bool {
        self.looks_for.is_empty() || self.looks_for.contains(&invariant)
    }

    /// What may happen without anybody's fault: the environment goes on.
    pub(crate) fn fair(&self, state: &State, actions: &mut Vec<Action>) {
        for (index, pod) in state.servers.pods.iter().enumerate() {
            let absent = state.templates[role_index(MEMBERS[index].role)] == 0;
            let goes_on = match pod.phase {
                Phase::Gone => true,
                Phase::Starting if self.setting.raft && state.servers.refuses_to_start(index) => false,
                Phase::Starting => pod.template != BROKEN,
                Phase::Orphan => index >= SESSIONS.start && state.servers.leader != u8::MAX,
                _ => false,
            };
            // Which of several servers goes on first makes no difference to anybody: one order stands for all.
            if goes_on && !absent && actions.is_empty() {
                actions.push(Action::Server(u8::try_from(index).expect("few members")));
            }
        }
        if !state.idle {
            actions.push(Action::Reconcile);
        } else if actions.is_empty() {
            actions.push(Action::Minute);
        }
        if state.turn == Turn::Other {
            actions.push(Action::OtherRests);
        }
    }

    /// What may go wrong, as often as the bound allows.
    pub(crate) fn faulty(&self, state: &State, actions: &mut Vec<Action>) {
        if state.faults == 0 {
            return;
        }
        let acting = state.memory.run.as_ref().and_then(|r| r.act.as_ref());
        let pending = acting.is_some_and(|f| f.done_at.is_none());
        let switching = acting.is_some_and(|f| matches!(f.act.kind, ActKind::OpenPush | ActKind::ClosePush));
        if !state.idle {
            if pending {
                actions.extend([Action::Crash, Action::Twice]);
            }
            if switching && pending {
                actions.push(Action::Missed(0));
            }
            if state.cache.is_some() {
                actions.push(Action::Stale);
            }
        }
        for index in [0_u8, 2, 3, 5] {
            let pod = state.servers.pods[usize::from(index)];
            if pod.answers() {
                actions.push(Action::Evict(index));
                actions.push(Action::Freeze(index));
            }
        }
        if self.setting.raft && state.first == First::Done {
            let has_volume = |i: usize| {
                let pod = state.servers.pods[i];
                pod.answers() || pod.phase == Phase::Starting && !state.servers.volumes[i].peers.is_empty()
            };
            if state.servers.pods[1].answers() {
                actions.push(Action::PowerLoss);
            }
            let volumes = [1_u8, 2].into_iter().filter(|i| has_volume(usize::from(*i)));
            actions.extend(volumes.map(Action::LoseVolume));
        }
        if !state.servers.lacks && state.servers.pods[3].answers() {
            actions.push(Action::LoseData);
        }
        let other = match state.spec.template {
            1 => [2, BROKEN],
            2 => [1, BROKEN],
            _ => [1, 2],
        };
        actions.extend(other.map(Action::Edit));
        actions.push(if state.spec.paused { Action::Resume } else { Action::Pause });
        actions.push(Action::Hold(!state.spec.hold));
        if !switching && state.servers.leader != u8::MAX {
            let open = state.servers.store != Switch::Closed;
            actions.push(if open { Action::PersonCloses } else { Action::PersonOpens });
        }
        if self.setting.group && state.turn == Turn::Nobody {
            actions.push(Action::OtherActs);
        }
    }

    /// What follows.
    pub(crate) fn step(&self, state: &State, action: Action) -> State {
        let mut next = state.clone();
        next.idle = false;
        let fair =
            matches!(action, Action::Reconcile | Action::Server(_) | Action::Minute | Action::OtherRests);
        next.faults -= u8::from(!fair);
        match action {
            Action::Reconcile | Action::Crash | Action::Twice | Action::Stale | Action::Missed(_) => {
                self.reconcile(state, &mut next, action);
            }
            Action::Server(index) => self.server(&mut next, usize::from(index)),
            Action::Minute => minute(&mut next),
            Action::Evict(index) => next.servers.pods[usize::from(index)].phase = Phase::Gone,
            Action::Freeze(index) => next.servers.pods[usize::from(index)].phase = Phase::Frozen,
            Action::PowerLoss => power_loss(&mut next),
            Action::LoseVolume(index) => {
                let volume = &mut next.servers.volumes[usize::from(index)];
                volume.claim += 1;
                volume.marked = false;
                volume.peers.clear();
                let pod = &mut next.servers.pods[usize::from(index)];
                if pod.phase != Phase::Starting {
                    pod.phase = Phase::Gone;
                }
            }
            Action::LoseData => {
                next.servers.lacks = true;
                next.servers.again = 0;
            }
            Action::Edit(template) => {
                next.spec.template = template;
                next.spec.generation += 1;
            }
            Action::Pause | Action::Resume => {
                next.spec.paused = action == Action::Pause;
                next.spec.generation += 1;
            }
            Action::Hold(hold) => {
                next.spec.hold = hold;
                next.spec.generation += 1;
            }
            Action::PersonCloses => {
                // Whoever closes what the operator holds closed, and somebody had opened, gives it back.
                let ours = next.memory.push.owner == Some(PushOwner::Operator);
                let by = if ours { ClosedBy::Operator } else { ClosedBy::Person };
                switch(&mut next, Switch::Closed, Some(by), None);
            }
            Action::PersonOpens => switch(&mut next, Switch::Open, None, None),
            Action::OtherActs => next.turn = Turn::Other,
            Action::OtherRests => next.turn = Turn::Nobody,
        }
        next.servers.lead(self.setting.raft);
        next
    }

    /// One reconcile, and what may go wrong in it.
    fn reconcile(&self, state: &State, next: &mut State, action: Action) {
        let old_cache = state.cache.as_deref().filter(|_| action == Action::Stale);
        let (servers, seen_at) = match old_cache {
            Some(old) => (old, Moment::from_millis(NOW.as_millis() - 1000)),
            None => (&state.servers, NOW),
        };
        let seen = world(self.setting, state, servers, seen_at);
        let wanted = target(self.setting, state);
        let input = RegistryInput {
            now: NOW,
            generation: i64::from(state.spec.generation),
            deleting: false,
            target: &wanted,
            world: &seen,
            memory: &state.memory,
            planted: self.planted,
        };
        let decision = plan_registry(&input);
        let truth = truth(self.setting, state);
        let found = judge(&input, &decision, &truth);
        next.broken = found.iter().map(|v| v.invariant).find(|i| self.looks_at(*i)).or(next.broken);
        Self::apply(next, &decision);
        if let Some(command) = &decision.command {
            next.cache = Some(Box::new(state.servers.clone()));
            let missed = if let Action::Missed(session) = action { Some(session) } else { None };
            self.run(next, command, missed);
            if action == Action::Twice {
                self.run(next, command, None);
            }
        }
        if action != Action::Crash {
            next.memory = settle(decision.memory, Duration::ZERO);
        }
        next.idle = action == Action::Reconcile && *next == State { idle: false, ..state.clone() };
    }

    /// What is applied before the command: templates, marks, the record of the first start, the group's object.
    fn apply(state: &mut State, decision: &Decision) {
        for (role, wanted) in &decision.desired.roles {
            let template = &mut state.templates[role_index(*role)];
            if wanted.template == TemplateChoice::Target {
                *template = state.spec.template;
            }
        }
        for member in &decision.marks {
            state.servers.volumes[member.ordinal as usize].marked = true;
        }
        match &decision.genesis {
            Some(Genesis::Begun { .. }) => state.first = First::Begun,
            Some(Genesis::Done) => state.first = First::Done,
            Some(Genesis::Never) => state.first = First::Never,
            None => {}
        }
        if let Some(change) = &decision.group {
            state.hold = change.hold;
            state.turn = match (state.turn, change.act) {
                (Turn::Other, _) => Turn::Other,
                (_, true) => Turn::Us,
                (_, false) => Turn::Nobody,
            };
        }
    }

    fn run(&self, state: &mut State, command: &Command, missed: Option<u8>) {
        match command {
            Command::StopPods { targets, .. } => {
                for index in hit(&state.servers, targets) {
                    state.servers.pods[index].phase = Phase::Gone;
                }
            }
            Command::ReleasePods { targets, raft_data } => {
                for index in hit(&state.servers, targets) {
                    let pod = &mut state.servers.pods[index];
                    if pod.phase == Phase::Held {
                        (pod.phase, pod.blank) = (Phase::Starting, raft_data.may_be_blank());
                    }
                }
            }
            Command::ClosePush { .. } => {
                let by = state.closed_by.or(Some(ClosedBy::Operator));
                switch(state, Switch::Closed, by, missed);
            }
            Command::OpenPush { .. } => switch(state, Switch::Open, None, missed),
            Command::ChangePeer { peers, .. } => {
                let members: Vec<(u8, u8)> = (0..METAS)
                    .flat_map(|i| (0..=state.servers.pods[i].made).map(move |made| (i, made)))
                    .filter(|(i, made)| peers.contains(&address(*i, *made)))
                    .map(|(i, made)| (u8::try_from(i).expect("few members"), made))
                    .collect();
                let led = state.servers.group(self.setting.raft).is_some();
                for index in 0..METAS {
                    if !led || state.servers.pods[index].phase != Phase::Up {
                        continue;
                    }
                    let own = (u8::try_from(index).expect("few members"), state.servers.pods[index].made);
                    if members.contains(&own) {
                        state.servers.volumes[index].peers.clone_from(&members);
                    }
                }
            }
            Command::ResetPeer { survivor } => {
                let index = (0..METAS).find(|i| address(*i, state.servers.pods[*i].made) == *survivor);
                if let Some(index) = index {
                    let own = (u8::try_from(index).expect("few members"), state.servers.pods[index].made);
                    state.servers.volumes[index].peers = vec![own];
                }
            }
            _ => {}
        }
    }

    /// A server goes on.
    fn server(&self, state: &mut State, index: usize) {
        let template = state.templates[role_index(MEMBERS[index].role)];
        let meta = index < METAS;
        let servers = &mut state.servers;
        match servers.pods[index].phase {
            Phase::Gone => {
                let phase = if meta && self.setting.raft { Phase::Held } else { Phase::Starting };
                servers.pods[index] = Pod::new(servers.pods[index].made + 1, template, phase);
            }
            Phase::Starting if meta && self.setting.raft && servers.refuses_to_start(index) => {}
            Phase::Starting if meta && self.setting.raft => self.meta_starts(state, index),
            Phase::Starting | Phase::Orphan => {
                servers.pods[index].phase = Phase::Up;
                if SESSIONS.contains(&index) {
                    let session = index - SESSIONS.start;
                    servers.sessions[session] = servers.store;
                    servers.again |= 1 << session;
                    servers.lacks &= servers.again != 3;
                }
            }
            _ => {}
        }
    }

    /// Blank metas elect each other; with one of them alone nothing happens until somebody joins it to a group. One that a
    /// group names already is in it.
    fn meta_starts(&self, state: &mut State, index: usize) {
        // Of one that has started it does not count any more.
        (state.servers.pods[index].phase, state.servers.pods[index].blank) = (Phase::Up, false);
        let own = (u8::try_from(index).expect("few members"), state.servers.pods[index].made);
        let named = state.servers.volumes.iter().map(|v| &v.peers).find(|p| p.contains(&own)).cloned();
        if let Some(peers) = named.filter(|_| state.servers.volumes[index].peers.is_empty()) {
            state.servers.volumes[index].peers = peers;
        }
        let blank: Vec<usize> = (0..METAS)
            .filter(|i| {
                state.servers.pods[*i].phase == Phase::Up && state.servers.volumes[*i].peers.is_empty()
            })
            .collect();
        if blank.len() < 2 {
            return;
        }
        if state.first == First::Done && self.looks_at(Invariant::I14OneBlank) {
            state.broken = Some(Invariant::I14OneBlank);
        }
        let all: Vec<(u8, u8)> =
            (0..METAS).map(|i| (u8::try_from(i).expect("few members"), state.servers.pods[i].made)).collect();
        for index in blank {
            state.servers.volumes[index].peers.clone_from(&all);
        }
    }
}

/// The pods that are really meant: each by its uid.
fn hit(servers: &Servers, targets: &[Target]) -> Vec<usize> {
    (0..MEMBERS.len())
        .filter(|i| servers.pods[*i].phase != Phase::Gone)
        .filter(|i| {
            targets.iter().any(|t| t.member == MEMBERS[*i] && t.uid == Some(uid(*i, servers.pods[*i].made)))
        })
        .collect()
}

fn switch(state: &mut State, to: Switch, by: Option<ClosedBy>, missed: Option<u8>) {
    if state.servers.leader == u8::MAX {
        return;
    }
    state.servers.store = to;
    for session in 0..2_u8 {
        let up = state.servers.pods[SESSIONS.start + usize::from(session)].answers();
        if up && missed != Some(session) {
            state.servers.sessions[usize::from(session)] = to;
        }
    }
    state.closed_by = by;
}

fn power_loss(state: &mut State) {
    for index in 0..METAS {
        state.servers.pods[index].phase = Phase::Gone;
    }
    for index in METAS..MEMBERS.len() {
        if state.servers.pods[index].phase == Phase::Up {
            state.servers.pods[index].phase = Phase::Orphan;
        }
    }
}

/// A minute passes: what did not answer answers again, what was remembered is older, and no cache is that old.
fn minute(state: &mut State) {
    for (index, pod) in state.servers.pods.iter_mut().enumerate() {
        pod.old = !matches!(pod.phase, Phase::Gone | Phase::Held);
        if pod.phase == Phase::Frozen {
            pod.phase = Phase::Up;
            if SESSIONS.contains(&index) {
                state.servers.sessions[index - SESSIONS.start] = state.servers.store;
            }
        }
    }
    state.cache = None;
    state.memory = settle(std::mem::take(&mut state.memory), Duration::from_mins(1));
}

/// Memories as they are when so much time has passed, with what decides nothing left out.
fn settle(mut memory: Memory, passed: Duration) -> Memory {
    let shift = |moment: Moment| {
        let floor = NOW.as_millis() - i64::try_from(OLDEST.as_millis()).expect("short");
        let passed = i64::try_from(passed.as_millis()).expect("short");
        Moment::from_millis((moment.as_millis() - passed).max(floor))
    };
    memory.push.since = NOW;
    for since in memory.waiting.values_mut() {
        *since = shift(*since);
    }
    if let Some(incident) = &mut memory.incident {
        incident.since = NOW;
    }
    if memory.push.state == PushState::Unknown && memory.push.owner.is_none() {
        memory.push.why = None;
    }
    let Some(run) = &mut memory.run else { return memory };
    run.started_at = NOW;
    run.deadline = run.deadline.map(shift);
    run.last_act_at = run.last_act_at.map(shift);
    run.counting_since = run.counting_since.map(shift);
    run.counts_right_since = run.counts_right_since.map(shift);
    run.baseline = run.baseline.map(|(counts, _)| (counts, NOW));
    if let Some(flight) = &mut run.act {
        flight.written_at = NOW;
        flight.done_at = flight.done_at.map(|_| NOW);
    }
    memory
}
