//! The plan as people and programs read it, at moments of a rolling change that the real planner makes.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use sofa_operator::api::v1alpha1::{Reason, Role, RolloutState, StepKind, StepState};
use sofa_operator::observe::{Member, Node};
use sofa_operator::plan::{Admission, Report, ReportStep, Wait};
use sofa_operator::render::{json as as_json, table};
use sofa_operator::types::Moment;

use crate::cluster::{Cluster, DATA, META};
use crate::rollout::at_rest;

#[test]
fn a_rolling_change_as_people_read_it() {
    let mut cluster = at_rest();
    let mut shown = Vec::new();
    let mut show = |title: &str, cluster: &Cluster, text: String| {
        let mut page = format!("--- {title}\n{text}status.plan:\n");
        for line in &cluster.status.plan {
            let _ = writeln!(page, "  {line}");
        }
        shown.push(page);
    };
    show("at rest", &cluster, table(&cluster.clone().reconcile()));
    cluster.change_template("t2");
    let decision = cluster.reconcile();
    show("a new template", &cluster, table(&decision));
    let decision = cluster.until("push is closed", |_, d| d.command.is_some());
    show("push is closed", &cluster, table(&decision));
    let decision =
        cluster.until("a meta is stopped", |c, _| c.servers[&Member::new(META, 2)].phase.is_none());
    show("a meta is evicted", &cluster, table(&decision));
    let decision = cluster.until("it is waited for", |_, d| d.command.is_none());
    show("its pod is waited for", &cluster, table(&decision));
    let decision =
        cluster.until("data", |c, d| d.command.is_some() && c.servers[&Member::new(DATA, 1)].phase.is_none());
    show("a data server is evicted", &cluster, table(&decision));
    let decision =
        cluster.until("counts", |_, d| d.report.waits.iter().any(|w| w.reason == Reason::WaitingForCounts));
    show("clients are counted", &cluster, table(&decision));
    let decision = cluster.until("done", |_, d| d.report.state == Some(RolloutState::Done));
    show("done", &cluster, table(&decision));
    insta::assert_snapshot!("rolling_change", shown.join("\n"));
}

#[test]
fn what_waits_and_what_halts_as_people_read_it() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    cluster.target.admission = Admission::Window(Some(Moment::from_millis(1_795_300_000_000)));
    let window = table(&cluster.reconcile());
    cluster.target.admission = Admission::Open;
    cluster.servers.get_mut(&Member::new(META, 1)).unwrap().node = Node::Unreachable;
    cluster.reconcile();
    cluster.wait(Duration::from_mins(20));
    let halted = table(&cluster.reconcile());
    insta::assert_snapshot!("waits_and_halts", format!("{window}\n{halted}"));
}

#[test]
fn a_plan_as_programs_read_it() {
    let mut cluster = at_rest();
    cluster.change_template("t2");
    let decision =
        cluster.until("a meta is stopped", |c, _| c.servers[&Member::new(META, 2)].phase.is_none());
    insta::assert_snapshot!("json", as_json(&decision));
    let read: Value = serde_json::from_str(&as_json(&decision)).unwrap();
    assert_eq!(read["does"], json!("evict meta-2"));
    assert_eq!(read["nextLook"], json!({"when": "Soon"}));
}

/// Columns stay in line whatever stands in them.
#[test]
fn wide_characters_and_line_breaks_do_not_break_the_table() {
    let mut decision = at_rest().reconcile();
    let step = |what: &str, state| ReportStep {
        kind: StepKind::ChangeRole,
        role: Some(Role::Meta),
        state,
        what: what.to_owned(),
        why: "模板\nnew".to_owned(),
    };
    decision.report = Report {
        state: Some(RolloutState::Gating),
        steps: vec![step("元-0", StepState::Current), step("meta-1", StepState::Pending)],
        waits: vec![Wait {
            reason: Reason::Other,
            subject: String::new(),
            message: "a\u{1b}[31mb".to_owned(),
        }],
        ..Report::default()
    };
    insta::assert_snapshot!("wide", table(&decision));
}
