//! What can happen: the operator reconciles, servers and workers go on, people and machines interfere.

use std::time::Duration;

use sofa_operator::api::v1alpha1::{ActKind, RolloutState};
use sofa_operator::plan::{Act, Command, Decision, Memory, Run, ServiceInput, Target, TemplateChoice};
use sofa_operator::types::Moment;

use crate::ill::Ill;
use crate::jobs::Passing;
use crate::judge::{Rule, judge};
use crate::planted::{Planted, decide};
use crate::state::{
    BROKEN, GONE, LONG, NONE, NOW, OLDEST, Phase, Pod, Servers, Setting, State, TICK, number,
};
use crate::view::{target, world};

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// The operator decides and does it.
    Reconcile,
    /// It dies after its command, before it writes its status.
    Crash,
    /// It dies in the middle of its command, after the first part of it.
    Half,
    /// Its command is done, and the answer does not come.
    Unanswered,
    /// Its command is refused.
    Refused,
    /// A second operator has read the same status and does the same command.
    Twice,
    /// It decides on what an old cache shows.
    Stale,
    /// It is away for 20 s: it died, and another one takes over.
    Away,
    /// A server goes on: its pod ends, is made, or comes up.
    Server(u8),
    /// Clients that have no server find one.
    Connect,
    /// Time passes: ten seconds as long as these tell anything, else five minutes.
    Tick {
        stay: bool,
    },
    /// What was wrong is right again.
    Heal(Ill),
    /// A pod is evicted.
    Evict(u8),
    /// A server ends, and its container starts again.
    Kill(u8),
    Happen(Ill),
    /// Another server takes an app over while its owner lives.
    Usurp(u8),
    /// A person edits an app: it looks as if its owner had changed.
    EditApp(u8),
    /// A person wants another template.
    Edit(u8),
    /// A person wants another number of servers.
    Scale(u8),
    Pause(bool),
}

/// The model: which cluster, with which fault planted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) planted: Option<Planted>,
    pub(crate) faults: u8,
    /// Which rules are looked at; empty: all of them.
    pub(crate) looks_for: &'static [Rule],
}

impl World {
    pub(crate) fn looks_at(&self, rule: Rule) -> bool {
        self.looks_for.is_empty() || self.looks_for.contains(&rule)
    }

    /// What may happen without anybody's fault. The last one is what a prompt operator in a quick environment sees next.
    pub(crate) fn fair(&self, state: &State, actions: &mut Vec<Action>) {
        let servers = &state.servers;
        let going = self.setting.all().find(|i| self.goes_on(state, *i));
        let ills = self.setting.all().flat_map(|i| self.ills(number(i))).chain([Ill::Need, Ill::Database]);
        let ills: Vec<Ill> = ills.filter(|ill| servers.is_ill(*ill)).collect();
        let connects = servers.may_connect(self.setting);
        // A pod ends and is made, and clients find a server, within seconds; what comes up may take its time.
        let quick = connects || going.is_some_and(|i| servers.pods[i].phase != Phase::Starting);
        if state.idle && !quick {
            if servers.may_stay(self.setting) {
                actions.push(Action::Tick { stay: true });
            }
            actions.push(Action::Tick { stay: false });
        }
        actions.extend(ills.into_iter().map(Action::Heal));
        if connects {
            actions.push(Action::Connect);
        }
        // Which of several servers goes on first makes no difference to anybody: one order stands for all.
        actions.extend(going.map(|i| Action::Server(number(i))));
        if !state.idle {
            actions.push(Action::Reconcile);
        }
    }

    fn goes_on(&self, state: &State, index: usize) -> bool {
        let servers = &state.servers;
        let (role, ordinal) = self.setting.place(index);
        let set = servers.sets[role];
        let pod = servers.pods[index];
        match pod.phase {
            Phase::Gone => set.template > 0 && ordinal < set.replicas,
            Phase::Stopping => true,
            Phase::Starting => pod.template != BROKEN && servers.need && servers.database,
            _ => false,
        }
    }

    /// What may be wrong with a server.
    fn ills(&self, index: u8) -> Vec<Ill> {
        let first = self.setting.place(usize::from(index)).0 == 0;
        match (self.setting.is_powerjob(), first) {
            (true, _) => vec![Ill::Hung(index), Ill::Deaf(index)],
            (false, true) => {
                let mut ills =
                    vec![Ill::Hung(index), Ill::Failing(index), Ill::Uncounted(index), Ill::Barred(index)];
                if self.setting.has_tasks() {
                    ills.extend([Ill::Busy(index), Ill::Silent(index)]);
                }
                ills
            }
            (false, false) => vec![Ill::Failing(index)],
        }
    }

