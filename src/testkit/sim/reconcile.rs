//! One reconcile, and the time until the next one.

use std::sync::Arc;

use serde_json::Value;

use super::gather::{ask_all, kubernetes, object_key, raft_group, recorded};
use super::pace::{SLOWLY, now_or_never, pause, words};
use super::ports::SimPorts;
use super::{CLUSTER, Sim, Spec, moment};
use crate::api::v1alpha1::{ClusterStatus, Role};
use crate::build::{Build, Objects, role_name};
use crate::effects::{self, Outcome, Recorded};
use crate::observe::RegistryWorld;
use crate::plan::invariants::judge;
use crate::plan::{
    Command, Decision, Memory, RegistryInput, RegistryTarget, Report, plan_registry, registry_target,
};
use crate::status::{RegistryView, Subject, memory_of, registry_status};
use crate::testkit::Millis;
use crate::testkit::kube::Crash;

/// How long after an event it decides again, at most.
const EVENT: Millis = 1_000;
/// What came of one tick.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ticked {
    /// How many writes and commands had been sent before it, and after it.
    pub sent: (u64, u64),
}

/// The object that is read, and what Kubernetes says.
struct Read {
    object: Value,
    world: RegistryWorld,
}

impl Sim {
    /// One reconcile, then time until the next one.
    pub(super) fn tick(&mut self, crash: Option<Crash>) -> Result<Ticked, String> {
        let before = self.sent();
        if let Some(crash) = crash {
            self.world.cluster.tripwire.arm(crash);
        }
        let wait = self.reconcile()?;
        let after = self.sent();
        if !self.world.cluster.tripwire.crashed() {
            self.pass(wait);
        }
        Ok(Ticked { sent: (before, after) })
    }

    /// Lets time pass, until something happens that wakes the operator.
    fn pass(&mut self, wait: Millis) {
        let mut until = self.world.now() + wait;
        let mut seen = self.world.cluster.watch_events().len();
        while self.world.now() < until {
            // Where nothing is under way, it does not matter whether an event is heard at once.
            let step = (until - self.world.now()).min(EVENT.max(wait / 12));
            self.world.pass(step);
            let deaf = self.world.now() < self.reads.deaf_until;
            let events = self.world.cluster.watch_events();
            let wakes = events.iter().skip(seen).any(|e| matches!(e.key.kind.as_str(), "Pod" | "Node"));
            seen = events.len();
            if wakes && !deaf {
                until = self.world.now();
            }
        }
        if self.reads.cache.is_none() {
            self.world.cluster.forget_events();
        }
    }

    fn read(&mut self) -> Option<Read> {
        let now = self.world.now();
        if let Some((cache, at)) = &mut self.reads.cache {
            if now >= self.reads.deaf_until {
                cache.catch_up(&self.world.cluster);
                *at = now;
            }
            let object = cache.objects().get(&object_key())?.clone();
            return Some(Read { object, world: kubernetes(cache.objects(), moment(*at)) });
        }
        let objects = self.world.cluster.objects();
        Some(Read { object: objects.get(&object_key())?.clone(), world: kubernetes(objects, moment(now)) })
    }

    /// The spec of the object as it is read.
    fn spec_of(&mut self, object: &Value, generation: i64) -> Result<Arc<Spec>, String> {
        let raft_group = raft_group(self.world.cluster.objects());
        let key = (generation, raft_group.clone());
        if let Some(spec) = self.specs.get(&key) {
            return Ok(Arc::clone(spec));
        }
        let spec = Arc::new(Spec::of(object, raft_group)?);
        self.specs.insert(key, Arc::clone(&spec));
        Ok(spec)
    }

