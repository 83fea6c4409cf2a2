//! NetworkPolicies: clients reach the ports that are for them, and nobody but friends reaches the others.
//!
//! `/manage/*` of a meta and everything of a PowerJob server ask for no password: this is their only lock. The kubelet's
//! probes come from the pod's own node and always pass.
//!
//! May import `api` and `validate`.

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::{self, Labels};
use super::server::{Shape, client_ports, numbered};
use crate::api::objects;
use crate::api::v1alpha1::{NetworkPeer, PeerSelector};
use crate::validate::{ClusterKind, Common, Product, ValidComponent};

const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The policy of each role.
pub(super) fn network_policies(shape: &Shape) -> Vec<NetworkPolicy> {
    shape.roles.iter().map(|(component, _)| policy(shape.common, component)).collect()
}

fn policy(common: &Common, component: &ValidComponent) -> NetworkPolicy {
    let (_, open) = client_ports(common.product, component.role);
    let open: Vec<_> = numbered(component, open).into_iter().map(|(_, number)| port(number)).collect();
    let everybody = (!open.is_empty()).then_some(NetworkPolicyIngressRule { from: None, ports: Some(open) });
    // All ports: which ones the servers use among themselves differs between editions.
    let friends = NetworkPolicyIngressRule { from: Some(friends(common)), ports: None };
    NetworkPolicy {
        metadata: names::role_metadata(
            common,
            component,
            objects::role_name(&common.identity.name, component.role),
        ),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(names::selector(names::role_selector(common, component.role))),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(everybody.into_iter().chain([friends]).collect()),
            ..NetworkPolicySpec::default()
        }),
    }
}

fn port(number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(number.into())),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    }
}

/// The cluster's own pods, the operator, those that refer to it, PowerJob's workers, other sites, and whom a person names.
fn friends(common: &Common) -> Vec<NetworkPolicyPeer> {
    let rules = &common.network;
    let own = pods(None, names::cluster_selector(common.product, &common.identity.name));
    let operator = pods(Some(&rules.operator_namespace), names::labels([(objects::APP, objects::OPERATOR)]));
    let workers = (common.product == Product::PowerJob)
        .then(|| pods(None, names::labels([(objects::WORKER_OF, &common.identity.name)])));
    let referrers = rules.referrers.iter().map(|other| {
        let product = match other.kind {
            ClusterKind::Registry => Product::Registry,
            ClusterKind::Drm => Product::Drm,
            // PowerJob refers to no registry.
            ClusterKind::Scheduler => Product::AntScheduler,
        };
        pods(Some(&other.namespace), names::cluster_selector(product, &other.name))
    });
    let sites = rules.cidrs.iter().map(|cidr| block(cidr.to_string()));
    let extra = rules.extra_from.iter().map(named_by_a_person);
    [own, operator].into_iter().chain(workers).chain(referrers).chain(sites).chain(extra).collect()
}

/// Pods with these labels, in one namespace or in that of the cluster.
fn pods(namespace: Option<&str>, labels: Labels) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: namespace.map(|name| names::selector(names::labels([(NAMESPACE_NAME, name)]))),
        pod_selector: Some(names::selector(labels)),
        ip_block: None,
    }
}

fn block(cidr: String) -> NetworkPolicyPeer {
    NetworkPolicyPeer { ip_block: Some(IPBlock { cidr, except: None }), ..NetworkPolicyPeer::default() }
}

fn named_by_a_person(peer: &NetworkPeer) -> NetworkPolicyPeer {
    let selector =
        |selector: &PeerSelector| names::selector(selector.match_labels.clone().unwrap_or_default());
    match &peer.ip_block {
        Some(range) => block(range.cidr.to_string()),
        None => NetworkPolicyPeer {
            namespace_selector: peer.namespace_selector.as_ref().map(selector),
            pod_selector: peer.pod_selector.as_ref().map(selector),
            ip_block: None,
        },
    }
}
