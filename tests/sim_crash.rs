//! A crash of the operator before or after any write or command changes nothing in the end.
//!
//! `SIM_ONLY=name` runs one workload, `SIM_TELL=1` prints its story. `UPDATE_GOLDEN=1` rewrites `tests/sim`.

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

use sofa_operator::plan::Planted;
use sofa_operator::testkit::kube::Crash;
use sofa_operator::testkit::sim::{EndState, Sim, Start, Workload, workloads};

/// A crash is followed by a restart after this long, or, if the node of the operator is lost, by one after that long.
const RESTART: u64 = 3_000;
const NODE_LOST: u64 = 50_000;
/// Workloads in which the operator crashes before every write, too.
const TRIED_TWICE: [&str; 9] = [
    "rolling-change-5",
    "first-start-5",
    "first-start-6",
    "rolling-change-6",
    "meta-evicted-5",
    "power-loss-5",
    "power-loss-6",
    "delete-5",
    "scale-meta-5",
];

#[derive(Default)]
struct Tally {
    plans: u32,
    differences: Vec<String>,
}

/// The clusters that workloads begin with.
#[derive(Default)]
struct Starts(BTreeMap<Start, Sim>);

impl Starts {
    fn sim(&mut self, start: Start) -> Sim {
        let sim = self.0.entry(start).or_insert_with(|| {
            let mut sim = Sim::new(7, &start.spec()).expect("a valid spec");
            if matches!(start, Start::Serving5 | Start::Serving6) {
                let nothing = Workload { name: "start", start, steps: Vec::new(), gapless: true };
                let result = finish(&mut sim, &nothing);
                assert!(result.is_ok(), "{result:?}\n{}", sim.transcript().join("\n"));
                sim.forget();
            }
            sim
        });
        sim.clone()
    }
}

/// Goes on until the workload is over.
fn finish(sim: &mut Sim, workload: &Workload) -> Result<(), String> {
    while sim.go(workload)?.is_some() {}
    Ok(())
}

/// What the world was before each tick that sent something, and how much was sent before and after it.
type Points = Vec<(Sim, (u64, u64))>;

/// The run without a crash, with what the world was before each tick that sends something.
fn reference(sim: &mut Sim, workload: &Workload) -> Result<Points, String> {
    let mut points = Vec::new();
    loop {
        let before = sim.clone();
        match sim.go(workload)? {
            None => return Ok(points),
            Some(ticked) if ticked.sent.1 > ticked.sent.0 => points.push((before, ticked.sent)),
            Some(_) => {}
        }
    }
}

/// What is wrong with a run that has ended.
fn compare(
    name: &str,
    sim: &mut Sim,
    workload: &Workload,
    expected: &EndState,
    result: Result<(), String>,
) -> Vec<String> {
    let mut wrong: Vec<String> = result.err().into_iter().collect();
    let end = sim.end(workload.gapless);
    wrong.extend(sim.violations().iter().cloned());
    if wrong.is_empty() {
        wrong = expected.differences(&end);
    }
    if !wrong.is_empty() && std::env::var("SIM_TELL").is_ok() {
        eprintln!("--- {name}\n{}", sim.transcript().join("\n"));
    }
    wrong.into_iter().map(|w| format!("{name}: {w}")).collect()
}

fn run(workload: &Workload, starts: &mut Starts) -> Tally {
    let mut tally = Tally::default();
    let mut sim = starts.sim(workload.start);
    let points = match reference(&mut sim, workload) {
        Ok(points) => points,
        Err(why) => {
            let told = sim.transcript();
            eprintln!("--- {}\n{}", workload.name, told[told.len().saturating_sub(60)..].join("\n"));
            tally.differences.push(format!("{} without a crash: {why}", workload.name));
            return tally;
        }
    };
    let expected = sim.end(workload.gapless);
    if std::env::var("SIM_TELL").is_ok() {
        eprintln!(
            "--- {} without a crash\n{}\n{}",
            workload.name,
            sim.transcript().join("\n"),
            expected.lines().join("\n")
        );
    }
    tally
        .differences
        .extend(sim.violations().iter().map(|v| format!("{} without a crash: {v}", workload.name)));
    for (before, (from, to)) in points {
        for n in from + 1..=to {
            for (crash, away) in crashes(workload, n) {
                let name = format!("{} {crash:?}", workload.name);
                let mut branch = before.clone();
                let result = branch.crash(workload, crash, away).and_then(|()| finish(&mut branch, workload));
                tally.plans += 1;
                tally.differences.extend(compare(&name, &mut branch, workload, &expected, result));
            }
        }
    }
    tally
}

/// Which crashes are tried: after every write and command; before each, too, where the workload is one of its kind, or all
/// are asked for. Before the second of one reconcile is the same as after the first but for how long the operator is away.
fn crashes(workload: &Workload, n: u64) -> Vec<(Crash, u64)> {
    let all = std::env::var("SIM_FULL").is_ok() || TRIED_TWICE.contains(&workload.name);
    let before = all.then_some((Crash::Before(n), NODE_LOST));
    before.into_iter().chain([(Crash::After(n), RESTART)]).collect()
}

fn only(name: &str) -> bool {
    std::env::var("SIM_ONLY").is_ok_and(|only| !name.contains(only.as_str()))
}

fn named(name: &str) -> Workload {
    workloads().into_iter().find(|w| w.name == name).expect("a workload")
}

