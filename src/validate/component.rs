//! One role of a cluster: its spec over the defaults.
//!
//! May import `types`, `api` and the other modules of `validate`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::parts::{
    Check, Ports, ProbeRule, ProbeRules, ServiceRules, SizedResources, SizedStorage, ValidComponent,
};
use super::problem::Notes;
use super::valid::Product;
use super::{defaults, overlay, sentences};
use crate::api::v1alpha1::{
    ComponentSpec, ConsoleSpec, Exposure, NamedPort, Probe, Probes, Profile, Reason, Resources, Role,
    ServiceKind, ServiceSpec, Storage, StorageKind,
};
use crate::types::{Bytes, Cpu, Heap, ImageName, Version};

/// More servers than this are no cluster that anybody runs, and the schema says the same.
const MOST_REPLICAS: u32 = 64;
/// How long a start may take: PowerJob took up to 150 s on a busy machine (powerjob.md §1.2), a SessionServer 75 s.
const STARTUP: Duration = Duration::from_mins(5);
/// A JVM does not start faster.
const SHORTEST_STARTUP: Duration = Duration::from_secs(10);
/// The startup probe ends a start, and nothing waits for a period more than it has to: it is asked often.
const STARTUP_PERIOD_SECONDS: u32 = 2;
const PERIOD_SECONDS: u32 = 10;
const TIMEOUT_SECONDS: u32 = 3;
const FAILURE_THRESHOLD: u32 = 3;
/// A meta lives before it is let into its group, and is ready only then: its budget for disruptions refuses to let the next one go
/// until the kubelet has asked again, with push closed. Unless the spec says how, it is asked often, and as long in vain as others.
const META_READINESS_PERIOD_SECONDS: u32 = 2;
const META_READINESS_FAILURES: u32 = 15;

/// What a component is part of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) product: Product,
    pub(super) role: Role,
    pub(super) profile: Profile,
    pub(super) version: &'a Version,
    pub(super) image: &'a ImageName,
}

/// A component with everything resolved.
pub(super) fn component(spec: Option<&ComponentSpec>, part: Part, notes: &mut Notes) -> ValidComponent {
    let empty = ComponentSpec::default();
    let spec = spec.unwrap_or(&empty);
    let Part { product, role, profile, .. } = part;
    let resources = resources(spec.resources.as_ref(), part, notes);
    let ports = ports(spec.ports.as_deref().unwrap_or_default(), part, notes);
    let probes = probes(spec.probes.as_ref(), part, &ports, notes);
    overlay::check(spec.pod_template.as_ref(), role, notes);
    ValidComponent {
        role,
        image: part.image.clone(),
        replicas: replicas(spec.replicas, part, notes),
        heap_mib: heap(spec.heap.unwrap_or_default(), product, &resources, role, notes),
        resources,
        storage: storage(spec.storage.as_ref(), profile, role),
        ports,
        probes,
        service: service(spec.service.as_ref(), role, notes),
        overlay: spec.pod_template.clone(),
        exposure: None,
    }
}

/// A console with everything resolved.
pub(super) fn console(spec: Option<&ConsoleSpec>, part: Part, notes: &mut Notes) -> ValidComponent {
    let image = spec.and_then(|spec| spec.image.as_ref()).unwrap_or(part.image);
    let exposure = spec.and_then(|spec| spec.exposure.clone());
    if exposure.as_ref().is_some_and(|Exposure { ingress, gateway }| ingress.is_some() && gateway.is_some()) {
        notes.wrong("console.exposure.gateway", sentences::EXPOSURE);
    }
    let component = component(spec.map(|spec| &spec.component), Part { image, ..part }, notes);
    ValidComponent { exposure, ..component }
}

fn replicas(asked: Option<u32>, part: Part, notes: &mut Notes) -> u32 {
    let name = part.role.field();
    let replicas = asked.unwrap_or_else(|| defaults::replicas(part.profile, part.role));
    if !(1..=MOST_REPLICAS).contains(&replicas) {
        notes.wrong(
            format!("{name}.replicas"),
            format!("{name}.replicas must be from 1 to {MOST_REPLICAS}: give such a number, or leave it out"),
        );
    }
    // A console serves people: while it is away, nothing that runs is worse off.
    if replicas == 1 && part.role != Role::Console {
        notes.degrade(
            Reason::NotHighlyAvailable,
            format!("{name}.replicas"),
            format!(
                "{name}.replicas is 1, one failure stops the service: give {} for production",
                defaults::replicas(Profile::Guide, part.role)
            ),
        );
    }
    replicas
}

