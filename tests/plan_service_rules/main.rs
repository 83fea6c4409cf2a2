//! Rules of DRM, AntScheduler and PowerJob (`docs/rollout.md`), one story each: what clients have to have back, which
//! server is repaired, when apps may move.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail as its test functions do")]

use std::time::Duration;

use sofa_operator::api::v1alpha1::{OnTimeout, Reason, Role, RolloutState, Strategy};
use sofa_operator::observe::{
    Fact, Kubernetes, Member, Need, Node, Pod, PodPhase, ServerView, ServiceWorld, Unknown, Workload,
};
use sofa_operator::plan::{
    Admission, Command, Decision, Memory, RoleTarget, ServiceInput, ServiceTarget, Stop, TemplateChoice,
    VerifyRule, Wake, plan_service,
};
use sofa_operator::types::Moment;

mod powerjob;

const START: Moment = Moment::from_millis(5_000_000_000);
const PACE: Duration = Duration::from_secs(2);

/// Four drmdata and two consoles on `old`; `new` is wanted. A server that is stopped is back at once.
struct Story {
    now: Moment,
    target: ServiceTarget,
    world: ServiceWorld,
    memory: Memory,
    made: u32,
}

fn data(ordinal: u32) -> Member {
    Member::new(Role::Drmdata, ordinal)
}

impl Story {
    fn begin() -> Self {
        let roles = [(Role::Drmdata, 4), (Role::Console, 2)];
        let wanted = |(role, replicas)| (role, RoleTarget { replicas, revision: "new".to_owned() });
        let target = ServiceTarget {
            plan: "0123456789ab".parse().unwrap(),
            roles: roles.map(wanted).into(),
            paused: false,
            strategy: Strategy::OneByOne,
            admission: Admission::Open,
            verify: VerifyRule { percent: 90, timeout: Duration::from_mins(20), on_timeout: OnTimeout::Hold },
            by_connections: true,
            by_tasks: false,
            start_budget: Duration::from_mins(5),
            powerjob: None,
        };
        let kubernetes = Kubernetes { at: START, ..Kubernetes::default() };
        let world = ServiceWorld { kubernetes, ..ServiceWorld::default() };
        let mut story = Self { now: START, target, world, memory: Memory::default(), made: 0 };
        for (role, replicas) in roles {
            story.world.kubernetes.workloads.insert(role, Workload { replicas, revision: "old".to_owned() });
            for member in (0..replicas).map(|n| Member::new(role, n)) {
                story.make(member, "old");
                story.clients(member, Some(100));
            }
        }
        story
    }

    /// A story in which nothing is to be changed.
    fn at_rest() -> Self {
        let mut story = Self::begin();
        for (_, role) in &mut story.target.roles {
            "old".clone_into(&mut role.revision);
        }
        story
    }

    fn make(&mut self, member: Member, revision: &str) {
        self.made += 1;
        let pod = Pod {
            uid: format!("00000000-0000-4000-8000-{:012x}", self.made).parse().unwrap(),
            address: None,
            revision: revision.to_owned(),
            phase: PodPhase::Ready,
            node: Node::Reachable,
            started: Some(self.now),
            trouble: None,
            waived: false,
            raft_data: None,
        };
        self.world.kubernetes.pods.insert(member, pod);
    }

    fn pod(&mut self, member: Member) -> &mut Pod {
        self.world.kubernetes.pods.get_mut(&member).unwrap()
    }

    fn clients(&mut self, member: Member, connections: Option<u64>) {
        let view = ServerView { failing: None, connections };
        self.world.servers.insert(member, Fact::known(view, self.now));
    }

    /// What is decided now.
    fn decision(&self, deleting: bool) -> Decision {
        let (now, target, world, memory) = (self.now, &self.target, &self.world, &self.memory);
        plan_service(&ServiceInput { now, generation: 2, deleting, target, world, memory })
    }

    /// One reconcile, two seconds later. What is stopped is made again on the template of its StatefulSet.
    fn turn(&mut self) -> Decision {
        self.wait(PACE);
        let decision = self.decision(false);
        for (role, wanted) in &decision.desired.roles {
            let none = Workload { replicas: 0, revision: String::new() };
            let workload = self.world.kubernetes.workloads.entry(*role).or_insert(none);
            workload.replicas = wanted.replicas;
            if wanted.template == TemplateChoice::Target {
                let (_, target) = self.target.roles.iter().find(|(r, _)| r == role).unwrap();
                workload.revision.clone_from(&target.revision);
            }
        }
        if let Some(Command::StopPods { targets, .. }) = &decision.command {
            for target in targets {
                let revision = self.world.kubernetes.workloads[&target.member.role].revision.clone();
                self.make(target.member, &revision);
            }
        }
        self.memory = decision.memory.clone();
        decision
    }

