//! Logs: text for people or JSON for programs, with a level that can be changed while it runs.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The level of the logs, while it runs.
#[derive(Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

/// A level that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no log level: use error, warn, info, debug, trace, or module=level, separated by commas")]
pub struct NoLevel(String);

impl LogLevel {
    /// Changes it.
    ///
    /// # Errors
    /// If it is none.
    pub fn set(&self, level: &str) -> Result<(), NoLevel> {
        self.0.reload(filter(level)?).map_err(|_| NoLevel(level.to_owned()))
    }
}

fn filter(level: &str) -> Result<EnvFilter, NoLevel> {
    EnvFilter::from_str(level).map_err(|_| NoLevel(level.to_owned()))
}

/// Begins to log, to standard error.
///
/// # Errors
/// If the level is none.
pub fn begin(format: LogFormat, level: &str) -> Result<LogLevel, NoLevel> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    Ok(LogLevel(handle))
}
