//! What the operator sees of a state, and what is true of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sofa_operator::admin::registry::wire::PushSwitch;
use sofa_operator::api::v1alpha1::{Automation, MembershipKind, OnTimeout, Role, Strategy};
use sofa_operator::observe::{
    Actor, Addresses, Claim, Counts, DataView, Fact, Genesis, GroupView, Kubernetes, Lists, Member, MetaView,
    Node, Pod as SeenPod, PodPhase, RaftData, RegistryWorld, SessionView, Standing, Store, Trouble, Unknown,
    Workload,
};
use sofa_operator::plan::invariants::{PodTruth, Truth};
use sofa_operator::plan::{Admission, RegistryTarget, RoleTarget, VerifyRule};
use sofa_operator::types::Moment;

use crate::state::{
    BROKEN, First, MEMBERS, METAS, NOW, OLDEST, Phase, Pod, SESSIONS, Servers, State, Switch, Turn, address,
    role_index, uid,
};

/// Which cluster is modelled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) raft: bool,
    pub(crate) group: bool,
    pub(crate) majority: Automation,
    /// Whether a person confirms what the spec leaves to one: a survivor where a volume of a meta is lost too.
    pub(crate) confirms: bool,
}

/// What each session's clients have, and with two data nodes each of them holds all of it (5.x) or its share twice.
const PUBLISHERS: u64 = 100;

pub(crate) fn target(setting: Setting, state: &State) -> RegistryTarget {
    let revision = format!("t{}", state.spec.template);
    let role = |replicas| RoleTarget { replicas, revision: revision.clone() };
    RegistryTarget {
        plan: format!("0000000{:x}", state.spec.template).parse().expect("an id"),
        membership: if setting.raft { MembershipKind::RaftByAddress } else { MembershipKind::Database },
        roles: BTreeMap::from([(Role::Meta, role(3)), (Role::Data, role(2)), (Role::Session, role(2))]),
        paused: state.spec.paused,
        hold: state.spec.hold,
        strategy: Strategy::OneByOne,
        admission: Admission::Open,
        verify: VerifyRule { percent: 90, timeout: Duration::from_mins(20), on_timeout: OnTimeout::Hold },
        majority: setting.majority,
        confirm: confirmation(setting, state),
        push_group: setting.group.then(|| "city".parse().expect("a name")),
        close_sites: BTreeSet::new(),
        renew_off: false,
        start_budget: Duration::from_mins(5),
    }
}

/// The best survivor of the loss that stands in the status.
fn confirmation(setting: Setting, state: &State) -> Option<(String, Member)> {
    let volume_lost = state.servers.volumes.iter().any(|v| !v.marked);
    let incident = state.memory.incident.as_ref().filter(|_| setting.confirms && volume_lost)?;
    Some((incident.id.clone(), *incident.survivors.first()?))
}

/// What is seen of these servers at a moment.
pub(crate) fn world(setting: Setting, state: &State, servers: &Servers, at: Moment) -> RegistryWorld {
    let mut world = RegistryWorld {
        kubernetes: Kubernetes { at, ..Kubernetes::default() },
        genesis: match state.first {
            First::Never => Genesis::Never,
            First::Begun => {
                Genesis::Begun { claims: (0..METAS).map(|i| claim(i, servers.volumes[i].claim)).collect() }
            }
            First::Done => Genesis::Done,
        },
        orphaned_ids: Some(Fact::known(u32::from(servers.lacks), at)),
        group: setting.group.then(|| Fact::known(group(state), at)),
        ..RegistryWorld::default()
    };
    for (role, template) in [Role::Meta, Role::Data, Role::Session].into_iter().zip(state.templates) {
        let replicas = if role == Role::Meta { 3 } else { 2 };
        if template > 0 {
            world.kubernetes.workloads.insert(role, Workload { replicas, revision: format!("t{template}") });
        }
    }
    let seen = Seen::new(setting, servers);
    for (index, member) in MEMBERS.into_iter().enumerate() {
        let pod = servers.pods[index];
        if index < METAS && setting.raft {
            let volume = &servers.volumes[index];
            let claim = Claim { uid: claim(index, volume.claim), marked: volume.marked, aside: None };
            world.kubernetes.claims.insert(member, claim);
        }
        if pod.phase == Phase::Gone || state.templates[role_index(member.role)] == 0 {
            continue;
        }
        let trouble = match pod.phase {
            Phase::Starting if setting.raft && servers.refuses_to_start(index) => Some(Trouble::VolumeEmpty),
            Phase::Starting if pod.template == BROKEN => Some(Trouble::Crash),
            _ => None,
        };
        let mut told = seen_pod(index, pod);
        told.trouble = trouble;
        if trouble == Some(Trouble::VolumeEmpty) {
            told.started = None;
        }
        world.kubernetes.pods.insert(member, told);
        let unknown = match pod.phase {
            Phase::Frozen => Some(Unknown::TimedOut),
            Phase::Held => Some(Unknown::NotAsked),
            Phase::Starting => Some(Unknown::Refused),
            _ => None,
        };
        let fact = |why| Fact::unknown(why, at);
        match member.role {
            Role::Meta => {
                world.metas.insert(member, unknown.map_or_else(|| Fact::known(seen.meta(index), at), fact));
            }
            Role::Data => {
                world.datas.insert(
                    member,
                    unknown.map_or_else(|| Fact::known(seen.data(index), at), |why| Fact::unknown(why, at)),
                );
            }
            _ => {
                world.sessions.insert(
                    member,
                    unknown
                        .map_or_else(|| Fact::known(seen.session(index), at), |why| Fact::unknown(why, at)),
                );
            }
        }
    }
    world
}