    /// Time passes, and all is read again.
    fn wait(&mut self, span: Duration) {
        self.now = self.now.after(span);
        self.world.kubernetes.at = self.now;
        for fact in self.world.servers.values_mut() {
            *fact = match fact.read() {
                Ok(view) => Fact::known(view.clone(), self.now),
                Err(why) => Fact::unknown(why, self.now),
            };
        }
    }

    fn is_changed(&self) -> bool {
        self.world.kubernetes.pods.values().all(|p| p.revision == "new")
    }

    fn until(&mut self, what: &str, holds: impl Fn(&Self, &Decision) -> bool) -> Decision {
        for _ in 0..200 {
            let decision = self.turn();
            if holds(self, &decision) {
                return decision;
            }
        }
        panic!("never: {what}\n{:#?}", self.memory);
    }
}

fn state(decision: &Decision) -> Option<RolloutState> {
    decision.memory.run.as_ref().map(|r| r.state)
}

fn is_done(_: &Story, decision: &Decision) -> bool {
    state(decision) == Some(RolloutState::Done)
}

fn stops(decision: &Decision) -> bool {
    matches!(decision.command, Some(Command::StopPods { .. }))
}

fn stopped(decision: &Decision) -> Vec<Member> {
    match &decision.command {
        Some(Command::StopPods { targets, .. }) => targets.iter().map(|t| t.member).collect(),
        _ => Vec::new(),
    }
}

fn reasons(decision: &Decision) -> Vec<Reason> {
    decision.report.waits.iter().chain(&decision.report.halt).map(|w| w.reason).collect()
}

fn need(reason: Reason, works: Fact<bool>) -> Need {
    Need { reason, subject: "it".to_owned(), works, fault: None }
}

/// Roles begin in their order, and only with what they need.
#[test]
fn the_first_role_begins_with_what_it_needs_and_alone() {
    for works in [false, true] {
        let mut story = Story::at_rest();
        story.world.kubernetes.workloads.clear();
        story.world.kubernetes.pods.clear();
        let works_then = Fact::known(works, story.now.after(PACE));
        story.world.needs = vec![need(Reason::WaitingForDependency, works_then)];
        let decision = story.turn();
        let begun: Vec<Role> = decision.desired.roles.keys().copied().collect();
        assert_eq!(begun, if works { vec![Role::Drmdata] } else { vec![] });
    }
}

/// What the servers need holds up what is begun, not what runs.
#[test]
fn a_dependency_that_fails_holds_nothing_up_at_rest() {
    let mut story = Story::at_rest();
    let fails = Fact::known(false, story.now.after(PACE));
    story.world.needs = vec![need(Reason::WaitingForDependency, fails)];
    let decision = story.turn();
    assert_eq!(state(&decision), Some(RolloutState::Done), "{:?}", decision.report.waits);
}

/// Clients are compared with what they had before the rollout, not with what the last restart left of them.
#[test]
fn losses_of_one_rollout_add_up() {
    let mut story = Story::begin();
    for left in [92, 84] {
        story.until("a server stops", |_, d| stops(d));
        for ordinal in 0..4 {
            story.clients(data(ordinal), Some(left));
        }
    }
    for _ in 0..10 {
        let decision = story.turn();
        assert!(!stops(&decision), "84 of 100 are back");
    }
    assert_eq!(reasons(&story.turn()), [Reason::WaitingForConnections]);
    story.clients(data(0), Some(130));
    story.until("it goes on", |_, d| stops(d));
}

/// A rollout is over when the clients are back. Later it is no longer compared: what clients have changes with time.
#[test]
fn a_rollout_ends_when_its_clients_are_back() {
    let mut story = Story::begin();
    story.until("the last one stops", |s, d| stops(d) && s.is_changed());
    story.clients(data(3), Some(0));
    for _ in 0..10 {
        assert_ne!(state(&story.turn()), Some(RolloutState::Done), "300 of 400 are back");
    }
    story.wait(Duration::from_mins(20));
    let late = story.turn();
    assert_eq!(
        (state(&late), reasons(&late)),
        (Some(RolloutState::Halted), vec![Reason::CountsNotRecovered])
    );
    story.clients(data(3), Some(100));
    story.until("it is done", is_done);
    story.clients(data(2), Some(0));
    assert_eq!(state(&story.turn()), Some(RolloutState::Done), "it was over before");
}

