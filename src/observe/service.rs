//! What is observed of a `DrmCluster` or a `SchedulerCluster`: servers, what they need, and what clients have of them.
//!
//! May import `types` and `api`.

use std::collections::{BTreeMap, BTreeSet};

use super::Member;
use super::fact::Fact;
use super::pods::Kubernetes;
use crate::api::v1alpha1::Reason;
use crate::types::Moment;

/// Everything that is observed of one cluster of servers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ServiceWorld {
    /// What Kubernetes says.
    pub kubernetes: Kubernetes,
    /// What the servers told.
    pub servers: BTreeMap<Member, Fact<ServerView>>,
    /// Tasks of each server that were triggered and not reported, where they are asked for.
    pub tasks: BTreeMap<Member, Fact<u64>>,
    /// What has to work before a server is started or restarted: database, registry, dependencies.
    pub needs: Vec<Need>,
    /// PowerJob: its apps. `None` for the others, and where no login for the operator is given.
    pub apps: Option<Fact<Apps>>,
    /// PowerJob: why its database does not tell of them, and what to do, in words.
    pub apps_fault: Option<String>,
}

/// What one server told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerView {
    /// Why it does not work, by its own word; `None`: it works. For drmdata the body of `checkService` decides, not its
    /// status (operations guide: grep for `false`), and the data source has to be connected too.
    pub failing: Option<Reason>,
    /// Connections of clients to it. `None`: they are not counted.
    pub connections: Option<u64>,
}

/// Something that the servers need.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Need {
    /// What is waited for when it does not work.
    pub reason: Reason,
    /// What it is called.
    pub subject: String,
    /// Whether it works.
    pub works: Fact<bool>,
    /// What is wrong with it, and what to do, in words.
    pub fault: Option<String>,
}

/// The apps of a PowerJob, as its database and its servers tell (measured: powerjob §1.7).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Apps {
    /// By id.
    pub apps: BTreeMap<u64, App>,
    /// Servers that answered `friend/ping` of every other one within 1 s: the probe that decides a takeover.
    pub pinged: BTreeSet<Member>,
    /// Servers that lost an app to another one while they lived, and still have instances of it in their wheel.
    pub usurped: BTreeSet<Member>,
    /// Servers that tell a version with which moving apps was not measured, and that version: while there is one, no app is moved.
    pub unmeasured: BTreeMap<Member, String>,
    /// Owners changed more than once in ten minutes.
    pub flipping: bool,
    /// Instances that failed for want of a worker since the rollout began and were not run again.
    pub lost: u32,
}

/// One app.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct App {
    /// The server that owns it. `None`: none does, or one that is no member.
    pub owner: Option<Member>,
    /// When the owner changed last.
    pub moved_at: Option<Moment>,
    /// Workers that each server has heard of less than 30 s ago.
    pub fresh: BTreeMap<Member, u32>,
    /// Workers that anybody has heard of less than 60 s ago.
    pub alive: u32,
    /// A job of it is due within a minute.
    pub due: bool,
}

/// What a failure of a server means and what to do, in the words of the operations guide.
#[must_use]
pub const fn failure(reason: Reason) -> &'static str {
    match reason {
        Reason::DataMasterMissing => {
            "the data master is missing: a drmdata restart fails until one is elected; see the registry"
        }
        Reason::DataSourceNotConnected => {
            "it runs, but its data source is not connected: see the database and its login"
        }
        Reason::WaitingForDatabase => "its database does not answer",
        Reason::WaitingForRegistry => "it cannot reach the registry",
        Reason::VersionMismatch => "it tells another version than the spec: the image is another one",
        _ => "it says that it does not work, or a port of it is closed",
    }
}
