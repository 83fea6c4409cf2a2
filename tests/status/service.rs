//! How the servers of DRM and schedulers are told, and whether clients are served.

use sofa_operator::api::v1alpha1::{
    ClusterStatus, ConditionStatus as Is, ConditionType, MemberState, OnTimeout, Reason, Role, Strategy,
};
use sofa_operator::observe::{
    Fact, Kubernetes, Member, Node, Pod, PodPhase, ServerView, ServiceWorld, Trouble, Unknown, Workload,
};
use sofa_operator::plan::{
    Admission, Report, RoleTarget, ServiceInput, ServiceTarget, VerifyRule, Wait, plan_service,
};
use sofa_operator::status::{Observed, ServiceView, Subject, memory_of, observe_service, service_status};
use sofa_operator::types::{Moment, PlanId};
use sofa_operator::validate::Product;

use crate::cluster::NAME;
use crate::schema::stored;

const NOW: Moment = Moment::from_millis(1_795_223_049_000);
const DRM: [(Role, u32); 2] = [(Role::Drmdata, 2), (Role::Console, 1)];

/// A cluster at rest.
struct Servers {
    target: ServiceTarget,
    world: ServiceWorld,
    software: Product,
}

impl Servers {
    fn new(software: Product, roles: &[(Role, u32)]) -> Self {
        let wanted = |(role, replicas): &(Role, u32)| {
            (*role, RoleTarget { replicas: *replicas, revision: "t1".to_owned() })
        };
        let target = ServiceTarget {
            plan: PlanId::from_hash(7),
            roles: roles.iter().map(wanted).collect(),
            paused: false,
            strategy: Strategy::OneByOne,
            admission: Admission::Open,
            verify: VerifyRule {
                percent: 90,
                timeout: std::time::Duration::from_mins(20),
                on_timeout: OnTimeout::Hold,
            },
            by_tasks: false,
            by_connections: software != Product::PowerJob,
            start_budget: std::time::Duration::from_mins(5),
            powerjob: None,
        };
        let mut world = ServiceWorld {
            kubernetes: Kubernetes { at: NOW, ..Kubernetes::default() },
            ..ServiceWorld::default()
        };
        for (role, replicas) in roles {
            world
                .kubernetes
                .workloads
                .insert(*role, Workload { replicas: *replicas, revision: "t1".to_owned() });
            for member in (0..*replicas).map(|n| Member::new(*role, n)) {
                world.kubernetes.pods.insert(member, pod(member));
            }
        }
        let mut servers = Self { target, world, software };
        for member in servers.world.kubernetes.pods.keys().copied().collect::<Vec<_>>() {
            servers.tells(member, None);
        }
        servers
    }

    fn drm() -> Self {
        Self::new(Product::Drm, &DRM)
    }

    fn tells(&mut self, member: Member, failing: Option<Reason>) {
        let view = ServerView { failing, connections: Some(10) };
        self.world.servers.insert(member, Fact::known(view, NOW));
    }

    fn is_silent(&mut self, member: Member, why: Unknown) {
        self.world.servers.insert(member, Fact::unknown(why, NOW));
    }

    fn pod(&mut self, member: Member) -> &mut Pod {
        self.world.kubernetes.pods.get_mut(&member).unwrap()
    }

    fn observed(&self, report: &Report) -> Observed {
        let view = ServiceView { target: &self.target, world: &self.world, software: self.software };
        observe_service(NAME, &view, report)
    }

    fn available(&self) -> (Is, String) {
        let verdict = self.observed(&Report::default()).available;
        (verdict.status, verdict.message)
    }

    /// The status after one reconcile.
    fn status(&self, old: &ClusterStatus) -> ClusterStatus {
        let memory = memory_of(NAME, old);
        let input = ServiceInput {
            now: NOW,
            generation: 1,
            deleting: false,
            target: &self.target,
            world: &self.world,
            memory: &memory,
        };
        let decision = plan_service(&input);
        let subject = Subject {
            cluster: NAME,
            generation: 1,
            now: NOW,
            deleting: false,
            paused: false,
            warnings: &[],
            missing: &[],
        };
        let view = ServiceView { target: &self.target, world: &self.world, software: self.software };
        stored(&service_status(&subject, &view, &decision.report, &decision.memory, old))
    }
}

