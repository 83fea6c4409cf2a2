//! What a plan remembers comes back from the API object as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use sofa_operator::api::v1alpha1::{
    ActKind, ClusterStatus, ConditionStatus, PushOwner, PushState, Reason, Role, RolloutState, StepKind,
    StepState,
};
use sofa_operator::observe::{Counts, Member};
use sofa_operator::plan::{
    Act, InFlight, IncidentRecord, Memory, PushRecord, Report, ReportStep, Run, Target, Wait,
};
use sofa_operator::status::{Observed, Subject, Verdict, memory_of, status_of};
use sofa_operator::types::{Moment, PlanId, PodUid};

use crate::schema::stored;

const CLUSTER: &str = "pay-registry-of-the-second-data-centre-1";

pub(crate) fn subject(now: Moment) -> Subject<'static> {
    Subject {
        cluster: CLUSTER,
        generation: 7,
        now,
        deleting: false,
        paused: false,
        warnings: &[],
        missing: &[],
    }
}

pub(crate) fn nothing_seen() -> Observed {
    let available = Verdict { status: ConditionStatus::Unknown, message: "nothing is known".to_owned() };
    Observed { members: Vec::new(), available, scale: None, first_start: false }
}

fn moment() -> impl Strategy<Value = Moment> {
    (-2_000_000_000_i64..10_000_000_000).prop_map(|seconds| Moment::from_millis(seconds * 1000))
}

fn member() -> impl Strategy<Value = Member> {
    (select(&Role::ALL[..]), prop_oneof![0..8_u32, Just(u32::MAX)])
        .prop_map(|(role, ordinal)| Member::new(role, ordinal))
}

fn uid() -> impl Strategy<Value = PodUid> {
    any::<u64>().prop_map(|n| {
        format!("00000000-0000-4000-{:04x}-{:012x}", n >> 48, n & 0xffff_ffff_ffff).parse().unwrap()
    })
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from_bits)
}

fn reason() -> impl Strategy<Value = Reason> {
    use Reason as R;
    select(vec![
        R::WaitingForPeers,
        R::PausedBySpec,
        R::FirstStart,
        R::Split,
        R::DataLost,
        R::Other,
        R::RollingOut,
    ])
}

fn text(most: usize) -> impl Strategy<Value = String> {
    prop_oneof![".{0,20}", Just("é".repeat(most)), Just("meta-0, meta-1".to_owned())]
}

fn act() -> impl Strategy<Value = InFlight> {
    let kinds = [
        ActKind::ReleasePods,
        ActKind::RestartPods,
        ActKind::RepairPod,
        ActKind::RefillSession,
        ActKind::ClosePush,
        ActKind::OpenPush,
        ActKind::ChangePeer,
        ActKind::ResetPeer,
        ActKind::ScaleUp,
        ActKind::ScaleDown,
        ActKind::DisableRenew,
        ActKind::ClearBlacklist,
        ActKind::PreRegister,
        ActKind::MoveApp,
        ActKind::RetryLost,
    ];
    let target = || (member(), of(uid())).prop_map(|(member, uid)| Target { member, uid });
    let targets = prop_oneof![9 => vec(target(), 0..4), 1 => vec(target(), 64)];
    (select(kinds.to_vec()), targets, moment(), of(moment())).prop_map(
        |(kind, targets, written_at, done_at)| InFlight { act: Act { kind, targets }, written_at, done_at },
    )
}

fn counts() -> impl Strategy<Value = Counts> {
    let number = || prop_oneof![0..1000_u64, Just(i64::MAX as u64)];
    (number(), number(), number(), of(number())).prop_map(
        |(publishers, subscribers, watchers, connections)| Counts {
            publishers,
            subscribers,
            watchers,
            connections,
        },
    )
}

fn uids() -> impl Strategy<Value = BTreeSet<PodUid>> {
    prop_oneof![9 => btree_set(uid(), 0..4), 1 => btree_set(uid(), 64)]
}

fn plan() -> impl Strategy<Value = PlanId> {
    prop_oneof![any::<u64>().prop_map(PlanId::from_hash), Just("0a".repeat(32).parse().unwrap())]
}

fn run() -> impl Strategy<Value = Run> {
    use RolloutState as S;
    let states = vec![S::Gating, S::Acting, S::Verifying, S::Done, S::Paused, S::Halted];
    let generation = prop_oneof![0..9_i64, Just(i64::MAX), Just(-3)];
    let known = (
        plan(),
        generation,
        select(states),
        any::<bool>(),
        of(act()),
        0..=1000_u32,
        of(moment()),
        of(moment()),
    );
    let role = select(&Role::ALL[..]);
    let progress = (of((counts(), moment())), btree_map(role, uids(), 0..6), any::<bool>(), of(uids()));
    let end = (of(moment()), of(moment()), moment(), of((reason(), text(1024))));
    (known, progress, end).prop_map(|(known, progress, end)| {
        let (plan, generation, state, admitted, act, attempts, deadline, last_act_at) = known;
        let (baseline, done, metas_since_close, refilled) = progress;
        let (counting_since, counts_right_since, started_at, halted) = end;
        Run {
            plan,
            generation,
            state,
            admitted,
            act,
            attempts,
            deadline,
            last_act_at,
            baseline,
            done,
            metas_since_close,
            refilled,
            counting_since,
            counts_right_since,
            started_at,
            halted,
        }
    })
}

