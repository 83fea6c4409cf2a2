//! Specs for the tests of `validate` and `build`, and what they are checked against.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};
use sofa_operator::api::v1alpha1::{DrmClusterSpec, RegistryClusterSpec, SchedulerClusterSpec};
use sofa_operator::validate::{
    ClusterKind, Context, Environment, Identity, Invalid, Previous, ReferenceFact, References, SecretFact,
    ValidDrm, ValidRegistry, ValidScheduler, validate_drm, validate_registry, validate_scheduler,
};

/// Everything that a spec is checked against.
#[derive(Debug, Clone)]
pub(crate) struct Around {
    pub(crate) identity: Identity,
    pub(crate) references: References,
    pub(crate) environment: Environment,
    pub(crate) previous: Previous,
}

impl Around {
    pub(crate) fn of(kind: ClusterKind) -> Self {
        let keys = ["username", "password", "user", "pass.word"].map(str::to_owned);
        let secret = SecretFact::Found(BTreeSet::from(keys));
        Self {
            identity: Identity {
                kind,
                namespace: "pay".to_owned(),
                name: "prod".to_owned(),
                uid: "1b4e28ba-2fa1-11d2-883f-0016d3cca427".to_owned(),
            },
            references: References {
                database: secret.clone(),
                operator_login: secret,
                registry: ReferenceFact::Found,
                ..References::default()
            },
            environment: Environment {
                operator_namespace: "sofa-system".to_owned(),
                raft_group: None,
                referrers: Vec::new(),
            },
            previous: Previous::default(),
        }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            identity: &self.identity,
            references: &self.references,
            environment: &self.environment,
            previous: &self.previous,
        }
    }

    pub(crate) fn registry(&self, spec: &Value) -> Result<ValidRegistry, Vec<Invalid>> {
        let spec: RegistryClusterSpec =
            serde_json::from_value(spec.clone()).expect("the spec is well-formed");
        validate_registry(&spec, &self.context())
    }

    pub(crate) fn drm(&self, spec: &Value) -> Result<ValidDrm, Vec<Invalid>> {
        let spec: DrmClusterSpec = serde_json::from_value(spec.clone()).expect("the spec is well-formed");
        validate_drm(&spec, &self.context())
    }

    pub(crate) fn scheduler(&self, spec: &Value) -> Result<ValidScheduler, Vec<Invalid>> {
        let spec: SchedulerClusterSpec =
            serde_json::from_value(spec.clone()).expect("the spec is well-formed");
        validate_scheduler(&spec, &self.context())
    }
}

fn database() -> Value {
    json!({"host": "db.example", "name": "registrymetadb", "secretRef": {"name": "registry-database"}})
}

/// A registry of 5.x, as small as can be.
pub(crate) static REGISTRY: LazyLock<Value> = LazyLock::new(
    || json!({"version": "5.4.3", "image": "localhost/sofa-registry:5.4.3", "dataCenter": "DefaultDataCenter"}),
);

/// A registry of 6.x, as small as can be.
pub(crate) static REGISTRY6: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "version": "6.3.0", "image": "localhost/sofa-registry:6.3.0", "dataCenter": "DefaultDataCenter",
        "database": database(),
    })
});

/// A DRM cluster, as small as can be.
pub(crate) static DRM: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "version": "1.0.0", "image": "localhost/drm:1.0.0", "database": database(),
        "registryRef": {"name": "registry"},
    })
});

/// AntScheduler, as small as can be.
pub(crate) static ANT: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "engine": "AntScheduler", "version": "1.0.0", "image": "localhost/antscheduler:1.0.0",
        "database": database(), "registryRef": {"name": "registry", "namespace": "shared"},
    })
});

/// PowerJob, as small as can be.
pub(crate) static POWERJOB: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "engine": "PowerJob", "version": "4.3.9", "image": "localhost/powerjob:4.3.9",
        "database": {"host": "db.example", "name": "powerjob", "secretRef": {"name": "powerjob-database"}},
    })
});

