//! Steps, waits and commands, each in one line of plain English.
//!
//! May import `types`, `api`, `observe` and `plan`.

use std::collections::BTreeSet;

use crate::api::v1alpha1::{Role, StepKind};
use crate::observe::RaftData;
use crate::plan::{Command, ReportStep, Stop, Target, Wait};
use crate::types::DnsLabel;

/// What a step does, to whom, and why: `change metas meta-2, meta-0: made from another template`.
#[must_use]
pub fn step_line(step: &ReportStep) -> String {
    let what = if step.what.is_empty() { String::new() } else { format!(" ({})", step.what) };
    format!("{}{what}: {}", step_words(step.kind, step.role), step.why)
}

/// What is waited for: `meta-1: it lists other metas`.
#[must_use]
pub fn wait_line(wait: &Wait) -> String {
    if wait.subject.is_empty() { wait.message.clone() } else { format!("{}: {}", wait.subject, wait.message) }
}

/// What a step does, in a few words.
pub(super) fn step_words(kind: StepKind, role: Option<Role>) -> String {
    let servers = role.map_or("servers", servers);
    match kind {
        StepKind::RecordBaseline => "count what clients have".to_owned(),
        StepKind::ClosePush => "close push".to_owned(),
        StepKind::VerifyPushClosed => "read that push is closed".to_owned(),
        StepKind::CloseAndVerifyPushAgain => "close push again and read it".to_owned(),
        StepKind::ChangeRole => format!("change the {servers}"),
        StepKind::ScaleRole => format!("scale the {servers}"),
        StepKind::VerifyCounts => "count until clients are back".to_owned(),
        StepKind::RefillFromSessions => "refill the data from the sessions".to_owned(),
        StepKind::ClearBlacklist => "clear the blacklist".to_owned(),
        StepKind::DrainServer => "drain the server".to_owned(),
        StepKind::RetryLost => "run lost instances again".to_owned(),
        StepKind::OpenPush => "open push".to_owned(),
        StepKind::VerifyPushOpen => "read that push is open".to_owned(),
    }
}

const fn servers(role: Role) -> &'static str {
    match role {
        Role::Meta => "metas",
        Role::Data => "data servers",
        Role::Session => "sessions",
        Role::Drmdata => "drmdata servers",
        Role::Server => "servers",
        Role::Console => "consoles",
    }
}

/// What is done now, in a few words: `evict meta-2`.
#[must_use]
pub fn command_sentence(command: &Command) -> String {
    match command {
        Command::ReleasePods { targets, raft_data } => {
            let how = match raft_data {
                RaftData::Kept => "",
                RaftData::Blank => ", blank",
                RaftData::Aside(_) => ", blank, with its raft data set aside",
            };
            format!("let {} start{how}", names(targets))
        }
        Command::StopPods { targets, how: Stop::Evict } => format!("evict {}", names(targets)),
        Command::StopPods { targets, how: Stop::Delete } => format!("delete the pod of {}", names(targets)),
        Command::ClosePush { via, sites } => format!("close push by {via}{}", and_sites(sites)),
        Command::OpenPush { via, sites } => format!("open push by {via}{}", and_sites(sites)),
        Command::ChangePeer { via, peers } => format!("tell {via} that the metas are {}", list(peers)),
        Command::ResetPeer { survivor } => format!("make {survivor} a group of its own"),
        Command::Scale { role, replicas } => format!("have {replicas} {}", servers(*role)),
        Command::DisableRenew { via } => format!("switch the renewal of snapshots off by {via}"),
        Command::PreRegister { from, to, apps } => {
            format!("tell {to} of the workers that {from} has, of {}", count(apps))
        }
        Command::MoveApps { from, to, apps } => format!("move {} from {from} to {to}", count(apps)),
        Command::RetryLost { since } => format!("run instances again that were lost since {since}"),
        Command::ClearBlacklist { via, addresses } => {
            format!("take {} off the blacklist by {via}", list(addresses))
        }
    }
}

fn count(apps: &BTreeSet<u64>) -> String {
    if apps.len() == 1 { "1 app".to_owned() } else { format!("{} apps", apps.len()) }
}

fn names(targets: &[Target]) -> String {
    list(targets.iter().map(|target| target.member))
}

fn and_sites(sites: &BTreeSet<DnsLabel>) -> String {
    if sites.is_empty() { String::new() } else { format!(" and at {}", list(sites)) }
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
