//! Sessions: the push switch as each of them has it, and the renewal of what data nodes hold (§1 facts 6–8, §4).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::super::Millis;
use super::FakeRegistry;
use super::clients::ClientId;
use super::process::Phase;
use super::raft::Switch;
use super::spec::{ServerLine, ServerRole};

/// What a session knows.
#[derive(Debug, Clone, Default)]
pub(super) struct SessionNode {
    pub(super) known_data: Vec<Ipv4Addr>,
    pub(super) known_sessions: Vec<Ipv4Addr>,
    applied: Option<Switch>,
    pending: Option<(Switch, Millis)>,
    /// Fault (§1, fact 7): the next reading or change of the switch is missed.
    miss_next: bool,
    missed: Option<Switch>,
    renew_at: Option<Millis>,
    /// When push was last opened here.
    pub(super) opened_at: Millis,
    /// Publishers that no data node could be told of yet.
    pub(super) unsent: BTreeSet<(ClientId, String)>,
}

/// What holds where nobody has set the switch: 5.x pushes, 6.x does not (§1, fact 6).
const fn unset(line: ServerLine) -> Switch {
    Switch { stopped: matches!(line, ServerLine::V6), version: 0 }
}

impl FakeRegistry {
    /// Fault (§1, fact 7): this session misses the next change of the switch, or the switch at its next start (then it
    /// pushes), and never corrects itself: only a repeated command reaches it.
    pub fn miss_next_switch(&mut self, session: Ipv4Addr) {
        if let Some(process) = self.processes.get_mut(&session) {
            process.session.miss_next = true;
        }
    }

    /// Whether a session holds pushes back, by its own word.
    #[must_use]
    pub fn push_is_stopped(&self, session: Ipv4Addr) -> bool {
        self.processes.get(&session).is_some_and(|p| p.session.applied.unwrap_or(unset(p.spec.line)).stopped)
    }

    /// The switch that the metas hold for this session. `None`: no leader to ask.
    fn wanted_switch(&self, session: Ipv4Addr) -> Option<Switch> {
        let leader = self.leader_reached(session)?;
        let line = self.processes.get(&session)?.spec.line;
        let stored = match line {
            ServerLine::V5 => self.raft_data(leader)?.store.push,
            ServerLine::V6 => {
                let database = self.database_of(leader)?;
                let gray = database.gray.as_ref().is_some_and(|g| g.contains(&session));
                database.push.map(|s| Switch { stopped: s.stopped && !gray, ..s })
            }
        };
        Some(stored.unwrap_or(unset(line)))
    }

    pub(super) fn session_comes_up(&mut self, ip: Ipv4Addr) {
        let wanted = self.wanted_switch(ip);
        let renew = self.timing.renew + self.rng.below(self.timing.renew_spread);
        let now = self.now;
        let Some(process) = self.processes.get_mut(&ip) else { return };
        let node = &mut process.session;
        node.renew_at = Some(now + renew);
        node.opened_at = now;
        if std::mem::take(&mut node.miss_next) {
            node.missed = wanted;
            node.applied = None;
        } else {
            node.applied = wanted;
        }
    }

    pub(super) fn step_sessions(&mut self) {
        for ip in self.with(|p| p.spec.role == ServerRole::Session && p.phase == Phase::Up && !p.frozen) {
            self.learn(ip);
            self.take_over_switch(ip);
            self.send_unsent(ip);
            self.renew(ip);
        }
    }

    fn learn(&mut self, ip: Ipv4Addr) {
        let data = self.listed_data(ip);
        let sessions = self.listed(ip, ServerRole::Session);
        let metas = self.listed(ip, ServerRole::Meta);
        let Some(process) = self.processes.get_mut(&ip) else { return };
        if let (Some(data), Some(sessions)) = (data, sessions) {
            process.session.known_data = data;
            process.session.known_sessions = sessions;
        }
        if let (ServerLine::V6, Some(metas)) = (process.spec.line, metas) {
            process.metas = metas;
        }
    }

    /// A change reaches a session after a moment. One that is older than what it has is ignored (chosen; measured is only
    /// that the store itself takes an older one, §4).
    fn take_over_switch(&mut self, ip: Ipv4Addr) {
        let Some(wanted) = self.wanted_switch(ip) else { return };
        let (now, spread) = (self.now, self.timing.switch_spread);
        let Some(process) = self.processes.get_mut(&ip) else { return };
        let line = process.spec.line;
        let node = &mut process.session;
        let present = node.applied.unwrap_or(unset(line));
        if wanted == present || wanted.version < present.version || node.missed == Some(wanted) {
            node.pending = None;
            return;
        }
        if std::mem::take(&mut node.miss_next) {
            node.missed = Some(wanted);
            return;
        }
        let at = match node.pending {
            Some((switch, at)) if switch == wanted => at,
            _ => now + spread,
        };
        if now < at {
            node.pending = Some((wanted, at));
            return self.due(at);
        }
        node.pending = None;
        node.missed = None;
        node.applied = Some(wanted);
        if present.stopped && !wanted.stopped {
            node.opened_at = now;
        }
        if present.stopped != wanted.stopped {
            self.note(ip, if wanted.stopped { "holds pushes back" } else { "pushes" });
        }
    }

    fn send_unsent(&mut self, ip: Ipv4Addr) {
        let unsent =
            self.processes.get_mut(&ip).map(|p| std::mem::take(&mut p.session.unsent)).unwrap_or_default();
        for (client, id) in unsent {
            let value =
                self.clients.get(&client).filter(|c| c.session == Some(ip)).and_then(|c| c.value_of(&id));
            let Some(value) = value else { continue };
            if !self.publish(ip, client, &id, &value)
                && let Some(process) = self.processes.get_mut(&ip)
            {
                process.session.unsent.insert((client, id));
            }
        }
    }

    /// 5.x: every 180–240 s a session sends what each connection has published. 5.4.3 then drops all publishers of a
    /// connection but the one that was published again (§1, fact 8). `/renewSwitch/disable` ends it, and with it the only
    /// repair of lost data (§4).
    fn renew(&mut self, ip: Ipv4Addr) {
        let Some(process) = self.processes.get(&ip).filter(|p| p.spec.line == ServerLine::V5) else { return };
        let Some(at) = process.session.renew_at else { return };
        if self.now < at {
            return self.due(at);
        }
        let next = self.now + self.timing.renew + self.rng.below(self.timing.renew_spread);
        self.due(next);
        if let Some(process) = self.processes.get_mut(&ip) {
            process.session.renew_at = Some(next);
        }
        let on = self
            .leader_reached(ip)
            .and_then(|leader| self.raft_data(leader))
            .is_some_and(|d| d.store.renew_snapshot != Some(false));
        if !on {
            return;
        }
        let clients: Vec<ClientId> =
            self.clients.iter().filter(|(_, c)| c.session == Some(ip)).map(|(id, _)| *id).collect();
        for client in clients {
            self.renew_connection(ip, client);
        }
    }

    fn renew_connection(&mut self, session: Ipv4Addr, id: ClientId) {
        let Some(client) = self.clients.get(&id) else { return };
        let published = client.spec.publishes.clone();
        let again = client.republished.clone();
        if self.renew_fault && !again.is_empty() {
            self.note(session, "renews a connection, and other publishers of it are lost");
            self.unpublish(session, id, |data_id| again.contains(data_id));
        } else {
            for (data_id, value) in published {
                self.publish(session, id, &data_id, &value);
            }
        }
    }
}
