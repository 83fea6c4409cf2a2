//! What may be wrong with servers and passes, how they are stopped, and how their clients find another one.

use crate::state::{NONE, Phase, Servers, Setting};

/// What may be wrong, and passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ill {
    /// A server is stopped in the middle of everything.
    Hung(u8),
    /// It says that it does not work.
    Failing(u8),
    /// It does not answer the others.
    Deaf(u8),
    /// Its connections are not counted.
    Uncounted(u8),
    /// It has tasks that are not reported.
    Busy(u8),
    /// It does not tell of its tasks.
    Silent(u8),
    /// A dependency does not work.
    Need,
    /// The database answers nobody.
    Database,
    /// A server's clients go, and cannot come back.
    Barred(u8),
}

impl Servers {
    pub(crate) fn stop(&mut self, index: usize, ours: bool) {
        if !matches!(self.pods[index].phase, Phase::Gone | Phase::Stopping) {
            self.pods[index].phase = Phase::Stopping;
            self.pods[index].ours = ours;
            self.end(index);
        }
    }

    pub(crate) fn is_ill(&self, ill: Ill) -> bool {
        match ill {
            Ill::Hung(index) => self.pods[usize::from(index)].phase == Phase::Hung,
            Ill::Failing(index) => self.pods[usize::from(index)].phase == Phase::Failing,
            Ill::Deaf(index) => self.deaf == index,
            Ill::Uncounted(index) => self.uncounted == index,
            Ill::Busy(index) => self.busy == index,
            Ill::Silent(index) => self.silent == index,
            Ill::Need => !self.need,
            Ill::Database => !self.database,
            // It is one thing, whoever's clients they were.
            Ill::Barred(index) => self.barred && index == 0,
        }
    }

    pub(crate) fn turn(&mut self, ill: Ill, on: bool) {
        let someone = |index: u8| if on { index } else { NONE };
        match ill {
            Ill::Hung(index) => {
                self.pods[usize::from(index)].phase = if on { Phase::Hung } else { Phase::Up }
            }
            Ill::Failing(index) => {
                self.pods[usize::from(index)].phase = if on { Phase::Failing } else { Phase::Up };
            }
            Ill::Deaf(index) => self.deaf = someone(index),
            Ill::Uncounted(index) => self.uncounted = someone(index),
            Ill::Busy(index) => self.busy = someone(index),
            Ill::Silent(index) => self.silent = someone(index),
            Ill::Need => self.need = !on,
            Ill::Database => self.database = !on,
            Ill::Barred(index) => {
                self.barred = on;
                if on {
                    self.away += std::mem::take(&mut self.clients[usize::from(index)]);
                }
            }
        }
    }

    pub(crate) fn may_connect(&self, setting: Setting) -> bool {
        self.away > 0 && !self.barred && setting.pods(0).any(|i| self.pods[i].phase == Phase::Up)
    }

    /// All that have none, each to the server with the fewest.
    pub(crate) fn connect(&mut self, setting: Setting) {
        for _ in 0..std::mem::take(&mut self.away) {
            let up = setting.pods(0).filter(|i| self.pods[*i].phase == Phase::Up);
            if let Some(index) = up.min_by_key(|i| self.clients[*i]) {
                self.clients[index] += 1;
            }
        }
    }
}
