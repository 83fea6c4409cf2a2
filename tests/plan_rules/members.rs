//! Members one by one: which is changed, repaired or added next, and when that is over.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use sofa_operator::admin::registry::wire::PushSwitch;
use sofa_operator::api::v1alpha1::{ActKind, MembershipKind, Reason, RolloutState, StepKind, Strategy};
use sofa_operator::observe::{Addresses, Fact, Member, Node, Pod, PodPhase, RegistryWorld, Unknown};
use sofa_operator::plan::{Admission, Command, Decision, Memory};
use sofa_operator::types::PlanId;

use crate::cluster::{Cluster, DATA, META, SESSION};
use crate::{act, at_rest, decide, first_wait, pod, relist, remembered, state, stopped};

/// In two groups, the first half of the sessions is restarted together, then the second.
#[test]
fn sessions_in_two_groups_go_by_halves() {
    let mut cluster = at_rest();
    let four = 4;
    for ordinal in 2..four {
        let server = cluster.servers[&Member::new(SESSION, 0)].clone();
        cluster.servers.insert(Member::new(SESSION, ordinal), server);
    }
    cluster.workloads.get_mut(&SESSION).unwrap().replicas = four;
    cluster.target.roles.get_mut(&SESSION).unwrap().replicas = four;
    cluster.target.strategy = Strategy::TwoGroups;
    cluster.target.roles.get_mut(&SESSION).unwrap().revision = "t2".to_owned();
    cluster.generation += 1;
    let mut groups = Vec::new();
    while groups.len() < 2 {
        let decision =
            cluster.until("a group stops", |_, d| matches!(d.command, Some(Command::StopPods { .. })));
        groups.push(stopped(&decision));
        cluster.go_on();
    }
    assert_eq!(groups, [["session-0", "session-1"], ["session-2", "session-3"]]);
}

/// A data node that says that it works and is in no list serves nothing: after 20 s it is made again, but not while another
/// one of its role is on its way.
#[test]
fn a_data_node_that_nobody_lists_is_made_again_alone() {
    // How long ago the other one started, and whether the unlisted one is made again.
    for (other, repaired) in
        [(None, true), (Some(Duration::from_mins(4)), false), (Some(Duration::from_mins(6)), true)]
    {
        let mut cluster = at_rest();
        let mut memory = remembered(&cluster);
        let (unlisted, starting) = (Member::new(DATA, 0), Member::new(DATA, 1));
        let address = cluster.address(unlisted).unwrap();
        let began = cluster.now;
        let mut first = None;
        while cluster.now.since(began) < Duration::from_secs(40) {
            let now = cluster.now;
            let decision = decide(&cluster, &memory, |world| {
                relist(world, |lists| lists.datas.retain(|a| *a != address));
                if let Some(age) = other {
                    let pod = world.kubernetes.pods.get_mut(&starting).unwrap();
                    (pod.phase, pod.started) = (PodPhase::Starting, Some(now.before(age)));
                    world.datas.insert(starting, Fact::unknown(Unknown::Refused, now));
                }
            });
            if first.is_none() && !stopped(&decision).is_empty() {
                assert_eq!(stopped(&decision), ["data-0"]);
                // Where no other one works, what clients registered is to come from them again: with push closed.
                assert_eq!(cluster.push == PushSwitch::Closed, other.is_some());
                first = Some(now.since(began));
            }
            if let Some(Command::ClosePush { .. }) = decision.command {
                cluster.push = PushSwitch::Closed;
            }
            memory = decision.memory;
            cluster.wait(Duration::from_secs(2));
        }
        assert_eq!(first.is_some(), repaired, "{other:?}");
        assert!(first.is_none_or(|after| after >= Duration::from_secs(20)), "{first:?}");
    }
}

/// A data node that knows no meta that is there any more, and that nobody lists, comes back by itself never: it is made again at
/// once.
#[test]
fn a_data_node_that_knows_no_meta_is_made_again_at_once() {
    let member = Member::new(DATA, 0);
    let cluster = at_rest();
    let address = cluster.address(member).unwrap();
    for (listed, deaf, again) in [(false, true, true), (false, false, false), (true, true, false)] {
        let decision = decide(&cluster, &remembered(&cluster), |world| {
            if !listed {
                relist(world, |lists| lists.datas.retain(|a| *a != address));
            }
            if let (true, Some(Fact::Known { value, .. })) = (deaf, world.datas.get_mut(&member)) {
                value.metas = Some([Ipv4Addr::new(10, 9, 9, 9)].into());
            }
        });
        assert_eq!(act(&decision) == Some(ActKind::RepairPod), again, "listed: {listed}, deaf: {deaf}");
    }
}

