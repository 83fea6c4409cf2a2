//! PowerJob: what its servers and its database say, and the three things that are done to its apps (measured: powerjob
//! §1.6, §1.7).
//!
//! `/server/acquire` is never called: it elects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use futures::future::join3;
use mysql_async::Params;

use super::ask_service::{DATABASE_LIMIT, Known, get, post};
use super::clock::now;
use super::context::Context;
use super::gather::{port, server, server_at};
use super::ports::KubePorts;
use super::scheduler::Schedulers;
use crate::admin::database::{DatabaseFault, Login};
use crate::admin::registry::wire::Outcome;
use crate::admin::scheduler::powerjob::{
    HEALTH_PATH, HEARTBEAT_PATH, HELLO_PATH, HELLO_QUERY, Hello, PING_PATH, RETRY_PATH, Worker, health,
    heartbeat, heartbeat_taken, hello, ping, ping_body, retried, retry_query,
};
use crate::admin::transport::{Call, Content, Method, Transport};
use crate::api::v1alpha1::Role;
use crate::build::role_name;
use crate::effects::{Failure, Recorded};
use crate::observe::{
    APPS_SQL, AppRow, Apps, DUE_SQL, DueRow, Fact, LOST_SQL, LostRow, MOVE_SQL, Member, PENDING_SQL,
    PendingRow, PodPhase, Rows, ServerView, Unknown, powerjob_view, read_apps,
};
use crate::plan::scheduler_target;
use crate::types::Moment;
use crate::validate::ValidScheduler;

/// A server that does not answer `friend/ping` within a second is taken for dead by the others.
const PING_LIMIT: Duration = Duration::from_secs(1);
/// How long a command is waited for.
const COMMAND_LIMIT: Duration = Duration::from_secs(5);
/// A worker that nobody has heard of for so long is gone (measured: powerjob §1.4).
const GONE: Duration = Duration::from_mins(1);

/// What one server said.
pub(super) struct Told {
    member: Member,
    view: Fact<ServerView>,
    hello: Option<Hello>,
    pinged: bool,
}

/// What all servers said.
pub(super) struct Asked {
    pub(super) servers: Vec<Told>,
    pub(super) at: Moment,
}

impl Asked {
    /// How each of them is.
    pub(super) fn views(&self) -> BTreeMap<Member, Fact<ServerView>> {
        self.servers.iter().map(|told| (told.member, told.view.clone())).collect()
    }

    /// The apps, by the database and by what the servers said.
    pub(super) fn apps(
        &self,
        valid: &ValidScheduler,
        rows: Result<(Rows, Moment), DatabaseFault>,
    ) -> Fact<Apps> {
        let (rows, at) = match rows {
            Ok((rows, at)) => (rows, at.min(self.at)),
            Err(DatabaseFault::NoAnswer(_)) => return Fact::unknown(Unknown::TimedOut, self.at),
            Err(_) => return Fact::unknown(Unknown::Unreadable, self.at),
        };
        let hellos = self.servers.iter().filter_map(|told| Some((told.member, told.hello.clone()?)));
        let pings = self.servers.iter().map(|told| (told.member, told.pinged));
        let apps = read_apps(&rows, &hellos.collect(), &pings.collect(), |member| host(valid, member), at);
        Fact::known(apps, at)
    }
}

/// The name by which a server stands in the database.
fn host(valid: &ValidScheduler, member: Member) -> String {
    let cluster = &valid.common.identity.name;
    format!("{}.{}", member.pod_name(cluster), role_name(cluster, Role::Server))
}

/// Asks one server. `is_new`: its pod is made from the present template.
pub(super) async fn powerjob(
    context: &Context,
    valid: &ValidScheduler,
    member: Member,
    address: Ipv4Addr,
    is_new: bool,
) -> Told {
    let at = now();
    let remote = server_at(valid, member, address, port(valid, member.role, "remote"));
    let body = ping_body(at);
    let (works, said, pinged) = join3(
        get(context, valid, member, address, HEALTH_PATH, &[]),
        get(context, valid, member, address, HELLO_PATH, HELLO_QUERY),
        post(context, &remote, PING_PATH, &body, PING_LIMIT),
    )
    .await;
    let said = said.and_then(|answer| hello(&answer).map_err(|_| Unknown::Unreadable));
    let works = works.and_then(|answer| health(&answer).map_err(|_| Unknown::Unreadable));
    let version = is_new.then_some(&valid.common.version);
    Told {
        member,
        view: powerjob_view(works, said.as_ref().map_err(|why| *why), version, at),
        pinged: pinged.is_ok_and(|answer| ping(&answer).is_ok()),
        hello: said.ok(),
    }
}

