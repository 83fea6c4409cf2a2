//! Clusters of drmdata and of PowerJob in virtual time: a crash of the operator before or after any write or command changes
//! nothing in the end, no instance is lost, and one drmdata always serves.
//!
//! `SIM_ONLY=name` runs one story, `SIM_TELL=1` prints it. `UPDATE_GOLDEN=1` rewrites its stories in `tests/sim`.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test tells what it saw"
)]

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use sofa_operator::api::v1alpha1::Role;
use sofa_operator::observe::Member;
use sofa_operator::testkit::Rng;
use sofa_operator::testkit::kube::Crash;
use sofa_operator::testkit::service::{PowerJob, State};
use sofa_operator::testkit::sim::{EndState, ServiceAct, ServiceSim, ServiceStory, When};
use sofa_operator::validate::Product;

/// A crash is followed by a restart after this long, or, if the node of the operator is lost, by another operator after that
/// long. A former owner has to be stopped 60 s after its apps have moved, before its workers count as dead: with an operator
/// that is away for 50 s of them, 3 of 356 runs lose one instance that was delayed.
const RESTART: u64 = 3_000;
const FAILOVER: u64 = 17_000;

/// How many restarts are disturbed at random.
const CHAOS: u64 = 60;

fn powerjob() -> Value {
    json!({"engine": "PowerJob", "version": "4.3.9", "image": "localhost/powerjob:4.3.9",
        "database": {"host": "db.example", "name": "powerjob", "secretRef": {"name": "database"}},
        "powerjob": {"databaseSecretRef": {"name": "operator"}}})
}

fn retrying() -> Value {
    let mut spec = powerjob();
    spec["powerjob"]["retryLost"] = json!("Enabled");
    spec
}

fn drm(strategy: &str) -> Value {
    json!({"version": "1.0.0", "image": "localhost/drm:1.0.0", "registryRef": {"name": "registry"},
        "database": {"host": "db.example", "name": "drm", "secretRef": {"name": "database"}},
        "drmdata": {"replicas": 4}, "rollout": {"strategy": strategy}})
}

fn edit(when: When, patch: Value) -> (When, ServiceAct) {
    (when, ServiceAct::Edit(patch))
}

fn story(name: &'static str, product: Product, spec: Value, steps: Vec<(When, ServiceAct)>) -> ServiceStory {
    ServiceStory { name, product, spec, steps }
}

/// Stories that begin with a cluster that serves; in those of PowerJob jobs run all the time, many of them with a delay.
fn stories() -> Vec<ServiceStory> {
    use When::{After, Changed, Rest};
    let at_once = After(0);
    let restart = || json!({"restart": "now"});
    let jobs = || (at_once, ServiceAct::ManyDelays);
    let busy = |name, steps: Vec<(When, ServiceAct)>| {
        let steps = std::iter::once(jobs()).chain(steps).collect();
        story(name, Product::PowerJob, powerjob(), steps)
    };
    vec![
        busy("powerjob-restart", vec![edit(After(60_000), restart())]),
        busy(
            "powerjob-restart-twice",
            vec![edit(After(30_000), restart()), edit(Rest, json!({"restart": "again"}))],
        ),
        busy(
            "powerjob-pause",
            vec![
                edit(After(30_000), restart()),
                edit(Changed(Role::Server), json!({"paused": true})),
                edit(After(300_000), json!({"paused": false})),
            ],
        ),
        busy(
            "powerjob-scale",
            vec![
                edit(After(30_000), json!({"server": {"replicas": 3}})),
                edit(Rest, restart()),
                edit(Rest, json!({"server": {"replicas": 2}})),
            ],
        ),
        busy(
            "powerjob-database-down",
            vec![edit(After(30_000), restart()), (After(20_000), ServiceAct::DatabaseDown(60_000))],
        ),
        // The false takeover: the owner hangs, another one takes its apps over, and it comes back with a job in its wheel.
        story(
            "powerjob-usurped",
            Product::PowerJob,
            retrying(),
            vec![
                (After(60_000), ServiceAct::RunLater(1, 148_000)),
                (at_once, ServiceAct::Hang(Member::new(Role::Server, 0), 50_000)),
                (After(240_000), ServiceAct::RunLater(1, 1_000)),
            ],
        ),
        story("drm-one-by-one", Product::Drm, drm("OneByOne"), vec![edit(at_once, restart())]),
        story("drm-two-groups", Product::Drm, drm("TwoGroups"), vec![edit(at_once, restart())]),
        story(
            "drm-pause",
            Product::Drm,
            drm("TwoGroups"),
            vec![
                edit(at_once, restart()),
                edit(Changed(Role::Drmdata), json!({"paused": true})),
                edit(After(300_000), json!({"paused": false})),
            ],
        ),
        story(
            "drm-scale",
            Product::Drm,
            drm("OneByOne"),
            vec![
                edit(at_once, json!({"drmdata": {"replicas": 5}})),
                edit(Rest, json!({"drmdata": {"replicas": 3}})),
            ],
        ),
        story("drm-delete", Product::Drm, drm("OneByOne"), vec![(at_once, ServiceAct::Delete)]),
    ]
}

