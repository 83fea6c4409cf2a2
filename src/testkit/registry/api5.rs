//! The endpoints of 5.x (§3, §4).

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::FakeRegistry;
use super::http::{Method, Request};
use super::process::Phase;
use super::raft::{Standing, Store, Switch};
use super::route::{digest_role, otherwise};
use super::spec::{ServerLine, ServerRole};
use super::words;
use crate::admin::answer::Answer;

const GETS: [&str; 6] = [
    "/health/check",
    "/stopPushDataSwitch/open",
    "/stopPushDataSwitch/close",
    "/digest/pushSwitch",
    "/manage/queryPeer",
    "/renewSwitch/get",
];
const POSTS: [&str; 6] = [
    "/manage/changePeer",
    "/manage/resetPeer",
    "/persistentData/put",
    "/persistentData/remove",
    "/blacklist/update",
    "/decisionMode",
];

/// The key of provide data; the server fails without version or data (recorded: `meta-put-provide-data-bad`).
pub(super) fn provided(body: &str, needs_data: bool) -> Option<(String, u64, String)> {
    let body: Value = serde_json::from_str(body).ok()?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let version = body.get("version").and_then(Value::as_u64)?;
    if needs_data && body.get("data").is_none() {
        return None;
    }
    Some((format!("{}#@#{}#@#{}", text("dataId"), text("instanceId"), text("group")), version, text("data")))
}

/// `/digest/*/node/query`: without members data and metas are `{}`, sessions an empty data centre (recorded).
pub(super) fn nodes(line: ServerLine, role: ServerRole, center: &str, members: &[Ipv4Addr]) -> Answer {
    if members.is_empty() && line == ServerLine::V5 && role != ServerRole::Session {
        return Answer::new(200, "{}");
    }
    let list: serde_json::Map<String, Value> =
        members.iter().map(|&ip| (ip.to_string(), words::node(line, role, ip, center))).collect();
    words::value(&json!({ center: list }))
}

impl FakeRegistry {
    /// A MetaServer of 5.x. Whatever needs the store fails with Jetty's page while there is no leader.
    pub(super) fn meta5(&mut self, request: &Request) -> Answer {
        let (ip, path) = (request.ip, request.path.as_str());
        match (request.method, path) {
            (Method::Get, "/health/check") => words::meta5_health(match self.standing(ip) {
                Standing::Out => "false",
                Standing::Leader => "Leader",
                Standing::Follower(_) => "Follower",
            }),
            (Method::Get, "/manage/queryPeer") => words::list(&self.conf(ip)),
            (Method::Post, "/manage/resetPeer") => self.reset_peer(ip, request),
            (Method::Post, "/blacklist/update" | "/decisionMode") => self.stored(ip, path, |_| true),
            (Method::Get, "/stopPushDataSwitch/open") => self.set_switch5(ip, path, true),
            (Method::Get, "/stopPushDataSwitch/close") => self.set_switch5(ip, path, false),
            (Method::Post, "/persistentData/put") => match provided(&request.body, true) {
                // An older version is accepted and overwrites (§4).
                Some((key, _, data)) => self.stored(ip, path, |s| s.provided.insert(key, data).is_some()),
                None => words::failed(path),
            },
            (Method::Post, "/persistentData/remove") => match provided(&request.body, false) {
                Some((key, ..)) => self.stored(ip, path, |s| s.provided.remove(&key).is_some()),
                None => words::failed(path),
            },
            (Method::Get, _) if path.starts_with("/renewSwitch/") && path != "/renewSwitch/get" => {
                self.set_renewal(ip, path)
            }
            (Method::Get, _) => self.meta5_read(ip, path),
            (method, _) => otherwise(method, path, &GETS, &POSTS),
        }
    }

