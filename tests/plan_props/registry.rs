//! Random registries: a healthy one in which a few things are otherwise, in every combination that a proptest thinks of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;
use sofa_operator::admin::registry::wire::PushSwitch;
use sofa_operator::api::v1alpha1::{
    ActKind, Automation, MembershipKind, OnTimeout, PushOwner, PushState, Role, RolloutState,
    Strategy as Groups,
};
use sofa_operator::observe::{
    Actor, Claim, Counts, DataView, Fact, Genesis, GroupView, Kubernetes, Lists, Member, MetaView, Node, Pod,
    PodPhase, RegistryWorld, SessionView, Standing, Store, Trouble, Unknown, Workload,
};
use sofa_operator::plan::{
    Act, Admission, InFlight, Memory, Planted, RegistryInput, RegistryTarget, RoleTarget, Run, Target,
    VerifyRule,
};
use sofa_operator::types::{Moment, PodUid};

pub(crate) const NOW: Moment = Moment::from_millis(10_000_000_000);
const ROLES: [Role; 3] = [Role::Meta, Role::Data, Role::Session];

/// Everything that a decision is made from.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) target: RegistryTarget,
    pub(crate) world: RegistryWorld,
    pub(crate) memory: Memory,
    pub(crate) deleting: bool,
}

impl Case {
    pub(crate) fn input(&self, planted: Option<Planted>) -> RegistryInput<'_> {
        RegistryInput {
            now: NOW,
            generation: 7,
            deleting: self.deleting,
            target: &self.target,
            world: &self.world,
            memory: &self.memory,
            planted,
        }
    }
}

pub(crate) fn uid(member: Member, made: u8) -> PodUid {
    let role = ROLES.iter().position(|r| *r == member.role).expect("a role of a registry");
    format!("00000000-0000-4000-8000-00000{made:03x}{role:01x}{:03x}", member.ordinal).parse().expect("a uid")
}

pub(crate) fn address(member: Member, made: u8) -> Ipv4Addr {
    let role = ROLES.iter().position(|r| *r == member.role).expect("a role of a registry");
    Ipv4Addr::new(10, u8::try_from(role).expect("few"), u8::try_from(member.ordinal).expect("few"), made)
}

fn earlier(seconds: u64) -> Moment {
    Moment::from_millis(NOW.as_millis() - i64::try_from(seconds * 1000).expect("short"))
}

/// One thing that is otherwise than in a healthy cluster. Numbers choose among what there is.
#[derive(Debug, Clone)]
pub(crate) enum Otherwise {
    NoPod(Role, u8),
    Phase(Role, u8, PodPhase),
    NewAddress(Role, u8),
    OldTemplate(Role, u8),
    Unknown(Role, u8, Unknown),
    OldFact(Role, u8),
    NotServing(Role, u8),
    Unreachable(Role, u8),
    Trouble(Role, u8, Trouble),
    Waived(u8),
    Standing(u8, Standing),
    Peers(u8, u8),
    NoLists(u8),
    Lists(Role, u8),
    Store(Option<PushSwitch>),
    Gray,
    SessionSwitch(u8, Option<PushSwitch>),
    Counts(u8, Option<u64>),
    Publishers(u8, Option<u64>),
    Orphaned(Option<u32>),
    Unmarked(u8),
    NoClaim(u8),
    Genesis(Genesis),
    Replicas(Role, u8),
    WorkloadTemplate(Role),
    NoWorkload(Role),
    OldPods,
    Slots,
    Group(GroupView),
    Owner(Option<PushOwner>, PushState),
    Run(RolloutState, bool),
    InFlight(ActKind, Role, u8, bool),
    LateDeadline,
    Baseline(u64),
    Counting(u64, bool),
    Waited(u8),
    Incident,
    Forgotten,
    Paused,
    Hold,
    TwoGroups,
    Approval,
    Window,
    Automatic,
    Deleting,
    Renew,
}

fn role() -> impl Strategy<Value = Role> {
    prop::sample::select(ROLES.to_vec())
}

fn switch() -> impl Strategy<Value = Option<PushSwitch>> {
    prop::sample::select(vec![
        None,
        Some(PushSwitch::NeverSet),
        Some(PushSwitch::Open),
        Some(PushSwitch::Closed),
    ])
}

fn unknown() -> impl Strategy<Value = Unknown> {
    prop::sample::select(vec![Unknown::Refused, Unknown::TimedOut, Unknown::Unreadable, Unknown::NotAsked])
}

