//! PowerJob's apps, from its database and from what its servers say. Pure: asking is the caller's business.
//!
//! All SQL that the operator sends to a PowerJob database stands here, for `MySQL` and MariaDB. Times in the tables are local
//! times without a zone, written by the servers' clocks in the zone of their JDBC URL. So each query compares within the
//! database, by its own clock, and gives an age; [`ZONE`] finds the zone that the servers write in, whatever it is.
//!
//! May import `types`, `api` and `admin` (the words of the answers).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Member;
use super::service::{App, Apps};
use crate::admin::scheduler::powerjob::{Hello, Worker};
use crate::types::{Moment, Version};

/// Seconds by which the servers' local time is ahead of UTC: every server writes the time into its row every 15 s, and zones
/// are quarters of an hour (measured: powerjob §1.7, R2). Null where no server ever wrote.
macro_rules! zone {
    () => {
        "(SELECT ROUND(TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), MAX(gmt_modified)) / 900) * 900 FROM server_info)"
    };
}

/// The zone that the servers write in, as SQL: seconds ahead of UTC. It is part of the other statements.
pub const ZONE: &str = zone!();

/// Every app: `id`, `app_name`, `current_server`, and the milliseconds since its owner was written, null where that is not
/// known (§1.4, §1.7 R1). One row is an [`AppRow`].
pub const APPS_SQL: &str = concat!(
    "SELECT id, app_name, current_server, CAST(TIMESTAMPDIFF(MICROSECOND, gmt_modified, ",
    "DATE_ADD(UTC_TIMESTAMP(6), INTERVAL ",
    zone!(),
    " SECOND)) DIV 1000 AS SIGNED) AS age_ms FROM app_info"
);

/// Instances that wait for their time and are older than the last change of their app's owner: `app_id` and how many. They
/// are still in the wheel of a former owner (§1.7, row 5). One row is a [`PendingRow`].
pub const PENDING_SQL: &str = "SELECT i.app_id, COUNT(*) AS waiting FROM instance_info i JOIN app_info a ON a.id = i.app_id \
     WHERE i.status = 1 AND i.gmt_create < a.gmt_modified GROUP BY i.app_id";

/// The earliest time at which an enabled job of an app is due: `app_id` and the milliseconds until then, negative where it is
/// past (§1.7, g). One row is a [`DueRow`].
pub const DUE_SQL: &str = "SELECT app_id, CAST(MIN(next_trigger_time) AS SIGNED) - CAST(UNIX_TIMESTAMP() AS SIGNED) * 1000 \
     AS due_in_ms FROM job_info WHERE status = 1 AND next_trigger_time IS NOT NULL GROUP BY app_id";

/// Instances that failed for want of a worker since a moment, its one parameter in milliseconds since 1970: `app_id`,
/// `instance_id`, `wf_instance_id` (§1.6, step 7). `actual_trigger_time` is such a number too. An instance of a workflow that
/// was run again has a later instance of the same job beside it, and is left out; any other one changes its own row. One row
/// is a [`LostRow`].
pub const LOST_SQL: &str = "SELECT i.app_id, i.instance_id, i.wf_instance_id FROM instance_info i WHERE i.status = 4 \
     AND i.result = 'no worker available' AND i.actual_trigger_time >= ? AND (i.wf_instance_id IS NULL OR NOT EXISTS (SELECT 1 \
     FROM instance_info later WHERE later.wf_instance_id = i.wf_instance_id AND later.job_id = i.job_id AND later.id > i.id)) \
     ORDER BY i.id LIMIT 1000";

/// Moves apps, all of them at once, those whose owner still is the one that was seen: it has to change as many rows as there
/// are apps (§1.6, step 3). Parameters: the next owner, the apps' ids with commas between them, the present owner; owners as
/// `host:port`, as [`Hello::address`] has it.
///
/// One statement, because a server that has lost a part of its apps drops the workers of those within 15 s, and what it still
/// has in its wheel then fails: nothing may come in between, no crash of the operator either.
pub const MOVE_SQL: &str = concat!(
    "UPDATE app_info SET current_server = ?, gmt_modified = DATE_ADD(UTC_TIMESTAMP(6), INTERVAL COALESCE(",
    zone!(),
    ", 0) SECOND) WHERE FIND_IN_SET(id, ?) AND current_server = ?"
);

