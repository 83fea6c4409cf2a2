//! The whole operator in virtual time: the real planner, the real effects, the objects that are really built, over the fake
//! Kubernetes and the fake SOFARegistry. The operator can crash before and after every single write and command; what is
//! left in the end has to be the same.
//!
//! The operator of a [`Sim`] remembers nothing: each reconcile reads the objects and asks the servers, so a crash is only
//! that what it was about to do is not done, and that time passes until the next one.

mod end;
mod gather;
mod pace;
mod ports;
mod reconcile;
mod service;
mod truth;
mod workloads;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Millis;
use super::kube::json::text;
use super::kube::{Cache, Crash, Key, NodeLoss, Write};
use super::registry::ClientId;
use super::world::World;
use crate::api::objects::{FINALIZER, HOME, SET_ASIDE};
use crate::api::v1alpha1::{RegistryClusterSpec, Role};
use crate::build::{Build, Objects};
use crate::observe::Speech;
use crate::plan::{Desired, Planted};
use crate::types::Moment;
use crate::validate::{
    ClusterKind, Context, Environment, Identity, Previous, References, SecretFact, ValidCluster,
    ValidRegistry, validate_registry,
};

pub use end::EndState;
pub use reconcile::Ticked;
pub use service::{ServiceAct, ServiceSim, ServiceStory};
pub use workloads::{Act, Start, Step, When, Workload, workloads};

const NAMESPACE: &str = "pay";
const CLUSTER: &str = "prod";
/// What the wall clock says when a test begins: 2026-01-01T00:00:00Z, as the fake Kubernetes has it.
const CLOCK_AT_START: i64 = 1_767_225_600_000;
/// Nobody waits longer than this for anything.
const NEVER: Millis = 2 * 3_600_000;
/// How many clients there are.
const CLIENTS: u32 = 10;

/// A virtual moment as the operator sees it.
fn moment(now: Millis) -> Moment {
    Moment::from_millis(CLOCK_AT_START + i64::try_from(now).unwrap_or(i64::MAX - CLOCK_AT_START))
}

/// A spec, checked, with the revisions of its templates.
#[derive(Debug, Clone)]
pub struct Spec {
    valid: ValidRegistry,
    revisions: BTreeMap<Role, String>,
}

impl Spec {
    fn of(object: &Value, raft_group: Option<String>) -> Result<Self, String> {
        let identity = Identity {
            kind: ClusterKind::Registry,
            namespace: NAMESPACE.to_owned(),
            name: CLUSTER.to_owned(),
            uid: text(object, "/metadata/uid").to_owned(),
        };
        let keys = ["username", "password"].map(str::to_owned);
        let references = References { database: SecretFact::Found(keys.into()), ..References::default() };
        let environment = Environment {
            operator_namespace: "sofa-system".to_owned(),
            raft_group,
            ..Environment::default()
        };
        let context = Context {
            identity: &identity,
            references: &references,
            environment: &environment,
            previous: &Previous::default(),
        };
        let spec = object.get("spec").cloned().unwrap_or_default();
        let spec: RegistryClusterSpec = serde_json::from_value(spec).map_err(|e| e.to_string())?;
        let valid = validate_registry(&spec, &context)
            .map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let revisions = valid.targets();
        Ok(Self { valid, revisions })
    }

    fn speech(&self) -> Speech {
        Speech::from(self.valid.membership)
    }

    fn port(&self, role: Role) -> u16 {
        self.valid.component(role).and_then(|c| c.ports.number("http")).unwrap_or_default()
    }
}

/// How the operator reads what it does not read past every cache.
#[derive(Debug, Clone, Default)]
struct Reads {
    /// What it believes, and when that was true. `None`: it reads all of it at the server.
    cache: Option<(Cache, Millis)>,
    /// Until then nothing reaches its cache, and no event wakes it.
    deaf_until: Millis,
}