/// `onTimeout: Reopen`: clients that do not come back hold a rollout no longer than that.
#[test]
fn a_rollout_may_end_without_all_clients() {
    let mut story = Story::begin();
    story.target.verify.on_timeout = OnTimeout::Reopen;
    story.until("the last one stops", |s, d| stops(d) && s.is_changed());
    story.clients(data(3), Some(0));
    story.until("it waits", |_, d| reasons(d) == [Reason::WaitingForConnections]);
    story.wait(Duration::from_mins(20));
    story.until("it is done", is_done);
}

/// A server that never worked gives way to a newer template: when its time is over and nothing listens there. One that does
/// not answer in time may work.
#[test]
fn only_a_server_that_refuses_is_taken_for_broken() {
    for (why, old, repaired) in [
        (Unknown::Refused, Duration::from_mins(5), true),
        (Unknown::Refused, Duration::from_mins(4), false),
        (Unknown::TimedOut, Duration::from_mins(5), false),
    ] {
        let mut story = Story::begin();
        story.wait(Duration::from_mins(10));
        let started = story.now.after(PACE).before(old);
        let pod = story.pod(data(1));
        (pod.phase, pod.started) = (PodPhase::Starting, Some(started));
        let uid = pod.uid.clone();
        story.world.servers.insert(data(1), Fact::unknown(why, story.now));
        story.target.admission = Admission::Approval;
        story.turn();
        story.now = story.now.before(PACE);
        let decision = story.turn();
        match decision.command {
            Some(Command::StopPods { targets, how: Stop::Delete }) if repaired => {
                assert_eq!(targets.iter().map(|t| t.uid.clone()).collect::<Vec<_>>(), [Some(uid)]);
            }
            command => assert!(command.is_none() && !repaired, "{why:?} {old:?}: {command:?}"),
        }
    }
}

/// Nothing is different: nothing is done, and nothing is waited for.
#[test]
fn servers_that_work_on_their_template_are_left_alone() {
    let mut story = Story::at_rest();
    for _ in 0..5 {
        let decision = story.turn();
        assert_eq!((state(&decision), decision.command.is_none()), (Some(RolloutState::Done), true));
    }
}

/// A role's StatefulSet gets the new template when its turn has come, and none while the cluster ends.
#[test]
fn a_template_is_given_to_the_role_whose_turn_it_is() {
    use TemplateChoice::{Keep, Target};
    let mut story = Story::begin();
    let chosen = |d: &Decision| d.desired.roles.values().map(|r| r.template).collect::<Vec<_>>();
    assert_eq!(chosen(&story.turn()), [Keep, Keep], "nothing is stopped yet");
    assert_eq!(chosen(&story.until("a server stops", |_, d| stops(d))), [Target, Keep]);
    let console =
        story.until("a console stops", |_, d| stopped(d).first().is_some_and(|m| m.role == Role::Console));
    assert_eq!(chosen(&console), [Target, Target]);
    let mut story = Story::at_rest();
    assert_eq!(chosen(&story.turn()), [Target, Target]);
    let ending = story.decision(true);
    assert_eq!(chosen(&ending), [Keep, Keep]);
    let left: Vec<u32> = ending.desired.roles.values().map(|r| r.replicas).collect();
    assert_eq!(left, [4, 0], "those that others need end last");
}

/// Fewer servers: the last one is taken away, that shows by the number of the StatefulSet, and then it is done.
#[test]
fn a_role_shrinks_and_that_shows() {
    let mut story = Story::at_rest();
    story.target.roles[0].1.replicas = 3;
    let scaled = story.until("it shrinks", |_, d| matches!(d.command, Some(Command::Scale { .. })));
    assert_eq!(scaled.command, Some(Command::Scale { role: Role::Drmdata, replicas: 3 }));
    story.world.kubernetes.pods.remove(&data(3));
    story.world.servers.remove(&data(3));
    story.clients(data(0), Some(200));
    let began = story.now;
    story.until("it is done", is_done);
    assert!(story.now.since(began) < Duration::from_secs(20), "its effect is seen");
}