/// A row of [`APPS_SQL`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppRow {
    /// `id`.
    pub id: u64,
    /// `app_name`.
    pub name: String,
    /// `current_server`: host and port of the owner. `None`: no worker has looked for one yet.
    pub current_server: Option<String>,
    /// When the owner changed last: the moment at which the query was sent, less `age_ms`. PowerJob writes it also when a
    /// person edits the app; nothing tells the two apart. `None`: `age_ms` was null.
    pub modified_at: Option<Moment>,
}

/// A row of [`PENDING_SQL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingRow {
    /// The app.
    pub app: u64,
    /// Instances that wait in a former owner's wheel.
    pub count: u64,
}

/// A row of [`DUE_SQL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueRow {
    /// The app.
    pub app: u64,
    /// When its next job is due: the moment at which the query was sent, and `due_in_ms` more.
    pub at: Moment,
}

/// A row of [`LOST_SQL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostRow {
    /// The app.
    pub app: u64,
    /// The instance.
    pub instance: u64,
    /// The workflow instance that it is part of. `None`, or 0: of none.
    pub workflow: Option<u64>,
}

impl LostRow {
    /// Whether it can be run again by itself: an instance of a workflow is run again with its workflow only (§1.6, step 7).
    #[must_use]
    pub fn can_be_retried(&self) -> bool {
        self.workflow.unwrap_or_default() == 0
    }
}

/// What the database says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// The apps.
    pub apps: Vec<AppRow>,
    /// What waits in wheels of former owners.
    pub pending: Vec<PendingRow>,
    /// What is due next.
    pub due: Vec<DueRow>,
    /// What failed for want of a worker since the rollout began.
    pub lost: Vec<LostRow>,
}

/// A server counts on a worker that it has heard of so lately (§1.7, a).
const FRESH: Duration = Duration::from_secs(30);
/// A former owner that has heard of a worker so lately still fires in time, and our own drain leaves it just so.
const STALE: Duration = Duration::from_secs(45);
/// After this long a worker is taken for gone (§1.4).
const GONE: Duration = Duration::from_mins(1);
/// An app without a worker is told when a job of it is due so soon (§1.7, g).
const DUE: Duration = Duration::from_mins(1);

