//! What a `PowerJob` does while time passes, as measured (powerjob §1.4 to §1.7), at its worst where that varies: workers
//! report, ask who owns their app and follow, servers take apps over, forget workers, and fire what they have in their wheels.

use crate::state::{
    APPS, GONE, NEVER, NONE, Phase, Process, SERVERS, SETTLED, Servers, Setting, Spec, WORKERS, number,
};

/// A server fires for so many ticks what it took from the jobs of an app (30 s).
pub(crate) const WHEEL: u8 = 3;
/// How often in a row a worker may be told to stay where it is (`oms.accurate.select.server.percentage=50`).
const STAYS: u8 = 2;
/// From so many ticks on the next one is too late to stop a former owner.
const LAST: u8 = GONE - 1;

/// How a tick of a `PowerJob` goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passing {
    /// Workers that ask a server that is not the owner are told to stay once more.
    pub(crate) stay: bool,
    /// The operator is away.
    pub(crate) away: bool,
}

impl Servers {
    /// Whether any age still tells something.
    pub(crate) fn is_young(&self, setting: Setting) -> bool {
        let apps = &self.jobs.apps[..setting.apps()];
        let ages = self.jobs.processes.iter().flat_map(|p| p.heard);
        apps.iter().any(|app| app.moved < SETTLED) || ages.into_iter().any(|age| (1..GONE).contains(&age))
    }

    /// Whether a worker may be told to stay once more.
    pub(crate) fn may_stay(&self, setting: Setting) -> bool {
        setting.is_powerjob() && (0..WORKERS).any(|w| self.stays(setting, w))
    }

    fn stays(&self, setting: Setting, worker: usize) -> bool {
        let Some(app) = setting.apps().checked_sub(1).map(|_| &self.jobs.apps[setting.app_of(worker)]) else {
            return false;
        };
        let present = self.jobs.workers[worker];
        present.at != NONE && present.at != app.owner && self.answers(present.at) && present.stays < STAYS
    }

    fn answers(&self, server: u8) -> bool {
        server != NONE && self.pods[usize::from(server)].phase == Phase::Up
    }

    /// A server that does not own an app and still has instances of it in its wheel.
    pub(crate) fn is_former(&self, server: usize, app: usize) -> bool {
        self.jobs.processes[server].wheel[app] && usize::from(self.jobs.apps[app].owner) != server
    }

    /// The workers of an app have not reported to a server for at least so many ticks.
    pub(crate) fn has_heard_of_none(&self, setting: Setting, server: usize, app: usize, ticks: u8) -> bool {
        setting.workers(app).all(|w| self.jobs.processes[server].heard[w] >= ticks)
    }

    /// An app gets another owner. What one has in its wheel that has not heard of a worker either is lost at once.
    pub(crate) fn own(&mut self, setting: Setting, app: usize, server: u8) {
        let before = usize::from(self.jobs.apps[app].owner);
        let cold = before != usize::from(server)
            && setting.pods(0).contains(&before)
            && self.has_heard_of_none(setting, before, app, GONE);
        let state = &mut self.jobs.apps[app];
        state.excused |= cold;
        state.pending = state.owner != NONE;
        state.owner = server;
        state.moved = 0;
        for index in setting.pods(0) {
            let phase = self.pods[index].phase;
            self.jobs.processes[index].older[app] =
                matches!(phase, Phase::Starting | Phase::Up | Phase::Hung);
            self.jobs.processes[index].wheel[app] |= phase == Phase::Up && index == usize::from(server);
        }
    }

    /// Ten seconds pass. Whether a former owner loses an instance, that could have been stopped in time.
    pub(crate) fn tick(&mut self, setting: Setting, spec: Spec, passing: Passing) -> bool {
        for app in 0..setting.apps() {
            self.excuse(setting, spec, app, passing.away);
            let state = &mut self.jobs.apps[app];
            state.moved = (state.moved + 1).min(SETTLED);
        }
        for process in &mut self.jobs.processes {
            for age in process.heard.iter_mut().filter(|age| **age < GONE) {
                *age += 1;
            }
        }
        for server in setting.pods(0) {
            self.forget_workers(setting, server);
        }
        for worker in 0..WORKERS {
            self.report(setting, worker, passing.stay);
        }
        self.fire(setting)
    }

    /// Nobody could have stopped a former owner in the last moment: that is not the operator's fault.
    fn excuse(&mut self, setting: Setting, spec: Spec, app: usize, away: bool) {
        let former: Vec<usize> = setting.pods(0).filter(|s| self.is_former(*s, app)).collect();
        if former.is_empty() {
            self.jobs.apps[app].excused = false;
            return;
        }
        let late =
            |servers: &Self, ticks| former.iter().any(|s| servers.has_heard_of_none(setting, *s, app, ticks));
        let lacks = |s: &usize| {
            self.members(setting, 0)
                .any(|other| other != *s && !(self.works(setting, other) && self.is_pinged(other)))
        };
        let held = spec.paused || !self.database || former.iter().any(lacks);
        let hangs = former
            .iter()
            .any(|s| self.pods[*s].phase == Phase::Hung && self.has_heard_of_none(setting, *s, app, LAST));
        let excused = hangs || (held && late(self, LAST)) || (away && late(self, LAST - 1));
        self.jobs.apps[app].excused |= excused;
    }