    /// One reconcile. How long until the next one.
    fn reconcile(&mut self) -> Result<Millis, String> {
        let Some(Read { object, world: mut seen }) = self.read() else {
            self.gone = self.world.cluster.objects().get(&object_key()).is_none();
            return Ok(SLOWLY);
        };
        let own = Recorded::of(&object);
        let spec = self.spec_of(&object, own.generation)?;
        ask_all(&mut self.world, &spec, &mut seen);
        let now = moment(self.world.now());
        let target = registry_target(&spec.valid, &spec.revisions, now);
        let memory = memory_of(CLUSTER, &own.status);
        let input = RegistryInput {
            now,
            generation: own.generation,
            deleting: own.deleting,
            target: &target,
            world: &seen,
            memory: &memory,
            planted: self.planted,
        };
        let decision = plan_registry(&input);
        // What was read too late is never done: effects read once more.
        if recorded(self.world.cluster.objects()).as_ref() == Some(&own) {
            self.judge(&input, &decision);
        }
        self.tell(&decision);
        let outcome = self.act(&own, &spec, &target, &seen, &decision);
        if self.world.cluster.tripwire.crashed() {
            return Ok(0);
        }
        Ok(self.next(&decision, &outcome))
    }

    fn next(&mut self, decision: &Decision, outcome: &Result<Outcome, effects::Failure>) -> Millis {
        let (wait, rests, said) = pause(decision, outcome, moment(self.world.now()));
        if let Some(said) = said {
            self.world.say(&said);
        }
        self.quiet = if rests { self.quiet + 1 } else { 0 };
        wait
    }

    fn act(
        &mut self,
        own: &Recorded,
        spec: &Spec,
        target: &RegistryTarget,
        seen: &RegistryWorld,
        decision: &Decision,
    ) -> Result<Outcome, effects::Failure> {
        let subject = Subject {
            cluster: CLUSTER,
            generation: own.generation,
            now: moment(self.world.now()),
            deleting: own.deleting,
            paused: spec.valid.common.paused,
            warnings: &spec.valid.common.warnings,
            missing: &[],
        };
        let view = RegistryView { target, world: seen };
        let status = |report: &Report, memory: &Memory, old: &ClusterStatus| {
            registry_status(&subject, &view, report, memory, old)
        };
        let scaled = match &decision.command {
            Some(Command::Scale { role, .. }) => Some(role_name(CLUSTER, *role)),
            _ => None,
        };
        let objects = self.built(own.generation, spec, decision);
        let turn = effects::Turn { seen: own, decision, objects, scaled, status: &status };
        let mut ports = SimPorts {
            world: &mut self.world,
            object: object_key(),
            port: spec.port(Role::Meta),
            raft_group: &spec.valid.raft_group,
            applied: &mut self.applied,
        };
        now_or_never(effects::run(turn, &mut ports))
            .unwrap_or_else(|| Err(effects::Failure::Unanswered("the simulation never waits".to_owned())))
    }

    /// What is built of a decision; the same is not built twice in a row.
    fn built(&mut self, generation: i64, spec: &Spec, decision: &Decision) -> Objects {
        if let Some((built_for, desired, objects)) = &self.built
            && *built_for == generation
            && *desired == decision.desired
        {
            return objects.clone();
        }
        let objects = spec.valid.build(&decision.desired);
        self.built = Some((generation, decision.desired.clone(), objects.clone()));
        objects
    }

    /// The invariants, by what is really so.
    fn judge(&mut self, input: &RegistryInput<'_>, decision: &Decision) {
        let truth = self.truth();
        for violation in judge(input, decision, &truth) {
            self.violations.push(format!(
                "{:>6} s {:?}: {} [{:?}]",
                self.world.now() / 1_000,
                violation.invariant,
                violation.how,
                decision.command
            ));
        }
        let leader = truth.pods.values().any(|p| p.serves);
        let closed = truth.closed_by.is_some() && truth.pushing.is_empty() && leader;
        let pushes = self.pushes();
        if let (Some(before), true) = (self.pushes_when_closed, closed)
            && pushes > before
        {
            self.violations.push(format!(
                "{:>6} s clients were pushed to {} times while push was closed",
                self.world.now() / 1_000,
                pushes - before
            ));
        }
        self.pushes_when_closed = closed.then_some(pushes);
    }

    fn pushes(&mut self) -> u64 {
        let clients = self.clients.clone();
        let views = clients.into_iter().filter_map(|c| self.world.registry().client_view(c));
        views.flat_map(|view| view.seen.into_values()).map(|seen| u64::from(seen.pushes)).sum()
    }

    /// What the operator is about to do, or waits for, if that is news.
    fn tell(&mut self, decision: &Decision) {
        let said = words(decision);
        if said != self.last_said {
            self.world.say(&format!("operator: {said}"));
            self.last_said = said;
        }
    }
}
