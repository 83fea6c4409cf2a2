//! PowerJob: a server is stopped only when its apps are another one's and their workers have followed (measured:
//! powerjob §1.6, §1.7).

use std::collections::BTreeSet;
use std::time::Duration;

use super::picture::Picture;
use super::rolling::stop;
use crate::api::v1alpha1::{ActKind, Reason, Role};
use crate::observe::{App, Apps, Member, Unknown};
use crate::plan::decision::{Command, Stop, Wake};
use crate::plan::machine::Next;
use crate::plan::memory::{Act, Memory, Target};
use crate::plan::report::Wait;
use crate::types::Moment;
use crate::validate::what_is_lost;

/// The former owner fires what it has in its wheel for this long; then it may be stopped.
const WHEEL: Duration = Duration::from_secs(30);
/// After a minute its workers count as dead and what it fires fails: it is stopped before, whoever has followed by then.
const LATEST_STOP: Duration = Duration::from_secs(50);
/// Owners are looked at so often at rest: a server that loses an app while it lives is found when its workers have left it for
/// 45 s, and has to be stopped before they have for 60 (§1.7, row 5 and rule c).
const LOOK: Duration = Duration::from_secs(10);
/// An app without a worker is told after this long.
const NO_WORKERS_PATIENCE: Duration = Duration::from_mins(1);

