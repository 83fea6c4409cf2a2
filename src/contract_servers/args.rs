//! The command line: one subcommand for each role; each flag also by an environment variable.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use super::dependencies::Needs;
use super::faults::Fault;
use super::ports::Role;

/// A STAND-IN for the closed servers drmdata, `DSRConsole` and `AntScheduler`, for tests of the operator.
///
/// It is not those servers. It has their documented ports, dependencies, health command and failures.
#[derive(Debug, Parser)]
#[command(name = "contract-servers", version, arg_required_else_help = false, subcommand_required = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) role: RoleArgs,
}

/// The role and its flags.
#[derive(Debug, Subcommand)]
pub(super) enum RoleArgs {
    /// Stands in for drmdata: ports 80, 9870, 9880, 12200 and the health command on 9500.
    Drmdata(DrmdataArgs),
    /// Stands in for `DSRConsole`: ports 80, 8341, 12200.
    Dsrconsole(DsrconsoleArgs),
    /// Stands in for `AntScheduler`: ports 8080, 9000, 9001, 12200.
    Antscheduler(AntschedulerArgs),
    /// Stands in for the console of `AntScheduler`: ports 8080, 12200.
    SchedulerConsole(SchedulerConsoleArgs),
    /// Stands in for an application with long connections to drmdata or `AntScheduler`: status on port 8080.
    Client(ClientArgs),
}

/// The flags of every role.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Common {
    /// The address to listen on, for all ports but health.
    #[arg(long, env = "STAND_IN_LISTEN", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub(super) listen: IpAddr,
    /// The address of the health command (drmdata, port 9500): the guide calls it inside the pod only.
    #[arg(long, env = "STAND_IN_HEALTH_LISTEN", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(super) health_listen: IpAddr,
    /// Added to every port that this process opens; for tests without root.
    #[arg(long, env = "STAND_IN_PORT_OFFSET", default_value_t = 0)]
    pub(super) port_offset: u16,
    /// Faults that are on from the start, separated by commas (see GET :8899/faults).
    #[arg(long, env = "STAND_IN_FAULT", value_name = "NAME", value_delimiter = ',')]
    pub(super) fault: Vec<Fault>,
}

/// What the servers cannot start without (operations guide §1.2.1.2, §1.2.2).
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ServerNeeds {
    /// The database; it must greet as a `MySQL` server does, nobody logs in.
    #[arg(long, env = "STAND_IN_DATABASE", value_name = "HOST:PORT")]
    database: HostPort,
    /// `SessionServers` of the registry, HTTP port, separated by commas; one that answers is enough.
    #[arg(long, env = "STAND_IN_REGISTRY", value_name = "HOST:9603,...", value_parser = some_host_ports)]
    registry: HostPorts,
    /// Milliseconds between two looks at each dependency.
    #[arg(long, env = "STAND_IN_CHECK_MILLIS", default_value_t = 2000)]
    check_millis: u64,
}

/// What the consoles cannot start without; a registry only if one is given.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ConsoleNeeds {
    /// The database; it must greet as a `MySQL` server does, nobody logs in.
    #[arg(long, env = "STAND_IN_DATABASE", value_name = "HOST:PORT")]
    database: HostPort,
    /// `SessionServers` of the registry, HTTP port, separated by commas; not looked at if empty.
    #[arg(long, env = "STAND_IN_REGISTRY", value_name = "HOST:9603,...", default_value = "")]
    registry: HostPorts,
    /// Milliseconds between two looks at each dependency.
    #[arg(long, env = "STAND_IN_CHECK_MILLIS", default_value_t = 2000)]
    check_millis: u64,
}

/// Flags of the role drmdata.
#[derive(Debug, clap::Args)]
pub(super) struct DrmdataArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    needs: ServerNeeds,
    /// The other drmdata servers, port 9870, of all data centres; this server itself may be among them.
    #[arg(long, env = "STAND_IN_PEERS", value_name = "HOST:9870,...", default_value = "")]
    pub(super) peers: HostPorts,
}

/// Flags of the role dsrconsole.
#[derive(Debug, clap::Args)]
pub(super) struct DsrconsoleArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    needs: ConsoleNeeds,
    /// The drmdata servers of the same data centre, port 80 or 9870; a push goes to one of them.
    #[arg(long, env = "STAND_IN_DRMDATA", value_name = "HOST:80,...", value_parser = some_host_ports)]
    pub(super) drmdata: HostPorts,
}

/// Flags of the role antscheduler.
#[derive(Debug, clap::Args)]
pub(super) struct AntschedulerArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    needs: ServerNeeds,
    /// The message queue. The start does not wait for it: only tasks by message need it.
    #[arg(long, env = "STAND_IN_MQ", value_name = "HOST:9529")]
    pub(super) mq: Option<HostPort>,
}

/// Flags of the role scheduler-console.
#[derive(Debug, clap::Args)]
pub(super) struct SchedulerConsoleArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    needs: ConsoleNeeds,
}

/// Flags of the role client.
#[derive(Debug, clap::Args)]
pub(super) struct ClientArgs {
    #[command(flatten)]
    common: Common,
    /// The servers to connect to: drmdata on 9880 or antscheduler on 9001. Names are resolved at each connect.
    #[arg(long, env = "STAND_IN_SERVERS", value_name = "HOST:PORT,...", value_parser = some_host_ports)]
    pub(super) servers: HostPorts,
    /// How many connections to hold, spread over all addresses.
    #[arg(long, env = "STAND_IN_CONNECTIONS", default_value_t = 10)]
    pub(super) connections: usize,
    /// The name under which the connections register.
    #[arg(long, env = "STAND_IN_NAME", default_value = "client")]
    pub(super) name: String,
    /// The seed of the jitter of the back-off: one seed, one sequence.
    #[arg(long, env = "STAND_IN_SEED", default_value_t = 1)]
    pub(super) seed: u64,
    /// Milliseconds between two heartbeats (the guide's clients send one every 30 s, §1.3.2.1).
    #[arg(long, env = "STAND_IN_HEARTBEAT_MILLIS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(10..))]
    pub(super) heartbeat_millis: u64,
    /// The longest back-off in milliseconds; the first is a fiftieth of it, each next one twice the one before.
    #[arg(long, env = "STAND_IN_MAX_BACKOFF_MILLIS", default_value_t = 5000)]
    pub(super) max_backoff_millis: u64,
}