/// A cluster whose data nodes and sessions have lost the metas with their former leader: nobody lists those that were not made
/// again since, and they hear of nothing.
struct Lost {
    cluster: Cluster,
    memory: Memory,
    /// How often each server was made when it happened.
    before: BTreeMap<Member, u8>,
    datas: Addresses,
}

impl Lost {
    fn new() -> Self {
        let cluster = at_rest();
        let memory = remembered(&cluster);
        let before = cluster.servers.iter().map(|(m, s)| (*m, s.made)).collect();
        let datas = (0..2).filter_map(|n| cluster.address(Member::new(DATA, n))).collect();
        Self { cluster, memory, before, datas }
    }

    /// One reconcile, and two seconds.
    fn step(&mut self) -> Decision {
        let old = |m: &&Member| m.role != META && self.cluster.servers[*m].made == self.before[*m];
        let lost: Vec<Member> = self.before.keys().filter(old).copied().collect();
        let addresses: Addresses = lost.iter().filter_map(|m| self.cluster.address(*m)).collect();
        let decision = decide(&self.cluster, &self.memory, |world| {
            relist(world, |lists| {
                lists.datas.retain(|a| !addresses.contains(a));
                lists.sessions.retain(|a| !addresses.contains(a));
            });
            for session in lost.iter().filter(|m| m.role == SESSION) {
                if let Some(Fact::Known { value, .. }) = world.sessions.get_mut(session) {
                    (value.push, value.datas) = (Some(PushSwitch::Open), Some(self.datas.clone()));
                }
            }
        });
        if let Some(command) = &decision.command {
            self.cluster.run(command);
        }
        self.memory = decision.memory.clone();
        self.cluster.wait(Duration::from_secs(2));
        self.cluster.go_on();
        decision
    }
}

/// Push is closed first, though these sessions cannot say so, when nobody has listed the DataServers for 20 s; they are made again,
/// data first and one at a time; then push is opened.
#[test]
fn data_nodes_that_lost_the_metas_are_made_again_with_push_closed() {
    let mut lost = Lost::new();
    let mut order = Vec::new();
    let began = lost.cluster.now;
    while lost.cluster.now.since(began) < Duration::from_secs(20) {
        let decision = lost.step();
        assert_eq!((act(&decision), decision.command), (None, None));
    }
    for _ in 0..200 {
        let decision = lost.step();
        match &decision.command {
            Some(Command::ClosePush { .. }) => order.push("close".to_owned()),
            Some(Command::OpenPush { .. }) => order.push("open".to_owned()),
            Some(Command::StopPods { .. }) => {
                assert_eq!(lost.cluster.push, PushSwitch::Closed);
                order.extend(stopped(&decision));
            }
            other => assert_eq!(*other, None),
        }
    }
    assert_eq!(order, ["close", "data-0", "data-1", "session-0", "session-1", "open"]);
    assert!(lost.memory.push.owner.is_none() && lost.memory.incident.is_none());
}

/// A person who opens push while they are made again is asked: the next one is left as it is.
#[test]
fn push_that_is_opened_in_a_recovery_of_the_data_halts_it() {
    let mut lost = Lost::new();
    while stopped(&lost.step()).is_empty() {}
    lost.cluster.push = PushSwitch::Open;
    for _ in 0..60 {
        assert_eq!(lost.step().command, None);
    }
    let run = lost.memory.run.as_ref().expect("a run");
    assert_eq!(run.halted.as_ref().map(|(reason, _)| *reason), Some(Reason::PushOpenedByOther));
    lost.cluster.push = PushSwitch::Closed;
    while lost.step().command.is_none() {}
}

/// A session that still knows a data node that the metas list may push: it is not passed over, and nothing is made again.
#[test]
fn a_session_that_may_push_is_waited_for_though_nobody_lists_it() {
    let mut lost = Lost::new();
    lost.datas = Addresses::new();
    while stopped(&lost.step()).is_empty() {}
    // From now on it knows whoever is listed.
    lost.datas.extend((0..=u8::MAX).map(|made| Ipv4Addr::new(10, DATA as u8, 0, made)));
    for _ in 0..60 {
        let decision = lost.step();
        assert!(stopped(&decision).is_empty(), "{decision:?}");
    }
}

