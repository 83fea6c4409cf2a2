//! `changePeer`, `resetPeer`, `queryPeer` of 5.x (§4–§6, §12), and calls that take time.

use std::net::Ipv4Addr;

use super::super::Millis;
use super::FakeRegistry;
use super::http::{Call, CallId, Method, Reply, Request};
use super::process::Phase;
use super::raft::Standing;
use super::words;
use crate::admin::answer::Answer;

/// How far a command that takes time has come.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// The answer is sent at that moment.
    Answer(Answer),
    /// `changePeer`: raft changes.
    ChangeRaft(Vec<Ipv4Addr>),
    /// `changePeer`: after its sleep, the list that data and sessions follow is written.
    ChangeList(Vec<Ipv4Addr>),
}

/// A command at work in a meta. It goes on when its caller has given up, and ends with the process.
#[derive(Debug, Clone)]
pub(super) struct Op {
    call: CallId,
    meta: Ipv4Addr,
    incarnation: u64,
    at: Millis,
    stage: Stage,
}

/// Addresses from a form: `None` if one of them does not resolve.
fn addresses(list: &str) -> Option<Vec<Ipv4Addr>> {
    list.split(',').map(|entry| entry.trim().parse().ok()).collect()
}

fn answered(answer: Answer) -> (Millis, Stage) {
    (0, Stage::Answer(answer))
}

impl FakeRegistry {
    /// Sends a request; its answer comes with [`FakeRegistry::reply`] when time has passed.
    pub fn send(&mut self, now: Millis, request: &Request) -> CallId {
        self.advance(now);
        self.call_ids += 1;
        let id = CallId(self.call_ids);
        self.calls.insert(id, Call { until: self.now + request.patience, reply: None });
        let reply = self.receive(id, request);
        let only_read = request.method == Method::Get
            && (request.path == "/health/check" || request.path.starts_with("/digest/"));
        let settled = reply.is_some() && only_read;
        self.settle(id, reply);
        if !settled {
            self.step();
        }
        id
    }

    /// What came of a request, once something has. It is told once.
    pub fn reply(&mut self, call: CallId) -> Option<Reply> {
        let reply = self.calls.get(&call)?.reply.clone()?;
        self.calls.remove(&call);
        Some(reply)
    }

    /// What comes of a request at once; whatever would come later is not waited for.
    pub fn http_at_once(&mut self, now: Millis, request: &Request) -> Option<Reply> {
        let call = self.send(now, request);
        let reply = self.reply(call);
        self.forget(call);
        reply
    }

    /// What would be answered at once. The server that is asked learns nothing by it, so that who judges changes nothing that a later
    /// answer depends on; what is due by then is done, as with any request.
    pub fn glance(&mut self, now: Millis, request: &Request) -> Option<Reply> {
        let known = self.processes.get(&request.ip).map(|p| p.client.clone());
        let reply = self.http_at_once(now, request);
        if let (Some(process), Some(known)) = (self.processes.get_mut(&request.ip), known) {
            process.client = known;
        }
        reply
    }

    /// The caller of a request is gone. The command goes on.
    pub fn forget(&mut self, call: CallId) {
        self.calls.remove(&call);
    }

    /// Sends a request and lets time pass until something has come of it.
    pub fn http(&mut self, now: Millis, request: &Request) -> Reply {
        let call = self.send(now, request);
        let until = self.now + request.patience;
        loop {
            if let Some(reply) = self.reply(call) {
                return reply;
            }
            let next = self.next.unwrap_or(until).min(until);
            if next <= self.now {
                return Reply::TimedOut;
            }
            self.advance(next);
        }
    }

    /// What comes of a request at once: nothing, if it is at work or nobody answers.
    fn receive(&mut self, id: CallId, request: &Request) -> Option<Reply> {
        let ip = request.ip;
        if !self.attached.contains(&ip) || self.isolated.contains(&ip) {
            return None;
        }
        let Some(process) = self.processes.get(&ip).filter(|_| self.listens(ip, request.port)) else {
            return Some(Reply::Refused);
        };
        if process.frozen {
            return None;
        }
        if request.port != process.spec.role.http_port() {
            return Some(Reply::Closed);
        }
        let incarnation = process.incarnation;
        let (after, stage) = self.route(request);
        match stage {
            Stage::Answer(answer) if after == 0 => self.deliver(ip, answer),
            stage => {
                let at = self.now + after;
                self.ops.push(Op { call: id, meta: ip, incarnation, at, stage });
                None
            }
        }
    }

    /// An answer on its way, unless it is to be lost.
    fn deliver(&mut self, from: Ipv4Addr, answer: Answer) -> Option<Reply> {
        match self.lost_answers.get_mut(&from) {
            Some(left) if *left > 0 => {
                *left -= 1;
                None
            }
            _ => Some(Reply::Answer(answer)),
        }
    }

    fn settle(&mut self, id: CallId, reply: Option<Reply>) {
        if let Some(call) = self.calls.get_mut(&id).filter(|c| c.reply.is_none()) {
            call.reply = reply;
        }
    }

    /// Callers that have waited long enough.
    pub(super) fn step_calls(&mut self) {
        let now = self.now;
        let waiting: Vec<Millis> = self
            .calls
            .values_mut()
            .filter(|c| c.reply.is_none())
            .filter_map(|call| {
                if now >= call.until {
                    call.reply = Some(Reply::TimedOut);
                }
                (now < call.until).then_some(call.until)
            })
            .collect();
        for until in waiting {
            self.due(until);
        }
    }

