//! The pod template of a role: what the operator makes, and a person's overlay over it.
//!
//! What makes it work was proved by hand on the real servers: `tests/ground/manifests`.
//!
//! May import `api`, `types` and `validate`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
    PodAffinityTerm, PodAntiAffinity, PodSchedulingGate, PodSecurityContext, PodSpec, PodTemplateSpec,
    ResourceRequirements, SeccompProfile, SecurityContext, Sysctl, TopologySpreadConstraint, Volume,
    VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::server::{ConfigFile, Server, Shape, env, env_of_field, reachable};
use super::{names, overlay, probes, revision};
use crate::api::objects;
use crate::api::objects::HOME;
use crate::api::v1alpha1::{Profile, Role};
use crate::types::fingerprint;
use crate::validate::{Common, SizedResources, SizedStorage, ValidComponent};

/// The name of the volume with a server's home: its data, its logs.
const HOME_FOLDER: &str = "/home/sofa";
const CONFIG_VOLUME: &str = "config";
/// What the guard of a raft meta's volume runs. It sets raft data aside where a person wants it. A volume may be lost after its
/// meta was let in, and two metas that start on empty volumes elect each other and form a new, empty cluster (measured:
/// sofaregistry §1, fact 5; §6).
const GUARD: &str = r#"case $RAFT_DATA in
"$ASIDE"*)
  # Once for each token: the pod may be started again.
  kept=$DATA.${RAFT_DATA#"$ASIDE"}
  [ -e "$kept" ] || [ ! -e "$DATA" ] || mv "$DATA" "$kept"
  exit ;;
esac
[ "$RAFT_DATA" != "$BLANK" ] || exit 0
inside=
if [ -e "$DATA" ]; then
  # Not to be read is not to be empty.
  inside=$(ls -A "$DATA") || exit 1
fi
[ -n "$inside" ] || {
  echo "$DATA is empty, and this meta was not let in as a blank one" > /dev/termination-log
  exit "$VOLUME_EMPTY"
}
"#;
/// Where a meta of 5.x keeps its raft log, in its home.
const RAFT_FOLDER: &str = "raftData";
/// The group of the images' user, so that it can write to its volume.
const GROUP_ID: i64 = 10001;
const NODE: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// The pod template of a role, with its revision as a label.
pub(super) fn template(shape: &Shape, component: &ValidComponent, server: &Server) -> PodTemplateSpec {
    let common = shape.common;
    let generated = PodTemplateSpec {
        metadata: Some(metadata(shape, component)),
        spec: Some(pod(shape, component, server)),
    };
    let mut template = laid_over(generated, component);
    // Checked by `validate`, and set again all the same: Services and admission depend on them.
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.extend(names::role_labels(common, component.role));
    template.spec.get_or_insert_default().scheduling_gates = gates(server);
    revision::with_revision(template)
}

/// The template with the overlay over it. The overlay is part of a pod template (`validate` checked it), so what comes
/// out is one too.
fn laid_over(generated: PodTemplateSpec, component: &ValidComponent) -> PodTemplateSpec {
    let merged = component.overlay.as_ref().and_then(|overlay| {
        let base = serde_json::to_value(&generated).ok()?;
        serde_json::from_value(overlay::overlaid(base, &overlay.0)).ok()
    });
    merged.unwrap_or(generated)
}

fn metadata(shape: &Shape, component: &ValidComponent) -> ObjectMeta {
    let restart = shape.common.restart.clone().map(|text| (objects::RESTART.to_owned(), text));
    // A file in a ConfigMap changes in a running pod, and its server does not read it again.
    let config = shape.config_file.as_ref().map(|file| (objects::CONFIG.to_owned(), fingerprint(&file.text)));
    let annotations: BTreeMap<_, _> = restart.into_iter().chain(config).collect();
    ObjectMeta {
        labels: Some(names::role_labels(shape.common, component.role)),
        annotations: (!annotations.is_empty()).then_some(annotations),
        ..ObjectMeta::default()
    }
}

fn gates(server: &Server) -> Option<Vec<PodSchedulingGate>> {
    server.gated.then(|| vec![PodSchedulingGate { name: objects::ADMISSION_GATE.to_owned() }])
}

fn pod(shape: &Shape, component: &ValidComponent, server: &Server) -> PodSpec {
    let common = shape.common;
    PodSpec {
        affinity: affinity(common, component.role),
        automount_service_account_token: Some(false),
        containers: vec![container(shape, component, server)],
        init_containers: server.gated.then(|| vec![guard(component)]),
        // Variables of other Services could be taken for properties: Spring reads `META_SERVER_PORT` as `meta.server.port`.
        enable_service_links: Some(false),
        scheduling_gates: gates(server),
        security_context: Some(PodSecurityContext {
            fs_group: Some(GROUP_ID),
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            sysctls: low_ports(component),
            ..PodSecurityContext::default()
        }),
        service_account_name: Some(names::cluster_name(common)),
        termination_grace_period_seconds: Some(server.grace_seconds),
        topology_spread_constraints: Some(
            [NODE, ZONE].map(|key| spread(common, component.role, key)).to_vec(),
        ),
        volumes: volumes(shape, component),
        ..PodSpec::default()
    }
}

/// A port below 1024 without any right: this sysctl is one of those that Pod Security allows.
fn low_ports(component: &ValidComponent) -> Option<Vec<Sysctl>> {
    let low = component.ports.iter().any(|(_, number)| number < 1024);
    low.then(|| {
        vec![Sysctl { name: "net.ipv4.ip_unprivileged_port_start".to_owned(), value: "0".to_owned() }]
    })
}

/// At most one meta a node: a node that fails must not take a majority along. On a laptop there is but one node.
fn affinity(common: &Common, role: Role) -> Option<Affinity> {
    let term = PodAffinityTerm {
        label_selector: Some(names::selector(names::role_selector(common, role))),
        topology_key: NODE.to_owned(),
        ..PodAffinityTerm::default()
    };
    let anti = match (role, common.profile) {
        (Role::Meta, Profile::Guide) => PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![term]),
            ..PodAntiAffinity::default()
        },
        (Role::Meta, Profile::Small) => PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                pod_affinity_term: term,
                weight: 100,
            }]),
            ..PodAntiAffinity::default()
        },
        _ => return None,
    };
    Some(Affinity { pod_anti_affinity: Some(anti), ..Affinity::default() })
}