    /// What may go wrong, as often as the bound allows.
    pub(crate) fn faulty(&self, state: &State, actions: &mut Vec<Action>) {
        if state.faults == 0 {
            return;
        }
        let setting = self.setting;
        let flight = state.memory.run.as_ref().and_then(|r| r.act.as_ref());
        if !state.idle {
            if let Some(flight) = flight.filter(|f| f.done_at.is_none()) {
                actions.extend([Action::Crash, Action::Unanswered, Action::Refused, Action::Twice]);
                if flight.act.targets.len() > 1 && flight.act.kind != ActKind::MoveApp {
                    actions.push(Action::Half);
                }
            }
            if state.cache.is_some() {
                actions.push(Action::Stale);
            }
            if flight.is_some() && setting.is_powerjob() {
                actions.push(Action::Away);
            }
        }
        let servers = &state.servers;
        for index in setting.all().filter(|i| setting.stands_for_all(*i)) {
            let pod = number(index);
            let phase = servers.pods[index].phase;
            if phase == Phase::Up {
                actions.extend(
                    self.ills(pod).into_iter().filter(|ill| !servers.is_ill(*ill)).map(Action::Happen),
                );
                actions.push(Action::Kill(pod));
            }
            if matches!(phase, Phase::Up | Phase::Starting) {
                actions.push(Action::Evict(pod));
            }
        }
        if servers.need {
            actions.push(Action::Happen(Ill::Need));
        }
        if setting.is_powerjob() && servers.database {
            actions.push(Action::Happen(Ill::Database));
        }
        for app in 0..setting.apps() {
            if servers.jobs.apps[app].owner != NONE {
                actions.push(Action::EditApp(number(app)));
            }
            if servers.database && usurper(setting, servers, app).is_some() {
                actions.push(Action::Usurp(number(app)));
            }
        }
        let templates = [1, 2, BROKEN].into_iter().filter(|t| *t != state.spec.template);
        actions.extend(templates.map(Action::Edit));
        let numbers = [2, 3].into_iter().filter(|n| *n != state.spec.servers && *n <= setting.most);
        actions.extend(numbers.map(Action::Scale));
        actions.push(Action::Pause(!state.spec.paused));
    }

    /// What follows.
    pub(crate) fn step(&self, state: &State, action: Action) -> State {
        let mut next = state.clone();
        next.idle = false;
        let setting = self.setting;
        let mut fair = false;
        let servers = &mut next.servers;
        match action {
            Action::Reconcile
            | Action::Crash
            | Action::Half
            | Action::Unanswered
            | Action::Refused
            | Action::Twice
            | Action::Stale => {
                fair = action == Action::Reconcile;
                self.reconcile(state, &mut next, action);
            }
            Action::Away => {
                for _ in 0..2 {
                    self.pass(&mut next, Passing { stay: false, away: true });
                }
            }
            Action::Tick { stay } => {
                fair = true;
                self.pass(&mut next, Passing { stay, away: false });
            }
            Action::Server(index) => {
                fair = true;
                self.server(servers, usize::from(index));
            }
            Action::Connect => {
                fair = true;
                servers.connect(setting);
            }
            Action::Heal(ill) => {
                fair = true;
                servers.turn(ill, false);
            }
            Action::Happen(ill) => servers.turn(ill, true),
            Action::Evict(index) => servers.stop(usize::from(index), false),
            Action::Kill(index) => {
                servers.pods[usize::from(index)].phase = Phase::Starting;
                servers.end(usize::from(index));
            }
            Action::Usurp(app) => {
                let app = usize::from(app);
                if let Some(other) = usurper(setting, servers, app) {
                    servers.own(setting, app, number(other));
                }
            }
            Action::EditApp(app) => {
                let app = usize::from(app);
                servers.own(setting, app, servers.jobs.apps[app].owner);
            }
            Action::Edit(template) => next.spec.template = template,
            Action::Scale(servers) => next.spec.servers = servers,
            Action::Pause(paused) => next.spec.paused = paused,
        }
        next.spec.generation += u8::from(next.spec != state.spec);
        next.faults -= u8::from(!fair);
        next
    }

