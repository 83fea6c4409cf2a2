//! A small PowerJob 4.3.9: a database with apps and instances, servers that schedule what they own, workers that report.
//! It behaves as measured (powerjob §1.4, §1.5, §1.6) where a rollout can notice it, and at its worst where that varies:
//! a worker may be told once more to stay before it follows its app.

use std::collections::BTreeMap;

use super::Process;
use crate::admin::scheduler::powerjob::{Hello, Worker};
use crate::observe::{AppRow, DueRow, LostRow, PendingRow, Rows};
use crate::testkit::Millis;
use crate::types::Moment;

/// Jobs by cron fire so often.
pub(super) const CRON: Millis = 15_000;
/// A worker of which a server has not heard for so long counts for nothing.
const GONE: Millis = 60_000;
/// A worker asks who owns its app, and reports, so often each.
pub(super) const BEAT: Millis = 10_000;

/// How an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits for its time: `status` 1.
    Waiting,
    /// It has run: 5.
    Succeeded,
    /// It failed for want of a worker: 4.
    Lost,
}

/// One instance of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its app.
    pub app: u64,
    /// When it is due.
    pub due: Millis,
    /// How it is.
    pub state: State,
    pub(super) created: Millis,
    /// The process in whose memory it is.
    pub(super) wheel: Option<u64>,
    pub(super) fired: Millis,
}

impl Instance {
    /// When it was fired; 0 where it was not yet.
    #[must_use]
    pub const fn fired(&self) -> Millis {
        self.fired
    }
}

#[derive(Debug, Clone)]
pub(super) struct AppState {
    pub(super) owner: Option<String>,
    pub(super) moved: Millis,
    pub(super) next_cron: Millis,
}

#[derive(Debug, Clone)]
pub(super) struct Follower {
    pub(super) app: u64,
    pub(super) address: String,
    pub(super) server: Option<String>,
    pub(super) asks_at: Millis,
    pub(super) reports_at: Millis,
    /// It was told to stay once already.
    pub(super) stayed: bool,
}

/// The database, the workers, and what each server remembers.
#[derive(Debug, Clone)]
pub struct PowerJob {
    pub(super) apps: BTreeMap<u64, AppState>,
    pub(super) instances: Vec<Instance>,
    pub(super) workers: Vec<Follower>,
    /// By process, app and worker: the last report.
    pub(super) records: BTreeMap<(u64, u64, String), Millis>,
    /// When each process looks for jobs, and for what is late.
    pub(super) loops: BTreeMap<u64, (Millis, Millis)>,
    /// Until then the database answers nobody.
    pub(super) down_until: Millis,
    pub(super) takeovers: u32,
    /// Somebody runs a job of each app every five seconds.
    pub(super) many: bool,
}

impl PowerJob {
    /// An empty database, and so many apps with so many workers each.
    #[must_use]
    pub fn new(apps: u64, workers: u64) -> Self {
        let app = |id| (id, AppState { owner: None, moved: 0, next_cron: CRON });
        let follower = |app: u64, n: u64| Follower {
            app,
            address: format!("10.9.{app}.{n}:27777"),
            server: None,
            asks_at: (app * 3_700 + n * 2_900) % BEAT,
            reports_at: (app * 1_300 + n * 4_300) % BEAT,
            stayed: false,
        };
        Self {
            apps: (1..=apps).map(app).collect(),
            instances: Vec::new(),
            workers: (1..=apps).flat_map(|app| (0..workers).map(move |n| follower(app, n))).collect(),
            records: BTreeMap::new(),
            loops: BTreeMap::new(),
            down_until: 0,
            takeovers: 0,
            many: false,
        }
    }

    /// From now on somebody runs a job of each app every five seconds, with delays from seconds to minutes.
    pub const fn run_many(&mut self) {
        self.many = true;
    }

