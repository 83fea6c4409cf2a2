//! The way in to a console from outside: an Ingress, or a route of a Gateway that is there already.
//!
//! May import `api` and `validate`.

use k8s_openapi::Resource as _;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, IngressTLS, ServiceBackendPort,
};

use super::names;
use super::server::Shape;
use crate::api::http_route::{BackendReference, HttpRoute, HttpRouteRule, HttpRouteSpec, ParentReference};
use crate::api::objects;
use crate::api::v1alpha1::{GatewayRoute, IngressRoute};
use crate::validate::{Common, ValidComponent};

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
        api_version: HttpRoute::API_VERSION.to_owned(),
        kind: HttpRoute::KIND.to_owned(),
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