    /// One reconcile, and what may go wrong in it.
    fn reconcile(&self, state: &State, next: &mut State, action: Action) {
        let setting = self.setting;
        let old_cache = state.cache.as_deref().filter(|_| action == Action::Stale);
        let (servers, seen_at) = match old_cache {
            Some(old) => (old, Moment::from_millis(NOW.as_millis() - 1000)),
            None => (&state.servers, NOW),
        };
        let seen = world(setting, servers, seen_at);
        let wanted = target(setting, state.spec);
        let input = ServiceInput {
            now: NOW,
            generation: i64::from(state.spec.generation),
            deleting: false,
            target: &wanted,
            world: &seen,
            memory: &state.memory,
        };
        let decision = decide(self.planted, &input);
        let found = judge(setting, state, &input, &decision, seen_at);
        next.broken = found.into_iter().find(|rule| self.looks_at(*rule)).or(next.broken);
        // What a look at a cache would apply is never applied: it is looked again, past the cache (`controllers::reconcile`).
        if action != Action::Stale {
            self.apply(next, &decision);
        }
        if let Some(command) = &decision.command {
            next.cache = Some(Box::new(state.servers));
            if action != Action::Refused {
                self.run(next, command, action == Action::Half);
            }
            if action == Action::Twice {
                self.run(next, command, false);
            }
        }
        let refused =
            decision.memory_if_refused.filter(|_| matches!(action, Action::Refused | Action::Unanswered));
        if !matches!(action, Action::Crash | Action::Half) {
            next.memory = settle(refused.unwrap_or(decision.memory), Duration::ZERO);
        }
        if state.memory.run.as_ref().is_none_or(|run| run.act.is_none()) && self.clients_are_served(state) {
            next.before = None;
        }
        let run = next.memory.run.as_ref().filter(|run| run.state == RolloutState::Acting);
        if run.is_some_and(|run| self.takes_servers(run)) {
            next.before = next.before.or(Some(state.servers.connected()));
        }
        next.idle = action == Action::Reconcile && *next == State { idle: false, ..state.clone() };
    }

    /// No pod is left to be changed, the servers that clients connect to work, and clients have what they had.
    fn clients_are_served(&self, state: &State) -> bool {
        let servers = &state.servers;
        let ends = |pod: Pod| matches!(pod.phase, Phase::Gone | Phase::Stopping);
        let drifts = |pod: Pod| !ends(pod) && pod.template != state.spec.template;
        servers.sets[0].replicas == state.spec.servers
            && !self.setting.all().any(|i| drifts(servers.pods[i]))
            && servers.members(self.setting, 0).all(|i| servers.works(self.setting, i))
            && servers.uncounted == NONE
            && state.before.is_none_or(|before| servers.connected() >= before)
    }

    /// An act that takes a server from its clients.
    fn takes_servers(&self, run: &Run) -> bool {
        let act = run.act.as_ref().map(|flight| &flight.act);
        let first = act.and_then(Act::role).is_some_and(|role| self.setting.role(role) == 0);
        let takes = act.is_some_and(|act| matches!(act.kind, ActKind::RestartPods | ActKind::ScaleDown));
        first && takes && !self.setting.is_powerjob()
    }

    /// What is applied before the command: StatefulSets, but for the one that the command scales.
    fn apply(&self, state: &mut State, decision: &Decision) {
        for (role, wanted) in &decision.desired.roles {
            let scaled = matches!(&decision.command, Some(Command::Scale { role: r, .. }) if r == role);
            let set = &mut state.servers.sets[self.setting.role(*role)];
            if set.template == 0 {
                set.replicas = u8::try_from(wanted.replicas).expect("few");
            }
            if wanted.template == TemplateChoice::Target && !scaled {
                set.template = state.spec.template;
            }
        }
    }

