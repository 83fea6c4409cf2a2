#!/usr/bin/env python3
"""The checks that run.sh runs. Each is a function whose first line of documentation is what is printed; it fails by an
AssertionError with one sentence.

    checks.py [WORD...]      only the checks with one of the words in their names
"""
import copy
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import traceback
from functools import cache
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHART = ROOT / "charts/sofa-operator"
CONFIG = ROOT / "config"
EXAMPLES = ROOT / "examples"
GROUP = "middleware.sofastack.io"
KINDS = ("DrmCluster", "RegistryCluster", "SchedulerCluster")
OWN = "sofa-system"  # the operator's namespace in these checks
# The oldest Kubernetes that the chart allows; a helm that was built without one would else take itself for 1.20.
KUBE = "1.33.0"

# What the operator may do, as (API group, resource, name or *, verbs).
CLUSTERS = "drmclusters registryclusters schedulerclusters".split()
MAKES = "create delete get list patch watch"
CLUSTER_RIGHTS = [
    *[(GROUP, r, "*", "get list patch watch") for r in CLUSTERS],
    *[(GROUP, f"{r}/status", "*", "get patch update") for r in CLUSTERS],
    *[(GROUP, f"{r}/finalizers", "*", "update") for r in CLUSTERS],
    *[("", r, "*", MAKES) for r in ("configmaps", "serviceaccounts", "services")],
    ("apps", "statefulsets", "*", MAKES),
    ("policy", "poddisruptionbudgets", "*", MAKES),
    ("networking.k8s.io", "ingresses", "*", MAKES),
    ("networking.k8s.io", "networkpolicies", "*", MAKES),
    ("gateway.networking.k8s.io", "httproutes", "*", MAKES),
    ("", "pods", "*", "delete get list patch watch"),
    ("", "persistentvolumeclaims", "*", "delete get list patch watch"),
    ("", "pods/eviction", "*", "create"),
    ("", "secrets", "*", "get"),
    ("", "namespaces", "*", "get"),
    ("events.k8s.io", "events", "*", "create patch"),
]
NODE_RIGHTS = [
    ("", "nodes", "*", "get list watch"),
    ("storage.k8s.io", "storageclasses", "*", "get"),
    *[("apiextensions.k8s.io", "customresourcedefinitions", f"{r}.{GROUP}", "get") for r in [*CLUSTERS, "pushgroups"]],
]
OWN_RIGHTS = [
    ("coordination.k8s.io", "leases", "*", "create"),
    ("coordination.k8s.io", "leases", "sofa-operator", "get patch update"),
    (GROUP, "pushgroups", "*", "create delete get list patch update watch"),
]

# What the operator tells (src/server): nothing else may be asked for by alerts and the dashboard.
METRICS = {"sofa_operator_clusters", "sofa_operator_push_closed_seconds", "sofa_operator_reconcile_errors_total",
           "up"}
KUBELETS_METRICS = {"container_memory_working_set_bytes"}


def run(*command, ok=True) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if ok:
        assert done.returncode == 0, f"{Path(command[0]).name} {command[1]} failed: {done.stderr.strip()[-600:]}"
        return done.stdout
    assert done.returncode != 0, "it was taken"
    return done.stderr


def documents(text: str) -> list:
    return [d for d in yaml.safe_load_all(text) if d]


@cache
def helm_text(*args: str) -> str:
    return run(os.environ["HELM"], "template", "sofa-operator", CHART, "-n", OWN, "--kube-version", KUBE, *args)


def helm(*args: str) -> list:
    return documents(helm_text(*args))


def values(name: str) -> tuple:
    return ("-f", str(HERE / "values" / name))


@cache
def kustomize_text(folder: Path) -> str:
    return run(os.environ["KUBECTL"], "kustomize", folder)


def kustomize(folder: str) -> list:
    return documents(kustomize_text(CONFIG / folder))


def of_kind(objects: list, kind: str) -> list:
    return [o for o in objects if o["kind"] == kind]


def one(objects: list, kind: str) -> dict:
    found = of_kind(objects, kind)
    assert len(found) == 1, f"{len(found)} objects of kind {kind}, not one"
    return found[0]