    /// The commands at work.
    pub(super) fn step_ops(&mut self) {
        for op in std::mem::take(&mut self.ops) {
            let process = self.processes.get(&op.meta);
            let same = process.filter(|p| p.incarnation == op.incarnation && p.phase == Phase::Up);
            match same {
                None => self.settle(op.call, Some(Reply::Closed)),
                Some(process) if process.frozen || self.now < op.at => {
                    self.due(op.at);
                    self.ops.push(op);
                }
                Some(_) => self.go_on(op),
            }
        }
    }

    fn go_on(&mut self, op: Op) {
        let after = match op.stage {
            Stage::Answer(answer) => {
                let reply = self.deliver(op.meta, answer);
                return self.settle(op.call, reply);
            }
            Stage::ChangeRaft(peers) => self.change_raft(op.meta, peers),
            Stage::ChangeList(peers) => (0, Stage::Answer(self.change_list(op.meta, &peers))),
        };
        let (wait, stage) = after;
        let at = self.now + wait;
        let next = Op { at, stage, ..op };
        if wait == 0 {
            self.go_on(next);
        } else {
            self.due(at);
            self.ops.push(next);
        }
    }

    /// `POST /manage/changePeer`: what happens, and after how long (§5).
    pub(super) fn change_peer(&mut self, meta: Ipv4Addr, request: &Request) -> (Millis, Stage) {
        let Some(list) = request.field("ipAddressList").filter(|l| !l.is_empty()) else {
            return answered(words::refusal(Some(words::NO_ADDRESSES)));
        };
        let Some(peers) = addresses(list) else { return answered(words::failed(&request.path)) };
        if self.is_damaged(meta) {
            return answered(words::refusal(Some(words::CHANGE_LIST_FAILED)));
        }
        let Some(leader) = self.leader_of(meta) else {
            return answered(words::refusal(Some(words::CHANGE_FAILED)));
        };
        let old = self.conf(leader);
        let added_listen = peers.iter().all(|&p| old.contains(&p) || self.raft_hears(leader, p));
        let alive = peers.iter().filter(|&&p| p == leader || self.raft_hears(leader, p)).count();
        if !added_listen || alive * 2 <= peers.len() {
            return (self.timing.change_fails, Stage::Answer(words::refusal(Some(words::CHANGE_FAILED))));
        }
        (self.timing.change_raft, Stage::ChangeRaft(peers))
    }

    fn change_raft(&mut self, meta: Ipv4Addr, peers: Vec<Ipv4Addr>) -> (Millis, Stage) {
        let Some(leader) = self.leader_of(meta) else {
            return answered(words::refusal(Some(words::CHANGE_FAILED)));
        };
        self.note(leader, &format!("raft peers: {}", listed(&peers)));
        self.set_conf(leader, &peers);
        let sleep = self.timing.change_sleep + self.rng.below(200);
        (sleep, Stage::ChangeList(peers))
    }

    /// The leader takes a new list; who is new is given all its data, whatever it held (§12).
    fn set_conf(&mut self, leader: Ipv4Addr, peers: &[Ipv4Addr]) {
        let old = self.conf(leader);
        let Some(data) = self.raft_data_mut(leader) else { return };
        data.index += 1;
        data.peers = peers.to_vec();
        let data = data.clone();
        for &peer in peers.iter().filter(|&&p| p != leader) {
            let added = !old.contains(&peer);
            let follows = self.standing(peer) == Standing::Follower(leader);
            if !self.raft_hears(leader, peer) || self.is_damaged(peer) || !(added || follows) {
                continue;
            }
            if let Some(volume) = self.volume_mut(peer) {
                volume.raft = Some(data.clone());
            }
            self.set_standing(peer, Standing::Follower(leader));
        }
        if !peers.contains(&leader) {
            self.set_standing(leader, Standing::Out);
        }
        self.changed = true;
    }

    fn change_list(&mut self, meta: Ipv4Addr, peers: &[Ipv4Addr]) -> Answer {
        let Some(leader) = self.leader_to_write(meta) else {
            return words::refusal(Some(words::CHANGE_LIST_FAILED));
        };
        self.write_list(leader, peers);
        words::success()
    }

    fn write_list(&mut self, leader: Ipv4Addr, peers: &[Ipv4Addr]) {
        self.note(leader, &format!("meta list: {}", listed(peers)));
        self.write(leader, |store| store.metas = peers.to_vec());
    }

    /// `POST /manage/resetPeer`: sets the list of this node only, without a leader. While there is none its answer is a
    /// failure, although it took effect (§6, §12).
    pub(super) fn reset_peer(&mut self, meta: Ipv4Addr, request: &Request) -> Answer {
        let Some(list) = request.field("ipAddressList").filter(|l| !l.is_empty()) else {
            return words::refusal(Some(words::NO_ADDRESSES));
        };
        let Some(peers) = addresses(list) else { return words::failed(&request.path) };
        if self.conf(meta) != peers {
            self.note(meta, &format!("raft peers reset: {}", listed(&peers)));
            if self.raft_data(meta).is_none() {
                self.begin_lineage(meta, peers.clone());
            }
            if let Some(data) = self.raft_data_mut(meta) {
                data.index += 1;
                data.peers.clone_from(&peers);
            }
            self.set_standing(meta, Standing::Out);
            if let Some(process) = self.processes.get_mut(&meta) {
                process.raft.elect_at = None;
            }
        }
        match self.leader_to_write(meta) {
            Some(leader) => {
                self.write_list(leader, &peers);
                words::success()
            }
            None => words::refusal(Some(words::RESET_LIST_FAILED)),
        }
    }
}

fn listed(peers: &[Ipv4Addr]) -> String {
    peers.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(",")
}
