//! The vocabulary of SOFARegistry's answers, and the parsers that 5.x and 6.x share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::Deserialize;

use crate::admin::answer::{Answer, Unreadable};

/// Addresses of servers. The servers know IPv4 only (measured: sofaregistry §2).
pub type Addresses = BTreeSet<Ipv4Addr>;

/// The switch that stops pushes, as one server tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PushSwitch {
    /// Nobody has set it yet. 5.x then pushes, 6.x does not (measured: sofaregistry §1, facts 6).
    NeverSet,
    /// Pushes go out.
    Open,
    /// Pushes are held back.
    Closed,
}

/// What a command was answered. Accepted means accepted: only a later observation means done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 200 with `success: true`.
    Accepted,
    /// 200 with `success: false`, and the server's words. 5.x fails this way.
    Refused(String),
}

/// Publishers, subscribers and watchers of one SessionServer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionCounts {
    /// Publishers that clients registered there.
    pub publishers: u64,
    /// Subscribers that clients registered there.
    pub subscribers: u64,
    /// Watchers of configuration that clients registered there.
    pub watchers: u64,
}

/// What one DataServer holds for its own data centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DataCounts {
    /// dataIds, those without publishers included: they stay after their publishers leave.
    pub data: u64,
    /// Publishers: the figure to compare.
    pub publishers: u64,
}

/// Whether a DataServer or SessionServer serves, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// 200, and every part is up.
    Yes,
    /// It says which part is not; or a 5.x data node is still INITIAL.
    NotYet,
}

#[derive(Deserialize)]
pub(super) struct Body {
    pub(super) success: bool,
    pub(super) message: Option<String>,
}

/// A command's answer. The field decides, not the status: 5.x fails with 200 (measured: sofaregistry §1, fact 4).
///
/// # Errors
/// [`Unreadable`] when the answer does not tell whether it was accepted.
pub fn outcome(answer: &Answer) -> Result<Outcome, Unreadable> {
    let body: Body = answer.json()?;
    Ok(if body.success { Outcome::Accepted } else { Outcome::Refused(body.message.unwrap_or_default()) })
}

/// `/health/check` of a DataServer or SessionServer, both lines. A 5.x data node also has to be `status:WORKING`.
///
/// # Errors
/// [`Unreadable`] when it is not the server's own health answer.
pub fn serving(answer: &Answer) -> Result<Serving, Unreadable> {
    let body: Body = answer.health_json()?;
    let message = body.message.as_deref().unwrap_or_default();
    let role = message.split_once("ServerBoot").map(|(role, _)| role);
    if !matches!(role, Some("Data" | "Session")) {
        return Err(answer.not_understood());
    }
    let working = flag(message, "status").is_none_or(|s| s == "WORKING");
    Ok(if answer.status == 200 && body.success && working { Serving::Yes } else { Serving::NotYet })
}

/// `/digest/pushSwitch` of a SessionServer, both lines: `{"pushSwitch":"open"}`.
///
/// # Errors
/// [`Unreadable`] for any other word.
pub fn session_push_switch(answer: &Answer) -> Result<PushSwitch, Unreadable> {
    #[derive(Deserialize)]
    struct Switch {
        #[serde(rename = "pushSwitch")]
        push_switch: String,
    }
    match answer.json::<Switch>()?.push_switch.as_str() {
        "open" => Ok(PushSwitch::Open),
        "closed" => Ok(PushSwitch::Closed),
        _ => Err(answer.not_understood()),
    }
}

/// `/digest/{meta,data,session}/node/query` of a MetaServer: the members of one data centre. An absent data centre has
/// none (5.x answers `{}`, or the data centre with an empty object).
///
/// # Errors
/// [`Unreadable`] when it is not that list, or names something that is no address.
pub fn nodes(answer: &Answer, data_center: &str) -> Result<Addresses, Unreadable> {
    #[derive(Deserialize)]
    struct Node {
        ip: Ipv4Addr,
    }
    let mut centers: BTreeMap<String, BTreeMap<Ipv4Addr, Node>> = answer.json()?;
    let members = centers.remove(data_center).unwrap_or_default();
    if members.iter().any(|(address, node)| *address != node.ip) {
        return Err(answer.not_understood());
    }
    Ok(members.into_keys().collect())
}

