//! What must never happen, and what must happen in the end: one list for the property tests, the model checker, the
//! simulation and the tripwire of a running operator. The words are those of the contract (`docs/rollout.md`).
//!
//! A step is judged by the truth: in tests that of the model, in a running operator what was just read.
//!
//! May import `types`, `api` and `observe`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::decision::{Command, Decision};
use super::memory::{Act, Memory, Target};
use super::registry::{ROLES, RegistryInput};
use crate::api::v1alpha1::{ActKind, MembershipKind, PushOwner, Role, RolloutState, Strategy};
use crate::observe::{Addresses, Genesis, Member};
use crate::types::PodUid;

/// The invariants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// Serving metas are a majority after any single act.
    I1Quorum,
    /// At most the strategy's share of a role is down by our hand.
    I2Share,
    /// No act on unknown or stale facts.
    I3FreshFacts,
    /// The order of the roles never inverts.
    I4RoleOrder,
    /// At most one disruptive act is in flight in a push group.
    I5OneActor,
    /// Every decision that is not Done has an act or a typed reason.
    I6Reason,
    /// The same input gives the same decision; an act done twice equals once.
    I7Idempotent,
    /// The set of members done only grows within one rollout.
    I8DoneGrows,
    /// After a pause or a new spec no act of the old decision is done.
    I9ObeysPause,
    /// No pod that serves is restarted while push is not verified closed.
    I10PushClosed,
    /// Whatever the operator closed, it opens, or it says why not.
    I11Opens,
    /// It never opens what a person closed.
    I12ForeignPush,
    /// `changePeer` changes one member, each added address listens, a majority of the old group is alive.
    I13OnePeer,
    /// Never two blank metas at once.
    I14OneBlank,
    /// At least half of the data lives before and after.
    I15DataHalf,
    /// In a fair environment every run ends in Done or Halted and stays there.
    Liveness,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::I1Quorum,
        Self::I2Share,
        Self::I3FreshFacts,
        Self::I4RoleOrder,
        Self::I5OneActor,
        Self::I6Reason,
        Self::I7Idempotent,
        Self::I8DoneGrows,
        Self::I9ObeysPause,
        Self::I10PushClosed,
        Self::I11Opens,
        Self::I12ForeignPush,
        Self::I13OnePeer,
        Self::I14OneBlank,
        Self::I15DataHalf,
        Self::Liveness,
    ];
}

/// What is really so at the moment of an act.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Truth {
    /// The pods that there are.
    pub pods: BTreeMap<Member, PodTruth>,
    /// How many servers of each role there should be now.
    pub replicas: BTreeMap<Role, u32>,
    /// Peers of the raft group that has a leader.
    pub group: Option<Addresses>,
    /// Sessions that push now.
    pub pushing: BTreeSet<Member>,
    /// Who closed push last. `None`: it is open.
    pub closed_by: Option<ClosedBy>,
    /// Another cluster of the push group is in the middle of an act.
    pub other_acts: bool,
    /// `spec.paused` as it is now, whatever the decision saw.
    pub paused: bool,
    /// The generation of the spec as it is now.
    pub generation: i64,
    /// The state as it is written down now, read past every cache.
    pub written: Option<Act>,
    /// Facts from before this moment are older than the last act.
    pub last_act: crate::types::Moment,
}

/// One pod, as it really is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that is so or not, all independent")]
pub struct PodTruth {
    /// Which.
    pub uid: PodUid,
    /// Its process listens.
    pub listens: bool,
    /// It serves.
    pub serves: bool,
    /// Its volume was never a member's.
    pub blank: bool,
    /// It was made from the template that the spec asks for.
    pub is_target: bool,
    /// Its address.
    pub address: Option<Ipv4Addr>,
}

/// Who closed push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClosedBy {
    /// The operator.
    Operator,
    /// A person, past the operator.
    Person,
}

/// A broken invariant, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub how: String,
}

struct Judge<'a> {
    input: &'a RegistryInput<'a>,
    decision: &'a Decision,
    truth: &'a Truth,
    found: Vec<Violation>,
}

/// What a decision breaks, if its command is done now.
#[must_use]
pub fn judge(input: &RegistryInput<'_>, decision: &Decision, truth: &Truth) -> Vec<Violation> {
    let mut judge = Judge { input, decision, truth, found: Vec::new() };
    judge.memory();
    if let Some(command) = &decision.command {
        judge.any_command(command);
        match command {
            Command::StopPods { targets, .. } => judge.stop(targets),
            Command::ReleasePods { targets, .. } => judge.release(targets),
            Command::ChangePeer { peers, .. } => judge.change_peer(peers),
            Command::ResetPeer { .. } => judge.reset(),
            Command::OpenPush { .. } => judge.open(),
            Command::Scale { role, replicas } => judge.scale(*role, *replicas),
            Command::ClosePush { .. }
            | Command::DisableRenew { .. }
            | Command::ClearBlacklist { .. }
            | Command::PreRegister { .. }
            | Command::MoveApps { .. }
            | Command::RetryLost { .. } => {}
        }
    }
    judge.found
}

