#!/usr/bin/env python3
"""The operator beside a script that does the same by hand, on three real nodes with the real SOFARegistry 5.4.3.

    by_hand.py [--runs 3] [--moves 30]

Each run: the operator brings 3 + 3 + 2 servers up and rolls them to a new template; then this script does both with copies of
the operator's own objects, in the same order, and waits on the same conditions: each role converged before the next is
started; push closed and seen closed on every session, each server alone, changePeer and its lists, counts, push open and seen
open. Then a MetaServer is deleted `moves` times, and every meta at once. Prints one JSON object. It makes a cluster of its own
(CLUSTER_ID 6). Run it on a machine that does nothing else.
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CLUSTER = ROOT / "tests/cluster/cluster.sh"
OPERATORS = "bench-op"
NAME = "prod"
REPLICAS = {"meta": 3, "data": 3, "session": 2}
PORTS = {"meta": 9615, "data": 9622, "session": 9603}
PROXY_PORT = 8097
LIMIT_S = 600
LOOK_S = 0.2
KINDS = "serviceaccounts,configmaps,services,networkpolicies,statefulsets"


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run(*command: object, env: dict | None = None, **options) -> str:
    return subprocess.run([str(c) for c in command], check=True, env=env, stdout=subprocess.PIPE, text=True, **options).stdout


def until(what: str, holds) -> object:
    """The first true value of `holds`, which is asked every LOOK_S."""
    end = time.monotonic() + LIMIT_S
    while True:
        try:
            if value := holds():
                return value
        except (OSError, ValueError, KeyError) as error:
            last = error
        else:
            last = "not yet"
        if time.monotonic() > end:
            sys.exit(f"bench: not within {LIMIT_S} s: {what}: {last}")
        time.sleep(LOOK_S)


class Ground:
    def __init__(self) -> None:
        self.env = {**os.environ, "CLUSTER_ID": "6"}
        self.env.pop("KUBECONFIG", None)
        run(CLUSTER, "up", 3, env=self.env)
        run(CLUSTER, "load", "sofa-operator", "sofa-registry:5.4.3", env=self.env)
        lines = dict(line.removeprefix("export ").split("=", 1) for line in run(CLUSTER, "env", env=self.env).splitlines())
        self.env["KUBECONFIG"] = lines["KUBECONFIG"]
        self.env["PATH"] = lines["PATH"].replace("$PATH", self.env["PATH"]).strip('"')
        self.proxy = subprocess.Popen(["kubectl", "proxy", "--port", str(PROXY_PORT)], env=self.env, stdout=subprocess.DEVNULL)
        run("helm", "install", "bench", ROOT / "charts/sofa-operator", "-n", OPERATORS, "--create-namespace", "--set", "log.format=json",
            "--wait", "--timeout", "120s", env=self.env)

    def close(self) -> None:
        self.proxy.terminate()
        self.proxy.wait(10)
        self.env.pop("KUBECONFIG")
        run(CLUSTER, "down", env=self.env)

    def kubectl(self, *arguments: object, **options) -> str:
        return run("kubectl", *arguments, env=self.env, **options)

    def log(self, since: float) -> list[dict]:
        """The operator's log since a moment of this machine's clock."""
        text = self.kubectl("-n", OPERATORS, "logs", "deployment/bench-sofa-operator", f"--since={int(time.time() - since) + 2}s")
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in lines if moment(line["timestamp"]) >= since]


def moment(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Cluster:
    """One registry in a namespace of its own, and what its servers say."""

    def __init__(self, ground: Ground, space: str) -> None:
        self.ground, self.space = ground, space
        ground.kubectl("create", "namespace", space)

    def kubectl(self, *arguments: object, **options) -> str:
        return self.ground.kubectl("-n", self.space, *arguments, **options)

    def end(self) -> None:
        self.ground.kubectl("delete", "namespace", self.space, "--timeout=180s")

    def pods(self, role: str) -> dict[str, dict]:
        found = json.loads(self.kubectl("get", "pods", "-l", f"middleware.sofastack.io/role={role}", "-o", "json"))["items"]
        return {p["metadata"]["name"]: p for p in found if "deletionTimestamp" not in p["metadata"]}

    def addresses(self, role: str) -> set[str]:
        return {p["status"].get("podIP", "") for p in self.pods(role).values()}

    def ask(self, pod: str, path: str, form: dict | None = None) -> tuple[int, str]:
        role = pod.split("-")[-2]
        url = f"http://127.0.0.1:{PROXY_PORT}/api/v1/namespaces/{self.space}/pods/{pod}:{PORTS[role]}/proxy{path}"
        body = urllib.parse.urlencode(form).encode() if form else None
        try:
            with urllib.request.urlopen(url, data=body, timeout=15) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def listed(self, pod: str, role: str, of_meta: bool) -> set[str]:
        status, text = self.ask(pod, f"/digest/{role}/{'node' if of_meta else 'serverList'}/query")
        if status != 200:
            raise ValueError(text)
        lists = json.loads(text or "{}")
        if of_meta:
            return set(lists.get("DefaultDataCenter", {}))
        return {a for group in (lists.values() if isinstance(lists, dict) else [lists]) for a in (group if isinstance(group, list) else list(group))}

    def leader(self) -> str:
        for pod in sorted(self.pods("meta")):
            if "raftStatus:Leader" in self.ask(pod, "/health/check")[1]:
                return pod
        raise ValueError("no leader")

    def is_ready(self, pod: dict) -> bool:
        conditions = pod["status"].get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def converged(self, role: str) -> bool:
        """Every server of this role is Ready, and the leader lists those and no others."""
        pods = self.pods(role)
        ready = len(pods) == REPLICAS[role] and all(self.is_ready(p) for p in pods.values())
        return ready and self.listed(self.leader(), role, True) == self.addresses(role)

    def all_closed(self, closed: bool) -> bool:
        word = '"closed"' if closed else '"open"'
        return all(word in self.ask(pod, "/digest/pushSwitch")[1] for pod in self.pods("session"))


class Window:
    """How long push is closed, seen from a session: it looks every LOOK_S, whoever rolls."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.closed, self.opened, self.over = cluster, None, None, False
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self) -> None:
        while not self.over:
            for pod in (f"{NAME}-session-0", f"{NAME}-session-1"):
                try:
                    status, text = self.cluster.ask(pod, "/digest/pushSwitch")
                except OSError:
                    continue
                if status != 200:
                    continue
                if '"closed"' in text:
                    self.closed = self.closed or time.monotonic()
                    self.opened = None
                elif self.closed and '"open"' in text:
                    self.opened = self.opened or time.monotonic()
                break
            time.sleep(LOOK_S)

    def seconds(self) -> float:
        until("push is seen open", lambda: self.opened)
        self.over = True
        self.thread.join()
        return round(self.opened - self.closed, 1)