fn acts() -> impl Strategy<Value = ActKind> {
    prop::sample::select(vec![
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
    ])
}

fn group() -> impl Strategy<Value = GroupView> {
    let actor = prop::sample::select(vec![Actor::Nobody, Actor::Us, Actor::Other]);
    (any::<bool>(), any::<bool>(), actor, any::<bool>()).prop_map(|(we_hold, others_hold, actor, closed)| {
        GroupView {
            we_hold,
            others_hold,
            actor,
            not_closed: if closed { BTreeSet::new() } else { BTreeSet::from(["other".to_owned()]) },
        }
    })
}

fn servers() -> BoxedStrategy<Otherwise> {
    let phase =
        prop::sample::select(vec![PodPhase::Held, PodPhase::Starting, PodPhase::Ready, PodPhase::Stopping]);
    let trouble =
        prop::sample::select(vec![Trouble::Image, Trouble::Crash, Trouble::Create, Trouble::Unschedulable]);
    let standing = prop::sample::select(vec![Standing::Leader, Standing::Follower, Standing::Outside]);
    prop_oneof![
        (role(), 0..5_u8).prop_map(|(r, o)| Otherwise::NoPod(r, o)),
        (role(), 0..5_u8, phase).prop_map(|(r, o, p)| Otherwise::Phase(r, o, p)),
        (role(), 0..5_u8).prop_map(|(r, o)| Otherwise::NewAddress(r, o)),
        (role(), 0..5_u8).prop_map(|(r, o)| Otherwise::OldTemplate(r, o)),
        (role(), 0..5_u8, unknown()).prop_map(|(r, o, u)| Otherwise::Unknown(r, o, u)),
        (role(), 0..5_u8).prop_map(|(r, o)| Otherwise::OldFact(r, o)),
        (role(), 0..5_u8).prop_map(|(r, o)| Otherwise::NotServing(r, o)),
        (role(), 0..5_u8).prop_map(|(r, o)| Otherwise::Unreachable(r, o)),
        (role(), 0..5_u8, trouble).prop_map(|(r, o, t)| Otherwise::Trouble(r, o, t)),
        (0..3_u8).prop_map(Otherwise::Waived),
        (0..5_u8, standing).prop_map(|(o, s)| Otherwise::Standing(o, s)),
        (0..5_u8, any::<u8>()).prop_map(|(o, p)| Otherwise::Peers(o, p)),
        (0..5_u8).prop_map(Otherwise::NoLists),
        (role(), any::<u8>()).prop_map(|(r, s)| Otherwise::Lists(r, s)),
        (0..3_u8, switch()).prop_map(|(o, s)| Otherwise::SessionSwitch(o, s)),
        (0..3_u8, prop::option::of(0..200_u64)).prop_map(|(o, c)| Otherwise::Counts(o, c)),
        (0..3_u8, prop::option::of(0..600_u64)).prop_map(|(o, c)| Otherwise::Publishers(o, c)),
        (0..5_u8).prop_map(Otherwise::Unmarked),
        (0..5_u8).prop_map(Otherwise::NoClaim),
    ]
    .boxed()
}

fn cluster() -> BoxedStrategy<Otherwise> {
    let genesis = prop::sample::select(vec![
        Genesis::Never,
        Genesis::Done,
        Genesis::Begun { claims: ["claim-0", "claim-1", "claim-2"].map(str::to_owned).into() },
        Genesis::Begun { claims: BTreeSet::from(["claim-0".to_owned()]) },
    ]);
    prop_oneof![
        switch().prop_map(Otherwise::Store),
        Just(Otherwise::Gray),
        prop::option::of(0..3_u32).prop_map(Otherwise::Orphaned),
        genesis.prop_map(Otherwise::Genesis),
        (role(), 1..6_u8).prop_map(|(r, n)| Otherwise::Replicas(r, n)),
        role().prop_map(Otherwise::WorkloadTemplate),
        role().prop_map(Otherwise::NoWorkload),
        Just(Otherwise::OldPods),
        Just(Otherwise::Slots),
        group().prop_map(Otherwise::Group),
    ]
    .boxed()
}

