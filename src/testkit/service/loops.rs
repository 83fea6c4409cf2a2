//! What a fake PowerJob does by itself: servers fire and look for jobs, workers ask and report.

use super::Process;
use super::powerjob::{BEAT, CRON, Follower, Instance, PowerJob, State};
use crate::testkit::Millis;

/// A server looks for jobs so often, and so far ahead.
const LOOKS: Millis = 15_000;
const AHEAD: Millis = 30_000;
/// A server looks for what nobody fired so often; it takes what is so late.
const CHECKS: Millis = 10_000;
const LATE: Millis = 30_000;
/// A worker that asks a server that hangs waits so long for it: three times five seconds.
const PATIENCE: Millis = 15_000;
/// How often somebody runs a job with a delay, and the delays.
const MANY: Millis = 5_000;
const DELAYS: [Millis; 5] = [12_000, 3_000, 45_000, 70_000, 130_000];

impl PowerJob {
    fn owns(&self, process: &Process, app: u64) -> bool {
        self.apps.get(&app).is_some_and(|a| a.owner.as_ref() == Some(&process.pod))
    }

    pub(super) fn step(&mut self, processes: &[&Process], now: Millis) -> Vec<String> {
        let serving: Vec<&Process> = processes.iter().copied().filter(|p| p.serves()).collect();
        // What is in the memory of a process ends with it.
        let is_there = |id: u64| processes.iter().any(|p| p.id == id && (p.serves() || p.hangs()));
        self.records.retain(|(process, ..), _| is_there(*process));
        self.loops.retain(|process, _| is_there(*process));
        for instance in &mut self.instances {
            instance.wheel = instance.wheel.filter(|process| is_there(*process));
        }
        let mut lines = Vec::new();
        for process in &serving {
            self.fire(process, now, &mut lines);
            if self.answers(now) {
                self.look(process, now, &mut lines);
            }
        }
        if self.many && now.is_multiple_of(MANY) && self.answers(now) {
            for app in self.apps.keys().copied().collect::<Vec<_>>() {
                let delay = DELAYS[usize::try_from(now / MANY + app).unwrap_or_default() % DELAYS.len()];
                self.run_later(app, now + delay, processes, now);
            }
        }
        for index in 0..self.workers.len() {
            self.follow(index, processes, now, &mut lines);
        }
        lines
    }

    /// What is due in a process's wheel.
    fn fire(&mut self, process: &Process, now: Millis, lines: &mut Vec<String>) {
        for index in 0..self.instances.len() {
            let Some(instance) = self.instances.get(index) else { continue };
            if instance.wheel == Some(process.id) && instance.state == State::Waiting && instance.due <= now {
                self.dispatch(index, process.id, now);
                self.tell_lost(index, process, lines);
            }
        }
    }

    fn tell_lost(&self, index: usize, process: &Process, lines: &mut Vec<String>) {
        if let Some(instance) = self.instances.get(index).filter(|i| i.state == State::Lost) {
            lines.push(format!(
                "{}: instance {index} of app {}: no worker available",
                process.pod, instance.app
            ));
        }
    }

    pub(super) fn dispatch(&mut self, index: usize, process: u64, now: Millis) {
        let Some(app) = self.instances.get(index).map(|i| i.app) else { return };
        let state = if self.heard(process, app, now).is_empty() { State::Lost } else { State::Succeeded };
        if let Some(instance) = self.instances.get_mut(index) {
            instance.state = state;
            instance.wheel = None;
            instance.fired = now;
        }
    }

    /// The loops of a server: jobs that are due soon, what nobody fired, and records of apps that it does not own.
    fn look(&mut self, process: &Process, now: Millis, lines: &mut Vec<String>) {
        let (jobs_at, late_at) = *self.loops.entry(process.id).or_insert((now + LOOKS, now + CHECKS));
        let owned: Vec<u64> = self.apps.keys().copied().filter(|app| self.owns(process, *app)).collect();
        if now >= jobs_at {
            for app in &owned {
                self.plan_jobs(*app, process.id, now);
            }
            if !owned.is_empty() {
                self.records.retain(|(p, app, _), _| *p != process.id || owned.contains(app));
            }
        }
        if now >= late_at {
            for index in 0..self.instances.len() {
                let late = self.instances.get(index).is_some_and(|i| {
                    owned.contains(&i.app) && i.state == State::Waiting && i.due + LATE <= now
                });
                if late {
                    self.dispatch(index, process.id, now);
                    self.tell_lost(index, process, lines);
                }
            }
        }
        let next = |at: Millis, every: Millis| if now >= at { now + every } else { at };
        self.loops.insert(process.id, (next(jobs_at, LOOKS), next(late_at, CHECKS)));
    }

    fn plan_jobs(&mut self, app: u64, process: u64, now: Millis) {
        let Some(state) = self.apps.get_mut(&app) else { return };
        while state.next_cron <= now + AHEAD {
            // What was missed while nobody looked is fired once.
            let due = state.next_cron.max(now);
            self.instances.push(Instance {
                app,
                due,
                state: State::Waiting,
                created: now,
                wheel: Some(process),
                fired: 0,
            });
            state.next_cron = (due / CRON + 1) * CRON;
        }
    }

    /// A worker asks who owns its app, and reports there.
    fn follow(&mut self, index: usize, processes: &[&Process], now: Millis, lines: &mut Vec<String>) {
        let Some(mut worker) = self.workers.get(index).cloned() else { return };
        if now >= worker.asks_at {
            worker.asks_at = now + BEAT;
            self.ask(&mut worker, processes, now, lines);
        }
        if now >= worker.reports_at {
            worker.reports_at = now + BEAT;
            let to = processes.iter().find(|p| Some(&p.pod) == worker.server.as_ref() && p.serves());
            if let Some(process) = to {
                self.report(process.id, worker.app, &worker.address, now);
            }
        }
        if let Some(present) = self.workers.get_mut(index) {
            *present = worker;
        }
    }

    fn ask(&mut self, worker: &mut Follower, processes: &[&Process], now: Millis, lines: &mut Vec<String>) {
        let present = processes.iter().find(|p| Some(&p.pod) == worker.server.as_ref());
        if present.is_some_and(|p| p.hangs()) {
            // It gives up on it, and goes to the next one when it asks again.
            worker.asks_at = now + PATIENCE;
            worker.server = None;
            return;
        }
        let asked = present.filter(|p| p.serves()).or_else(|| processes.iter().find(|p| p.serves()));
        let (Some(asked), true) = (asked, self.answers(now)) else { return };
        let Some(app) = self.apps.get_mut(&worker.app) else { return };
        let answer = match &app.owner {
            Some(owner) if *owner == asked.pod => owner.clone(),
            // Half of the servers say that it is them without a look (`oms.accurate.select.server.percentage=50`).
            Some(_) if worker.server.as_ref() == Some(&asked.pod) && !worker.stayed => {
                worker.stayed = true;
                return;
            }
            Some(owner) if processes.iter().any(|p| p.pod == *owner && p.serves()) => owner.clone(),
            _ => {
                self.takeovers += 1;
                lines.push(format!("{}: becomes the new server of app {}", asked.pod, worker.app));
                app.owner = Some(asked.pod.clone());
                app.moved = now;
                asked.pod.clone()
            }
        };
        worker.stayed = false;
        worker.server = Some(answer);
    }
}