impl Judge<'_> {
    fn require(&mut self, right: bool, invariant: Invariant, how: impl FnOnce() -> String) {
        if !right {
            self.found.push(Violation { invariant, how: how() });
        }
    }

    /// What holds for what is remembered, whatever is done.
    fn memory(&mut self) {
        let (before, after) = (self.input.memory, &self.decision.memory);
        if let (Some(old), Some(new)) = (&before.run, &after.run)
            && old.plan == new.plan
            && old.generation == new.generation
        {
            for role in ROLES {
                let kept =
                    old.done.get(&role).is_none_or(|o| new.done.get(&role).is_some_and(|n| o.is_subset(n)));
                self.require(kept, Invariant::I8DoneGrows, || format!("{role:?} was done and is no longer"));
            }
        }
        let state = after.run.as_ref().map(|r| r.state);
        let report = &self.decision.report;
        let says = !report.waits.is_empty() || report.halt.is_some();
        let rests = matches!(state, None | Some(RolloutState::Done));
        let acts = matches!(state, Some(RolloutState::Acting | RolloutState::Verifying));
        self.require(rests || acts || says, Invariant::I6Reason, || format!("{state:?} without a reason"));
        let ours = self.truth.closed_by == Some(ClosedBy::Operator) && !is_opening(after);
        let owned = matches!(after.push.owner, Some(PushOwner::Operator | PushOwner::Spec));
        self.require(!ours || owned, Invariant::I11Opens, || "push that we closed has no owner".to_owned());
        let forgotten = ours && rests && after.push.owner == Some(PushOwner::Operator) && state.is_some();
        self.require(!forgotten || self.input.deleting, Invariant::I11Opens, || {
            "Done, and push is closed by us".to_owned()
        });
    }

    /// What holds for every command.
    fn any_command(&mut self, command: &Command) {
        let written = self.input.memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|f| &f.act);
        let fresh = self.input.world.kubernetes.at >= self.truth.last_act;
        self.require(fresh, Invariant::I3FreshFacts, || {
            format!("{command:?} on a list of pods older than the last act")
        });
        let is_written = written.is_some() && written == self.truth.written.as_ref();
        self.require(is_written, Invariant::I9ObeysPause, || {
            format!("{command:?} was not written down before")
        });
        let current = self.input.generation == self.truth.generation;
        self.require(current, Invariant::I9ObeysPause, || format!("{command:?} of an old spec"));
        // A single meta that begins anew loses nothing by it.
        let several = self.input.world.kubernetes.replicas(Role::Meta) > 1;
        let disturbs = match command {
            Command::StopPods { .. } | Command::Scale { .. } => true,
            Command::ResetPeer { .. } => several,
            _ => false,
        };
        self.require(!(disturbs && self.truth.paused), Invariant::I9ObeysPause, || {
            format!("{command:?} while paused")
        });
        let alone = !(disturbs && self.truth.other_acts);
        self.require(alone, Invariant::I5OneActor, || {
            format!("{command:?} while another cluster of the group acts")
        });
    }

    fn stop(&mut self, targets: &[Target]) {
        let Some(act) = self.input.memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|f| f.act.clone())
        else {
            return;
        };
        let repair = act.kind == ActKind::RepairPod;
        let hit: BTreeSet<Member> = targets
            .iter()
            .filter(|t| self.truth.pods.get(&t.member).is_some_and(|p| Some(&p.uid) == t.uid.as_ref()))
            .map(|t| t.member)
            .collect();
        self.quorum(&hit);
        let serving: BTreeSet<Member> = hit.iter().copied().filter(|m| self.serves(*m)).collect();
        if repair && serving.is_empty() {
            return;
        }
        let open: Vec<Member> = self.truth.pushing.iter().copied().collect();
        self.require(open.is_empty() || serving.is_empty(), Invariant::I10PushClosed, || {
            format!("{serving:?} serves and {open:?} pushes")
        });
        let Some(role) = act.role() else { return };
        self.share(role, &hit);
        if act.kind == ActKind::RestartPods {
            let earlier = ROLES.iter().take_while(|r| **r != role).find(|r| self.has_drift(**r));
            self.require(earlier.is_none(), Invariant::I4RoleOrder, || {
                format!("{role:?} before {earlier:?}")
            });
            // Raft data are set aside once for each token, whatever the template.
            let claims = &self.input.world.kubernetes.claims;
            let aside = |m: &Member| claims.get(m).is_some_and(|c| c.aside.is_some());
            let done = |m: &Member| self.truth.pods.get(m).is_some_and(|p| p.is_target);
            let again: Vec<&Member> = hit.iter().filter(|m| done(m) && !aside(m)).collect();
            self.require(again.is_empty(), Invariant::I7Idempotent, || format!("{again:?} is done already"));
        }
    }

    /// I1, for an act that takes these members away.
    fn quorum(&mut self, hit: &BTreeSet<Member>) {
        let metas = hit.iter().any(|m| m.role == Role::Meta && self.serves(*m));
        let replicas = self.truth.replicas.get(&Role::Meta).copied().unwrap_or(0) as usize;
        if !metas || replicas <= 1 {
            return;
        }
        let left = self.serving(Role::Meta).filter(|m| !hit.contains(m)).count();
        let raft = self.input.target.membership != MembershipKind::Database;
        let enough = if raft { left * 2 > replicas } else { left > 0 };
        self.require(enough, Invariant::I1Quorum, || format!("{left} of {replicas} metas would serve"));
    }

    /// I2 and I15.
    fn share(&mut self, role: Role, hit: &BTreeSet<Member>) {
        let replicas = self.truth.replicas.get(&role).copied().unwrap_or(0);
        let share = match (role, self.input.target.strategy) {
            (Role::Session, Strategy::TwoGroups) => replicas.div_ceil(2) as usize,
            _ => 1,
        };
        let left = self.serving(role).filter(|m| !hit.contains(m)).count();
        let down = (replicas as usize).saturating_sub(left);
        self.require(down <= share.max(hit.len().min(share)), Invariant::I2Share, || {
            format!("{down} of {replicas} {role:?} would be down")
        });
        if role == Role::Data && replicas > 1 {
            self.require(left * 2 >= replicas as usize, Invariant::I15DataHalf, || {
                format!("{left} of {replicas} DataServers would live")
            });
        }
    }

    fn release(&mut self, targets: &[Target]) {
        let founders = matches!(self.input.world.genesis, Genesis::Begun { .. });
        let blank = |m: &Member| self.truth.pods.get(m).is_some_and(|p| p.blank);
        let released = targets.iter().filter(|t| blank(&t.member)).count();
        let running =
            self.truth.pods.iter().filter(|(m, p)| m.role == Role::Meta && p.blank && p.listens).count();
        self.require(founders || released == 0 || released + running <= 1, Invariant::I14OneBlank, || {
            format!("{released} blank metas beside {running}")
        });
    }

    fn change_peer(&mut self, peers: &Addresses) {
        let Some(group) = self.truth.group.clone() else {
            self.require(false, Invariant::I13OnePeer, || "there is no group to change".to_owned());
            return;
        };
        let added: Vec<Ipv4Addr> = peers.difference(&group).copied().collect();
        let removed = group.difference(peers).count();
        self.require(added.len() <= 1 && removed <= 1, Invariant::I13OnePeer, || {
            format!("{} added and {removed} removed at once", added.len())
        });
        let listens = |a: &Ipv4Addr| self.truth.pods.values().any(|p| p.address == Some(*a) && p.listens);
        let deaf = added.iter().find(|a| !listens(a));
        self.require(deaf.is_none(), Invariant::I13OnePeer, || format!("{deaf:?} does not listen"));
        let alive = group.iter().filter(|a| listens(a)).count();
        self.require(alive * 2 > group.len(), Invariant::I13OnePeer, || {
            format!("{alive} of {} of the old group are alive", group.len())
        });
    }

    fn reset(&mut self) {
        let serving = self.serving(Role::Meta).count();
        let alone = serving == 0 || self.truth.group.as_ref().is_some_and(|g| g.len() == 1);
        self.require(alone, Invariant::I13OnePeer, || {
            format!("{serving} metas serve: there is a group to join")
        });
    }

    fn open(&mut self) {
        let foreign = self.truth.closed_by == Some(ClosedBy::Person);
        self.require(!foreign, Invariant::I12ForeignPush, || "a person closed it".to_owned());
    }

    fn scale(&mut self, role: Role, replicas: u32) {
        let now = self.truth.replicas.get(&role).copied().unwrap_or(0);
        let hit: BTreeSet<Member> = (replicas..now).map(|o| Member::new(role, o)).collect();
        if role == Role::Meta && self.input.target.membership != MembershipKind::Database {
            let in_group = hit.iter().find(|m| {
                let address = self.truth.pods.get(m).and_then(|p| p.address);
                self.truth.group.as_ref().zip(address).is_some_and(|(g, a)| g.contains(&a))
            });
            self.require(in_group.is_none(), Invariant::I1Quorum, || {
                format!("{in_group:?} is still in the group")
            });
        }
        if hit.iter().any(|m| self.serves(*m)) {
            let open: Vec<Member> = self.truth.pushing.iter().copied().collect();
            self.require(open.is_empty(), Invariant::I10PushClosed, || {
                format!("{hit:?} goes and {open:?} pushes")
            });
        }
    }

    fn serves(&self, member: Member) -> bool {
        self.truth.pods.get(&member).is_some_and(|p| p.serves)
    }

    fn serving(&self, role: Role) -> impl Iterator<Item = Member> {
        self.truth.pods.iter().filter(move |(m, p)| m.role == role && p.serves).map(|(m, _)| *m)
    }

    fn has_drift(&self, role: Role) -> bool {
        self.truth.pods.iter().any(|(m, p)| m.role == role && !p.is_target)
    }
}

fn is_opening(memory: &Memory) -> bool {
    let act = memory.run.as_ref().and_then(|r| r.act.as_ref());
    act.is_some_and(|f| f.act.kind == ActKind::OpenPush)
}