fn pod(member: Member) -> Pod {
    let role = u32::from(member.role == Role::Console);
    Pod {
        uid: format!("00000000-0000-4000-8000-0000{role:04x}{:04x}", member.ordinal).parse().unwrap(),
        address: Some([10, 0, 0, 1].into()),
        revision: "t1".to_owned(),
        phase: PodPhase::Ready,
        node: Node::Reachable,
        started: Some(NOW),
        trouble: None,
        waived: false,
        raft_data: None,
    }
}

fn data(ordinal: u32) -> Member {
    Member::new(Role::Drmdata, ordinal)
}

const CONSOLE: Member = Member::new(Role::Console, 0);

type Edit = fn(&mut Servers, Member);

/// What a server is by its pod and its own word, what is said of it, and with which reason it degrades the cluster.
#[test]
fn each_state_of_a_drmdata() {
    let cases: [(&str, Edit, MemberState, Option<Reason>); 10] = [
        ("as it is", |_, _| {}, MemberState::Serving, None),
        ("no pod", |s, m| drop(s.world.kubernetes.pods.remove(&m)), MemberState::Gone, None),
        ("stopping", |s, m| s.pod(m).phase = PodPhase::Stopping, MemberState::Gone, None),
        (
            "its node is gone",
            |s, m| s.pod(m).node = Node::Unreachable,
            MemberState::Unknown,
            Some(Reason::NodeUnreachable),
        ),
        (
            "no data master",
            |s, m| s.tells(m, Some(Reason::DataMasterMissing)),
            MemberState::Broken,
            Some(Reason::DataMasterMissing),
        ),
        (
            "no data source",
            |s, m| s.tells(m, Some(Reason::DataSourceNotConnected)),
            MemberState::Broken,
            Some(Reason::DataSourceNotConnected),
        ),
        ("no answer", |s, m| s.is_silent(m, Unknown::TimedOut), MemberState::Unknown, None),
        ("not asked", |s, m| s.world.servers.retain(|other, _| *other != m), MemberState::Unknown, None),
        ("refused", |s, m| s.is_silent(m, Unknown::Refused), MemberState::Broken, Some(Reason::MemberBroken)),
        (
            "it crashes",
            |s, m| {
                s.is_silent(m, Unknown::Refused);
                s.pod(m).phase = PodPhase::Starting;
                s.pod(m).trouble = Some(Trouble::Crash);
            },
            MemberState::Broken,
            Some(Reason::MemberBroken),
        ),
    ];
    for (what, edit, state, degrades) in cases {
        let mut servers = Servers::drm();
        edit(&mut servers, data(1));
        let observed = servers.observed(&Report::default());
        let seen = observed.members.iter().find(|m| m.member == data(1)).unwrap();
        assert_eq!((seen.state, seen.degrades), (state, degrades), "{what}");
        assert!(seen.works() || seen.message.is_some() || what == "no pod", "{what}");
    }
    let mut servers = Servers::drm();
    servers.pod(data(1)).phase = PodPhase::Starting;
    servers.is_silent(data(1), Unknown::Refused);
    let seen = servers.observed(&Report::default()).members.remove(1);
    assert_eq!((seen.state, seen.message), (MemberState::Starting, None));
}

#[test]
fn clients_are_served_by_one_server_and_the_console_decides_nothing() {
    let mut servers = Servers::drm();
    assert_eq!(servers.available(), (Is::True, "at least one drmdata serves".to_owned()));
    servers.tells(data(0), Some(Reason::DataMasterMissing));
    assert_eq!(servers.available().0, Is::True);
    servers.tells(CONSOLE, Some(Reason::MemberBroken));
    assert_eq!(servers.available(), (Is::True, "at least one drmdata serves; no console serves".to_owned()));
    servers.is_silent(CONSOLE, Unknown::TimedOut);
    servers.is_silent(data(1), Unknown::TimedOut);
    assert_eq!(
        servers.available(),
        (Is::Unknown, "no drmdata is known to serve; no console is known to serve".to_owned())
    );
    servers.tells(CONSOLE, None);
    servers.tells(data(1), Some(Reason::DataMasterMissing));
    assert_eq!(servers.available(), (Is::False, "no drmdata serves".to_owned()));
}