/// Metas go followers first, and the leader as the last but one: who knows them by their leader alone asks another one that it
/// knows when it loses it (measured: sofaregistry §14). Where a group needs no addresses, or has a database, it goes last.
#[test]
fn the_leader_of_a_group_by_address_goes_as_the_last_but_one() {
    for (membership, wanted) in [
        (MembershipKind::RaftByAddress, ["meta-2", "meta-0", "meta-1"]),
        (MembershipKind::RaftSelfHealing, ["meta-2", "meta-1", "meta-0"]),
    ] {
        let mut cluster = at_rest();
        cluster.target.membership = membership;
        cluster.change_template("t2");
        let mut order = Vec::new();
        while order.len() < 3 {
            order.extend(stopped(&cluster.until("a meta stops", |_, d| !stopped(d).is_empty())));
            cluster.go_on();
        }
        assert_eq!(order, wanted, "{membership:?}");
    }
}

/// The youngest address goes first: the oldest is the one that everybody knows.
#[test]
fn of_the_followers_the_youngest_goes_first() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    cluster.until("push is closed", |c, d| c.push == PushSwitch::Closed && d.memory.run.is_some());
    let mut memory = remembered(&cluster);
    let mut first = Vec::new();
    while first.is_empty() {
        let now = cluster.now;
        let decision = decide(&cluster, &memory, |world| {
            let moved = world.kubernetes.pods.get_mut(&Member::new(META, 1)).unwrap();
            moved.started = Some(now.before(Duration::from_mins(9)));
        });
        first = stopped(&decision);
        memory = decision.memory;
        cluster.wait(Duration::from_secs(2));
    }
    assert_eq!(first, ["meta-1"]);
}

/// The metas repeat a list to a data node that is stopped before it has said that it has it, and the others try its address each
/// time (measured: sofaregistry §16). That 6.x does not wait is in `tests/sim/rolling-change-6.txt`.
#[test]
fn a_data_node_is_stopped_when_the_metas_have_heard_of_its_list() {
    let lists = (Reason::WaitingForConvergence, "lists of the data nodes");
    let waits = |d: &Decision| d.report.waits.iter().any(|w| (w.reason, w.subject.as_str()) == lists);
    let stops = |d: &Decision| stopped(d).iter().any(|m| m.starts_with("data"));
    let mut cluster = at_rest();
    cluster.change_template("t2");
    cluster.until("all lists are right", |_, d| waits(d));
    let right = cluster.now;
    cluster.until("a data node is stopped", |_, d| stops(d));
    let pause = cluster.now.since(right);
    assert!((Duration::from_secs(5)..Duration::from_secs(12)).contains(&pause), "{pause:?}");
    // The stop comes to nothing: it is tried again when its time is over, without another wait that would make it the first try.
    let began = cluster.now;
    let mut again = 0;
    while cluster.now.since(began) < Duration::from_mins(30) {
        cluster.servers.values_mut().for_each(|s| s.phase = Some(PodPhase::Ready));
        cluster.wait(Duration::from_secs(2));
        let decision = cluster.reconcile();
        assert!(!waits(&decision));
        again += usize::from(stops(&decision));
    }
    assert_eq!(again, 2);
    // So it is under a newer spec that comes while it is halted, and when it was never done because its eviction was refused.
    let mut cluster = at_rest();
    cluster.change_template("t2");
    cluster.until("a data node is to be stopped", |c, d| {
        let work = c.servers.iter().any(|(m, s)| m.role == META && s.revision == "t1");
        !work && act(d) == Some(ActKind::RestartPods)
    });
    let mut memory = remembered(&cluster);
    while memory.run.as_ref().unwrap().state != RolloutState::Halted {
        cluster.wait(Duration::from_secs(20));
        let decision = decide(&cluster, &memory, |_| {});
        memory = decision.memory_if_refused.unwrap_or(decision.memory);
    }
    cluster.generation += 1;
    cluster.target.plan = PlanId::from_hash(0xacab);
    "t3".clone_into(&mut cluster.target.roles.get_mut(&DATA).unwrap().revision);
    let mut stopped_again = false;
    for _ in 0..90 {
        cluster.wait(Duration::from_secs(2));
        let decision = decide(&cluster, &memory, |_| {});
        stopped_again |= stops(&decision);
        memory = decision.memory;
    }
    assert!(stopped_again, "{memory:?}");
}