fn push() -> impl Strategy<Value = PushRecord> {
    use PushState as S;
    let state = select(vec![S::Open, S::Closing, S::Closed, S::Opening, S::Unknown]);
    let owner = of(select(vec![PushOwner::Operator, PushOwner::Spec, PushOwner::Other]));
    let group = of(Just("city".parse().unwrap()));
    let sites = btree_set(select(vec!["east", "west"]).prop_map(|s| s.parse().unwrap()), 0..3);
    (state, owner, moment(), group, sites, of(text(1024))).prop_map(
        |(state, owner, since, group, sites, why)| PushRecord { state, owner, since, group, sites, why },
    )
}

fn incident() -> impl Strategy<Value = IncidentRecord> {
    ("[a-z0-9-]{1,63}", reason(), moment(), vec(member(), 0..8))
        .prop_map(|(id, reason, since, survivors)| IncidentRecord { id, reason, since, survivors })
}

fn memory() -> impl Strategy<Value = Memory> {
    let waiting = btree_map((reason(), text(256)), moment(), 0..32);
    let last = (of(member()), btree_map(member(), address(), 0..5), waiting);
    (of(run()), push(), of(incident()), last).prop_map(
        |(run, push, incident, (last_leader, known_as, waiting))| Memory {
            run,
            push,
            incident,
            last_leader,
            known_as,
            waiting,
        },
    )
}

fn report() -> impl Strategy<Value = Report> {
    let kinds = vec![
        StepKind::RecordBaseline,
        StepKind::ChangeRole,
        StepKind::RefillFromSessions,
        StepKind::ScaleRole,
    ];
    let role = of(select(vec![Role::Meta, Role::Data, Role::Session]));
    let step = (select(kinds), role, text(300)).prop_map(|(kind, role, what)| ReportStep {
        kind,
        role,
        state: StepState::Pending,
        what: what.clone(),
        why: what,
    });
    let wait = || {
        (reason(), text(2000), text(2000)).prop_map(|(reason, subject, message)| Wait {
            reason,
            subject,
            message,
        })
    };
    (vec(step, 0..20), vec(wait(), 0..3), of(wait()), vec(wait(), 0..40))
        .prop_map(|(steps, waits, halt, notes)| Report { state: None, steps, waits, halt, notes })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_memory_comes_back_as_it_was(memory in memory(), report in report(), now in moment()) {
        let written = status_of(&subject(now), &report, &memory, &nothing_seen(), &ClusterStatus::default());
        let read = stored(&written);
        prop_assert_eq!(&read, &written);
        prop_assert_eq!(memory_of(CLUSTER, &read), memory.clone());
        let again = status_of(&subject(now.after(Duration::from_mins(10))), &report, &memory, &nothing_seen(), &read);
        prop_assert_eq!(again, read);
    }
}

#[test]
fn an_empty_memory_is_an_empty_status() {
    assert_eq!(memory_of(CLUSTER, &ClusterStatus::default()), Memory::default());
}

/// A moment between two seconds is written as the later one, and is the same from then on.
#[test]
fn a_moment_between_seconds_is_rounded_up_once() {
    let run = Run::begin(PlanId::from_hash(1), 3, Moment::from_millis(1500), None);
    let memory = Memory { run: Some(run), ..Memory::default() };
    let status = stored(&status_of(
        &subject(Moment::default()),
        &Report::default(),
        &memory,
        &nothing_seen(),
        &ClusterStatus::default(),
    ));
    let read = memory_of(CLUSTER, &status);
    assert_eq!(read.run.as_ref().map(|r| r.started_at), Some(Moment::from_millis(2000)));
    let again = status_of(&subject(Moment::default()), &Report::default(), &read, &nothing_seen(), &status);
    assert_eq!(again, status);
}

/// More than the schema takes: it is cut off, and what was cut off does not become a change at every look.
#[test]
fn what_is_too_long_is_cut_off_and_stays_so() {
    let names: Vec<String> = (0..64).map(|n| format!("session-{n}")).collect();
    let mut run = Run::begin(PlanId::from_hash(1), 3, Moment::default(), None);
    let all: Vec<PodUid> =
        (0..100).map(|n| format!("00000000-0000-4000-8000-{n:012x}").parse().unwrap()).collect();
    run.done = BTreeMap::from([(Role::Session, all.iter().cloned().collect())]);
    run.attempts = 5000;
    run.halted = Some((Reason::DeadlinePassed, "x".repeat(5000)));
    let waiting =
        BTreeMap::from([((Reason::WaitingForPushClosed, names.join(", ")), Moment::from_millis(1000))]);
    let memory = Memory { run: Some(run), waiting, ..Memory::default() };
    let now = Moment::from_millis(9000);
    let none = ClusterStatus::default();
    let first = stored(&status_of(&subject(now), &Report::default(), &memory, &nothing_seen(), &none));
    assert!(first.waiting_on[0].subject.ends_with('…'));
    let rollout = first.rollout.as_ref().unwrap();
    assert_eq!(rollout.steps[0].done.as_ref().map(Vec::len), Some(64));
    assert_eq!(rollout.attempts, Some(1000));
    // The plan does not know the wait by the name that was cut off, and dates it anew.
    let mut later = memory_of(CLUSTER, &first);
    later.waiting =
        BTreeMap::from([((Reason::WaitingForPushClosed, names.join(", ")), Moment::from_millis(60_000))]);
    let second = status_of(&subject(now), &Report::default(), &later, &nothing_seen(), &first);
    assert_eq!(second, first);
}
