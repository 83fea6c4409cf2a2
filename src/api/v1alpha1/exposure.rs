//! Consoles, and how people reach them.
//!
//! May import `types`, `cel` and `component`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cel::{CelRule, attach};
use super::component::ComponentSpec;
use crate::types::{DnsLabel, Host, ImageName, ObjectName};

/// The console of a cluster: a component with an image and a way in of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsoleSpec {
    /// The image of the console, of the version of `spec.version`. Absent: `spec.image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageName>,
    /// How people reach it from outside. Absent: by its Service only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// What every component has, its rules included.
    #[serde(flatten)]
    pub component: ComponentSpec,
}

/// An Ingress or a route of a Gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = exposure_rules)]
pub struct Exposure {
    /// An Ingress. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressRoute>,
    /// An `HTTPRoute` of the Gateway API. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayRoute>,
}

fn exposure_rules(schema: &mut schemars::Schema) {
    attach(
        schema,
        &[CelRule::new(
            ".gateway",
            "!has(self.ingress) || !has(self.gateway)",
            "exposure is by ingress or by gateway, not by both: remove one of them",
        )],
    );
}

/// An Ingress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressRoute {
    /// The host name that people type.
    pub host: Host,
    /// Its `IngressClass`. Absent: the cluster's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_name: Option<ObjectName>,
    /// The Secret with the certificate. Absent: plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_secret_name: Option<ObjectName>,
    /// Annotations for the Ingress. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 4096}))]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// A route of a Gateway that is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRoute {
    /// The Gateway.
    pub name: ObjectName,
    /// Its namespace. Absent: that of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<DnsLabel>,
    /// Which of its listeners. Absent: all that allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<ObjectName>,
    /// The host name that people type.
    pub host: Host,
}