/// A pod that was told to stop is still there: its restart is not over before another pod has taken its place.
#[test]
fn a_restart_is_not_over_while_the_old_pod_is_there() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    let member = Member::new(META, 2);
    let old = cluster.world().kubernetes.pods[&member].clone();
    cluster.until("it is stopped", |_, d| stopped(d) == ["meta-2"]);
    cluster.wait(Duration::from_secs(2));
    let memory = remembered(&cluster);
    let stopping = decide(&cluster, &memory, |world| {
        world.kubernetes.pods.insert(member, Pod { phase: PodPhase::Stopping, ..old.clone() });
    });
    assert_eq!(
        (act(&stopping), state(&stopping)),
        (Some(ActKind::RestartPods), Some(RolloutState::Verifying))
    );
    assert_eq!(first_wait(&stopping), (Reason::WaitingForPod, "meta-2"));
    assert!(stopping.memory.run.unwrap().done.is_empty());
    let gone = decide(&cluster, &memory, |_| {});
    assert_eq!(
        (act(&gone), first_wait(&gone)),
        (Some(ActKind::RestartPods), (Reason::WaitingForPod, "meta-2"))
    );
}

/// A server whose template never worked gives way to a newer one: when its time is over and its port is closed, ahead of all
/// that work.
#[test]
fn a_server_that_never_listened_gives_way_to_a_newer_template() {
    let cases = [(Unknown::Refused, 5, true), (Unknown::Refused, 4, false), (Unknown::TimedOut, 5, false)];
    for (role, (why, minutes, repaired)) in
        [META, DATA, SESSION].into_iter().flat_map(|r| cases.map(|c| (r, c)))
    {
        let member = Member::new(role, 1);
        let mut cluster = at_rest();
        cluster.change_template("t2");
        cluster.target.admission = Admission::Approval;
        let memory = remembered(&cluster);
        let at = cluster.now;
        let decision = decide(&cluster, &memory, |world| {
            pod(world, member).phase = PodPhase::Starting;
            pod(world, member).started = Some(at.before(Duration::from_mins(minutes)));
            tell_nothing(world, member, why);
        });
        assert_eq!(
            act(&decision),
            repaired.then_some(ActKind::RepairPod),
            "{member}: {why:?} after {minutes} min"
        );
    }
}

/// A member does not answer.
fn tell_nothing(world: &mut RegistryWorld, member: Member, why: Unknown) {
    match member.role {
        META => drop(world.metas.insert(member, Fact::unknown(why, world.kubernetes.at))),
        DATA => drop(world.datas.insert(member, Fact::unknown(why, world.kubernetes.at))),
        _ => drop(world.sessions.insert(member, Fact::unknown(why, world.kubernetes.at))),
    }
}

/// A server that works without a leader never recovers from that and is made again, but only under metas that are settled:
/// before, it could not do better.
#[test]
fn a_session_that_does_not_work_is_made_again_under_settled_metas() {
    let member = Member::new(SESSION, 0);
    let cluster = at_rest();
    let memory = remembered(&cluster);
    let idle = |world: &mut RegistryWorld| {
        if let Some(Fact::Known { value, .. }) = world.sessions.get_mut(&member) {
            value.serving = false;
        }
    };
    assert_eq!(act(&decide(&cluster, &memory, idle)), Some(ActKind::RepairPod));
    let unsettled = decide(&cluster, &memory, |world| {
        idle(world);
        relist(world, |lists| lists.metas.clear());
    });
    assert_eq!(act(&unsettled), None);
    let young = decide(&cluster, &memory, |world| {
        idle(world);
        pod(world, member).started = Some(cluster.now.before(Duration::from_mins(4)));
    });
    assert_eq!((act(&young), first_wait(&young)), (None, (Reason::WaitingForPod, "session-0")));
}

/// A session that nobody lists is made again while a data node serves: else what its clients register would be nowhere.
#[test]
fn a_session_that_nobody_lists_is_made_again_where_a_data_node_serves() {
    for (starting, made_again) in [(0, true), (1, true), (2, false)] {
        let mut cluster = at_rest();
        let mut memory = remembered(&cluster);
        let address = cluster.address(Member::new(SESSION, 0)).unwrap();
        let mut seen = false;
        for _ in 0..100 {
            let now = cluster.now;
            let decision = decide(&cluster, &memory, |world| {
                relist(world, |lists| lists.sessions.retain(|a| *a != address));
                for data in (0..starting).map(|ordinal| Member::new(DATA, ordinal)) {
                    (pod(world, data).phase, pod(world, data).started) = (PodPhase::Starting, Some(now));
                    world.datas.insert(data, Fact::unknown(Unknown::Refused, now));
                }
            });
            seen |= stopped(&decision) == ["session-0"];
            memory = decision.memory;
            cluster.wait(Duration::from_secs(2));
        }
        assert_eq!(seen, made_again, "{starting} data nodes start");
    }
}

