//! The operator of `DrmCluster` and `SchedulerCluster` in virtual time: the real planner, the real effects and the objects
//! that are really built, over the fake Kubernetes, fake servers and a fake PowerJob.
//!
//! As in [`super::Sim`] the operator remembers nothing between two reconciles.

mod look;
mod ports;
mod spec;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::gather::members_of;
use super::pace::{now_or_never, pause, words};
use super::ports::SimPorts;
use super::{CLUSTER, NAMESPACE, NEVER, Ticked, When, moment};
use crate::api::objects::FINALIZER;
use crate::api::v1alpha1::ClusterStatus;
use crate::build::{Objects, role_name};
use crate::effects::{self, Outcome, Recorded};
use crate::observe::{Member, ServiceWorld};
use crate::plan::{Command, Decision, Desired, Memory, Report, ServiceInput, ServiceTarget, plan_service};
use crate::status::{ServiceView, Subject, memory_of, service_status};
use crate::testkit::Millis;
use crate::testkit::kube::{Crash, DeleteOptions, FakeCluster, Key, Part, Write};
use crate::testkit::service::{Behind, Clients, PowerJob, Process, ServicePods};
use crate::testkit::world::World;
use crate::validate::{ClusterKind, Product};
use spec::{Spec, Valid};

/// How many clients drmdata has.
const CLIENTS: usize = 12;
/// How many apps PowerJob has, and how many workers each.
const APPS: u64 = 2;
const WORKERS: u64 = 3;
/// The operator rests when it had nothing to do for so long: by then what was delayed in a wheel has been fired, or lost.
const REST: Millis = 140_000;
/// The version of PowerJob's servers.
const VERSION: &str = "4.3.9";

/// What happens to a cluster of servers.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceAct {
    /// A person changes the spec, by a merge patch.
    Edit(Value),
    /// A server stops in the middle of everything for so long.
    Hang(Member, Millis),
    /// The database answers nobody for so long.
    DatabaseDown(Millis),
    /// Somebody runs a job of this app, so much later.
    RunLater(u64, Millis),
    /// From now on somebody runs a job of each app every five seconds, with delays from seconds to minutes.
    ManyDelays,
    /// Somebody evicts the pod of a server, if there is one.
    Evict(Member),
    /// A person deletes the object.
    Delete,
}

/// A story of a cluster of servers.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceStory {
    /// What it is called.
    pub name: &'static str,
    /// What it runs.
    pub product: Product,
    /// Its spec.
    pub spec: Value,
    /// What happens, and when.
    pub steps: Vec<(When, ServiceAct)>,
}

/// The operator and its world.
#[derive(Debug, Clone)]
pub struct ServiceSim {
    world: World<ServicePods>,
    kind: ClusterKind,
    specs: BTreeMap<i64, Arc<Spec>>,
    generation: i64,
    stage: usize,
    stage_since: Millis,
    /// Since when nothing was to be done.
    quiet_since: Option<Millis>,
    gone: bool,
    last_said: String,
    transcript: Vec<String>,
    violations: Vec<String>,
    /// What was built last, and for what.
    built: Option<(i64, Desired, Objects)>,
    applied: Option<Objects>,
}