impl Picture<'_> {
    /// Whether apps are moved before a stop: the spec's version is one with which that was measured, and no server tells that it
    /// is of another one, from which the cluster is just changed.
    pub(super) fn moves_apps(&self) -> bool {
        match self.apps() {
            Some(Ok(apps)) => apps.unmeasured.is_empty(),
            Some(Err(_)) => true,
            None => false,
        }
    }

    /// Why servers are simply stopped although the spec's version is one with which apps are moved.
    pub(super) fn unmoved_apps(&self) -> Option<Wait> {
        let Ok(apps) = self.apps()? else { return None };
        let told: Vec<String> =
            apps.unmeasured.iter().map(|(member, version)| format!("{member} is of {version}")).collect();
        let lost = what_is_lost(self.t.powerjob.is_some_and(|p| p.retry_lost));
        let message = format!(
            "{}: until all are of a version with which apps are moved, a restart stops each server without moving its apps \
             first and firings may get lost: {lost}",
            told.join(", ")
        );
        (!told.is_empty()).then(|| Wait::new(Reason::AppsNotMoved, "version", message))
    }

    /// The apps, where they are known and moved before a stop.
    fn apps(&self) -> Option<Result<&Apps, Wait>> {
        if !self.t.powerjob.is_some_and(|p| p.drain) {
            return None;
        }
        Some(crate::observe::read(self.w.apps.as_ref(), self.cutoff).map_err(|why| {
            let why = self.w.apps_fault.clone().unwrap_or_else(|| why.to_string());
            Wait::new(Reason::WaitingForDatabase, "apps", format!("their owners are not known: {why}"))
        }))
    }

    /// A database that answers and does not tell of the apps: no time mends that, and a person is told before a restart waits
    /// for it. One that is silent is told where it is waited for.
    pub(super) fn untold_apps(&self) -> Option<Wait> {
        let rule = self.t.powerjob?;
        let fault = self.w.apps_fault.as_deref()?;
        let is_refused = self.w.apps.as_ref().is_some_and(|f| f.read().err() == Some(Unknown::Unreadable));
        let lacks = match (rule.drain, rule.retry_lost) {
            (true, _) => "a restart waits until the operator's own login works",
            (false, true) => "what is lost in a restart is not run again",
            (false, false) => return None,
        };
        let message = format!("the database does not tell of them: {fault}: {lacks}");
        is_refused.then(|| Wait::new(Reason::AppsNotMoved, "apps", message))
    }

    /// When to look again where apps are moved: no later than owners have to be looked at.
    pub(super) fn watchful(&self, wake: Wake) -> Wake {
        let look = self.now.after(LOOK);
        match wake {
            _ if self.deleting || !self.t.powerjob.is_some_and(|p| p.drain) => wake,
            Wake::Slowly => Wake::At(look),
            Wake::At(at) => Wake::At(at.min(look)),
            Wake::Now | Wake::Hurried | Wake::Soon => wake,
        }
    }

    /// What has to be done before this server may be stopped. `None`: it may.
    pub(super) fn drain(&self, server: Member) -> Option<Next> {
        let apps = match self.apps()? {
            Ok(apps) => apps,
            Err(wait) => return Some(Next::wait(wait)),
        };
        // What a server of another version says is not known to mean the same.
        if !apps.unmeasured.is_empty() {
            return None;
        }
        let owned: BTreeSet<u64> = owned_by(apps, server);
        if self.replicas(Role::Server) > 1 {
            if let Err(wait) = hold(apps, server, owned.is_empty(), self.now) {
                return Some(Next::wait(wait));
            }
            if !owned.is_empty() {
                return Some(self.move_apps(apps, server, owned));
            }
        }
        None
    }

    /// Tells another server of the workers, and right after that makes it the owner.
    fn move_apps(&self, apps: &Apps, from: Member, owned: BTreeSet<u64>) -> Next {
        let Some(to) = self
            .members(Role::Server)
            .find(|m| *m != from && self.works(*m).is_ok() && apps.pinged.contains(m))
        else {
            return Next::wait(Wait::new(
                Reason::WaitingForPod,
                from,
                "no other server works to which its apps could move",
            ));
        };
        let targets = vec![
            Target { member: from, uid: self.pod(from).map(|p| p.uid.clone()) },
            Target { member: to, uid: self.pod(to).map(|p| p.uid.clone()) },
        ];
        let known = owned.iter().filter_map(|id| apps.apps.get(id)).all(|app| {
            app.fresh.get(&to).copied().unwrap_or(0) >= app.fresh.get(&from).copied().unwrap_or(0)
        });
        if known {
            let act = Act { kind: ActKind::MoveApp, targets };
            return Next::act(
                act,
                Command::MoveApps { from, to, apps: owned },
                "its apps move before it is stopped",
            );
        }
        let act = Act { kind: ActKind::PreRegister, targets };
        Next::act(
            act,
            Command::PreRegister { from, to, apps: owned },
            "the next owner has to know the workers before it fires",
        )
    }

    /// Whether the effect of telling or moving is seen.
    pub(super) fn has_moved(&self, act: &Act) -> Result<(), Wait> {
        let (Some(from), Some(to)) = (act.targets.first(), act.targets.get(1)) else { return Ok(()) };
        let apps = match self.apps() {
            None => return Ok(()),
            Some(apps) => apps?,
        };
        let left = owned_by(apps, from.member);
        let told = || {
            left.iter().filter_map(|id| apps.apps.get(id)).all(|app| {
                app.fresh.get(&to.member).copied().unwrap_or(0)
                    >= app.fresh.get(&from.member).copied().unwrap_or(0)
            })
        };
        if left.is_empty() || (act.kind == ActKind::PreRegister && told()) {
            return Ok(());
        }
        Err(Wait::new(Reason::WaitingForWorkers, from.member, "its apps are not another server's yet"))
    }

    /// A server that lost an app while it lived still fires what is in its wheel, without workers: it is stopped within a
    /// minute, after its other apps have moved (§1.7, row 5).
    pub(super) fn bounce(&self) -> Option<Next> {
        let Ok(apps) = self.apps()? else { return None };
        // Beside a server of another version no app is moved: then one that owns any is left as it is.
        let may_go = |m: &Member| {
            apps.unmeasured.is_empty() || !apps.unmeasured.contains_key(m) && owned_by(apps, *m).is_empty()
        };
        let usurped = apps.usurped.iter().find(|m| self.works(**m).is_ok() && may_go(m))?;
        if self.t.paused {
            return Some(Next::wait(Wait::new(
                Reason::PausedBySpec,
                usurped,
                "it was taken for dead and lives: spec.paused is set",
            )));
        }
        let other = self
            .members(Role::Server)
            .any(|m| m != *usurped && self.works(m).is_ok() && apps.pinged.contains(&m));
        if !other {
            return Some(Next::wait(Wait::new(
                Reason::WaitingForPod,
                usurped,
                "it has to be stopped, and no other server works",
            )));
        }
        let owned = owned_by(apps, *usurped);
        if !owned.is_empty() {
            return Some(self.move_apps(apps, *usurped, owned));
        }
        let pod = self.pod(*usurped)?;
        Some(stop(
            ActKind::RepairPod,
            &[(*usurped, pod)],
            Stop::Evict,
            "it was taken for dead, lives, and fires without workers",
        ))
    }

    /// Instances that failed for want of a worker are run again, where the spec wants it.
    pub(super) fn retry_lost(&self, memory: &Memory) -> Option<Next> {
        if !self.t.powerjob.is_some_and(|p| p.retry_lost) || self.t.paused {
            return None;
        }
        let since = memory.run.as_ref()?.started_at;
        (self.lost()? > 0).then(|| {
            let act = Act::on_cluster(ActKind::RetryLost);
            Next::act(
                act,
                Command::RetryLost { since },
                "instances failed for want of a worker while owners changed",
            )
        })
    }

    /// Whether nothing is left to be run again.
    pub(super) fn nothing_is_lost(&self) -> bool {
        self.lost() == Some(0)
    }

    /// How many instances were lost, whether or not apps are moved. `None`: it is not known.
    fn lost(&self) -> Option<u32> {
        crate::observe::read(self.w.apps.as_ref(), self.cutoff).ok().map(|apps| apps.lost)
    }

    /// Apps that have an owner, a job that is due, and no worker.
    pub(super) fn without_workers(&self) -> Vec<Wait> {
        let Some(Ok(apps)) = self.apps() else { return Vec::new() };
        let idle = |app: &&App| {
            let settled = app.moved_at.is_none_or(|at| self.now.since(at) >= NO_WORKERS_PATIENCE);
            app.owner.is_some() && app.alive == 0 && app.due && settled
        };
        let lonely = apps.apps.iter().filter(|(_, app)| idle(app));
        lonely
            .map(|(id, _)| {
                Wait::new(
                    Reason::NoWorkers,
                    format!("app {id}"),
                    "it has an owner, a job that is due, and no worker",
                )
            })
            .collect()
    }
}

