//! Which server answers which path.

use std::net::Ipv4Addr;

use super::super::Millis;
use super::FakeRegistry;
use super::http::{Method, Request};
use super::peers::Stage;
use super::spec::{ServerLine, ServerRole};
use super::words;
use crate::admin::answer::Answer;

impl FakeRegistry {
    /// What a process that listens does with a request, and after how long.
    pub(super) fn route(&mut self, request: &Request) -> (Millis, Stage) {
        let Some(process) = self.processes.get(&request.ip) else {
            return (0, Stage::Answer(words::not_found()));
        };
        let (ip, line, role) = (request.ip, process.spec.line, process.spec.role);
        let answer = match (line, role) {
            (ServerLine::V5, ServerRole::Meta) => match (request.method, request.path.as_str()) {
                (Method::Post, "/manage/changePeer") => return self.change_peer(ip, request),
                _ => self.meta5(request),
            },
            (ServerLine::V5, ServerRole::Data) => self.data5(request),
            (ServerLine::V5, ServerRole::Session) => self.session5(request),
            (ServerLine::V6, ServerRole::Meta) => self.meta6(request),
            (ServerLine::V6, ServerRole::Data) => self.data6(request),
            (ServerLine::V6, ServerRole::Session) => self.session6(request),
        };
        (0, Stage::Answer(answer))
    }

    pub(super) fn center(&self, ip: Ipv4Addr) -> String {
        self.processes.get(&ip).map(|p| p.spec.data_center.clone()).unwrap_or_default()
    }

    /// Lists of a data node: by data centre; sessions with the port of their connection; the other data nodes (§4).
    pub(super) fn data_list(&self, ip: Ipv4Addr, role: ServerRole) -> Answer {
        let Some(process) = self.processes.get(&ip) else { return words::not_found() };
        let port = |s: &Ipv4Addr| format!("{s}:{}", 40_000 + u32::from(s.octets()[3]));
        let list: Vec<String> = match role {
            ServerRole::Meta => process.metas.iter().map(Ipv4Addr::to_string).collect(),
            ServerRole::Data => {
                process.data.known_data.iter().filter(|&&d| d != ip).map(Ipv4Addr::to_string).collect()
            }
            ServerRole::Session => process.data.known_sessions.iter().map(port).collect(),
        };
        words::value(&serde_json::json!({ process.spec.data_center.clone(): list }))
    }

    /// Paths that a session of either line answers alike (§4, §7).
    pub(super) fn session_shared(&self, ip: Ipv4Addr, path: &str) -> Option<Answer> {
        let process = self.processes.get(&ip)?;
        let node = &process.session;
        let serving = || node.known_sessions.iter().map(|s| format!("{s}:9600"));
        Some(match path {
            "/digest/pushSwitch" => {
                let word = if self.push_is_stopped(ip) { "closed" } else { "open" };
                Answer::new(200, format!(r#"{{"pushSwitch":"{word}"}}"#))
            }
            "/digest/data/count" => {
                let subscribers: usize = self.clients_of(ip).map(|c| c.subscribes.len()).sum();
                let publishers: usize = self.clients_of(ip).map(|c| c.publishes.len()).sum();
                let text = format!(
                    "Subscriber count: {subscribers}, Publisher count: {publishers}, Watcher count: 0"
                );
                Answer::new(200, text)
            }
            "/digest/getDataInfoIdList" => {
                let ids: std::collections::BTreeSet<&String> =
                    self.clients_of(ip).flat_map(|c| c.publishes.keys().chain(&c.subscribes)).collect();
                words::value(&serde_json::json!(ids))
            }
            "/api/servers/query" => Answer::new(200, serving().collect::<Vec<_>>().join(";")),
            "/api/servers/query.json" => words::value(&serving().collect()),
            "/api/servers/alive" => Answer::new(200, "OK"),
            "/digest/session/serverList/query" => words::list(&node.known_sessions),
            "/digest/data/serverList/query" => words::list(&node.known_data),
            "/digest/meta/serverList/query" => words::list(&process.metas),
            _ => return None,
        })
    }

    /// How many ids and publishers a data node says it has.
    pub(super) fn datum_count(&self, ip: Ipv4Addr) -> (usize, usize) {
        self.processes.get(&ip).map_or((0, 0), |p| (p.data.datum.len(), p.data.publishers()))
    }

    pub(super) fn datum_sentence(&self, ip: Ipv4Addr) -> Answer {
        let (data, publishers) = self.datum_count(ip);
        let center = self.center(ip);
        Answer::new(
            200,
            format!(
                "CacheDigest [Datum] size of datum in {center} is {data},[Publisher] size of publisher in {center} \
                 is {publishers}"
            ),
        )
    }
}

/// The role in `/digest/<role>/<end>`.
pub(super) fn digest_role(path: &str, end: &str) -> Option<ServerRole> {
    let word = path.strip_prefix("/digest/")?.strip_suffix(end)?.strip_suffix('/')?;
    [ServerRole::Meta, ServerRole::Data, ServerRole::Session].into_iter().find(|r| r.word() == word)
}

/// What is answered on a path that is not served by this method.
pub(super) fn otherwise(method: Method, path: &str, gets: &[&str], posts: &[&str]) -> Answer {
    let known = match method {
        Method::Get => posts.contains(&path),
        Method::Post => gets.contains(&path),
        Method::Put => gets.contains(&path) || posts.contains(&path),
    };
    if known { words::wrong_method() } else { words::not_found() }
}