impl ServiceSim {
    /// An empty cluster with the spec of a story.
    ///
    /// # Errors
    /// Why the spec is refused.
    pub fn new(story: &ServiceStory) -> Result<Self, String> {
        let kind = if story.product == Product::Drm { ClusterKind::Drm } else { ClusterKind::Scheduler };
        let behind = match story.product {
            Product::PowerJob => Behind::PowerJob(PowerJob::new(APPS, WORKERS)),
            _ => Behind::Drm(Clients::new(CLIENTS)),
        };
        let mut world = World::with(FakeCluster::new(), ServicePods::new(CLUSTER, behind));
        for node in ["a", "b", "c"] {
            world.cluster.add_node(node);
        }
        for secret in ["database", "operator"] {
            let object = json!({"apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": secret, "namespace": NAMESPACE}, "data": {"username": "u", "password": "p"}});
            world.write(&Write::Create(object)).map_err(|e| e.to_string())?;
        }
        let object = json!({"apiVersion": "middleware.sofastack.io/v1alpha1", "kind": kind.kind(),
            "metadata": {"name": CLUSTER, "namespace": NAMESPACE, "finalizers": [FINALIZER]}, "spec": story.spec});
        world.write(&Write::Create(object)).map_err(|e| e.to_string())?;
        world.take_transcript();
        let mut sim = Self {
            world,
            kind,
            specs: BTreeMap::new(),
            generation: 0,
            stage: 0,
            stage_since: 0,
            quiet_since: None,
            gone: false,
            last_said: String::new(),
            transcript: Vec::new(),
            violations: Vec::new(),
            built: None,
            applied: None,
        };
        sim.note_spec()?;
        Ok(sim)
    }

    fn key(&self) -> Key {
        Key::new(&format!("middleware.sofastack.io/{}", self.kind.kind()), NAMESPACE, CLUSTER)
    }

    fn note_spec(&mut self) -> Result<(), String> {
        let Some(object) = self.world.cluster.objects().get(&self.key()) else { return Ok(()) };
        let generation = Recorded::of(object).generation;
        let valid = Valid::of(self.kind, object)?;
        let revisions = valid.targets();
        self.specs.insert(generation, Arc::new(Spec { valid, revisions }));
        self.generation = generation;
        Ok(())
    }

    /// Goes on with a story by one tick, or by the next thing that happens. `None`: it is over.
    ///
    /// # Errors
    /// What was waited for in vain.
    pub fn go(&mut self, story: &ServiceStory) -> Result<Option<Ticked>, String> {
        let Some((when, act)) = story.steps.get(self.stage) else {
            return if self.rests() { Ok(None) } else { self.tick(story, None).map(Some) };
        };
        if self.has_come(when) {
            self.happen(act)?;
            self.stage += 1;
            self.stage_since = self.world.now();
            self.quiet_since = None;
            return Ok(Some(Ticked::default()));
        }
        self.tick(story, None).map(Some)
    }

    /// Goes on by one tick in which the operator crashes; then it is away for a while.
    ///
    /// # Errors
    /// As [`ServiceSim::go`], and that the point of the crash was not reached.
    pub fn crash(&mut self, story: &ServiceStory, crash: Crash, away: Millis) -> Result<(), String> {
        self.tick(story, Some(crash))?;
        if !self.world.cluster.tripwire.crashed() {
            return Err(format!("{crash:?} was not reached"));
        }
        self.world.cluster.tripwire.revive();
        self.applied = None;
        self.world.say(&format!("the operator is away for {} s", away / 1_000));
        self.world.pass(away);
        Ok(())
    }

    /// The present moment.
    #[must_use]
    pub const fn now(&self) -> Millis {
        self.world.now()
    }

    /// What broke a rule so far.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// What happened so far.
    pub fn transcript(&mut self) -> Vec<String> {
        self.transcript.extend(self.world.take_transcript());
        self.transcript.clone()
    }

    /// A new story begins: what happened so far is not told again.
    pub fn forget(&mut self) {
        self.world.take_transcript();
        self.transcript.clear();
        self.stage = 0;
        self.stage_since = self.world.now();
        self.quiet_since = None;
    }

    /// The PowerJob behind the servers. `None`: there is none.
    #[must_use]
    pub const fn powerjob(&self) -> Option<&PowerJob> {
        match &self.world.pods.behind {
            Behind::PowerJob(powerjob) => Some(powerjob),
            Behind::Drm(_) => None,
        }
    }

    fn rests(&self) -> bool {
        self.gone || self.quiet_since.is_some_and(|since| self.world.now() >= since + REST)
    }

    fn has_come(&self, when: &When) -> bool {
        match when {
            When::Rest => self.rests(),
            When::After(span) => self.world.now() >= self.stage_since + span,
            When::Changed(role) => {
                let wanted = self.specs.get(&self.generation).and_then(|spec| spec.revisions.get(role));
                members_of(self.world.cluster.objects()).iter().any(|(member, pod)| {
                    let labels = pod.pointer("/metadata/labels");
                    let revision = labels.and_then(|l| l.get(crate::build::REVISION)?.as_str());
                    member.role == *role && revision == wanted.map(String::as_str)
                })
            }
        }
    }

    fn happen(&mut self, act: &ServiceAct) -> Result<(), String> {
        let now = self.world.now();
        self.transcript.extend(self.world.take_transcript());
        match act {
            ServiceAct::Edit(patch) => {
                let write = Write::MergePatch(self.key(), json!({"spec": patch}), Part::Main);
                self.world.write(&write).map_err(|e| e.to_string())?;
                self.note_spec()?;
            }
            ServiceAct::Delete => {
                let write = Write::Delete(self.key(), DeleteOptions::default());
                self.world.write(&write).map_err(|e| e.to_string())?;
            }
            ServiceAct::Evict(member) => {
                let key = Key::new("Pod", NAMESPACE, &member.pod_name(CLUSTER));
                // Whoever asks for it takes a refusal for what it is.
                let _refused = self.world.write(&Write::Evict(key, None));
            }
            ServiceAct::Hang(member, span) => self.world.pods.hang(*member, *span),
            ServiceAct::DatabaseDown(span) => self.with_powerjob(|p, _| p.break_down(now + span)),
            ServiceAct::RunLater(app, delay) => {
                self.with_powerjob(|p, all| p.run_later(*app, now + delay, all, now));
            }
            ServiceAct::ManyDelays => self.with_powerjob(|p, _| p.run_many()),
        }
        let lines = self.world.take_transcript().into_iter();
        self.transcript.extend(lines.map(|line| line.replacen("operator: ", "person: ", 1)));
        self.world.say(&format!("it happens: {act:?}"));
        Ok(())
    }

    fn with_powerjob(&mut self, run: impl FnOnce(&mut PowerJob, &[&Process])) {
        let processes = self.world.pods.processes();
        if let Behind::PowerJob(powerjob) = &mut self.world.pods.behind {
            run(powerjob, &processes.iter().collect::<Vec<_>>());
        }
    }

    fn tick(&mut self, story: &ServiceStory, crash: Option<Crash>) -> Result<Ticked, String> {
        if self.world.now() > self.stage_since + NEVER {
            return Err(format!("{}: step {} never came: {}", story.name, self.stage, self.last_said));
        }
        let before = self.world.cluster.tripwire.sent();
        if let Some(crash) = crash {
            self.world.cluster.tripwire.arm(crash);
        }
        let wait = self.reconcile();
        let after = self.world.cluster.tripwire.sent();
        if !self.world.cluster.tripwire.crashed() {
            self.world.pass(wait);
            self.world.cluster.forget_events();
        }
        Ok(Ticked { sent: (before, after) })
    }

    fn reconcile(&mut self) -> Millis {
        let Some(object) = self.world.cluster.objects().get(&self.key()) else {
            self.gone = true;
            return 1_000;
        };
        let own = Recorded::of(object);
        let Some(spec) = self.specs.get(&own.generation).cloned() else { return 1_000 };
        let valid = &spec.valid;
        let seen = self.observe(&own, &spec);
        let now = moment(self.world.now());
        let target = valid.target(&spec.revisions, now);
        let memory = memory_of(CLUSTER, &own.status);
        let input = ServiceInput {
            now,
            generation: own.generation,
            deleting: own.deleting,
            target: &target,
            world: &seen,
            memory: &memory,
        };
        let decision = plan_service(&input);
        self.judge(&decision);
        let said = words(&decision);
        if said != self.last_said {
            self.world.say(&format!("operator: {said}"));
            self.last_said = said;
        }
        let outcome = self.act(&own, valid, &target, &seen, &decision);
        if self.world.cluster.tripwire.crashed() {
            return 0;
        }
        let (wait, rests, said) = pause(&decision, &outcome, moment(self.world.now()));
        if let Some(said) = said {
            self.world.say(&said);
        }
        self.quiet_since = self.quiet_since.or_else(|| Some(self.world.now())).filter(|_| rests);
        wait
    }

    fn act(
        &mut self,
        own: &Recorded,
        valid: &Valid,
        target: &ServiceTarget,
        seen: &ServiceWorld,
        decision: &Decision,
    ) -> Result<Outcome, effects::Failure> {
        let common = valid.common();
        let subject = Subject {
            cluster: CLUSTER,
            generation: own.generation,
            now: moment(self.world.now()),
            deleting: own.deleting,
            paused: common.paused,
            warnings: &common.warnings,
            missing: &[],
        };
        let view = ServiceView { target, world: seen, software: common.product };
        let status = |report: &Report, memory: &Memory, old: &ClusterStatus| {
            service_status(&subject, &view, report, memory, old)
        };
        let scaled = match &decision.command {
            Some(Command::Scale { role, .. }) => Some(role_name(CLUSTER, *role)),
            _ => None,
        };
        let objects = self.built(own.generation, valid, &decision.desired);
        let turn = effects::Turn { seen: own, decision, objects, scaled, status: &status };
        let object = self.key();
        let mut ports =
            SimPorts { world: &mut self.world, object, port: 0, raft_group: "", applied: &mut self.applied };
        now_or_never(effects::run(turn, &mut ports))
            .unwrap_or_else(|| Err(effects::Failure::Unanswered("the simulation never waits".to_owned())))
    }

    /// What is built of a decision; the same is not built twice in a row.
    fn built(&mut self, generation: i64, valid: &Valid, desired: &Desired) -> Objects {
        if let Some((built_for, for_desired, objects)) = &self.built
            && *built_for == generation
            && for_desired == desired
        {
            return objects.clone();
        }
        let objects = valid.build(desired);
        self.built = Some((generation, desired.clone(), objects.clone()));
        objects
    }
}