    /// A server that owns any app drops the workers of those that it does not own, within 15 s. What it has in its wheel of
    /// such an app then fails at once: no operator is that quick.
    fn forget_workers(&mut self, setting: Setting, server: usize) {
        let owns = |servers: &Self, app: usize| usize::from(servers.jobs.apps[app].owner) == server;
        if !self.works(setting, server) || !(0..setting.apps()).any(|app| owns(self, app)) {
            return;
        }
        for app in 0..setting.apps() {
            if !owns(self, app) {
                for worker in setting.workers(app) {
                    self.jobs.processes[server].heard[worker] = NEVER;
                }
                self.jobs.apps[app].excused |= self.is_former(server, app);
            }
        }
    }

    /// A worker asks and reports. Where nobody answers, it gives up on that server and asks another one 10 s later; one that is
    /// gone it leaves at once.
    fn report(&mut self, setting: Setting, worker: usize, stay: bool) {
        if setting.apps() == 0 {
            return;
        }
        let app = setting.app_of(worker);
        let present = self.jobs.workers[worker];
        let hangs = present.at != NONE && self.pods[usize::from(present.at)].phase == Phase::Hung;
        if hangs {
            self.jobs.workers[worker].at = NONE;
            return;
        }
        if stay && self.stays(setting, worker) {
            self.jobs.workers[worker].stays += 1;
            self.jobs.processes[usize::from(present.at)].heard[worker] = 0;
            return;
        }
        let asked = if self.answers(present.at) {
            Some(usize::from(present.at))
        } else {
            setting.pods(0).find(|s| self.pods[*s].phase == Phase::Up)
        };
        let Some(asked) = asked else {
            self.jobs.workers[worker].at = NONE;
            return;
        };
        let owner = self.jobs.apps[app].owner;
        let elsewhere = owner != NONE && usize::from(owner) != asked;
        if self.database && (owner == NONE || (elsewhere && !self.is_pinged(usize::from(owner)))) {
            self.own(setting, app, number(asked));
        }
        let at = if self.database { self.jobs.apps[app].owner } else { number(asked) };
        self.jobs.workers[worker].at = at;
        self.jobs.workers[worker].stays = 0;
        if self.answers(at) {
            self.jobs.processes[usize::from(at)].heard[worker] = 0;
        }
    }

    /// Owners fill their wheels; former ones empty theirs, unless what is in it is delayed for longer.
    fn fire(&mut self, setting: Setting) -> bool {
        let mut broken = false;
        for app in 0..setting.apps() {
            for server in setting.pods(0) {
                if usize::from(self.jobs.apps[app].owner) == server {
                    self.jobs.processes[server].wheel[app] |= self.works(setting, server);
                    continue;
                }
                let fires = self.is_former(server, app) && self.pods[server].phase == Phase::Up;
                if fires && self.has_heard_of_none(setting, server, app, GONE) {
                    self.jobs.lost = true;
                    broken |= !self.jobs.apps[app].excused;
                }
                if fires && !setting.delayed() && self.jobs.apps[app].moved >= WHEEL {
                    self.jobs.processes[server].wheel[app] = false;
                }
            }
            if !setting.delayed() && self.jobs.apps[app].moved >= WHEEL {
                self.jobs.apps[app].pending &= setting.pods(0).any(|s| self.is_former(s, app));
            }
        }
        broken
    }

    /// What was delayed is due by now, and whoever had it in its wheel is gone or has fired it.
    pub(crate) fn fire_all(&mut self, setting: Setting) {
        for app in 0..setting.apps() {
            if !setting.pods(0).any(|s| self.is_former(s, app)) {
                self.jobs.apps[app].pending = false;
            }
        }
    }
}

/// Apps that run for long: each is the server's of its number, and its workers report there.
pub(crate) fn settled(setting: Setting) -> crate::state::Jobs {
    use crate::state::{App, Jobs, Worker};
    let owner = |app: usize| if app < setting.apps() { number(app) } else { NONE };
    let mut jobs = Jobs {
        apps: [0, 1].map(|app| App { owner: owner(app), moved: SETTLED, pending: false, excused: false }),
        workers: [Worker { at: NONE, stays: 0 }; WORKERS],
        processes: [Process::BLANK; SERVERS],
        lost: false,
    };
    for app in 0..setting.apps().min(APPS) {
        jobs.processes[app].wheel[app] = true;
        for worker in setting.workers(app) {
            jobs.workers[worker].at = number(app);
            jobs.processes[app].heard[worker] = 0;
        }
    }
    jobs
}
