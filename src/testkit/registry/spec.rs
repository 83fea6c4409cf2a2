//! What a fake process is started with, and how long things take.

use std::fmt;
use std::net::Ipv4Addr;

use super::super::Millis;

/// Which server a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerRole {
    /// A MetaServer.
    Meta,
    /// A DataServer.
    Data,
    /// A SessionServer.
    Session,
}

impl ServerRole {
    /// Its admin port, where `/health/check` is (§2).
    #[must_use]
    pub const fn http_port(self) -> u16 {
        match self {
            Self::Meta => 9615,
            Self::Data => 9622,
            Self::Session => 9603,
        }
    }

    /// The word for it in paths, labels and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Data => "data",
            Self::Session => "session",
        }
    }
}

impl fmt::Display for ServerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Which SOFARegistry it is: behaves as 5.4.3 or as 6.3.0 was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerLine {
    /// 5.x: metas are one raft group by address.
    V5,
    /// 6.x: members are rows of a database.
    V6,
}

/// A volume: `raftData` that outlives the process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId(pub String);

/// A database of 6.x, which outlives every process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseId(pub String);

/// What a process is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// Its address.
    pub ip: Ipv4Addr,
    /// Which server it is.
    pub role: ServerRole,
    /// Which line it is of.
    pub line: ServerLine,
    /// `nodes.metaNode`, resolved once at the start (§2). 6.x ignores it.
    pub config_metas: Vec<Ipv4Addr>,
    /// `RAFT_SERVER_GROUP`: with the default one, clusters can swallow each other's metas (§12).
    pub raft_group: String,
    /// `nodes.localDataCenter`.
    pub data_center: String,
    /// Where a 5.x meta keeps `raftData`.
    pub volume: VolumeId,
    /// The database of 6.x.
    pub database: DatabaseId,
    /// Which clients may find it, if it is a session.
    pub clients: String,
}

impl ProcessSpec {
    /// A process with the defaults of the servers, on a volume of its own named by its address.
    #[must_use]
    pub fn new(line: ServerLine, role: ServerRole, ip: Ipv4Addr) -> Self {
        Self {
            ip,
            role,
            line,
            config_metas: Vec::new(),
            raft_group: "RegistryGroup_DefaultDataCenter".to_owned(),
            data_center: "DefaultDataCenter".to_owned(),
            volume: VolumeId(ip.to_string()),
            database: DatabaseId("registrymetadb".to_owned()),
            clients: "default".to_owned(),
        }
    }
}

/// How long things take. Counted from the start of the process where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// 5.x meta: http and raft are open (§3: 5–6.5 s).
    pub meta5_up: Millis,
    /// 5.x data: looks for the leader, once and for all (§1, fact 2).
    pub data5_looks: Millis,
    /// 5.x data: http is open, 500 INITIAL (§3).
    pub data5_http: Millis,
    /// 5.x data: WORKING (§3: 7–10 s).
    pub data5_up: Millis,
    /// 5.x session: looks for the leader and a data node, once and for all (§1, fact 2).
    pub session5_looks: Millis,
    /// 5.x session: http and 9600 are open (§3: 5–10 s).
    pub session5_up: Millis,
    /// 6.x meta: http is open (§3: 11–14 s).
    pub meta6_up: Millis,
    /// 6.x data: looks for a warm leader, exits without (§7, §13).
    pub data6_looks: Millis,
    /// 6.x data: 200 (§3: 8–11 s).
    pub data6_up: Millis,
    /// 6.x session: 200 (§3: 12 s).
    pub session6_up: Millis,
    /// 6.x session without a warm leader: exits (§7: about 15 s).
    pub session6_gives_up: Millis,
    /// After SIGTERM until the process has ended, 5.x.
    pub term5: Millis,
    /// After SIGTERM until the process has ended, 6.x (§7: 2–3 s).
    pub term6: Millis,
    /// 5.x: without a majority for this long a meta says 500 (§3: 2.6 s).
    pub step_down: Millis,
    /// 5.x changePeer: until raft has changed.
    pub change_raft: Millis,
    /// 5.x changePeer: then it sleeps, and only then writes the list that the others follow (§5; `product.md` 4).
    pub change_sleep: Millis,
    /// 5.x changePeer: until it fails on a new address that does not listen (§5: 1.0 s).
    pub change_fails: Millis,
    /// Until data and sessions follow a new list of metas (§5: 3 s).
    pub list_spread: Millis,
    /// A data node is listed for this long after its last sign of life (§4: 30 s).
    pub data_listed: Millis,
    /// A session is listed for this long after its last sign of life (§4: 8 s).
    pub session_listed: Millis,
    /// A session takes over the switch (§4: 0.1–1 s).
    pub switch_spread: Millis,
    /// A change reaches a subscriber (§4: 0.2–1 s).
    pub push: Millis,
    /// 5.x: who subscribed while push was closed hears of an unchanged id this long after it is open (§4, source: 1 min).
    pub push_to_late: Millis,
    /// 5.x renew snapshots: every 180 s plus up to `renew_spread` (§4).
    pub renew: Millis,
    /// The random part of `renew`.
    pub renew_spread: Millis,
    /// 6.x: the leader is still named for this long after its last renewal (§7: 10 s).
    pub leader_named: Millis,
    /// 6.x: a new leader is there this long after the last renewal of the old (§7: 22 s).
    pub lock_free: Millis,
    /// 6.x: a leader is warm after this long (§3: 30 s).
    pub warm: Millis,
    /// 6.x: slots of a lost data node are elsewhere after this long (§7: 1–2 s).
    pub slots_move: Millis,
    /// 6.x: one slot to a new data node takes this long (§7: 40 in 35 s).
    pub slot_step: Millis,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            meta5_up: 5_500,
            data5_looks: 3_000,
            data5_http: 4_000,
            data5_up: 8_000,
            session5_looks: 4_000,
            session5_up: 7_000,
            meta6_up: 12_000,
            data6_looks: 6_000,
            data6_up: 9_500,
            session6_up: 12_000,
            session6_gives_up: 15_000,
            term5: 1_500,
            term6: 2_500,
            step_down: 2_600,
            change_raft: 100,
            change_sleep: 3_000,
            change_fails: 1_000,
            list_spread: 1_000,
            data_listed: 30_000,
            session_listed: 8_000,
            switch_spread: 200,
            push: 500,
            push_to_late: 60_000,
            renew: 180_000,
            renew_spread: 60_000,
            leader_named: 10_000,
            lock_free: 22_000,
            warm: 30_000,
            slots_move: 1_500,
            slot_step: 875,
        }
    }
}
