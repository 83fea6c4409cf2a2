//! The endpoints of 6.x (§3, §7).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::api5::{nodes, provided};
use super::http::{Method, Request};
use super::raft::Switch;
use super::route::{digest_role, otherwise};
use super::spec::{ServerLine, ServerRole};
use super::{CLOCK_AT_START, FakeRegistry, words};
use crate::admin::answer::Answer;
use crate::admin::registry::v6::CELL;

const GETS: [&str; 7] = [
    "/health/check",
    "/meta/leader/query",
    "/stopPushDataSwitch/open",
    "/stopPushDataSwitch/close",
    "/digest/pushSwitch",
    "/openapi/v1/slot/table/status",
    "/persistentData/query",
];
const POSTS: [&str; 3] = ["/stopPushDataSwitch/grayOpen", "/persistentData/put", "/persistentData/remove"];
const PUTS: [&str; 1] = ["/meta/leader/quit/election"];
const GROUP: &str = "/opsapi/v1/server/group/";

fn is_served(method: Method, path: &str) -> bool {
    match method {
        Method::Get => GETS.contains(&path) || digest_role(path, "node/query").is_some(),
        Method::Post => POSTS.contains(&path),
        Method::Put => PUTS.contains(&path) || path.starts_with(GROUP),
    }
}

impl FakeRegistry {
    /// A MetaServer of 6.x: followers send their callers to the leader, and without one all say 400.
    pub(super) fn meta6(&mut self, request: &Request) -> Answer {
        let (ip, path) = (request.ip, request.path.as_str());
        if !is_served(request.method, path) {
            return otherwise(request.method, path, &GETS, &POSTS);
        }
        if path == "/health/check" {
            return self.meta6_health(ip);
        }
        if self.leads6(ip) {
            return self.leader6(request);
        }
        self.named_leader(ip).map_or_else(words::no_leader, |leader| words::redirect(leader, path))
    }

    /// Only the leader's list of metas is complete; a follower lists itself (§3).
    fn meta6_health(&self, ip: Ipv4Addr) -> Answer {
        let leads = self.leads6(ip);
        let listed = self.processes.get(&ip).map(|p| p.lead.list(ServerRole::Meta)).unwrap_or_default();
        let metas = if listed.is_empty() { vec![ip] } else { listed };
        words::meta6_health(leads, leads && self.is_warm(ip), self.named_leader(ip), &metas, &self.center(ip))
    }