/// A cluster is ended when it is deleted and no pod of it is left, by a fresh list.
#[test]
fn a_cluster_ends_with_its_last_pod() {
    let mut story = Story::at_rest();
    assert!(!story.turn().finished);
    assert!(!story.decision(true).finished, "its pods are there");
    story.world.kubernetes.pods.clear();
    assert!(story.decision(true).finished && !story.decision(false).finished);
    story.world.kubernetes.at = story.now.before(Duration::from_mins(1));
    assert!(!story.decision(true).finished, "pods may be there by now");
}

/// What has not begun sleeps until the window opens; what was let in goes on.
#[test]
fn a_server_with_tasks_that_are_not_reported_is_not_stopped() {
    let mut story = Story::begin();
    story.target.by_tasks = true;
    let decision = story.turn();
    assert_eq!((stops(&decision), reasons(&decision)), (false, vec![Reason::WaitingForTasks]), "nobody told");
    for ordinal in 0..4 {
        story.world.tasks.insert(data(ordinal), Fact::known(2, story.now));
    }
    let mut tell = |tasks: u64| {
        let at = story.now.after(PACE);
        for ordinal in 0..4 {
            story.world.tasks.insert(data(ordinal), Fact::known(tasks, at));
        }
        story.turn()
    };
    let decision = tell(2);
    assert_eq!((stops(&decision), reasons(&decision)), (false, vec![Reason::WaitingForTasks]));
    tell(0);
    assert!(stops(&tell(0)), "it is stopped when all are reported");
}

#[test]
fn only_what_has_not_begun_waits_for_a_window() {
    let mut story = Story::begin();
    let opens = story.now.after(Duration::from_hours(20));
    story.target.admission = Admission::Window(Some(opens));
    let waits = story.turn();
    assert_eq!((waits.wake, reasons(&waits)), (Wake::At(opens), vec![Reason::WaitingForWindow]));
    story.target.admission = Admission::Open;
    story.until("a server stops", |_, d| stops(d));
    story.target.admission = Admission::Window(Some(opens));
    story.until("it is done", |s, d| {
        assert!(!matches!(d.wake, Wake::At(_)));
        is_done(s, d)
    });
}

/// A crash may leave open whether an act was done: one that shows is not done again.
#[test]
fn an_act_that_shows_is_not_done_again() {
    let mut story = Story::begin();
    let written =
        story.until("a stop is written down", |_, d| d.memory.run.as_ref().is_some_and(|r| r.act.is_some()));
    assert!(written.command.is_none());
    story.pod(data(3)).phase = PodPhase::Stopping;
    let seen = story.turn();
    assert_eq!((seen.command.as_ref(), state(&seen)), (None, Some(RolloutState::Verifying)));
    // More servers, and the StatefulSet has them already.
    let mut story = Story::at_rest();
    story.target.roles[0].1.replicas = 6;
    story.until("it is written down", |_, d| d.memory.run.as_ref().is_some_and(|r| r.act.is_some()));
    let before = story.memory.clone();
    assert_eq!(story.turn().command, Some(Command::Scale { role: Role::Drmdata, replicas: 6 }));
    story.memory = before;
    let seen = story.turn();
    assert_eq!((seen.command.as_ref(), state(&seen)), (None, Some(RolloutState::Verifying)));
}

/// Two groups of drmdata behind what they need: a registry that is being changed, a dependency, a database.
#[test]
fn groups_wait_for_what_they_need_before_each_stop() {
    let mut story = Story::begin();
    story.target.strategy = Strategy::TwoGroups;
    let mut stops = Vec::new();
    for reason in [Reason::WaitingForRegistry, Reason::WaitingForDependency, Reason::WaitingForDatabase] {
        let at = |story: &Story| story.now.after(PACE);
        for fact in [Fact::known(false, at(&story)), Fact::unknown(Unknown::TimedOut, at(&story))] {
            story.world.needs = vec![need(reason, fact)];
            let decision = story.turn();
            assert_eq!((reasons(&decision), stopped(&decision)), (vec![reason], vec![]));
            story.world.needs = vec![need(reason, Fact::known(false, at(&story)))];
        }
        story.world.needs.clear();
        stops.push(stopped(&story.until("a group stops", |_, d| !stopped(d).is_empty())));
        // All that was stopped is back, and so are its clients.
        story.until("it is seen", |_, d| {
            state(d) == Some(RolloutState::Gating) || state(d) == Some(RolloutState::Acting)
        });
    }
    let console = |n| Member::new(Role::Console, n);
    assert_eq!(stops, [vec![data(0), data(1)], vec![data(2), data(3)], vec![console(0)]]);
}