def rights(objects: list) -> set:
    """Every single right of the operator's account, as (where, group, resource, name, verb); where is * or a namespace."""
    account = one(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    roles = {(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]): o["rules"]
             for o in objects if o["kind"] in ("Role", "ClusterRole")}
    used, found = set(), set()
    for binding in (o for o in objects if o["kind"] in ("RoleBinding", "ClusterRoleBinding")):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": OWN}], \
            f"{binding['metadata']['name']} binds somebody else"
        where = binding["metadata"].get("namespace")
        role = (binding["roleRef"]["kind"], where if binding["roleRef"]["kind"] == "Role" else None, binding["roleRef"]["name"])
        assert role in roles, f"{binding['metadata']['name']} binds {role}, which is not there"
        used.add(role)
        for rule in roles[role]:
            assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"], f"{role} has a wildcard"
            found |= {(where or "*", g, r, n, v) for g in rule["apiGroups"] for r in rule["resources"]
                      for n in rule.get("resourceNames", ["*"]) for v in rule["verbs"]}
    assert used == set(roles), f"nobody is bound to {set(roles) - used}"
    return found


def expected(where: list, cluster=CLUSTER_RIGHTS, own=OWN_RIGHTS) -> set:
    table = [(w, *row) for w in where for row in cluster] + [("*", *row) for row in NODE_RIGHTS] + [(OWN, *row) for row in own]
    return {(w, g, r, n, v) for w, g, r, n, verbs in table for v in verbs.split()}


def same(found: set, wanted: set) -> None:
    assert found == wanted, f"too much: {sorted(found - wanted)}; missing: {sorted(wanted - found)}"


def check_lint():
    """helm lint --strict finds nothing"""
    run(os.environ["HELM"], "lint", "--strict", CHART, "--kube-version", KUBE)
    for file in sorted((HERE / "values").glob("*.yaml")):
        run(os.environ["HELM"], "lint", "--strict", CHART, "--kube-version", KUBE, "-f", file)


def check_versions():
    """crate, chart, image and kustomization have one version"""
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (str(chart["version"]), str(chart["appVersion"])) == (version, version), f"Chart.yaml is not {version}"
    head = re.findall(r"^# image: (\S+)", (ROOT / "images/operator/Dockerfile").read_text(), re.M)
    assert head == [f"sofa-operator:{version}"], f"images/operator/Dockerfile makes {head}"
    for objects in (kustomize("default"), helm()):
        image = pod(objects)["containers"][0]["image"]
        assert image == f"localhost/sofa-operator:{version}", f"the Deployment runs {image}"


def check_rights_helm():
    """helm: exactly the rights that the operator needs"""
    same(rights(helm()), expected(["*"]))


def check_rights_kustomize():
    """kustomize: the same rights as helm"""
    same(rights(kustomize("default")), rights(helm()))


def check_rights_namespaced():
    """one namespace: the same rights by helm and by kustomize, and none to write anywhere else"""
    found = rights(helm(*values("namespaced.yaml")))
    same(found, expected(["registry"]))
    same(rights(kustomize("overlays/namespaced")), found)
    wide = {(r, v) for where, _, r, _, v in found if where == "*"}
    assert all(v in ("get", "list", "watch") for _, v in wide), f"rights to write everywhere: {sorted(wide)}"
    for objects in (helm(*values("namespaced.yaml")), kustomize("overlays/namespaced")):
        assert environment(objects)["SOFA_NAMESPACES"] == "registry", "the operator is not told its namespace"


def check_rights_optional():
    """two namespaces, proxy and exec: those rights more, and no others"""
    objects = helm(*values("two-namespaces.yaml"))
    more = [("", "pods/proxy", "*", "create get update"), ("", "pods/exec", "*", "create get")]
    same(rights(objects), expected(["pay", "trade"], cluster=CLUSTER_RIGHTS + more))
    assert environment(objects)["SOFA_NAMESPACES"] == "pay,trade"
    assert not of_kind(objects, "ServiceAccount"), "serviceAccount.create: false makes one"
    assert not of_kind(objects, "CustomResourceDefinition"), "crds.install: false brings them"


