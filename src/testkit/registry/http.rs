//! Requests and what comes of them.

use std::net::Ipv4Addr;

use super::super::Millis;
use crate::admin::answer::Answer;

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
}

/// How long a caller waits for an answer if it says nothing else: `changePeer` needs more than 3 s (§5).
const PATIENCE: Millis = 10_000;

/// One HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The address that it goes to.
    pub ip: Ipv4Addr,
    /// The port that it goes to.
    pub port: u16,
    /// The path, without a query.
    pub path: String,
    /// The query's or the form's fields.
    pub fields: Vec<(String, String)>,
    /// A JSON body; empty for a form.
    pub body: String,
    /// How long the caller waits.
    pub patience: Millis,
}

impl Request {
    /// A GET of this path.
    #[must_use]
    pub fn get(ip: Ipv4Addr, port: u16, path: &str) -> Self {
        Self {
            method: Method::Get,
            ip,
            port,
            path: path.to_owned(),
            fields: Vec::new(),
            body: String::new(),
            patience: PATIENCE,
        }
    }

    /// A POST of a form.
    #[must_use]
    pub fn form(ip: Ipv4Addr, port: u16, path: &str, fields: &[(&str, &str)]) -> Self {
        let fields = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { method: Method::Post, fields, ..Self::get(ip, port, path) }
    }

    /// A POST of a JSON body.
    #[must_use]
    pub fn json(ip: Ipv4Addr, port: u16, path: &str, body: &str) -> Self {
        Self { method: Method::Post, body: body.to_owned(), ..Self::get(ip, port, path) }
    }

    /// A PUT without a body.
    #[must_use]
    pub fn put(ip: Ipv4Addr, port: u16, path: &str) -> Self {
        Self { method: Method::Put, ..Self::get(ip, port, path) }
    }

    /// The same request of a caller who waits this long.
    #[must_use]
    pub fn patient_for(mut self, patience: Millis) -> Self {
        self.patience = patience;
        self
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What comes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An answer.
    Answer(Answer),
    /// Nobody listens on that port of that address.
    Refused,
    /// No answer in time: the process is stopped or cut off, or the address is nobody's.
    TimedOut,
    /// The connection ended without an answer: the process died in between.
    Closed,
}

impl Reply {
    /// The answer, if there is one.
    #[must_use]
    pub const fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Answer(answer) => Some(answer),
            Self::Refused | Self::TimedOut | Self::Closed => None,
        }
    }
}

/// A request that was sent and may not be answered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(super) u64);

/// Whose answer is awaited, and until when.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) until: Millis,
    pub(super) reply: Option<Reply>,
}