fn operator() -> BoxedStrategy<Otherwise> {
    let owner = prop::sample::select(vec![
        None,
        Some(PushOwner::Operator),
        Some(PushOwner::Spec),
        Some(PushOwner::Other),
    ]);
    let push = prop::sample::select(vec![
        PushState::Open,
        PushState::Closing,
        PushState::Closed,
        PushState::Opening,
        PushState::Unknown,
    ]);
    let state = prop::sample::select(vec![
        RolloutState::Gating,
        RolloutState::Verifying,
        RolloutState::Done,
        RolloutState::Halted,
    ]);
    prop_oneof![
        4 => (owner, push).prop_map(|(o, s)| Otherwise::Owner(o, s)),
        3 => (state, any::<bool>()).prop_map(|(s, a)| Otherwise::Run(s, a)),
        4 => (acts(), role(), 0..5_u8, any::<bool>()).prop_map(|(k, r, o, d)| Otherwise::InFlight(k, r, o, d)),
        1 => Just(Otherwise::LateDeadline),
        2 => (0..400_u64).prop_map(Otherwise::Baseline),
        2 => (0..3000_u64, any::<bool>()).prop_map(|(s, r)| Otherwise::Counting(s, r)),
        2 => (1..40_u8).prop_map(Otherwise::Waited),
        1 => Just(Otherwise::Incident),
        1 => Just(Otherwise::Forgotten),
        1 => Just(Otherwise::Paused),
        1 => Just(Otherwise::Hold),
        1 => Just(Otherwise::TwoGroups),
        1 => Just(Otherwise::Approval),
        1 => Just(Otherwise::Window),
        1 => Just(Otherwise::Automatic),
        1 => Just(Otherwise::Deleting),
        1 => Just(Otherwise::Renew),
    ]
    .boxed()
}

pub(crate) fn cases() -> impl Strategy<Value = Case> {
    let membership = prop::sample::select(vec![
        MembershipKind::RaftByAddress,
        MembershipKind::Database,
        MembershipKind::RaftSelfHealing,
    ]);
    let metas = prop::sample::select(vec![1_u32, 3, 3, 3, 5]);
    let one = prop_oneof![3 => servers(), 1 => cluster(), 2 => operator()];
    let drifts = prop::collection::vec(any::<bool>(), 3);
    (membership, metas, 1..4_u32, 1..4_u32, drifts, any::<bool>(), prop::collection::vec(one, 0..8)).prop_map(
        |(membership, metas, datas, sessions, drifts, closed, changes)| {
            let mut case = healthy(membership, [metas, datas, sessions]);
            for (role, drifts) in ROLES.into_iter().zip(drifts) {
                if drifts {
                    let members: Vec<Member> = members(&case, role).collect();
                    for member in members {
                        old_template(&mut case, member);
                    }
                }
            }
            if closed {
                close(&mut case);
            }
            for change in &changes {
                apply(&mut case, change);
            }
            case
        },
    )
}

fn members(case: &Case, role: Role) -> impl Iterator<Item = Member> + use<> {
    (0..case.world.kubernetes.replicas(role)).map(move |o| Member::new(role, o))
}

/// Push is closed by the operator, for a rollout that was let in.
fn close(case: &mut Case) {
    for fact in case.world.metas.values_mut() {
        if let Fact::Known { value, .. } = fact {
            value.push = Some(PushSwitch::Closed);
        }
    }
    for fact in case.world.sessions.values_mut() {
        if let Fact::Known { value, .. } = fact {
            value.push = Some(PushSwitch::Closed);
        }
    }
    case.memory.push.owner = Some(PushOwner::Operator);
    case.memory.push.state = PushState::Closed;
    let run = run(case);
    run.admitted = true;
    run.baseline = Some((Counts { publishers: 100, subscribers: 100, watchers: 0, connections: None }, NOW));
}

fn run(case: &mut Case) -> &mut Run {
    let plan = case.target.plan.clone();
    case.memory.run.get_or_insert_with(|| Run::begin(plan, 7, earlier(600), None))
}

fn old_template(case: &mut Case, member: Member) {
    if let Some(pod) = case.world.kubernetes.pods.get_mut(&member) {
        "old".clone_into(&mut pod.revision);
    }
}

