//! The real planner of DRM, `AntScheduler` and `PowerJob`, explored: every state that a small cluster can get into, with every
//! interleaving of what the operator does and what goes on around it, with time that passes, and with a bounded number of faults
//! at any point. Each step is judged by the rules of `judge.rs`, and from each state a fair environment has to lead to rest.
//!
//! The last test plants at least one fault for each rule: it fails if the checker has gone blind.

#![expect(clippy::expect_used, clippy::panic, reason = "tests")]

mod ill;
mod jobs;
mod judge;
mod planted;
mod state;
mod step;
mod view;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::time::Instant;

use sofa_operator::api::v1alpha1::{RolloutState, Strategy};
use sofa_operator::plan::Memory;
use stateright::{Checker, Model, Property};

use judge::Rule;
use planted::Planted;
use state::{BROKEN, Kind, NONE, PODS, Phase, Pod, ROLES, SERVERS, Servers, Set, Setting, Spec, State};
use step::{Action, World};

/// Steps after which a run in a fair environment has to rest: a whole rollout takes about 60.
const REST_WITHIN: usize = 1000;

/// How a history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// So many servers run on template 1; the spec wants template 2 and so many.
    Running(u8, u8),
    /// So many servers run on the template that the spec wants, which wants so many.
    Scaled(u8, u8),
    /// As two that run, but the last one hangs on a template whose pods never come up.
    Stuck,
    /// Nothing is there yet but a spec that wants two.
    Nothing,
}

struct Explored {
    world: World,
    start: Start,
    /// States from which rest is known to be reached.
    rests: Mutex<HashSet<u64>>,
}

impl Model for Explored {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.start.state(&self.world)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_none() {
            self.world.fair(state, actions);
            self.world.faulty(state, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        Some(self.world.step(state, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no rule is broken", |_, state: &State| state.broken.is_none()),
            Property::always("a fair environment leads to rest", |model: &Self, state: &State| {
                state.broken.is_some() || !model.world.looks_at(Rule::Liveness) || model.comes_to_rest(state)
            }),
            Property::sometimes("the rollout is done", |model: &Self, state: &State| {
                model.is_done(state) && state.spec.template == 2
            }),
        ]
    }
}

impl Explored {
    fn new(world: World, start: Start) -> Self {
        Self { world, start, rests: Mutex::default() }
    }

    /// The next state in an environment in which nothing more goes wrong.
    fn fair(&self, state: &State) -> Option<State> {
        let mut actions = Vec::new();
        self.world.fair(state, &mut actions);
        actions.last().map(|action| self.world.step(state, *action))
    }

    /// Whether the environment, when nothing more goes wrong, ends in a rest that is right.
    fn comes_to_rest(&self, state: &State) -> bool {
        let mut path = Vec::new();
        let mut seen = HashSet::new();
        let mut now = State { faults: 0, ..state.clone() };
        for _ in 0..REST_WITHIN {
            let print = print_of(&now);
            if self.rests.lock().expect("not poisoned").contains(&print) {
                break;
            }
            if !seen.insert(print) {
                if !self.is_right(&now) {
                    return false;
                }
                break;
            }
            path.push(print);
            let Some(next) = self.fair(&now) else { return false };
            now = next;
            if now.broken.is_some() {
                // The exploration gets there too, and says which rule it is.
                return true;
            }
        }
        if path.len() >= REST_WITHIN {
            return false;
        }
        self.rests.lock().expect("not poisoned").extend(path);
        true
    }

    /// Whether this cycle of states is a rest: all is done and as the spec wants it, or a person holds it, or the spec wants
    /// a template whose pods never come up.
    fn is_right(&self, state: &State) -> bool {
        let mut now = state.clone();
        for _ in 0..64 {
            let run = now.memory.run.as_ref();
            match run.map(|r| r.state) {
                Some(RolloutState::Done) => return self.is_done(&now),
                Some(RolloutState::Halted) => {
                    let broken =
                        now.spec.template == BROKEN || now.servers.pods.iter().any(|p| p.template == BROKEN);
                    return broken && run.is_some_and(|r| r.halted.is_some());
                }
                _ if now.spec.paused && run.is_some_and(|r| r.act.is_none()) => return true,
                _ => {}
            }
            let Some(next) = self.fair(&now) else { return false };
            now = next;
        }
        false
    }