    /// The instances.
    #[must_use]
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// How many instances are in a state.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.instances.iter().filter(|i| i.state == state).count()
    }

    /// How often a server took an app over by itself.
    #[must_use]
    pub const fn takeovers(&self) -> u32 {
        self.takeovers
    }

    /// The pod that owns each app.
    #[must_use]
    pub fn owners(&self) -> BTreeMap<u64, Option<String>> {
        self.apps.iter().map(|(id, app)| (*id, app.owner.clone())).collect()
    }

    /// Whether the database answers.
    #[must_use]
    pub const fn answers(&self, now: Millis) -> bool {
        now >= self.down_until
    }

    /// The database answers nobody until then.
    pub const fn break_down(&mut self, until: Millis) {
        self.down_until = until;
    }

    /// Somebody runs a job with a delay: it goes into the wheel of its app's owner.
    pub fn run_later(&mut self, app: u64, due: Millis, processes: &[&Process], now: Millis) {
        let owner = self.apps.get(&app).and_then(|a| a.owner.clone());
        let wheel = processes.iter().find(|p| Some(&p.pod) == owner.as_ref() && p.serves()).map(|p| p.id);
        // Who cannot reach the owner is told so, and tries again later.
        if wheel.is_none() {
            return;
        }
        self.instances.push(Instance { app, due, state: State::Waiting, created: now, wheel, fired: 0 });
    }

    /// A report of a worker, as anybody may send it.
    pub fn report(&mut self, process: u64, app: u64, worker: &str, now: Millis) {
        self.records.insert((process, app, worker.to_owned()), now);
    }

    /// The workers of an app that a process has heard of within a minute.
    #[must_use]
    pub fn heard(&self, process: u64, app: u64, now: Millis) -> Vec<String> {
        let known = self
            .records
            .iter()
            .filter(|((p, a, _), at)| *p == process && *a == app && now.saturating_sub(**at) < GONE);
        known.map(|((_, _, worker), _)| worker.clone()).collect()
    }

    /// Compare-and-swap of an app's owner. False: it has another one.
    pub fn swap(&mut self, app: u64, from: &str, to: &str, now: Millis) -> bool {
        let Some(state) = self.apps.get_mut(&app).filter(|a| a.owner.as_deref() == Some(from)) else {
            return false;
        };
        state.owner = Some(to.to_owned());
        state.moved = now;
        true
    }

    /// Instances that were lost since then are run again by the owners of their apps.
    pub fn retry(&mut self, index: usize, processes: &[&Process], now: Millis) {
        let Some((app, State::Lost)) = self.instances.get(index).map(|i| (i.app, i.state)) else { return };
        let owner = self.apps.get(&app).and_then(|a| a.owner.clone());
        let process = processes.iter().find(|p| Some(&p.pod) == owner.as_ref() && p.serves()).map(|p| p.id);
        if let Some(process) = process {
            self.dispatch(index, process, now);
        }
    }

    /// What a server says of itself.
    #[must_use]
    pub fn hello(
        &self,
        process: &Process,
        host: &str,
        version: &str,
        clock: impl Fn(Millis) -> Moment,
        now: Millis,
    ) -> Hello {
        let mut apps: BTreeMap<u64, Vec<Worker>> = BTreeMap::new();
        for ((_, app, worker), at) in self.records.iter().filter(|((p, ..), _)| *p == process.id) {
            apps.entry(*app).or_default().push(Worker {
                address: worker.clone(),
                last_active: clock(*at),
                protocol: "HTTP".to_owned(),
                client: String::new(),
                version: String::new(),
                tag: None,
                system_metrics: serde_json::json!({}),
                light: 0,
                heavy: 0,
                overloading: false,
            });
        }
        Hello {
            address: format!("{host}:10010"),
            born: clock(process.born),
            version: version.to_owned(),
            server_time: Some(clock(now)),
            apps,
        }
    }

    /// What the operator's statements give. `host` is that of a pod.
    #[must_use]
    pub fn rows(
        &self,
        host: impl Fn(&str) -> String,
        clock: impl Fn(Millis) -> Moment,
        since: Moment,
    ) -> Rows {
        let waits = |app: &u64, state: &AppState| {
            let older = self
                .instances
                .iter()
                .filter(|i| i.app == *app && i.state == State::Waiting && i.created < state.moved);
            PendingRow { app: *app, count: older.count() as u64 }
        };
        let lost = self
            .instances
            .iter()
            .enumerate()
            .filter(|(_, i)| i.state == State::Lost && clock(i.fired) >= since);
        Rows {
            apps: self
                .apps
                .iter()
                .map(|(id, app)| AppRow {
                    id: *id,
                    name: format!("app-{id}"),
                    current_server: app.owner.as_ref().map(|pod| format!("{}:10010", host(pod))),
                    modified_at: Some(clock(app.moved)),
                })
                .collect(),
            pending: self.apps.iter().map(|(id, app)| waits(id, app)).filter(|row| row.count > 0).collect(),
            due: self.apps.iter().map(|(id, app)| DueRow { app: *id, at: clock(app.next_cron) }).collect(),
            lost: lost.map(|(n, i)| LostRow { app: i.app, instance: n as u64, workflow: None }).collect(),
        }
    }
}