fn resources(spec: Option<&Resources>, part: Part, notes: &mut Notes) -> SizedResources {
    let (millis, request, limit) = defaults::sizes(part.profile, part.role, part.version);
    let limits = spec.and_then(|spec| spec.limits.clone()).unwrap_or_default();
    let requests = spec.and_then(|spec| spec.requests.clone()).unwrap_or_default();
    let name = part.role.field();
    if matches!((&requests.cpu, &limits.cpu), (Some(request), Some(limit)) if request > limit) {
        notes.wrong(format!("{name}.resources.requests.cpu"), sentences::CPU_REQUEST);
    }
    if matches!((&requests.memory, &limits.memory), (Some(request), Some(limit)) if request > limit) {
        notes.wrong(format!("{name}.resources.requests.memory"), sentences::MEMORY_REQUEST);
    }
    // A request without a limit is a wish for that much, also where the table has less.
    let memory_limit = limits.memory.clone().unwrap_or_else(|| {
        let usual = Bytes::from_mebibytes(limit);
        requests.memory.clone().map_or_else(|| usual.clone(), |request| request.max(usual.clone()))
    });
    let memory_request = requests.memory.unwrap_or_else(|| match limits.memory {
        Some(limit) => limit,
        None => Bytes::from_mebibytes(request),
    });
    if let Some(least) = defaults::least_memory(part.product, part.version)
        && memory_limit < Bytes::from_mebibytes(least)
    {
        notes.warn(
            format!("{name}.resources.limits.memory"),
            format!(
                "{name}.resources.limits.memory is {memory_limit}, a server of this version was seen to need {least}Mi: \
                 give it that much, or it may be killed"
            ),
        );
    }
    SizedResources {
        cpu_request: requests.cpu.or_else(|| limits.cpu.clone()).unwrap_or_else(|| Cpu::from_millis(millis)),
        cpu_limit: limits.cpu,
        memory_request,
        memory_limit,
    }
}

fn heap(asked: Heap, product: Product, resources: &SizedResources, role: Role, notes: &mut Notes) -> u32 {
    let memory = resources.memory_limit.count() >> 20;
    match asked {
        Heap::Auto => defaults::heap(product, memory),
        Heap::Mi(size) => {
            if u64::from(size) >= memory {
                notes.wrong(format!("{}.heap", role.field()), sentences::HEAP);
            }
            size
        }
    }
}

fn storage(spec: Option<&Storage>, profile: Profile, role: Role) -> SizedStorage {
    let usual = || Bytes::from_mebibytes(defaults::storage(profile, role));
    let size = spec.and_then(|spec| spec.size.clone()).unwrap_or_else(usual);
    match spec.and_then(|spec| spec.kind).unwrap_or_default() {
        StorageKind::Claim => {
            SizedStorage::Claim { size, class: spec.and_then(|spec| spec.storage_class_name.clone()) }
        }
        StorageKind::Ephemeral => SizedStorage::Ephemeral { size },
    }
}

fn ports(asked: &[NamedPort], part: Part, notes: &mut Notes) -> Ports {
    let usual = defaults::ports(part.product, part.role);
    let role = part.role.field();
    let mut ports: BTreeMap<_, _> = usual.iter().copied().collect();
    for (index, port) in asked.iter().enumerate() {
        let field = format!("{role}.ports[{index}]");
        match ports.get_mut(port.name.as_str()) {
            Some(_) if port.port == 0 => notes.wrong(
                format!("{field}.port"),
                format!("{role}.ports: port {} must be from 1 to 65535: correct it", port.name),
            ),
            Some(number) => *number = port.port,
            None => {
                let names: Vec<_> = usual.iter().map(|(name, _)| *name).collect();
                notes.wrong(
                    format!("{field}.name"),
                    format!(
                        "{role}.ports: '{}' is none of its ports, their names are {}: use one of them",
                        port.name,
                        names.join(", ")
                    ),
                );
            }
        }
    }
    let mut taken: BTreeMap<u16, &str> = BTreeMap::new();
    for (name, number) in &ports {
        if let Some(other) = taken.insert(*number, name) {
            notes.wrong(
                format!("{role}.ports"),
                format!(
                    "{role}.ports: {other} and {name} are both {number}: give one of them another number"
                ),
            );
        }
    }
    Ports { usual, numbers: ports }
}

