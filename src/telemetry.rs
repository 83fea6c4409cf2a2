//! Logs: text for people or JSON for programs, with a level that can be changed while it runs.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

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
pub struct LogLevel(reload::Handle<Targets, Registry>);

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

fn filter(level: &str) -> Result<Targets, NoLevel> {
    let words: Vec<&str> = level.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    let filter = words.iter().try_fold(Targets::new(), |so_far, word| match word.split_once('=') {
        None => Some(so_far.with_default(level_of(word)?)),
        Some((module, word)) => is_module(module).then_some(so_far.with_target(module, level_of(word)?)),
    });
    filter.filter(|_| !words.is_empty()).ok_or_else(|| NoLevel(level.to_owned()))
}

fn level_of(word: &str) -> Option<LevelFilter> {
    // The library takes nothing at all for a level.
    word.parse().ok().filter(|_| !word.is_empty())
}

fn is_module(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
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

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_for_all_and_for_a_module() {
        let logs = filter("info, kube_client=debug,").unwrap();
        assert!(logs.would_enable("sofa_operator", &Level::INFO));
        assert!(!logs.would_enable("sofa_operator", &Level::DEBUG));
        assert!(logs.would_enable("kube_client::client", &Level::DEBUG));
        assert!(!filter("off").unwrap().would_enable("sofa_operator", &Level::ERROR));
    }

    /// It would else be taken for the name of a module, and nothing be logged any more.
    #[test]
    fn what_is_no_level_is_refused() {
        for wrong in
            ["", ",", "loud", "info,loud", "kube=", "kube=loud", "=info", r#"{"level":"debug"}"#, "debug;"]
        {
            assert_eq!(filter(wrong).err(), Some(NoLevel(wrong.to_owned())), "{wrong}");
        }
    }
}
