//! What must never happen to servers, judged by what is really so: the rules of `docs/rollout.md` and `docs/services.md`.

use sofa_operator::api::v1alpha1::{ActKind, RolloutState, Strategy};
use sofa_operator::observe::Member;
use sofa_operator::plan::{Command, Decision, ServiceInput, Target, Wake};
use sofa_operator::types::Moment;

use crate::jobs::WHEEL;
use crate::state::{FRESH, GONE, NOW, Phase, Setting, State, TICK, number, uid};

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Never more servers down by our hand than the strategy allows: one of a `PowerJob`, half of two groups.
    Share,
    /// No server that serves is stopped while another one of its role does not work.
    OthersWork,
    /// One server of a role that has several always serves.
    OneServes,
    /// Nothing is started, restarted or taken away while what it needs does not work.
    NeedsHold,
    /// The console after the servers that it needs.
    RoleOrder,
    /// A pod is stopped once for its template, whatever crashes.
    OncePerTemplate,
    /// No `PowerJob` server is stopped that works and owns an app with workers.
    KeepsOwners,
    /// No former owner is stopped before it has fired what it has in its wheel for 30 s.
    FiresWheel,
    /// Apps move only to a server that works and answers the others.
    MovesToLiving,
    /// The next owner is told of the workers before it fires.
    TellsFirst,
    /// A former owner whose workers have left it is stopped before it fires without them.
    NothingLost,
    /// The clients of a server that was stopped are back before the next one is.
    ClientsBack,
    /// No server that works is stopped while its tasks are not reported.
    TasksReported,
    /// Nothing is done while paused.
    ObeysPause,
    /// Whatever is done was written down before, this very act.
    WrittenDown,
    /// Nothing is done on facts that are older than the last act.
    FreshFacts,
    /// Every decision that is not Done has an act or a reason.
    Reason,
    /// What is done stays done.
    DoneGrows,
    /// Owners of apps are looked at every ten seconds.
    Looks,
    /// A fair environment leads to rest.
    Liveness,
}

/// The first rule that a decision breaks, if its command is done now, among those that are looked at.
pub(crate) fn judge(
    setting: Setting,
    state: &State,
    input: &ServiceInput<'_>,
    decision: &Decision,
    seen_at: Moment,
) -> Vec<Rule> {
    let mut judge = Judge { setting, state, input, decision, found: Vec::new() };
    judge.memory();
    if seen_at == NOW {
        judge.desired();
    }
    if let Some(command) = &decision.command {
        judge.any_command(seen_at);
        match command {
            Command::StopPods { targets, .. } => judge.stop(targets),
            Command::Scale { replicas, .. } => judge.scale(*replicas),
            Command::PreRegister { to, .. } => judge.living(*to),
            Command::MoveApps { from, to, apps } => {
                judge.living(*to);
                for app in apps {
                    judge.told(*from, *to, usize::try_from(*app).expect("few apps") - 1);
                }
            }
            _ => {}
        }
    }
    judge.found
}

struct Judge<'a> {
    setting: Setting,
    state: &'a State,
    input: &'a ServiceInput<'a>,
    decision: &'a Decision,
    found: Vec<Rule>,
}

