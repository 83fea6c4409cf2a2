//! The list of invariants is no formality: each of its clauses speaks up when it alone is broken, and a clean step breaks none.
//! (`tests/plan_model` shows the same for faults in the planner; here the step itself is wrong.)

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail as its test functions do"
)]

#[path = "status/cluster.rs"]
#[expect(dead_code, reason = "parts of it are for other tests")]
mod cluster;
#[path = "status/schema.rs"]
mod schema;

use std::net::Ipv4Addr;
use std::time::Duration;

use sofa_operator::api::v1alpha1::{ActKind, MembershipKind, PushOwner, Role, RolloutState, Strategy};
use sofa_operator::observe::{Genesis, Member, PodPhase, RaftData, RegistryWorld};
use sofa_operator::plan::invariants::{ClosedBy, Invariant as I, PodTruth, Truth, judge};
use sofa_operator::plan::{
    Act, Command, Decision, InFlight, Memory, RegistryInput, RegistryTarget, Run, Stop, Target, plan_registry,
};
use sofa_operator::types::Moment;

use cluster::{Cluster, DATA, META, SESSION};

/// A step and what is true around it.
struct Step {
    now: Moment,
    target: RegistryTarget,
    world: RegistryWorld,
    memory: Memory,
    decision: Decision,
    truth: Truth,
}

impl Step {
    /// So many servers of each role work on the wanted template, push is closed by us, and an act of this kind on these members
    /// was written down; now it is done.
    fn of(counts: [u32; 3], kind: ActKind, members: &[Member], command: fn(Vec<Target>) -> Command) -> Self {
        let mut cluster = Cluster::new();
        let example = cluster.servers[&Member::new(META, 0)].clone();
        cluster.servers.clear();
        for (role, count) in [META, DATA, SESSION].into_iter().zip(counts) {
            cluster.workloads.get_mut(&role).unwrap().replicas = count;
            cluster.servers.extend((0..count).map(|n| (Member::new(role, n), example.clone())));
        }
        let world = cluster.world();
        let pods = world.kubernetes.pods.iter().map(|(member, pod)| {
            let pod = PodTruth {
                uid: pod.uid.clone(),
                listens: pod.phase == PodPhase::Ready,
                serves: true,
                blank: false,
                is_target: !members.contains(member),
                address: pod.address,
            };
            (*member, pod)
        });
        let mut truth = Truth {
            pods: pods.collect(),
            replicas: world.kubernetes.workloads.iter().map(|(role, w)| (*role, w.replicas)).collect(),
            closed_by: Some(ClosedBy::Operator),
            generation: 1,
            ..Truth::default()
        };
        let metas = truth.pods.iter().filter(|(m, _)| m.role == META);
        truth.group = Some(metas.filter_map(|(_, p)| p.address).collect());
        let target = |m: &Member| Target { member: *m, uid: truth.pods.get(m).map(|p| p.uid.clone()) };
        let act = Act { kind, targets: members.iter().map(target).collect() };
        let mut run = Run::begin(cluster.target.plan.clone(), 1, cluster.now, None);
        run.state = RolloutState::Acting;
        run.act = Some(InFlight { act: act.clone(), written_at: cluster.now, done_at: None });
        let mut memory = Memory { run: Some(run), ..Memory::default() };
        memory.push.owner = Some(PushOwner::Operator);
        truth.written = Some(act.clone());
        let input = RegistryInput {
            now: cluster.now,
            generation: 1,
            deleting: false,
            target: &cluster.target,
            world: &world,
            memory: &memory,
            planted: None,
        };
        let decision = Decision {
            command: Some(command(act.targets)),
            memory: memory.clone(),
            memory_if_refused: None,
            ..plan_registry(&input)
        };
        Self { now: cluster.now, target: cluster.target, world, memory, decision, truth }
    }

    fn restart(counts: [u32; 3], members: &[Member]) -> Self {
        Self::of(counts, ActKind::RestartPods, members, |targets| Command::StopPods {
            targets,
            how: Stop::Evict,
        })
    }

    fn with(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }

    fn pod(&mut self, member: Member) -> &mut PodTruth {
        self.truth.pods.get_mut(&member).unwrap()
    }