    fn meta5_read(&mut self, ip: Ipv4Addr, path: &str) -> Answer {
        let role = digest_role(path, "node/query");
        if role.is_none() && !matches!(path, "/digest/pushSwitch" | "/renewSwitch/get") {
            return otherwise(Method::Get, path, &GETS, &POSTS);
        }
        let leader = self.leader_to_read(ip);
        let Some(data) = leader.and_then(|leader| self.raft_data(leader)) else {
            return words::failed(path);
        };
        let (store, center) = (&data.store, self.center(ip));
        let word = |switch: Option<bool>| switch.map_or_else(|| "null".to_owned(), |on| on.to_string());
        match role {
            Some(ServerRole::Meta) => nodes(ServerLine::V5, ServerRole::Meta, &center, &store.metas),
            Some(role) => {
                let list = if role == ServerRole::Data { &store.data } else { &store.sessions };
                nodes(ServerLine::V5, role, &center, &list.keys().copied().collect::<Vec<_>>())
            }
            None if path == "/renewSwitch/get" => Answer::new(
                200,
                format!(
                    r#"{{"enableDataDatumExpire":"{}","enableDataRenewSnapshot":"{}"}}"#,
                    word(store.datum_expire),
                    word(store.renew_snapshot)
                ),
            ),
            None => Answer::new(
                200,
                match store.push {
                    None => r#"{"msg":"OperationStatus is NOTFOUND","pushSwitch":"open"}"#,
                    Some(Switch { stopped: true, .. }) => r#"{"pushSwitch":"closed"}"#,
                    Some(Switch { stopped: false, .. }) => r#"{"pushSwitch":"open"}"#,
                },
            ),
        }
    }

    /// Changes the store through whoever leads; the change says whether it mattered, which the answer does not.
    fn stored(&mut self, meta: Ipv4Addr, path: &str, change: impl FnOnce(&mut Store) -> bool) -> Answer {
        let Some(leader) = self.leader_to_write(meta) else { return words::failed(path) };
        self.write(leader, |store| {
            change(store);
        });
        words::success()
    }

    /// The stamp is the clock of the meta that is asked, not the leader's.
    fn set_switch5(&mut self, meta: Ipv4Addr, path: &str, stopped: bool) -> Answer {
        let version = self.clock(meta);
        let answer = self.stored(meta, path, |store| {
            store.push = Some(Switch { stopped, version });
            true
        });
        if answer.status == 200 {
            self.note(meta, if stopped { "is told to close push" } else { "is told to open push" });
        }
        answer
    }

    fn set_renewal(&mut self, meta: Ipv4Addr, path: &str) -> Answer {
        let (expire, snapshot, on) = match path {
            "/renewSwitch/enable" => (true, true, true),
            "/renewSwitch/disable" => (true, true, false),
            "/renewSwitch/data/enable" => (true, false, true),
            "/renewSwitch/data/disable" => (true, false, false),
            "/renewSwitch/session/enable" => (false, true, true),
            "/renewSwitch/session/disable" => (false, true, false),
            _ => return words::not_found(),
        };
        self.stored(meta, path, |store| {
            store.datum_expire = if expire { Some(on) } else { store.datum_expire };
            store.renew_snapshot = if snapshot { Some(on) } else { store.renew_snapshot };
            true
        })
    }

    /// A DataServer of 5.x.
    pub(super) fn data5(&mut self, request: &Request) -> Answer {
        let (ip, path) = (request.ip, request.path.as_str());
        if request.method != Method::Get {
            return words::not_found();
        }
        if let Some(role) = digest_role(path, "serverList/query") {
            return self.data_list(ip, role);
        }
        match path {
            "/health/check" => self.data5_health(ip),
            "/digest/datum/count" if self.datum_count(ip).0 == 0 => {
                Answer::new(200, "CacheDigest datum cache is empty")
            }
            "/digest/datum/count" => self.datum_sentence(ip),
            _ => words::not_found(),
        }
    }

    fn data5_health(&self, ip: Ipv4Addr) -> Answer {
        let Some(process) = self.processes.get(&ip) else { return words::not_found() };
        let scheduled = self.now >= process.started + self.timing.data5_http + 1_000;
        match process.phase {
            Phase::Up => words::data5_health(true, true),
            Phase::Joined => words::data5_health(scheduled, false),
            _ => words::data5_health(false, false),
        }
    }

    /// A SessionServer of 5.x.
    pub(super) fn session5(&mut self, request: &Request) -> Answer {
        match (request.method, request.path.as_str()) {
            (Method::Get, "/health/check") => words::session5_health(),
            (Method::Get, path) => self.session_shared(request.ip, path).unwrap_or_else(words::not_found),
            _ => words::not_found(),
        }
    }
}
