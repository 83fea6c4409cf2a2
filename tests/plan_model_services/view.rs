//! What the operator sees of a state, and what the spec asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sofa_operator::api::v1alpha1::{OnTimeout, Reason, Role};
use sofa_operator::observe::{
    App, Apps, Fact, Kubernetes, Member, Need, Node, Pod as SeenPod, PodPhase, ServerView, ServiceWorld,
    Trouble, Unknown, Workload,
};
use sofa_operator::plan::{Admission, PowerJobRule, RoleTarget, ServiceTarget, VerifyRule};
use sofa_operator::types::Moment;

use crate::state::{
    BROKEN, FRESH, GONE, NEVER, NONE, NOW, OLDEST, Phase, Pod, Servers, Setting, Spec, TICK, uid,
};

/// Connections of one unit of clients.
const UNIT: u64 = 50;
/// A former owner that has heard of no worker for so many ticks is taken for usurped: 45 s.
const STALE: u8 = 5;

pub(crate) fn target(setting: Setting, spec: Spec) -> ServiceTarget {
    let revision = format!("t{}", spec.template);
    let replicas = |role: Role| if role == Role::Console { 1 } else { u32::from(spec.servers) };
    let roles = setting
        .roles()
        .iter()
        .map(|role| (*role, RoleTarget { replicas: replicas(*role), revision: revision.clone() }));
    ServiceTarget {
        plan: format!("{:012x}", u32::from(spec.template) * 16 + u32::from(spec.servers))
            .parse()
            .expect("an id"),
        roles: roles.collect(),
        paused: spec.paused,
        strategy: setting.strategy,
        admission: Admission::Open,
        verify: VerifyRule { percent: 90, timeout: Duration::from_mins(20), on_timeout: OnTimeout::Hold },
        by_connections: !setting.is_powerjob(),
        by_tasks: setting.has_tasks(),
        start_budget: Duration::from_mins(5),
        powerjob: setting.is_powerjob().then_some(PowerJobRule { drain: true, retry_lost: true }),
    }
}

/// What is seen of these servers at a moment.
pub(crate) fn world(setting: Setting, servers: &Servers, at: Moment) -> ServiceWorld {
    let mut world =
        ServiceWorld { kubernetes: Kubernetes { at, ..Kubernetes::default() }, ..ServiceWorld::default() };
    for (role, set) in setting.roles().iter().zip(servers.sets) {
        if set.template > 0 {
            let workload =
                Workload { replicas: u32::from(set.replicas), revision: format!("t{}", set.template) };
            world.kubernetes.workloads.insert(*role, workload);
        }
    }
    for index in setting.all() {
        let pod = servers.pods[index];
        if pod.phase != Phase::Gone {
            let member = setting.member(index);
            world.kubernetes.pods.insert(member, seen_pod(index, pod));
            world.servers.insert(member, server(setting, servers, index, at));
            if setting.has_tasks() && setting.place(index).0 == 0 {
                world.tasks.insert(member, tasks(servers, index, at));
            }
        }
    }
    let need = |works, reason, subject: &str| Need {
        reason,
        subject: subject.to_owned(),
        works: Fact::known(works, at),
        fault: None,
    };
    world.needs = vec![
        need(servers.database, Reason::WaitingForDatabase, "database"),
        need(servers.need, Reason::WaitingForDependency, "dependency"),
    ];
    if setting.is_powerjob() {
        world.apps = Some(if servers.database {
            Fact::known(apps(setting, servers), at)
        } else {
            Fact::unknown(Unknown::TimedOut, at)
        });
    }
    world
}

fn seen_pod(index: usize, pod: Pod) -> SeenPod {
    let long_ago = pod.old || pod.phase != Phase::Starting;
    SeenPod {
        uid: uid(index, pod.made),
        address: None,
        revision: format!("t{}", pod.template),
        phase: match pod.phase {
            Phase::Up => PodPhase::Ready,
            Phase::Stopping => PodPhase::Stopping,
            _ => PodPhase::Starting,
        },
        node: Node::Reachable,
        started: Some(if long_ago { NOW.before(OLDEST) } else { NOW }),
        trouble: (pod.template == BROKEN && pod.phase == Phase::Starting).then_some(Trouble::Crash),
        waived: false,
        raft_data: None,
    }
}

