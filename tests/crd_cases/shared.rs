//! Cases of the rules that every component, or every kind, has.

use serde_json::{Value, json};

use super::examples::{ANT, DRM, POWERJOB, REGISTRY, REGISTRY6};
use super::{About, Case};

/// A kind, a spec of it, and its roles, each with the size that its volume has without a word and a port of it.
type Kind<'a> = (&'static str, &'a Value, &'a [(&'a str, &'a str, &'a str)]);

/// Roles that may have a Service for each server.
const PER_POD: [&str; 2] = ["session", "drmdata"];

pub(super) fn add(cases: &mut Vec<Case>) {
    let kinds: [Kind; 3] = [
        (
            "RegistryCluster",
            &REGISTRY,
            &[("meta", "240Gi", "raft"), ("data", "40Gi", "sync"), ("session", "40Gi", "client")],
        ),
        ("DrmCluster", &DRM, &[("drmdata", "40Gi", "client"), ("console", "40Gi", "management")]),
        ("SchedulerCluster", &ANT, &[("server", "40Gi", "client"), ("console", "40Gi", "http")]),
    ];
    for (kind, base, roles) in kinds {
        for (role, size, port) in roles {
            storage(cases, kind, base, role, size);
            component(cases, kind, base, role, port);
        }
        policy(cases, kind, base);
        peers(cases, kind, base);
    }
    policy(cases, "SchedulerCluster", &POWERJOB);
    exposure(cases, "DrmCluster", &DRM);
    exposure(cases, "SchedulerCluster", &ANT);
}

fn storage(cases: &mut Vec<Case>, kind: &'static str, base: &Value, role: &str, usual: &str) {
    let all = format!("{role}/storage");
    let class = format!("{all}/storageClassName");
    let size = format!("{all}/size");
    let volume = format!("{all}/type");
    let profile = ("profile", json!("Small"));

    About::new(cases, kind, base, format!("{role}.storage.storageClassName cannot"))
        .refuses_change("another class", &[(&class, json!("fast"))], &[(&class, json!("slow"))])
        .refuses_change("a class added", &[], &[(&class, json!("fast"))])
        .refuses_change(
            "a class added to storage",
            &[(&size, json!(usual))],
            &[(&size, json!(usual)), (&class, json!("fast"))],
        )
        .refuses_change("a class taken away", &[(&class, json!("fast"))], &[(&all, json!({}))])
        .refuses_change("storage taken away", &[(&class, json!("fast"))], &[])
        .refuses_change("component taken away", &[(&class, json!("fast"))], &[(role, Value::Null)])
        .accepts("any at creation", &[(&class, json!("fast"))])
        .accepts_change("the same", &[(&class, json!("fast"))], &[(&class, json!("fast"))])
        .accepts_change("storage added without a class", &[], &[(&all, json!({}))]);

    About::new(cases, kind, base, format!("{role}.storage.size can only grow"))
        .accepts("any at creation", &[(&size, json!("1Mi"))])
        .accepts_change("grown", &[(&size, json!("8Gi"))], &[(&size, json!("9Gi"))])
        .accepts_change("written otherwise", &[(&size, json!("8Gi"))], &[(&size, json!("8192Mi"))])
        .refuses_change("shrunk", &[(&size, json!("8Gi"))], &[(&size, json!("8191Mi"))])
        .refuses_change("of another unit", &[(&size, json!("8Gi"))], &[(&size, json!("8G"))])
        .accepts_change("the usual size said", &[], &[(&size, json!(usual))])
        .refuses_change("less than the usual size said", &[], &[(&size, json!("39Gi"))])
        .accepts_change("a small one taken away", &[(&size, json!("1Gi"))], &[])
        .refuses_change("a large one taken away", &[(&size, json!("500Gi"))], &[])
        .refuses_change(
            "a large one taken away with its component",
            &[(&size, json!("500Gi"))],
            &[(role, Value::Null)],
        )
        .refuses_change("the usual size made Small", &[], std::slice::from_ref(&profile))
        .accepts_change("Small made Guide", std::slice::from_ref(&profile), &[])
        .accepts_change(
            "Small grown",
            std::slice::from_ref(&profile),
            &[profile.clone(), (&size, json!("2Gi"))],
        );
    // The case of the profile shrinks the other roles' volumes too: their rules answer as well.

    let raft_meta = kind == "RegistryCluster" && role == "meta";
    let mut about = About::new(cases, kind, base, format!("{role}.storage.type cannot"));
    about.accepts_change("what absent means is said", &[], &[(&volume, json!("Claim"))]).accepts_change(
        "and taken away",
        &[(&volume, json!("Claim"))],
        &[],
    );
    if raft_meta {
        // Refused by the rule on raft groups too: tried on 6.x, where only this one speaks.
        let mut about = About::new(cases, kind, &REGISTRY6, format!("{role}.storage.type cannot"));
        about.refuses_change("changed", &[], &[(&volume, json!("Ephemeral"))]);
    } else {
        about
            .refuses_change("changed", &[(&volume, json!("Claim"))], &[(&volume, json!("Ephemeral"))])
            .refuses_change("added", &[], &[(&volume, json!("Ephemeral"))])
            .refuses_change("taken away", &[(&volume, json!("Ephemeral"))], &[]);
        let ephemeral = |bytes: &str| [(all.as_str(), json!({"type": "Ephemeral", "size": bytes}))];
        About::new(cases, kind, base, format!("{role}.storage.size can only grow")).accepts_change(
            "an ephemeral one may shrink",
            &ephemeral("8Gi"),
            &ephemeral("4Gi"),
        );
    }
}

fn component(cases: &mut Vec<Case>, kind: &'static str, base: &Value, role: &str, port: &str) {
    let field = |name: &str| format!("{role}/{name}");
    let (heap, limit) = (field("heap"), field("resources/limits/memory"));
    About::new(cases, kind, base, "heap must be smaller")
        .accepts("smaller", &[(&heap, json!("3000Mi")), (&limit, json!("4Gi"))])
        .accepts("Auto", &[(&heap, json!("Auto")), (&limit, json!("4Gi"))])
        .accepts("no limit said", &[(&heap, json!("30000Mi"))])
        .refuses("as large", &[(&heap, json!("4096Mi")), (&limit, json!("4Gi"))])
        .refuses("larger", &[(&heap, json!("8000Mi")), (&limit, json!("4G"))]);

    let (want, most) = (field("resources/requests"), field("resources/limits"));
    About::new(cases, kind, base, "resources.requests.memory must not")
        .accepts("as much", &[(&want, json!({"memory": "1Gi"})), (&most, json!({"memory": "1024Mi"}))])
        .accepts("no limit", &[(&want, json!({"memory": "1Gi"}))])
        .refuses("more", &[(&want, json!({"memory": "2Gi"})), (&most, json!({"memory": "1.5Gi"}))]);
    About::new(cases, kind, base, "resources.requests.cpu must not")
        .accepts("a number and a text", &[(&want, json!({"cpu": 4})), (&most, json!({"cpu": "4000m"}))])
        .accepts("less", &[(&want, json!({"cpu": "500m"})), (&most, json!({"cpu": "0.5"}))])
        .refuses("more", &[(&want, json!({"cpu": "600m"})), (&most, json!({"cpu": "0.5"}))])
        .refuses("more, as numbers", &[(&want, json!({"cpu": 8})), (&most, json!({"cpu": 4}))]);

    let probe = field("probes/readiness");
    About::new(cases, kind, base, "a probe asks by path or by command")
        .accepts("path", &[(&probe, json!({"path": "/health"}))])
        .accepts("command", &[(&probe, json!({"command": ["true"]}))])
        .refuses("both", &[(&probe, json!({"path": "/health", "command": ["true"]}))]);

    let service = field("service");
    About::new(cases, kind, base, "service.loadBalancerClass and")
        .accepts(
            "with the type",
            &[(&service, json!({"type": "LoadBalancer", "loadBalancerClass": "a.example/b"}))],
        )
        .accepts("neither", &[(&service, json!({"type": "NodePort"}))])
        .refuses("class without the type", &[(&service, json!({"loadBalancerClass": "a.example/b"}))])
        .refuses(
            "ranges with another type",
            &[(&service, json!({"type": "ClusterIP", "loadBalancerSourceRanges": ["10.0.0.0/8"]}))],
        );

    if !PER_POD.contains(&role) {
        About::new(cases, kind, base, format!("{role}.service.perPod is for"))
            .accepts("false", &[(&service, json!({"perPod": false}))])
            .accepts("not said", &[(&service, json!({}))])
            .refuses("true", &[(&service, json!({"perPod": true}))]);
    }

    let ports = field("ports");
    if role != "server" {
        About::new(cases, kind, base, format!("{role}.ports: the names"))
            .accepts("a port of it", &[(&ports, json!([{"name": port, "port": 9602}]))])
            .refuses("a port of none", &[(&ports, json!([{"name": "telnet", "port": 23}]))]);
    }
}

fn policy(cases: &mut Vec<Case>, kind: &'static str, base: &Value) {
    let window = |duration: &str| [("rollout/windows", json!([{"cron": "0 1 * * *", "duration": duration}]))];
    About::new(cases, kind, base, "the duration of a window")
        .accepts("three hours", &window("3h"))
        .accepts("a week", &window("168h"))
        .refuses("too short", &window("59s"))
        .refuses("too long", &window("168h1m"));
    let timeout = |text: &str| [("rollout/verify/timeout", json!(text))];
    About::new(cases, kind, base, "rollout.verify.timeout must be")
        .accepts("20m", &timeout("20m"))
        .accepts("not said", &[("rollout/verify/minRecoveryPercent", json!(95))])
        .refuses("no time at all", &timeout("30s"))
        .refuses("more than a day", &timeout("24h1s"));
}

fn peers(cases: &mut Vec<Case>, kind: &'static str, base: &Value) {
    let peer = |fields: Value| [("networkPolicy/extraFrom", json!([fields]))];
    let labels = json!({"matchLabels": {"app": "agent"}});
    About::new(cases, kind, base, "an entry of networkPolicy.extraFrom")
        .accepts("a range", &peer(json!({"ipBlock": {"cidr": "10.0.0.0/8"}})))
        .accepts("pods", &peer(json!({"podSelector": labels})))
        .accepts("pods of namespaces", &peer(json!({"podSelector": labels, "namespaceSelector": {}})))
        .refuses("nothing", &peer(json!({})))
        .refuses("both", &peer(json!({"podSelector": labels, "ipBlock": {"cidr": "10.0.0.0/8"}})));
}

fn exposure(cases: &mut Vec<Case>, kind: &'static str, base: &Value) {
    let (ingress, gateway) =
        (json!({"host": "drm.example"}), json!({"name": "public", "host": "drm.example"}));
    About::new(cases, kind, base, "exposure is by ingress or by gateway")
        .accepts("ingress", &[("console/exposure/ingress", ingress.clone())])
        .accepts("gateway", &[("console/exposure/gateway", gateway.clone())])
        .refuses("both", &[("console/exposure", json!({"ingress": ingress, "gateway": gateway}))]);
}
