//! The real planner, explored: every state that a cluster of three metas, two data nodes and two sessions can get into,
//! with every interleaving of what the operator does and what goes on around it, and with a bounded number of faults at any
//! point. Each step is judged by the list of invariants, and from each state a fair environment has to lead to rest.
//!
//! The last test plants a fault in the planner for each invariant: it fails if the checker has gone blind.

#![expect(clippy::expect_used, clippy::panic, reason = "tests")]

mod state;
mod step;
mod view;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::time::Instant;

use sofa_operator::api::v1alpha1::{Automation, PushOwner, RolloutState};
use sofa_operator::plan::invariants::{ClosedBy, Invariant};
use sofa_operator::plan::{Memory, Planted};
use stateright::{Checker, Model, Property};

use state::{First, METAS, Phase, Pod, SESSIONS, Servers, Spec, State, Switch, Turn, Volume};
use step::{Action, Begins, World};
use view::Setting;

/// Steps after which a run in a fair environment has to rest: a full rollout takes about 120.
const REST_WITHIN: usize = 2000;

struct Explored {
    world: World,
    /// States from which rest is known to be reached.
    rests: Mutex<HashSet<u64>>,
}

impl Model for Explored {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let world = &self.world;
        vec![match world.begins {
            Begins::Running => running(world),
            Begins::FirstStart => nothing_yet(world),
            Begins::VolumesLost => {
                let lost = [1, 2].map(Action::LoseVolume).into_iter();
                let before = State { faults: world.faults + 2, ..running(world) };
                lost.fold(before, |state, action| world.step(&state, action))
            }
        }]
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
            Property::always("nothing is broken", |_, state: &State| state.broken.is_none()),
            Property::always("a fair environment leads to rest", |model: &Self, state: &State| {
                state.broken.is_some()
                    || !model.world.looks_at(Invariant::Liveness)
                    || model.comes_to_rest(state)
            }),
            Property::sometimes("the rollout is done", |_, state: &State| is_done(state)),
        ]
    }
}

impl Explored {
    fn new(world: World) -> Self {
        Self { world, rests: Mutex::default() }
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
            let mut actions = Vec::new();
            self.world.fair(&now, &mut actions);
            let Some(action) = actions.last().copied() else { return false };
            now = self.world.step(&now, action);
            if now.broken.is_some() {
                // The exploration gets there too, and says which invariant it is.
                return true;
            }
        }
        if path.len() >= REST_WITHIN {
            return false;
        }
        self.rests.lock().expect("not poisoned").extend(path);
        true
    }

    /// Whether this cycle of states is a rest: Done and all is right, or halted, or held by a person, with a reason.
    fn is_right(&self, state: &State) -> bool {
        let mut now = state.clone();
        for _ in 0..64 {
            let run = now.memory.run.as_ref();
            match run.map(|r| r.state) {
                Some(RolloutState::Done) => return is_done(&now),
                Some(RolloutState::Halted) => return run.is_some_and(|r| r.halted.is_some()),
                _ if now.spec.paused && !now.memory.waiting.is_empty() => {
                    let ours = now.memory.push.owner == Some(PushOwner::Operator);
                    let led =
                        now.servers.group(self.world.setting.raft).is_some_and(|(_, all)| all.len() == METAS);
                    let healthy =
                        led && now.servers.pods.iter().all(|p| p.phase == Phase::Up) && !now.servers.lacks;
                    return !(ours && healthy);
                }
                _ => {}
            }
            let mut actions = Vec::new();
            self.world.fair(&now, &mut actions);
            let Some(action) = actions.last().copied() else { return false };
            now = self.world.step(&now, action);
        }
        false
    }
}

