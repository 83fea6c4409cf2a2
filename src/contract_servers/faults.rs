//! The failures that a stand-in shows on request, and which of them are on now.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::ports::{CONTROL, Role, Serves};

/// How long `reconnect-storm-refused` lasts when it does not say: longer than a client's longest back-off, so
/// that each client is refused at least once.
const STORM_SECONDS: u64 = 10;

/// A failure, as `--fault` and `POST :8899/fault` name it. What each does is in [`CATALOGUE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `database-lost`.
    DatabaseLost,
    /// `data-master-missing`.
    DataMasterMissing,
    /// `addressing-wrong`.
    AddressingWrong,
    /// `port-down:<port>`, the documented number.
    PortDown(u16),
    /// `health-hangs`.
    HealthHangs,
    /// `health-500`.
    Health500,
    /// `not-reported`.
    NotReported,
    /// `mq-unreachable`.
    MqUnreachable,
    /// `slow-start:<seconds>`.
    SlowStart(u64),
    /// `never-ready`.
    NeverReady,
    /// `reconnect-storm-refused[:<seconds>]`.
    ReconnectStormRefused(u64),
    /// `crash`.
    Crash,
}

/// What the catalogue says of a fault.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The name, with its parameter if it has one.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub does: &'static str,
    /// The section of the operations guide that documents the failure, or "invented".
    pub source: &'static str,
    /// The roles that can show it.
    pub roles: &'static [Role],
}

const SERVERS: &[Role] = &[Role::Drmdata, Role::Dsrconsole, Role::Antscheduler, Role::SchedulerConsole];
const WITH_CLIENTS: &[Role] = &[Role::Drmdata, Role::Antscheduler];

/// Every fault, in the order of the enum.
pub const CATALOGUE: [Entry; 12] = [
    Entry {
        name: "database-lost",
        does: "The database counts as lost: health says database:false, a console refuses pushes, open ports stay open.",
        source: "operations guide §1.2.2",
        roles: SERVERS,
    },
    Entry {
        name: "data-master-missing",
        does: "The registry gives no addresses because its data master is missing: health says TaskManageFacade:false Addresses unavailable.",
        source: "operations guide §1.4.3.13",
        roles: SERVERS,
    },
    Entry {
        name: "addressing-wrong",
        does: "The server serves, yet no client registers, as when addressing leads clients astray: client connections are accepted and closed at once.",
        source: "operations guide §1.3.1.2",
        roles: WITH_CLIENTS,
    },
    Entry {
        name: "port-down:<port>",
        does: "One documented port is closed with its connections; health does not notice, the guide checks the port apart.",
        source: "operations guide §1.3.1.1, §2.4.1",
        roles: SERVERS,
    },
    Entry {
        name: "health-hangs",
        does: "The health command is accepted and never answered.",
        source: "invented",
        roles: &[Role::Drmdata],
    },
    Entry {
        name: "health-500",
        does: "The health command answers 500 with a body that has no false in it.",
        source: "invented",
        roles: &[Role::Drmdata],
    },
    Entry {
        name: "not-reported",
        does: "Tasks are triggered and never reported; the reports held back count once the fault is off.",
        source: "operations guide §1.2.1.3",
        roles: &[Role::Antscheduler],
    },
    Entry {
        name: "mq-unreachable",
        does: "No connection to the message queue: tasks by message fail with no available connection, tasks by RPC go on.",
        source: "operations guide §1.3.1.2",
        roles: &[Role::Antscheduler],
    },
    Entry {
        name: "slow-start:<seconds>",
        does: "The start takes this many seconds more; of use with --fault only.",
        source: "invented",
        roles: SERVERS,
    },
    Entry {
        name: "never-ready",
        does: "The start never ends: health says startup:false and ports that are closed stay closed.",
        source: "operations guide §1.4.3.13 (stuck in the health check)",
        roles: SERVERS,
    },
    Entry {
        name: "reconnect-storm-refused:<seconds>",
        does: "New client connections are closed at once for so many seconds (10 without a number); open ones stay.",
        source: "invented",
        roles: WITH_CLIENTS,
    },
    Entry {
        name: "crash",
        does: "The process ends now with exit code 1.",
        source: "operations guide §1.4.2.1, §2.4.1 (a node is down)",
        roles: &[Role::Drmdata, Role::Dsrconsole, Role::Antscheduler, Role::SchedulerConsole, Role::Client],
    },
];