fn healthy(membership: MembershipKind, counts: [u32; 3]) -> Case {
    let raft = membership != MembershipKind::Database;
    let mut world = RegistryWorld {
        kubernetes: Kubernetes { at: NOW, ..Kubernetes::default() },
        genesis: Genesis::Done,
        orphaned_ids: Some(Fact::known(0, NOW)),
        ..RegistryWorld::default()
    };
    let all = |role: usize| -> BTreeSet<Ipv4Addr> {
        (0..counts[role]).map(|o| address(Member::new(ROLES[role], o), 1)).collect()
    };
    let lists = Lists { metas: all(0), datas: all(1), sessions: all(2) };
    let known = if raft { all(0) } else { BTreeSet::from([address(Member::new(Role::Meta, 0), 1)]) };
    let copies = u64::from(counts[1].min(if raft { 3 } else { 2 }));
    for (role, count) in ROLES.into_iter().zip(counts) {
        world.kubernetes.workloads.insert(role, Workload { replicas: count, revision: "new".to_owned() });
        for member in (0..count).map(|o| Member::new(role, o)) {
            world.kubernetes.pods.insert(member, pod(member));
            match role {
                Role::Meta => {
                    let standing = if member.ordinal == 0 { Standing::Leader } else { Standing::Follower };
                    let claim = Claim { uid: format!("claim-{}", member.ordinal), marked: true, aside: None };
                    world.kubernetes.claims.insert(member, claim);
                    world.metas.insert(member, Fact::known(meta(standing, raft, &lists), NOW));
                }
                Role::Data => {
                    let own = address(member, 1);
                    let others = lists.datas.iter().copied().filter(|a| *a != own).collect();
                    let publishers = Some(100 * copies / u64::from(count));
                    let view = DataView {
                        serving: true,
                        metas: Some(known.clone()),
                        others: Some(others),
                        publishers,
                    };
                    world.datas.insert(member, Fact::known(view, NOW));
                }
                _ => {
                    let share = 100 / u64::from(count);
                    let rest = if member.ordinal == 0 { 100 - share * u64::from(count) } else { 0 };
                    let view = SessionView {
                        serving: true,
                        push: Some(PushSwitch::Open),
                        metas: Some(known.clone()),
                        datas: Some(lists.datas.clone()),
                        counts: Some(Counts {
                            publishers: share + rest,
                            subscribers: 100,
                            watchers: 0,
                            connections: None,
                        }),
                    };
                    world.sessions.insert(member, Fact::known(view, NOW));
                }
            }
        }
    }
    let role = |count: u32| RoleTarget { replicas: count, revision: "new".to_owned() };
    let target = RegistryTarget {
        plan: "0123456789ab".parse().expect("an id"),
        membership,
        roles: ROLES.into_iter().zip(counts.map(role)).collect(),
        paused: false,
        hold: false,
        strategy: Groups::OneByOne,
        admission: Admission::Open,
        verify: VerifyRule { percent: 90, timeout: Duration::from_mins(20), on_timeout: OnTimeout::Hold },
        majority: Automation::Manual,
        confirm: None,
        push_group: None,
        close_sites: BTreeSet::new(),
        renew_off: false,
        start_budget: Duration::from_mins(5),
    };
    Case { target, world, memory: Memory::default(), deleting: false }
}

fn meta(standing: Standing, raft: bool, lists: &Lists) -> MetaView {
    MetaView {
        standing,
        warm: true,
        peers: Some(if raft { lists.metas.clone() } else { BTreeSet::new() }),
        lists: Some(lists.clone()),
        push: Some(PushSwitch::Open),
        gray: false,
        renew_off: Some(false),
        store: Store::Reached,
        slots_stable: true,
        blacklist: BTreeSet::new(),
    }
}

fn pod(member: Member) -> Pod {
    Pod {
        uid: uid(member, 1),
        address: Some(address(member, 1)),
        revision: "new".to_owned(),
        phase: PodPhase::Ready,
        node: Node::Reachable,
        started: Some(earlier(3600)),
        trouble: None,
        waived: false,
        raft_data: None,
    }
}

fn flip(addresses: &mut BTreeSet<Ipv4Addr>, role: Role, which: u8) {
    let address = address(Member::new(role, u32::from(which % 6)), 1 + which / 128);
    if !addresses.remove(&address) {
        addresses.insert(address);
    }
}

fn apply(case: &mut Case, change: &Otherwise) {
    match change {
        Otherwise::Owner(..)
        | Otherwise::Run(..)
        | Otherwise::InFlight(..)
        | Otherwise::LateDeadline
        | Otherwise::Baseline(_)
        | Otherwise::Counting(..)
        | Otherwise::Waited(_)
        | Otherwise::Incident
        | Otherwise::Forgotten => apply_to_memory(case, change),
        Otherwise::Paused => case.target.paused = true,
        Otherwise::Hold => case.target.hold = true,
        Otherwise::TwoGroups => case.target.strategy = Groups::TwoGroups,
        Otherwise::Approval => case.target.admission = Admission::Approval,
        Otherwise::Window => case.target.admission = Admission::Window(None),
        Otherwise::Automatic => case.target.majority = Automation::Automatic,
        Otherwise::Deleting => case.deleting = true,
        Otherwise::Renew => case.target.renew_off = true,
        Otherwise::Replicas(role, count) => {
            let count = if *role == Role::Meta { u32::from(*count) | 1 } else { u32::from(*count) };
            if let Some(target) = case.target.roles.get_mut(role) {
                target.replicas = count;
            }
        }
        _ => apply_to_world(&mut case.world, change),
    }
}