    fn breaks(&self) -> Vec<I> {
        let input = RegistryInput {
            now: self.now,
            generation: 1,
            deleting: false,
            target: &self.target,
            world: &self.world,
            memory: &self.memory,
            planted: None,
        };
        judge(&input, &self.decision, &self.truth).into_iter().map(|v| v.invariant).collect()
    }
}

const fn meta(n: u32) -> Member {
    Member::new(META, n)
}

const fn data(n: u32) -> Member {
    Member::new(DATA, n)
}

const fn session(n: u32) -> Member {
    Member::new(SESSION, n)
}

#[track_caller]
fn breaks(step: &Step, expected: &[I]) {
    assert_eq!(step.breaks(), expected);
}

#[test]
fn what_is_left_of_the_metas_is_a_majority() {
    breaks(&Step::restart([3, 2, 2], &[meta(2)]), &[]);
    let down = |member: Member| move |s: &mut Step| s.pod(member).serves = false;
    breaks(&Step::restart([3, 2, 2], &[meta(2)]).with(down(meta(0))), &[I::I1Quorum, I::I2Share]);
    breaks(&Step::restart([4, 2, 2], &[meta(2)]).with(down(meta(0))), &[I::I1Quorum, I::I2Share]);
    // The metas of 6.x have a database: one of them is enough, and a single one has no other.
    let database = |s: &mut Step| s.target.membership = MembershipKind::Database;
    breaks(&Step::restart([2, 2, 2], &[meta(1)]).with(database), &[]);
    let last = Step::restart([2, 2, 2], &[meta(1)]).with(down(meta(0))).with(database);
    breaks(&last, &[I::I1Quorum, I::I2Share]);
    breaks(&Step::restart([1, 2, 2], &[meta(0)]), &[]);
}

#[test]
fn only_a_share_of_a_role_is_down() {
    breaks(&Step::restart([3, 4, 4], &[data(3)]), &[]);
    breaks(&Step::restart([3, 4, 4], &[data(2), data(3)]), &[I::I2Share]);
    breaks(
        &Step::restart([3, 2, 4], &[data(1)]).with(|s| s.pod(data(0)).serves = false),
        &[I::I2Share, I::I15DataHalf],
    );
    breaks(&Step::restart([3, 2, 4], &[session(2), session(3)]), &[I::I2Share]);
    let groups = |s: &mut Step| s.target.strategy = Strategy::TwoGroups;
    breaks(&Step::restart([3, 2, 4], &[session(2), session(3)]).with(groups), &[]);
    breaks(&Step::restart([3, 2, 4], &[session(1), session(2), session(3)]).with(groups), &[I::I2Share]);
    breaks(&Step::restart([3, 4, 4], &[data(2), data(3)]).with(groups), &[I::I2Share]);
}

#[test]
fn an_act_is_fresh_written_down_of_this_spec_and_alone() {
    let step = || Step::restart([3, 2, 2], &[meta(2)]);
    breaks(&step().with(|s| s.truth.last_act = s.now.after(Duration::from_secs(1))), &[I::I3FreshFacts]);
    breaks(&step().with(|s| s.truth.written = None), &[I::I9ObeysPause]);
    breaks(&step().with(|s| s.truth.written = Some(Act::on_cluster(ActKind::ClosePush))), &[I::I9ObeysPause]);
    breaks(&step().with(|s| s.truth.generation = 2), &[I::I9ObeysPause]);
    breaks(&step().with(|s| s.truth.paused = true), &[I::I9ObeysPause]);
    breaks(&step().with(|s| s.truth.other_acts = true), &[I::I5OneActor]);
    let closes = Step::of([3, 2, 2], ActKind::ClosePush, &[], |_| Command::ClosePush {
        via: Ipv4Addr::LOCALHOST,
        sites: [].into(),
    });
    breaks(&closes.with(|s| (s.truth.paused, s.truth.other_acts) = (true, true)), &[]);
}

