//! How a request reaches an admin port, and what can come of it.
//!
//! A transport sends once and never again: what a command that nobody answered has done is found out by observing.
//! Redirects are answers: who leads is the planner's business.
//!
//! May import `types` and the answers of this module.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use super::answer::Answer;

/// How long a connection may take. Inside one network it is milliseconds; a host that is gone answers nothing.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// A server with an admin port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// Its pod, by namespace and name: the way through the API server. `None`: it is in another site.
    pub pod: Option<(String, String)>,
    /// Its address, or its name.
    pub host: String,
    /// Its admin port.
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET: it reads, and on 5.x it switches too.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
}

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// The query of a GET, the form of the others.
    Fields(&'a [(&'a str, &'a str)]),
    /// A JSON document.
    Json(&'a str),
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Who is asked.
    pub to: &'a Server,
    /// The method.
    pub method: Method,
    /// The path, with a leading slash.
    pub path: &'a str,
    /// What it carries.
    pub content: Content<'a>,
    /// How long the whole answer is waited for.
    pub limit: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nothing listens there.
    #[error("the connection to {0} was refused")]
    Refused(String),
    /// None came in time. What was asked may have been done.
    #[error("{0} did not answer in time")]
    TimedOut(String),
    /// The connection broke, or could not be made.
    #[error("{server} could not be asked: {why}")]
    Broken {
        /// Who.
        server: String,
        /// Why.
        why: String,
    },
}

impl NoAnswer {
    /// A word from a closed set, for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Refused(_) => "Refused",
            Self::TimedOut(_) => "TimedOut",
            Self::Broken { .. } => "Broken",
        }
    }
}

/// A way to the admin ports.
pub trait Transport: Send + Sync {
    /// Sends one request, once.
    ///
    /// # Errors
    /// Why there is no answer.
    fn send(&self, call: Call<'_>) -> impl Future<Output = Result<Answer, NoAnswer>> + Send;
}
