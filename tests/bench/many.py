#!/usr/bin/env python3
"""Many RegistryClusters on fake nodes: what the operator itself needs of time, memory, CPU and the API server's work.

    many.py [--line 6] [--clusters N] [--idle 60] [--settle 75] [--steady 300] [--speed 20]

--line 6: 500 clusters of 6.3.0 with 1 + 1 + 1 servers; --line 5: 100 of 5.4.3 with 3 + 3 + 2. Starts a control plane with fake
nodes (kwok; CLUSTER_ID 5), fake SOFARegistry servers behind an HTTP proxy (fake_middleware.rs) whose time passes `speed` times
as fast, and target/release/sofa-operator as a plain process; prints one JSON object and removes all of it. Requests are counted
in the API server's audit log. Writes are create, update, patch and delete, leases and events apart. The client limits of
controller-manager and scheduler are raised, else these two are what is measured.
"""
import argparse
import collections
import concurrent.futures
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from ground import RELEASE, ROOT, api, end_in_order, local_cluster, moment, only_local, program, run, say, stop, until

PROXY = "127.0.0.1:9099"
HTTP = "127.0.0.1:8099"
SPACE = "many"
PODS_A_NODE = 100
IDLE_S = 60
# Longer than the operator's slow pace: who has written nothing for so long has nothing to write.
SETTLE_S = 75
LIMIT_S = 1800
EDITS_A_SECOND = 10
# A first act that took longer than this (the goal of p99) is told by itself.
LATE_S = 1.0
WRITES = ("create", "update", "patch", "delete", "deletecollection")
REPLICAS = {5: {"meta": 3, "data": 3, "session": 2}, 6: {"meta": 1, "data": 1, "session": 1}}
VERSIONS = {5: "5.4.3", 6: "6.3.0"}
CLUSTERS = {5: 100, 6: 500}
# A cluster that comes while the operator is away.
LATE = 9001