/// What the database says, where apps are moved or lost instances run again; the moment is that of the first question.
pub(super) async fn ask_apps(
    context: &Context,
    own: &Recorded,
    valid: &ValidScheduler,
    known: &Known,
) -> Option<Result<(Rows, Moment), DatabaseFault>> {
    let login = known.operator.as_ref()?;
    let rule = scheduler_target(valid, &BTreeMap::new(), now()).powerjob?;
    let began = own.status.rollout.as_ref().map_or_else(now, |run| Moment::from(&run.started_at));
    if rule.drain {
        return Some(rows(context, login, began).await);
    }
    if !rule.retry_lost {
        return None;
    }
    // Of a version with which moving was not measured no more is asked than what was lost.
    let at = now();
    let lost = lost(context, login, began).await;
    Some(lost.map(|lost| (Rows { lost, ..Rows::default() }, at)))
}

async fn rows(context: &Context, login: &Login, since: Moment) -> Result<(Rows, Moment), DatabaseFault> {
    let at = now();
    let apps = apps(context, login, at).await?;
    let pending: Vec<(u64, u64)> = select(context, login, PENDING_SQL).await?;
    let asked = now();
    let due: Vec<(u64, i64)> = select(context, login, DUE_SQL).await?;
    let rows = Rows {
        apps,
        pending: pending.into_iter().map(|(app, count)| PendingRow { app, count }).collect(),
        due: due
            .into_iter()
            .map(|(app, ms)| DueRow { app, at: Moment::from_millis(asked.as_millis().saturating_add(ms)) })
            .collect(),
        lost: lost(context, login, since).await?,
    };
    Ok((rows, at))
}

async fn select<T>(context: &Context, login: &Login, statement: &str) -> Result<Vec<T>, DatabaseFault>
where
    T: mysql_async::prelude::FromRow + Send + 'static,
{
    context.databases.rows(login, DATABASE_LIMIT, statement, Params::Empty).await
}

async fn apps(context: &Context, login: &Login, at: Moment) -> Result<Vec<AppRow>, DatabaseFault> {
    let rows: Vec<(u64, String, Option<String>, Option<i64>)> = select(context, login, APPS_SQL).await?;
    let app = |(id, name, current_server, age): (u64, String, Option<String>, Option<i64>)| {
        let modified_at = age.map(|ms| Moment::from_millis(at.as_millis().saturating_sub(ms)));
        AppRow { id, name, current_server, modified_at }
    };
    Ok(rows.into_iter().map(app).collect())
}

async fn lost(context: &Context, login: &Login, since: Moment) -> Result<Vec<LostRow>, DatabaseFault> {
    let values = Params::Positional(vec![since.as_millis().into()]);
    let rows: Vec<(u64, u64, Option<u64>)> =
        context.databases.rows(login, DATABASE_LIMIT, LOST_SQL, values).await?;
    Ok(rows.into_iter().map(|(app, instance, workflow)| LostRow { app, instance, workflow }).collect())
}

type Ports<'a> = KubePorts<'a, Schedulers>;

impl From<DatabaseFault> for Failure {
    fn from(fault: DatabaseFault) -> Self {
        match fault {
            DatabaseFault::NoAnswer(why) => Self::Unanswered(format!("the database: {why}")),
            other => Self::Refused(format!("the database: {other}")),
        }
    }
}

/// The operator's own login.
fn operator<'a>(ports: &'a Ports<'_>) -> Result<&'a Login, Failure> {
    let login = ports.planned.known.operator.as_ref();
    login.ok_or_else(|| Failure::Refused("powerjob.databaseSecretRef has no login".to_owned()))
}

/// A command is sent only while its answer comes within this operator's term.
fn may_lead(ports: &Ports<'_>) -> Result<(), Failure> {
    if ports.context.leadership.may_take(COMMAND_LIMIT) {
        return Ok(());
    }
    Err(Failure::Refused("this operator may not lead until the answer comes".to_owned()))
}

fn address(ports: &Ports<'_>, member: Member) -> Result<Ipv4Addr, Failure> {
    let pod = ports.planned.world.kubernetes.pods.get(&member);
    let address = pod.filter(|pod| pod.phase != PodPhase::Stopping).and_then(|pod| pod.address);
    address.ok_or_else(|| Failure::Refused(format!("{member} has no address")))
}

