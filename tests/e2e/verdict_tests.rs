//! A rolling change as it should be, and the same with one thing wrong: the judge finds that one.

use super::*;

const CLUSTER: &str = "prod";
const META: &str = "prod-meta-0";
const DATA: &str = "prod-data-0";

fn pod(name: &str, turn: u32) -> Pod {
    Pod {
        uid: format!("{name}/{turn}"),
        stopping: false,
        ready: true,
        address: Some(format!("{name}/{turn}")),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as a moment has it")]
fn act(kind: &str, pod: &str) -> Option<(String, BTreeSet<String>)> {
    Some((kind.to_owned(), [format!("{pod}/0")].into()))
}

/// Push is closed, then a meta and a data server are stopped and come back, then push is open again.
fn rolling_change() -> Vec<Moment> {
    let names = ["prod-meta-0", "prod-meta-1", "prod-meta-2", "prod-data-0", "prod-data-1", "prod-session-0"];
    let pods: BTreeMap<_, _> = names.map(|n| (n.to_owned(), pod(n, 0))).into();
    let told = Told {
        generation: 2,
        present: true,
        rollout: "r2".to_owned(),
        state: "Verifying".to_owned(),
        owner: Some("Operator".to_owned()),
        says_why: true,
        ..Told::default()
    };
    let calm = Moment {
        pods,
        closed: [("prod-session-0".to_owned(), true)].into(),
        told: Told { act: act("ClosePush", "nobody"), ..told.clone() },
        peers: ["a", "b", "c"].map(str::to_owned).into(),
        ..Moment::default()
    };
    let mut log = vec![calm];
    for name in [META, DATA] {
        let next = |change: &dyn Fn(&mut Moment), log: &mut Vec<Moment>| {
            let mut moment = log[log.len() - 1].clone();
            moment.at += Duration::from_secs(2);
            change(&mut moment);
            log.push(moment);
        };
        next(&|m| m.told.act = act("RestartPods", name), &mut log);
        next(&|m| drop(m.pods.remove(name)), &mut log);
        next(&|m| drop(m.pods.insert(name.to_owned(), pod(name, 1))), &mut log);
        next(
            &|m| {
                m.told.done.insert(format!("{name}/1"));
            },
            &mut log,
        );
    }
    let mut end = log[log.len() - 1].clone();
    end.closed.insert("prod-session-0".to_owned(), false);
    end.told = Told { state: "Done".to_owned(), act: None, owner: None, done: end.told.done, ..told };
    log.push(end);
    log
}

/// What is found when this goes wrong from the moment before the stop of a pod on, or at every moment.
fn found(wrong: impl Fn(&mut [Moment])) -> BTreeSet<Invariant> {
    let mut log = rolling_change();
    wrong(&mut log);
    judge(CLUSTER, &log).into_iter().map(|b| b.invariant).collect()
}

/// Where the meta is stopped: it is there, and in the next moment it is not.
const META_STOPS: usize = 1;
/// The same of the data server.
const DATA_STOPS: usize = 5;

#[test]
fn a_rolling_change_breaks_nothing() {
    assert_eq!(judge(CLUSTER, &rolling_change()), []);
    let stops = stops(CLUSTER, &rolling_change());
    assert_eq!(stops.iter().map(|s| s.pod.as_str()).collect::<Vec<_>>(), [META, DATA]);
}

#[test]
fn pods_of_other_clusters_are_nobodys() {
    assert_eq!(role("prod", "prod-meta-0"), Some(0));
    assert_eq!(role("prod", "prod-meta-meta-0"), None);
    assert_eq!(role("prod-meta", "prod-meta-meta-0"), Some(0));
    assert_eq!(role("prod", "client-0"), None);
}

/// From this moment to the next: between two looks it may have come back.
fn ready(log: &mut [Moment], moment: usize, name: &str, is: bool) {
    for moment in &mut log[moment..=moment + 1] {
        moment.pods.get_mut(name).expect("a pod").ready = is;
    }
}

/// The wrong that is done, and all that it breaks.
type Case = (&'static str, fn(&mut [Moment]), &'static [Invariant]);

#[test]
fn who_came_back_between_two_looks_was_not_down() {
    let found = found(|log| {
        log[META_STOPS].pods.get_mut("prod-meta-1").expect("a pod").ready = false;
    });
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn who_serves_nothing_is_made_again_at_any_time() {
    let broken = |act: &'static str| {
        move |log: &mut [Moment]| {
            for moment in &mut log[META_STOPS..=META_STOPS + 1] {
                moment.closed.insert("prod-session-0".to_owned(), false);
            }
            log[META_STOPS].told.act = Some((act.to_owned(), [format!("{META}/0")].into()));
        }
    };
    assert_eq!(found(broken("RestartPods")), [Invariant::I10PushClosed].into());
    assert!(found(broken("RepairPod")).is_empty());
}

#[test]
fn each_broken_invariant_is_found() {
    use Invariant as I;
    let cases: [Case; 15] = [
        ("a second meta is down", |l| ready(l, META_STOPS, "prod-meta-1", false), &[I::I1Quorum, I::I2Share]),
        (
            "the other data is down",
            |l| ready(l, DATA_STOPS, "prod-data-1", false),
            &[I::I2Share, I::I15DataHalf],
        ),
        (
            "data before metas",
            |l| {
                for m in l.iter_mut() {
                    for p in [META, DATA].map(|n| m.pods.remove(n)).into_iter().zip([DATA, META]) {
                        if let (Some(pod), name) = p {
                            m.pods.insert(name.to_owned(), pod);
                        }
                    }
                }
            },
            &[I::I4RoleOrder],
        ),
        (
            "the next before it is back",
            |l| {
                for moment in &mut l[DATA_STOPS..=DATA_STOPS + 1] {
                    moment.pods.get_mut(META).expect("a pod").address = None;
                }
            },
            &[I::I5OneActor],
        ),
        ("no reason", |l| l[0].told.act = None, &[I::I6Reason]),
        (
            "stopped twice",
            |l| {
                let last = l.len() - 1;
                l[last].pods.remove(DATA);
                l[last].told.act = Some(("RestartPods".to_owned(), [format!("{DATA}/1")].into()));
            },
            &[I::I7Idempotent],
        ),
        ("done no longer", |l| l[DATA_STOPS].told.done.clear(), &[I::I8DoneGrows]),
        (
            "paused long ago",
            |l| l[..=META_STOPS].iter_mut().for_each(|m| m.told.paused = true),
            &[I::I9ObeysPause],
        ),
        (
            "push is open",
            |l| {
                for moment in &mut l[META_STOPS..=META_STOPS + 1] {
                    moment.closed.insert("prod-session-0".to_owned(), false);
                }
            },
            &[I::I10PushClosed],
        ),
        (
            "push stays closed and nobody says why",
            |l| {
                let last = l.len() - 1;
                l[last].closed.insert("prod-session-0".to_owned(), true);
            },
            &[I::I11Opens],
        ),
        (
            "a person's push is opened",
            |l| l.iter_mut().for_each(|m| m.told.owner = Some("Other".to_owned())),
            &[I::I12ForeignPush],
        ),
        ("held push is opened", |l| l.iter_mut().for_each(|m| m.told.hold = true), &[I::I12ForeignPush]),
        (
            "two peers at once",
            |l| l[3..].iter_mut().for_each(|m| m.peers = ["a", "d", "e"].map(str::to_owned).into()),
            &[I::I13OnePeer],
        ),
        ("two blank metas", |l| l[0].blank = ["x", "y"].map(str::to_owned).into(), &[I::I14OneBlank]),
        ("a quorum of a database", |l| l.iter_mut().for_each(|m| m.peers.clear()), &[]),
    ];
    for (what, wrong, expected) in cases {
        assert_eq!(found(wrong), expected.iter().copied().collect(), "{what}");
    }
}

#[test]
fn a_pause_that_crosses_with_an_act_is_none_of_its_doing() {
    let crossing = |log: &mut [Moment]| {
        log[META_STOPS].told.paused = true;
        log[META_STOPS].at = log[META_STOPS + 1].at.saturating_sub(Duration::from_millis(300));
    };
    assert_eq!(found(crossing), BTreeSet::new());
}