/// A session of which a person says that it serves nobody is not waited for.
#[test]
fn a_session_that_is_given_up_is_not_waited_for() {
    let member = Member::new(SESSION, 0);
    let cluster = at_rest();
    let memory = remembered(&cluster);
    for waived in [false, true] {
        let decision = decide(&cluster, &memory, |world| {
            pod(world, member).waived = waived;
            world.sessions.insert(member, Fact::unknown(Unknown::TimedOut, cluster.now));
        });
        let waits = decision.report.waits.iter().any(|w| w.subject.contains("session-0"));
        assert_eq!(waits, !waived, "{:?}", decision.report.waits);
    }
}

/// A pod on a node that does not answer is unknown, not gone: a change does not take it for one that may go.
#[test]
fn a_member_on_a_silent_node_is_not_restarted() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    cluster.until("the metas are changed", |c, d| {
        let metas = c.servers.iter().filter(|(m, _)| m.role == META);
        metas.clone().all(|(_, s)| s.revision == "t2" && s.phase == Some(PodPhase::Ready)) && act(d).is_none()
    });
    let member = Member::new(DATA, 1);
    cluster.servers.get_mut(&member).unwrap().node = Node::Unreachable;
    cluster.until("it waits for the node", |_, d| {
        assert!(stopped(d).is_empty(), "{:?}", d.command);
        act(d).is_none() && first_wait(d) == (Reason::NodeUnreachable, "data-1")
    });
}

/// A change begins with the members that do not work.
#[test]
fn a_broken_member_is_changed_first() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    let member = Member::new(META, 1);
    cluster.until("push is closed", |c, _| c.push == PushSwitch::Closed);
    cluster.wait(Duration::from_secs(2));
    let memory = remembered(&cluster);
    let at = cluster.now;
    let decision = decide(&cluster, &memory, |world| {
        (pod(world, member).phase, pod(world, member).started) = (PodPhase::Starting, Some(at));
        world.metas.insert(member, Fact::unknown(Unknown::Refused, at));
    });
    let act = decision
        .memory
        .run
        .clone()
        .and_then(|r| r.act)
        .unwrap_or_else(|| panic!("{:?}", decision.report))
        .act;
    assert_eq!((act.kind, act.targets[0].member), (ActKind::RestartPods, member));
}

/// While one of a role is made again, no other one of it is stopped.
#[test]
fn no_second_member_of_a_role_is_stopped_beside_one_that_starts() {
    for role in [META, DATA, SESSION] {
        let mut cluster = at_rest();
        cluster.change_template("t2");
        let first = cluster
            .until("one is stopped", |_, d| stopped(d).first().is_some_and(|m| m.starts_with(role.field())));
        let first: Member = stopped(&first)[0].parse().unwrap();
        for _ in 0..30 {
            cluster.wait(Duration::from_secs(2));
            let decision = cluster.reconcile();
            assert!(stopped(&decision).is_empty(), "{role:?}");
            // It is made, and does not get any further.
            if cluster.servers[&first].phase.is_none() {
                cluster.go_on();
            }
            cluster.servers.get_mut(&first).unwrap().phase = Some(PodPhase::Starting);
        }
    }
}

/// More servers of a role: that role alone gets them, once, also when the operator that asked was killed.
#[test]
fn a_role_grows_alone_and_once() {
    for (role, wanted) in [(SESSION, 4), (DATA, 3)] {
        let mut cluster = at_rest();
        let had = cluster.workloads[&role].replicas;
        cluster.target.roles.get_mut(&role).unwrap().replicas = 4;
        cluster.generation += 1;
        let memory = remembered(&cluster);
        let written = decide(&cluster, &memory, |_| {});
        assert_eq!(act(&written), Some(ActKind::ScaleUp));
        let step = written.report.steps.iter().find(|s| s.kind == StepKind::ScaleRole).expect("it is told");
        assert_eq!((step.role, step.what.as_str()), (Some(role), format!("{had} to 4").as_str()));
        assert_eq!(written.report.steps.iter().filter(|s| s.kind == StepKind::ScaleRole).count(), 1);
        let scaled = decide(&cluster, &written.memory, |_| {});
        assert_eq!(scaled.command, Some(Command::Scale { role, replicas: wanted }));
        for (other, desired) in &scaled.desired.roles {
            let replicas = if *other == role { wanted } else { cluster.workloads[other].replicas };
            assert_eq!(desired.replicas, replicas, "{other:?}");
        }
        let grown = decide(&cluster, &written.memory, |world| {
            world.kubernetes.workloads.get_mut(&role).unwrap().replicas = wanted;
        });
        assert_eq!((grown.command.as_ref(), state(&grown)), (None, Some(RolloutState::Verifying)));
    }
}
