//! Services: a headless one for each role, which gives its members their names, and those for clients.
//!
//! May import `api`, `plan::Desired` and `validate`.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::{self, Labels};
use super::server::{Shape, client_ports, numbered, reachable};
use crate::api::objects;
use crate::api::v1alpha1::{Role, ServiceKind};
use crate::plan::Desired;
use crate::validate::{Common, Product, ValidComponent};

/// The label that Kubernetes gives each pod of a StatefulSet.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";

/// All Services of a cluster.
pub(super) fn services(shape: &Shape, desired: &Desired) -> Vec<Service> {
    shape.roles.iter().flat_map(|(component, _)| of_role(shape.common, component, desired)).collect()
}

fn of_role(common: &Common, component: &ValidComponent, desired: &Desired) -> Vec<Service> {
    let mut services = vec![headless(common, component)];
    let (ports, _) = client_ports(common.product, component.role);
    if ports.is_empty() {
        return services;
    }
    let cluster = &common.identity.name;
    let selector = names::role_selector(common, component.role);
    let name = names::client_service_name(cluster, component.role);
    services.push(for_clients(common, component, name, selector.clone()));
    if component.service.per_pod {
        // A server that is still to be taken away keeps its own until it is gone.
        let now = desired.roles.get(&component.role).map_or(0, |role| role.replicas);
        services.extend((0..component.replicas.max(now)).map(|ordinal| {
            let name = format!("{}-{ordinal}", objects::role_name(cluster, component.role));
            let mut selector = selector.clone();
            selector.insert(POD_NAME.to_owned(), name.clone());
            for_clients(common, component, name, selector)
        }));
    }
    services
}

fn headless(common: &Common, component: &ValidComponent) -> Service {
    // Metas look each other up before they are Ready, and PowerJob binds what its own name says.
    let early = component.role == Role::Meta || common.product == Product::PowerJob;
    Service {
        metadata: names::role_metadata(
            common,
            component,
            objects::role_name(&common.identity.name, component.role),
        ),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: early.then_some(true),
            selector: Some(names::role_selector(common, component.role)),
            ports: Some(ports(reachable(component))),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn for_clients(common: &Common, component: &ValidComponent, name: String, selector: Labels) -> Service {
    let rules = &component.service;
    let (names_of_ports, _) = client_ports(common.product, component.role);
    let mut metadata = names::role_metadata(common, component, name);
    metadata.annotations = (!rules.annotations.is_empty()).then(|| rules.annotations.clone());
    let ranges: Vec<_> = rules.source_ranges.iter().map(ToString::to_string).collect();
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(kind(rules.kind).to_owned()),
            selector: Some(selector),
            ports: Some(ports(numbered(component, names_of_ports))),
            load_balancer_class: rules.load_balancer_class.clone(),
            load_balancer_source_ranges: (!ranges.is_empty()).then_some(ranges),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

const fn kind(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::ClusterIP => "ClusterIP",
        ServiceKind::NodePort => "NodePort",
        ServiceKind::LoadBalancer => "LoadBalancer",
    }
}

fn ports(ports: impl IntoIterator<Item = (&'static str, u16)>) -> Vec<ServicePort> {
    let port = |(name, number): (&str, u16)| ServicePort {
        name: Some(name.to_owned()),
        port: number.into(),
        // By name: the number stands in the pod.
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    };
    ports.into_iter().map(port).collect()
}
