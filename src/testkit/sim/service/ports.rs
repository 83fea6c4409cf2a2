//! The ports of [`crate::effects`] onto fake PowerJob servers and their database. Each report of a worker, each move and each
//! retry is one command, after which the operator may crash.

use std::collections::BTreeSet;

use super::super::ports::SimPorts;
use super::super::{CLUSTER, moment};
use crate::admin::answer::Answer;
use crate::effects::{Admin, AdminRequest, Failure, Scheduler};
use crate::observe::Member;
use crate::testkit::service::{Behind, PowerJob, Process, ServicePods, State};
use crate::types::Moment;

impl Admin for SimPorts<'_, ServicePods> {
    async fn command(&mut self, request: &AdminRequest) -> Result<Answer, Failure> {
        Err(Failure::Refused(format!("{}: no registry in this simulation", request.path)))
    }
}

impl SimPorts<'_, ServicePods> {
    fn serving(&self, member: Member) -> Result<Process, Failure> {
        let process = self.world.pods.process(member).filter(|p| p.serves()).cloned();
        process.ok_or_else(|| Failure::Unanswered(format!("{member} does not answer")))
    }

    /// One command: it is sent, and its answer comes, unless the operator dies.
    fn send_one<T>(&mut self, what: &str, run: impl FnOnce(&mut PowerJob) -> T) -> Result<T, Failure> {
        let dead = || Failure::Unanswered("the operator has crashed".to_owned());
        if !self.world.cluster.tripwire.may_send() {
            return Err(dead());
        }
        let now = self.world.now();
        let Behind::PowerJob(powerjob) = &mut self.world.pods.behind else {
            return Err(Failure::Refused("it is no PowerJob".to_owned()));
        };
        if !powerjob.answers(now) {
            return Err(Failure::Unanswered("the database does not answer".to_owned()));
        }
        let done = run(powerjob);
        let learns = self.world.cluster.tripwire.may_learn();
        self.world.say(&format!("operator: {what}{}", if learns { "" } else { ": the operator dies" }));
        if learns { Ok(done) } else { Err(dead()) }
    }

    fn powerjob(&self) -> Result<&PowerJob, Failure> {
        match &self.world.pods.behind {
            Behind::PowerJob(powerjob) => Ok(powerjob),
            Behind::Drm(_) => Err(Failure::Refused("it is no PowerJob".to_owned())),
        }
    }
}

impl Scheduler for SimPorts<'_, ServicePods> {
    async fn pre_register(&mut self, from: Member, to: Member, apps: &BTreeSet<u64>) -> Result<(), Failure> {
        let (source, target) = (self.serving(from)?, self.serving(to)?);
        let now = self.world.now();
        for app in apps {
            for worker in self.powerjob()?.heard(source.id, *app, now) {
                let what = format!("{to} is told of {worker} of app {app}");
                self.send_one(&what, |p| p.report(target.id, *app, &worker, now))?;
            }
        }
        Ok(())
    }

    async fn move_apps(&mut self, from: Member, to: Member, apps: &BTreeSet<u64>) -> Result<(), Failure> {
        self.serving(to)?;
        let (source, target) = (from.pod_name(CLUSTER), to.pod_name(CLUSTER));
        let now = self.world.now();
        let owners = self.powerjob()?.owners();
        let left: BTreeSet<u64> =
            apps.iter().copied().filter(|app| owners.get(app) == Some(&Some(source.clone()))).collect();
        let what = format!("apps {left:?} move from {from} to {to}");
        // One statement moves them all, or none.
        self.send_one(&what, |p| {
            for app in &left {
                p.swap(*app, &source, &target, now);
            }
        })
    }

    async fn retry_lost(&mut self, since: Moment) -> Result<(), Failure> {
        let lost: Vec<usize> = {
            let all = self.powerjob()?.instances().iter().enumerate();
            all.filter(|(_, i)| i.state == State::Lost && moment(i.fired()) >= since)
                .map(|(n, _)| n)
                .collect()
        };
        for index in lost {
            let now = self.world.now();
            let processes = self.world.pods.processes();
            self.send_one(&format!("instance {index} is run again"), |p| {
                p.retry(index, &processes.iter().collect::<Vec<_>>(), now);
            })?;
        }
        Ok(())
    }
}