fn claim(index: usize, made: u8) -> String {
    format!("claim-{index}-{made}")
}

fn group(state: &State) -> GroupView {
    GroupView {
        we_hold: state.hold,
        others_hold: state.turn == Turn::Other,
        actor: match state.turn {
            Turn::Nobody => Actor::Nobody,
            Turn::Us => Actor::Us,
            Turn::Other => Actor::Other,
        },
        not_closed: BTreeSet::new(),
    }
}

fn seen_pod(index: usize, pod: Pod) -> SeenPod {
    let phase = match pod.phase {
        Phase::Held => PodPhase::Held,
        Phase::Up | Phase::Orphan => PodPhase::Ready,
        _ => PodPhase::Starting,
    };
    let runs = !matches!(pod.phase, Phase::Held);
    let started = if pod.old {
        Moment::from_millis(NOW.as_millis() - i64::try_from(OLDEST.as_millis()).expect("short"))
    } else {
        NOW
    };
    SeenPod {
        uid: uid(index, pod.made),
        address: runs.then(|| address(index, pod.made)),
        revision: format!("t{}", pod.template),
        phase,
        node: Node::Reachable,
        started: runs.then_some(started),
        trouble: None,
        waived: false,
        raft_data: Some(if pod.blank { RaftData::Blank } else { RaftData::Kept }),
    }
}

/// What the servers answer, all together.
struct Seen<'a> {
    raft: bool,
    servers: &'a Servers,
    group: Addresses,
    followers: Vec<usize>,
    lists: Option<Lists>,
}

impl<'a> Seen<'a> {
    fn new(setting: Setting, servers: &'a Servers) -> Self {
        let (peers, followers) = servers.group(setting.raft).unwrap_or_default();
        let of = |range: std::ops::Range<usize>, phases: &[Phase]| -> Addresses {
            range
                .filter(|i| phases.contains(&servers.pods[*i].phase))
                .map(|i| address(i, servers.pods[i].made))
                .collect()
        };
        let metas = if setting.raft {
            peers.iter().map(|(i, made)| address(usize::from(*i), *made)).collect()
        } else {
            of(0..METAS, &[Phase::Up, Phase::Frozen])
        };
        let listed = [Phase::Up, Phase::Frozen];
        let lists = Lists { metas, datas: of(METAS..5, &listed), sessions: of(SESSIONS, &listed) };
        Self {
            raft: setting.raft,
            servers,
            group: lists.metas.clone(),
            lists: (!followers.is_empty()).then_some(lists),
            followers,
        }
    }

    /// What data nodes and sessions know of the metas.
    fn known_metas(&self) -> Addresses {
        let leader = usize::from(self.servers.leader);
        if self.raft || self.followers.is_empty() {
            return self.group.clone();
        }
        std::iter::once(address(leader, self.servers.pods[leader].made)).collect()
    }

