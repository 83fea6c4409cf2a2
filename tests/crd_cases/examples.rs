//! The smallest spec of each kind, one with every field, and one status with every field.

use std::sync::LazyLock;

use serde_json::{Value, json};

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
        "database": database(), "registryRef": {"name": "registry"},
    })
});

/// PowerJob, as small as can be.
pub(crate) static POWERJOB: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "engine": "PowerJob", "version": "4.3.9", "image": "localhost/powerjob:4.3.9", "database": database(),
    })
});

/// The smallest specs: kind, a name, the spec.
pub(crate) fn smallest() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("RegistryCluster", "small-5", REGISTRY.clone()),
        ("RegistryCluster", "small-6", REGISTRY6.clone()),
        ("DrmCluster", "small", DRM.clone()),
        ("SchedulerCluster", "small-ant", ANT.clone()),
        ("SchedulerCluster", "small-powerjob", POWERJOB.clone()),
        ("PushGroup", "small", json!({})),
    ]
}

fn full_database() -> Value {
    json!({
        "host": "db.example", "port": 3307, "name": "registry_db",
        "secretRef": {"name": "database", "usernameKey": "user", "passwordKey": "pass.word"},
        "parameters": {"useSSL": "false"},
    })
}

/// A component with every field.
fn component(port: &str, per_pod: bool) -> Value {
    json!({
        "replicas": 3,
        "resources": {
            "requests": {"cpu": 2, "memory": "4Gi"},
            "limits": {"cpu": "4", "memory": "8Gi"},
        },
        "storage": {"type": "Claim", "size": "240Gi", "storageClassName": "fast"},
        "heap": "6144Mi",
        "ports": [{"name": port, "port": 9602}],
        "probes": {
            "startupTimeout": "5m",
            "readiness": {"path": "/health/check", "periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 3},
            "liveness": {"command": ["sh", "-c", "true"]},
        },
        "service": {
            "type": "LoadBalancer", "perPod": per_pod, "annotations": {"lb.example/kind": "internal"},
            "loadBalancerClass": "lb.example/internal", "loadBalancerSourceRanges": ["10.0.0.0/8"],
        },
        "podTemplate": {
            "metadata": {"labels": {"team": "middleware"}},
            "spec": {"priorityClassName": "high", "containers": [{"name": "meta", "env": [{"name": "A", "value": "1"}]}]},
        },
    })
}

/// What all kinds share, with every field.
fn common(spec: Value) -> Value {
    let mut spec = spec;
    let shared = json!({
        "rollout": {
            "strategy": "OneByOne", "approval": "Manual", "approved": "0123456789abcdef",
            "windows": [{"cron": "30 1 * * 2-4", "duration": "3h", "timeZone": "Asia/Shanghai"}],
            "verify": {"minRecoveryPercent": 95, "timeout": "30m", "onTimeout": "Reopen"},
        },
        "paused": false,
        "restart": "new certificate",
        "profile": "Small",
        "networkPolicy": {"extraFrom": [
            {"ipBlock": {"cidr": "192.168.0.0/24"}},
            {"podSelector": {"matchLabels": {"app": "prober"}}, "namespaceSelector": {"matchLabels": {"a": "b"}}},
        ]},
        "deletionPolicy": "DeleteData",
    });
    if let (Value::Object(fields), Value::Object(more)) = (&mut spec, shared) {
        fields.extend(more);
    }
    spec
}

fn full_console() -> Value {
    let mut console = component("http", false);
    console["image"] = json!("localhost/console:1.0.0");
    console["exposure"] = json!({"ingress": {
        "host": "drm.example", "className": "nginx", "tlsSecretName": "drm-tls", "annotations": {"a.example/b": "c"},
    }});
    console
}

/// Specs with every field: kind, a name, the spec.
pub(crate) fn full() -> Vec<(&'static str, &'static str, Value)> {
    let registry = json!({
        "version": "6.3.0", "image": "localhost/sofa-registry:6.3.0@sha256:00ff", "dataCenter": "DefaultDataCenter",
        "region": "DEFAULT_ZONE", "membership": "Auto",
        "meta": component("http", false), "data": component("sync", false), "session": component("client", true),
        "database": full_database(),
        "push": {"hold": true},
        "pushGroup": "city",
        "remoteSites": [{
            "name": "west", "metaAddresses": ["10.1.0.1", "meta-0.west.example:9615"], "cidrs": ["10.1.0.0/16"],
            "closePush": true,
        }],
        "recovery": {
            "metaMajority": {"mode": "Manual", "confirm": {"incident": "a1b2", "survivor": "registry-meta-0"}},
            "volumeLost": "Manual",
        },
        "workarounds": {"renewSwitch": "Never"},
    });
    let drm = json!({
        "version": "1.0.0", "image": "localhost/drm:1.0.0", "database": full_database(),
        "registryRef": {"name": "registry", "namespace": "other"},
        "drmdata": component("client", true), "console": full_console(),
        "dependencies": [{"name": "address-service", "healthUrl": "http://acvip:8080/health?deep=true"}],
        "connectionCounting": "Disabled",
        "remoteSites": [{"name": "west", "drmdataAddresses": ["10.1.0.5:9870"], "cidrs": ["10.1.0.0/16"]}],
    });
    let mut gateway = full_console();
    gateway["exposure"] = json!({"gateway": {
        "name": "public", "namespace": "gateways", "sectionName": "https", "host": "tasks.example",
    }});
    let ant = json!({
        "engine": "AntScheduler", "version": "1.0.0", "image": "localhost/antscheduler:1.0.0",
        "database": full_database(), "registryRef": {"name": "registry"},
        "server": component("client", false), "console": gateway, "mq": {"address": "mq.example:9529"},
        "dependencies": [{"name": "tenant-service", "healthUrl": "https://tenant/health"}],
        "connectionCounting": "Enabled", "taskGate": {"path": "/tasks"},
    });
    let powerjob = json!({
        "engine": "PowerJob", "version": "4.3.9", "image": "localhost/powerjob:4.3.9", "database": full_database(),
        "server": component("akka", false),
        "powerjob": {"databaseSecretRef": {"name": "operator-rights"}, "retryLost": "Enabled"},
    });
    let group = json!({
        "holders": [{
            "namespace": "a", "name": "registry", "uid": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
            "since": "2026-11-21T01:02:03Z", "why": "rollout 6.3.0",
        }],
        "actor": {
            "namespace": "a", "name": "registry", "uid": "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "rollout": "r-17",
            "since": "2026-11-21T01:02:03Z",
        },
    });
    vec![
        ("RegistryCluster", "full", common(registry)),
        ("DrmCluster", "full", common(drm)),
        ("SchedulerCluster", "full-ant", common(ant)),
        ("SchedulerCluster", "full-powerjob", common(powerjob)),
        ("PushGroup", "full", group),
    ]
}

/// A status with every field.
pub(crate) fn status() -> Value {
    let uid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
    let time = "2026-11-21T01:02:03Z";
    json!({
        "observedGeneration": 7,
        "conditions": [{
            "type": "Ready", "status": "False", "reason": "RollingOut", "message": "2 of 8 members are done",
            "lastTransitionTime": time, "observedGeneration": 7,
        }],
        "ready": "7/8",
        "members": [{
            "name": "registry-meta-0", "role": "Meta", "state": "Leader", "podUid": uid, "address": "10.200.1.7",
            "knownAs": "10.200.1.4",
            "version": "6.3.0", "revision": "registry-meta-5c9d", "since": time, "message": "restarts often",
        }],
        "rollout": {
            "id": "g7-0123456789abcdef", "planId": "0123456789abcdef", "state": "Acting",
            "steps": [
                {"kind": "ClosePush", "state": "Done"},
                {"kind": "ChangeRole", "role": "Meta", "state": "Current", "done": [uid]},
            ],
            "act": {
                "key": "restartpods-b1cf51e168dd", "kind": "RestartPods",
                "targets": [{"member": "registry-meta-1", "podUid": uid}], "writtenAt": time, "doneAt": time,
            },
            "metasSinceClose": true,
            "baseline": {
                "publishers": 120, "subscribers": 80, "watchers": 0, "connections": 40, "idsWithPublishers": 30,
                "countedAt": time,
            },
            "startedAt": time, "deadline": "2026-11-21T01:22:03Z", "attempts": 1, "admitted": true, "lastActAt": time,
            "countingSince": time, "countsRightSince": time,
            "halted": "SessionUnreachable", "message": "registry-session-1 cannot be asked",
        },
        "push": {"state": "Closed", "owner": "Operator", "since": time, "group": "city", "why": "a rollout is under way"},
        "plan": ["restart registry-meta-1: its template is old"],
        "waitingOn": [{"reason": "WaitingForPeers", "subject": "registry-meta-1", "since": time}],
        "incident": {"id": "a1b2", "reason": "MetaMajorityLost", "since": time, "survivors": ["registry-meta-0"]},
        "lastLeader": "registry-meta-0",
        "scale": {"replicas": 2, "selector": "app.kubernetes.io/instance=registry"},
    })
}
