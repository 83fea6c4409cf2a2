//! What the contract says of what a witness saw (`docs/rollout.md`, invariants). Pure: a made-up log shows that each broken
//! invariant is found.
//!
//! Judged from outside, by what happened and by what the status said: I1, I2, I4 to I15. Not by this: I3 (how old the facts of
//! a decision were is not to be seen), whether each stop was written down before (an act may begin and end between two looks),
//! I7 beyond servers that are stopped twice, and that every run ends (the story waits for that itself).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sofa_operator::plan::invariants::Invariant;

/// The roles, in the order in which they are changed.
const ROLES: [&str; 3] = ["meta", "data", "session"];
/// `changePeer` takes no less (measured: sofaregistry §5).
const PEER_CHANGE: Duration = Duration::from_secs(3);
/// A person's pause may cross with an act that was fenced just before.
const CROSSING: Duration = Duration::from_secs(2);

/// A server's pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) uid: String,
    pub(crate) stopping: bool,
    pub(crate) ready: bool,
    pub(crate) address: Option<String>,
}

/// What the cluster's object said.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) generation: u64,
    pub(crate) paused: bool,
    pub(crate) hold: bool,
    /// Whether the status speaks of this generation.
    pub(crate) present: bool,
    pub(crate) rollout: String,
    pub(crate) state: String,
    pub(crate) done: BTreeSet<String>,
    /// What kind of act is written down, and the uids of its pods.
    pub(crate) act: Option<(String, BTreeSet<String>)>,
    /// Whether it waits for something that it names, or halts with a reason.
    pub(crate) waits: bool,
    /// Who keeps push closed, and whether it says why.
    pub(crate) owner: Option<String>,
    pub(crate) says_why: bool,
    pub(crate) incident: bool,
}

/// What was so at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since the witness began.
    pub(crate) at: Duration,
    /// By name.
    pub(crate) pods: BTreeMap<String, Pod>,
    /// What each session that works said last: whether push is closed there.
    pub(crate) closed: BTreeMap<String, bool>,
    pub(crate) told: Told,
    /// The peers of the raft group by its leader's word, as it was last heard; empty for 6.x.
    pub(crate) peers: BTreeSet<String>,
    /// Metas that run on a volume that is not marked as a member's, as it was seen last.
    pub(crate) blank: BTreeSet<String>,
}

/// A pod was told to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) at: Duration,
    pub(crate) pod: String,
    uid: String,
    role: usize,
    was_ready: bool,
    /// The moment after which it was seen.
    moment: usize,
}

/// A broken invariant, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) invariant: Invariant,
    pub(crate) how: String,
}

/// The role of a pod of this cluster, by its name.
pub(crate) fn role(cluster: &str, pod: &str) -> Option<usize> {
    let rest = pod.strip_prefix(cluster)?.strip_prefix('-')?;
    let (role, ordinal) = rest.rsplit_once('-')?;
    ordinal.parse::<u32>().ok()?;
    ROLES.iter().position(|known| *known == role)
}

/// All stops, in their order.
pub(crate) fn stops(cluster: &str, log: &[Moment]) -> Vec<Stop> {
    let mut found = Vec::new();
    for (moment, pair) in log.windows(2).enumerate() {
        let [before, after] = pair else { continue };
        for (name, old) in before.pods.iter().filter(|(_, old)| !old.stopping) {
            let stopped = after.pods.get(name).is_none_or(|new| new.stopping || new.uid != old.uid);
            if let (true, Some(role)) = (stopped, role(cluster, name)) {
                let (pod, uid) = (name.clone(), old.uid.clone());
                found.push(Stop { at: after.at, pod, uid, role, was_ready: old.ready, moment });
            }
        }
    }
    found
}

