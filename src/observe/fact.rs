//! Facts: what is known, since when, or why it is not known.
//!
//! May import `types`.

use std::fmt;

use crate::types::Moment;

/// What one server told, or why nothing is known. An unknown is never a pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fact<T> {
    /// It is known.
    Known {
        /// What it is.
        value: T,
        /// When the question was sent: what happened after that is not in it.
        at: Moment,
    },
    /// It is not known.
    Unknown {
        /// Why.
        why: Unknown,
        /// When the question was sent.
        at: Moment,
    },
}

/// Why something is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unknown {
    /// Nothing listens there: the connection was refused. A process that serves would listen.
    Refused,
    /// No answer in time: it may serve, or not.
    TimedOut,
    /// It answered something that is not understood.
    Unreadable,
    /// Nobody asked.
    NotAsked,
    /// It was asked before the last act.
    Stale,
}

impl Unknown {
    /// What is said of a server of which [`Unknown::Unreadable`] is all that is known.
    pub(crate) const RUBBISH: &'static str = "what its management port answers is not understood: see what listens there, a sidecar or another program";
}

impl<T> Fact<T> {
    /// A fact of this moment.
    #[must_use]
    pub const fn known(value: T, at: Moment) -> Self {
        Self::Known { value, at }
    }

    /// Nothing known at this moment.
    #[must_use]
    pub const fn unknown(why: Unknown, at: Moment) -> Self {
        Self::Unknown { why, at }
    }

    /// When the question was sent.
    #[must_use]
    pub const fn at(&self) -> Moment {
        match self {
            Self::Known { at, .. } | Self::Unknown { at, .. } => *at,
        }
    }

    /// The value, if it is known.
    #[must_use]
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// The value, or why there is none.
    ///
    /// # Errors
    /// Why it is not known.
    pub const fn read(&self) -> Result<&T, Unknown> {
        match self {
            Self::Known { value, .. } => Ok(value),
            Self::Unknown { why, .. } => Err(*why),
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "nothing listens there",
            Self::TimedOut => "no answer in time",
            Self::Unreadable => "its answer is not understood",
            Self::NotAsked => "it was not asked",
            Self::Stale => "it was asked before the last act",
        })
    }
}