def is_ready(cluster: Cluster) -> bool:
    object_ = json.loads(cluster.kubectl("get", "registrycluster", NAME, "-o", "json"))
    ready = [c for c in object_.get("status", {}).get("conditions", []) if c["type"] == "Ready"]
    return bool(ready) and ready[0]["status"] == "True" and ready[0]["observedGeneration"] == object_["metadata"]["generation"]


def spec(**more) -> str:
    return json.dumps({
        "apiVersion": "middleware.sofastack.io/v1alpha1", "kind": "RegistryCluster", "metadata": {"name": NAME},
        "spec": {"version": "5.4.3", "image": "localhost/sofa-registry:5.4.3", "dataCenter": "DefaultDataCenter", "profile": "Small",
                 "networkPolicy": {"extraFrom": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]},
                 **{role: {"replicas": n} for role, n in REPLICAS.items()}, **more}})


def by_operator(cluster: Cluster) -> tuple[float, float]:
    began = time.monotonic()
    cluster.kubectl("apply", "--server-side", "-f", "-", input=spec())
    until("the cluster is Ready", lambda: is_ready(cluster))
    start = round(time.monotonic() - began, 1)
    window = Window(cluster)
    cluster.kubectl("patch", "registrycluster", NAME, "--type=merge", "-p", json.dumps({"spec": {"restart": "once"}}))
    until("the change is over", lambda: window.closed and is_ready(cluster))
    return start, window.seconds()


