#!/usr/bin/env python3
"""Many RegistryClusters on fake nodes: what the operator itself needs of time, memory, CPU and the API server's work.

    many.py [--clusters 500] [--steady 300] [--speed 20]

Starts a control plane with fake nodes (kwok; CLUSTER_ID 5), fake SOFARegistry servers behind an HTTP proxy
(fake_middleware.rs) whose time passes `speed` times as fast, and target/release/sofa-operator as a plain process; prints one
JSON object and removes all of it. The clusters are 6.3.0 with 1 + 1 + 1 servers. Requests are counted in the API server's
audit log. Writes are create, update, patch and delete, leases and events apart.
"""
import argparse
import collections
import datetime
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CLUSTER = ROOT / "tests/cluster/cluster.sh"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
PROXY = "127.0.0.1:9099"
HTTP = "127.0.0.1:8099"
SPACE = "many"
PODS_A_NODE = 100
IDLE_S = 60
SETTLE_S = 15
LIMIT_S = 1200
EDITS_A_SECOND = 10
WRITES = ("create", "update", "patch", "delete", "deletecollection")
ROLES = ("meta", "data", "session")


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run(*command: object, env: dict | None = None, **options) -> str:
    return subprocess.run([str(c) for c in command], check=True, env=env, stdout=subprocess.PIPE, text=True, **options).stdout