fn probes(spec: Option<&Probes>, part: Part, ports: &Ports, notes: &mut Notes) -> ProbeRules {
    let Part { product, role, .. } = part;
    let empty = Probes::default();
    let spec = spec.unwrap_or(&empty);
    let name = role.field();
    let startup_timeout = spec.startup_timeout.as_ref().map_or(STARTUP, crate::types::Span::length);
    if startup_timeout < SHORTEST_STARTUP {
        notes.wrong(
            format!("{name}.probes.startupTimeout"),
            format!("{name}.probes.startupTimeout must be at least 10s, no server starts faster: raise it"),
        );
    }
    let mut rule = |which: &str, probe: Option<&Probe>, usual: Check| {
        if probe.is_some_and(|probe| probe.path.is_some() && probe.command.is_some()) {
            notes.wrong(format!("{name}.probes.{which}.command"), sentences::PROBE);
        }
        probe_rule(probe, usual)
    };
    let health = ports.number("health").unwrap_or_default();
    let mut readiness =
        rule("readiness", spec.readiness.as_ref(), defaults::readiness(product, role, health));
    if role == Role::Meta && spec.readiness.is_none() {
        readiness.period_seconds = META_READINESS_PERIOD_SECONDS;
        readiness.timeout_seconds = META_READINESS_PERIOD_SECONDS;
        readiness.failure_threshold = META_READINESS_FAILURES;
    }
    let liveness = rule("liveness", spec.liveness.as_ref(), defaults::liveness(product, role));
    // A data or session process that started too early never works and has to be started again (sofaregistry.md §11):
    // for these the start ends when they work, for all others when they live.
    let ends = if matches!(role, Role::Data | Role::Session) { &readiness } else { &liveness };
    let startup = ProbeRule {
        check: defaults::startup(product, role)
            .filter(|_| spec.liveness.is_none())
            .unwrap_or_else(|| ends.check.clone()),
        period_seconds: STARTUP_PERIOD_SECONDS,
        failure_threshold: u32::try_from(startup_timeout.as_secs())
            .unwrap_or(u32::MAX)
            .div_ceil(STARTUP_PERIOD_SECONDS)
            .max(1),
        ..ends.clone()
    };
    ProbeRules { startup_timeout, startup, readiness, liveness }
}

fn probe_rule(probe: Option<&Probe>, usual: Check) -> ProbeRule {
    let empty = Probe::default();
    let probe = probe.unwrap_or(&empty);
    let check = match (&probe.path, &probe.command) {
        (Some(path), _) => Check::Http(path.clone()),
        (None, Some(command)) => Check::Command(command.clone()),
        (None, None) => usual,
    };
    ProbeRule {
        check,
        period_seconds: probe.period_seconds.unwrap_or(PERIOD_SECONDS).max(1),
        timeout_seconds: probe.timeout_seconds.unwrap_or(TIMEOUT_SECONDS).max(1),
        failure_threshold: probe.failure_threshold.unwrap_or(FAILURE_THRESHOLD).max(1),
    }
}

fn service(spec: Option<&ServiceSpec>, role: Role, notes: &mut Notes) -> ServiceRules {
    let Some(spec) = spec else { return ServiceRules::default() };
    let name = role.field();
    let kind = spec.kind.unwrap_or_default();
    let balanced = spec.load_balancer_class.is_some() || spec.load_balancer_source_ranges.is_some();
    if balanced && kind != ServiceKind::LoadBalancer {
        notes.wrong(format!("{name}.service.type"), sentences::LOAD_BALANCER);
    }
    let per_pod = spec.per_pod.unwrap_or_default();
    if per_pod && !matches!(role, Role::Session | Role::Drmdata) {
        notes.wrong(
            format!("{name}.service.perPod"),
            format!("{name}.service.perPod is for SessionServers and drmdata only: remove it"),
        );
    }
    if role == Role::Data {
        notes.warn(
            "data.service",
            "data.service has no effect, DataServers have no port for clients: remove it",
        );
    }
    ServiceRules {
        kind,
        per_pod,
        annotations: spec.annotations.clone().unwrap_or_default(),
        load_balancer_class: spec.load_balancer_class.clone(),
        source_ranges: spec.load_balancer_source_ranges.clone().unwrap_or_default(),
    }
}