impl Judge<'_> {
    fn require(&mut self, right: bool, rule: Rule) {
        if !right {
            self.found.push(rule);
        }
    }

    fn works(&self, index: usize) -> bool {
        self.state.servers.works(self.setting, index)
    }

    fn memory(&mut self) {
        let (before, after) = (self.input.memory.run.as_ref(), self.decision.memory.run.as_ref());
        if let (Some(old), Some(new)) = (before, after)
            && old.plan == new.plan
            && old.generation == new.generation
        {
            let kept = |(role, done): (_, &std::collections::BTreeSet<_>)| {
                done.is_empty() || new.done.get(role).is_some_and(|now| done.is_subset(now))
            };
            self.require(old.done.iter().all(kept), Rule::DoneGrows);
        }
        let report = &self.decision.report;
        let rests = after.is_none_or(|run| run.state == RolloutState::Done);
        let says = !report.waits.is_empty() || report.halt.is_some();
        self.require(rests || says, Rule::Reason);
        let soon = match self.decision.wake {
            Wake::Now | Wake::Hurried | Wake::Soon => true,
            Wake::At(at) => at <= NOW.after(TICK),
            Wake::Slowly => false,
        };
        self.require(soon || !self.setting.is_powerjob(), Rule::Looks);
    }

    /// A role gets its first servers when those before it work and what they need does; nothing is scaled besides the act.
    fn desired(&mut self) {
        for (role, wanted) in &self.decision.desired.roles {
            let role_at = self.setting.role(*role);
            let set = self.state.servers.sets[role_at];
            if set.template > 0 {
                let scaled =
                    matches!(&self.decision.command, Some(Command::Scale { role: r, .. }) if r == role);
                self.require(scaled || wanted.replicas == u32::from(set.replicas), Rule::WrittenDown);
                continue;
            }
            self.require(self.state.servers.need && self.state.servers.database, Rule::NeedsHold);
            self.earlier_roles_work(role_at);
        }
    }

    fn earlier_roles_work(&mut self, role: usize) {
        for earlier in 0..role {
            let members = self.state.servers.members(self.setting, earlier);
            let right = !members.is_empty() && members.clone().all(|i| self.works(i));
            self.require(right, Rule::RoleOrder);
        }
    }

    fn any_command(&mut self, seen_at: Moment) {
        let flight = self.input.memory.run.as_ref().and_then(|run| run.act.as_ref());
        let acted = self.decision.memory.run.as_ref().and_then(|run| run.act.as_ref());
        let written = flight.is_some_and(|f| f.done_at.is_none() && acted.is_some_and(|a| a.act == f.act));
        self.require(written, Rule::WrittenDown);
        let last = self.state.memory.run.as_ref().and_then(|run| run.last_act_at).unwrap_or_default();
        self.require(seen_at >= last, Rule::FreshFacts);
        self.require(!self.state.spec.paused, Rule::ObeysPause);
    }

    fn kind(&self) -> Option<ActKind> {
        self.decision.memory.run.as_ref().and_then(|run| run.act.as_ref()).map(|flight| flight.act.kind)
    }

    fn stop(&mut self, targets: &[Target]) {
        let hit = self.state.hit(self.setting, targets);
        if self.kind() == Some(ActKind::RepairPod) {
            self.repair(&hit);
            return;
        }
        self.take_away(&hit);
        let drifted = |i: &usize| self.state.servers.pods[*i].template != self.state.spec.template;
        self.require(hit.iter().all(drifted), Rule::OncePerTemplate);
    }

    /// One that never worked may be made again whatever the others do. One that works is stopped for the sake of what it has in
    /// its wheel: another one works, and of what it needs nothing is asked, because it has to be stopped within a minute.
    fn repair(&mut self, hit: &[usize]) {
        let serving: Vec<usize> = hit.iter().copied().filter(|i| self.works(*i)).collect();
        if serving.is_empty() {
            return;
        }
        self.require(hit.len() == 1, Rule::Share);
        self.one_serves(hit);
        for server in serving {
            self.keeps_owners(server);
        }
    }

    fn one_serves(&mut self, hit: &[usize]) {
        let Some(first) = hit.first() else { return };
        let members = self.state.servers.members(self.setting, self.setting.place(*first).0);
        let others = members.clone().filter(|i| !hit.contains(i)).any(|i| self.works(i));
        let serves = hit.iter().any(|i| self.works(*i));
        self.require(members.len() < 2 || others || !serves, Rule::OneServes);
    }

    /// What holds for servers that are stopped or taken away for the sake of the spec.
    fn take_away(&mut self, hit: &[usize]) {
        let Some(first) = hit.first() else { return };
        let (role, _) = self.setting.place(*first);
        let servers = &self.state.servers;
        let members = servers.members(self.setting, role);
        let share = match self.setting.strategy {
            Strategy::TwoGroups if !self.setting.is_powerjob() => members.len().div_ceil(2),
            _ => 1,
        };
        let down = members.clone().filter(|i| hit.contains(i) || servers.pods[*i].ours).count();
        let others = members.filter(|i| !hit.contains(i)).all(|i| self.works(i));
        self.require(down <= share, Rule::Share);
        self.require(others, Rule::OthersWork);
        self.one_serves(hit);
        self.require(servers.need && servers.database, Rule::NeedsHold);
        self.earlier_roles_work(role);
        let earlier = |i: usize| servers.pods[i].template == self.state.spec.template;
        let order = (0..role).all(|r| servers.members(self.setting, r).all(earlier));
        self.require(order, Rule::RoleOrder);
        if role == 0 && !self.setting.is_powerjob() {
            let counted = servers.members(self.setting, 0).all(|i| usize::from(servers.uncounted) != i);
            let back = self.state.before.is_none_or(|before| servers.connected() >= before);
            self.require(counted && back, Rule::ClientsBack);
            let has_tasks = |i: usize| [servers.busy, servers.silent].contains(&number(i));
            let reported = !hit.iter().any(|i| self.works(*i) && has_tasks(*i));
            self.require(reported, Rule::TasksReported);
        }
        for server in hit {
            self.keeps_owners(*server);
            let fires = (0..self.setting.apps())
                .any(|app| servers.is_former(*server, app) && servers.jobs.apps[app].moved < WHEEL);
            self.require(!(fires && self.works(*server)), Rule::FiresWheel);
        }
    }

    fn keeps_owners(&mut self, server: usize) {
        let servers = &self.state.servers;
        let owns = (0..self.setting.apps()).any(|app| {
            let alive = |s: usize| !servers.has_heard_of_none(self.setting, s, app, GONE);
            usize::from(servers.jobs.apps[app].owner) == server && self.setting.pods(0).any(alive)
        });
        self.require(!(owns && self.works(server)), Rule::KeepsOwners);
    }

    fn scale(&mut self, replicas: u32) {
        let members = self.state.servers.members(self.setting, 0);
        let hit: Vec<usize> = members.skip(replicas as usize).collect();
        self.take_away(&hit);
        self.require(self.state.servers.need && self.state.servers.database, Rule::NeedsHold);
    }

    fn living(&mut self, to: Member) {
        let to = self.setting.index(to);
        self.require(self.works(to) && self.state.servers.is_pinged(to), Rule::MovesToLiving);
    }

    /// One that does not answer cannot say who its workers are. Workers of which it has not heard for 30 s it does not tell
    /// either: that takes two faults at once, an owner that hung and whose pings are lost right after.
    fn told(&mut self, from: Member, to: Member, app: usize) {
        let servers = &self.state.servers;
        let (from, to) = (self.setting.index(from), self.setting.index(to));
        let heard = |server: usize, worker: usize| servers.jobs.processes[server].heard[worker];
        let known = self.setting.workers(app).all(|w| heard(from, w) >= FRESH || heard(to, w) < GONE);
        self.require(known || servers.pods[from].phase != Phase::Up, Rule::TellsFirst);
    }
}

impl State {
    /// The pods that are stopped: each by its uid.
    pub(crate) fn hit(&self, setting: Setting, targets: &[Target]) -> Vec<usize> {
        let here = |target: &&Target| {
            let index = setting.index(target.member);
            let pod = self.servers.pods[index];
            !matches!(pod.phase, Phase::Gone | Phase::Stopping) && target.uid == Some(uid(index, pod.made))
        };
        targets.iter().filter(here).map(|target| setting.index(target.member)).collect()
    }
}
