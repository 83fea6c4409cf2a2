//! Faults that a test plants in the planner, one for each invariant: the test that looks for them fails if the checker has
//! gone blind. No program sets one.

/// A fault in the planner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Planted {
    /// I1: a meta is restarted without asking for the majority.
    IgnoresQuorum,
    /// I2: all DataServers at once.
    WholeRoleAtOnce,
    /// I3: facts from before the last act count.
    TrustsOldFacts,
    /// I4: sessions before metas.
    RolesBackwards,
    /// I5: another cluster of the push group may act at the same time.
    IgnoresGroupActor,
    /// I6: a wait without a reason.
    WaitsSilently,
    /// I7: an act is done again although its effect is seen.
    RepeatsActs,
    /// I8: what is done is forgotten.
    ForgetsDone,
    /// I9: an act that was written down is done whatever the spec says now.
    ActsAfterPause,
    /// I10: restarts before push is verified closed.
    RestartsWhileOpen,
    /// I11: push stays closed when a rollout ends.
    ForgetsToOpen,
    /// I12: what a person closed is opened.
    OpensForeignPush,
    /// I13: several members are changed by one `changePeer`.
    ChangesTwoPeers,
    /// I14: two blank metas are let in together.
    ReleasesBlanks,
    /// I15: DataServers are restarted while the others do not work.
    IgnoresDataHalf,
    /// Liveness: a rollout waits for what never comes.
    WaitsForever,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::IgnoresQuorum,
        Self::WholeRoleAtOnce,
        Self::TrustsOldFacts,
        Self::RolesBackwards,
        Self::IgnoresGroupActor,
        Self::WaitsSilently,
        Self::RepeatsActs,
        Self::ForgetsDone,
        Self::ActsAfterPause,
        Self::RestartsWhileOpen,
        Self::ForgetsToOpen,
        Self::OpensForeignPush,
        Self::ChangesTwoPeers,
        Self::ReleasesBlanks,
        Self::IgnoresDataHalf,
        Self::WaitsForever,
    ];
}