/// A cluster that serves, and whose workers have found their servers.
fn serving(story: &ServiceStory) -> ServiceSim {
    let start = ServiceStory { steps: Vec::new(), ..story.clone() };
    let mut sim = ServiceSim::new(story).expect("a valid spec");
    let result = finish(&mut sim, &start);
    assert!(result.is_ok(), "{result:?}\n{}", sim.transcript().join("\n"));
    sim.forget();
    sim
}

fn finish(sim: &mut ServiceSim, story: &ServiceStory) -> Result<(), String> {
    while sim.go(story)?.is_some() {}
    Ok(())
}

/// What is wrong with a run that has ended.
fn wrong(sim: &mut ServiceSim, expected: Option<&EndState>, result: Result<(), String>) -> Vec<String> {
    let mut wrong: Vec<String> = result.err().into_iter().collect();
    let end = sim.end();
    wrong.extend(sim.violations().iter().cloned());
    let bad = ["lost: ", "never fired: "];
    wrong.extend(
        end.lines()
            .into_iter()
            .filter(|line| bad.iter().any(|b| line.starts_with(b) && *line != format!("{b}0"))),
    );
    if let (Some(expected), true) = (expected, wrong.is_empty()) {
        wrong = expected.differences(&end);
    }
    wrong
}

fn only(name: &str) -> bool {
    std::env::var("SIM_ONLY").is_ok_and(|only| !name.contains(only.as_str()))
}

fn tell(name: &str, sim: &mut ServiceSim) {
    if std::env::var("SIM_TELL").is_ok() {
        let end = sim.end();
        eprintln!("--- {name}\n{}\n{}", sim.transcript().join("\n"), end.lines().join("\n"));
    }
}

/// What came of some runs.
#[derive(Default)]
struct Tally {
    runs: u32,
    instances: usize,
    lost: usize,
    differences: Vec<String>,
}

impl Tally {
    fn count(&mut self, sim: &ServiceSim) {
        self.runs += 1;
        if let Some(powerjob) = sim.powerjob() {
            self.instances += powerjob.count(State::Succeeded);
            self.lost += powerjob.count(State::Lost);
        }
    }

    fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.instances += other.instances;
        self.lost += other.lost;
        self.differences.extend(other.differences);
    }
}

/// The clusters that stories begin with, by their specs.
#[derive(Default)]
struct Starts(BTreeMap<String, ServiceSim>);

impl Starts {
    fn sim(&mut self, story: &ServiceStory) -> ServiceSim {
        self.0.entry(story.spec.to_string()).or_insert_with(|| serving(story)).clone()
    }
}

/// One story without a crash, then with one before and after each write and command.
fn play(story: &ServiceStory, starts: &mut Starts) -> Tally {
    let mut tally = Tally::default();
    let mut sim = starts.sim(story);
    let mut points = Vec::new();
    let result = loop {
        let before = sim.clone();
        match sim.go(story) {
            Ok(None) => break Ok(()),
            Ok(Some(ticked)) if ticked.sent.1 > ticked.sent.0 => points.push((before, ticked.sent)),
            Ok(Some(_)) => {}
            Err(why) => break Err(why),
        }
    };
    let found = wrong(&mut sim, None, result);
    tell(story.name, &mut sim);
    tally.count(&sim);
    if !found.is_empty() {
        tally.differences.extend(found.into_iter().map(|w| format!("{} without a crash: {w}", story.name)));
        return tally;
    }
    let expected = sim.end();
    for (before, (from, to)) in points {
        for n in from + 1..=to {
            for (crash, away) in [(Crash::Before(n), FAILOVER), (Crash::After(n), RESTART)] {
                let mut branch = before.clone();
                let result = branch.crash(story, crash, away).and_then(|()| finish(&mut branch, story));
                let found = wrong(&mut branch, Some(&expected), result);
                tally.count(&branch);
                if !found.is_empty() {
                    tell(&format!("{} {crash:?}", story.name), &mut branch);
                }
                tally.differences.extend(found.into_iter().map(|w| format!("{} {crash:?}: {w}", story.name)));
            }
        }
    }
    tally
}

#[test]
fn a_crash_at_any_point_loses_nothing() {
    let (began, all) = (Instant::now(), Mutex::new(Tally::default()));
    let left = Mutex::new(stories().into_iter().filter(|s| !only(s.name)));
    let next = || left.lock().expect("a queue").next();
    let work = || {
        let mut starts = Starts::default();
        while let Some(story) = next() {
            let at = Instant::now();
            let tally = play(&story, &mut starts);
            println!(
                "{:<24} {:>5} runs {:>3} differences {:>7} instances, {} lost {:>6.1} s",
                story.name,
                tally.runs,
                tally.differences.len(),
                tally.instances,
                tally.lost,
                at.elapsed().as_secs_f64()
            );
            all.lock().expect("a tally").add(tally);
        }
    };
    // Each story is a world of its own.
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    let all = all.into_inner().expect("a tally");
    println!(
        "{} runs, {} differences, {} instances, {} lost, {:.0} s",
        all.runs,
        all.differences.len(),
        all.instances,
        all.lost,
        began.elapsed().as_secs_f64()
    );
    let first: Vec<&String> = all.differences.iter().take(30).collect();
    assert!(all.differences.is_empty(), "{first:#?}");
    assert!(std::env::var("SIM_ONLY").is_ok() || all.runs >= 500, "{} runs are too few", all.runs);
}