fn apply_to_world(world: &mut RegistryWorld, change: &Otherwise) {
    let member = |role: Role, ordinal: u8| Member::new(role, u32::from(ordinal));
    let kubernetes = &mut world.kubernetes;
    match change {
        Otherwise::NoPod(r, o) => drop(kubernetes.pods.remove(&member(*r, *o))),
        Otherwise::Phase(r, o, phase) => with(&mut kubernetes.pods, member(*r, *o), |p| p.phase = *phase),
        Otherwise::NewAddress(r, o) => with(&mut kubernetes.pods, member(*r, *o), |p| {
            p.address = Some(address(member(*r, *o), 2));
            p.uid = uid(member(*r, *o), 2);
        }),
        Otherwise::OldTemplate(r, o) => {
            with(&mut kubernetes.pods, member(*r, *o), |p| "old".clone_into(&mut p.revision));
        }
        Otherwise::Unreachable(r, o) => {
            with(&mut kubernetes.pods, member(*r, *o), |p| p.node = Node::Unreachable);
        }
        Otherwise::Trouble(r, o, trouble) => with(&mut kubernetes.pods, member(*r, *o), |p| {
            p.trouble = Some(*trouble);
            p.phase = PodPhase::Starting;
        }),
        Otherwise::Waived(o) => with(&mut kubernetes.pods, member(Role::Session, *o), |p| p.waived = true),
        Otherwise::Unmarked(o) => with(&mut kubernetes.claims, member(Role::Meta, *o), |c| c.marked = false),
        Otherwise::NoClaim(o) => drop(kubernetes.claims.remove(&member(Role::Meta, *o))),
        Otherwise::WorkloadTemplate(r) => {
            with(&mut kubernetes.workloads, *r, |w| "old".clone_into(&mut w.revision));
        }
        Otherwise::NoWorkload(r) => drop(kubernetes.workloads.remove(r)),
        Otherwise::OldPods => kubernetes.at = earlier(120),
        Otherwise::Genesis(genesis) => world.genesis.clone_from(genesis),
        Otherwise::Group(group) => world.group = Some(Fact::known(group.clone(), NOW)),
        Otherwise::Orphaned(ids) => world.orphaned_ids = ids.map(|n| Fact::known(n, NOW)),
        Otherwise::Unknown(r, o, why) => match r {
            Role::Meta => set(&mut world.metas, member(*r, *o), Fact::unknown(*why, NOW)),
            Role::Data => set(&mut world.datas, member(*r, *o), Fact::unknown(*why, NOW)),
            _ => set(&mut world.sessions, member(*r, *o), Fact::unknown(*why, NOW)),
        },
        Otherwise::OldFact(r, o) => match r {
            Role::Meta => age(&mut world.metas, member(*r, *o)),
            Role::Data => age(&mut world.datas, member(*r, *o)),
            _ => age(&mut world.sessions, member(*r, *o)),
        },
        Otherwise::NotServing(r, o) => match r {
            Role::Meta => known(&mut world.metas, member(*r, *o), |v| v.standing = Standing::Outside),
            Role::Data => known(&mut world.datas, member(*r, *o), |v| v.serving = false),
            _ => known(&mut world.sessions, member(*r, *o), |v| v.serving = false),
        },
        Otherwise::Standing(o, standing) => {
            known(&mut world.metas, member(Role::Meta, *o), |v| v.standing = *standing);
        }
        Otherwise::Peers(o, which) => known(&mut world.metas, member(Role::Meta, *o), |v| {
            if let Some(peers) = &mut v.peers {
                flip(peers, Role::Meta, *which);
            }
        }),
        Otherwise::NoLists(o) => known(&mut world.metas, member(Role::Meta, *o), |v| v.lists = None),
        Otherwise::Lists(r, which) => each(&mut world.metas, |v| {
            if let Some(lists) = &mut v.lists {
                let list = match r {
                    Role::Meta => &mut lists.metas,
                    Role::Data => &mut lists.datas,
                    _ => &mut lists.sessions,
                };
                flip(list, *r, *which);
            }
        }),
        Otherwise::Store(switch) => each(&mut world.metas, |v| v.push = *switch),
        Otherwise::Gray => each(&mut world.metas, |v| v.gray = true),
        Otherwise::Slots => each(&mut world.metas, |v| v.slots_stable = false),
        Otherwise::SessionSwitch(o, switch) => {
            known(&mut world.sessions, member(Role::Session, *o), |v| v.push = *switch);
        }
        Otherwise::Counts(o, count) => known(&mut world.sessions, member(Role::Session, *o), |v| {
            v.counts = count.map(|publishers| Counts { publishers, ..Counts::default() });
        }),
        Otherwise::Publishers(o, count) => {
            known(&mut world.datas, member(Role::Data, *o), |v| v.publishers = *count);
        }
        _ => {}
    }
}

