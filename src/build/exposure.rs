//! The way in to a console from outside: an Ingress, or a route of a Gateway that is there already.
//!
//! May import `api` and `validate`.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, IngressTLS, ServiceBackendPort,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::names;
use super::server::Shape;
use crate::api::objects;
use crate::api::v1alpha1::{GatewayRoute, IngressRoute};
use crate::validate::{Common, ValidComponent};

/// An `HTTPRoute` of the Gateway API: only the fields that the operator writes. Kubernetes' own types do not have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What it does.
    pub spec: HttpRouteSpec,
}

impl HttpRoute {
    /// `apiVersion` of the object.
    pub const API_VERSION: &str = "gateway.networking.k8s.io/v1";
    /// `kind` of the object.
    pub const KIND: &str = "HTTPRoute";
}

/// What an `HTTPRoute` does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    /// The Gateways that serve it.
    pub parent_refs: Vec<ParentReference>,
    /// The host names that people type.
    pub hostnames: Vec<String>,
    /// Where requests go.
    pub rules: Vec<HttpRouteRule>,
}

/// A Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    /// Its name.
    pub name: String,
    /// Its namespace; `None`: that of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// One of its listeners; `None`: all that allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRule {
    /// The Services.
    pub backend_refs: Vec<BackendReference>,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendReference {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: u16,
}

/// The Ingresses of the consoles that ask for one.
pub(super) fn ingresses(shape: &Shape) -> Vec<Ingress> {
    let of = |component: &ValidComponent| {
        let route = component.exposure.as_ref()?.ingress.as_ref()?;
        Some(ingress(shape.common, component, route))
    };
    shape.roles.iter().filter_map(|(component, _)| of(component)).collect()
}

/// The routes of the consoles that ask for one.
pub(super) fn http_routes(shape: &Shape) -> Vec<HttpRoute> {
    let of = |component: &ValidComponent| {
        let gateway = component.exposure.as_ref()?.gateway.as_ref()?;
        Some(http_route(shape.common, component, gateway))
    };
    shape.roles.iter().filter_map(|(component, _)| of(component)).collect()
}

fn ingress(common: &Common, component: &ValidComponent, route: &IngressRoute) -> Ingress {
    let cluster = &common.identity.name;
    let mut metadata = names::role_metadata(common, component, objects::role_name(cluster, component.role));
    metadata.annotations = route.annotations.clone().filter(|annotations| !annotations.is_empty());
    let host = Some(route.host.to_string());
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name: names::client_service_name(cluster, component.role),
            port: Some(ServiceBackendPort { name: Some("http".to_owned()), number: None }),
        }),
        resource: None,
    };
    let path = HTTPIngressPath { backend, path: Some("/".to_owned()), path_type: "Prefix".to_owned() };
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: route.class_name.as_ref().map(ToString::to_string),
            rules: Some(vec![IngressRule {
                host: host.clone(),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            tls: route.tls_secret_name.as_ref().map(|secret| {
                vec![IngressTLS { hosts: host.map(|host| vec![host]), secret_name: Some(secret.to_string()) }]
            }),
            ..IngressSpec::default()
        }),
        status: None,
    }
}

fn http_route(common: &Common, component: &ValidComponent, gateway: &GatewayRoute) -> HttpRoute {
    let cluster = &common.identity.name;
    let name = names::client_service_name(cluster, component.role);
    HttpRoute {
        metadata: names::role_metadata(common, component, objects::role_name(cluster, component.role)),
        spec: HttpRouteSpec {
            parent_refs: vec![ParentReference {
                name: gateway.name.to_string(),
                namespace: gateway.namespace.as_ref().map(ToString::to_string),
                section_name: gateway.section_name.as_ref().map(ToString::to_string),
            }],
            hostnames: vec![gateway.host.to_string()],
            rules: vec![HttpRouteRule {
                backend_refs: component
                    .ports
                    .number("http")
                    .map(|port| BackendReference { name, port })
                    .into_iter()
                    .collect(),
            }],
        },
    }
}