fn server(setting: Setting, servers: &Servers, index: usize, at: Moment) -> Fact<ServerView> {
    let counted =
        !setting.is_powerjob() && setting.place(index).0 == 0 && usize::from(servers.uncounted) != index;
    let connections = counted.then(|| u64::from(servers.clients[index]) * UNIT);
    let known = |failing| Fact::known(ServerView { failing, connections }, at);
    match servers.pods[index].phase {
        Phase::Up if servers.works(setting, index) => known(None),
        Phase::Up => known(Some(Reason::WaitingForDatabase)),
        Phase::Failing => known(Some(Reason::DataMasterMissing)),
        Phase::Hung => Fact::unknown(Unknown::TimedOut, at),
        Phase::Gone | Phase::Starting | Phase::Stopping => Fact::unknown(Unknown::Refused, at),
    }
}

/// Tasks of a server that are not reported.
fn tasks(servers: &Servers, index: usize, at: Moment) -> Fact<u64> {
    match servers.pods[index].phase {
        Phase::Up | Phase::Failing if usize::from(servers.silent) != index => {
            Fact::known(u64::from(usize::from(servers.busy) == index), at)
        }
        Phase::Up | Phase::Failing | Phase::Hung => Fact::unknown(Unknown::TimedOut, at),
        Phase::Gone | Phase::Starting | Phase::Stopping => Fact::unknown(Unknown::Refused, at),
    }
}

/// `PowerJob`'s apps, as `read_apps` reads them: only servers that answer tell whom they have heard of.
fn apps(setting: Setting, servers: &Servers) -> Apps {
    let servers_that = |holds: &dyn Fn(usize) -> bool| -> BTreeSet<Member> {
        setting.pods(0).filter(|s| holds(*s)).map(|s| setting.member(s)).collect()
    };
    let hellos: Vec<usize> = setting.pods(0).filter(|s| servers.pods[*s].phase == Phase::Up).collect();
    let heard = |server: usize, worker: usize| servers.jobs.processes[server].heard[worker];
    let mut seen = Apps {
        pinged: servers_that(&|s| servers.is_pinged(s)),
        lost: u32::from(servers.jobs.lost),
        ..Apps::default()
    };
    for (id, app) in servers.jobs.apps.iter().enumerate().take(setting.apps()) {
        let workers = || setting.workers(id);
        let count = |holds: &dyn Fn(usize) -> bool| workers().filter(|w| holds(*w)).map(|_| 1_u32).sum();
        let fresh: BTreeMap<Member, u32> = hellos
            .iter()
            .map(|s| (setting.member(*s), count(&|w| heard(*s, w) < FRESH)))
            .filter(|(_, count)| *count > 0)
            .collect();
        // What is no member of the pods that there are is no member.
        let owner = (app.owner != NONE && servers.pods[usize::from(app.owner)].phase != Phase::Gone)
            .then(|| setting.member(usize::from(app.owner)));
        let moved_at = NOW.before(TICK * u32::from(app.moved));
        if owner.is_some() && app.pending {
            let alone = hellos.len() == 2 && app.moved >= STALE;
            let usurped = hellos.iter().filter(|s| {
                let process = servers.jobs.processes[**s];
                let ages = || workers().map(|w| process.heard[w]);
                let had_any = ages().any(|age| age != NEVER);
                let left = ages().all(|age| age >= STALE);
                **s != usize::from(app.owner) && process.older[id] && left && (had_any || alone)
            });
            seen.usurped.extend(usurped.map(|s| setting.member(*s)));
        }
        let app = App {
            owner,
            moved_at: Some(moved_at),
            fresh,
            alive: count(&|w| hellos.iter().any(|s| heard(*s, w) < GONE)),
            due: true,
        };
        seen.apps.insert(id as u64 + 1, app);
    }
    seen
}
