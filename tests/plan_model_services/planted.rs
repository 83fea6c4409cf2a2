//! Faults that are planted in front of the planner, which then sees a wrong world, or behind it, where its decision is changed:
//! at least one for each rule. The planner itself knows nothing of them.

use std::collections::BTreeMap;

use sofa_operator::api::v1alpha1::{ActKind, Role, RolloutState};
use sofa_operator::observe::{Apps, Fact, Member, PodPhase, ServerView, ServiceWorld};
use sofa_operator::plan::{
    Command, Decision, InFlight, PowerJobRule, ServiceInput, ServiceTarget, Stop, Target, Wake, plan_service,
};
use sofa_operator::types::Moment;

use crate::judge::Rule;
use crate::state::{NOW, TICK};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Planted {
    /// All servers of a role are stopped at once.
    WholeRoleAtOnce,
    /// The same, found by what is left.
    NobodyServes,
    /// Whatever a server tells counts as working.
    TakesAllForWorking,
    /// What the servers need is not asked for.
    IgnoresNeeds,
    /// The same, at the first start.
    BeginsWithoutNeeds,
    /// The console first.
    RolesBackwards,
    /// What a pod was made from is forgotten.
    RestartsAgain,
    /// A server is stopped with the apps that it owns.
    SkipsDrain,
    /// The server is stopped right after the move.
    ForgetsWheel,
    /// Apps move to a server that does not answer the others.
    MovesToDeaf,
    /// The next owner is told of nobody.
    TellsNobody,
    /// A server that lost an app while it lives is left alone.
    LeavesUsurped,
    /// The stop after a drain waits for a minute after the move.
    StopsLate,
    /// The next server is stopped before the clients of the one before are back.
    IgnoresClients,
    /// The same, where servers are taken away: what clients had is not counted before.
    ScalesAtOnce,
    /// Nobody asks whether tasks are reported.
    IgnoresTasks,
    /// `spec.paused` is not read.
    IgnoresPause,
    /// What was written down is done, whatever the spec says now.
    ActsAfterPause,
    /// An act is done in the turn in which it is written down.
    ActsUnwritten,
    /// Facts from before the last act count.
    TrustsOldFacts,
    /// A wait without a reason.
    WaitsSilently,
    /// What is done is forgotten.
    ForgetsDone,
    /// Owners are not looked at at rest.
    SleepsLong,
    /// The first server is never stopped.
    WaitsForever,
    /// Instances that were lost are not run again.
    LeavesLost,
}

impl Planted {
    /// All of them.
    pub(crate) const ALL: [Self; 25] = [
        Self::WholeRoleAtOnce,
        Self::NobodyServes,
        Self::TakesAllForWorking,
        Self::IgnoresNeeds,
        Self::BeginsWithoutNeeds,
        Self::RolesBackwards,
        Self::RestartsAgain,
        Self::SkipsDrain,
        Self::ForgetsWheel,
        Self::MovesToDeaf,
        Self::TellsNobody,
        Self::LeavesUsurped,
        Self::StopsLate,
        Self::IgnoresClients,
        Self::ScalesAtOnce,
        Self::IgnoresTasks,
        Self::IgnoresPause,
        Self::ActsAfterPause,
        Self::ActsUnwritten,
        Self::TrustsOldFacts,
        Self::WaitsSilently,
        Self::ForgetsDone,
        Self::SleepsLong,
        Self::WaitsForever,
        Self::LeavesLost,
    ];