    fn meta(&self, index: usize) -> MetaView {
        let inside = self.followers.contains(&index);
        let standing = match inside {
            true if usize::from(self.servers.leader) == index => Standing::Leader,
            true => Standing::Follower,
            false => Standing::Outside,
        };
        let own: Addresses = if self.servers.volumes[index].peers.is_empty() {
            (0..METAS).map(|i| address(i, self.servers.pods[i].made)).collect()
        } else {
            self.servers.volumes[index]
                .peers
                .iter()
                .map(|(i, made)| address(usize::from(*i), *made))
                .collect()
        };
        MetaView {
            standing,
            warm: true,
            peers: Some(if self.raft { own } else { Addresses::new() }),
            lists: self.lists.clone().filter(|_| inside),
            push: inside.then(|| self.servers.store.into()),
            gray: false,
            renew_off: Some(true),
            store: Store::Reached,
            slots_stable: true,
            blacklist: Addresses::new(),
        }
    }

    fn data(&self, index: usize) -> DataView {
        let own = address(index, self.servers.pods[index].made);
        let orphan = self.servers.pods[index].phase == Phase::Orphan;
        let others = self.lists.as_ref().map(|l| l.datas.iter().copied().filter(|a| *a != own).collect());
        let copies = PUBLISHERS * 2;
        DataView {
            serving: true,
            metas: Some(if orphan { Addresses::new() } else { self.known_metas() }),
            others: Some(others.unwrap_or_default()),
            publishers: Some(if self.servers.lacks { copies / 2 } else { copies }),
        }
    }

    fn session(&self, index: usize) -> SessionView {
        let switch = self.servers.sessions[index - SESSIONS.start];
        // A switch that nobody has set is open on 5.x and closed on 6.x.
        let push = match switch {
            Switch::NeverSet if self.raft => PushSwitch::Open,
            Switch::NeverSet => PushSwitch::Closed,
            set => set.into(),
        };
        SessionView {
            serving: true,
            push: Some(push),
            metas: Some(self.known_metas()),
            datas: self.lists.as_ref().map(|l| l.datas.clone()).or_else(|| Some(Addresses::new())),
            counts: Some(Counts {
                publishers: PUBLISHERS,
                subscribers: PUBLISHERS,
                watchers: 0,
                connections: None,
            }),
        }
    }
}

/// What is true of a state.
pub(crate) fn truth(setting: Setting, state: &State) -> Truth {
    let servers = &state.servers;
    let group = servers.group(setting.raft);
    let mut truth = Truth {
        replicas: BTreeMap::from([(Role::Meta, 3), (Role::Data, 2), (Role::Session, 2)]),
        group: group
            .as_ref()
            .filter(|_| setting.raft)
            .map(|(peers, _)| peers.iter().map(|(i, made)| address(usize::from(*i), *made)).collect()),
        closed_by: state.closed_by,
        other_acts: state.turn == Turn::Other,
        paused: state.spec.paused,
        generation: i64::from(state.spec.generation),
        written: state.memory.run.as_ref().and_then(|r| r.act.as_ref()).map(|f| f.act.clone()),
        last_act: state.memory.run.as_ref().and_then(|r| r.last_act_at).unwrap_or_default(),
        ..Truth::default()
    };
    for (index, member) in MEMBERS.into_iter().enumerate() {
        let pod = servers.pods[index];
        if pod.phase == Phase::Gone || state.templates[role_index(member.role)] == 0 {
            continue;
        }
        let is_serving = match member.role {
            Role::Meta => group.as_ref().is_some_and(|(_, followers)| followers.contains(&index)),
            // One that no meta lists serves nothing, whatever it says.
            _ => pod.phase == Phase::Up,
        };
        if SESSIONS.contains(&index)
            && pod.answers()
            && pushes(setting, servers.sessions[index - SESSIONS.start])
        {
            truth.pushing.insert(member);
        }
        let blank = index < METAS && setting.raft && servers.volumes[index].peers.is_empty();
        truth.pods.insert(
            member,
            PodTruth {
                uid: uid(index, pod.made),
                listens: pod.answers(),
                serves: is_serving,
                blank,
                is_target: pod.template == state.spec.template,
                address: Some(address(index, pod.made)).filter(|_| pod.phase != Phase::Held),
            },
        );
    }
    truth
}

/// A switch that nobody has set is open on 5.x and closed on 6.x.
pub(crate) fn pushes(setting: Setting, switch: Switch) -> bool {
    switch == Switch::Open || (switch == Switch::NeverSet && setting.raft)
}