#[test]
fn what_the_plan_calls_broken_is_broken() {
    let report = Report {
        notes: vec![Wait {
            reason: Reason::MemberBroken,
            subject: data(0).to_string(),
            message: "it serves nothing".to_owned(),
        }],
        ..Report::default()
    };
    let seen = Servers::drm().observed(&report).members.remove(0);
    assert_eq!((seen.state, seen.message.as_deref()), (MemberState::Broken, Some("it serves nothing")));
}

/// Only a `DrmCluster` has a subresource of scale; the labels are those of its pods.
#[test]
fn drmdata_is_what_is_scaled() {
    let scale = Servers::drm().observed(&Report::default()).scale.unwrap();
    assert_eq!(scale.replicas, 2);
    let snapshot = include_str!("../snapshots/build_snapshots__drm.snap");
    for label in scale.selector.split(',') {
        let (key, value) = label.split_once('=').unwrap();
        assert!(snapshot.contains(&format!("{key}: {value}")), "no pod has the label {key}: {value}");
    }
    for software in [Product::PowerJob, Product::AntScheduler] {
        let servers = Servers::new(software, &[(Role::Server, 2)]);
        assert_eq!(servers.observed(&Report::default()).scale, None);
        assert_eq!(servers.available(), (Is::True, "at least one server serves".to_owned()));
    }
}

#[test]
fn the_first_start_is_over_when_each_role_is_begun() {
    let mut servers = Servers::drm();
    assert!(!servers.observed(&Report::default()).first_start);
    servers.world.kubernetes.workloads.remove(&Role::Console);
    assert!(servers.observed(&Report::default()).first_start);
    servers.target.roles.truncate(1);
    assert!(!servers.observed(&Report::default()).first_start, "it is not wanted");
}

#[test]
fn servers_to_come_and_to_go_are_told() {
    let mut servers = Servers::drm();
    servers.target.roles[0].1.replicas = 1;
    servers.target.roles[1].1.replicas = 2;
    let told: Vec<(String, bool)> = servers
        .observed(&Report::default())
        .members
        .iter()
        .map(|m| (m.member.to_string(), m.wanted))
        .collect();
    let expected = [("drmdata-0", true), ("drmdata-1", false), ("console-0", true), ("console-1", true)];
    assert_eq!(told, expected.map(|(name, wanted)| (name.to_owned(), wanted)));
}

/// At rest nothing is written again, and the conditions say so; a failure of the guide has its own reason.
#[test]
fn a_status_rests_and_names_the_guides_failures() {
    let mut servers = Servers::new(Product::Drm, &[(Role::Drmdata, 2), (Role::Console, 2)]);
    let mut status = ClusterStatus::default();
    for _ in 0..3 {
        status = servers.status(&status);
    }
    assert_eq!(servers.status(&status), status, "nothing has changed");
    assert_eq!(status.ready.as_deref(), Some("4/4"));
    let of = |status: &ClusterStatus, kind| {
        let found = status.conditions.iter().find(|c| c.kind == kind).unwrap();
        (found.status, found.reason)
    };
    assert_eq!(of(&status, ConditionType::Ready), (Is::True, Reason::Converged));
    assert_eq!(of(&status, ConditionType::Degraded), (Is::False, Reason::AsExpected));
    servers.tells(data(0), Some(Reason::DataMasterMissing));
    let status = servers.status(&status);
    assert_eq!(of(&status, ConditionType::Available), (Is::True, Reason::Serving));
    assert_eq!(of(&status, ConditionType::Degraded), (Is::True, Reason::DataMasterMissing));
    assert_eq!(of(&status, ConditionType::Ready), (Is::False, Reason::DataMasterMissing));
    let member = status.members.iter().find(|m| m.name.as_str() == "prod-drmdata-0").unwrap();
    assert!(member.message.as_ref().unwrap().contains("data master is missing"), "{member:?}");
}
