//! A small 5.x cluster made by hand: servers that do what they are told, one step at a time. The real planner runs it; all
//! that it remembers goes through the status, as in a running operator.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use sofa_operator::admin::registry::wire::PushSwitch;
use sofa_operator::api::v1alpha1::{
    Automation, ClusterStatus, Condition, ConditionType, MembershipKind, OnTimeout, Role, Strategy,
};
use sofa_operator::observe::{
    Addresses, Claim, Counts, DataView, Fact, Genesis, Kubernetes, Lists, Member, MetaView, Node, Pod,
    PodPhase, RaftData, RegistryWorld, SessionView, Standing, Store, Unknown, Workload,
};
use sofa_operator::plan::{
    Admission, Command, Decision, RegistryInput, RegistryTarget, RoleTarget, TemplateChoice, VerifyRule,
    plan_registry,
};
use sofa_operator::status::{RegistryView, Subject, memory_of, registry_status};
use sofa_operator::types::{DnsLabel, Moment, PlanId};
use sofa_operator::validate::{Missing, Warning};

use crate::schema::stored;

pub(crate) const NAME: &str = "prod";
pub(crate) const META: Role = Role::Meta;
pub(crate) const DATA: Role = Role::Data;
pub(crate) const SESSION: Role = Role::Session;

/// A server that is there or comes back.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// How often its pod was made: its uid and its address.
    pub(crate) made: u8,
    pub(crate) revision: String,
    /// `None`: there is no pod; one is made next.
    pub(crate) phase: Option<PodPhase>,
    pub(crate) node: Node,
}

#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) now: Moment,
    pub(crate) generation: i64,
    pub(crate) target: RegistryTarget,
    pub(crate) servers: BTreeMap<Member, Server>,
    pub(crate) workloads: BTreeMap<Role, Workload>,
    pub(crate) genesis: Genesis,
    /// Metas whose claims are marked as members'.
    pub(crate) marked: BTreeSet<Member>,
    /// With what metas were let in.
    pub(crate) let_in: BTreeMap<Member, RaftData>,
    /// The tokens for which raft data are to be set aside.
    pub(crate) asides: BTreeMap<Member, DnsLabel>,
    /// The raft group, by address.
    pub(crate) group: Addresses,
    pub(crate) push: PushSwitch,
    /// The push switches of other sites.
    pub(crate) sites: BTreeMap<DnsLabel, PushSwitch>,
    pub(crate) deleting: bool,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) status: ClusterStatus,
}

impl Cluster {
    /// Three metas, two data servers and two sessions on template `t1`, at rest.
    pub(crate) fn new() -> Self {
        let counts = [(META, 3), (DATA, 2), (SESSION, 2)];
        let server = Server {
            made: 0,
            revision: "t1".to_owned(),
            phase: Some(PodPhase::Ready),
            node: Node::Reachable,
        };
        let members = counts.iter().flat_map(|(role, n)| (0..*n).map(|i| Member::new(*role, i)));
        let servers: BTreeMap<Member, Server> = members.map(|m| (m, server.clone())).collect();
        let workload = |replicas| Workload { replicas, revision: "t1".to_owned() };
        let mut cluster = Self {
            now: Moment::from_millis(1_795_223_049_000),
            generation: 1,
            target: target(&counts),
            group: Addresses::new(),
            servers,
            workloads: counts.iter().map(|(role, n)| (*role, workload(*n))).collect(),
            genesis: Genesis::Done,
            marked: (0..3).map(|n| Member::new(META, n)).collect(),
            let_in: BTreeMap::new(),
            asides: BTreeMap::new(),
            push: PushSwitch::Open,
            sites: BTreeMap::new(),
            deleting: false,
            warnings: Vec::new(),
            missing: Vec::new(),
            status: ClusterStatus::default(),
        };
        cluster.group = cluster.addresses(META);
        cluster
    }

    /// Nothing is there yet.
    pub(crate) fn nothing_yet() -> Self {
        let mut cluster = Self::new();
        cluster.servers.clear();
        cluster.workloads.clear();
        cluster.group.clear();
        cluster.genesis = Genesis::Never;
        cluster.marked.clear();
        cluster.push = PushSwitch::NeverSet;
        cluster
    }

    /// A person wants another template for each role.
    pub(crate) fn change_template(&mut self, revision: &str) {
        self.generation += 1;
        self.target.plan = PlanId::from_hash(0xab00 + u64::try_from(self.generation).unwrap());
        for role in self.target.roles.values_mut() {
            revision.clone_into(&mut role.revision);
        }
    }

    pub(crate) fn address(&self, member: Member) -> Option<Ipv4Addr> {
        let server = self.servers.get(&member)?;
        let runs = matches!(server.phase?, PodPhase::Starting | PodPhase::Ready);
        runs.then(|| Ipv4Addr::new(10, member.role as u8, u8::try_from(member.ordinal).unwrap(), server.made))
    }

