//! Whether a role is as it should be: the addresses of its pods are those that everybody lists, and everybody serves
//! (contract: rollouts, facts, "Converged").

use super::picture::Picture;
use crate::api::v1alpha1::{Reason, Role};
use crate::observe::{Addresses, Lists, Member, Node, PodPhase, Unknown};
use crate::plan::report::Wait;

impl Picture<'_> {
    /// Whether this role is as it should be, or what is missing.
    pub(crate) fn converged(&self, role: Role) -> Result<(), Wait> {
        match role {
            Role::Meta => self.metas_converged(),
            Role::Data => self.datas_converged(),
            _ => self.sessions_converged(),
        }
    }

    /// Whether the metas agree on who they are, and everybody whom they list knows the same.
    pub(crate) fn peers_settled(&self) -> Result<(), Wait> {
        let Some((leader, _)) = self.leader() else {
            return Err(Wait::new(Reason::WaitingForLeader, "metas", "no leader of the metas is known"));
        };
        let Some(lists) = self.lists() else {
            return Err(Wait::new(Reason::WaitingForPeers, leader, "the leader's lists cannot be read"));
        };
        let expected = if self.is_raft() {
            let Some(group) = self.group() else {
                return Err(Wait::new(Reason::WaitingForPeers, "metas", "the metas name different peers"));
            };
            if lists.metas != *group {
                return Err(Wait::new(
                    Reason::WaitingForPeers,
                    leader,
                    "the list of metas is not that of the peers",
                ));
            }
            group.clone()
        } else {
            self.address(leader).into_iter().collect()
        };
        self.listed_know(lists, &expected)
    }

    /// Whether every data node and session that the metas list, and that can hear of them, knows these metas.
    fn listed_know(&self, lists: &Lists, metas: &Addresses) -> Result<(), Wait> {
        for role in [Role::Data, Role::Session] {
            let listed = if role == Role::Data { &lists.datas } else { &lists.sessions };
            for (member, pod) in self.pods(role) {
                let is_listed = pod.address.is_some_and(|a| listed.contains(&a));
                if pod.waived || !pod.may_run() || !is_listed || self.is_deaf(member, pod) {
                    continue;
                }
                let known = match role {
                    Role::Data => self.data_view(member).map(|v| v.metas.as_ref()),
                    _ => self.session_view(member).map(|v| v.metas.as_ref()),
                };
                match known {
                    Ok(Some(known)) if known == metas => {}
                    Ok(_) => return Err(Wait::new(Reason::WaitingForPeers, member, "it lists other metas")),
                    // Its process does not listen: it cannot follow anybody, and it leaves the lists.
                    Err(Unknown::Refused) => {}
                    Err(why) => {
                        return Err(Wait::new(
                            Reason::WaitingForPeers,
                            member,
                            format!("its metas are not known: {why}"),
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn metas_converged(&self) -> Result<(), Wait> {
        self.all_serve(Role::Meta)?;
        self.peers_settled()?;
        let mut addresses = self.addresses(Role::Meta);
        if let Some(leaving) = self.leaving().and_then(|m| self.address(m)) {
            let gone = self.is_raft() && self.group().is_some_and(|g| !g.contains(&leaving));
            if gone {
                addresses.remove(&leaving);
            }
        }
        let settled = if self.is_raft() {
            self.group() == Some(&addresses)
        } else {
            // A meta of 6.x that has ended stays on the leader's list for as long as that leads (measured: sofaregistry §15).
            self.lists().is_some_and(|lists| lists.metas.is_superset(&addresses))
        };
        if !settled {
            return Err(Wait::new(
                Reason::WaitingForPeers,
                "metas",
                "the metas list other addresses than those of their pods",
            ));
        }
        if !self.leader().is_some_and(|(_, v)| v.warm) {
            return Err(Wait::new(
                Reason::WaitingForLeader,
                "metas",
                "the leader is not warm yet (30 s after its election)",
            ));
        }
        Ok(())
    }

    fn datas_converged(&self) -> Result<(), Wait> {
        self.all_serve(Role::Data)?;
        let addresses = self.addresses(Role::Data);
        self.listed(Role::Data, &addresses)?;
        for (member, _) in self.pods(Role::Session) {
            if !self.serves(member) {
                continue;
            }
            if self.session_view(member).is_ok_and(|v| v.datas.as_ref() != Some(&addresses)) {
                return Err(Wait::new(
                    Reason::WaitingForConvergence,
                    member,
                    "it lists other data nodes than there are",
                ));
            }
        }
        if !self.is_raft() {
            // Slots are moved with what sessions have: without any session they wait for one (measured: sofaregistry §15).
            let without_sessions = self.lists().is_some_and(|lists| lists.sessions.is_empty());
            return if without_sessions || self.leader().is_some_and(|(_, v)| v.slots_stable) {
                Ok(())
            } else {
                Err(Wait::new(
                    Reason::WaitingForConvergence,
                    "data",
                    "the slots of the data are not stable yet",
                ))
            };
        }
        for (member, pod) in self.pods(Role::Data) {
            let others: Addresses = addresses.iter().copied().filter(|a| Some(*a) != pod.address).collect();
            if self.data_view(member).is_ok_and(|v| v.others.as_ref() != Some(&others)) {
                return Err(Wait::new(
                    Reason::WaitingForConvergence,
                    member,
                    "it lists other data nodes than there are",
                ));
            }
        }
        Ok(())
    }

    fn sessions_converged(&self) -> Result<(), Wait> {
        self.all_serve(Role::Session)?;
        let waived: Addresses =
            self.pods(Role::Session).filter(|(_, p)| p.waived).filter_map(|(_, p)| p.address).collect();
        let listed = self.lists().map(|l| l.sessions.difference(&waived).copied().collect::<Addresses>());
        if listed == Some(self.addresses(Role::Session).difference(&waived).copied().collect()) {
            return Ok(());
        }
        self.listed(Role::Session, &self.addresses(Role::Session))
    }

    fn listed(&self, role: Role, addresses: &Addresses) -> Result<(), Wait> {
        let listed = self.lists().map(|l| if role == Role::Data { &l.datas } else { &l.sessions });
        match listed {
            Some(listed) if listed == addresses => Ok(()),
            Some(_) => Err(Wait::new(
                Reason::WaitingForConvergence,
                role.field(),
                "the metas list other addresses than those of the pods (a killed one stays listed for 30 s)",
            )),
            None => Err(Wait::new(Reason::WaitingForLeader, "metas", "no leader of the metas is known")),
        }
    }

    /// Whether every member of a role that should be there serves.
    pub(crate) fn all_serve(&self, role: Role) -> Result<(), Wait> {
        if self.replicas(role) == 0 {
            return Err(Wait::new(
                Reason::WaitingForPod,
                role.field(),
                "there is no server of this role yet",
            ));
        }
        let out =
            |m: &Member| self.address(*m).is_some_and(|a| self.group().is_some_and(|g| !g.contains(&a)));
        let leaving = self.leaving().filter(|m| self.is_raft() && out(m));
        let waived = |m: &Member| self.pod(*m).is_some_and(|p| p.waived);
        for member in self.members(role).filter(|m| Some(*m) != leaving && !waived(m)) {
            self.works(member)?;
        }
        if self.pods(role).any(|(m, _)| m.ordinal >= self.replicas(role)) {
            return Err(Wait::new(
                Reason::WaitingForPod,
                role.field(),
                "a server that is taken away is still there",
            ));
        }
        Ok(())
    }

    /// Whether a member serves, or in words why not.
    pub(crate) fn works(&self, member: Member) -> Result<(), Wait> {
        let listed = self.pod(member).is_some_and(|p| self.is_listed(member, p));
        if self.serves(member) {
            let message = "it says that it works and is in no list of the metas yet";
            return if listed {
                Ok(())
            } else {
                Err(Wait::new(Reason::WaitingForConvergence, member, message))
            };
        }
        let Some(pod) = self.pod(member) else {
            return Err(Wait::new(Reason::WaitingForPod, member, "it has no pod yet"));
        };
        if pod.node == Node::Unreachable {
            return Err(Wait::new(
                Reason::NodeUnreachable,
                member,
                "its node does not answer: bring the node back, or, when it is gone for good, taint it with \
                 node.kubernetes.io/out-of-service or delete the Node",
            ));
        }
        if let Some(trouble) = pod.trouble {
            return Err(Wait::new(trouble.reason(), member, trouble.sentence()));
        }
        let message = match pod.phase {
            PodPhase::Held => "it is held back until it may start",
            PodPhase::Stopping => "its pod is stopping",
            PodPhase::Starting => "it starts",
            PodPhase::Ready if self.told(member) == Err(Unknown::Unreadable) => Unknown::RUBBISH,
            PodPhase::Ready => "it does not say that it works",
        };
        Err(Wait::new(Reason::WaitingForPod, member, message))
    }
}