/// A registry of 6.x with everything set.
pub(crate) static REGISTRY_FULL: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "version": "6.3.0", "image": "registry.example/sofa-registry:6.3.0@sha256:00ff", "dataCenter": "dc-a",
        "region": "ZONE_A", "membership": "Database",
        "meta": {
            "replicas": 5, "storage": {"type": "Ephemeral", "size": "10Gi"}, "ports": [{"name": "http", "port": 9715}],
            "resources": {"limits": {"cpu": "2", "memory": "4Gi"}},
            "podTemplate": {"spec": {"affinity": {"podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [],
            }}}},
        },
        "data": {
            "replicas": 4, "heap": "5000Mi", "storage": {"size": "80Gi", "storageClassName": "fast"},
            "ports": [{"name": "session", "port": 9602}, {"name": "sync", "port": 9604}, {"name": "http", "port": 9606}],
            "probes": {
                "startupTimeout": "10m", "readiness": {"path": "/health", "periodSeconds": 5},
                "liveness": {"command": ["sh", "-c", "true"], "timeoutSeconds": 9, "failureThreshold": 6},
            },
        },
        "session": {
            "resources": {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
            "service": {
                "type": "LoadBalancer", "perPod": true, "annotations": {"lb.example/kind": "internal"},
                "loadBalancerClass": "lb.example/internal", "loadBalancerSourceRanges": ["10.0.0.0/8"],
            },
            "podTemplate": {
                "metadata": {"labels": {"team": "middleware"}, "annotations": {"scrape": "true"}},
                "spec": {
                    "priorityClassName": "high", "imagePullSecrets": [{"name": "pull"}],
                    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
                    "containers": [
                        {"name": "session", "env": [{"name": "JAVA_TOOL_OPTIONS", "value": "-Dx=y"}]},
                        {"name": "logs", "image": "localhost/logs:1", "volumeMounts": [{"name": "home", "mountPath": "/logs"}]},
                    ],
                },
            },
        },
        "database": {
            "host": "db.example", "port": 3307, "name": "registry_db",
            "secretRef": {"name": "database", "usernameKey": "user", "passwordKey": "pass.word"},
            "parameters": {"useSSL": "true", "connectTimeout": "3000"},
        },
        "push": {"hold": true}, "pushGroup": "city",
        "remoteSites": [{"name": "west", "metaAddresses": ["10.1.0.1"], "cidrs": ["10.1.0.0/16"], "closePush": true}],
        "recovery": {"metaMajority": {
            "mode": "Automatic", "confirm": {"incident": "a1b2", "survivor": "meta-0"},
        }},
        "rollout": {
            "strategy": "TwoGroups", "approval": "Manual", "approved": "0123456789abcdef",
            "windows": [{"cron": "30 1 * * 2-4", "duration": "3h", "timeZone": "Asia/Shanghai"}],
            "verify": {"minRecoveryPercent": 95, "timeout": "30m", "onTimeout": "Reopen"},
        },
        "paused": true, "restart": "new certificate", "profile": "Guide",
        "networkPolicy": {"extraFrom": [
            {"ipBlock": {"cidr": "192.168.0.0/24"}},
            {"podSelector": {"matchLabels": {"app": "prober"}}, "namespaceSelector": {"matchLabels": {"a": "b"}}},
            {"namespaceSelector": {}},
        ]},
        "deletionPolicy": "DeleteData",
    })
});

/// A DRM cluster with another site, a load balancer for each drmdata and an Ingress.
pub(crate) static DRM_FULL: LazyLock<Value> = LazyLock::new(|| {
    let mut spec = DRM.clone();
    spec["drmdata"] = json!({"replicas": 3, "service": {"type": "LoadBalancer", "perPod": true}});
    spec["console"] = json!({
        "image": "localhost/dsrconsole:1.0.0",
        "exposure": {"ingress": {
            "host": "drm.example", "className": "nginx", "tlsSecretName": "drm-tls", "annotations": {"a.example/b": "c"},
        }},
        "resources": {"limits": {"memory": "8Gi"}},
    });
    spec["remoteSites"] = json!([{"name": "west", "drmdataAddresses": ["10.1.0.5", "10.1.0.6:9871"], "cidrs": ["10.1.0.0/16"]}]);
    spec
});

/// AntScheduler with a message queue and a route of a Gateway.
pub(crate) static ANT_FULL: LazyLock<Value> = LazyLock::new(|| {
    let mut spec = ANT.clone();
    spec["mq"] = json!({"address": "mq.example"});
    spec["console"] = json!({"exposure": {"gateway": {
        "name": "public", "namespace": "gateways", "sectionName": "https", "host": "tasks.example",
    }}});
    spec
});

/// What is put into a base spec: a JSON pointer and a value; `null` takes it out.
pub(crate) type Edits<'a> = &'a [(&'a str, Value)];

/// The spec with these edits.
pub(crate) fn edited(base: &Value, edits: Edits) -> Value {
    let mut spec = base.clone();
    for (path, value) in edits {
        let (parent, last) = path.rsplit_once('/').expect("a pointer");
        let mut at = &mut spec;
        for part in parent.split('/').skip(1) {
            if at.get(part).is_none() {
                at[part] = json!({});
            }
            at = &mut at[part];
        }
        if value.is_null() {
            at.as_object_mut().expect("a map").remove(last);
        } else {
            at[last] = value.clone();
        }
    }
    spec
}