    /// The rule that it is planted to break.
    pub(crate) const fn breaks(self) -> &'static [Rule] {
        match self {
            Self::WholeRoleAtOnce => &[Rule::Share],
            Self::NobodyServes => &[Rule::OneServes],
            Self::TakesAllForWorking => &[Rule::OthersWork],
            Self::IgnoresNeeds | Self::BeginsWithoutNeeds => &[Rule::NeedsHold],
            Self::RolesBackwards => &[Rule::RoleOrder],
            Self::RestartsAgain => &[Rule::OncePerTemplate],
            Self::SkipsDrain => &[Rule::KeepsOwners],
            Self::ForgetsWheel => &[Rule::FiresWheel],
            Self::MovesToDeaf => &[Rule::MovesToLiving],
            Self::TellsNobody => &[Rule::TellsFirst],
            Self::LeavesUsurped | Self::StopsLate => &[Rule::NothingLost],
            Self::IgnoresClients | Self::ScalesAtOnce => &[Rule::ClientsBack],
            Self::IgnoresTasks => &[Rule::TasksReported],
            Self::IgnoresPause | Self::ActsAfterPause => &[Rule::ObeysPause],
            Self::ActsUnwritten => &[Rule::WrittenDown],
            Self::TrustsOldFacts => &[Rule::FreshFacts],
            Self::WaitsSilently => &[Rule::Reason],
            Self::ForgetsDone => &[Rule::DoneGrows],
            Self::SleepsLong => &[Rule::Looks],
            Self::WaitsForever | Self::LeavesLost => &[Rule::Liveness],
        }
    }
}

/// What the planner decides, with a fault planted before or behind it.
pub(crate) fn decide(planted: Option<Planted>, input: &ServiceInput<'_>) -> Decision {
    let Some(planted) = planted else { return plan_service(input) };
    let mut world = input.world.clone();
    let mut target = input.target.clone();
    distort(planted, &mut world, &mut target);
    let seen = ServiceInput { world: &world, target: &target, ..*input };
    let decision = plan_service(&seen);
    change(planted, &seen, decision)
}

/// What is wrong in front of the planner.
fn distort(planted: Planted, world: &mut ServiceWorld, target: &mut ServiceTarget) {
    match planted {
        Planted::TakesAllForWorking => take_for_working(world),
        Planted::IgnoresNeeds | Planted::BeginsWithoutNeeds => world.needs.clear(),
        Planted::RolesBackwards => {
            target.roles.reverse();
            target.by_connections = false;
        }
        Planted::RestartsAgain => {
            for pod in world.kubernetes.pods.values_mut() {
                "t1".clone_into(&mut pod.revision);
            }
        }
        Planted::SkipsDrain => target.powerjob = Some(PowerJobRule { drain: false, retry_lost: false }),
        Planted::ForgetsWheel => {
            with_apps(world, |apps| apps.apps.values_mut().for_each(|a| a.moved_at = None));
        }
        Planted::MovesToDeaf => {
            let all: Vec<Member> = world.servers.keys().copied().collect();
            with_apps(world, |apps| apps.pinged.extend(all));
        }
        Planted::TellsNobody => {
            let all: Vec<Member> = world.servers.keys().copied().collect();
            with_apps(world, |apps| {
                for app in apps.apps.values_mut() {
                    let known: BTreeMap<Member, u32> = all.iter().map(|m| (*m, app.alive)).collect();
                    app.fresh = known;
                }
            });
        }
        Planted::LeavesUsurped => with_apps(world, |apps| apps.usurped.clear()),
        Planted::StopsLate => with_apps(world, |apps| {
            apps.usurped.clear();
            for app in apps.apps.values_mut() {
                // An age of 30 to 60 s looks like one of 20 s.
                let young = app.moved_at.is_some_and(|at| at > NOW.before(TICK * 7));
                app.moved_at = if young { Some(NOW.before(TICK * 2)) } else { app.moved_at };
            }
        }),
        Planted::IgnoresClients => target.by_connections = false,
        Planted::IgnoresTasks => target.by_tasks = false,
        Planted::IgnoresPause => target.paused = false,
        Planted::TrustsOldFacts => renew(world),
        Planted::LeavesLost => target.powerjob = Some(PowerJobRule { drain: true, retry_lost: false }),
        _ => {}
    }
}