def copies(cluster: Cluster) -> list[dict]:
    """The objects that the operator made, as a person would write them: without its marks, and with no gate on the pods."""
    made = []
    for object_ in json.loads(cluster.kubectl("get", KINDS, "-o", "json"))["items"]:
        meta = object_["metadata"]
        if not meta["name"].startswith(NAME):
            continue
        object_["metadata"] = {"name": meta["name"], "labels": meta.get("labels", {})}
        object_.pop("status", None)
        spec_ = object_.get("spec", {})
        for field in ("clusterIP", "clusterIPs"):
            if object_["kind"] == "Service" and spec_.get(field) not in ("None", ["None"]):
                spec_.pop(field, None)
        if object_["kind"] == "StatefulSet":
            spec_["template"]["spec"].pop("schedulingGates", None)
        made.append(object_)
    return made


def start_by_hand(cluster: Cluster, objects: list[dict]) -> float:
    began = time.monotonic()
    items = [o for o in objects if o["kind"] != "StatefulSet"]
    cluster.kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    for role in REPLICAS:
        sets = [o for o in objects if o["kind"] == "StatefulSet" and o["metadata"]["name"] == f"{NAME}-{role}"]
        cluster.kubectl("create", "-f", "-", input=json.dumps(sets[0]))
        until(f"{role} serves", lambda role=role: cluster.converged(role))
    until("push is open", lambda: cluster.all_closed(False))
    return round(time.monotonic() - began, 1)


def replace(cluster: Cluster, pod: str) -> str:
    """Stops a pod; the address of its successor, which is there but need not serve."""
    uid = cluster.pods(pod.split("-")[1])[pod]["metadata"]["uid"]
    cluster.kubectl("delete", "pod", pod, "--wait=false")

    def successor() -> str:
        found = cluster.pods(pod.split("-")[1]).get(pod)
        return found["status"].get("podIP", "") if found and found["metadata"]["uid"] != uid else ""

    return until(f"{pod} is there again", successor)


def roll_by_hand(cluster: Cluster) -> float:
    """The operations guide, with every gate that the operator has."""
    window = Window(cluster)
    for role in REPLICAS:
        patch = {"spec": {"template": {"metadata": {"annotations": {"by-hand": "once"}}}}}
        cluster.kubectl("patch", "statefulset", f"{NAME}-{role}", "--type=merge", "-p", json.dumps(patch))
    cluster.ask(cluster.leader(), "/stopPushDataSwitch/open")
    until("push is closed", lambda: cluster.all_closed(True))
    leader = cluster.leader()
    for meta in [p for p in sorted(cluster.pods("meta"), reverse=True) if p != leader] + [leader]:
        old = cluster.pods("meta")[meta]["status"]["podIP"]
        group = cluster.addresses("meta")
        new = replace(cluster, meta)
        until(f"{meta} answers", lambda meta=meta: "MetaServerBoot" in cluster.ask(meta, "/health/check")[1])
        via = until("a leader", cluster.leader)
        peers = sorted((group - {old}) | {new})
        until("changePeer", lambda via=via, peers=peers: '"success":true' in cluster.ask(via, "/manage/changePeer", {"ipAddressList": ",".join(peers)})[1])
        until("the metas are one group", lambda: cluster.converged("meta"))
        others = [p for role in ("data", "session") for p in sorted(cluster.pods(role))]
        until("the others know them", lambda peers=peers, others=others: all(cluster.listed(p, "meta", False) == set(peers) for p in others))
    until("push is still closed", lambda: cluster.all_closed(True))
    for role in ("data", "session"):
        for pod in sorted(cluster.pods(role), reverse=True):
            replace(cluster, pod)
            until(f"{role} is whole", lambda role=role: cluster.converged(role))
            sessions = sorted(cluster.pods("session"))
            until("the sessions know the data", lambda sessions=sessions: all(cluster.listed(s, "data", False) == cluster.addresses("data") for s in sessions))
            until("push is still closed", lambda: cluster.all_closed(True))
    counts = [until("counts", lambda s=s: cluster.ask(s, "/digest/data/count")[1]) for s in sorted(cluster.pods("session"))]
    until("counts, once more", lambda: counts == [cluster.ask(s, "/digest/data/count")[1] for s in sorted(cluster.pods("session"))])
    cluster.ask(cluster.leader(), "/stopPushDataSwitch/close")
    until("push is open", lambda: cluster.all_closed(False))
    return window.seconds()