def check_rights_lease():
    """another Lease is the one that the operator may write"""
    own = [(g, r, "sofa-lease" if n == "sofa-operator" else n, v) for g, r, n, v in OWN_RIGHTS]
    more = [("", "pods/proxy", "*", "create get update"), ("", "pods/exec", "*", "create get")]
    same(rights(helm(*values("everything.yaml"))), expected(["*"], cluster=CLUSTER_RIGHTS + more, own=own))
    assert environment(helm(*values("everything.yaml")))["SOFA_LEASE"] == "sofa-lease"


def pod(objects: list) -> dict:
    return one(objects, "Deployment")["spec"]["template"]["spec"]


def environment(objects: list) -> dict:
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in pod(objects)["containers"][0]["env"]}


def renderings() -> list:
    files = sorted(f.name for f in (HERE / "values").glob("*.yaml"))
    return [("helm", helm()), *((f"helm {f}", helm(*values(f))) for f in files),
            ("kustomize", kustomize("default")), ("kustomize namespaced", kustomize("overlays/namespaced"))]


def check_restricted():
    """every rendering keeps to the restricted Pod Security profile, and more"""
    for name, objects in renderings():
        spec = pod(objects)
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] == 10001, f"{name}: it may run as root"
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, f"{name}: no seccomp profile"
        for forbidden in ("hostNetwork", "hostPID", "hostIPC", "volumes"):
            assert forbidden not in spec, f"{name}: it has {forbidden}"
        for container in spec["containers"]:
            own = container["securityContext"]
            assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}, \
                f"{name}: {own}"
            assert "memory" in container["resources"]["limits"] and "cpu" in container["resources"]["requests"], f"{name}: no limits"