fn apply_to_memory(case: &mut Case, change: &Otherwise) {
    match change {
        Otherwise::Owner(owner, state) => {
            case.memory.push.owner = *owner;
            case.memory.push.state = *state;
        }
        Otherwise::Run(state, admitted) => {
            let run = run(case);
            run.state = *state;
            run.admitted = *admitted;
        }
        Otherwise::InFlight(kind, role, ordinal, done) => {
            let member = Member::new(*role, u32::from(*ordinal));
            let cluster = matches!(kind, ActKind::ClosePush | ActKind::OpenPush | ActKind::DisableRenew);
            let target = Target { member, uid: Some(uid(member, 1)) };
            let targets = if cluster { Vec::new() } else { vec![target] };
            let run = run(case);
            run.act = Some(InFlight {
                act: Act { kind: *kind, targets },
                written_at: earlier(5),
                done_at: done.then(|| earlier(4)),
            });
            run.state = if *done { RolloutState::Verifying } else { RolloutState::Acting };
            run.last_act_at = done.then(|| earlier(3));
            run.deadline = Some(NOW.after(Duration::from_mins(1)));
        }
        Otherwise::LateDeadline => run(case).deadline = Some(earlier(1)),
        Otherwise::Baseline(publishers) => {
            let counts = Counts { publishers: *publishers, ..Counts::default() };
            run(case).baseline = Some((counts, NOW));
        }
        Otherwise::Counting(ago, right) => {
            let run = run(case);
            run.counting_since = Some(earlier(*ago));
            run.counts_right_since = right.then(|| earlier(*ago));
        }
        Otherwise::Waited(minutes) => {
            let mut seen = case.memory.clone();
            seen.waiting = sofa_operator::plan::plan_registry(&case.input(None)).memory.waiting;
            for since in seen.waiting.values_mut() {
                *since = earlier(u64::from(*minutes) * 60);
            }
            case.memory.waiting = seen.waiting;
        }
        Otherwise::Incident => {
            case.memory.incident = Some(sofa_operator::plan::IncidentRecord {
                id: "meta-majority-1".to_owned(),
                reason: sofa_operator::api::v1alpha1::Reason::MetaMajorityLost,
                since: earlier(60),
                survivors: vec![Member::new(Role::Meta, 0)],
            });
        }
        Otherwise::Forgotten => case.memory = Memory::default(),
        _ => {}
    }
}

fn with<K: Ord + Copy, V>(map: &mut BTreeMap<K, V>, key: K, change: impl FnOnce(&mut V)) {
    if let Some(value) = map.get_mut(&key) {
        change(value);
    }
}

fn set<T>(facts: &mut BTreeMap<Member, Fact<T>>, member: Member, fact: Fact<T>) {
    if let Some(old) = facts.get_mut(&member) {
        *old = fact;
    }
}

fn known<T>(facts: &mut BTreeMap<Member, Fact<T>>, member: Member, change: impl FnOnce(&mut T)) {
    if let Some(Fact::Known { value, .. }) = facts.get_mut(&member) {
        change(value);
    }
}

fn each<T>(facts: &mut BTreeMap<Member, Fact<T>>, change: impl Fn(&mut T)) {
    for fact in facts.values_mut() {
        if let Fact::Known { value, .. } = fact {
            change(value);
        }
    }
}

fn age<T>(facts: &mut BTreeMap<Member, Fact<T>>, member: Member) {
    if let Some(Fact::Known { at, .. } | Fact::Unknown { at, .. }) = facts.get_mut(&member) {
        *at = earlier(120);
    }
}