def spread(values: list[float]) -> dict:
    values = sorted(values)
    if not values:
        return {"n": 0}
    return {"n": len(values), "p50": round(values[len(values) // 2], 3), "p99": round(values[int(len(values) * 0.99)], 3), "max": round(values[-1], 3)}


def seconds_since_1970(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Ground:
    """The control plane, its audit log and the fake servers."""

    def __init__(self, clusters: int, speed: int) -> None:
        nodes = clusters * len(ROLES) // PODS_A_NODE + 2
        self.env = {**os.environ, "CLUSTER_ID": "5", "FAKE_NODES": str(nodes)}
        self.env.pop("KUBECONFIG", None)
        run(CLUSTER, "up", env=self.env)
        self.admin = run(CLUSTER, "env", env=self.env).split()[1].split("=", 1)[1]
        self.run = Path(self.admin).parent
        self.events: list[dict] = []
        self.read_to = 0
        self.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        self.kubectl("create", "namespace", SPACE)
        self.kubectl("-n", SPACE, "create", "secret", "generic", "database", "--from-literal=username=x", "--from-literal=password=x")
        self.servers = subprocess.Popen([TARGET / "examples/fake-middleware", "--listen", PROXY, "--speed", str(speed)],
                                        env={**os.environ, "KUBECONFIG": self.admin}, stdin=subprocess.DEVNULL)

    def kubectl(self, *arguments: object, **options) -> str:
        return run(self.run / "bin/kubectl", "--kubeconfig", self.admin, *arguments, **options)

    def close(self) -> None:
        self.servers.terminate()
        self.servers.wait(20)
        run(CLUSTER, "down", env=self.env)

    def audit(self) -> list[dict]:
        """All requests so far, of the operator's user, and the writes of the administrator's."""
        with (self.run / "audit.log").open("rb") as log:
            log.seek(self.read_to)
            data = log.read()
        end = data.rfind(b"\n") + 1
        self.read_to += end
        for line in data[:end].splitlines():
            event = json.loads(line)
            if (event["stage"] == "ResponseStarted") != (event["verb"] == "watch") or event["stage"] == "Panic":
                continue
            ref = event.get("objectRef") or {}
            number = re.search(r"x(\d{4})", ref.get("name") or "")
            self.events.append({
                "at": seconds_since_1970(event["requestReceivedTimestamp"]), "user": event["user"]["username"], "verb": event["verb"],
                "resource": ref.get("resource", ""), "part": ref.get("subresource", ""), "cluster": number and int(number[1]),
                "code": (event.get("responseStatus") or {}).get("code", 0)})
        return self.events

    def requests(self, since: float, clusters: int) -> dict:
        mine = [e for e in self.audit() if e["user"] == "operator" and e["at"] >= since]
        writes = [e for e in mine if is_write(e)]
        names = collections.Counter(f"{e['verb']} {e['resource']}{'/' + e['part'] if e['part'] else ''}" for e in mine if e["resource"] != "leases")
        return {"by_verb": dict(collections.Counter(e["verb"] for e in mine)), "writes": len(writes), "writes_a_cluster": round(len(writes) / clusters, 2),
                "events": sum(e["resource"] == "events" and e["verb"] in WRITES for e in mine),
                "lease_writes": sum(e["resource"] == "leases" and e["verb"] in WRITES for e in mine),
                "refused": dict(collections.Counter(str(e["code"]) for e in mine if e["code"] >= 400)), "most": dict(names.most_common(12))}

    def settled(self, since: float) -> float:
        """Waits until the operator has written nothing for a while; seconds until its last write."""
        while time.time() - since < LIMIT_S:
            last = max((e["at"] for e in self.audit() if e["user"] == "operator" and e["at"] >= since and is_write(e)), default=since)
            if time.time() - last > SETTLE_S:
                return round(last - since, 1)
            time.sleep(1)
        return -1.0

    def all_are(self, clusters: int, what: str, since: float) -> float:
        path = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}'
        kind = "registryclusters" if what == "clusters" else "pods"
        wanted = clusters * (1 if what == "clusters" else len(ROLES))
        while time.time() - since < LIMIT_S:
            if self.kubectl("-n", SPACE, "get", kind, "-o", f"jsonpath={path}").split().count("True") >= wanted:
                return round(time.time() - since, 1)
            time.sleep(2)
        return -1.0


def is_write(event: dict) -> bool:
    return event["verb"] in WRITES and event["resource"] not in ("leases", "events")


class Operator:
    """The operator as a plain process."""

    def __init__(self, ground: Ground) -> None:
        self.log = tempfile.TemporaryFile()
        self.began = time.time()
        command = [TARGET / "sofa-operator", "--http", HTTP, "--namespace", "default", "--admin-proxy", f"http://{PROXY}", "--log-level", "warn"]
        self.process = subprocess.Popen(command, env={**os.environ, "KUBECONFIG": str(ground.run / "operator.kubeconfig")},
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        while True:
            try:
                with urllib.request.urlopen(f"http://{HTTP}/readyz", timeout=2):
                    break
            except OSError:
                if self.process.poll() is not None or time.time() - self.began > 60:
                    self.log.seek(0)
                    sys.exit(f"bench: the operator does not become ready: {self.log.read().decode()[-2000:]}")
                time.sleep(0.05)
        self.ready_s = round(time.time() - self.began, 2)

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        mib = {name: round(int(re.search(rf"{key}:\s+(\d+)", text)[1]) / 1024, 1) for name, key in
               (("rss_mib", "VmRSS"), ("anonymous_mib", "RssAnon"), ("peak_mib", "VmHWM"))}
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")  # the next peak is that of what comes next
        return mib

    def stop(self) -> float:
        began = time.time()
        self.process.terminate()
        self.process.wait(30)
        return round(time.time() - began, 2)


def manifests(numbers: range, generation: int) -> str:
    """One RegistryCluster of 1 + 1 + 1 servers for each number; another generation is another heap for the sessions."""
    one = {"replicas": 1}
    return "\n---\n".join(json.dumps({
        "apiVersion": "middleware.sofastack.io/v1alpha1", "kind": "RegistryCluster", "metadata": {"name": f"x{n:04d}", "namespace": SPACE},
        "spec": {"version": "6.3.0", "image": "localhost/sofa-registry:6.3.0", "dataCenter": "DefaultDataCenter", "profile": "Small",
                 "database": {"host": "db", "port": 3306, "name": "registry", "secretRef": {"name": "database"}},
                 "restart": f"r{generation}", "meta": one, "data": one, "session": one}}) for n in numbers)


def edits(ground: Ground, clusters: int) -> dict:
    """Changes every spec, ten a second, in random order; seconds until the operator wrote its first act of each down."""
    order = list(range(1, clusters + 1))
    random.Random(1).shuffle(order)
    began = time.time()
    proxy = subprocess.Popen([ground.run / "bin/kubectl", "--kubeconfig", ground.admin, "proxy", "--port", "8098"], stdout=subprocess.DEVNULL)
    try:
        time.sleep(2)
        body = json.dumps({"spec": {"restart": "edited"}}).encode()

        def edit(number: int) -> None:
            url = f"http://127.0.0.1:8098/apis/middleware.sofastack.io/v1alpha1/namespaces/{SPACE}/registryclusters/x{number:04d}"
            request = urllib.request.Request(url, data=body, method="PATCH", headers={"Content-Type": "application/merge-patch+json"})
            urllib.request.urlopen(request, timeout=30).read()

        threads = []
        start = time.time()
        for turn, number in enumerate(order):
            time.sleep(max(0.0, start + turn / EDITS_A_SECOND - time.time()))
            threads.append(threading.Thread(target=edit, args=(number,)))
            threads[-1].start()
        for thread in threads:
            thread.join()
    finally:
        proxy.terminate()
        proxy.wait(10)
    last = ground.settled(began)
    edited, first = {}, {}
    for event in ground.audit():
        if event["at"] < began or event["cluster"] is None or event["resource"] != "registryclusters" or event["verb"] not in WRITES:
            continue
        if event["user"] == "admin":
            edited.setdefault(event["cluster"], event["at"])
        elif event["part"] == "status" and event["cluster"] in edited:
            first.setdefault(event["cluster"], event["at"])
    return {"edits_a_second": EDITS_A_SECOND, "first_act_written_s": spread([first[n] - edited[n] for n in first]), "last_write_s": last,
            "requests": ground.requests(began, clusters)}


def measure(ground: Ground, clusters: int, steady: int) -> dict:
    result: dict = {}
    operator = Operator(ground)
    try:
        time.sleep(IDLE_S)
        result["idle_60s"] = {"ready_s": operator.ready_s, **operator.memory()}
        say(f"{clusters} clusters ...")
        began, cpu = time.time(), operator.cpu()
        ground.kubectl("apply", "--server-side", "-f", "-", input=manifests(range(1, clusters + 1), 0))
        applied = round(time.time() - began, 1)
        result["start"] = {"apply_s": applied, "pods_ready_s": ground.all_are(clusters, "pods", began),
                           "clusters_ready_s": ground.all_are(clusters, "clusters", began), "last_write_s": ground.settled(began),
                           "cpu_ms_a_cluster": round((operator.cpu() - cpu) * 1000 / clusters, 1), **operator.memory(),
                           "requests": ground.requests(began, clusters)}
        say(f"{steady} s at rest ...")
        began, cpu = time.time(), operator.cpu()
        time.sleep(steady)
        result["rest"] = {"seconds": steady, "cpu_s_a_minute": round((operator.cpu() - cpu) * 60 / steady, 3), **operator.memory(),
                          "requests": ground.requests(began, clusters)}
        say("a restart ...")
        stopped = operator.stop()
        began = time.time()
        operator = Operator(ground)
        time.sleep(IDLE_S)
        result["restart"] = {"stop_s": stopped, "ready_s": operator.ready_s, "cpu_s": operator.cpu(), **operator.memory(),
                             "requests": ground.requests(began, clusters)}
        say("a change of every cluster ...")
        result["edits"] = edits(ground, clusters)
        result["edits"].update(operator.memory())
    finally:
        if operator.process.poll() is None:
            operator.stop()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=500)
    parser.add_argument("--steady", type=int, default=300)
    parser.add_argument("--speed", type=int, default=20)
    options = parser.parse_args()
    if os.environ.get("KUBECONFIG"):
        sys.exit("bench: KUBECONFIG is set, and this makes a cluster of its own: unset it")
    for program in ("sofa-operator", "examples/fake-middleware"):
        if not (TARGET / program).exists():
            sys.exit(f"bench: {TARGET / program} is missing: make bench builds it")
    ground = Ground(options.clusters, options.speed)
    try:
        result = {"date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "clusters": options.clusters, "speed": options.speed,
                  **measure(ground, options.clusters, options.steady)}
    finally:
        ground.close()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
