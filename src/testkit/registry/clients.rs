//! A small population of clients: they publish and subscribe through one session each, and go to another one within a
//! second when theirs is gone (§4).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::super::Millis;
use super::FakeRegistry;
use super::process::Phase;
use super::spec::ServerRole;

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u32);

/// What a client does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientSpec {
    /// Whose sessions it finds: those started with the same [`super::ProcessSpec::clients`].
    pub cluster: String,
    /// Ids that it publishes, and a value for each.
    pub publishes: BTreeMap<String, String>,
    /// Ids that it subscribes to.
    pub subscribes: BTreeSet<String>,
}

/// What a client was last told of one id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The values of the last push.
    pub values: BTreeSet<String>,
    /// How many pushes came.
    pub pushes: u32,
    /// When the last one came.
    pub at: Millis,
    /// How many of them took values away and left none: the loss that subscribers feel.
    pub emptied: u32,
}

/// A client as a test sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientView {
    /// The session that it is connected to.
    pub session: Option<Ipv4Addr>,
    /// What it was told, by id.
    pub seen: BTreeMap<String, Seen>,
}

/// One subscription at the present session.
#[derive(Debug, Clone, Default)]
struct Subscription {
    changed_at: Option<Millis>,
    /// What held when it subscribed, if push was closed then.
    joined_closed: Option<BTreeSet<String>>,
}

#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) spec: ClientSpec,
    pub(super) session: Option<Ipv4Addr>,
    reconnect_at: Option<Millis>,
    /// Ids that were published again on this connection (§1, fact 8).
    pub(super) republished: BTreeSet<String>,
    subscriptions: BTreeMap<String, Subscription>,
    seen: BTreeMap<String, Seen>,
}

impl Client {
    pub(super) fn value_of(&self, id: &str) -> Option<String> {
        self.spec.publishes.get(id).cloned()
    }
}

/// The full name of a dataId, as the servers print it.
fn full_id(name: &str) -> String {
    if name.contains("#@#") {
        return name.to_owned();
    }
    format!("{name}#@#DEFAULT_INSTANCE_ID#@#DEFAULT_GROUP")
}

impl FakeRegistry {
    /// Adds a client; it connects within a second. Names of ids are completed as the servers do.
    pub fn add_client(&mut self, spec: ClientSpec, now: Millis) -> ClientId {
        self.advance(now);
        let number = self.clients.keys().last().map_or(0, |last| last.0 + 1);
        let spec = ClientSpec {
            publishes: spec.publishes.into_iter().map(|(id, value)| (full_id(&id), value)).collect(),
            subscribes: spec.subscribes.iter().map(|id| full_id(id)).collect(),
            ..spec
        };
        let client = Client {
            spec,
            session: None,
            reconnect_at: None,
            republished: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            seen: BTreeMap::new(),
        };
        self.clients.insert(ClientId(number), client);
        self.step();
        ClientId(number)
    }

    /// Adds `count` clients that each publish `com.sofa.client.<n>` and subscribe to the next one's.
    pub fn populate(&mut self, cluster: &str, count: u32, now: Millis) -> Vec<ClientId> {
        let id = |n: u32| format!("com.sofa.client.{n}");
        (0..count)
            .map(|n| {
                let spec = ClientSpec {
                    cluster: cluster.to_owned(),
                    publishes: BTreeMap::from([(id(n), format!("value-{n}"))]),
                    subscribes: BTreeSet::from([id((n + 1) % count)]),
                };
                self.add_client(spec, now)
            })
            .collect()
    }

    /// Takes a client away: its publishers leave at once.
    pub fn remove_client(&mut self, id: ClientId, now: Millis) {
        self.advance(now);
        if let Some(session) = self.clients.get(&id).and_then(|c| c.session) {
            self.unpublish(session, id, |_| false);
        }
        self.clients.remove(&id);
        self.step();
    }

    /// Publishes an id again, with another value.
    pub fn republish(&mut self, id: ClientId, name: &str, value: &str, now: Millis) {
        self.advance(now);
        let name = full_id(name);
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.spec.publishes.insert(name.clone(), value.to_owned());
        if let Some(session) = client.session {
            client.republished.insert(name.clone());
            if !self.publish(session, id, &name, value)
                && let Some(process) = self.processes.get_mut(&session)
            {
                process.session.unsent.insert((id, name));
            }
        }
        self.step();
    }

    /// What a client knows.
    #[must_use]
    pub fn client_view(&self, id: ClientId) -> Option<ClientView> {
        self.clients.get(&id).map(|c| ClientView { session: c.session, seen: c.seen.clone() })
    }