    /// The command, or the first part of it.
    fn run(&self, state: &mut State, command: &Command, half: bool) {
        let setting = self.setting;
        match command {
            Command::StopPods { targets, .. } => {
                let targets: Vec<Target> =
                    targets.iter().take(if half { 1 } else { targets.len() }).cloned().collect();
                for index in state.hit(setting, &targets) {
                    state.servers.stop(index, true);
                }
            }
            Command::Scale { role, replicas } => {
                let role = setting.role(*role);
                state.servers.sets[role].replicas = u8::try_from(*replicas).expect("few");
                state.servers.sets[role].template = state.spec.template;
                for index in setting.pods(role).skip(*replicas as usize) {
                    state.servers.stop(index, false);
                }
            }
            Command::PreRegister { from, to, apps } => {
                let (from, to) = (setting.index(*from), setting.index(*to));
                let workers =
                    apps.iter().flat_map(|app| setting.workers(usize::try_from(*app).expect("few") - 1));
                let heard = state.servers.jobs.processes[from].heard;
                let told: Vec<usize> = workers.filter(|w| heard[*w] < GONE).collect();
                let answers = |index: usize| state.servers.pods[index].phase == Phase::Up;
                if answers(from) && answers(to) {
                    for worker in told.iter().take(if half { 1 } else { told.len() }) {
                        state.servers.jobs.processes[to].heard[*worker] = 0;
                    }
                }
            }
            Command::MoveApps { from, to, apps } => {
                let (from, to) = (setting.index(*from), setting.index(*to));
                for app in apps {
                    let app = usize::try_from(*app).expect("few") - 1;
                    if usize::from(state.servers.jobs.apps[app].owner) == from && state.servers.database {
                        state.servers.own(setting, app, number(to));
                    }
                }
            }
            Command::RetryLost { .. } => state.servers.jobs.lost = false,
            _ => {}
        }
    }

    /// A server goes on.
    fn server(&self, servers: &mut Servers, index: usize) {
        let (role, _) = self.setting.place(index);
        let pod = servers.pods[index];
        servers.pods[index] = match pod.phase {
            Phase::Stopping => Pod { phase: Phase::Gone, ..pod },
            Phase::Gone => Pod {
                made: pod.made + 1,
                template: servers.sets[role].template,
                phase: Phase::Starting,
                old: false,
                ours: pod.ours,
            },
            _ => Pod { phase: Phase::Up, old: false, ours: false, ..pod },
        };
    }

    /// Time passes. No cache is that old.
    fn pass(&self, state: &mut State, passing: Passing) {
        let setting = self.setting;
        let servers = &mut state.servers;
        let young = passing.away || servers.is_young(setting);
        if setting.is_powerjob() {
            let lost = servers.tick(setting, state.spec, passing);
            if lost && self.looks_at(Rule::NothingLost) {
                state.broken = state.broken.or(Some(Rule::NothingLost));
            }
        }
        if !young {
            for pod in &mut servers.pods {
                pod.old |= pod.phase == Phase::Starting;
            }
            servers.fire_all(setting);
        }
        state.cache = None;
        state.memory = settle(std::mem::take(&mut state.memory), if young { TICK } else { LONG });
    }
}

/// The server that takes an app over from one that lives.
fn usurper(setting: Setting, servers: &Servers, app: usize) -> Option<usize> {
    let owner = usize::from(servers.jobs.apps[app].owner);
    let lives = |index: &usize| servers.pods[*index].phase == Phase::Up;
    let other = setting.pods(0).find(|index| *index != owner && lives(index))?;
    setting.pods(0).contains(&owner).then_some(owner).filter(lives).map(|_| other)
}

/// Memories as they are when so much time has passed, with what decides nothing left out.
fn settle(mut memory: Memory, passed: Duration) -> Memory {
    let shift = |moment: Moment| {
        let floor = NOW.as_millis() - i64::try_from(OLDEST.as_millis()).expect("short");
        let passed = i64::try_from(passed.as_millis()).expect("short");
        Moment::from_millis((moment.as_millis() - passed).max(floor))
    };
    memory.push.since = NOW;
    memory.waiting.clear();
    let Some(run) = &mut memory.run else { return memory };
    run.started_at = NOW;
    run.deadline = run.deadline.map(shift);
    // Without a baseline it only tells facts from before it, and there are none after a tick.
    let counts = run.baseline.is_some();
    run.last_act_at =
        run.last_act_at.map(shift).map(|at| if counts || at == NOW { at } else { NOW.before(OLDEST) });
    run.baseline = run.baseline.map(|(counts, _)| (counts, NOW));
    if let Some((_, words)) = &mut run.halted {
        words.clear();
    }
    if let Some(flight) = &mut run.act {
        flight.written_at = NOW;
        flight.done_at = flight.done_at.map(|_| NOW);
    }
    memory
}