    fn addresses(&self, role: Role) -> Addresses {
        let ready = |m: &&Member| m.role == role && self.servers[m].phase == Some(PodPhase::Ready);
        self.servers.keys().filter(ready).filter_map(|m| self.address(*m)).collect()
    }

    fn leader(&self) -> Option<Member> {
        let voters: Vec<Member> = self
            .servers
            .iter()
            .filter(|(m, s)| m.role == META && s.phase == Some(PodPhase::Ready) && s.node == Node::Reachable)
            .map(|(m, _)| *m)
            .filter(|m| self.address(*m).is_some_and(|a| self.group.contains(&a)))
            .collect();
        (voters.len() * 2 > self.group.len()).then(|| voters[0])
    }

    /// What is observed now.
    pub(crate) fn world(&self) -> RegistryWorld {
        let at = self.now;
        let mut world = RegistryWorld {
            kubernetes: Kubernetes { at, workloads: self.workloads.clone(), ..Kubernetes::default() },
            genesis: self.genesis.clone(),
            orphaned_ids: Some(Fact::known(0, at)),
            sites: self.sites.iter().map(|(name, push)| (name.clone(), Fact::known(*push, at))).collect(),
            ..RegistryWorld::default()
        };
        for (member, server) in &self.servers {
            if member.role == META {
                let claim = Claim {
                    uid: format!("claim-{member}"),
                    marked: self.marked.contains(member),
                    aside: self.asides.get(member).cloned(),
                };
                world.kubernetes.claims.insert(*member, claim);
            }
            let Some(phase) = server.phase else { continue };
            world.kubernetes.pods.insert(*member, self.pod(*member, server, phase));
            let unknown = match (server.node, phase) {
                (Node::Unreachable, _) => Some(Unknown::TimedOut),
                (_, PodPhase::Held) => Some(Unknown::NotAsked),
                (_, PodPhase::Starting | PodPhase::Stopping) => Some(Unknown::Refused),
                (_, PodPhase::Ready) => None,
            };
            self.tell(&mut world, *member, unknown);
        }
        world
    }

    fn pod(&self, member: Member, server: &Server, phase: PodPhase) -> Pod {
        let uid = format!(
            "00000000-0000-4000-8000-0000{:02x}{:04x}{:02x}",
            member.role as u8, member.ordinal, server.made
        );
        Pod {
            uid: format!("{uid:0<36}").parse().unwrap(),
            address: self.address(member),
            revision: server.revision.clone(),
            phase,
            node: server.node,
            started: (phase != PodPhase::Held).then(|| Moment::from_millis(1_795_220_000_000)),
            trouble: None,
            waived: false,
            raft_data: self.let_in.get(&member).cloned(),
        }
    }

    fn tell(&self, world: &mut RegistryWorld, member: Member, unknown: Option<Unknown>) {
        let fact = |why| Fact::unknown(why, self.now);
        match member.role {
            Role::Meta => {
                let fact = unknown.map_or_else(|| Fact::known(self.meta(member), self.now), fact);
                world.metas.insert(member, fact);
            }
            Role::Data => {
                let own: Addresses = self.address(member).into_iter().collect();
                let view = DataView {
                    serving: true,
                    metas: Some(self.group.clone()),
                    others: Some(self.addresses(DATA).difference(&own).copied().collect()),
                    publishers: Some(400),
                };
                let known = Fact::known(view, self.now);
                world.datas.insert(member, unknown.map_or(known, |why| Fact::unknown(why, self.now)));
            }
            _ => {
                let open = if self.push == PushSwitch::NeverSet { PushSwitch::Open } else { self.push };
                let view = SessionView {
                    serving: true,
                    push: Some(open),
                    metas: Some(self.group.clone()),
                    datas: Some(self.addresses(DATA)),
                    counts: Some(Counts {
                        publishers: 200,
                        subscribers: 100,
                        watchers: 5,
                        connections: None,
                    }),
                };
                let known = Fact::known(view, self.now);
                world.sessions.insert(member, unknown.map_or(known, |why| Fact::unknown(why, self.now)));
            }
        }
    }

    fn meta(&self, member: Member) -> MetaView {
        let inside = self.leader().is_some() && self.address(member).is_some_and(|a| self.group.contains(&a));
        let lists = Lists {
            metas: self.group.clone(),
            datas: self.addresses(DATA),
            sessions: self.addresses(SESSION),
        };
        MetaView {
            standing: match inside {
                true if self.leader() == Some(member) => Standing::Leader,
                true => Standing::Follower,
                false => Standing::Outside,
            },
            warm: true,
            peers: Some(self.group.clone()),
            lists: inside.then_some(lists),
            push: inside.then_some(self.push),
            gray: false,
            renew_off: Some(true),
            store: Store::Reached,
            slots_stable: true,
            blacklist: Addresses::new(),
        }
    }