def spread(values: list[float]) -> dict:
    values = sorted(values)
    if not values:
        return {"n": 0}
    return {"n": len(values), "p50": round(values[len(values) // 2], 3), "p99": round(values[int(len(values) * 0.99)], 3), "max": round(values[-1], 3)}


def name(number: int) -> str:
    return f"x{number:04d}"


class Audit:
    """The requests of the operator's user, and the writes of the administrator's, as the API server has noted them."""

    def __init__(self, path: Path) -> None:
        self.path, self.offset, self.events, self.last_write = path, 0, [], 0.0

    def read(self) -> list[dict]:
        with self.path.open("rb") as log:
            log.seek(self.offset)
            data = log.read()
        end = data.rfind(b"\n") + 1
        self.offset += end
        for line in data[:end].splitlines():
            event = json.loads(line)
            if (event["stage"] == "ResponseStarted") != (event["verb"] == "watch") or event["stage"] == "Panic":
                continue
            ref = event.get("objectRef") or {}
            number = re.search(r"x(\d{4})(?!\d)", ref.get("name") or "")
            seen = {"at": moment(event["requestReceivedTimestamp"]), "answered": moment(event["stageTimestamp"]),
                    "user": event["user"]["username"], "verb": event["verb"], "resource": ref.get("resource", ""), "part": ref.get("subresource", ""),
                    "cluster": number and int(number[1]), "code": (event.get("responseStatus") or {}).get("code", 0)}
            self.events.append(seen)
            if seen["user"] == "operator" and is_write(seen):
                self.last_write = max(self.last_write, seen["at"])
        return self.events

    def requests(self, since: float, clusters: int) -> dict:
        """What the operator asked since then, but for the late cluster."""
        mine = [e for e in self.read() if e["user"] == "operator" and e["at"] >= since and e["cluster"] != LATE]
        writes = [e for e in mine if is_write(e)]
        by_verb = collections.Counter(e["verb"] for e in mine if e["resource"] != "leases")
        names = collections.Counter(f"{e['verb']} {e['resource']}{'/' + e['part'] if e['part'] else ''}" for e in mine if e["resource"] != "leases")
        return {"by_verb": dict(by_verb), "by_verb_a_cluster": {verb: round(n / clusters, 2) for verb, n in by_verb.items()},
                "writes": len(writes), "writes_a_cluster": round(len(writes) / clusters, 2),
                "events": sum(e["resource"] == "events" and e["verb"] in WRITES for e in mine),
                "lease_writes": sum(e["resource"] == "leases" and e["verb"] in WRITES for e in mine),
                "refused": dict(collections.Counter(str(e["code"]) for e in mine if e["code"] >= 400)), "most": dict(names.most_common(12))}


def is_write(event: dict) -> bool:
    return event["verb"] in WRITES and event["resource"] not in ("leases", "events")


class Ground:
    """The control plane and what is on it."""

    def __init__(self, stack: contextlib.ExitStack, line: int, clusters: int, speed: int, settle_s: int) -> None:
        self.line, self.clusters, self.settle_s = line, clusters, settle_s
        self.pods = sum(REPLICAS[line].values())
        self.env = local_cluster(stack, 5, 1, fake_nodes=clusters * self.pods // PODS_A_NODE + 2)
        self.run = Path(self.env["KUBECONFIG"]).parent
        self.audit = Audit(self.run / "audit.log")
        self.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        self.kubectl("create", "namespace", SPACE)
        self.kubectl("-n", SPACE, "create", "secret", "generic", "database", "--from-literal=username=x", "--from-literal=password=x")
        say("volumes ...")
        self.kubectl("create", "-f", "-", text=self.volumes([*range(1, clusters + 1), LATE]))
        self.servers = stack.enter_context(program(RELEASE / "examples/fake-middleware", "--listen", PROXY, "--speed", speed,
                                                   "--metas", REPLICAS[line]["meta"], env=self.env))

    def kubectl(self, *arguments: object, text: str | None = None) -> str:
        return run(self.run / "bin/kubectl", *arguments, env=self.env, text=text)

    def volumes(self, numbers: list[int]) -> str:
        """Nobody makes volumes for fake nodes: one for each claim, which is named in it, and the class that the claims get."""
        items: list[dict] = [{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "kubernetes.io/no-provisioner",
                              "metadata": {"name": "fake", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}]
        for claim in (f"home-{name(n)}-{role}-{i}" for n in numbers for role, count in REPLICAS[self.line].items() for i in range(count)):
            items.append({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": claim}, "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "fake", "hostPath": {"path": "/nowhere"},
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": SPACE, "name": claim}}})
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})

    def apply(self, numbers: range) -> None:
        database = {"host": "db", "port": 3306, "name": "registry", "secretRef": {"name": "database"}}
        spec = {"version": VERSIONS[self.line], "image": f"localhost/sofa-registry:{VERSIONS[self.line]}", "dataCenter": "DefaultDataCenter",
                "profile": "Small", "restart": "first", **({"database": database} if self.line == 6 else {}),
                **{role: {"replicas": count} for role, count in REPLICAS[self.line].items()}}
        items = [{"apiVersion": "middleware.sofastack.io/v1alpha1", "kind": "RegistryCluster", "spec": spec,
                  "metadata": {"name": name(n), "namespace": SPACE}} for n in numbers]
        self.kubectl("apply", "--server-side", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def settled(self, since: float) -> float | None:
        """Waits until the operator has written nothing for as long as is agreed: seconds from `since` to its last write."""
        while time.time() - since < LIMIT_S:
            if self.servers.poll() is not None:
                sys.exit(f"bench: the fake servers ended with {self.servers.returncode}")
            self.audit.read()
            last = max(self.audit.last_write, since)
            if time.time() - last > self.settle_s:
                return round(last - since, 1)
            time.sleep(2)
        return None

    def conditions(self, kind: str) -> list[tuple[str, str, str]]:
        """Ready of each object: its status, since when, and why it is so."""
        one = '{.status}{"\\t"}{.lastTransitionTime}{"\\t"}{.reason}: {.message}{"\\n"}'
        path = f'{{range .items[*]}}{{range .status.conditions[?(@.type=="Ready")]}}{one}{{end}}{{end}}'
        lines = self.kubectl("-n", SPACE, "get", kind, "-o", f"jsonpath={path}").splitlines()
        return [tuple(line.split("\t", 2)) for line in lines]

    def all_ready(self, kind: str, wanted: int, since: float) -> dict:
        """Seconds until the last one of a kind became Ready, by their own words; why the others are not."""
        found = self.conditions(kind)
        since_when = [moment(at) for status, at, _ in found if status == "True"]
        others = collections.Counter(why[:120] for status, _, why in found if status != "True")
        last = round(max(since_when) - since, 1) if since_when else None
        return {"ready": len(since_when), "of": wanted, "last_s": last, **({"others": dict(others.most_common(5))} if others else {})}


class Operator:
    """The operator as a plain process."""

    def __init__(self, stack: contextlib.ExitStack, ground: Ground) -> None:
        self.log = stack.enter_context(tempfile.TemporaryFile())
        self.began = time.time()
        self.process = stack.enter_context(program(
            RELEASE / "sofa-operator", "--http", HTTP, "--namespace", "default", "--admin-proxy", f"http://{PROXY}", "--log-level", "warn",
            env={**os.environ, "KUBECONFIG": str(ground.run / "operator.kubeconfig")}, stdout=self.log, stderr=subprocess.STDOUT))
        until("the operator is ready", self.is_ready, 60, 0.05)
        self.ready_s = round(time.time() - self.began, 2)

    def is_ready(self) -> bool:
        self.check()
        with urllib.request.urlopen(f"http://{HTTP}/readyz", timeout=2) as answer:
            return answer.status == 200

    def check(self) -> None:
        if self.process.poll() is not None:
            self.log.seek(0)
            sys.exit(f"bench: the operator ended with {self.process.returncode}: {self.log.read().decode()[-2000:]}")

    def cpu(self) -> float:
        self.check()
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict:
        """Now, and the most since the last call."""
        self.check()
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        mib = {figure: round(int(re.search(rf"{key}:\s+(\d+)", text)[1]) / 1024, 1) for figure, key in
               (("rss_mib", "VmRSS"), ("anonymous_mib", "RssAnon"), ("peak_mib", "VmHWM"))}
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        return mib

    def stop(self) -> float:
        began = time.time()
        stop(self.process)
        return round(time.time() - began, 2)


def start(ground: Ground, operator: Operator) -> dict:
    operator.memory()
    began, cpu = time.time(), operator.cpu()
    ground.apply(range(1, ground.clusters + 1))
    applied = round(time.time() - began, 1)
    last = ground.settled(began)
    used = operator.cpu() - cpu
    return {"apply_s": applied, "pods": ground.all_ready("pods", ground.clusters * ground.pods, began),
            "clusters": ground.all_ready("registryclusters", ground.clusters, began), "last_write_s": last, "cpu_s": round(used, 2),
            "cpu_ms_a_cluster": round(used * 1000 / ground.clusters, 1), **operator.memory(),
            "requests": ground.audit.requests(began, ground.clusters)}


def rest(ground: Ground, operator: Operator, seconds: int) -> dict:
    operator.memory()
    began, cpu = time.time(), operator.cpu()
    time.sleep(seconds)
    return {"seconds": seconds, "cpu_s_a_minute": round((operator.cpu() - cpu) * 60 / seconds, 3), **operator.memory(),
            "requests": ground.audit.requests(began, ground.clusters)}


def restart(stack: contextlib.ExitStack, ground: Ground, operator: Operator, idle_s: int) -> tuple[Operator, dict]:
    """It is stopped, a new cluster comes meanwhile, and it starts again: what it writes for the others, and when for the new one."""
    stopped = operator.stop()
    ground.apply(range(LATE, LATE + 1))
    operator = Operator(stack, ground)
    time.sleep(idle_s)
    late = [e["at"] for e in ground.audit.read() if e["user"] == "operator" and e["cluster"] == LATE and is_write(e) and e["at"] >= operator.began]
    figures = {"stop_s": stopped, "ready_s": operator.ready_s, "cpu_s": operator.cpu(), **operator.memory(),
               "new_cluster_first_write_s": round(min(late) - operator.began, 2) if late else None,
               "requests": ground.audit.requests(operator.began, ground.clusters)}
    ground.settled(operator.began)
    return operator, figures


def edits(ground: Ground, operator: Operator) -> dict:
    """Changes every spec, ten a second, in random order: seconds from the API server's receipt of the change, and from its answer,
    which the watch event goes with, to the write that has the first act of each written down."""
    order = list(range(1, ground.clusters + 1))
    random.Random(1).shuffle(order)
    body = json.dumps({"spec": {"restart": "edited"}}).encode()
    operator.memory()
    began, cpu = time.time(), operator.cpu()
    with api(ground.env) as address, concurrent.futures.ThreadPoolExecutor(16) as pool:
        def edit(number: int) -> None:
            url = f"{address}/apis/middleware.sofastack.io/v1alpha1/namespaces/{SPACE}/registryclusters/{name(number)}"
            request = urllib.request.Request(url, data=body, method="PATCH", headers={"Content-Type": "application/merge-patch+json"})
            urllib.request.urlopen(request, timeout=30).read()

        first = time.monotonic()
        sent = []
        for turn, number in enumerate(order):
            time.sleep(max(0.0, first + turn / EDITS_A_SECOND - time.monotonic()))
            sent.append(pool.submit(edit, number))
        for each in sent:
            each.result()
    last = ground.settled(began)
    edited: dict[int, float] = {}
    stored: dict[int, float] = {}
    acted: dict[int, float] = {}
    for event in ground.audit.read():
        if event["at"] < began or event["cluster"] is None or event["resource"] != "registryclusters" or event["verb"] not in WRITES:
            continue
        if event["user"] == "admin":
            edited.setdefault(event["cluster"], event["at"])
            stored.setdefault(event["cluster"], event["answered"])
        elif event["part"] == "status" and event["cluster"] in edited and event["code"] < 300:
            acted.setdefault(event["cluster"], event["at"])
    first_act = {n: acted[n] - edited[n] for n in acted}
    # When those came that took long: at one moment, when something stood still, or all along.
    late = sorted((round(edited[n] - began, 1), round(took, 2)) for n, took in first_act.items() if took > LATE_S)
    return {"edits_a_second": EDITS_A_SECOND, "first_act_written_s": spread([*first_act.values()]),
            "from_the_answer_s": spread([acted[n] - stored[n] for n in acted]), "late_at_and_s": late, "last_write_s": last,
            "clusters": ground.all_ready("registryclusters", ground.clusters + 1, began),
            "cpu_ms_a_cluster": round((operator.cpu() - cpu) * 1000 / ground.clusters, 1), **operator.memory(),
            "requests": ground.audit.requests(began, ground.clusters)}


def measure(stack: contextlib.ExitStack, ground: Ground, idle_s: int, steady_s: int) -> dict:
    result: dict = {}

    def note(part: str, figures: dict) -> None:
        result[part] = figures
        say(f"{part}: {json.dumps(figures)}")

    operator = Operator(stack, ground)
    time.sleep(idle_s)
    note("idle", {"seconds": idle_s, "ready_s": operator.ready_s, "cpu_s": operator.cpu(), **operator.memory()})
    note("start", start(ground, operator))
    note("rest", rest(ground, operator, steady_s))
    operator, figures = restart(stack, ground, operator, idle_s)
    note("restart", figures)
    note("edits", edits(ground, operator))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--line", type=int, choices=(5, 6), default=6)
    parser.add_argument("--clusters", type=int)
    parser.add_argument("--idle", type=int, default=IDLE_S, help="seconds without a cluster, and after a restart")
    parser.add_argument("--settle", type=int, default=SETTLE_S, help="who writes nothing for so many seconds is done")
    parser.add_argument("--steady", type=int, default=300, help="seconds at rest")
    parser.add_argument("--speed", type=int, default=20)
    options = parser.parse_args()
    only_local()
    for needed in ("sofa-operator", "examples/fake-middleware"):
        if not (RELEASE / needed).exists():
            sys.exit(f"bench: {RELEASE / needed} is missing: make bench-many builds it")
    end_in_order()
    clusters = options.clusters or CLUSTERS[options.line]
    with contextlib.ExitStack() as stack:
        ground = Ground(stack, options.line, clusters, options.speed, options.settle)
        result = {"date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "line": options.line, "clusters": clusters,
                  "servers": REPLICAS[options.line], "speed": options.speed, **measure(stack, ground, options.idle, options.steady)}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