def percentiles(values: list[float]) -> dict:
    values = sorted(values)
    at = lambda share: round(values[min(len(values) - 1, int(len(values) * share))], 2)
    return {"runs": len(values), "p50": at(0.5), "p95": at(0.95), "max": round(values[-1], 2)}


def moves(cluster: Cluster, number: int) -> dict:
    """From a new meta's first answer to the end of the changePeer for it, by the operator's log."""
    seconds = []
    for turn in range(number):
        meta = f"{NAME}-meta-{turn % REPLICAS['meta']}"
        began = time.time()
        replace(cluster, meta)
        until(f"{meta} answers", lambda meta=meta: "MetaServerBoot" in cluster.ask(meta, "/health/check")[1])
        answered = time.time()
        until(f"{meta} is let in", lambda: is_ready(cluster) and cluster.converged("meta"))
        told = [line for line in cluster.ground.log(began) if "accepted" in line.get("fields", line).get("message", "")]
        seconds.append(moment(told[0]["timestamp"]) - answered)
    return percentiles(seconds)


def power_loss(cluster: Cluster) -> float:
    """From the last meta's first answer until the three are one group again."""
    cluster.kubectl("patch", "registrycluster", NAME, "--type=merge", "-p", json.dumps({"spec": {"recovery": {"metaMajority": {"mode": "Automatic"}}}}))
    until("the cluster is Ready", lambda: is_ready(cluster))
    uids = {p["metadata"]["uid"] for p in cluster.pods("meta").values()}
    cluster.kubectl("delete", "pods", "-l", "middleware.sofastack.io/role=meta", "--grace-period=0", "--force")

    def all_answer() -> bool:
        pods = cluster.pods("meta")
        new = len(pods) == 3 and not uids & {p["metadata"]["uid"] for p in pods.values()}
        return new and all("MetaServerBoot" in cluster.ask(p, "/health/check")[1] for p in pods)

    until("every meta answers", all_answer)
    answered = time.monotonic()
    alive = lambda: all(json.loads(cluster.ask(p, "/manage/queryPeer")[1]) and set(json.loads(cluster.ask(p, "/manage/queryPeer")[1])) == cluster.addresses("meta")
                        and cluster.ask(p, "/health/check")[0] == 200 for p in cluster.pods("meta"))
    until("the metas are one group", alive)
    seconds = round(time.monotonic() - answered, 1)
    until("the cluster is Ready", lambda: is_ready(cluster))
    return seconds


def measure(ground: Ground, runs: int, number_of_moves: int) -> dict:
    start, window = {"operator": [], "script": []}, {"operator": [], "script": []}
    for turn in range(runs):
        say(f"run {turn + 1} of {runs}: the operator ...")
        ours = Cluster(ground, f"ours-{turn}")
        seconds, closed = by_operator(ours)
        start["operator"].append(seconds)
        window["operator"].append(closed)
        objects = copies(ours)
        ours.kubectl("delete", "registrycluster", NAME, "--timeout=180s")
        ours.end()
        say(f"run {turn + 1} of {runs}: by hand ...")
        hand = Cluster(ground, f"hand-{turn}")
        start["script"].append(start_by_hand(hand, objects))
        window["script"].append(roll_by_hand(hand))
        hand.end()
        say(f"first start {start}, push closed {window}")
    result = {}
    for name, figures in (("first_start_s", start), ("push_closed_s", window)):
        ratio = statistics.median(figures["operator"]) / statistics.median(figures["script"])
        result[name] = {**figures, "ratio_of_medians": round(ratio, 2)}
    say("metas that move ...")
    last = Cluster(ground, "moves")
    last.kubectl("apply", "--server-side", "-f", "-", input=spec())
    until("the cluster is Ready", lambda: is_ready(last))
    result["address_change_s"] = moves(last, number_of_moves)
    say("power loss ...")
    result["power_loss_s"] = [power_loss(last) for _ in range(runs)]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--moves", type=int, default=30)
    options = parser.parse_args()
    if os.environ.get("KUBECONFIG"):
        sys.exit("bench: KUBECONFIG is set, and this makes a cluster of its own: unset it")
    ground = Ground()
    try:
        result = {"date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), **measure(ground, options.runs, options.moves)}
    finally:
        ground.close()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