#[test]
fn who_serves_is_stopped_under_closed_push_in_order_and_once() {
    let pushes = |s: &mut Step| s.truth.pushing = [session(0)].into();
    breaks(&Step::restart([3, 2, 2], &[data(1)]).with(pushes), &[I::I10PushClosed]);
    breaks(
        &Step::restart([3, 2, 2], &[data(1)]).with(|s| s.pod(meta(0)).is_target = false),
        &[I::I4RoleOrder],
    );
    breaks(&Step::restart([3, 2, 2], &[data(1)]).with(|s| s.pod(session(0)).is_target = false), &[]);
    breaks(
        &Step::restart([3, 2, 2], &[data(1)]).with(|s| s.pod(data(1)).is_target = true),
        &[I::I7Idempotent],
    );
    // What serves nothing is made again whatever push is.
    let repair = || {
        Step::of([3, 2, 2], ActKind::RepairPod, &[data(1)], |targets| Command::StopPods {
            targets,
            how: Stop::Delete,
        })
    };
    breaks(&repair().with(pushes).with(|s| s.pod(data(1)).serves = false), &[]);
    breaks(&repair().with(pushes), &[I::I10PushClosed]);
}

#[test]
fn the_group_changes_by_one_that_listens() {
    const NEW: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 1);
    const NEWER: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 2);
    let change = || {
        Step::of([3, 2, 2], ActKind::ChangePeer, &[meta(2)], |_| Command::ChangePeer {
            via: Ipv4Addr::LOCALHOST,
            peers: [].into(),
        })
    };
    let peers = |step: Step, edit: fn(&mut Vec<Ipv4Addr>)| {
        step.with(|s| {
            let mut list: Vec<_> = s.truth.group.clone().unwrap().into_iter().collect();
            edit(&mut list);
            s.decision.command =
                Some(Command::ChangePeer { via: Ipv4Addr::LOCALHOST, peers: list.into_iter().collect() });
        })
    };
    let moved = |s: &mut Step| s.pod(meta(2)).address = Some(NEW);
    let replace = |list: &mut Vec<Ipv4Addr>| list[2] = NEW;
    breaks(&peers(change(), replace).with(moved), &[]);
    breaks(&peers(change(), replace), &[I::I13OnePeer]);
    breaks(&peers(change(), replace).with(moved).with(|s| s.pod(meta(2)).listens = false), &[I::I13OnePeer]);
    breaks(&peers(change(), |list| list.truncate(2)), &[]);
    breaks(&peers(change(), |list| list.truncate(1)), &[I::I13OnePeer]);
    let two = |s: &mut Step| {
        s.pod(meta(2)).address = Some(NEW);
        s.pod(data(0)).address = Some(NEWER);
    };
    breaks(&peers(change(), |list| list.extend([NEW, NEWER])).with(two), &[I::I13OnePeer]);
    let one_alive = |s: &mut Step| s.pod(meta(0)).listens = false;
    breaks(&peers(change(), replace).with(moved).with(one_alive), &[I::I13OnePeer]);
    breaks(&peers(change(), replace).with(moved).with(|s| s.truth.group = None), &[I::I13OnePeer]);
}

#[test]
fn a_new_beginning_is_made_where_nothing_serves() {
    let reset = || {
        Step::of([3, 2, 2], ActKind::ResetPeer, &[meta(0)], |_| Command::ResetPeer {
            survivor: Ipv4Addr::LOCALHOST,
        })
    };
    breaks(&reset(), &[I::I13OnePeer]);
    let none = |s: &mut Step| (0..3).for_each(|n| s.pod(meta(n)).serves = false);
    breaks(&reset().with(none), &[]);
    breaks(&reset().with(|s| s.truth.group = Some([Ipv4Addr::LOCALHOST].into())), &[]);
}

