//! The model's state: the pods of one cluster of servers, what is behind them, a spec, and what the planner remembers.
//!
//! The clock stands still at [`NOW`]; when time passes, everything that was written down becomes older instead. So the same
//! situation is the same state whenever it comes about, and the state space is finite.

use std::time::Duration;

use sofa_operator::api::v1alpha1::{Role, Strategy};
use sofa_operator::observe::Member;
use sofa_operator::plan::Memory;
use sofa_operator::types::{Moment, PodUid};

use crate::judge::Rule;

/// The clock of the model.
pub(crate) const NOW: Moment = Moment::from_millis(1_000_000_000);
/// Nothing becomes older than this: longer than every patience of the planner.
pub(crate) const OLDEST: Duration = Duration::from_mins(40);
/// Time goes in steps of this, as long as something is young enough to tell 30 s from 60 s.
pub(crate) const TICK: Duration = Duration::from_secs(10);
/// And in steps of this, when nothing is.
pub(crate) const LONG: Duration = Duration::from_mins(5);
/// A template whose pods never come up.
pub(crate) const BROKEN: u8 = 3;
/// Nobody.
pub(crate) const NONE: u8 = u8::MAX;

/// Pods, roles, servers of the first role, apps and workers at most.
pub(crate) const PODS: usize = 5;
pub(crate) const ROLES: usize = 2;
pub(crate) const SERVERS: usize = 4;
pub(crate) const APPS: usize = 2;
pub(crate) const WORKERS: usize = 2;

/// Ages in ticks: an app's owner changed so long ago that nothing asks any more; a worker was heard of so lately that it is
/// counted on (less than 30 s), or so long ago that it counts as gone (60 s); there is no record of it.
pub(crate) const SETTLED: u8 = 11;
pub(crate) const FRESH: u8 = 3;
pub(crate) const GONE: u8 = 6;
pub(crate) const NEVER: u8 = 7;

/// Which cluster is modelled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) kind: Kind,
    pub(crate) strategy: Strategy,
    /// How many servers of the first role there may be at most.
    pub(crate) most: u8,
}

/// What runs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// drmdata and one console.
    Drm,
    /// `AntScheduler` and one console: servers tell how many of their tasks are not reported.
    AntScheduler,
    /// `PowerJob` with so many apps: one has two workers, two have one each. `delayed`: servers have instances in their wheel
    /// that are due after more than the 30 s of a cron job.
    PowerJob { apps: u8, delayed: bool },
}

/// A pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pod {
    /// How often it was made: its uid.
    pub(crate) made: u8,
    /// The template that it was made from.
    pub(crate) template: u8,
    pub(crate) phase: Phase,
    /// It has been coming up for longer than a server may take.
    pub(crate) old: bool,
    /// The operator stopped it, and it does not work again yet.
    pub(crate) ours: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// There is none; the StatefulSet makes one next, if it should.
    Gone,
    /// It was told to stop.
    Stopping,
    /// It comes up next, unless its template is broken or what it needs does not work.
    Starting,
    /// It works.
    Up,
    /// It is stopped in the middle of everything.
    Hung,
    /// It answers, and says that it does not work.
    Failing,
}

/// A StatefulSet; a template of 0: there is none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Set {
    pub(crate) template: u8,
    pub(crate) replicas: u8,
}

/// All that is observed: kept from before the last act for a read from an old cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Servers {
    pub(crate) pods: [Pod; PODS],
    pub(crate) sets: [Set; ROLES],
    /// A dependency works.
    pub(crate) need: bool,
    /// The database answers.
    pub(crate) database: bool,
    /// A server that does not answer `friend/ping`.
    pub(crate) deaf: u8,
    /// A server whose connections are not counted.
    pub(crate) uncounted: u8,
    /// A server that has triggered tasks which are not reported, and one that does not tell of its tasks.
    pub(crate) busy: u8,
    pub(crate) silent: u8,
    /// Clients of each server, in units of which each is more than a tenth of all; those that have none, and whether they
    /// cannot come back.
    pub(crate) clients: [u8; SERVERS],
    pub(crate) away: u8,
    pub(crate) barred: bool,
    pub(crate) jobs: Jobs,
}

/// `PowerJob`'s apps, their workers, and what each process has in its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Jobs {
    pub(crate) apps: [App; APPS],
    pub(crate) workers: [Worker; WORKERS],
    pub(crate) processes: [Process; SERVERS],
    /// Instances failed for want of a worker.
    pub(crate) lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct App {
    pub(crate) owner: u8,
    /// Ticks since the owner changed.
    pub(crate) moved: u8,
    /// Instances that are older than that wait for their time.
    pub(crate) pending: bool,
    /// Something kept the operator from stopping a former owner in time: what that one loses is not the operator's fault.
    pub(crate) excused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    /// The server that it reports to.
    pub(crate) at: u8,
    /// How often it was told to stay there, although its app is another one's.
    pub(crate) stays: u8,
}