#[test]
fn a_crash_at_any_point_changes_nothing() {
    let (began, all) = (Instant::now(), Mutex::new(Tally::default()));
    let left = Mutex::new(workloads().into_iter().filter(|w| !only(w.name)));
    let next = || left.lock().expect("a queue").next();
    let work = || {
        let mut starts = Starts::default();
        while let Some(workload) = next() {
            let at = Instant::now();
            let tally = run(&workload, &mut starts);
            println!(
                "{:<22} {:>5} plans {:>3} differences {:>6.1} s",
                workload.name,
                tally.plans,
                tally.differences.len(),
                at.elapsed().as_secs_f64()
            );
            let mut all = all.lock().expect("a tally");
            all.plans += tally.plans;
            all.differences.extend(tally.differences);
        }
    };
    // Each workload is a world of its own.
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    let all = all.into_inner().expect("a tally");
    println!(
        "{} plans, {} differences, {:.0} s",
        all.plans,
        all.differences.len(),
        began.elapsed().as_secs_f64()
    );
    let first: Vec<&String> = all.differences.iter().take(40).collect();
    assert!(all.differences.is_empty(), "{first:#?}");
    assert!(std::env::var("SIM_ONLY").is_ok() || all.plans >= 1_000, "{} plans are too few", all.plans);
}

/// The operator reads by a cache that hears nothing for a while, or misses the events that would wake it, at every fourth
/// point where it sends something.
#[test]
fn an_old_cache_or_a_missed_event_changes_nothing() {
    let (mut starts, mut tally) = (Starts::default(), Tally::default());
    for name in [
        "rolling-change-5",
        "meta-evicted-5",
        "scale-meta-5",
        "first-start-5",
        "rolling-change-6",
        "scale-data-6",
    ] {
        if only(name) {
            continue;
        }
        let workload = named(name);
        let mut sim = starts.sim(workload.start);
        let points = reference(&mut sim, &workload).expect("it ends without a fault");
        let expected = sim.end(workload.gapless);
        for (before, (from, _)) in points.into_iter().step_by(4) {
            let mut old = before.clone();
            old.read_by_cache(25_000);
            let mut deaf = before;
            deaf.miss_events(120_000);
            for (what, mut branch) in [("with an old cache", old), ("with missed events", deaf)] {
                let result = finish(&mut branch, &workload);
                tally.plans += 1;
                let name = format!("{name} {what} from {from}");
                tally.differences.extend(compare(&name, &mut branch, &workload, &expected, result));
            }
        }
    }
    println!(
        "{} plans with old caches and missed events, {} differences",
        tally.plans,
        tally.differences.len()
    );
    assert!(tally.differences.is_empty(), "{:#?}", tally.differences);
}

/// What the operator forgets, it does not do: the comparison finds that.
#[test]
fn an_operator_that_loses_its_memory_is_found_out() {
    let mut starts = Starts::default();
    let workload = named("rolling-change-5");
    let mut sim = starts.sim(workload.start);
    let points = reference(&mut sim, &workload).expect("it ends without a fault");
    let expected = sim.end(workload.gapless);
    let (middle, _) = points.into_iter().nth(20).expect("a point in the middle");
    let mut branch = middle;
    branch.lose_memory();
    let result = finish(&mut branch, &workload);
    let wrong = compare("without memory", &mut branch, &workload, &expected, result);
    assert!(wrong.iter().any(|w| w.contains("push")), "{wrong:#?}");
}

/// The operator is away when it would do the first thing: all servers are back by the time that it is.
fn away_at_first(sim: &mut Sim, workload: &Workload) -> Result<(), String> {
    let points = reference(&mut sim.clone(), workload)?;
    let (before, (from, _)) = points.into_iter().next().ok_or("it sends nothing")?;
    *sim = before;
    sim.crash(workload, Crash::Before(from + 1), NODE_LOST)?;
    finish(sim, workload)
}

/// Faults of the planner are found by the simulation too.
#[test]
fn planted_faults_are_found() {
    let mut starts = Starts::default();
    for (fault, name) in [
        (Planted::ForgetsToOpen, "rolling-change-5"),
        (Planted::RestartsWhileOpen, "rolling-change-5"),
        (Planted::RolesBackwards, "rolling-change-5"),
        (Planted::WholeRoleAtOnce, "rolling-change-6"),
        (Planted::ChangesTwoPeers, "power-loss-5"),
        (Planted::ActsAfterPause, "pause-5"),
    ] {
        let workload = named(name);
        let mut sim = starts.sim(workload.start);
        let mut right = sim.clone();
        finish(&mut right, &workload).expect("it ends without a fault");
        sim.plant(fault);
        let result = if fault == Planted::ChangesTwoPeers {
            away_at_first(&mut sim, &workload)
        } else {
            finish(&mut sim, &workload)
        };
        let wrong = compare(name, &mut sim, &workload, &right.end(workload.gapless), result);
        assert!(!wrong.is_empty(), "{fault:?} is not found by {name}");
    }
}

/// What happened, for a person: without the writes of the status, and without what each server says of its neighbours.
fn story(sim: &mut Sim) -> String {
    let dull = ["update status of", ": is listed", ": is no longer listed", " is gone"];
    let lines = sim.transcript().into_iter().filter(|line| !dull.iter().any(|d| line.contains(d)));
    lines.map(|line| line + "\n").collect()
}

#[test]
fn stories_are_as_they_were() {
    let mut starts = Starts::default();
    for name in [
        "first-start-5",
        "first-start-6",
        "rolling-change-5",
        "rolling-change-6",
        "power-loss-5",
        "pause-5",
        "scale-meta-5",
    ] {
        let workload = named(name);
        let mut sim = starts.sim(workload.start);
        finish(&mut sim, &workload).expect("it ends");
        let told = story(&mut sim);
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