/// The apps as a plan sees them. `pings` has an entry for each server that was asked: whether it answered `friend/ping` in
/// time. `host_of` is the name by which a server is in the database (its DNS name: measured, powerjob §1.2).
///
/// A worker is heard of when its last report was, by the clock of the server that tells it where that is told: servers filter
/// by their own clocks.
///
/// **Usurped** is a server that lost an app while it lived, and still has instances of it in its wheel, which it would fire
/// without workers (§1.7, row 5). It is not the app's owner; its process began before the owner was written; instances that
/// are older than that still wait; and none of the app's workers has reported to it for less than 45 s. So a former owner that
/// our own drain has just left is none: its records are fresh while it fires its wheel for 30 s, and then it is stopped anyway.
/// One that hung for 50 s and came back is, and so is one that our drain left and could not stop. A server without any record
/// of the app's workers may have dropped them, as servers do that own other apps, or may never have had any: it is taken for
/// usurped only where it is the one other server, and 45 s after the change, when a person's edit of the app, which counts
/// as a change too, has nothing in a wheel any more but what was delayed.
///
/// **Unmeasured** is who tells another version than those with which moving was measured, or something that is no version; one
/// whose jar has none, and says `UNKNOWN` or nothing, is taken for what the spec names.
///
/// **Flipping** is never found: whether owners changed more than once in ten minutes is not in one look, and nothing of an
/// earlier one is kept.
///
/// **Lost** counts what can be run again by itself; of a workflow its node is left to the workflow's own retry.
#[must_use]
pub fn read_apps(
    rows: &Rows,
    hellos: &BTreeMap<Member, Hello>,
    pings: &BTreeMap<Member, bool>,
    host_of: impl Fn(Member) -> String,
    now: Moment,
) -> Apps {
    let members: BTreeMap<String, Member> =
        hellos.keys().chain(pings.keys()).map(|member| (host_of(*member), *member)).collect();
    let servers = Servers { hellos, now };
    let is_unmeasured = |told: &str| {
        !matches!(told, "" | "UNKNOWN") && !told.parse().is_ok_and(|version: Version| version.moves_apps())
    };
    let mut apps = Apps {
        pinged: pings.iter().filter(|(_, answered)| **answered).map(|(member, _)| *member).collect(),
        unmeasured: hellos
            .iter()
            .filter(|(_, hello)| is_unmeasured(&hello.version))
            .map(|(member, hello)| (*member, hello.version.clone()))
            .collect(),
        lost: u32::try_from(rows.lost.iter().filter(|row| row.can_be_retried()).count()).unwrap_or(u32::MAX),
        ..Apps::default()
    };
    for row in &rows.apps {
        let owner = row.current_server.as_deref().and_then(|address| members.get(host(address))).copied();
        let app = App {
            owner,
            moved_at: row.modified_at,
            fresh: servers.fresh(row.id),
            alive: servers.alive(row.id),
            due: rows.due.iter().any(|due| due.app == row.id && due.at <= now.after(DUE)),
        };
        let waits = rows.pending.iter().any(|pending| pending.app == row.id && pending.count > 0);
        if let (Some(owner), Some(moved_at), true) = (owner, app.moved_at, waits) {
            apps.usurped.extend(servers.usurped(row.id, owner, moved_at));
        }
        apps.apps.insert(row.id, app);
    }
    apps
}

/// The host of `host:port`.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

struct Servers<'a> {
    hellos: &'a BTreeMap<Member, Hello>,
    now: Moment,
}

impl Servers<'_> {
    /// The workers of an app that a server has heard of, and how long ago.
    fn workers<'a>(
        &self,
        hello: &'a Hello,
        app: u64,
    ) -> impl Iterator<Item = (&'a Worker, Duration)> + use<'a> {
        let now = hello.server_time.unwrap_or(self.now);
        hello.apps.get(&app).into_iter().flatten().map(move |w| (w, now.since(w.last_active)))
    }

    /// Only servers that have any: a server that is named here counts as one that the workers report to.
    fn fresh(&self, app: u64) -> BTreeMap<Member, u32> {
        let count = |hello| self.workers(hello, app).filter(|(_, age)| *age < FRESH).map(|_| 1_u32).sum();
        self.hellos.iter().map(|(m, hello)| (*m, count(hello))).filter(|(_, count)| *count > 0).collect()
    }

    fn alive(&self, app: u64) -> u32 {
        let heard = self.hellos.values().flat_map(|hello| self.workers(hello, app));
        let alive: BTreeSet<&str> =
            heard.filter(|(_, age)| *age < GONE).map(|(worker, _)| worker.address.as_str()).collect();
        u32::try_from(alive.len()).unwrap_or(u32::MAX)
    }

    fn usurped(&self, app: u64, owner: Member, moved_at: Moment) -> Vec<Member> {
        let old = |(member, hello): &(&Member, &Hello)| **member != owner && hello.born < moved_at;
        let alone = self.hellos.len() == 2 && self.now.since(moved_at) >= STALE;
        let is_usurped = |(member, hello): (&Member, &Hello)| {
            let mut ages = self.workers(hello, app).map(|(_, age)| age).peekable();
            let had_any = ages.peek().is_some();
            ((had_any || alone) && ages.all(|age| age >= STALE)).then_some(*member)
        };
        self.hellos.iter().filter(old).filter_map(is_usurped).collect()
    }
}

#[cfg(test)]
#[path = "read_apps_tests.rs"]
mod tests;
