//! The order of effects, and what stops the command, on ports that only note what is asked of them.

use k8s_openapi::api::core::v1::ServiceAccount;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::admin::answer::Answer;
use crate::api::v1alpha1::{ActKind, Reason, Role, RolloutState};
use crate::effects::{Admin, AdminRequest, ClusterObjects, Pods, Record, Scheduler};
use crate::observe::{Genesis, Member, RaftData};
use crate::plan::{Act, Desired, GroupChange, InFlight, Report, Run, Stop, Target, Wait, Wake};
use crate::types::{Moment, PlanId};

/// What was asked, in order; the object that a read finds; what the servers answer.
struct Noted {
    asked: Vec<String>,
    present: Option<Recorded>,
    answer: Result<Answer, Failure>,
}

impl Noted {
    #[expect(clippy::unnecessary_wraps, reason = "every port answers with it")]
    fn note(&mut self, what: impl Into<String>) -> Result<(), Failure> {
        self.asked.push(what.into());
        Ok(())
    }
}

impl Record for Noted {
    async fn read(&mut self) -> Result<Option<Recorded>, Failure> {
        self.note("read")?;
        Ok(self.present.clone())
    }
    async fn write(&mut self, status: &ClusterStatus, version: &str) -> Result<(), Failure> {
        self.note(format!("write {} at {version}", status.ready.as_deref().unwrap_or("nothing")))
    }
    async fn let_go(&mut self) -> Result<(), Failure> {
        self.note("let go")
    }
}

impl ClusterObjects for Noted {
    async fn apply(&mut self, objects: &Objects) -> Result<(), Failure> {
        let sets: Vec<&str> = objects.stateful_sets.iter().map(StatefulSetChange::name).collect();
        self.note(format!("apply {}", sets.join(",")))
    }
    async fn mark(&mut self, member: Member) -> Result<(), Failure> {
        self.note(format!("mark {member}"))
    }
    async fn write_genesis(&mut self, _: &Genesis) -> Result<(), Failure> {
        self.note("genesis")
    }
    async fn change_group(&mut self, _: &GroupChange) -> Result<(), Failure> {
        self.note("group")
    }
}

impl Pods for Noted {
    async fn release(&mut self, target: &Target, _: &RaftData) -> Result<(), Failure> {
        self.note(format!("release {}", target.member))
    }
    async fn stop(&mut self, target: &Target, how: Stop) -> Result<(), Failure> {
        self.note(format!("{how:?} {}", target.member))
    }
    async fn scale(&mut self, change: &StatefulSetChange) -> Result<(), Failure> {
        self.note(format!("scale {}", change.name()))
    }
}

impl Admin for Noted {
    async fn command(&mut self, request: &AdminRequest) -> Result<Answer, Failure> {
        self.note(format!("command {}", request.path))?;
        self.answer.clone()
    }
}

impl Scheduler for Noted {
    async fn pre_register(&mut self, from: Member, to: Member, _: &BTreeSet<u64>) -> Result<(), Failure> {
        self.note(format!("pre-register {from} {to}"))
    }
    async fn move_apps(&mut self, from: Member, to: Member, apps: &BTreeSet<u64>) -> Result<(), Failure> {
        self.note(format!("move {apps:?} {from} {to}"))
    }
    async fn retry_lost(&mut self, _: Moment) -> Result<(), Failure> {
        self.note("retry")
    }
}

fn set(name: &str) -> StatefulSetChange {
    StatefulSetChange::Replicas { name: name.to_owned(), replicas: 3 }
}

fn objects() -> Objects {
    Objects {
        service_account: ServiceAccount::default(),
        config_maps: Vec::new(),
        network_policies: Vec::new(),
        services: Vec::new(),
        disruption_budgets: Vec::new(),
        ingresses: Vec::new(),
        http_routes: Vec::new(),
        stateful_sets: vec![set("c-meta"), set("c-data")],
    }
}

fn memory(attempts: u32) -> Memory {
    let mut run = Run::begin(PlanId::from_hash(1), 2, Moment::default(), None);
    run.attempts = attempts;
    run.state = RolloutState::Acting;
    run.act = Some(InFlight {
        act: Act::on_cluster(ActKind::ClosePush),
        written_at: Moment::default(),
        done_at: None,
    });
    Memory { run: Some(run), ..Memory::default() }
}

/// The status that tells and remembers this: `ready` shows which memory it was made from, and what is waited for.
fn status(report: &Report, memory: &Memory, old: &ClusterStatus) -> ClusterStatus {
    let attempts = memory.run.as_ref().map_or(0, |r| r.attempts);
    let waits = report.waits.first().map(|wait| format!(", {}", wait.message)).unwrap_or_default();
    ClusterStatus { ready: Some(format!("{attempts}{waits}")), ..old.clone() }
}

/// The status with the act written down, as the status layer writes it.
fn written() -> ClusterStatus {
    let subject = crate::status::Subject {
        cluster: "c",
        generation: 2,
        now: Moment::default(),
        deleting: false,
        paused: false,
        warnings: &[],
        missing: &[],
    };
    let verdict = crate::status::Verdict {
        status: crate::api::v1alpha1::ConditionStatus::True,
        message: String::new(),
    };
    let observed =
        crate::status::Observed { members: Vec::new(), available: verdict, scale: None, first_start: false };
    crate::status::status_of(&subject, &Report::default(), &memory(0), &observed, &ClusterStatus::default())
}

fn seen() -> Recorded {
    Recorded {
        uid: "u".to_owned(),
        resource_version: "7".to_owned(),
        generation: 2,
        deleting: false,
        status: written(),
    }
}

