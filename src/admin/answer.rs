//! An HTTP answer as it came, and the reasons why one says nothing.
//!
//! The rule of every parser here: what is not understood is [`Unreadable`], never a pass.

use serde::de::DeserializeOwned;

/// The most that is read of an answer's body. The largest honest one (all dataIds of a big session) stays below this; a
/// client cuts off what is longer and sets [`Answer::cut`].
pub const BODY_LIMIT_BYTES: usize = 4 << 20;

/// How much of an answer an error shows.
const EXCERPT_CHARS: usize = 160;

/// One HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header `Location`: where a follower of 6.x sends its callers (measured: sofaregistry §7).
    pub location: Option<String>,
    /// The body, at most [`BODY_LIMIT_BYTES`] of it.
    pub body: Vec<u8>,
    /// Whether there was more than the body holds, or the connection ended before its end.
    pub cut: bool,
}

/// Why an answer says nothing about what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The answerer is not the leader (6.x: 307).
    #[error("not the leader: ask {0}")]
    Redirected(String),
    /// There is no leader (6.x: 400 without a body).
    #[error("no leader")]
    NoLeader,
    /// The server does not know this endpoint (404, or 405 for the method).
    #[error("the server has no such endpoint (HTTP {0})")]
    NoSuchEndpoint(u16),
    /// The server failed: 500 with an HTML page, mostly because the store has no leader (5.x).
    #[error("the server failed (HTTP {status}): {excerpt}")]
    ServerFailed {
        /// The status code.
        status: u16,
        /// The beginning of what it said.
        excerpt: String,
    },
    /// The body was longer than is read, or ended before its end.
    #[error("the answer is incomplete ({0} bytes were read)")]
    Incomplete(usize),
    /// A success whose body is not what this endpoint says.
    #[error("the answer is not understood: {0}")]
    NotUnderstood(String),
}

impl Unreadable {
    /// A word from a closed set, for metrics and reasons.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Redirected(_) => "Redirected",
            Self::NoLeader => "NoLeader",
            Self::NoSuchEndpoint(_) => "NoSuchEndpoint",
            Self::ServerFailed { .. } => "ServerFailed",
            Self::Incomplete(_) => "Incomplete",
            Self::NotUnderstood(_) => "NotUnderstood",
        }
    }
}

impl Answer {
    /// An answer with this status and body.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// The body of a complete 200 as text.
    ///
    /// # Errors
    /// Every other answer, by its meaning.
    pub fn text(&self) -> Result<&str, Unreadable> {
        match self.status {
            200 => self.complete(),
            status => Err(self.failure(status)),
        }
    }

    /// The body of a complete 200 as JSON, whatever its `Content-Type` says: 5.x labels plain text as JSON.
    ///
    /// # Errors
    /// Every other answer, by its meaning.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Unreadable> {
        self.parse(self.text()?)
    }

    /// The body of a 200 or 500 as JSON: `/health/check` says what is wrong in the body of a 500
    /// (measured: sofaregistry §3).
    ///
    /// # Errors
    /// An HTML page with 500 is [`Unreadable::ServerFailed`]; every other answer by its meaning.
    pub fn health_json<T: DeserializeOwned>(&self) -> Result<T, Unreadable> {
        match self.status {
            200 => self.json(),
            500 if self.body.trim_ascii_start().starts_with(b"{") => self.parse(self.complete()?),
            status => Err(self.failure(status)),
        }
    }

    fn parse<T: DeserializeOwned>(&self, text: &str) -> Result<T, Unreadable> {
        serde_json::from_str(text).map_err(|_| self.not_understood())
    }

    fn complete(&self) -> Result<&str, Unreadable> {
        if self.cut || self.body.len() > BODY_LIMIT_BYTES {
            return Err(Unreadable::Incomplete(self.body.len()));
        }
        str::from_utf8(&self.body).map_err(|_| self.not_understood())
    }

    fn failure(&self, status: u16) -> Unreadable {
        match status {
            301 | 302 | 303 | 307 | 308 => Unreadable::Redirected(self.location.clone().unwrap_or_default()),
            // 6.x answers 400 with the header `reason: no leader found` and no body.
            400 if self.body.is_empty() => Unreadable::NoLeader,
            404 | 405 => Unreadable::NoSuchEndpoint(status),
            _ => Unreadable::ServerFailed { status, excerpt: self.excerpt() },
        }
    }

    /// The error for a success that the caller does not understand.
    #[must_use]
    pub fn not_understood(&self) -> Unreadable {
        Unreadable::NotUnderstood(self.excerpt())
    }

    fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").chars().take(EXCERPT_CHARS).collect()
    }
}