fn print_of(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Done, and everything is as the spec wants it.
fn is_done(state: &State) -> bool {
    let done = state.memory.run.as_ref().is_some_and(|r| r.state == RolloutState::Done);
    let servers = &state.servers;
    done && servers.pods.iter().all(|p| p.phase == Phase::Up && p.template == state.spec.template)
        && state.closed_by.is_none_or(|by| by == ClosedBy::Person || state.spec.hold)
        && (!state.spec.hold || servers.store == Switch::Closed)
}

/// A cluster that runs on template 1, with a spec that wants template 2.
fn running(world: &World) -> State {
    let all = vec![(0, 0), (1, 0), (2, 0)];
    let volume = Volume { claim: 0, marked: true, peers: if world.setting.raft { all } else { Vec::new() } };
    State {
        servers: Servers {
            pods: [Pod { old: true, ..Pod::new(0, 1, Phase::Up) }; 7],
            volumes: [volume.clone(), volume.clone(), volume],
            leader: 1,
            store: Switch::Open,
            sessions: [Switch::Open; 2],
            lacks: false,
            again: 0,
        },
        templates: [1; 3],
        first: First::Done,
        closed_by: None,
        spec: Spec { generation: 2, template: 2, paused: false, hold: false },
        memory: Memory::default(),
        cache: None,
        turn: Turn::Nobody,
        hold: false,
        faults: world.faults,
        idle: false,
        broken: None,
    }
}

/// Nothing is there yet but a spec.
fn nothing_yet(world: &World) -> State {
    let mut state = running(world);
    state.servers.pods = [Pod::new(0, 2, Phase::Gone); 7];
    for volume in &mut state.servers.volumes[..METAS] {
        *volume = Volume { claim: 0, marked: false, peers: Vec::new() };
    }
    state.servers.leader = u8::MAX;
    state.servers.store = Switch::NeverSet;
    state.servers.sessions = [Switch::NeverSet; SESSIONS.end - SESSIONS.start];
    state.templates = [0; 3];
    state.first = First::Never;
    state
}

const RAFT: Setting = Setting { raft: true, group: false, majority: Automation::Automatic, confirms: true };
const DATABASE: Setting =
    Setting { raft: false, group: false, majority: Automation::Manual, confirms: false };

fn explore(name: &str, world: World) {
    let began = Instant::now();
    let checker = Explored::new(world).checker().threads(2).spawn_bfs().join();
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

fn world(setting: Setting) -> World {
    World { setting, planted: None, faults: faults(), begins: Begins::Running, looks_for: &[] }
}

/// How many faults may happen in one history; `FAULTS=2` explores deeper than CI does.
fn faults() -> u8 {
    std::env::var("FAULTS").ok().and_then(|f| f.parse().ok()).unwrap_or(1)
}

#[test]
fn a_rollout_of_5x() {
    explore("5.x rollout", world(RAFT));
}

#[test]
fn a_rollout_of_6x() {
    explore("6.x rollout", world(DATABASE));
}

#[test]
fn a_first_start_of_5x() {
    explore("5.x first start", World { begins: Begins::FirstStart, ..world(RAFT) });
}

#[test]
fn a_first_start_of_6x() {
    explore("6.x first start", World { begins: Begins::FirstStart, ..world(DATABASE) });
}

/// A majority is lost with its volumes: the survivor that a person confirms begins anew, and blank members join it.
#[test]
fn a_new_beginning_of_5x() {
    explore("5.x, two volumes of metas lost", World { begins: Begins::VolumesLost, ..world(RAFT) });
}

#[test]
fn a_rollout_in_a_push_group() {
    explore(
        "5.x push group",
        world(Setting { group: true, majority: Automation::Manual, confirms: false, ..RAFT }),
    );
}

/// Each planted fault is found, by the invariant that it breaks. One fault of the surroundings is enough for most of them.
#[test]
fn planted_faults_are_found() {
    for planted in Planted::ALL {
        let found = [0, 1, 2].into_iter().find_map(|faults| find(planted, faults));
        let (steps, states) = found.unwrap_or_else(|| panic!("{planted:?} was not found"));
        println!("{planted:?} breaks {:?}: found after {steps} steps, {states} states", breaks(planted));
    }
}

/// How far it is to the first step that breaks what this fault is planted to break, and how many states were seen.
fn find(planted: Planted, faults: u8) -> Option<(usize, usize)> {
    let setting = Setting { group: planted == Planted::IgnoresGroupActor, ..RAFT };
    let world = World { planted: Some(planted), faults, looks_for: breaks(planted), ..world(setting) };
    let any = stateright::HasDiscoveries::AnyFailures;
    let checker = Explored::new(world).checker().threads(2).finish_when(any).spawn_bfs().join();
    let found = checker.discoveries();
    let path = found.get("nothing is broken").or_else(|| found.get("a fair environment leads to rest"))?;
    Some((path.clone().into_actions().len(), checker.unique_state_count()))
}

/// The invariant that a fault is planted to break.
fn breaks(planted: Planted) -> &'static [Invariant] {
    use Invariant as I;
    match planted {
        Planted::IgnoresQuorum => &[I::I1Quorum],
        Planted::WholeRoleAtOnce => &[I::I2Share],
        Planted::TrustsOldFacts => &[I::I3FreshFacts],
        Planted::RolesBackwards => &[I::I4RoleOrder],
        Planted::IgnoresGroupActor => &[I::I5OneActor],
        Planted::WaitsSilently => &[I::I6Reason],
        Planted::RepeatsActs => &[I::I7Idempotent],
        Planted::ForgetsDone => &[I::I8DoneGrows],
        Planted::ActsAfterPause => &[I::I9ObeysPause],
        Planted::RestartsWhileOpen => &[I::I10PushClosed],
        Planted::ForgetsToOpen => &[I::I11Opens],
        Planted::OpensForeignPush => &[I::I12ForeignPush],
        Planted::ChangesTwoPeers => &[I::I13OnePeer],
        Planted::ReleasesBlanks => &[I::I14OneBlank],
        Planted::IgnoresDataHalf => &[I::I15DataHalf],
        Planted::WaitsForever => &[I::Liveness],
    }
}
