//! `contract-servers` STANDS IN for servers that are not published: drmdata, `DSRConsole`, `AntScheduler` and
//! the `AntScheduler` console, and for the applications that hold connections to them.
//!
//! It exists so that the operator's controllers can be tried on real pods. It keeps to what the operations
//! guide of the microservice product documents of those servers: their ports, what they need before they
//! start, the health command, the five steps of a push, and the failures. All else is invented, as little
//! as possible, and marked "invented" where it is written. It never claims to be the real thing: its log,
//! its `--help` and the header `x-stand-in: true` of each HTTP answer say so.
//!
//! A process has one role. Every port of a role opens only after the database (and the registry) have
//! answered once, and stays open if they are lost later; then the health command and `GET :8899/state` tell.
//! All memory is in the process: a restart forgets tasks, and gets pushed values back from its peers.

mod args;
mod client;
mod connections;
mod control;
mod dependencies;
mod drm;
pub mod faults;
mod health;
mod http;
mod listen;
pub mod ports;
mod scheduler;
mod shared;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use args::{Args, Call, RoleArgs};
use faults::Switch;
use shared::{Shared, Work};

/// How long threads that still look up a name may keep the process alive after its end was asked for: well
/// under the 2 s in which a stand-in promises to be gone.
const LAST_CALLS: Duration = Duration::from_millis(500);

/// Runs the program with the arguments `args`, the program's own name first.
///
/// Exit 0 on SIGTERM and SIGINT, 1 when it cannot run or the fault `crash` is switched on, 2 for bad usage.
#[must_use]
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    match args::read(args) {
        Call::Print(text) => {
            // A reader that went away is not this program's failure.
            let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Call::Refuse(sentence) => {
            let _ = writeln!(std::io::stderr().lock(), "{sentence}");
            ExitCode::from(2)
        }
        Call::Run(args) => match run(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(std::io::stderr().lock(), "contract-servers cannot run: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Runs until a signal asks for the end.
fn run(args: Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shared = Arc::new(Shared::new(args.role.role(), args.role.common().clone()));
        start(&shared, args.role);
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        shared.log(format_args!("ends on {name}"));
        anyhow::Ok(())
    });
    runtime.shutdown_timeout(LAST_CALLS);
    ended
}

/// Starts the tasks of one role: dependencies, start-up, and one for each port.
fn start(shared: &Arc<Shared>, role: RoleArgs) {
    shared.log(format_args!(
        "version {} starts; this is a stand-in for tests, not the real server",
        env!("CARGO_PKG_VERSION")
    ));
    for fault in shared.common.fault.clone() {
        shared.switch(fault, Switch::On);
    }
    if let Some(needs) = role.needs() {
        dependencies::watch(shared, needs);
    }
    let work: Arc<dyn Work> = match role {
        RoleArgs::Drmdata(args) => drm::Drmdata::new(Arc::clone(shared), args.peers),
        RoleArgs::Dsrconsole(args) => drm::Console::new(Arc::clone(shared), args.drmdata),
        RoleArgs::Antscheduler(args) => scheduler::Scheduler::start(shared, args.mq),
        RoleArgs::SchedulerConsole(_) => Arc::new(scheduler::Console),
        RoleArgs::Client(args) => client::Clients::start(shared, args),
    };
    tokio::spawn(shared::start_up(Arc::clone(shared), Arc::clone(&work)));
    listen::open_all(shared, &work);
}