    fn leader6(&mut self, request: &Request) -> Answer {
        let (ip, path) = (request.ip, request.path.as_str());
        if let Some(role) = digest_role(path, "node/query") {
            let list = self.processes.get(&ip).map(|p| p.lead.list(role)).unwrap_or_default();
            return nodes(ServerLine::V6, role, &self.center(ip), &list);
        }
        if let Some(rest) = path.strip_prefix(GROUP) {
            return self.change_group(ip, rest, request.field("cell").unwrap_or_default());
        }
        match path {
            "/meta/leader/query" => {
                let seen = self.database_of(ip).and_then(|d| d.lock).map_or(0, |l| l.seen);
                let epoch = CLOCK_AT_START + seen;
                let text = format!(
                    r#"{{"success":true,"message":null,"data":{{"epoch":{epoch},"leader":"{ip}"}}}}"#
                );
                Answer::new(200, text)
            }
            "/stopPushDataSwitch/open" => self.set_switch6(ip, true),
            "/stopPushDataSwitch/close" => self.set_switch6(ip, false),
            "/stopPushDataSwitch/grayOpen" => self.gray_open(ip, request),
            "/digest/pushSwitch" => self.switch6(ip),
            "/openapi/v1/slot/table/status" => self.slot_status(ip),
            "/meta/leader/quit/election" => {
                self.quit_election(ip);
                Answer::new(200, r#"{"success":true,"message":""}"#)
            }
            "/persistentData/put" => self.put6(ip, request),
            "/persistentData/remove" => {
                let Some((key, ..)) = provided(&request.body, false) else { return words::failed(path) };
                let found = self.database_mut(ip).is_some_and(|d| d.provided.remove(&key).is_some());
                if found { words::success() } else { words::refusal(None) }
            }
            _ => self.query6(ip, request.field("dataInfoId").unwrap_or_default()),
        }
    }

    /// An older stamp is refused (§7).
    fn set_switch6(&mut self, ip: Ipv4Addr, stopped: bool) -> Answer {
        let version = self.clock(ip);
        let Some(database) = self.database_mut(ip).filter(|d| !d.frozen) else {
            return words::refusal(None);
        };
        if database.push.is_some_and(|p| p.version > version) {
            return words::refusal(None);
        }
        database.push = Some(Switch { stopped, version });
        database.gray = Some(BTreeSet::new());
        self.note(ip, if stopped { "is told to close push" } else { "is told to open push" });
        words::success()
    }

    fn gray_open(&mut self, ip: Ipv4Addr, request: &Request) -> Answer {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let ips = body.get("ips").and_then(Value::as_array).cloned().unwrap_or_default();
        let gray = ips.iter().filter_map(|v| v.as_str()?.parse().ok()).collect();
        let version = self.clock(ip);
        if let Some(database) = self.database_mut(ip) {
            database.gray = Some(gray);
            if let Some(push) = &mut database.push {
                push.version = version;
            }
        }
        words::success()
    }

    /// The text of a list that is not empty was not measured.
    fn switch6(&self, ip: Ipv4Addr) -> Answer {
        let Some(database) = self.database_of(ip) else { return words::failed("/digest/pushSwitch") };
        let gray = database.gray.as_ref().map(|g| g.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>());
        let gray = match gray.as_deref() {
            None => r#""gray push switch msg":"OperationStatus is NOTFOUND""#.to_owned(),
            Some([]) => r#""gray push switch msg":"data is empty","grayPushSwitch":"""#.to_owned(),
            Some(ips) => format!(r#""grayPushSwitch":"{}""#, ips.join(",")),
        };
        let global = database.push.map_or_else(
            || r#""msg":"(global push switch)OperationStatus is NOTFOUND""#.to_owned(),
            |push| format!(r#""stopPush":"{}""#, push.stopped),
        );
        Answer::new(200, format!("{{{global},{gray}}}"))
    }

    fn slot_status(&self, ip: Ipv4Addr) -> Answer {
        let Some(database) = self.database_of(ip) else {
            return words::failed("/openapi/v1/slot/table/status");
        };
        let leader = self.serving_leader_of(ip);
        let slots = &database.slots;
        // Slots wait for what sessions have (§15).
        let sessions = self.processes.get(&ip).is_some_and(|p| !p.lead.list(ServerRole::Session).is_empty());
        let leaders = slots.leaders();
        let spread = leaders.values().max().unwrap_or(&0) - leaders.values().min().unwrap_or(&0);
        words::value(&json!({"success": true, "message": null, "data": {
            "slotTableEpoch": slots.epoch,
            "protectionMode": !leader.is_some_and(|l| self.is_warm(l)),
            "leaderCount": leaders.iter().map(|(n, c)| (n.to_string(), json!(c))).collect::<serde_json::Map<_, _>>(),
            "followerCount":
                slots.held().iter().map(|(n, c)| (n.to_string(), json!(c))).collect::<serde_json::Map<_, _>>(),
            "slotTableStable": sessions && slots.stable(),
            "slotTableFollowerBalanced": false,
            "slotTableLeaderBalanced": spread <= 1,
        }}))
    }

    /// An older version is refused (§7).
    fn put6(&mut self, ip: Ipv4Addr, request: &Request) -> Answer {
        let Some((key, version, data)) = provided(&request.body, true) else {
            return words::failed(&request.path);
        };
        let Some(database) = self.database_mut(ip).filter(|d| !d.frozen) else {
            return words::refusal(None);
        };
        if database.provided.get(&key).is_some_and(|(present, _)| *present > version) {
            return words::refusal(None);
        }
        database.provided.insert(key, (version, data));
        words::success()
    }

    /// The form of `data` was not measured.
    fn query6(&self, ip: Ipv4Addr, id: &str) -> Answer {
        let Some(database) = self.database_of(ip) else { return words::refusal(None) };
        let data = if id == "registry.node.server.operating.data#@#9600#@#CONFIG" {
            let kept = |ip: &Ipv4Addr| json!({"nodeType": "DATA", "cell": CELL, "address": ip, "operateTs": self.now});
            let datas: Vec<_> = database.blacklist.iter().map(kept).collect();
            Some(json!({"metas": [], "datas": datas, "sessions": {}}).to_string())
        } else {
            database.provided.get(id).map(|(_, data)| data.clone())
        };
        match data {
            Some(data) => words::value(
                &json!({"success": true, "message": null, "data": {"dataInfoId": id, "data": data}}),
            ),
            None => Answer::new(200, r#"{"success":false,"message":"data not found","data":null}"#),
        }
    }

    /// `quit/{ip}` and `join/{ip}`: on the blacklist of the slots, and off it (§7). Of another cell nobody is taken off, and the
    /// answer is the same (§15).
    fn change_group(&mut self, leader: Ipv4Addr, rest: &str, cell: &str) -> Answer {
        let Some((act, ip)) = rest.split_once('/').and_then(|(act, ip)| Some((act, ip.parse().ok()?))) else {
            return words::not_found();
        };
        let Some(database) = self.database_mut(leader) else { return words::not_found() };
        match act {
            "quit" => database.blacklist.insert(ip),
            "join" if cell != CELL => false,
            "join" => database.blacklist.remove(&ip),
            _ => return words::not_found(),
        };
        self.changed = true;
        Answer::new(200, r#"{"success":true,"message":""}"#)
    }

    /// A DataServer of 6.x.
    pub(super) fn data6(&mut self, request: &Request) -> Answer {
        let (ip, path) = (request.ip, request.path.as_str());
        if request.method != Method::Get {
            return words::not_found();
        }
        match (path, digest_role(path, "serverList/query")) {
            // Broken in 6.3.0 (§7).
            (_, Some(ServerRole::Data)) => words::failed(path),
            (_, Some(role)) => self.data_list(ip, role),
            ("/health/check", _) => words::data6_health(),
            ("/digest/datum/count", _) => self.datum_sentence(ip),
            ("/datum/api/getDatumSizes", _) => {
                words::value(&json!({ self.center(ip): self.datum_count(ip).0 }))
            }
            ("/digest/datum/getDataInfoIdList", _) => {
                let (center, datum) = (self.center(ip), self.processes.get(&ip).map(|p| &p.data.datum));
                let ids = datum.into_iter().flatten().map(|(id, p)| format!("{center},{id},{}", p.len()));
                words::value(&ids.collect())
            }
            ("/openapi/v1/slot/table/status", _) => self.slot_status(ip),
            _ => words::not_found(),
        }
    }

    /// A SessionServer of 6.x.
    pub(super) fn session6(&mut self, request: &Request) -> Answer {
        let ip = request.ip;
        match (request.method, request.path.as_str()) {
            (Method::Get, "/health/check") => words::session6_health(),
            (Method::Get, "/connections/query") => words::value(&self.connections(ip).into_iter().collect()),
            (Method::Get, "/openapi/v1/slot/table/status") => self.slot_status(ip),
            (Method::Get, path) => self.session_shared(ip, path).unwrap_or_else(words::not_found),
            _ => words::not_found(),
        }
    }
}
