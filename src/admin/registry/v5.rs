//! Answers that only 5.x gives, or gives in a way of its own (measured on 5.4.3: sofaregistry §3, §4).

use serde::Deserialize;

use super::wire::{Addresses, Body, PushSwitch, addresses, flag};
use crate::admin::answer::{Answer, Unreadable};

/// A MetaServer's part in its raft group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RaftStatus {
    /// It leads.
    Leader,
    /// It follows a leader.
    Follower,
    /// It is in no group that has a leader: starting, alone, on an address that no list has, or without a majority.
    /// Its process answers, which is the right state for `changePeer` (§5).
    NotInGroup,
}

/// The renewal of data nodes by their sessions (`/renewSwitch/get`): `None` = never set, which means on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewSwitch {
    /// Whether data of sessions that do not renew expire.
    pub datum_expire: Option<bool>,
    /// Whether sessions send snapshots. 5.4.3 loses publishers by them (§1, fact 8).
    pub renew_snapshot: Option<bool>,
}

/// `/health/check` of a MetaServer: 500 with the same JSON where it is in no group.
///
/// # Errors
/// [`Unreadable`] when it is not a 5.x meta's health.
pub fn raft_status(answer: &Answer) -> Result<RaftStatus, Unreadable> {
    let body: Body = answer.health_json()?;
    let message = body.message.as_deref().unwrap_or_default();
    if !message.starts_with("MetaServerBoot") {
        return Err(answer.not_understood());
    }
    match (flag(message, "raftStatus"), body.success && answer.status == 200) {
        (Some("Leader"), true) => Ok(RaftStatus::Leader),
        (Some("Follower"), true) => Ok(RaftStatus::Follower),
        // Also while a part is not up yet, whatever raft says of itself.
        (Some("false" | "Leader" | "Follower"), false) => Ok(RaftStatus::NotInGroup),
        _ => Err(answer.not_understood()),
    }
}

/// `/manage/queryPeer`: the peers of this node's **own** raft configuration, a set. It answers without a leader; a blank
/// node shows its configured list, a restarted one its old list.
///
/// # Errors
/// [`Unreadable`] when it is not a list of addresses.
pub fn peers(answer: &Answer) -> Result<Addresses, Unreadable> {
    addresses(answer, &answer.json::<Vec<String>>()?)
}

/// `/digest/pushSwitch` of a MetaServer.
///
/// # Errors
/// [`Unreadable`] for any other word, and 500 where there is no leader.
pub fn push_switch(answer: &Answer) -> Result<PushSwitch, Unreadable> {
    #[derive(Deserialize)]
    struct Switch {
        msg: Option<String>,
        #[serde(rename = "pushSwitch")]
        push_switch: String,
    }
    let switch: Switch = answer.json()?;
    match (switch.msg.as_deref(), switch.push_switch.as_str()) {
        (Some("OperationStatus is NOTFOUND"), "open") => Ok(PushSwitch::NeverSet),
        (None, "open") => Ok(PushSwitch::Open),
        (None, "closed") => Ok(PushSwitch::Closed),
        _ => Err(answer.not_understood()),
    }
}

/// `/renewSwitch/get` of a MetaServer.
///
/// # Errors
/// [`Unreadable`] for any other word.
pub fn renew_switch(answer: &Answer) -> Result<RenewSwitch, Unreadable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Switch {
        enable_data_datum_expire: String,
        enable_data_renew_snapshot: String,
    }
    let word = |text: &str| match text {
        "null" => Ok(None),
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(answer.not_understood()),
    };
    let switch: Switch = answer.json()?;
    Ok(RenewSwitch {
        datum_expire: word(&switch.enable_data_datum_expire)?,
        renew_snapshot: word(&switch.enable_data_renew_snapshot)?,
    })
}
