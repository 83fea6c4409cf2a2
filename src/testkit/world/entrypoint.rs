//! What `images/sofa-registry/entrypoint.sh` does before it starts a server, and which requests are commands.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::super::Millis;
use super::super::registry::{
    DatabaseId, FakeRegistry, Method, ProcessSpec, Reply, Request, ServerLine, ServerRole, VolumeId,
};
use crate::admin::registry::{v6, wire};

/// How long a meta waits for the names of the others before it leaves them out (`WAIT_NAMES_SECONDS`).
pub const WAIT_NAMES: Millis = 60_000;

/// Whether a request changes something.
#[must_use]
pub fn is_command(request: &Request) -> bool {
    request.method != Method::Get
        || request.path.starts_with("/stopPushDataSwitch/")
        || (request.path.starts_with("/renewSwitch/") && request.path != "/renewSwitch/get")
}

/// A start script at work.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) ip: Ipv4Addr,
    pub(super) role: ServerRole,
    pub(super) line: ServerLine,
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) cluster: String,
    pub(super) volume: VolumeId,
    pub(super) env: BTreeMap<String, String>,
    pub(super) since: Millis,
}

impl Script {
    fn env(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn center(&self) -> &str {
        self.env("DATA_CENTER").unwrap_or("DefaultDataCenter")
    }

    /// The addresses of `META_NODES`: its own for its own name; `None` for a name that does not resolve.
    fn metas(&self, resolve: impl Fn(&str, &str) -> Option<Ipv4Addr>) -> Vec<Option<Ipv4Addr>> {
        let names = self.env("META_NODES").unwrap_or_default().split(',').filter(|n| !n.is_empty());
        names
            .map(|name| {
                let pod = name.split('.').next().unwrap_or(name);
                let own = self.role == ServerRole::Meta && pod == self.pod;
                name.parse().ok().or_else(|| own.then_some(self.ip)).or_else(|| resolve(&self.namespace, pod))
            })
            .collect()
    }

    /// The process that the script starts now; `None`: it waits on.
    pub(super) fn go(
        &self,
        registry: &mut FakeRegistry,
        resolve: impl Fn(&str, &str) -> Option<Ipv4Addr>,
        now: Millis,
    ) -> Option<ProcessSpec> {
        let all = self.metas(resolve);
        let known: Vec<Ipv4Addr> = all.iter().flatten().copied().collect();
        let waits = self.role != ServerRole::Meta && self.env("WAIT") != Some("false");
        let ready = if waits {
            self.others_are_ready(registry, &known, now)
        } else {
            // Alone, a blank 5.x meta would elect itself: it waits on without a majority of names.
            let blank = self.role == ServerRole::Meta
                && self.line == ServerLine::V5
                && !registry.holds_raft_data(&self.volume);
            let too_few = blank && known.len() <= all.len() / 2;
            known.len() == all.len() || (now >= self.since + WAIT_NAMES && !too_few)
        };
        ready.then(|| ProcessSpec {
            config_metas: known,
            raft_group: self
                .env("RAFT_SERVER_GROUP")
                .map_or_else(|| format!("RegistryGroup_{}", self.center()), str::to_owned),
            data_center: self.center().to_owned(),
            volume: self.volume.clone(),
            database: DatabaseId(self.env("JDBC_URL").unwrap_or("registrymetadb").to_owned()),
            clients: format!("{}/{}", self.namespace, self.cluster),
            ..ProcessSpec::new(self.line, self.role, self.ip)
        })
    }

    /// Data wait for a working meta (6.x: a warm leader), sessions for a listed data node too. Not here: that data of 5.x wait until
    /// the data nodes that are listed answer, and that a session of 6.x is content with a leader that has gone since.
    fn others_are_ready(&self, registry: &mut FakeRegistry, metas: &[Ipv4Addr], now: Millis) -> bool {
        let mut get = |meta, path| {
            let reply = registry.http_at_once(now, &Request::get(meta, 9615, path));
            reply.as_ref().and_then(Reply::answer).cloned()
        };
        let center = self.center();
        metas.iter().any(|&meta| {
            let Some(health) = get(meta, "/health/check").filter(|a| a.status == 200) else { return false };
            let works = match self.line {
                ServerLine::V5 => true,
                ServerLine::V6 => v6::meta_health(&health).is_ok_and(|h| h.leads && h.warm),
            };
            // Only a meta that works is asked for more: see the image's entrypoint.
            works
                && (self.role == ServerRole::Data
                    || get(meta, "/digest/data/node/query")
                        .and_then(|a| wire::nodes(&a, center).ok())
                        .is_some_and(|nodes| !nodes.is_empty()))
        })
    }
}