#[test]
fn one_blank_meta_is_let_in_at_a_time() {
    let release = |members: &[Member]| {
        Step::of([3, 2, 2], ActKind::ReleasePods, members, |targets| Command::ReleasePods {
            targets,
            raft_data: RaftData::Blank,
        })
    };
    let blank = |member: Member, listens: bool| {
        move |s: &mut Step| {
            let pod = s.pod(member);
            (pod.blank, pod.listens) = (true, listens);
        }
    };
    breaks(&release(&[meta(1), meta(2)]), &[]);
    breaks(&release(&[meta(2)]).with(blank(meta(2), false)), &[]);
    let beside_two = release(&[meta(2)]).with(blank(meta(0), true)).with(blank(meta(1), true));
    breaks(&beside_two, &[]);
    breaks(&release(&[meta(2)]).with(blank(meta(2), false)).with(blank(meta(1), true)), &[I::I14OneBlank]);
    let two = || release(&[meta(1), meta(2)]).with(blank(meta(1), false)).with(blank(meta(2), false));
    breaks(&two(), &[I::I14OneBlank]);
    breaks(&two().with(|s| s.world.genesis = Genesis::Begun { claims: [].into() }), &[]);
}

#[test]
fn a_server_is_taken_away_out_of_the_group_and_under_closed_push() {
    let scale = || {
        Step::of([3, 2, 3], ActKind::ScaleDown, &[meta(2)], |_| Command::Scale {
            role: Role::Meta,
            replicas: 2,
        })
    };
    breaks(&scale(), &[I::I1Quorum]);
    let left = |s: &mut Step| {
        let address = s.pod(meta(2)).address.unwrap();
        s.truth.group.as_mut().unwrap().remove(&address);
    };
    breaks(&scale().with(left), &[]);
    breaks(&scale().with(|s| s.target.membership = MembershipKind::Database), &[]);
    let pushes = |s: &mut Step| s.truth.pushing = [session(0)].into();
    breaks(&scale().with(left).with(pushes), &[I::I10PushClosed]);
    breaks(&scale().with(left).with(pushes).with(|s| s.pod(meta(2)).serves = false), &[]);
}

#[test]
fn what_the_operator_closed_is_its_own_and_what_a_person_closed_is_not() {
    let open = || {
        Step::of([3, 2, 2], ActKind::OpenPush, &[], |_| Command::OpenPush {
            via: Ipv4Addr::LOCALHOST,
            sites: [].into(),
        })
    };
    breaks(&open(), &[]);
    breaks(&open().with(|s| s.truth.closed_by = Some(ClosedBy::Person)), &[I::I12ForeignPush]);
    let quiet = || Step::restart([3, 2, 2], &[meta(2)]).with(|s| s.decision.command = None);
    breaks(&quiet(), &[]);
    breaks(&quiet().with(|s| s.decision.memory.push.owner = None), &[I::I11Opens]);
    breaks(&quiet().with(|s| s.decision.memory.push.owner = Some(PushOwner::Other)), &[I::I11Opens]);
    let state =
        |state: RolloutState| move |s: &mut Step| s.decision.memory.run.as_mut().unwrap().state = state;
    breaks(&quiet().with(state(RolloutState::Done)), &[I::I11Opens]);
    let held = |s: &mut Step| s.decision.memory.push.owner = Some(PushOwner::Spec);
    breaks(&quiet().with(state(RolloutState::Done)).with(held), &[]);
}

#[test]
fn a_decision_gives_a_reason_and_forgets_nothing_done() {
    let silent = |s: &mut Step| {
        s.decision.command = None;
        s.decision.memory.run.as_mut().unwrap().state = RolloutState::Gating;
        s.decision.report.waits.clear();
        s.decision.report.halt = None;
    };
    breaks(&Step::restart([3, 2, 2], &[meta(2)]).with(silent), &[I::I6Reason]);
    let done = |s: &mut Step| {
        let uid = s.pod(data(0)).uid.clone();
        s.memory.run.as_mut().unwrap().done.insert(DATA, [uid].into());
    };
    breaks(&Step::restart([3, 2, 2], &[meta(2)]).with(done), &[I::I8DoneGrows]);
    let kept = |s: &mut Step| {
        s.decision.memory.run.as_mut().unwrap().done.clone_from(&s.memory.run.as_ref().unwrap().done);
    };
    breaks(&Step::restart([3, 2, 2], &[meta(2)]).with(done).with(kept), &[]);
    let anew = |s: &mut Step| s.decision.memory.run.as_mut().unwrap().generation = 2;
    breaks(&Step::restart([3, 2, 2], &[meta(2)]).with(done).with(anew), &[]);
}