    /// One reconcile: what is remembered is read from the status, and written to it.
    pub(crate) fn reconcile(&mut self) -> Decision {
        let world = self.world();
        let memory = memory_of(NAME, &self.status);
        let decision = plan_registry(&RegistryInput {
            now: self.now,
            generation: self.generation,
            deleting: self.deleting,
            target: &self.target,
            world: &world,
            memory: &memory,
            planted: None,
        });
        for (role, desired) in &decision.desired.roles {
            let wanted = &self.target.roles[role].revision;
            let workload = self
                .workloads
                .entry(*role)
                .or_insert_with(|| Workload { replicas: 0, revision: String::new() });
            workload.replicas = desired.replicas;
            if desired.template == TemplateChoice::Target {
                workload.revision.clone_from(wanted);
            }
        }
        self.marked.extend(&decision.marks);
        self.asides.retain(|member, _| !decision.marks.contains(member));
        self.let_in.extend(decision.marks.iter().map(|member| (*member, RaftData::Kept)));
        if let Some(genesis) = &decision.genesis {
            self.genesis = genesis.clone();
        }
        if let Some(command) = &decision.command {
            self.run(command);
        }
        let subject = self.subject();
        let view = RegistryView { target: &self.target, world: &world };
        self.status =
            stored(&registry_status(&subject, &view, &decision.report, &decision.memory, &self.status));
        decision
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            cluster: NAME,
            generation: self.generation,
            now: self.now,
            deleting: self.deleting,
            paused: self.target.paused,
            warnings: &self.warnings,
            missing: &self.missing,
        }
    }

    /// What a command does.
    pub(crate) fn run(&mut self, command: &Command) {
        match command {
            Command::ReleasePods { targets, raft_data } => {
                for target in targets {
                    self.let_in.insert(target.member, raft_data.clone());
                    self.servers.get_mut(&target.member).unwrap().phase = Some(PodPhase::Starting);
                }
                if self.group.is_empty() {
                    // The first start: they know each other by their configuration.
                    self.group = targets.iter().filter_map(|t| self.address(t.member)).collect();
                }
            }
            Command::StopPods { targets, .. } => {
                for target in targets {
                    self.servers.get_mut(&target.member).unwrap().phase = None;
                }
            }
            Command::ClosePush { sites, .. } => self.switch(sites, PushSwitch::Closed),
            Command::OpenPush { sites, .. } => self.switch(sites, PushSwitch::Open),
            Command::ChangePeer { peers, .. } => self.group.clone_from(peers),
            Command::ResetPeer { survivor } => self.group = [*survivor].into(),
            other => panic!("{other:?} is not asked of this cluster"),
        }
    }

    fn switch(&mut self, sites: &BTreeSet<DnsLabel>, to: PushSwitch) {
        self.push = to;
        self.sites.extend(sites.iter().map(|site| (site.clone(), to)));
    }

    /// Servers go on by one step.
    pub(crate) fn go_on(&mut self) {
        let mut missing = BTreeSet::new();
        for (role, workload) in &self.workloads {
            missing.extend((0..workload.replicas).map(|n| Member::new(*role, n)));
        }
        for member in missing {
            let revision = self.workloads[&member.role].revision.clone();
            let server = self.servers.entry(member).or_insert_with(|| Server {
                made: u8::MAX,
                revision: String::new(),
                phase: None,
                node: Node::Reachable,
            });
            match server.phase {
                None => {
                    server.made = server.made.wrapping_add(1);
                    server.revision = revision;
                    server.phase =
                        Some(if member.role == META { PodPhase::Held } else { PodPhase::Starting });
                }
                Some(PodPhase::Starting) => server.phase = Some(PodPhase::Ready),
                _ => {}
            }
        }
    }

    pub(crate) fn wait(&mut self, span: Duration) {
        self.now = self.now.after(span);
    }

    /// Reconciles every two seconds, with servers going on in between, until this holds.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self, &Decision) -> bool) -> Decision {
        for _ in 0..400 {
            let decision = self.reconcile();
            if holds(self, &decision) {
                return decision;
            }
            self.wait(Duration::from_secs(2));
            self.go_on();
        }
        panic!("never: {what}\n{:#?}", self.status);
    }

    pub(crate) fn condition(&self, kind: ConditionType) -> &Condition {
        self.status.conditions.iter().find(|c| c.kind == kind).expect("it is there")
    }
}

fn target(counts: &[(Role, u32)]) -> RegistryTarget {
    let role = |replicas| RoleTarget { replicas, revision: "t1".to_owned() };
    RegistryTarget {
        plan: PlanId::from_hash(0xab01),
        membership: MembershipKind::RaftByAddress,
        roles: counts.iter().map(|(name, replicas)| (*name, role(*replicas))).collect(),
        paused: false,
        hold: false,
        strategy: Strategy::OneByOne,
        admission: Admission::Open,
        verify: VerifyRule { percent: 90, timeout: Duration::from_mins(20), on_timeout: OnTimeout::Hold },
        majority: Automation::Manual,
        confirm: None,
        push_group: None,
        close_sites: BTreeSet::new(),
        renew_off: false,
        start_budget: Duration::from_mins(5),
    }
}