fn with_apps(world: &mut ServiceWorld, change: impl FnOnce(&mut Apps)) {
    if let Some(Fact::Known { value, .. }) = &mut world.apps {
        change(value);
    }
}

fn take_for_working(world: &mut ServiceWorld) {
    let at = world.kubernetes.at;
    for fact in world.servers.values_mut() {
        let connections = fact.value().and_then(|view| view.connections).or(Some(50));
        *fact = Fact::known(ServerView { failing: None, connections }, at);
    }
    for pod in world.kubernetes.pods.values_mut() {
        pod.phase = PodPhase::Ready;
        pod.trouble = None;
    }
}

/// Whatever is seen was seen just now.
fn renew(world: &mut ServiceWorld) {
    fn now<T>(fact: &mut Fact<T>) {
        match fact {
            Fact::Known { at, .. } | Fact::Unknown { at, .. } => *at = NOW,
        }
    }
    world.kubernetes.at = NOW;
    world.servers.values_mut().for_each(now);
    world.tasks.values_mut().for_each(now);
    world.needs.iter_mut().for_each(|need| now(&mut need.works));
    world.apps.iter_mut().for_each(now);
}

/// What is wrong behind it.
fn change(planted: Planted, input: &ServiceInput<'_>, mut decision: Decision) -> Decision {
    match planted {
        Planted::WholeRoleAtOnce | Planted::NobodyServes => {
            if let Some(Command::StopPods { targets, .. }) = &mut decision.command
                && let Some(role) = targets.first().map(|t| t.member.role)
            {
                *targets = pods_of(input.world, role);
            }
        }
        Planted::ActsAfterPause => {
            let flight = input.memory.run.as_ref().and_then(|run| run.act.clone());
            if let Some(flight) = flight.filter(|f| f.done_at.is_none() && f.act.stops_pods()) {
                let targets = flight.act.targets.clone();
                decision.command = Some(Command::StopPods { targets, how: Stop::Evict });
                decision.memory = done(input, NOW);
            }
        }
        Planted::ActsUnwritten => {
            let acting = decision.memory.run.as_ref().is_some_and(|run| run.state == RolloutState::Acting);
            if acting && decision.command.is_none() {
                return plan_service(&ServiceInput { memory: &decision.memory, ..*input });
            }
        }
        Planted::WaitsSilently => decision.report.waits.clear(),
        Planted::ForgetsDone => {
            if let Some(run) = decision.memory.run.as_mut().filter(|_| decision.command.is_some()) {
                run.done.clear();
            }
        }
        Planted::ScalesAtOnce => {
            let run = decision.memory.run.as_mut();
            let scales = |act: &InFlight| act.act.kind == ActKind::ScaleDown;
            if let Some(run) = run.filter(|run| run.act.as_ref().is_some_and(scales)) {
                run.baseline = None;
            }
        }
        Planted::SleepsLong => decision.wake = Wake::Slowly,
        Planted::WaitsForever => {
            let first = |targets: &Vec<Target>| targets.iter().any(|t| t.member.ordinal == 0);
            if matches!(&decision.command, Some(Command::StopPods { targets, .. }) if first(targets)) {
                decision.command = None;
                decision.memory = input.memory.clone();
            }
        }
        _ => {}
    }
    decision
}

fn pods_of(world: &ServiceWorld, role: Role) -> Vec<Target> {
    let target =
        |(member, pod): (Member, &sofa_operator::observe::Pod)| Target { member, uid: Some(pod.uid.clone()) };
    world.kubernetes.pods_of(role).map(target).collect()
}

/// The memory with its act done.
fn done(input: &ServiceInput<'_>, at: Moment) -> sofa_operator::plan::Memory {
    let mut memory = input.memory.clone();
    if let Some(run) = &mut memory.run {
        if let Some(flight) = &mut run.act {
            flight.done_at = Some(at);
        }
        run.last_act_at = Some(at);
        run.state = RolloutState::Verifying;
    }
    memory
}