    /// Done, nothing is in flight, and everything is as the spec wants it. Unless it is paused, nothing is left in the wheel of
    /// a former owner that has lost its workers, and nothing lost is left to be run again.
    fn is_done(&self, state: &State) -> bool {
        let setting = self.world.setting;
        let run = state.memory.run.as_ref();
        let done =
            run.is_some_and(|r| r.state == RolloutState::Done && r.act.is_none() && r.baseline.is_none());
        let servers = &state.servers;
        let right = setting.all().all(|index| {
            let (role, ordinal) = setting.place(index);
            let wanted = if role == 0 { state.spec.servers } else { 1 };
            let pod = servers.pods[index];
            let works = servers.works(setting, index) && pod.template == state.spec.template;
            servers.sets[role].replicas == wanted
                && if ordinal < wanted { works } else { pod.phase == Phase::Gone }
        });
        let former = setting.pods(0).any(|s| (0..setting.apps()).any(|app| servers.is_former(s, app)));
        done && right && (state.spec.paused || (!former && !servers.jobs.lost))
    }
}

fn print_of(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

impl Start {
    fn state(self, world: &World) -> State {
        let setting = world.setting;
        let (have, want) = match self {
            Self::Running(have, want) | Self::Scaled(have, want) => (have, want),
            Self::Stuck | Self::Nothing => (2, 2),
        };
        let gone = Pod { made: 0, template: 1, phase: Phase::Gone, old: false, ours: false };
        let mut servers = Servers {
            pods: [gone; PODS],
            sets: [Set { template: 1, replicas: have }, Set { template: 1, replicas: 1 }],
            need: true,
            database: true,
            deaf: NONE,
            uncounted: NONE,
            busy: NONE,
            silent: NONE,
            clients: [0; SERVERS],
            away: 0,
            barred: false,
            jobs: jobs::settled(setting),
        };
        for index in setting.all().filter(|i| setting.place(*i).1 < have) {
            servers.pods[index].phase = Phase::Up;
            if index < usize::from(have) && !setting.is_powerjob() {
                servers.clients[index] = 1;
            }
        }
        match self {
            Self::Running(..) => {}
            Self::Scaled(..) => {
                servers.pods.iter_mut().for_each(|pod| pod.template = 2);
                servers.sets.iter_mut().for_each(|set| set.template = 2);
            }
            Self::Stuck => {
                servers.sets[0].template = BROKEN;
                servers.pods[1] = Pod { template: BROKEN, phase: Phase::Starting, ..gone };
                servers.away = std::mem::take(&mut servers.clients[1]);
                // Its apps are the other one's by now.
                for app in 0..setting.apps() {
                    servers.own(setting, app, 0);
                    servers.jobs.apps[app] =
                        state::App { moved: state::SETTLED, pending: false, ..servers.jobs.apps[app] };
                }
                servers.jobs.processes[1] = state::Process::BLANK;
                for worker in &mut servers.jobs.workers {
                    worker.at = 0;
                }
                servers.jobs.processes[0].heard = [0; state::WORKERS];
            }
            Self::Nothing => {
                servers.pods = [Pod { template: 2, ..gone }; PODS];
                servers.sets = [Set { template: 0, replicas: 0 }; ROLES];
                servers.away = servers.clients.iter_mut().map(std::mem::take).sum();
                servers.jobs.processes = [state::Process::BLANK; SERVERS];
                servers.jobs.apps.iter_mut().for_each(|app| app.owner = NONE);
                servers.jobs.workers.iter_mut().for_each(|worker| worker.at = NONE);
            }
        }
        State {
            servers,
            spec: Spec { generation: 2, template: 2, servers: want, paused: false },
            memory: Memory::default(),
            cache: None,
            before: None,
            faults: world.faults,
            idle: false,
            broken: None,
        }
    }
}

const fn powerjob(apps: u8, most: u8) -> Setting {
    Setting { kind: Kind::PowerJob { apps, delayed: true }, strategy: Strategy::OneByOne, most }
}

const fn drm(strategy: Strategy, most: u8) -> Setting {
    Setting { kind: Kind::Drm, strategy, most }
}

const fn antscheduler(strategy: Strategy, most: u8) -> Setting {
    Setting { kind: Kind::AntScheduler, strategy, most }
}

fn explore(name: &str, setting: Setting, start: Start) {
    let began = Instant::now();
    let world = World { setting, planted: None, faults: faults(), looks_for: &[] };
    let checker = Explored::new(world, start).checker().threads(2).spawn_bfs().join();
    println!(
        "{name}: {} states ({} generated), depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    for (property, path) in checker.discoveries() {
        if property != "the rollout is done" {
            let last = path.last_state().clone();
            panic!("{name}: {property}: {:?} after {:?}\n{last:?}", last.broken, path.into_actions());
        }
    }
    checker.assert_any_discovery("the rollout is done");
}

/// How many faults may happen in one history; `FAULTS=2` explores deeper than CI does.
fn faults() -> u8 {
    std::env::var("FAULTS").ok().and_then(|f| f.parse().ok()).unwrap_or(1)
}

#[test]
fn powerjob_with_one_app() {
    explore("PowerJob, one app with two workers", powerjob(1, 2), Start::Running(2, 2));
}

#[test]
fn powerjob_with_two_apps() {
    explore("PowerJob, two apps", powerjob(2, 2), Start::Running(2, 2));
}

#[test]
fn powerjob_without_delayed_jobs() {
    let setting = Setting { kind: Kind::PowerJob { apps: 1, delayed: false }, ..powerjob(1, 2) };
    explore("PowerJob, cron jobs only", setting, Start::Running(2, 2));
}

#[test]
fn powerjob_that_grows() {
    explore("PowerJob, from two to three", powerjob(1, 3), Start::Running(2, 3));
}

#[test]
fn powerjob_that_shrinks() {
    explore("PowerJob, from three to two", powerjob(1, 3), Start::Running(3, 2));
}

#[test]
fn powerjob_stuck() {
    explore("PowerJob, stuck on a broken template", powerjob(1, 2), Start::Stuck);
}

#[test]
fn powerjob_first_start() {
    explore("PowerJob, first start", powerjob(1, 2), Start::Nothing);
}

#[test]
fn drm_one_by_one() {
    explore("DRM, one by one", drm(Strategy::OneByOne, 2), Start::Running(2, 2));
}

#[test]
fn drm_in_two_groups() {
    explore("DRM, two groups of two", drm(Strategy::TwoGroups, 4), Start::Running(4, 4));
}

#[test]
fn drm_that_grows_and_shrinks() {
    explore("DRM, from two to three", drm(Strategy::OneByOne, 3), Start::Running(2, 3));
    explore("DRM, from three to two", drm(Strategy::OneByOne, 3), Start::Running(3, 2));
    explore("DRM, from four to two, no restart", drm(Strategy::OneByOne, 4), Start::Scaled(4, 2));
}

#[test]
fn drm_stuck() {
    explore("DRM, stuck on a broken template", drm(Strategy::OneByOne, 2), Start::Stuck);
}

#[test]
fn drm_first_start() {
    explore("DRM, first start", drm(Strategy::OneByOne, 2), Start::Nothing);
}

#[test]
fn antscheduler_one_by_one() {
    explore("AntScheduler, one by one", antscheduler(Strategy::OneByOne, 2), Start::Running(2, 2));
}

#[test]
fn antscheduler_in_two_groups() {
    explore("AntScheduler, two groups of two", antscheduler(Strategy::TwoGroups, 4), Start::Running(4, 4));
}

#[test]
fn antscheduler_that_shrinks() {
    explore("AntScheduler, from three to two", antscheduler(Strategy::OneByOne, 3), Start::Running(3, 2));
}

/// Each planted fault is found, by the rule that it breaks.
#[test]
fn planted_faults_are_found() {
    let began = Instant::now();
    let mut missed = Vec::new();
    for planted in Planted::ALL {
        match [0, 1, 2].into_iter().find_map(|faults| find(planted, faults)) {
            Some((steps, states)) => {
                println!(
                    "{planted:?} breaks {:?}: found after {steps} steps, {states} states",
                    planted.breaks()
                );
            }
            None => missed.push(planted),
        }
    }
    println!("planted faults: {:.1} s", began.elapsed().as_secs_f64());
    assert!(missed.is_empty(), "{missed:?} were not found");
}

/// How far it is to the first step that breaks what this fault is planted to break, and how many states were seen.
fn find(planted: Planted, faults: u8) -> Option<(usize, usize)> {
    let one_by_one = drm(Strategy::OneByOne, 2);
    let (setting, start) = match planted {
        Planted::NobodyServes => (drm(Strategy::TwoGroups, 4), Start::Running(4, 4)),
        Planted::RolesBackwards | Planted::IgnoresClients | Planted::TakesAllForWorking => {
            (one_by_one, Start::Running(2, 2))
        }
        Planted::IgnoresTasks => (antscheduler(Strategy::OneByOne, 2), Start::Running(2, 2)),
        Planted::ScalesAtOnce => (drm(Strategy::OneByOne, 4), Start::Scaled(4, 2)),
        Planted::BeginsWithoutNeeds => (one_by_one, Start::Nothing),
        _ => (powerjob(1, 2), Start::Running(2, 2)),
    };
    let world = World { setting, planted: Some(planted), faults, looks_for: planted.breaks() };
    let any = stateright::HasDiscoveries::AnyFailures;
    let checker = Explored::new(world, start).checker().threads(2).finish_when(any).spawn_bfs().join();
    let found = checker.discoveries();
    let path = found.get("no rule is broken").or_else(|| found.get("a fair environment leads to rest"))?;
    Some((path.clone().into_actions().len(), checker.unique_state_count()))
}
