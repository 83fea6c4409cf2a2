//! Changes of servers in groups: one group always serves, and clients are back before the next one is stopped.

use super::picture::Picture;
use crate::api::v1alpha1::{ActKind, OnTimeout, Reason, Role, Strategy};
use crate::observe::{Member, Node, Pod, PodPhase, Unknown};
use crate::plan::decision::{Command, Stop};
use crate::plan::machine::Next;
use crate::plan::memory::{Act, Memory, Target};
use crate::plan::report::Wait;

impl Picture<'_> {
    /// A server that never worked on its template, while there is a newer one.
    pub(super) fn repair(&self) -> Option<Next> {
        for (role, target) in &self.t.roles {
            for (member, pod) in self.pods(*role) {
                let overdue = pod.started.is_some_and(|s| self.now.since(s) >= self.t.start_budget);
                let silent =
                    pod.trouble.is_some() || (overdue && self.view(member).err() == Some(Unknown::Refused));
                let drifted = pod.revision != target.revision && member.ordinal < self.replicas(*role);
                if !drifted || !silent || pod.phase != PodPhase::Starting || pod.node == Node::Unreachable {
                    continue;
                }
                if self.t.paused {
                    return Some(Next::wait(Wait::new(
                        Reason::PausedBySpec,
                        member,
                        "its repair waits: spec.paused is set",
                    )));
                }
                return Some(stop(
                    ActKind::RepairPod,
                    &[(member, pod)],
                    Stop::Delete,
                    "it never worked, and there is a newer template",
                ));
            }
        }
        None
    }

    /// The next change and what it waits for.
    pub(super) fn roll(&self, memory: &Memory) -> Option<Next> {
        if !self.has_work() {
            return None;
        }
        if let Err(wait) =
            self.t.admission.lets_in(self.t.paused, &self.t.plan, memory).and_then(|()| self.needs_work())
        {
            return Some(Next::wait(wait));
        }
        for (index, (role, target)) in self.t.roles.iter().enumerate() {
            let earlier = self.t.roles[..index].iter().try_for_each(|(r, _)| self.works_all(*r));
            let have = self.replicas(*role);
            let drifts = self.drifted(*role).next().is_some();
            if have == 0 || (!drifts && have == target.replicas) {
                continue;
            }
            if let Err(wait) = earlier {
                return Some(Next::wait(wait));
            }
            return Some(match have.cmp(&target.replicas) {
                _ if drifts => self.restart_next(*role, memory),
                std::cmp::Ordering::Less => scale(ActKind::ScaleUp, *role, target.replicas, have),
                _ => self.scale_down(*role, memory),
            });
        }
        None
    }

    fn restart_next(&self, role: Role, memory: &Memory) -> Next {
        let members = self.next_members(role);
        let group: Vec<Member> = members.iter().map(|(m, _)| *m).collect();
        if let Err(wait) = self.may_stop(role, &group, memory) {
            return Next::wait(wait);
        }
        if let Some(next) = group.first().and_then(|m| self.drain(*m)) {
            return next;
        }
        stop(ActKind::RestartPods, &members, Stop::Evict, "its pod was made from another template")
    }

    /// One, or those of the first half that are left, then those of the second.
    fn next_members(&self, role: Role) -> Vec<(Member, &Pod)> {
        let mut drifted: Vec<(Member, &Pod)> = self.drifted(role).collect();
        if self.t.strategy == Strategy::TwoGroups && self.t.powerjob.is_none() {
            let half = self.replicas(role).div_ceil(2);
            let first: Vec<_> = drifted.iter().copied().filter(|(m, _)| m.ordinal < half).collect();
            return if first.is_empty() { drifted } else { first };
        }
        drifted.sort_by_key(|(m, _)| std::cmp::Reverse(m.ordinal));
        drifted.truncate(1);
        drifted
    }

    /// The gates before servers are stopped: the others work, and the clients of those before are back.
    fn may_stop(&self, role: Role, group: &[Member], memory: &Memory) -> Result<(), Wait> {
        self.members(role).filter(|m| !group.contains(m)).try_for_each(|m| self.works(m))?;
        // Of the group itself nothing is asked: it may be what the change mends. But half a group is not taken for one.
        if self.clients_decide(role) {
            self.clients_are_back(memory)?;
        }
        if self.t.by_tasks && self.t.roles.first().is_some_and(|(first, _)| *first == role) {
            group.iter().try_for_each(|member| self.has_reported(*member))?;
        }
        Ok(())
    }

    /// Whether all tasks of a server that works are reported: those of one that does not work are lost already.
    fn has_reported(&self, member: Member) -> Result<(), Wait> {
        if self.works(member).is_err() {
            return Ok(());
        }
        let wait = |message| Err(Wait::new(Reason::WaitingForTasks, member, message));
        match crate::observe::read(self.w.tasks.get(&member), self.cutoff) {
            Ok(0) => Ok(()),
            Ok(left) => wait(format!("{left} of its tasks were triggered and are not reported")),
            Err(why) => wait(format!("whether its tasks are reported is not known: {why}: see taskGate")),
        }
    }

    /// Whether the connections of clients decide about this role: the first one is the one that they connect to.
    pub(super) fn clients_decide(&self, role: Role) -> bool {
        self.t.by_connections && self.t.roles.first().is_some_and(|(first, _)| *first == role)
    }

    fn clients_are_back(&self, memory: &Memory) -> Result<(), Wait> {
        let Some(now) = self.connections() else {
            return Err(Wait::new(
                Reason::ConnectionsUnknown,
                "clients",
                "their connections are not counted: a rollout holds where they decide (connectionCounting, and the \
                 right to run a command in the pods)",
            ));
        };
        let baseline =
            memory.run.as_ref().and_then(|r| r.baseline).and_then(|(counts, _)| counts.connections);
        let enough = baseline
            .is_none_or(|then| u128::from(now) * 100 >= u128::from(then) * u128::from(self.t.verify.percent));
        if enough {
            return Ok(());
        }
        Err(Wait::new(
            Reason::WaitingForConnections,
            "clients",
            format!("{now} connections of {} before are back", baseline.unwrap_or_default()),
        ))
    }

    /// At the end clients have to be back too.
    pub(super) fn verify_connections(&self, memory: &Memory) -> Option<Next> {
        let run = memory.run.as_ref()?;
        run.baseline?;
        let role = self.t.roles.first()?.0;
        let wait = self.works_all(role).and_then(|()| self.clients_are_back(memory)).err()?;
        let late = run.last_act_at.is_some_and(|at| self.now.since(at) >= self.t.verify.timeout);
        if late && self.t.verify.on_timeout == OnTimeout::Reopen {
            return None;
        }
        Some(if late {
            Next::Halt(Wait { reason: Reason::CountsNotRecovered, ..wait })
        } else {
            Next::wait(wait)
        })
    }

    fn scale_down(&self, role: Role, memory: &Memory) -> Next {
        let have = self.replicas(role);
        let last = Member::new(role, have - 1);
        if let Err(wait) = self.may_stop(role, &[last], memory) {
            return Next::wait(wait);
        }
        if let Some(next) = self.drain(last) {
            return next;
        }
        scale(ActKind::ScaleDown, role, have - 1, have - 1)
    }
}

/// Stops these pods, each by its uid.
pub(super) fn stop(kind: ActKind, pods: &[(Member, &Pod)], how: Stop, why: &str) -> Next {
    let targets: Vec<Target> =
        pods.iter().map(|(m, p)| Target { member: *m, uid: Some(p.uid.clone()) }).collect();
    Next::act(Act { kind, targets: targets.clone() }, Command::StopPods { targets, how }, why)
}

fn scale(kind: ActKind, role: Role, replicas: u32, ordinal: u32) -> Next {
    let act = Act::on(kind, Member::new(role, ordinal), None);
    Next::act(act, Command::Scale { role, replicas }, "the spec wants another number of servers")
}