/// What a server's process remembers; it ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    /// Ticks since it heard of each worker.
    pub(crate) heard: [u8; WORKERS],
    /// It has instances of each app in its wheel.
    pub(crate) wheel: [bool; APPS],
    /// It began before the app got its present owner.
    pub(crate) older: [bool; APPS],
}

impl Process {
    pub(crate) const BLANK: Self =
        Self { heard: [NEVER; WORKERS], wheel: [false; APPS], older: [false; APPS] };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Spec {
    pub(crate) generation: u8,
    pub(crate) template: u8,
    /// How many servers of the first role.
    pub(crate) servers: u8,
    pub(crate) paused: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) servers: Servers,
    pub(crate) spec: Spec,
    pub(crate) memory: Memory,
    /// What an old cache shows: from before the last act.
    pub(crate) cache: Option<Box<Servers>>,
    /// Units of clients when it was written down that the first server of this rollout is stopped.
    pub(crate) before: Option<u8>,
    /// How many faults may still happen.
    pub(crate) faults: u8,
    /// The planner has nothing to do until something changes or time passes.
    pub(crate) idle: bool,
    /// What was broken.
    pub(crate) broken: Option<Rule>,
}

impl Setting {
    pub(crate) fn is_powerjob(self) -> bool {
        matches!(self.kind, Kind::PowerJob { .. })
    }

    pub(crate) fn has_tasks(self) -> bool {
        self.kind == Kind::AntScheduler
    }

    pub(crate) fn apps(self) -> usize {
        match self.kind {
            Kind::Drm | Kind::AntScheduler => 0,
            Kind::PowerJob { apps, .. } => usize::from(apps),
        }
    }

    pub(crate) fn delayed(self) -> bool {
        matches!(self.kind, Kind::PowerJob { delayed: true, .. })
    }

    /// The workers of an app.
    pub(crate) fn workers(self, app: usize) -> std::ops::Range<usize> {
        if self.apps() == 1 { 0..WORKERS } else { app..app + 1 }
    }

    /// The app of a worker.
    pub(crate) fn app_of(self, worker: usize) -> usize {
        if self.apps() == 1 { 0 } else { worker }
    }

    pub(crate) fn roles(self) -> &'static [Role] {
        match self.kind {
            Kind::Drm => &[Role::Drmdata, Role::Console],
            Kind::AntScheduler => &[Role::Server, Role::Console],
            Kind::PowerJob { .. } => &[Role::Server],
        }
    }

    /// Where the pods of a role stand.
    pub(crate) fn pods(self, role: usize) -> std::ops::Range<usize> {
        let most = usize::from(self.most);
        if role == 0 { 0..most } else { most..most + 1 }
    }

    /// Role and ordinal of a pod.
    pub(crate) fn place(self, index: usize) -> (usize, u8) {
        let role = usize::from(index >= usize::from(self.most));
        (role, number(index - self.pods(role).start))
    }

    pub(crate) fn member(self, index: usize) -> Member {
        let (role, ordinal) = self.place(index);
        Member::new(self.roles()[role], u32::from(ordinal))
    }

    pub(crate) fn index(self, member: Member) -> usize {
        self.pods(self.role(member.role)).start + member.ordinal as usize
    }

    pub(crate) fn role(self, role: Role) -> usize {
        self.roles().iter().position(|r| *r == role).expect("a role of this cluster")
    }

    /// Whether what goes wrong with this server is tried: of the two in a group one stands for both.
    pub(crate) fn stands_for_all(self, index: usize) -> bool {
        self.most < 4 || ![1, 2].contains(&index)
    }

    /// All pods that there may be.
    pub(crate) fn all(self) -> std::ops::Range<usize> {
        0..self.pods(self.roles().len() - 1).end
    }
}

impl Servers {
    /// Whether a server really works.
    pub(crate) fn works(&self, setting: Setting, index: usize) -> bool {
        self.pods[index].phase == Phase::Up && (self.database || !setting.is_powerjob())
    }

    /// Whether a server answers the others.
    pub(crate) fn is_pinged(&self, index: usize) -> bool {
        self.pods[index].phase == Phase::Up && usize::from(self.deaf) != index
    }

    /// The members that a role should have now.
    pub(crate) fn members(&self, setting: Setting, role: usize) -> std::ops::Range<usize> {
        let start = setting.pods(role).start;
        start..start + usize::from(self.sets[role].replicas)
    }

    pub(crate) fn connected(&self) -> u8 {
        self.clients.iter().sum()
    }

    /// A server's process ends: what it had in memory is gone, and its clients have none.
    pub(crate) fn end(&mut self, index: usize) {
        if usize::from(self.busy) == index {
            self.busy = NONE;
        }
        if index < SERVERS {
            self.jobs.processes[index] = Process::BLANK;
            self.away += std::mem::take(&mut self.clients[index]);
        }
    }
}

pub(crate) fn number(index: usize) -> u8 {
    u8::try_from(index).expect("few")
}

/// The uid of a pod.
pub(crate) fn uid(index: usize, made: u8) -> PodUid {
    format!("00000000-0000-4000-8000-0000000{index:02x}{made:03x}").parse().expect("a uid")
}
