//! Random worlds, specs and memories: whatever they are, a decision keeps every invariant, and the same input gives the same
//! decision. What is not known is taken for the worst: a session that does not answer may push, a meta that does not answer
//! does not serve.

#![expect(clippy::expect_used, reason = "tests")]

mod registry;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Instant;

use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use sofa_operator::admin::registry::wire::PushSwitch;
use sofa_operator::api::v1alpha1::{MembershipKind, PushOwner, Role};
use sofa_operator::observe::{Actor, Fact, Node, Standing, Unknown};
use sofa_operator::plan::invariants::{ClosedBy, PodTruth, Truth, judge};
use sofa_operator::plan::{Command, plan_registry};

use registry::{Case, cases};

/// Decisions in a row on the same world: drop what is stale, write down, do.
const TURNS: usize = 4;

/// How many cases; `CASES=…` for more.
fn config() -> Config {
    let cases = std::env::var("CASES").ok().and_then(|c| c.parse().ok()).unwrap_or(20_000);
    Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/plan_props/regressions.txt",
        ))),
        max_shrink_iters: 20_000,
        ..Config::default()
    }
}

#[test]
fn a_decision_keeps_every_invariant() {
    let began = Instant::now();
    let seen = Cell::new((0_u32, 0_u32));
    let config = config();
    let count = config.cases;
    let run = TestRunner::new(config).run(&cases(), |mut case| {
        // Whatever is written down is done in the next decision, if it still is what is to be done.
        for _ in 0..TURNS {
            let input = case.input(None);
            let decision = plan_registry(&input);
            proptest::prop_assert_eq!(
                &decision,
                &plan_registry(&input),
                "the same input gives the same decision"
            );
            let broken = judge(&input, &decision, &truth(&case));
            proptest::prop_assert!(broken.is_empty(), "{:?} by {:?}", broken, decision.command);
            let (all, acts) = seen.get();
            seen.set((all + 1, acts + u32::from(decision.command.is_some())));
            if decision.command.is_some() {
                break;
            }
            case.memory = decision.memory;
        }
        Ok(())
    });
    let (all, acts) = seen.get();
    println!("{count} cases, {acts} of {all} decisions with an act, {:.1} s", began.elapsed().as_secs_f64());
    if let Err(failure) = run {
        panic!("{failure}");
    }
    assert!(acts * 20 > all, "the cases have to be such that something is done: {acts} of {all}");
}