/// What was seen, a line for each moment: for who has to find out how something was broken.
pub(crate) fn tell(log: &[Moment]) -> String {
    let pod = |(name, pod): (&String, &Pod)| {
        let state = match (pod.stopping, pod.ready) {
            (true, _) => "stops",
            (_, true) => "ready",
            _ => "starts",
        };
        format!("{name} {} {state}", pod.uid.get(..4).unwrap_or(&pod.uid))
    };
    let line = |moment: &Moment| {
        let (told, pods) = (&moment.told, moment.pods.iter().map(pod).collect::<Vec<_>>());
        let act = told.act.as_ref().map_or("none", |(kind, _)| kind);
        format!(
            "{:.1} s: {} act {act}; closed {:?}; {}\n",
            moment.at.as_secs_f64(),
            told.state,
            moment.closed,
            pods.join(", ")
        )
    };
    log.iter().map(line).collect()
}

/// The acts that were written down, each as often as it was seen: its kind, and the uids of its pods.
fn acts(log: &[Moment]) -> impl Iterator<Item = &(String, BTreeSet<String>)> {
    log.iter().filter_map(|moment| moment.told.act.as_ref())
}

/// Everything that was broken.
pub(crate) fn judge(cluster: &str, log: &[Moment]) -> Vec<Broken> {
    let mut judge = Judge { cluster, log, found: Vec::new() };
    let stops = stops(cluster, log);
    for (index, stop) in stops.iter().enumerate().filter(|(_, s)| s.was_ready) {
        judge.stop(stop);
        judge.beside(stop, &stops[..index]);
    }
    judge.order(&stops);
    for pair in log.windows(2) {
        if let [before, after] = pair {
            judge.step(before, after);
        }
    }
    judge.moments();
    judge.found
}

struct Judge<'a> {
    cluster: &'a str,
    log: &'a [Moment],
    found: Vec<Broken>,
}