impl Fault {
    /// What the catalogue says of this fault.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        let index = match self {
            Self::DatabaseLost => 0,
            Self::DataMasterMissing => 1,
            Self::AddressingWrong => 2,
            Self::PortDown(_) => 3,
            Self::HealthHangs => 4,
            Self::Health500 => 5,
            Self::NotReported => 6,
            Self::MqUnreachable => 7,
            Self::SlowStart(_) => 8,
            Self::NeverReady => 9,
            Self::ReconnectStormRefused(_) => 10,
            Self::Crash => 11,
        };
        &CATALOGUE[index]
    }

    /// Why a process of `role` cannot show this fault; `None` if it can.
    #[must_use]
    pub fn refusal_reason(self, role: Role) -> Option<String> {
        if !self.entry().roles.contains(&role) {
            return Some(format!("the stand-in for {role} has no fault {self}"));
        }
        match self {
            Self::PortDown(CONTROL) => Some(format!("no fault closes the control port {CONTROL}")),
            Self::PortDown(down) if !role.ports().iter().any(|port| port.number == down) => {
                Some(format!("the stand-in for {role} has no port {down}"))
            }
            _ => None,
        }
    }

    /// Whether both are switched by the same switch: the seconds of a fault do not matter, its port does.
    fn same_switch(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
            && (!matches!(self, Self::PortDown(_)) || self == other)
    }

    /// How long the fault lasts by itself; `None` = until it is switched off.
    fn lasts(self) -> Option<Duration> {
        match self {
            Self::SlowStart(seconds) | Self::ReconnectStormRefused(seconds) => {
                Some(Duration::from_secs(seconds))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.entry().name;
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        match self {
            Self::PortDown(port) => write!(f, "{name}:{port}"),
            Self::SlowStart(seconds) | Self::ReconnectStormRefused(seconds) => write!(f, "{name}:{seconds}"),
            _ => f.write_str(name),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, parameter) = text.split_once(':').map_or((text, None), |(name, p)| (name, Some(p)));
        let seconds = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number of seconds"));
        match (name, parameter) {
            ("database-lost", None) => Ok(Self::DatabaseLost),
            ("data-master-missing", None) => Ok(Self::DataMasterMissing),
            ("addressing-wrong", None) => Ok(Self::AddressingWrong),
            ("port-down", Some(port)) => {
                port.parse().map(Self::PortDown).map_err(|_| format!("{port:?} is no port"))
            }
            ("health-hangs", None) => Ok(Self::HealthHangs),
            ("health-500", None) => Ok(Self::Health500),
            ("not-reported", None) => Ok(Self::NotReported),
            ("mq-unreachable", None) => Ok(Self::MqUnreachable),
            ("slow-start", Some(text)) => seconds(text).map(Self::SlowStart),
            ("never-ready", None) => Ok(Self::NeverReady),
            ("reconnect-storm-refused", None) => Ok(Self::ReconnectStormRefused(STORM_SECONDS)),
            ("reconnect-storm-refused", Some(text)) => seconds(text).map(Self::ReconnectStormRefused),
            ("crash", None) => Ok(Self::Crash),
            _ => {
                let names: Vec<_> = CATALOGUE.iter().map(|entry| entry.name).collect();
                Err(format!("no fault {text:?}; there are {}", names.join(", ")))
            }
        }
    }
}

/// Which way a fault is switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// The failure is shown from now on.
    On,
    /// The failure is over.
    Off,
}

/// The faults of one process that are on, each with the moment since when.
#[derive(Debug, Default)]
pub(super) struct Faults {
    on: watch::Sender<Vec<(Fault, Instant)>>,
}

impl Faults {
    /// Switches a fault; on again starts its time again.
    pub(super) fn switch(&self, fault: Fault, to: Switch) {
        self.on.send_modify(|on| {
            on.retain(|(other, _)| !fault.same_switch(*other));
            if to == Switch::On {
                on.push((fault, Instant::now()));
            }
        });
    }

    /// The faults that are on now; those whose time is over are not.
    pub(super) fn active(&self) -> Vec<Fault> {
        let on = self.on.borrow();
        let lasting = on.iter().filter(|(fault, since)| fault.lasts().is_none_or(|l| since.elapsed() < l));
        lasting.map(|(fault, _)| *fault).collect()
    }

    /// Whether a fault that `picks` picks is on now.
    pub(super) fn is_on(&self, picks: impl Fn(&Fault) -> bool) -> bool {
        self.active().iter().any(picks)
    }

    /// Wakes at each switch; not when a fault's time is over.
    pub(super) fn subscribe(&self) -> watch::Receiver<Vec<(Fault, Instant)>> {
        self.on.subscribe()
    }

    /// Whether a fault keeps the port closed.
    pub(super) fn closes(&self, number: u16, serves: Serves) -> bool {
        serves != Serves::Control && self.is_on(|fault| *fault == Fault::PortDown(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each name of the catalogue reads back as the fault it describes.
    #[test]
    fn catalogue_and_names_agree() {
        for entry in &CATALOGUE {
            let text = entry.name.replace("<port>", "80").replace("<seconds>", "3");
            let fault: Fault = text.parse().unwrap();
            assert_eq!((fault.entry().name, fault.to_string()), (entry.name, text));
        }
    }

    #[test]
    fn a_switch_ignores_seconds_and_keeps_ports_apart() {
        let faults = Faults::default();
        for text in ["port-down:80", "port-down:9880", "reconnect-storm-refused:60"] {
            faults.switch(text.parse().unwrap(), Switch::On);
        }
        faults.switch(Fault::ReconnectStormRefused(1), Switch::Off);
        faults.switch(Fault::PortDown(80), Switch::Off);
        assert_eq!(faults.active(), [Fault::PortDown(9880)]);
    }

    #[test]
    fn refuses_what_the_role_cannot_show() {
        assert!(Fault::NotReported.refusal_reason(Role::Drmdata).is_some());
        assert!(Fault::PortDown(9001).refusal_reason(Role::Drmdata).is_some());
        assert!(Fault::PortDown(CONTROL).refusal_reason(Role::Drmdata).is_some());
        assert!(Fault::PortDown(9880).refusal_reason(Role::Drmdata).is_none());
    }
}