/// What may be true of a case, at its worst.
fn truth(case: &Case) -> Truth {
    let world = &case.world;
    let run = case.memory.run.as_ref();
    let leaders: Vec<_> =
        world.metas.values().filter_map(Fact::value).filter(|v| v.standing == Standing::Leader).collect();
    let store = leaders.first().and_then(|v| v.push);
    let mut truth = Truth {
        replicas: world.kubernetes.workloads.iter().map(|(role, w)| (*role, w.replicas)).collect(),
        group: leaders
            .first()
            .and_then(|v| v.peers.clone())
            .filter(|_| case.target.membership != MembershipKind::Database),
        closed_by: match (case.memory.push.owner, store) {
            (Some(PushOwner::Operator | PushOwner::Spec), Some(PushSwitch::Closed)) => {
                Some(ClosedBy::Operator)
            }
            (_, Some(PushSwitch::Closed)) => Some(ClosedBy::Person),
            _ => None,
        },
        other_acts: world.group.as_ref().and_then(Fact::value).is_some_and(|g| g.actor == Actor::Other),
        paused: case.target.paused,
        generation: 7,
        written: run.and_then(|r| r.act.as_ref()).map(|f| f.act.clone()),
        last_act: run.and_then(|r| r.last_act_at).unwrap_or_default(),
        pods: BTreeMap::new(),
        ..Truth::default()
    };
    for (member, pod) in &world.kubernetes.pods {
        // A container that the kubelet cannot keep running serves nothing, whatever an answer in the same moment says.
        let up = pod.may_run() && pod.node == Node::Reachable && pod.trouble.is_none();
        let (listens, serves) = match member.role {
            Role::Meta => {
                let view = world.metas.get(member).and_then(Fact::value);
                (view.is_some(), view.is_some_and(|v| v.standing != Standing::Outside))
            }
            Role::Data => {
                let view = world.datas.get(member).and_then(Fact::value);
                (view.is_some(), view.is_some_and(|v| v.serving) && is_listed(case, *member))
            }
            _ => match world.sessions.get(member) {
                Some(Fact::Known { value, .. }) => (true, value.serving && is_listed(case, *member)),
                Some(Fact::Unknown { why: Unknown::Refused, .. }) | None => (false, false),
                Some(Fact::Unknown { .. }) => (true, !pod.waived),
            },
        };
        let switch = match world.sessions.get(member) {
            Some(Fact::Known { value, .. }) => value.push == Some(PushSwitch::Closed),
            Some(Fact::Unknown { why: Unknown::Refused, .. }) | None => true,
            Some(Fact::Unknown { .. }) => false,
        };
        if member.role == Role::Session && !switch && !pod.waived && pod.address.is_some() && up {
            truth.pushing.insert(*member);
        }
        let claim = world.kubernetes.claims.get(member);
        let raft = case.target.membership != MembershipKind::Database;
        truth.pods.insert(
            *member,
            PodTruth {
                uid: pod.uid.clone(),
                listens: pod.may_run() && listens,
                serves: up && serves,
                blank: raft && member.role == Role::Meta && !claim.is_some_and(|c| c.marked),
                is_target: case.target.roles.get(&member.role).is_some_and(|t| t.revision == pod.revision),
                address: pod.address.filter(|_| pod.may_run()),
            },
        );
    }
    truth
}

/// Whether the metas list this member: one that they do not list serves nothing.
fn is_listed(case: &Case, member: sofa_operator::observe::Member) -> bool {
    let lists = case.world.metas.values().filter_map(Fact::value).find_map(|v| v.lists.as_ref());
    let address = case.world.kubernetes.pods.get(&member).and_then(|p| p.address);
    lists.zip(address).is_none_or(|(lists, address)| match member.role {
        Role::Data => lists.datas.contains(&address),
        _ => lists.sessions.contains(&address),
    })
}

/// The judge is no formality: cases in which each kind of act is done are among those that are tried.
#[test]
fn the_cases_reach_every_kind_of_act() {
    let seen = std::cell::RefCell::new(BTreeMap::<&'static str, u32>::new());
    let mut runner = TestRunner::new(Config { cases: 4000, failure_persistence: None, ..Config::default() });
    runner
        .run(&cases(), |mut case| {
            let mut decision = plan_registry(&case.input(None));
            for _ in 1..TURNS {
                if decision.command.is_none() {
                    case.memory = decision.memory;
                    decision = plan_registry(&case.input(None));
                }
            }
            let written = decision.memory.run.as_ref().and_then(|r| r.act.as_ref());
            let kind = match (&decision.command, written) {
                (Some(Command::StopPods { .. }), _) => "stop",
                (Some(Command::ReleasePods { .. }), _) => "release",
                (Some(Command::ChangePeer { .. }), _) => "changePeer",
                (Some(Command::ClosePush { .. }), _) => "close",
                (Some(Command::OpenPush { .. }), _) => "open",
                (Some(_), _) => "other",
                (None, Some(_)) => "written down",
                (None, None) => "nothing",
            };
            *seen.borrow_mut().entry(kind).or_default() += 1;
            Ok(())
        })
        .expect("plans are total");
    let seen = seen.into_inner();
    println!("{seen:?}");
    for kind in ["stop", "release", "changePeer", "close", "open", "other", "nothing"] {
        assert!(seen.contains_key(kind), "{kind}: {seen:?}");
    }
}
