//! What a plan is given of a valid spec: its id, whether it may begin, who the survivor is.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test's helpers fail as its test functions do"
)]

#[expect(dead_code, reason = "some of the specs are for other tests")]
mod specs;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use sofa_operator::api::v1alpha1::{Automation, MembershipKind, OnTimeout, Role, Strategy};
use sofa_operator::build::Build;
use sofa_operator::observe::Member;
use sofa_operator::plan::{
    Admission, PowerJobRule, RegistryTarget, ServiceTarget, drm_target, registry_target, scheduler_target,
};
use sofa_operator::types::{DnsLabel, Moment};
use sofa_operator::validate::ClusterKind;
use specs::{ANT, Around, DRM, DRM_FULL, Edits, POWERJOB, REGISTRY, REGISTRY_FULL, REGISTRY6, edited};

/// Saturday, 14:00 in UTC.
const NOW: &str = "2026-11-21T14:00:00Z";

fn moment(text: &str) -> Moment {
    Moment::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn target(spec: &Value, now: &str) -> RegistryTarget {
    let valid = Around::of(ClusterKind::Registry).registry(spec).unwrap();
    registry_target(&valid, &valid.targets(), moment(now))
}

fn after(edits: Edits) -> RegistryTarget {
    target(&edited(&REGISTRY, edits), NOW)
}

#[test]
fn the_smallest_spec_has_a_target() {
    let target = after(&[]);
    assert_eq!(target.membership, MembershipKind::RaftByAddress);
    let replicas: Vec<(Role, u32)> = target.roles.iter().map(|(role, t)| (*role, t.replicas)).collect();
    assert_eq!(replicas, [(Role::Meta, 3), (Role::Data, 3), (Role::Session, 2)]);
    assert!(target.roles.values().all(|t| t.revision.len() == 12));
    assert_eq!((target.paused, target.hold, target.renew_off), (false, false, true));
    assert_eq!(target.admission, Admission::Open);
    assert_eq!(target.verify.percent, 90);
    assert_eq!(target.verify.timeout, Duration::from_mins(20));
    assert!(target.start_budget >= Duration::from_mins(1), "{:?}", target.start_budget);
    assert_eq!(target.confirm, None);
}

#[test]
fn the_fullest_spec_has_all_of_it_in_its_target() {
    let target = target(&REGISTRY_FULL, NOW);
    assert_eq!(target.membership, MembershipKind::Database);
    assert_eq!((target.paused, target.hold, target.renew_off), (true, true, false));
    assert_eq!((target.strategy, target.majority), (Strategy::TwoGroups, Automation::Automatic));
    assert_eq!((target.verify.percent, target.verify.on_timeout), (95, OnTimeout::Reopen));
    assert_eq!(target.confirm, Some(("a1b2".to_owned(), Member::new(Role::Meta, 0))));
    assert_eq!(target.push_group.as_ref().map(DnsLabel::as_str), Some("city"));
    let sites: Vec<&str> = target.close_sites.iter().map(DnsLabel::as_str).collect();
    assert_eq!(sites, ["west"]);
    assert_eq!(target.start_budget, Duration::from_mins(10), "the longest of the roles");
}

/// A person approves templates and replicas: nothing else changes the id, and the same target has the same id for ever.
#[test]
fn the_id_of_a_plan_is_that_of_its_templates_and_replicas() {
    let plan = after(&[]).plan;
    for same in [
        &[("/paused", json!(true))][..],
        &[("/push/hold", json!(true))],
        &[("/rollout/approval", json!("Manual"))],
        &[("/rollout/windows", json!([{"cron": "0 1 * * *", "duration": "1h"}]))],
        &[("/pushGroup", json!("city"))],
        &[("/rollout/strategy", json!("TwoGroups"))],
    ] {
        assert_eq!(after(same).plan, plan, "{same:?}");
    }
    for other in [
        &[("/session/replicas", json!(3))][..],
        &[("/data/replicas", json!(2))],
        &[("/restart", json!("now"))],
        &[("/data/heap", json!("3000Mi"))],
    ] {
        assert_ne!(after(other).plan, plan, "{other:?}");
    }
    let revisions =
        BTreeMap::from([Role::Meta, Role::Data, Role::Session].map(|r| (r, "0123456789ab".to_owned())));
    let valid = Around::of(ClusterKind::Registry).registry(&REGISTRY).unwrap();
    let fixed = registry_target(&valid, &revisions, moment(NOW));
    assert_eq!(fixed.plan.as_str(), "519af48d5d24714c", "an approval outlives an upgrade");
    assert!(!fixed.paused);
}

#[test]
fn a_plan_without_all_templates_restarts_nothing() {
    let valid = Around::of(ClusterKind::Registry).registry(&REGISTRY).unwrap();
    assert!(registry_target(&valid, &BTreeMap::new(), moment(NOW)).paused);
}

#[test]
fn a_manual_plan_needs_its_own_approval() {
    let manual = ("/rollout/approval", json!("Manual"));
    assert_eq!(after(std::slice::from_ref(&manual)).admission, Admission::Approval);
    let approved = |id: &str| after(&[manual.clone(), ("/rollout/approved", json!(id))]).admission;
    assert_eq!(approved("0123456789abcdef"), Admission::Approval, "that of another plan");
    let plan = after(&[]).plan;
    assert_eq!(approved(plan.as_str()), Admission::Open);
    assert_eq!(after(&[("/rollout/approved", json!("0123456789abcdef"))]).admission, Admission::Open);
}

#[test]
fn a_window_lets_it_begin_or_says_when() {
    let spec = edited(&REGISTRY, &[("/rollout/windows", json!([{"cron": "0 2 * * *", "duration": "2h"}]))]);
    assert_eq!(target(&spec, "2026-11-21T02:00:00Z").admission, Admission::Open);
    assert_eq!(target(&spec, "2026-11-21T03:59:59Z").admission, Admission::Open);
    let next = Admission::Window(Some(moment("2026-11-22T02:00:00Z")));
    assert_eq!(target(&spec, "2026-11-21T04:00:00Z").admission, next);
    assert_eq!(target(&spec, NOW).admission, next);
    let both = edited(&spec, &[("/rollout/approval", json!("Manual"))]);
    assert_eq!(
        target(&both, NOW).admission,
        Admission::Approval,
        "a person is asked before the window opens"
    );
}

#[test]
fn the_survivor_is_named_by_its_member_or_its_pod() {
    let confirm = |name: &str| {
        let edit = ("/recovery/metaMajority/confirm", json!({"incident": "a1", "survivor": name}));
        after(&[edit]).confirm.map(|(incident, member)| (incident, member.to_string()))
    };
    let meta_2 = Some(("a1".to_owned(), "meta-2".to_owned()));
    assert_eq!(confirm("meta-2"), meta_2);
    assert_eq!(confirm("prod-meta-2"), meta_2);
    let valid = Around::of(ClusterKind::Registry).registry(&REGISTRY6).unwrap();
    assert_eq!(registry_target(&valid, &valid.targets(), moment(NOW)).confirm, None);
}

fn drm(spec: &Value) -> ServiceTarget {
    let valid = Around::of(ClusterKind::Drm).drm(spec).unwrap();
    drm_target(&valid, &valid.targets(), moment(NOW))
}

fn scheduler(spec: &Value) -> ServiceTarget {
    let valid = Around::of(ClusterKind::Scheduler).scheduler(spec).unwrap();
    scheduler_target(&valid, &valid.targets(), moment(NOW))
}

fn replicas(target: &ServiceTarget) -> Vec<(Role, u32)> {
    target.roles.iter().map(|(role, t)| (*role, t.replicas)).collect()
}

#[test]
fn drm_and_antscheduler_change_servers_before_consoles() {
    let target = drm(&DRM);
    assert_eq!(replicas(&target), [(Role::Drmdata, 2), (Role::Console, 2)]);
    assert!(target.roles.iter().all(|(_, t)| t.revision.len() == 12));
    assert!(target.by_connections && target.powerjob.is_none() && !target.paused);
    assert_eq!(replicas(&drm(&DRM_FULL))[0], (Role::Drmdata, 3));
    let edits = [
        ("/rollout/strategy", json!("TwoGroups")),
        ("/rollout/verify", json!({"minRecoveryPercent": 80, "timeout": "5m", "onTimeout": "Reopen"})),
        ("/paused", json!(true)),
    ];
    let other = drm(&edited(&DRM, &edits));
    assert_eq!((other.strategy, other.paused), (Strategy::TwoGroups, true));
    assert_eq!((other.verify.percent, other.verify.on_timeout), (80, OnTimeout::Reopen));
    assert_eq!(other.verify.timeout, Duration::from_mins(5));
    assert_eq!(other.plan, target.plan, "only templates and replicas are in it");
    let slow = drm(&edited(&DRM, &[("/console/probes/startupTimeout", json!("12m"))]));
    assert_eq!(slow.start_budget, Duration::from_mins(12), "the longest of the roles");
    let ant = scheduler(&ANT);
    assert_eq!(replicas(&ant), [(Role::Server, 2), (Role::Console, 2)]);
    assert!(ant.by_connections && ant.powerjob.is_none());
}

/// Apps are moved where a login was given and the version is one with which that was measured.
#[test]
fn powerjob_moves_apps_with_a_login_and_a_measured_version() {
    let plain = scheduler(&POWERJOB);
    assert_eq!(replicas(&plain), [(Role::Server, 2)]);
    assert_eq!((plain.by_connections, plain.strategy), (false, Strategy::OneByOne));
    assert_eq!(plain.powerjob, Some(PowerJobRule { drain: false, retry_lost: false }));
    let login = ("/powerjob/databaseSecretRef", json!({"name": "operator"}));
    let with =
        |edits: Edits| scheduler(&edited(&edited(&POWERJOB, std::slice::from_ref(&login)), edits)).powerjob;
    assert_eq!(with(&[]), Some(PowerJobRule { drain: true, retry_lost: false }));
    let before = [("/version", json!("4.3.8")), ("/image", json!("localhost/powerjob:4.3.8"))];
    assert_eq!(with(&before), with(&[]));
    let retry = ("/powerjob/retryLost", json!("Enabled"));
    assert_eq!(with(std::slice::from_ref(&retry)), Some(PowerJobRule { drain: true, retry_lost: true }));
    for version in ["4.3.7", "5.1.1", "4.3.9-rc.1"] {
        let other =
            [("/version", json!(version)), ("/image", json!(format!("localhost/powerjob:{version}")))];
        assert_eq!(with(&other), Some(PowerJobRule { drain: false, retry_lost: false }), "{version}");
        let both = [other.as_slice(), std::slice::from_ref(&retry)].concat();
        assert_eq!(with(&both), Some(PowerJobRule { drain: false, retry_lost: true }), "{version}");
    }
    let blind = scheduler(&edited(&POWERJOB, &[retry]));
    assert_eq!(
        blind.powerjob,
        Some(PowerJobRule { drain: false, retry_lost: false }),
        "nobody tells what was lost"
    );
}

#[test]
fn services_ask_for_windows_approval_and_templates_as_registries_do() {
    let closed = edited(&DRM, &[("/rollout/windows", json!([{"cron": "0 2 * * *", "duration": "2h"}]))]);
    assert_eq!(drm(&closed).admission, Admission::Window(Some(moment("2026-11-22T02:00:00Z"))));
    let manual = edited(&POWERJOB, &[("/rollout/approval", json!("Manual"))]);
    let asks = scheduler(&manual);
    assert_eq!(asks.admission, Admission::Approval);
    let approved = edited(&manual, &[("/rollout/approved", json!(asks.plan.as_str()))]);
    assert_eq!(scheduler(&approved).admission, Admission::Open);
    let valid = Around::of(ClusterKind::Drm).drm(&DRM).unwrap();
    assert!(drm_target(&valid, &BTreeMap::new(), moment(NOW)).paused);
}

/// An approval outlives an upgrade of the operator.
#[test]
fn the_ids_of_services_stay() {
    let revisions =
        BTreeMap::from([Role::Drmdata, Role::Server, Role::Console].map(|r| (r, "0123456789ab".to_owned())));
    let valid = Around::of(ClusterKind::Drm).drm(&DRM).unwrap();
    assert_eq!(drm_target(&valid, &revisions, moment(NOW)).plan.as_str(), "cd9c70a6cfa1fb9f");
    let valid = Around::of(ClusterKind::Scheduler).scheduler(&POWERJOB).unwrap();
    assert_eq!(scheduler_target(&valid, &revisions, moment(NOW)).plan.as_str(), "2490ea4340d388ee");
}