fn decision(command: Option<Command>) -> Decision {
    Decision {
        desired: Desired::default(),
        marks: BTreeSet::from([Member::new(Role::Meta, 1)]),
        genesis: Some(Genesis::Done),
        group: Some(GroupChange { group: "city".parse().unwrap(), hold: true, act: true }),
        command,
        memory: memory(1),
        memory_if_refused: Some(memory(2)),
        report: Report::default(),
        wake: Wake::Soon,
        finished: false,
    }
}

fn done(
    decision: &Decision,
    present: Option<Recorded>,
    answer: Result<Answer, Failure>,
) -> (Outcome, Vec<String>) {
    let mut ports = Noted { asked: Vec::new(), present, answer };
    let scaled = matches!(decision.command, Some(Command::Scale { .. })).then(|| "c-data".to_owned());
    let seen = seen();
    let turn = Turn { seen: &seen, decision, objects: objects(), scaled, status: &status };
    let outcome = match pin!(run(turn, &mut ports)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.unwrap(),
        Poll::Pending => panic!("nothing waits here"),
    };
    (outcome, ports.asked)
}

#[expect(clippy::unnecessary_wraps, reason = "it stands where a failure may")]
fn accepted() -> Result<Answer, Failure> {
    Ok(Answer::new(200, r#"{"success":true,"message":null}"#))
}

fn close() -> Command {
    Command::ClosePush { via: Ipv4Addr::LOCALHOST, sites: BTreeSet::new() }
}

const FIRST: [&str; 4] = ["apply c-meta,c-data", "mark meta-1", "genesis", "group"];

#[test]
fn the_order_is_that_of_the_contract() {
    let newer = Recorded { resource_version: "9".to_owned(), ..seen() };
    let (outcome, asked) = done(&decision(Some(close())), Some(newer), accepted());
    assert_eq!(outcome, Outcome { did: Did::Accepted, wrote: true });
    assert_eq!(asked[..4], FIRST);
    assert_eq!(asked[4..], ["read", "command /stopPushDataSwitch/open", "write 1 at 9"]);
    let (outcome, asked) = done(&decision(None), None, accepted());
    assert_eq!(outcome, Outcome { did: Did::Nothing, wrote: true });
    assert_eq!(asked[4..], ["write 1 at 7"], "no command, no second read");
}

#[test]
fn a_refusal_remembers_otherwise() {
    for answer in [
        Ok(Answer::new(200, r#"{"success":false,"message":"no"}"#)),
        Ok(Answer::new(500, "<html>")),
        Err(Failure::Unanswered("time is over".to_owned())),
    ] {
        let (outcome, asked) = done(&decision(Some(close())), Some(seen()), answer);
        assert!(matches!(outcome.did, Did::Refused(_)), "{outcome:?}");
        let told = "write 2, it was refused or not answered, and is tried again at 7";
        assert_eq!(asked[5..], ["command /stopPushDataSwitch/open", told], "sent once");
    }
}

/// Who may not evict waits for whoever may say otherwise: the API server's words name the budget.
#[test]
fn an_eviction_that_is_refused_is_told_in_the_words_of_who_refused() {
    let target = Target { member: Member::new(Role::Data, 1), uid: None };
    let command = Command::StopPods { targets: vec![target], how: Stop::Evict };
    let report = Report::default().not_done(&command, Some("the budget c-data needs 2 pods"));
    let expected = Wait {
        reason: Reason::WaitingForEviction,
        subject: "data-1".to_owned(),
        message: "the budget c-data needs 2 pods".to_owned(),
    };
    assert_eq!(report.waits, [expected]);
}

#[test]
fn nothing_is_sent_when_what_is_written_down_is_another() {
    let done_already = {
        let mut seen = seen();
        let act = seen.status.rollout.as_mut().and_then(|r| r.act.as_mut()).unwrap();
        act.done_at = Some(Moment::default().into());
        seen
    };
    let other_act = {
        let mut seen = seen();
        let act = seen.status.rollout.as_mut().and_then(|r| r.act.as_mut()).unwrap();
        act.key = "other".parse().unwrap();
        seen
    };
    let other_status =
        Recorded { status: ClusterStatus { ready: Some("x".to_owned()), ..written() }, ..seen() };
    for present in [
        None,
        Some(Recorded { uid: "v".to_owned(), ..seen() }),
        Some(Recorded { generation: 3, ..seen() }),
        Some(Recorded { deleting: true, ..seen() }),
        Some(Recorded { status: ClusterStatus::default(), ..seen() }),
        Some(done_already),
        Some(other_act),
        Some(other_status),
    ] {
        let (outcome, asked) = done(&decision(Some(close())), present.clone(), accepted());
        assert!(matches!(outcome, Outcome { did: Did::Outdated(_), wrote: false }), "{present:?}");
        assert_eq!(asked[4..], ["read"], "{present:?}");
    }
}

#[test]
fn what_is_scaled_is_not_applied_before() {
    let command = Command::Scale { role: Role::Data, replicas: 3 };
    let (_, asked) = done(&decision(Some(command)), Some(seen()), accepted());
    assert_eq!(asked[0], "apply c-meta");
    assert_eq!(asked[4..], ["read", "scale c-data", "write 1 at 7"]);
}

#[test]
fn an_equal_status_is_not_written_and_the_end_comes_last() {
    let mut last = decision(None);
    last.finished = true;
    let mut seen = seen();
    seen.status.ready = Some("1".to_owned());
    let mut ports = Noted { asked: Vec::new(), present: None, answer: accepted() };
    let turn = Turn { seen: &seen, decision: &last, objects: objects(), scaled: None, status: &status };
    let outcome = pin!(run(turn, &mut ports)).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(outcome, Poll::Ready(Ok(Outcome { did: Did::Nothing, wrote: false })));
    assert_eq!(ports.asked[4..], ["let go"]);
}