/// What a server says now.
async fn says(ports: &Ports<'_>, member: Member) -> Result<Hello, Failure> {
    let address = address(ports, member)?;
    let answer = get(ports.context, &ports.planned.valid, member, address, HELLO_PATH, HELLO_QUERY).await;
    let answer = answer.map_err(|why| Failure::Unanswered(format!("{member}: {why}")))?;
    hello(&answer).map_err(|why| Failure::Refused(format!("{member}: {why}")))
}

/// Tells `to` of every worker that `from` has heard of within a minute.
pub(super) async fn pre_register(
    ports: &Ports<'_>,
    from: Member,
    to: Member,
    wanted: &BTreeSet<u64>,
) -> Result<(), Failure> {
    let login = operator(ports)?;
    let rows = apps(ports.context, login, now()).await?;
    let told = says(ports, from).await?;
    let valid = &ports.planned.valid;
    let to_server = server_at(valid, to, address(ports, to)?, port(valid, to.role, "remote"));
    let clock = told.server_time.unwrap_or_else(now);
    let is_alive = |worker: &&Worker| clock.since(worker.last_active) < GONE;
    for row in rows.iter().filter(|row| wanted.contains(&row.id)) {
        for worker in told.apps.get(&row.id).into_iter().flatten().filter(is_alive) {
            may_lead(ports)?;
            let body = heartbeat(worker, row.id, &row.name, now());
            let answer = post(ports.context, &to_server, HEARTBEAT_PATH, &body, COMMAND_LIMIT).await;
            let answer = answer.map_err(|why| Failure::Unanswered(format!("{to}: {why}")))?;
            heartbeat_taken(&answer).map_err(|why| Failure::Refused(format!("{to}: {why}")))?;
        }
    }
    Ok(())
}

/// Makes `to` the owner of those of these apps that `from` still owns, all in one statement, by compare-and-swap.
pub(super) async fn move_apps(
    ports: &Ports<'_>,
    from: Member,
    to: Member,
    wanted: &BTreeSet<u64>,
) -> Result<(), Failure> {
    let login = operator(ports)?;
    let target = says(ports, to).await?.address;
    let valid = &ports.planned.valid;
    let of = format!("{}:", host(valid, from));
    let rows = apps(ports.context, login, now()).await?;
    let owned = rows.iter().filter(|row| wanted.contains(&row.id));
    let owned = owned.filter_map(|row| Some((row.current_server.as_deref()?, row.id)));
    // A server has one address, unless its port was changed.
    let mut by_address: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (owner, app) in owned.filter(|(owner, _)| owner.starts_with(&of)) {
        by_address.entry(owner).or_default().push(app.to_string());
    }
    for (owner, apps) in by_address {
        may_lead(ports)?;
        let values = vec![target.clone().into(), apps.join(",").into(), owner.into()];
        let values = Params::Positional(values);
        let changed = ports.context.databases.change(login, COMMAND_LIMIT, MOVE_SQL, values).await?;
        if usize::try_from(changed) != Ok(apps.len()) {
            let apps = apps.join(", ");
            return Err(Failure::Conflict(format!(
                "{changed} of the apps {apps} still had {from} as their owner"
            )));
        }
    }
    Ok(())
}

/// Runs instances again that failed for want of a worker since then, each once.
pub(super) async fn retry_lost(ports: &Ports<'_>, since: Moment) -> Result<(), Failure> {
    let login = operator(ports)?;
    let world = &ports.planned.world;
    let works = |member: &&Member| world.servers.get(member).is_some_and(|f| f.value().is_some());
    let Some(member) = world.kubernetes.pods.keys().find(works) else {
        return Err(Failure::Refused("no server works that could run them again".to_owned()));
    };
    let to = server(&ports.planned.valid, *member, address(ports, *member)?);
    for row in lost(ports.context, login, since).await? {
        if !row.can_be_retried() {
            continue;
        }
        may_lead(ports)?;
        let fields = retry_query(row.app, row.instance);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let content = Content::Fields(&fields);
        let call = Call { to: &to, method: Method::Post, path: RETRY_PATH, content, limit: COMMAND_LIMIT };
        let answer = ports.context.admins.send(call).await;
        let answer = answer.map_err(|why| Failure::Unanswered(why.to_string()))?;
        if let Outcome::Refused(words) = retried(&answer).map_err(|why| Failure::Refused(why.to_string()))? {
            return Err(Failure::Refused(words));
        }
    }
    Ok(())
}
