//! What the operator sees, what is really so, and what is left in the end.

use std::collections::BTreeMap;

use super::super::end::{EndState, add_objects, add_status};
use super::super::gather::listed;
use super::super::{CLUSTER, moment};
use super::spec::{Spec, Valid};
use super::{ServiceSim, VERSION};
use crate::api::v1alpha1::{Role, RolloutState};
use crate::build::{member_host, role_name};
use crate::effects::Recorded;
use crate::observe::{
    Fact, Member, ServerView, ServiceWorld, Unknown, powerjob_view, read_apps, read_kubernetes,
};
use crate::plan::{Command, Decision};
use crate::testkit::service::{Behind, Process, State};
use crate::types::Moment;

impl ServiceSim {
    pub(super) fn observe(&self, own: &Recorded, spec: &Spec) -> ServiceWorld {
        let at = moment(self.world.now());
        let kubernetes = read_kubernetes(CLUSTER, &listed(self.world.cluster.objects()), at);
        let mut seen = ServiceWorld { kubernetes, ..ServiceWorld::default() };
        let (mut hellos, mut pings) = (BTreeMap::new(), BTreeMap::new());
        let pods = seen.kubernetes.pods.iter().filter(|(_, pod)| pod.address.is_some());
        for (member, pod) in pods {
            let is_new = spec.revisions.get(&member.role) == Some(&pod.revision);
            let process = self.world.pods.process(*member);
            seen.servers.insert(*member, self.view(&spec.valid, process, is_new, at));
            if let (Behind::PowerJob(powerjob), Some(process)) = (&self.world.pods.behind, process) {
                pings.insert(*member, process.serves());
                if process.serves() {
                    let host = member_host(CLUSTER, member.role, member.ordinal);
                    hellos.insert(*member, powerjob.hello(process, &host, VERSION, moment, self.world.now()));
                }
            }
        }
        if let Behind::PowerJob(powerjob) = &self.world.pods.behind {
            let began = own.status.rollout.as_ref().map(|run| Moment::from(&run.started_at));
            let host = |pod: &str| format!("{pod}.{}", role_name(CLUSTER, Role::Server));
            let rows = powerjob.rows(host, moment, began.unwrap_or_default());
            let name = |m: Member| member_host(CLUSTER, m.role, m.ordinal);
            seen.apps = Some(if powerjob.answers(self.world.now()) {
                Fact::known(read_apps(&rows, &hellos, &pings, name, at), at)
            } else {
                Fact::unknown(Unknown::TimedOut, at)
            });
        }
        seen
    }

    fn view(&self, valid: &Valid, process: Option<&Process>, is_new: bool, at: Moment) -> Fact<ServerView> {
        let Some(process) = process else { return Fact::unknown(Unknown::Refused, at) };
        let answer = match (process.serves(), process.hangs()) {
            (true, _) => Ok(()),
            (_, true) => Err(Unknown::TimedOut),
            _ => Err(Unknown::Refused),
        };
        match &self.world.pods.behind {
            Behind::Drm(clients) => match answer {
                Ok(()) => {
                    let connections = Some(clients.connections(process.id));
                    Fact::known(ServerView { failing: None, connections }, at)
                }
                Err(why) => Fact::unknown(why, at),
            },
            Behind::PowerJob(powerjob) => {
                let now = self.world.now();
                let hello = powerjob.hello(process, "", VERSION, moment, now);
                let health = if powerjob.answers(now) { Ok(true) } else { Err(Unknown::TimedOut) };
                let version = is_new.then_some(&valid.common().version);
                powerjob_view(health, answer.map(|()| &hello), version, at)
            }
        }
    }

    /// The rules, by what is really so.
    pub(super) fn judge(&mut self, decision: &Decision) {
        let Some(Command::StopPods { targets, .. }) = &decision.command else { return };
        let mut wrong = Vec::new();
        let stopped: Vec<String> = targets.iter().map(|t| t.member.pod_name(CLUSTER)).collect();
        let role = targets.first().map(|t| t.member.role);
        let processes = self.world.pods.processes();
        let others = processes.iter().filter(|p| Some(p.role) == role && !stopped.contains(&p.pod));
        if !others.clone().any(Process::serves) {
            wrong.push(format!("{stopped:?} is stopped and no other one of the role serves"));
        }
        if let Behind::PowerJob(powerjob) = &self.world.pods.behind {
            for (app, owner) in powerjob.owners() {
                if owner.as_ref().is_some_and(|owner| stopped.contains(owner)) {
                    wrong.push(format!("{stopped:?} is stopped and owns app {app}"));
                }
            }
        }
        let at = self.world.now() / 1_000;
        self.violations.extend(wrong.into_iter().map(|what| format!("{at:>6} s {what}")));
    }

    /// What is left now.
    pub fn end(&mut self) -> EndState {
        let mut end = BTreeMap::new();
        let objects = self.world.cluster.objects();
        add_objects(objects, &self.key(), &mut end);
        if let Some(own) = objects.get(&self.key()).map(Recorded::of) {
            add_status(&own.status, &mut end);
            let halted = own.status.rollout.as_ref().is_some_and(|r| r.state == RolloutState::Halted);
            if halted {
                self.violations.push("it halted".to_owned());
            }
        }
        let now = self.world.now();
        match &self.world.pods.behind {
            Behind::Drm(clients) => {
                end.insert("clients".to_owned(), format!("{} connected", clients.connected()));
                if !self.gone {
                    let unserved = clients.unserved().iter();
                    let told = unserved.map(|at| format!("{:>6} s no drmdata served", at / 1_000));
                    self.violations.extend(told);
                }
            }
            Behind::PowerJob(powerjob) => {
                let late = powerjob
                    .instances()
                    .iter()
                    .filter(|i| i.state == State::Waiting && i.due + 60_000 < now)
                    .count();
                end.insert("owners".to_owned(), format!("{:?}", powerjob.owners()));
                end.insert("lost".to_owned(), powerjob.count(State::Lost).to_string());
                end.insert("never fired".to_owned(), late.to_string());
                end.insert("taken over".to_owned(), powerjob.takeovers().to_string());
            }
        }
        EndState(end)
    }
}
