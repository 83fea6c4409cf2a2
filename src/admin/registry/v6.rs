//! Answers that only 6.x gives, or gives in a way of its own (measured on 6.3.0: sofaregistry §3, §7).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Deserialize;

use super::wire::{Addresses, Body, PushSwitch, addresses, flag};
use crate::admin::answer::{Answer, Unreadable};

/// What a MetaServer says of itself and of its leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaHealth {
    /// Whether it leads.
    pub leads: bool,
    /// Whether it is warm: 30 s after its election. Before that a leader answers data and sessions as a follower, and
    /// they exit; slots are not rearranged either.
    pub warm: bool,
    /// The leader, if it knows one.
    pub leader: Option<Ipv4Addr>,
    /// The metas that it knows; only the leader's list is complete.
    pub metas: Addresses,
}

/// The push switch of the whole cluster, and the sessions that are open in spite of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaPushSwitch {
    /// The switch.
    pub global: PushSwitch,
    /// Sessions for which push was opened alone (`grayOpen`). Push is closed everywhere only if this is empty.
    pub gray: Addresses,
}

/// How the slots of the data are spread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// Whether slots are held where they are, because too few data nodes are there or the leader is not warm.
    pub protection_mode: bool,
    /// Whether no slot is on its way.
    pub stable: bool,
    /// Slots that each data node leads.
    pub leaders: BTreeMap<Ipv4Addr, u32>,
}

/// `/health/check` of a MetaServer: 500 with the same JSON where there is no leader.
///
/// # Errors
/// [`Unreadable`] when it is not a 6.x meta's health.
pub fn meta_health(answer: &Answer) -> Result<MetaHealth, Unreadable> {
    let unread = || answer.not_understood();
    let body: Body = answer.health_json()?;
    let message = body.message.as_deref().unwrap_or_default();
    if !message.starts_with("MetaServerBoot") {
        return Err(unread());
    }
    let leads = match flag(message, "role") {
        Some("leader") => true,
        Some("follower") => false,
        _ => return Err(unread()),
    };
    let warm = flag(message, "warmuped").and_then(|w| w.parse().ok()).ok_or_else(unread)?;
    let leader = match flag(message, "leader").ok_or_else(unread)? {
        "null" => None,
        address => Some(address.parse().map_err(|_| unread())?),
    };
    let list = message
        .split_once("meta-servers:[")
        .and_then(|(_, list)| list.strip_suffix(']'))
        .ok_or_else(unread)?;
    let metas =
        list.split("META-Node{").skip(1).map(|node| node.split(',').next().unwrap_or_default().to_owned());
    Ok(MetaHealth { leads, warm, leader, metas: addresses(answer, &metas.collect::<Vec<_>>())? })
}

/// `/meta/leader/query` of the leader.
///
/// # Errors
/// [`Unreadable::Redirected`] from a follower, [`Unreadable::NoLeader`] where there is none.
pub fn leader(answer: &Answer) -> Result<Ipv4Addr, Unreadable> {
    #[derive(Deserialize)]
    struct Leader {
        leader: Ipv4Addr,
    }
    Ok(data::<Leader>(answer)?.leader)
}

/// `/digest/pushSwitch` of the leader.
///
/// # Errors
/// [`Unreadable`] for any other words, from a follower, and where there is no leader.
pub fn push_switch(answer: &Answer) -> Result<MetaPushSwitch, Unreadable> {
    let unread = || answer.not_understood();
    let words: BTreeMap<String, String> = answer.json()?;
    let word = |key: &str| words.get(key).map(String::as_str);
    let global = match (word("stopPush"), word("msg")) {
        (Some("true"), None) => PushSwitch::Closed,
        (Some("false"), None) => PushSwitch::Open,
        (None, Some("(global push switch)OperationStatus is NOTFOUND")) => PushSwitch::NeverSet,
        _ => return Err(unread()),
    };
    let gray = match (word("grayPushSwitch"), word("gray push switch msg")) {
        (None, Some("OperationStatus is NOTFOUND")) | (Some(""), Some("data is empty")) => Addresses::new(),
        // The list's form was not measured: whatever it says, it is not empty, and so no pass.
        _ => return Err(unread()),
    };
    Ok(MetaPushSwitch { global, gray })
}

/// `/openapi/v1/slot/table/status` of the leader or a data node.
///
/// # Errors
/// [`Unreadable`] when it is not that table, or the server says `success: false`.
pub fn slot_status(answer: &Answer) -> Result<SlotStatus, Unreadable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Table {
        protection_mode: bool,
        slot_table_stable: bool,
        leader_count: BTreeMap<Ipv4Addr, u32>,
    }
    let table: Table = data(answer)?;
    Ok(SlotStatus {
        protection_mode: table.protection_mode,
        stable: table.slot_table_stable,
        leaders: table.leader_count,
    })
}

/// The cell of every server that is told of none. Who is taken off the list of those that are kept out has to be named with it
/// (measured: sofaregistry §15).
pub const CELL: &str = "DEFAULT_ZONE";

/// `/persistentData/query` of the leader for the list of servers that are kept out: the data nodes in it (§15). None is there
/// until one has ended in order.
///
/// # Errors
/// [`Unreadable`] when it is neither that value nor the word that there is none, and from a follower.
pub fn blacklist(answer: &Answer) -> Result<Addresses, Unreadable> {
    #[derive(Deserialize)]
    struct Entry {
        data: Option<String>,
    }
    #[derive(Deserialize)]
    struct Envelope {
        success: bool,
        message: Option<String>,
        data: Option<Entry>,
    }
    #[derive(Deserialize)]
    struct Kept {
        address: Ipv4Addr,
    }
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        datas: Vec<Kept>,
    }
    let envelope: Envelope = answer.json()?;
    match (envelope.success, envelope.message.as_deref(), envelope.data) {
        (true, _, Some(entry)) => {
            let text = entry.data.unwrap_or_default();
            let list: List = serde_json::from_str(&text).map_err(|_| answer.not_understood())?;
            Ok(list.datas.into_iter().map(|kept| kept.address).collect())
        }
        (false, Some("data not found"), None) => Ok(Addresses::new()),
        _ => Err(answer.not_understood()),
    }
}

/// `/connections/query` of a SessionServer: how many clients are connected to it.
///
/// # Errors
/// [`Unreadable`] when it is not a list of `address:port`.
pub fn connections(answer: &Answer) -> Result<usize, Unreadable> {
    let list: Vec<String> = answer.json()?;
    addresses(answer, &list)?;
    Ok(list.len())
}

/// The `data` of an answer whose `success` is true.
fn data<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T, Unreadable> {
    #[derive(Deserialize)]
    struct Envelope<T> {
        success: bool,
        data: Option<T>,
    }
    let envelope: Envelope<T> = answer.json()?;
    envelope.data.filter(|_| envelope.success).ok_or_else(|| answer.not_understood())
}