    /// The addresses and ports of the clients connected to a session.
    pub(super) fn connections(&self, session: Ipv4Addr) -> Vec<String> {
        let to = self.clients.iter().filter(|(_, c)| c.session == Some(session));
        to.map(|(id, _)| {
            let host = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 250, 0, 1)) + id.0);
            format!("{host}:{}", 40_000 + id.0 % 20_000)
        })
        .collect()
    }

    pub(super) fn clients_of(&self, session: Ipv4Addr) -> impl Iterator<Item = &ClientSpec> {
        self.clients.values().filter(move |c| c.session == Some(session)).map(|c| &c.spec)
    }

    pub(super) fn step_clients(&mut self) {
        let ids: Vec<ClientId> = self.clients.keys().copied().collect();
        for id in ids {
            let Some(session) = self.clients.get(&id).map(|c| c.session) else { continue };
            match session {
                Some(session) if self.works(session) && !self.isolated.contains(&session) => {
                    self.push(id, session);
                }
                Some(_) => self.disconnect(id),
                None => self.reconnect(id),
            }
        }
    }

    fn disconnect(&mut self, id: ClientId) {
        let at = self.now + self.rng.between(200, 900);
        if let Some(client) = self.clients.get_mut(&id) {
            client.session = None;
            client.reconnect_at = Some(at);
            client.republished.clear();
            client.subscriptions.clear();
        }
        self.due(at);
    }

    fn reconnect(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(&id) else { return };
        if let Some(at) = client.reconnect_at.filter(|&at| self.now < at) {
            return self.due(at);
        }
        let cluster = client.spec.cluster.clone();
        let mut sessions = self.with(|p| {
            p.spec.role == ServerRole::Session
                && p.phase == Phase::Up
                && !p.frozen
                && p.spec.clients == cluster
        });
        sessions.retain(|s| !self.isolated.contains(s));
        let choice = self.rng.below(u64::try_from(sessions.len()).unwrap_or(1));
        let chosen = usize::try_from(choice).ok().and_then(|i| sessions.get(i)).copied();
        let at = self.now + 1_000;
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.reconnect_at = chosen.is_none().then_some(at);
        client.session = chosen;
        match chosen {
            Some(session) => self.register(id, session),
            None => self.due(at),
        }
    }

    fn register(&mut self, id: ClientId, session: Ipv4Addr) {
        let Some(client) = self.clients.get(&id) else { return };
        let (published, subscribed) = (client.spec.publishes.clone(), client.spec.subscribes.clone());
        for (data_id, value) in published {
            if !self.publish(session, id, &data_id, &value)
                && let Some(process) = self.processes.get_mut(&session)
            {
                process.session.unsent.insert((id, data_id));
            }
        }
        let closed = self.push_is_stopped(session);
        for data_id in subscribed {
            let joined_closed = self.read_values(session, &data_id).filter(|_| closed);
            if let Some(client) = self.clients.get_mut(&id) {
                let subscription = Subscription { joined_closed, ..Subscription::default() };
                client.subscriptions.insert(data_id, subscription);
            }
        }
        self.changed = true;
    }

    /// Tells a client what is new, if its session pushes. An id without publishers is told too: 5.4.3 answers such a
    /// subscription with an empty push (§13).
    fn push(&mut self, id: ClientId, session: Ipv4Addr) {
        let Some(client) = self.clients.get(&id) else { return };
        let stopped = self.push_is_stopped(session);
        let opened = self.processes.get(&session).map_or(0, |p| p.session.opened_at);
        let ids: Vec<String> = client.subscriptions.keys().cloned().collect();
        let (now, delay, late) = (self.now, self.timing.push, self.timing.push_to_late);
        for data_id in ids {
            let Some(values) = self.read_values(session, &data_id) else { continue };
            let Some(client) = self.clients.get_mut(&id) else { return };
            let told = client.seen.get(&data_id).is_some_and(|seen| seen.values == values);
            let Some(subscription) = client.subscriptions.get_mut(&data_id) else { continue };
            if told {
                subscription.changed_at = None;
                continue;
            }
            let changed = *subscription.changed_at.get_or_insert(now);
            if stopped {
                continue;
            }
            let unchanged = subscription.joined_closed.as_ref() == Some(&values);
            let at = changed.max(opened) + if unchanged { late } else { delay };
            if now < at {
                self.due(at);
                continue;
            }
            subscription.changed_at = None;
            subscription.joined_closed = None;
            let seen = client.seen.entry(data_id).or_default();
            seen.emptied += u32::from(values.is_empty() && !seen.values.is_empty());
            seen.values = values;
            seen.pushes += 1;
            seen.at = now;
        }
    }
}