/// `/digest/{meta,data,session}/serverList/query` of a SessionServer: a list of addresses.
///
/// # Errors
/// [`Unreadable`] when it is not that list.
pub fn session_server_list(answer: &Answer) -> Result<Addresses, Unreadable> {
    addresses(answer, &answer.json::<Vec<String>>()?)
}

/// `/digest/{meta,data,session}/serverList/query` of a DataServer: lists by data centre. Sessions carry the port of their
/// connection, and the data list names the **other** data nodes (measured: sofaregistry §4).
///
/// # Errors
/// [`Unreadable`] when it is not that list.
pub fn data_server_list(answer: &Answer, data_center: &str) -> Result<Addresses, Unreadable> {
    let mut centers: BTreeMap<String, Vec<String>> = answer.json()?;
    addresses(answer, &centers.remove(data_center).unwrap_or_default())
}

pub(super) fn addresses(answer: &Answer, list: &[String]) -> Result<Addresses, Unreadable> {
    list.iter().map(|entry| host(entry).ok_or_else(|| answer.not_understood())).collect()
}

/// The address of `10.0.0.1` or `10.0.0.1:9600`.
fn host(entry: &str) -> Option<Ipv4Addr> {
    let (address, port) = entry.split_once(':').unwrap_or((entry, "0"));
    port.parse::<u16>().ok()?;
    address.parse().ok()
}

/// `/digest/data/count` of a SessionServer: a sentence, labelled as JSON.
///
/// # Errors
/// [`Unreadable`] when a figure is missing.
pub fn session_counts(answer: &Answer) -> Result<SessionCounts, Unreadable> {
    let text = answer.text()?;
    let figure =
        |name: &str| number_after(text, &format!("{name} count: ")).ok_or_else(|| answer.not_understood());
    Ok(SessionCounts {
        publishers: figure("Publisher")?,
        subscribers: figure("Subscriber")?,
        watchers: figure("Watcher")?,
    })
}

/// `/digest/datum/count` of a DataServer, for one data centre: a sentence, labelled as JSON; an empty 5.x node says
/// `CacheDigest datum cache is empty`.
///
/// # Errors
/// [`Unreadable`] when the sentence is another, or does not name the data centre.
pub fn data_counts(answer: &Answer, data_center: &str) -> Result<DataCounts, Unreadable> {
    let text = answer.text()?;
    if text.trim() == "CacheDigest datum cache is empty" {
        return Ok(DataCounts::default());
    }
    let figure = |name: &str| {
        let start = format!("[{name}] size of {} in {data_center} is ", name.to_lowercase());
        number_after(text, &start).ok_or_else(|| answer.not_understood())
    };
    Ok(DataCounts { data: figure("Datum")?, publishers: figure("Publisher")? })
}

/// dataIds that a SessionServer has registrations of (`/digest/getDataInfoIdList`), as `dataId#@#instance#@#group`.
///
/// # Errors
/// [`Unreadable`] when it is not a list of such names.
pub fn session_data_ids(answer: &Answer) -> Result<BTreeSet<String>, Unreadable> {
    let ids: BTreeSet<String> = answer.json()?;
    if ids.iter().all(|id| id.matches("#@#").count() == 2) { Ok(ids) } else { Err(answer.not_understood()) }
}

fn number_after(text: &str, start: &str) -> Option<u64> {
    let rest = text.split_once(start)?.1;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().ok()
}

/// The value of `name:value` in a health message, up to the next comma.
pub(super) fn flag<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split([',', ' ']).find_map(|part| part.strip_prefix(name)?.strip_prefix(':'))
}