impl Judge<'_> {
    fn require(&mut self, right: bool, invariant: Invariant, how: impl FnOnce() -> String) {
        if !right {
            self.found.push(Broken { invariant, how: how() });
        }
    }

    /// A pod that worked was stopped.
    fn stop(&mut self, stop: &Stop) {
        let log = self.log;
        let before = &log[stop.moment];
        let pod = &stop.pod;
        // Between two looks it may have come back, or been closed, and then the stop came: only what was so at both was so.
        let after = log.get(stop.moment + 1);
        let closed_since = |session: &String| after.and_then(|m| m.closed.get(session)) == Some(&true);
        let open: Vec<_> = before.closed.iter().filter(|(s, closed)| !**closed && !closed_since(s)).collect();
        self.require(open.is_empty() || self.is_repair(stop), Invariant::I10PushClosed, || {
            format!("{pod} was stopped while push was open on {open:?}")
        });
        let cluster = self.cluster;
        let others = || {
            before.pods.iter().filter(move |(name, _)| *name != pod && role(cluster, name) == Some(stop.role))
        };
        let works = |(name, pod): (&String, &Pod)| {
            let later = after.and_then(|moment| moment.pods.get(name));
            pod.ready || later.is_some_and(|later| later.uid == pod.uid && later.ready)
        };
        let down: Vec<_> = others().filter(|other| !works(*other)).map(|(name, _)| name).collect();
        self.require(down.is_empty(), Invariant::I2Share, || {
            format!("{pod} was stopped while {down:?} were down")
        });
        let (all, left) = (others().count() + 1, others().filter(|other| works(*other)).count());
        let enough = if before.peers.is_empty() { left > 0 } else { left * 2 > all };
        self.require(stop.role != 0 || all == 1 || enough, Invariant::I1Quorum, || {
            format!("{pod} was stopped, and {left} of {all} metas were left")
        });
        self.require(stop.role != 1 || all == 1 || left * 2 >= all, Invariant::I15DataHalf, || {
            format!("{pod} was stopped, and {left} of {all} DataServers were left")
        });
        let paused = log[..=stop.moment].iter().rev().take_while(|m| m.told.paused).last();
        let overdue = paused.is_some_and(|since| stop.at.saturating_sub(since.at) > CROSSING);
        self.require(!overdue, Invariant::I9ObeysPause, || {
            format!("{pod} was stopped although spec.paused was set")
        });
    }

    /// Whether it was stopped because it served nothing: that has no order, and needs no closed push (contract: broken members).
    fn is_repair(&self, stop: &Stop) -> bool {
        let until = &self.log[..self.log.len().min(stop.moment + 2)];
        acts(until).any(|(kind, uids)| kind == "RepairPod" && uids.contains(&stop.uid))
    }

    /// What was stopped before it has to be back, with an address.
    fn beside(&mut self, stop: &Stop, earlier: &[Stop]) {
        let looks = || self.log[stop.moment..].iter().take(2);
        let is_back = |other: &Stop| {
            let is_another = |p: &Pod| p.uid != other.uid && !p.stopping && p.address.is_some();
            looks().any(|moment| moment.pods.get(&other.pod).is_some_and(is_another))
        };
        let away: Vec<_> =
            earlier.iter().filter(|o| o.pod != stop.pod && !is_back(o)).map(|o| &o.pod).collect();
        self.require(away.is_empty(), Invariant::I5OneActor, || {
            format!("{} was stopped before {away:?} came back", stop.pod)
        });
        let generation = |s: &Stop| self.log[s.moment].told.generation;
        let refills = acts(self.log).any(|(kind, _)| kind == "RefillSession");
        let again =
            earlier.iter().any(|o| o.pod == stop.pod && o.was_ready && generation(o) == generation(stop));
        self.require(!again || (refills && stop.role == 2), Invariant::I7Idempotent, || {
            format!("{} was stopped twice for one spec", stop.pod)
        });
    }

    /// Metas before data before sessions.
    fn order(&mut self, stops: &[Stop]) {
        let refills = acts(self.log).any(|(kind, _)| kind == "RefillSession");
        let in_order = stops.iter().filter(|stop| !self.is_repair(stop));
        let sorted = refills || in_order.is_sorted_by_key(|s| s.role);
        self.require(sorted, Invariant::I4RoleOrder, || {
            format!("out of order: {:?}", stops.iter().map(|s| &s.pod).collect::<Vec<_>>())
        });
    }

    /// From one moment to the next.
    fn step(&mut self, before: &Moment, after: &Moment) {
        let (old, new) = (&before.told, &after.told);
        let lost: Vec<_> = old.done.difference(&new.done).collect();
        self.require(old.rollout != new.rollout || lost.is_empty(), Invariant::I8DoneGrows, || {
            format!("{lost:?} were done in rollout {} and are no longer", old.rollout)
        });
        let foreign = old.owner.as_deref() == Some("Other") || (old.hold && new.hold);
        for (session, _) in before.closed.iter().filter(|(_, closed)| **closed) {
            let opened = after.closed.get(session) == Some(&false);
            self.require(!(opened && foreign), Invariant::I12ForeignPush, || {
                format!("push was opened on {session}, and a person keeps it closed")
            });
        }
        // The server itself takes 3 s for a change: between looks that lie further apart there may have been two.
        let near = after.at.saturating_sub(before.at) < PEER_CHANGE;
        let known =
            near && !before.peers.is_empty() && !after.peers.is_empty() && !old.incident && !new.incident;
        let (added, removed) =
            (after.peers.difference(&before.peers).count(), before.peers.difference(&after.peers).count());
        self.require(!known || (added <= 1 && removed <= 1), Invariant::I13OnePeer, || {
            format!("the peers were {:?}, then {:?}", before.peers, after.peers)
        });
    }

    /// What holds at every moment, and at the last.
    fn moments(&mut self) {
        let log = self.log;
        for moment in log {
            let told = &moment.told;
            let at_rest = matches!(told.state.as_str(), "" | "Done") || !told.present;
            self.require(at_rest || told.act.is_some() || told.waits, Invariant::I6Reason, || {
                format!("{} without an act or a reason at {:?}", told.state, moment.at)
            });
            self.require(moment.blank.len() <= 1, Invariant::I14OneBlank, || {
                format!("{:?} run on blank volumes", moment.blank)
            });
        }
        let Some(last) = log.last() else { return };
        let closed: Vec<_> = last.closed.iter().filter(|(_, closed)| **closed).map(|(s, _)| s).collect();
        let told = last.told.owner.is_some() && last.told.says_why;
        self.require(closed.is_empty() || told, Invariant::I11Opens, || {
            format!("push is closed on {closed:?}, and the status does not say why")
        });
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
