//! How a server of DRM, `AntScheduler` or PowerJob is, from what it answered. Pure: asking is the caller's business.
//!
//! What is not understood is unknown, and never a pass.
//!
//! May import `types`, `api` and `admin` (the words of the answers).

use super::fact::{Fact, Unknown};
use super::service::ServerView;
use crate::admin::drm::{self, Failing};
use crate::admin::scheduler::powerjob::Hello;
use crate::api::v1alpha1::Reason;
use crate::types::{Moment, Version};

/// The sockets of a server's pod, and what is looked for among them.
#[derive(Debug, Clone, Copy)]
pub struct Sockets<'a> {
    /// `/proc/net/tcp` and `/proc/net/tcp6` of the pod, one after the other.
    pub text: &'a str,
    /// The port that clients connect to: 9880 of drmdata, 9001 of `AntScheduler`.
    pub clients: u16,
    /// All ports that the server has to listen on: the guide looks at each apart from the health (§1.3.1.1, §2.4.1).
    pub ports: &'a [u16],
}

impl Sockets<'_> {
    /// Connections of clients. `None`: the text is not understood.
    fn connections(&self) -> Option<u64> {
        drm::connections(self.text, self.clients).ok()
    }

    /// Whether nothing listens on a port that should be open. What is not understood is no failure here.
    fn port_is_down(&self) -> bool {
        self.ports.iter().any(|port| drm::listens(self.text, *port) == Ok(false))
    }
}

impl From<Failing> for Reason {
    fn from(failing: Failing) -> Self {
        match failing {
            Failing::DataMaster => Self::DataMasterMissing,
            Failing::DataSource => Self::DataSourceNotConnected,
            Failing::Other => Self::MemberBroken,
        }
    }
}

/// A drmdata: the body of `checkService`, or why there is none, and its sockets where they are read.
#[must_use]
pub fn drmdata_view(
    check: Result<&str, Unknown>,
    sockets: Option<&Sockets<'_>>,
    at: Moment,
) -> Fact<ServerView> {
    let told = check.and_then(|body| drm::check_service(body).map_err(|_| Unknown::Unreadable));
    view(told.map(|failing| failing.map(Reason::from)), sockets, at)
}

/// A server that tells no more than that it answers: a console, or an `AntScheduler`. `answer`: the status of its HTTP answer,
/// `None` where only a connection was made, or why there is none. `sockets` where they are read.
#[must_use]
pub fn port_view(
    answer: Result<Option<u16>, Unknown>,
    sockets: Option<&Sockets<'_>>,
    at: Moment,
) -> Fact<ServerView> {
    // As the kubelet judges a probe.
    let works = |status: Option<u16>| status.is_none_or(|status| (200..400).contains(&status));
    let told = answer.map(|status| (!works(status)).then_some(Reason::MemberBroken));
    view(told, sockets, at)
}

/// A PowerJob server: the word of `/actuator/health`, its hello, and the version that it should be of.
///
/// `version`: `None` for a pod that is not made from the present template. It tells the version before, and that is right: a
/// rollout that waited for it would never change it. A server whose version is `UNKNOWN` or no version is not judged by it.
///
/// The hello comes in milliseconds with the database down too, the health takes 30 s to say so (measured: powerjob §1.3): a
/// server that says hello and whose health does not come in time waits for its database.
#[must_use]
pub fn powerjob_view(
    health: Result<bool, Unknown>,
    hello: Result<&Hello, Unknown>,
    version: Option<&Version>,
    at: Moment,
) -> Fact<ServerView> {
    let told = hello.and_then(|hello| match health {
        Ok(true) if is_of_another(hello, version) => Ok(Some(Reason::VersionMismatch)),
        Ok(true) => Ok(None),
        Ok(false) | Err(Unknown::TimedOut) => Ok(Some(Reason::WaitingForDatabase)),
        Err(why) => Err(why),
    });
    view(told, None, at)
}

fn is_of_another(hello: &Hello, version: Option<&Version>) -> bool {
    let numbers = |v: &Version| (v.major, v.minor, v.patch);
    let told: Option<Version> = hello.version.parse().ok();
    version.zip(told).is_some_and(|(wanted, told)| numbers(wanted) != numbers(&told))
}

/// The server's own word first, then its ports.
fn view(
    told: Result<Option<Reason>, Unknown>,
    sockets: Option<&Sockets<'_>>,
    at: Moment,
) -> Fact<ServerView> {
    let down = sockets.is_some_and(Sockets::port_is_down).then_some(Reason::MemberBroken);
    match told {
        Ok(failing) => Fact::known(
            ServerView { failing: failing.or(down), connections: sockets.and_then(Sockets::connections) },
            at,
        ),
        Err(why) => Fact::unknown(why, at),
    }
}

#[cfg(test)]
#[path = "read_service_tests.rs"]
mod tests;