/// Servers that hang, a database that is down and pods that are evicted in the middle of a restart, in any order: in the end
/// all is done, and what was lost in between was run again.
#[test]
fn whatever_happens_in_between_nothing_stays_lost() {
    let mut spec = retrying();
    spec["server"] = json!({"replicas": 3});
    let chaos = |seed: u64| {
        let mut rng = Rng::new(seed);
        let mut steps = vec![
            (When::After(0), ServiceAct::ManyDelays),
            edit(When::After(30_000), json!({"restart": format!("for the {seed}th time")})),
        ];
        for _ in 0..rng.between(1, 5) {
            let member = Member::new(Role::Server, u32::try_from(rng.below(3)).expect("few"));
            let act = match rng.below(4) {
                0 => ServiceAct::DatabaseDown(rng.between(5_000, 60_000)),
                1 => ServiceAct::Evict(member),
                _ => ServiceAct::Hang(member, rng.between(2_000, 70_000)),
            };
            steps.push((When::After(rng.between(1_000, 60_000)), act));
        }
        story("chaos", Product::PowerJob, spec.clone(), steps)
    };
    let start = serving(&chaos(0));
    let (mut differences, mut instances, mut takeovers) = (Vec::new(), 0, 0);
    for seed in 0..CHAOS {
        let story = chaos(seed);
        let mut sim = start.clone();
        let result = finish(&mut sim, &story);
        let found = wrong(&mut sim, None, result);
        instances += sim.powerjob().map_or(0, |p| p.count(State::Succeeded));
        takeovers += sim.powerjob().map_or(0, PowerJob::takeovers);
        if !found.is_empty() {
            tell(&format!("seed {seed}"), &mut sim);
        }
        differences.extend(found.into_iter().map(|w| format!("seed {seed}: {w}")));
    }
    println!(
        "60 runs in chaos, {instances} instances, {takeovers} takeovers, {} differences",
        differences.len()
    );
    assert!(differences.is_empty(), "{differences:#?}");
}

/// What is lost without the operator's work, so that 0 means something: a restart without moves, and a usurped server that
/// nobody stops.
#[test]
fn without_it_instances_are_lost() {
    let named = |name| stories().into_iter().find(|s| s.name == name).expect("a story");
    let mut plain = powerjob();
    plain.as_object_mut().expect("a map").remove("powerjob");
    // Whether a restart hits an instance is chance: it is tried at several moments.
    let restarts = (0..8).map(|turn| {
        let mut restart = ServiceStory { spec: plain.clone(), ..named("powerjob-restart-twice") };
        for (when, _) in &mut restart.steps {
            if let When::After(millis) = when {
                *millis += turn * 3_700;
            }
        }
        restart
    });
    let mut usurped = named("powerjob-usurped");
    usurped.steps.insert(0, (When::After(0), ServiceAct::Edit(json!({"paused": true}))));
    usurped.spec = powerjob();
    let lost = |story: &ServiceStory| {
        let mut sim = serving(story);
        // What is paused never rests.
        let _ended = finish(&mut sim, story);
        sim.powerjob().map_or(0, |p| p.count(State::Lost))
    };
    let (restarted, left_alone) = (restarts.map(|story| lost(&story)).collect::<Vec<_>>(), lost(&usurped));
    println!(
        "without it: restarted without moves {restarted:?} lost, usurped and left alone {left_alone} lost"
    );
    assert!(restarted.iter().any(|&n| n > 0) && left_alone > 0);
}

/// What happened, for a person: without the writes of the status.
#[test]
fn stories_are_as_they_were() {
    let mut starts = Starts::default();
    for name in ["powerjob-restart", "powerjob-usurped", "drm-two-groups"] {
        let story = stories().into_iter().find(|s| s.name == name).expect("a story");
        let mut sim = starts.sim(&story);
        finish(&mut sim, &story).expect("it ends");
        let lines = sim.transcript().into_iter().filter(|line| !line.contains("update status of"));
        let told: String = lines.map(|line| line + "\n").collect();
        let path = format!("{}/tests/sim/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var("UPDATE_GOLDEN").is_ok() {
            std::fs::write(&path, &told).expect("the story can be written");
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = golden.lines().zip(told.lines()).position(|(a, b)| a != b);
        let at = differs.unwrap_or_else(|| golden.lines().count().min(told.lines().count()));
        assert!(
            golden == told,
            "{name}: line {} is now {:?}; UPDATE_GOLDEN=1 rewrites it",
            at + 1,
            told.lines().nth(at).unwrap_or("the end")
        );
    }
}