def check_pod_label():
    """every rendering has the label by which clusters let the operator in, and selects its own pods"""
    for name, objects in renderings():
        deployment = one(objects, "Deployment")["spec"]
        labels = deployment["template"]["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "sofa-operator", f"{name}: {labels}"
        for selector in (deployment["selector"]["matchLabels"], one(objects, "Service")["spec"]["selector"]):
            assert selector.items() <= labels.items(), f"{name}: {selector} does not select {labels}"


def check_same_pod():
    """helm and kustomize run the same pod"""
    left, right = (pod(objects) | pod(objects)["containers"][0] for objects in (helm(), kustomize("default")))
    differ = [name for name in sorted({*left, *right} - {"containers"}) if left.get(name) != right.get(name)]
    assert not differ, f"they differ in {', '.join(f'{n}: {left.get(n)} and {right.get(n)}' for n in differ)}"


def check_settings():
    """every setting of the values reaches the operator"""
    told = environment(helm(*values("everything.yaml")))
    wanted = {"SOFA_HTTP": "0.0.0.0:9090", "SOFA_LEASE": "sofa-lease", "SOFA_LOG": "debug", "SOFA_LOG_FORMAT": "text",
              "SOFA_SLOW_PACE": "30", "SOFA_TRANSPORT": "proxy", "SOFA_WORKERS": "4", "SOFA_NAMESPACES": "",
              "SOFA_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
              "SOFA_IDENTITY": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert told == wanted, f"it is told {told}"
    image = pod(helm(*values("everything.yaml")))["containers"][0]["image"]
    assert re.fullmatch(r"registry\.example/middleware/sofa-operator@sha256:[0-9a-f]{64}", image), image


def check_replicas():
    """a disruption budget and a spread with more than one replica, neither with one"""
    assert not of_kind(helm(), "PodDisruptionBudget") and "topologySpreadConstraints" not in pod(helm())
    many = helm("--set", "replicas=2")
    assert one(many, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    labels = one(many, "Deployment")["spec"]["template"]["metadata"]["labels"]
    for spread in pod(many)["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= labels.items()


def check_network_policy():
    """the network policy lets in nobody, or those who are named"""
    assert one(helm("--set", "networkPolicy.enabled=true"), "NetworkPolicy")["spec"]["ingress"] == []
    named = one(helm(*values("everything.yaml")), "NetworkPolicy")["spec"]["ingress"]
    assert [list(rule) for rule in named] == [["from", "ports"]] and named[0]["ports"] == [{"port": "http", "protocol": "TCP"}]


def check_monitoring():
    """alerts and dashboard ask only for metrics that the operator tells; off by default"""
    assert not {"ServiceMonitor", "PrometheusRule", "NetworkPolicy"} & {o["kind"] for o in helm()}
    objects = helm(*values("everything.yaml"))
    monitor = one(objects, "ServiceMonitor")["spec"]
    service = one(objects, "Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in [p["name"] for p in service["spec"]["ports"]]
    rules = [r for g in one(objects, "PrometheusRule")["spec"]["groups"] for r in g["rules"]]
    assert len(rules) == 5 and all(r["labels"]["team"] == "middleware" and r["labels"]["severity"] for r in rules)
    config = next(o for o in of_kind(objects, "ConfigMap") if o["metadata"]["name"].endswith("-dashboard"))
    dashboard = json.loads(config["data"]["sofa-operator.json"])
    asked = [r["expr"] for r in rules] + [t["expr"] for p in dashboard["panels"] for t in p["targets"]]
    words = set(re.findall(r"\b(?:[a-z]+(?:_[a-z]+){2,}|up)(?=[{)\[ ])", " ".join(asked)))
    assert words == METRICS | KUBELETS_METRICS, f"asked for: {sorted(words)}"
    for p in dashboard["panels"]:
        assert p["gridPos"]["x"] + p["gridPos"]["w"] <= 24, f"{p['title']} is off the board"


REFUSED = {
    "replicas=0": "/replicas",
    "replicas=two": "/replicas",
    "replica=2": "'replica' not allowed",
    "log.level=loud": "/log/level",
    "log.format=xml": "/log/format",
    "operator.transport=magic": "/operator/transport",
    "operator.workers=0": "/operator/workers",
    "namespaces=pay": "/namespaces",
    "namespaces={Pay}": "/namespaces/0",
    "namespaces={pay,pay}": "/namespaces",
    "podLabels.app\\.kubernetes\\.io/name=other": "podLabels: app.kubernetes.io/name is the chart's own",
    "image.digest=latest": "/image/digest",
    "image.repository=": "/image/repository",
    "httpPort=80": "/httpPort",
    "crds.keep=false": "'keep' not allowed",
    "resources.limits.memory=much": "/resources/limits/memory",
    "networkPolicy.from={monitoring}": "/networkPolicy/from/0",
    "serviceMonitor.interval=often": "/serviceMonitor/interval",
    "prometheusRule.alertLabels.severity=low": "prometheusRule.alertLabels: each alert",
}


def check_schema():
    """the values schema refuses bad values, and names the one that is bad"""
    for bad, words in REFUSED.items():
        try:
            said = run(os.environ["HELM"], "template", "x", CHART, "--kube-version", KUBE, "--set", bad, ok=False)
        except AssertionError as e:
            raise AssertionError(f"{bad}: {e}") from e
        assert words in said, f"{bad}: it says {said.strip()!r}, without {words!r}"


def check_values_documented():
    """every value has a comment, and every property of the schema is in values.yaml"""
    lines = (CHART / "values.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"^( {0,2})[a-zA-Z]+:", line) and not line.startswith("    "):
            above = lines[number - 1].strip() if number else ""
            group = line.endswith(":")  # its values have the comments
            nested = above.endswith(("{}", "[]", '""')) and not line.startswith(" ")  # one comment for a few that belong together
            assert above.startswith("#") or group or nested, f"values.yaml:{number + 1}: {line.strip()} has no comment"
    schema = json.loads((CHART / "values.schema.json").read_text())
    given = yaml.safe_load("\n".join(lines))

    def compare(of: dict, there: dict, path: str) -> None:
        for name, part in of.get("properties", {}).items():
            if path == "" and name == "global":
                continue
            assert name in there, f"values.yaml does not have {path}{name}"
            if isinstance(there[name], dict) and "properties" in part and name != "resources":
                compare(part, there[name], f"{path}{name}.")
    compare(schema, given, "")


def check_crds():
    """the definitions of the chart and of kustomize are crds/, and Helm keeps them"""
    committed = {f.name: f.read_text() for f in sorted((ROOT / "crds").glob("*.yaml"))}
    copies = {f.name: f.read_text() for f in sorted((CHART / "files/crds").glob("*"))}
    assert committed == copies, "they differ: run charts/sofa-operator/sync-crds.sh and commit it"
    resources = yaml.safe_load((CHART / "files/kustomization.yaml").read_text())["resources"]
    assert resources == [f"crds/{name}" for name in committed], "charts/sofa-operator/files/kustomization.yaml: run sync-crds.sh"
    wanted = {name: yaml.safe_load(text) for name, text in committed.items()}
    text = helm_text().replace('\n  annotations:\n    argocd.argoproj.io/sync-options: Prune=false\n    helm.sh/resource-policy: keep', "")
    for name, whole in committed.items():
        assert whole.strip() in text, f"{name} comes out of the chart in another form"
    by_name = {crd["metadata"]["name"]: crd for crd in wanted.values()}
    for crd in of_kind(helm(), "CustomResourceDefinition"):
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        crd = copy.deepcopy(crd)
        del crd["metadata"]["annotations"]
        assert crd == by_name[crd["metadata"]["name"]]
    found = of_kind(kustomize("crd"), "CustomResourceDefinition")
    assert sorted(found, key=lambda c: c["metadata"]["name"]) == sorted(wanted.values(), key=lambda c: c["metadata"]["name"])


def check_kustomizations():
    """every kustomization builds, all in one namespace"""
    for file in sorted(CONFIG.rglob("kustomization.yaml")):
        assert kustomize_text(file.parent).strip(), f"{file.parent} is empty"
    everything = kustomize("default")
    namespaces = {o["metadata"].get("namespace") for o in everything} - {None}
    assert namespaces == {OWN}, f"objects in {namespaces}"
    labels = one(everything, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def lua(value) -> str:
    """A value as Lua."""
    if isinstance(value, dict):
        return "{" + ",".join(f"[{lua(k)}]={lua(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list):
        return "{" + ",".join(lua(v) for v in value) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def resting() -> dict:
    yes_and_no = {"Ready": ("True", "Converged", "everything is as the spec wants it"), "Available": ("True", "Serving", ""),
                  "Progressing": ("False", "Idle", "nothing is to be done"), "Degraded": ("False", "AsExpected", "nothing is broken"),
                  "Paused": ("False", "NotPaused", ""), "Reconciling": ("False", "Converged", ""), "Stalled": ("False", "AsExpected", "")}
    return {"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "conditions": yes_and_no}}


def check_health():
    """Argo CD's health script says of every status what it should"""
    interpreters = [p for name in ("lua5.1", "luajit", "lua5.4") if (p := shutil.which(name))]
    assert interpreters, "no Lua interpreter: apt-get install lua5.4"
    script = CONFIG / "argocd/health.lua"
    for case in yaml.safe_load((HERE / "health/cases.yaml").read_text()):
        obj = resting()
        if "observedGeneration" in case:
            obj["status"]["observedGeneration"] = case["observedGeneration"]
        if "deletionTimestamp" in case:
            obj["metadata"]["deletionTimestamp"] = case["deletionTimestamp"]
        conditions = obj["status"]["conditions"] | case.get("conditions", {})
        obj["status"]["conditions"] = [{"type": t, "status": c[0], "reason": c[1], "message": c[2]}
                                       for t, c in conditions.items() if t in case.get("only", [t])]
        for part in case.get("without", []):
            del obj[part]
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as program:
            program.write(f"obj = {lua(obj)}\nlocal h = dofile({lua(str(script))})\nprint(h.status)\nprint(h.message)\n")
            program.flush()
            for interpreter in interpreters:
                health, message = run(interpreter, program.name).rstrip("\n").split("\n", 1)
                assert health == case["health"], f"{case['name']}: {health} ({message}), not {case['health']}"
                assert case.get("message", message) == message, f"{case['name']}: it says {message!r}"


def check_health_patch():
    """the patch of argocd-cm is the health script, for each kind"""
    data = yaml.safe_load((CONFIG / "argocd/argocd-cm.yaml").read_text())["data"]
    script = (CONFIG / "argocd/health.lua").read_text()
    assert data == {f"resource.customizations.health.{GROUP}_{kind}": script for kind in KINDS}, \
        "config/argocd/argocd-cm.yaml differs from health.lua: copy it"


def fits(schema: dict, value, path: str) -> None:
    """The part of a structural schema that needs no API server: what a typing error breaks. CEL is the API server's."""
    types = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if schema.get("x-kubernetes-int-or-string"):
        assert isinstance(value, (int, str)), f"{path} is {value!r}"
    elif schema.get("type") in types:
        ok = isinstance(value, types[schema["type"]]) and not (schema["type"] == "integer" and isinstance(value, bool))
        assert ok, f"{path} is {value!r}, which is no {schema['type']}"
    assert value in schema.get("enum", [value]), f"{path} is {value!r}: one of {schema.get('enum')}"
    if isinstance(value, str) and "pattern" in schema:
        assert re.search(schema["pattern"], value), f"{path} is {value!r}, which does not match {schema['pattern']}"
    if isinstance(value, list):
        for number, item in enumerate(value):
            fits(schema.get("items", {}), item, f"{path}[{number}]")
    if isinstance(value, dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        missing = set(schema.get("required", [])) - set(value)
        assert not missing, f"{path} lacks {sorted(missing)}"
        for name, part in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            assert inner is not None, f"{path}.{name} is unknown"
            fits(inner if isinstance(inner, dict) else {}, part, f"{path}.{name}")


def check_examples():
    """every example says what it shows, parses, and fits the definitions"""
    definitions = {}
    for file in (ROOT / "crds").glob("*.yaml"):
        crd = yaml.safe_load(file.read_text())
        definitions[crd["spec"]["names"]["kind"]] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    files = sorted(EXAMPLES.rglob("*.yaml"))
    assert len(files) >= 6, "examples are missing"
    listed = "".join(f.read_text() for f in EXAMPLES.rglob("README.md"))
    for file in files:
        name = file.relative_to(EXAMPLES)
        assert file.read_text().startswith("# "), f"{name} does not start with a comment"
        assert file.name in listed, f"{name} is in no README.md"
        found = set()
        for example in documents(file.read_text()):
            if example["kind"] == "Kustomization":
                continue
            key = (example["kind"], example["metadata"].get("namespace"), example["metadata"]["name"])
            assert key not in found, f"{name} has {key} twice"
            found.add(key)
            if example["apiVersion"].startswith(GROUP):
                schema = definitions[example["kind"]]
                fits({**schema, "properties": {**schema["properties"], "metadata": {}, "apiVersion": {}, "kind": {}}},
                     example | {"metadata": {}}, str(name))
                assert ":" in example["spec"]["image"].rsplit("/", 1)[-1], f"{name}: the image has no tag"


def main() -> int:
    words = sys.argv[1:]
    checks = [(n.removeprefix("check_"), f) for n, f in globals().items() if n.startswith("check_")]
    chosen = [(n, f) for n, f in checks if not words or any(w in n for w in words)]
    if not chosen:
        print(f"packaging: no check is called that: there are {', '.join(n for n, _ in checks)}", file=sys.stderr)
        return 2
    failed = 0
    for name, check in chosen:
        what = check.__doc__.splitlines()[0]
        try:
            check()
            print(f"ok    {name}: {what}", flush=True)
        except (AssertionError, KeyError, OSError, yaml.YAMLError) as e:
            failed += 1
            line = traceback.extract_tb(e.__traceback__)[-1]
            why = str(e) if isinstance(e, AssertionError) and str(e) else f"{e!r} at {line.filename}:{line.lineno}: {line.line}"
            print(f"FAIL  {name}: {what}: {why}", flush=True)
    print(f"packaging: {len(chosen) - failed} of {len(chosen)} checks passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