fn owned_by(apps: &Apps, server: Member) -> BTreeSet<u64> {
    apps.apps.iter().filter(|(_, app)| app.owner == Some(server)).map(|(id, _)| *id).collect()
}

/// The rules by which every stop is held (§1.7, a): every app's owner lives and answers the others in time, and its workers
/// report to it and to nobody else. Apps that have just moved off this server only have to have settled.
///
/// `stops`: the stop itself comes next, and no move. An app that has just got another owner does not hold the move of the
/// others: of a move that broke off in the middle the rest has to follow at once, because a server drops the workers of the
/// apps that it no longer owns while it owns any (§1.6, step 2), and what it still has in its wheel then fails.
fn hold(apps: &Apps, server: Member, stops: bool, now: Moment) -> Result<(), Wait> {
    if apps.flipping {
        return Err(Wait::new(
            Reason::WaitingForWorkers,
            "owners",
            "they change again and again: see port 10010 between the servers",
        ));
    }
    for (id, app) in &apps.apps {
        let subject = format!("app {id}");
        let Some(owner) = app.owner else {
            if app.alive == 0 {
                continue;
            }
            return Err(Wait::new(Reason::WaitingForWorkers, subject, "it has workers and no owner"));
        };
        if !apps.pinged.contains(&owner) {
            if owner == server {
                // It hangs, and is about to be stopped: its apps are moved without it.
                continue;
            }
            return Err(Wait::new(
                Reason::WaitingForWorkers,
                subject,
                format!("its owner {owner} does not answer the others within 1 s"),
            ));
        }
        let moved = app.moved_at.map(|at| now.since(at));
        if moved.is_some_and(|age| age < WHEEL) {
            if owner != server && !stops {
                continue;
            }
            return Err(Wait::new(
                Reason::WaitingForWorkers,
                subject,
                "its former owner still fires what it has in its wheel (30 s)",
            ));
        }
        // One other may know them: the next owner, which was told.
        let elsewhere: Vec<String> =
            app.fresh.keys().filter(|m| **m != owner).map(ToString::to_string).collect();
        if elsewhere.len() > 1 {
            let message = format!("its workers report to {} besides its owner {owner}", elsewhere.join(", "));
            return Err(Wait::new(Reason::WaitingForWorkers, subject, message));
        }
        let late = moved.is_some_and(|age| age >= LATEST_STOP && age < LATEST_STOP * 2) && owner != server;
        let at_owner = app.fresh.get(&owner).copied().unwrap_or(0);
        if at_owner < app.alive && !late {
            return Err(Wait::new(
                Reason::WaitingForWorkers,
                subject,
                format!("{at_owner} of its {} workers report to its owner {owner}", app.alive),
            ));
        }
    }
    Ok(())
}