impl RoleArgs {
    /// Which role it is.
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Drmdata(_) => Role::Drmdata,
            Self::Dsrconsole(_) => Role::Dsrconsole,
            Self::Antscheduler(_) => Role::Antscheduler,
            Self::SchedulerConsole(_) => Role::SchedulerConsole,
            Self::Client(_) => Role::Client,
        }
    }

    /// The flags that every role has.
    pub(super) fn common(&self) -> &Common {
        match self {
            Self::Drmdata(args) => &args.common,
            Self::Dsrconsole(args) => &args.common,
            Self::Antscheduler(args) => &args.common,
            Self::SchedulerConsole(args) => &args.common,
            Self::Client(args) => &args.common,
        }
    }

    /// What the role waits for before it opens its ports; `None` for the client.
    pub(super) fn needs(&self) -> Option<Needs> {
        let (database, registry, millis) = match self {
            Self::Drmdata(DrmdataArgs { needs, .. }) | Self::Antscheduler(AntschedulerArgs { needs, .. }) => {
                (&needs.database, &needs.registry, needs.check_millis)
            }
            Self::Dsrconsole(DsrconsoleArgs { needs, .. })
            | Self::SchedulerConsole(SchedulerConsoleArgs { needs, .. }) => {
                (&needs.database, &needs.registry, needs.check_millis)
            }
            Self::Client(_) => return None,
        };
        let every = Duration::from_millis(millis);
        Some(Needs { database: database.clone(), registry: registry.clone(), every })
    }

    /// What is wrong with flags that are each right by themselves.
    fn refusal_reason(&self) -> Option<String> {
        let (role, common) = (self.role(), self.common());
        let too_high = role.ports().iter().find(|port| port.number.checked_add(common.port_offset).is_none());
        if let Some(port) = too_high {
            return Some(format!(
                "--port-offset {} moves port {} beyond 65535",
                common.port_offset, port.number
            ));
        }
        common.fault.iter().find_map(|fault| fault.refusal_reason(role))
    }
}

/// What a command line asks for.
#[derive(Debug)]
pub(super) enum Call {
    /// Run a role.
    Run(Args),
    /// Print this text to standard output, exit 0.
    Print(String),
    /// Print this sentence to standard error, exit 2.
    Refuse(String),
}

/// Reads a command line, the program's own name first, and the environment.
pub(super) fn read(args: impl Iterator<Item = OsString>) -> Call {
    match Args::try_parse_from(args) {
        Ok(args) => match args.role.refusal_reason() {
            None => Call::Run(args),
            Some(reason) => Call::Refuse(sentence(&reason)),
        },
        Err(error) if !error.use_stderr() => Call::Print(error.to_string()),
        Err(error) if error.kind() == ErrorKind::MissingSubcommand => Call::Refuse(sentence(
            "name the role: drmdata, dsrconsole, antscheduler, scheduler-console or client",
        )),
        Err(error) => {
            // clap writes a first paragraph with the error, then usage and hints: the paragraph is enough.
            let text = error.to_string();
            let first = text.split("\n\n").next().unwrap_or(&text);
            let words: Vec<_> = first.trim_start_matches("error:").split_whitespace().collect();
            Call::Refuse(sentence(&words.join(" ")))
        }
    }
}

fn sentence(problem: &str) -> String {
    format!("contract-servers: {problem} (contract-servers --help says more)")
}

/// A host name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPort {
    pub(super) host: String,
    pub(super) port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || format!("{text:?} is not HOST:PORT");
        let (host, port) = text.rsplit_once(':').ok_or_else(problem)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().map_err(|_| problem())?;
        if host.is_empty() { Err(problem()) } else { Ok(Self { host: host.to_owned(), port }) }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Hosts with ports, separated by commas; an empty text is an empty list, so that a template may leave it empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostPorts(pub(super) Vec<HostPort>);

impl FromStr for HostPorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for HostPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(HostPort::to_string).collect();
        f.write_str(&parts.join(","))
    }
}

fn some_host_ports(text: &str) -> Result<HostPorts, String> {
    let list: HostPorts = text.parse()?;
    if list.0.is_empty() { Err("give at least one HOST:PORT".to_owned()) } else { Ok(list) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_host_ports() {
        let list: HostPorts = " a:1,,[::1]:2 ".parse().unwrap();
        assert_eq!(list.to_string(), "a:1,[::1]:2");
        for bad in ["a", ":1", "a:", "a:70000", "a:1,b"] {
            assert!(bad.parse::<HostPorts>().is_err(), "{bad}");
        }
    }

    /// The guide asks for health inside the pod only: nothing else may reach it unless somebody says so.
    #[test]
    fn health_listens_inside_the_pod_by_default() {
        let words = ["contract-servers", "drmdata", "--database", "h:1", "--registry", "h:1"];
        let args = Args::try_parse_from(words).unwrap();
        assert!(args.role.common().health_listen.is_loopback());
        assert!(args.role.common().listen.is_unspecified());
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
