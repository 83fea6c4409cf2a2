//! Where the caller crashes: before or after any write or admin command.

/// A crash of the caller. Writes and admin commands are counted together, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Crash {
    /// The caller dies just before it would send this one.
    Before(u64),
    /// This one takes effect, and the caller never learns of it.
    After(u64),
}

/// Counts what a caller sends, and crashes it where a test wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tripwire {
    sent: u64,
    crash: Option<Crash>,
    crashed: bool,
}

impl Tripwire {
    /// Sets the crash to come.
    pub const fn arm(&mut self, crash: Crash) {
        self.crash = Some(crash);
    }

    /// How many were sent so far.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the caller is dead: everything that it sends fails until [`Tripwire::revive`].
    #[must_use]
    pub const fn crashed(&self) -> bool {
        self.crashed
    }

    /// A new process of the caller: what it sends is counted on.
    pub const fn revive(&mut self) {
        self.crashed = false;
        self.crash = None;
    }

    /// Before something is sent: whether it may be.
    pub fn may_send(&mut self) -> bool {
        if self.crash == Some(Crash::Before(self.sent + 1)) {
            self.crashed = true;
        }
        if !self.crashed {
            self.sent += 1;
        }
        !self.crashed
    }

    /// After something has taken effect: whether the caller lives to learn of it.
    pub fn may_learn(&mut self) -> bool {
        if self.crash == Some(Crash::After(self.sent)) {
            self.crashed = true;
        }
        !self.crashed
    }
}