fn spread(common: &Common, role: Role, key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        label_selector: Some(names::selector(names::role_selector(common, role))),
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    }
}

fn home() -> VolumeMount {
    VolumeMount { name: HOME.to_owned(), mount_path: HOME_FOLDER.to_owned(), ..VolumeMount::default() }
}

/// What a container of a server may do: nothing beside what its user may.
fn unprivileged() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        ..SecurityContext::default()
    }
}

/// The init container that lets a raft meta start only on the volume with which it was let in.
fn guard(component: &ValidComponent) -> Container {
    Container {
        name: objects::RAFT_DATA_GUARD.to_owned(),
        image: Some(component.image.to_string()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(["/bin/sh", "-c", GUARD].map(str::to_owned).to_vec()),
        env: Some(vec![
            env_of_field("RAFT_DATA", &format!("metadata.annotations['{}']", objects::RAFT_DATA)),
            env("BLANK", objects::BLANK),
            env("ASIDE", objects::ASIDE),
            env("DATA", format!("{HOME_FOLDER}/{RAFT_FOLDER}")),
            env("VOLUME_EMPTY", objects::VOLUME_EMPTY.to_string()),
        ]),
        // The same as the server's, so that the pod needs no more than that.
        resources: Some(resources(&component.resources)),
        security_context: Some(unprivileged()),
        volume_mounts: Some(vec![home()]),
        ..Container::default()
    }
}

fn container(shape: &Shape, component: &ValidComponent, server: &Server) -> Container {
    let probes = &component.probes;
    let config = shape.config_file.as_ref().map(|file| VolumeMount {
        name: CONFIG_VOLUME.to_owned(),
        mount_path: file.folder.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    });
    Container {
        name: component.role.field().to_owned(),
        image: Some(component.image.to_string()),
        // What a tag points to may change; a pod that is made again must not get another version by that.
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: (!server.args.is_empty()).then(|| server.args.clone()),
        env: Some(variables(component, server)),
        ports: Some(reachable(component).map(|(name, number)| port(name, number)).collect()),
        startup_probe: Some(probes::probe(&probes.startup)),
        readiness_probe: Some(probes::probe(&probes.readiness)),
        liveness_probe: Some(probes::probe(&probes.liveness)),
        resources: Some(resources(&component.resources)),
        security_context: Some(unprivileged()),
        volume_mounts: Some(std::iter::once(home()).chain(config).collect()),
        ..Container::default()
    }
}

fn variables(component: &ValidComponent, server: &Server) -> Vec<EnvVar> {
    let heap = format!("-Xmx{}m", component.heap_mib);
    let options: Vec<_> = std::iter::once(heap.as_str()).chain(server.java_options.iter().copied()).collect();
    let mut variables = server.env.clone();
    variables.push(env("JAVA_OPTS", options.join(" ")));
    variables
}

fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort { name: Some(name.to_owned()), container_port: number.into(), ..ContainerPort::default() }
}

fn resources(sizes: &SizedResources) -> ResourceRequirements {
    let quantity = |key: &str, text: String| (key.to_owned(), Quantity(text));
    let limits = sizes.cpu_limit.iter().map(|cpu| quantity("cpu", cpu.to_string()));
    ResourceRequirements {
        requests: Some(
            [
                quantity("cpu", sizes.cpu_request.to_string()),
                quantity("memory", sizes.memory_request.to_string()),
            ]
            .into(),
        ),
        limits: Some(limits.chain([quantity("memory", sizes.memory_limit.to_string())]).collect()),
        ..ResourceRequirements::default()
    }
}

fn volumes(shape: &Shape, component: &ValidComponent) -> Option<Vec<Volume>> {
    let home = match &component.storage {
        // The claim comes from the StatefulSet.
        SizedStorage::Claim { .. } => None,
        SizedStorage::Ephemeral { size } => Some(Volume {
            name: HOME.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                medium: None,
                size_limit: Some(Quantity(size.to_string())),
            }),
            ..Volume::default()
        }),
    };
    let config = shape.config_file.as_ref().map(|_: &ConfigFile| Volume {
        name: CONFIG_VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: names::config_name(shape.common),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    });
    let volumes: Vec<_> = home.into_iter().chain(config).collect();
    (!volumes.is_empty()).then_some(volumes)
}
