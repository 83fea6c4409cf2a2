//! The order of the contract: apply what is desired, mark claims, the first start, the push group; then, only if a read past
//! every cache shows our own write-ahead, the one command; then the status.
//!
//! Whatever fails ends the turn: the next one observes first. So a crash after any step leaves nothing that the next turn
//! would not find and go on from.

use super::ports::{Failure, Ports, Recorded};
use super::requests::requests;
use crate::admin::registry::wire::{self, Outcome as Word};
use crate::api::v1alpha1::ClusterStatus;
use crate::build::{Objects, StatefulSetChange};
use crate::plan::{Command, Decision, Memory, Report};

/// The status that tells this report and what is remembered, from the one that is there.
pub type Render<'a> = dyn Fn(&Report, &Memory, &ClusterStatus) -> ClusterStatus + Sync + 'a;

/// One decision, and what is needed to do it.
pub struct Turn<'a> {
    /// The object as the decision was made from it.
    pub seen: &'a Recorded,
    /// The decision.
    pub decision: &'a Decision,
    /// What `build` makes of its desired state.
    pub objects: Objects,
    /// The name of the StatefulSet that the command scales, if it scales one: its change is the act itself and waits.
    pub scaled: Option<String>,
    /// The status that follows.
    pub status: &'a Render<'a>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What became of the command.
    pub did: Did,
    /// Whether a status was written.
    pub wrote: bool,
}

/// What became of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Did {
    /// There was none.
    Nothing,
    /// It was accepted. Only a later observation says that it is done.
    Accepted,
    /// It was refused, or nobody answered.
    Refused(String),
    /// It was not sent: what is written down is no longer what the decision was made from. Nothing was written either.
    Outdated(&'static str),
}

/// Does what was decided.
///
/// # Errors
/// The first thing that could not be done, besides the command. Nothing after it was tried.
pub async fn run<P: Ports>(turn: Turn<'_>, ports: &mut P) -> Result<Outcome, Failure> {
    let Turn { seen, decision, mut objects, scaled, status } = turn;
    let scaling = take_scaled(&mut objects, scaled.as_deref());
    ports.apply(&objects).await?;
    for member in &decision.marks {
        ports.mark(*member).await?;
    }
    if let Some(genesis) = &decision.genesis {
        ports.write_genesis(genesis).await?;
    }
    if let Some(group) = &decision.group {
        ports.change_group(group).await?;
    }
    let mut version = seen.resource_version.clone();
    let (did, memory, refused) = match &decision.command {
        None => (Did::Nothing, &decision.memory, None),
        Some(command) => {
            let present = ports.read().await?;
            match fence(seen, present.as_ref()) {
                Ok(now) => version = now.to_owned(),
                Err(why) => return Ok(Outcome { did: Did::Outdated(why), wrote: false }),
            }
            match send(command, scaling.as_ref(), ports).await {
                Ok(()) => (Did::Accepted, &decision.memory, None),
                Err(failure) => {
                    let memory = decision.memory_if_refused.as_ref().unwrap_or(&decision.memory);
                    let report = decision.report.not_done(command, failure.refusal());
                    (Did::Refused(failure.to_string()), memory, Some(report))
                }
            }
        }
    };
    let next = status(refused.as_ref().unwrap_or(&decision.report), memory, &seen.status);
    let wrote = next != seen.status;
    if wrote {
        ports.write(&next, &version).await?;
    }
    if decision.finished {
        ports.let_go().await?;
    }
    Ok(Outcome { did, wrote })
}

/// The resourceVersion, if the status still is the one that the decision was made from, with its act written down and not
/// done, and the object and its spec are the same.
fn fence<'a>(seen: &Recorded, present: Option<&'a Recorded>) -> Result<&'a str, &'static str> {
    let Some(present) = present.filter(|p| p.uid == seen.uid) else {
        return Err("the object is another one");
    };
    if present.generation != seen.generation || present.deleting != seen.deleting {
        return Err("the spec is another one");
    }
    let written = present.status.rollout.as_ref().and_then(|r| r.act.as_ref());
    let Some(written) = written.filter(|act| act.done_at.is_none()) else {
        return Err("no act is written down that is not done");
    };
    let expected = seen.status.rollout.as_ref().and_then(|r| r.act.as_ref());
    if expected.map(|act| &act.key) != Some(&written.key) {
        return Err("another act is written down");
    }
    if present.status != seen.status {
        return Err("the status is another one");
    }
    Ok(&present.resource_version)
}

/// Takes the StatefulSet out that the command scales: with its replicas the act itself would be applied.
fn take_scaled(objects: &mut Objects, scaled: Option<&str>) -> Option<StatefulSetChange> {
    let at = objects.stateful_sets.iter().position(|set| Some(set.name()) == scaled)?;
    Some(objects.stateful_sets.remove(at))
}

/// Sends a command, once. The first failure ends it: each of its parts can be done twice.
async fn send<P: Ports>(
    command: &Command,
    scaling: Option<&StatefulSetChange>,
    ports: &mut P,
) -> Result<(), Failure> {
    match command {
        Command::ReleasePods { targets, raft_data } => {
            for target in targets {
                ports.release(target, raft_data).await?;
            }
            Ok(())
        }
        Command::StopPods { targets, how } => {
            for target in targets {
                ports.stop(target, *how).await?;
            }
            Ok(())
        }
        Command::Scale { role, .. } => match scaling {
            Some(change) => ports.scale(change).await,
            None => Err(Failure::Refused(format!("no StatefulSet of role {role:?} was built"))),
        },
        Command::PreRegister { from, to, apps } => ports.pre_register(*from, *to, apps).await,
        Command::MoveApps { from, to, apps } => ports.move_apps(*from, *to, apps).await,
        Command::RetryLost { since } => ports.retry_lost(*since).await,
        Command::ClosePush { .. }
        | Command::OpenPush { .. }
        | Command::ChangePeer { .. }
        | Command::ResetPeer { .. }
        | Command::DisableRenew { .. }
        | Command::ClearBlacklist { .. } => {
            for request in requests(command) {
                let answer = ports.command(&request).await?;
                // 5.x fails with 200: the field decides.
                match wire::outcome(&answer) {
                    Ok(Word::Accepted) => {}
                    Ok(Word::Refused(words)) => return Err(Failure::Refused(words)),
                    Err(unreadable) => return Err(Failure::Refused(unreadable.to_string())),
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