/// The operator and its world.
#[derive(Debug, Clone)]
pub struct Sim {
    world: World,
    spec: Arc<Spec>,
    specs: BTreeMap<(i64, Option<String>), Arc<Spec>>,
    clients: Vec<ClientId>,
    reads: Reads,
    /// Which step of the workload comes next, and since when it is waited for.
    stage: usize,
    stage_since: Millis,
    /// How often in a row nothing was to be done.
    quiet: u32,
    gone: bool,
    /// What the store of the metas said last: whether push is closed.
    closed: bool,
    /// How often clients were pushed to, when push was found closed everywhere.
    pushes_when_closed: Option<u64>,
    last_said: String,
    transcript: Vec<String>,
    violations: Vec<String>,
    planted: Option<Planted>,
    /// What was built last, and for what.
    built: Option<(i64, Desired, Objects)>,
    /// What this process of the operator has applied last, wholly and without a failure.
    applied: Option<Objects>,
}

impl Sim {
    /// An empty cluster with this spec, and clients that wait for it.
    ///
    /// # Errors
    /// Why the spec is refused.
    pub fn new(seed: u64, spec: &Value) -> Result<Self, String> {
        let mut world = World::new(seed);
        for node in ["a", "b", "c", "d", "e"] {
            world.cluster.add_node(node);
        }
        let object = json!({"apiVersion": "middleware.sofastack.io/v1alpha1", "kind": "RegistryCluster",
            "metadata": {"name": CLUSTER, "namespace": NAMESPACE, "finalizers": [FINALIZER]}, "spec": spec});
        let secret = json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "registry-database", "namespace": NAMESPACE},
            "data": {"username": "u", "password": "p"}});
        world.write(&Write::Create(secret)).map_err(|e| e.to_string())?;
        let made = world.write(&Write::Create(object)).map_err(|e| e.to_string())?;
        world.take_transcript();
        let clients = world.registry().populate(&format!("{NAMESPACE}/{CLUSTER}"), CLIENTS, 0);
        Ok(Self {
            world,
            spec: Arc::new(Spec::of(&made, None)?),
            specs: BTreeMap::new(),
            clients,
            reads: Reads::default(),
            stage: 0,
            stage_since: 0,
            quiet: 0,
            gone: false,
            closed: false,
            pushes_when_closed: None,
            last_said: String::new(),
            transcript: Vec::new(),
            violations: Vec::new(),
            planted: None,
            built: None,
            applied: None,
        })
    }

    /// Goes on with a workload by one tick, or by the next thing that a person or nature does. `None`: it is over.
    ///
    /// # Errors
    /// What was waited for in vain.
    pub fn go(&mut self, workload: &Workload) -> Result<Option<Ticked>, String> {
        let Some(step) = workload.steps.get(self.stage) else {
            return if self.rests() { Ok(None) } else { self.tick_in_time(workload, None) };
        };
        if self.has_come(&step.when) {
            self.happen(&step.act)?;
            self.stage += 1;
            self.stage_since = self.world.now();
            self.quiet = 0;
            return Ok(Some(Ticked::default()));
        }
        self.tick_in_time(workload, None)
    }

    /// Goes on by one tick in which the operator crashes; then it is away for a while.
    ///
    /// # Errors
    /// As [`Sim::go`], and that the point of the crash was not reached.
    pub fn crash(&mut self, workload: &Workload, crash: Crash, away: Millis) -> Result<(), String> {
        self.tick_in_time(workload, Some(crash))?;
        if !self.world.cluster.tripwire.crashed() {
            return Err(format!("{crash:?} was not reached"));
        }
        self.world.cluster.tripwire.revive();
        self.applied = None;
        self.world.say(&format!("the operator is away for {} s", away / 1000));
        self.world.pass(away);
        Ok(())
    }

    /// From now on the operator reads by a cache, and for so long nothing reaches it.
    pub fn read_by_cache(&mut self, deaf: Millis) {
        let mut cache = Cache::new();
        cache.relist(&self.world.cluster);
        let now = self.world.now();
        self.reads = Reads { cache: Some((cache, now)), deaf_until: now + deaf };
    }

    /// For so long no event wakes the operator; it reads at the server.
    pub fn miss_events(&mut self, span: Millis) {
        self.reads.deaf_until = self.world.now() + span;
    }

    /// From now on the planner has a fault: to show that it is found.
    pub const fn plant(&mut self, fault: Planted) {
        self.planted = Some(fault);
    }

    /// Everything that was remembered is lost: to show that it matters.
    pub fn lose_memory(&mut self) {
        let Some(mut object) = self.world.cluster.objects().get(&gather::object_key()).cloned() else {
            return;
        };
        if let Value::Object(fields) = &mut object {
            fields.insert("status".to_owned(), json!({}));
        }
        // Nobody else writes at this moment, so it cannot be refused.
        let _written = self.world.write(&Write::Update(object, super::kube::Part::Status));
    }

    /// How many writes and commands were sent so far.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.world.cluster.tripwire.sent()
    }

    /// The present moment.
    #[must_use]
    pub const fn now(&self) -> Millis {
        self.world.now()
    }

    /// What broke an invariant so far.
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
        self.quiet = 0;
    }

    fn rests(&self) -> bool {
        self.gone || self.quiet >= 2
    }

    fn has_come(&self, when: &When) -> bool {
        match when {
            When::Rest => self.rests(),
            When::After(span) => self.world.now() >= self.stage_since + span,
            When::Changed(role) => self.pods().iter().any(|(member, pod)| {
                let labels = pod.pointer("/metadata/labels");
                let revision = labels.and_then(|l| l.get(crate::build::REVISION)?.as_str());
                member.role == *role && revision == self.spec.revisions.get(role).map(String::as_str)
            }),
        }
    }

    fn tick_in_time(&mut self, workload: &Workload, crash: Option<Crash>) -> Result<Option<Ticked>, String> {
        if self.world.now() > self.stage_since + NEVER {
            return Err(format!("{}: step {} never came: {}", workload.name, self.stage, self.last_said));
        }
        self.tick(crash).map(Some)
    }

    /// What a person does, or nature.
    fn happen(&mut self, act: &Act) -> Result<(), String> {
        self.transcript.extend(self.world.take_transcript());
        match act {
            Act::Edit(patch) => self.person(&Write::MergePatch(
                gather::object_key(),
                json!({"spec": patch}),
                super::kube::Part::Main,
            ))?,
            Act::Delete => {
                self.person(&Write::Delete(gather::object_key(), super::kube::DeleteOptions::default()))?;
            }
            Act::Evict(pod) => self.person(&Write::Evict(Key::new("Pod", NAMESPACE, pod), None))?,
            Act::LoseVolumes(pods) => {
                for pod in *pods {
                    let claim = Key::new("PersistentVolumeClaim", NAMESPACE, &format!("{HOME}-{pod}"));
                    for key in [claim, Key::new("Pod", NAMESPACE, pod)] {
                        self.person(&Write::Delete(key, super::kube::DeleteOptions::default()))?;
                    }
                }
            }
            Act::SetAside(pod) => {
                let claim = Key::new("PersistentVolumeClaim", NAMESPACE, &format!("{HOME}-{pod}"));
                let patch = json!({"metadata": {"annotations": {SET_ASIDE: "t1"}}});
                self.person(&Write::MergePatch(claim, patch, super::kube::Part::Main))?;
            }
            Act::Confirm => {
                let object = self.world.cluster.objects().get(&gather::object_key());
                let incident = object.and_then(|o| o.pointer("/status/incident"));
                let told = |pointer: &str| incident.and_then(|i| i.pointer(pointer)).cloned();
                let confirm = json!({"incident": told("/id"), "survivor": told("/survivors/0")});
                self.person(&Write::MergePatch(
                    gather::object_key(),
                    json!({"spec": {"recovery": {"metaMajority": {"confirm": confirm}}}}),
                    super::kube::Part::Main,
                ))?;
            }
            Act::PowerLoss => {
                for node in ["a", "b", "c", "d", "e"] {
                    self.world.lose_node(node, NodeLoss::PowerOff);
                }
            }
            Act::PowerBack => {
                for node in ["a", "b", "c", "d", "e"] {
                    self.world.restore_node(node);
                }
            }
        }
        let object = self.world.cluster.objects().get(&gather::object_key()).cloned();
        if let Some(object) = object {
            self.spec = Arc::new(Spec::of(&object, gather::raft_group(self.world.cluster.objects()))?);
        }
        Ok(())
    }

    fn person(&mut self, write: &Write) -> Result<(), String> {
        let done = self.world.write(write).map_err(|e| e.to_string());
        let lines = self.world.take_transcript().into_iter();
        self.transcript.extend(lines.map(|line| line.replacen("operator: ", "person: ", 1)));
        if let Write::MergePatch(_, patch, _) = write {
            self.world.say(&format!("person: {}", patch.get("spec").unwrap_or(&Value::Null)));
        }
        done.map(|_| ())
    }
}
