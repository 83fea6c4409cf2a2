//! The roles, the ports that the operations guide documents for them, and what a stand-in serves on each.

use std::fmt;

/// Pulls of the newest values over HTTP, and pushes from a console, on drmdata; the pages of `DSRConsole`.
/// Operations guide §1.1 (list of resources), §1.2.2 (steps 2 and 5 of a push).
pub const HTTP: u16 = 80;
/// The other HTTP port of drmdata. Operations guide §1.1 names the port only: that drmdata servers broadcast
/// to each other on it is invented.
pub const DRM_SYNC: u16 = 9870;
/// The long connections of the clients of drmdata. Operations guide §1.1, §1.3.1.2.
pub const DRM_CLIENTS: u16 = 9880;
/// The health command of drmdata, `curl localhost:9500/checkService`. Operations guide §1.4.3.13.
pub const HEALTH: u16 = 9500;
/// The remote calls (RPC) of drmdata, both consoles and `AntScheduler`. Operations guide §1.1, §1.3.3.1.
pub const RPC: u16 = 12200;
/// A port of `DSRConsole`, alarmed on when closed. Operations guide §1.1, §1.3.1.1.
pub const CONSOLE_SERVER: u16 = 8341;
/// A port of `AntScheduler`. Operations guide §1.1 names the port only.
pub const SCHEDULER_SERVER: u16 = 9000;
/// The long connections of the clients of `AntScheduler`. Operations guide §1.1, §1.3.1.2.
pub const SCHEDULER_CLIENTS: u16 = 9001;
/// The HTTP port of `AntScheduler` and of its console, alarmed on when closed. Operations guide §1.3.1.1,
/// §1.3.3.1. The client stand-in answers `GET /status` on it too (invented).
pub const SCHEDULER_HTTP: u16 = 8080;
/// The port of the message queue to which `AntScheduler` keeps a connection. Operations guide §1.3.1.2.
pub const MESSAGE_QUEUE: u16 = 9529;
/// The control port of every stand-in: faults and state. Invented: no real server has it.
pub const CONTROL: u16 = 8899;

/// What a stand-in plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A drmdata server: pushes values to clients.
    Drmdata,
    /// A `DSRConsole`: takes a push from a person and hands it to one drmdata server.
    Dsrconsole,
    /// An `AntScheduler` server: triggers tasks on clients.
    Antscheduler,
    /// The console of `AntScheduler`.
    SchedulerConsole,
    /// An application with long connections to drmdata or `AntScheduler` servers.
    Client,
}

impl Role {
    /// The role as the command line and the state write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drmdata => "drmdata",
            Self::Dsrconsole => "dsrconsole",
            Self::Antscheduler => "antscheduler",
            Self::SchedulerConsole => "scheduler-console",
            Self::Client => "client",
        }
    }

    /// Every port of the role, without offset; sources at the constants.
    #[must_use]
    pub fn ports(self) -> &'static [Port] {
        match self {
            Self::Drmdata => &[
                Port { number: HTTP, serves: Serves::Http },
                Port { number: DRM_SYNC, serves: Serves::Http },
                Port { number: DRM_CLIENTS, serves: Serves::Clients },
                Port { number: RPC, serves: Serves::Silence },
                Port { number: HEALTH, serves: Serves::Health },
                Port { number: CONTROL, serves: Serves::Control },
            ],
            Self::Dsrconsole => &[
                Port { number: HTTP, serves: Serves::Http },
                Port { number: CONSOLE_SERVER, serves: Serves::Silence },
                Port { number: RPC, serves: Serves::Silence },
                Port { number: CONTROL, serves: Serves::Control },
            ],
            Self::Antscheduler => &[
                Port { number: SCHEDULER_HTTP, serves: Serves::Http },
                Port { number: SCHEDULER_SERVER, serves: Serves::Silence },
                Port { number: SCHEDULER_CLIENTS, serves: Serves::Clients },
                Port { number: RPC, serves: Serves::Silence },
                Port { number: CONTROL, serves: Serves::Control },
            ],
            Self::SchedulerConsole => &[
                Port { number: SCHEDULER_HTTP, serves: Serves::Http },
                Port { number: RPC, serves: Serves::Silence },
                Port { number: CONTROL, serves: Serves::Control },
            ],
            Self::Client => &[
                Port { number: SCHEDULER_HTTP, serves: Serves::Http },
                Port { number: CONTROL, serves: Serves::Control },
            ],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One port of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// The documented number; the process listens on this plus its offset.
    pub number: u16,
    /// What answers there.
    pub serves: Serves,
}

/// What answers on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// The role's own HTTP interface.
    Http,
    /// The long connections of clients: JSON lines both ways.
    Clients,
    /// Connections are held open and what they say is thrown away: a real protocol that nothing here needs.
    Silence,
    /// The health command. Open from the start, on the health address only.
    Health,
    /// Faults and state. Open from the start; no fault closes it.
    Control,
}

impl Serves {
    /// Whether the port opens only after start-up: all but health and control.
    #[must_use]
    pub fn waits_for_start(self) -> bool {
        !matches!(self, Self::Health | Self::Control)
    }
}
