#!/usr/bin/env python3
"""The operator beside a script that does the same by hand, on three real nodes with the real SOFARegistry 5.4.3.

    by_hand.py [--runs 3] [--moves 30] [--losses 3]

Each run: the operator brings 3 + 3 + 2 servers up and rolls them to a new template; then this script does both with copies of
the operator's own objects, in the same order, and waits on the same conditions: each role converged before the next is
started; push closed and seen closed on every session, each server alone, changePeer and its lists, the lists right for 5 s before
a DataServer is stopped, counts, push open and seen open. It looks five times a second, through one connection to the API server.
Then a MetaServer is deleted `moves` times, and every meta at once `losses` times. Prints one JSON object. It makes a cluster of
its own (CLUSTER_ID 6). Run it on a machine that does nothing else: about 50 minutes.
"""
import argparse
import contextlib
import json
import os
import statistics
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator

from ground import CLUSTER, ROOT, Late, api, end_in_order, local_cluster, moment, only_local, run, say, until

OPERATORS = "bench-op"
NAME = "prod"
REPLICAS = {"meta": 3, "data": 3, "session": 2}
PORTS = {"meta": 9615, "data": 9622, "session": 9603}
LIMIT_S = 600
REPEAT_S = 20
LOOK_S = 0.2
# How long the lists are right before a DataServer is stopped (docs/measured/sofaregistry.md, 16).
HEARD_S = 5
# The first answer of a new meta is looked for more often: what is measured begins with it.
LOOK_CLOSELY_S = 0.05
KINDS = "serviceaccounts,configmaps,services,networkpolicies,statefulsets"
CENTER = "DefaultDataCenter"


def wait(what: str, holds, look_s: float = LOOK_S) -> object:
    return until(what, holds, LIMIT_S, look_s)


def for_long(holds: Callable[[], bool], seconds: float) -> Callable[[], bool]:
    """A look that is right when `holds` has been so at every look for so long."""
    since = None

    def look() -> bool:
        nonlocal since
        since = (since or time.monotonic()) if holds() else None
        return since is not None and time.monotonic() - since >= seconds

    return look


class Ground:
    """The Kubernetes cluster with the operator, and the way to its API server."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.env = local_cluster(stack, 6, 3)
        run(CLUSTER, "load", "sofa-operator", "sofa-registry:5.4.3", env=self.env)
        self.api = stack.enter_context(api(self.env))
        run("helm", "install", "bench", ROOT / "charts/sofa-operator", "-n", OPERATORS, "--create-namespace", "--set", "log.format=json",
            "--wait", "--timeout", "120s", env=self.env)

    def kubectl(self, *arguments: object, text: str | None = None) -> str:
        return run("kubectl", *arguments, env=self.env, text=text)

    def get(self, path: str) -> dict:
        with urllib.request.urlopen(self.api + path, timeout=15) as answer:
            return json.load(answer)

    def log(self, since: float) -> list[dict]:
        """The operator's log since a moment of this machine's clock."""
        text = self.kubectl("-n", OPERATORS, "logs", "deployment/bench-sofa-operator", f"--since={int(time.time() - since) + 2}s")
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in lines if moment(line["timestamp"]) >= since]


class Cluster:
    """One registry in a namespace of its own, and what its servers say."""

    def __init__(self, ground: Ground, space: str) -> None:
        self.ground, self.space = ground, space
        ground.kubectl("create", "namespace", space)

    def kubectl(self, *arguments: object, text: str | None = None) -> str:
        return self.ground.kubectl("-n", self.space, *arguments, text=text)

    def end(self) -> None:
        self.ground.kubectl("delete", "namespace", self.space, "--timeout=180s")

    def edit(self, spec: dict) -> None:
        self.kubectl("patch", "registrycluster", NAME, "--type=merge", "-p", json.dumps({"spec": spec}))

    def pods(self, role: str) -> dict[str, dict]:
        """By name, but for those that are going."""
        query = urllib.parse.urlencode({"labelSelector": f"middleware.sofastack.io/role={role}"})
        found = self.ground.get(f"/api/v1/namespaces/{self.space}/pods?{query}")["items"]
        return {p["metadata"]["name"]: p for p in found if "deletionTimestamp" not in p["metadata"]}

    def addresses(self, role: str) -> set[str]:
        return {p["status"].get("podIP", "") for p in self.pods(role).values()}

    def ask(self, pod: str, path: str, form: dict | None = None) -> tuple[int, str]:
        url = f"{self.ground.api}/api/v1/namespaces/{self.space}/pods/{pod}:{PORTS[role_of(pod)]}/proxy{path}"
        body = urllib.parse.urlencode(form).encode() if form else None
        try:
            with urllib.request.urlopen(url, data=body, timeout=15) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def answers(self, pod: str) -> bool:
        """Whether the process listens: with 500 too."""
        return "ServerBoot" in self.ask(pod, "/health/check")[1]

    def json_of(self, pod: str, path: str) -> object:
        status, text = self.ask(pod, path)
        if status != 200:
            raise ValueError(f"{pod}{path}: {status} {text[:200]}")
        return json.loads(text)

    def meta_lists(self, pod: str, role: str) -> set[str]:
        return set(self.json_of(pod, f"/digest/{role}/node/query").get(CENTER, {}))

    def knows(self, pod: str, role: str) -> set[str]:
        """What a DataServer (by data centre) or a SessionServer believes."""
        listed = self.json_of(pod, f"/digest/{role}/serverList/query")
        return set(listed.get(CENTER, []) if isinstance(listed, dict) else listed)

    def leader(self) -> str:
        for pod in sorted(self.pods("meta")):
            if "raftStatus:Leader" in self.ask(pod, "/health/check")[1]:
                return pod
        raise ValueError("no leader")

    def converged(self, role: str) -> bool:
        """As the operator reads it: all work, and everybody who keeps a list of them lists these and no others."""
        pods = self.pods(role)
        have = self.addresses(role)
        if len(pods) != REPLICAS[role] or any(self.ask(p, "/health/check")[0] != 200 for p in pods):
            return False
        if self.meta_lists(self.leader(), role) != have:
            return False
        data, sessions = self.pods("data"), self.pods("session")
        if role == "meta":
            peers = all(set(self.json_of(p, "/manage/queryPeer")) == have for p in pods)
            return peers and all(self.knows(p, "meta") == have for p in (*data, *sessions))
        if role == "data":
            others = all(self.knows(p, "data") == have - {pod["status"]["podIP"]} for p, pod in data.items())
            return others and all(self.knows(p, "data") == have for p in sessions)
        return True

    def push_is(self, word: str) -> bool:
        """On every session, and in the store."""
        asked = [*self.pods("session"), self.leader()]
        return all(f'"{word}"' in self.ask(pod, "/digest/pushSwitch")[1] for pod in asked)

    def switch_push(self, word: str) -> None:
        """`open` closes push and `close` opens it (measured: sofaregistry section 4)."""
        path = "/stopPushDataSwitch/" + {"closed": "open", "open": "close"}[word]
        self.json_of(self.leader(), path)
        wait(f"push is {word}", lambda: self.push_is(word))


def role_of(pod: str) -> str:
    return pod.split("-")[-2]


class Window:
    """How long push is closed, seen from a session: it looks every LOOK_S, whoever rolls. Times are this machine's clock's."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.closed, self.opened, self.over = cluster, None, None, threading.Event()
        # When the first server of a role was stopped.
        self.first_stop: dict[str, float] = {}
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self) -> None:
        while not self.over.wait(LOOK_S):
            for number in range(REPLICAS["session"]):
                try:
                    status, text = self.cluster.ask(f"{NAME}-session-{number}", "/digest/pushSwitch")
                except OSError:
                    continue
                if status != 200:
                    continue
                if '"closed"' in text:
                    self.closed = self.closed or time.time()
                    self.opened = None
                elif self.closed and '"open"' in text:
                    self.opened = self.opened or time.time()
                break

    def seconds(self) -> float:
        wait("push is seen open", lambda: self.opened)
        self.over.set()
        self.thread.join()
        return round(self.opened - self.closed, 1)

    def by_role(self) -> dict[str, float]:
        """What of it each role took: from the first stop of one of its servers until that of the next role. Nothing if a stop of a
        role is not known."""
        if self.first_stop.keys() != REPLICAS.keys():
            return {}
        first = [self.first_stop[role] for role in REPLICAS]
        return {role: round(end - at, 1) for role, at, end in zip(REPLICAS, first, [*first[1:], self.opened])}


def is_ready(cluster: Cluster) -> bool:
    found = cluster.ground.get(f"/apis/middleware.sofastack.io/v1alpha1/namespaces/{cluster.space}/registryclusters/{NAME}")
    ready = [c for c in found.get("status", {}).get("conditions", []) if c["type"] == "Ready"]
    return bool(ready) and ready[0]["status"] == "True" and ready[0]["observedGeneration"] == found["metadata"]["generation"]


def apply(cluster: Cluster) -> None:
    cluster.kubectl("apply", "--server-side", "-f", "-", text=json.dumps({
        "apiVersion": "middleware.sofastack.io/v1alpha1", "kind": "RegistryCluster", "metadata": {"name": NAME},
        "spec": {"version": "5.4.3", "image": "localhost/sofa-registry:5.4.3", "dataCenter": CENTER, "profile": "Small",
                 "networkPolicy": {"extraFrom": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]},
                 **{role: {"replicas": n} for role, n in REPLICAS.items()}}}))


def accepted(ground: Ground, since: float) -> Iterator[tuple[str, float, float]]:
    """The operator's acts that were accepted: what, when, by this machine's clock, and how many seconds it took."""
    act = ""
    for line in ground.log(since):
        if line.get("message") == "an act":
            act = line["act"]
        elif line.get("message") == "the act was accepted":
            yield act, moment(line["timestamp"]), line["seconds"]


def by_operator(cluster: Cluster) -> tuple[float, Window]:
    began = time.monotonic()
    apply(cluster)
    wait("the cluster is Ready", lambda: is_ready(cluster))
    start = round(time.monotonic() - began, 1)
    window = Window(cluster)
    rolls = time.time()
    cluster.edit({"restart": "once"})
    wait("the change is over", lambda: window.closed and is_ready(cluster))
    for act, done, took in accepted(cluster.ground, rolls):
        if act.startswith("evict "):
            window.first_stop.setdefault(role_of(f"{NAME}-{act.split()[1]}"), done - took)
    return start, window


def copies(cluster: Cluster) -> list[dict]:
    """The objects that the operator made, as a person would write them: without its marks, and with neither gate nor guard on the pods."""
    made = []
    for found in json.loads(cluster.kubectl("get", KINDS, "-o", "json"))["items"]:
        meta, spec = found["metadata"], found.get("spec", {})
        if not meta["name"].startswith(NAME):
            continue
        found["metadata"] = {"name": meta["name"], "labels": meta.get("labels", {})}
        found.pop("status", None)
        if found["kind"] == "Service" and spec.get("clusterIP") != "None":
            spec.pop("clusterIP", None)
            spec.pop("clusterIPs", None)
        if found["kind"] == "StatefulSet":
            spec["template"]["spec"].pop("schedulingGates", None)
            spec["template"]["spec"].pop("initContainers", None)
        made.append(found)
    return made


def start_by_hand(cluster: Cluster, objects: list[dict]) -> float:
    began = time.monotonic()
    items = [o for o in objects if o["kind"] != "StatefulSet"]
    cluster.kubectl("create", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    for role in REPLICAS:
        [one] = [o for o in objects if o["kind"] == "StatefulSet" and o["metadata"]["name"] == f"{NAME}-{role}"]
        cluster.kubectl("create", "-f", "-", text=json.dumps(one))
        wait(f"the {role} servers work", lambda role=role: cluster.converged(role))
    cluster.switch_push("open")
    cluster.json_of(cluster.leader(), "/renewSwitch/disable")
    wait("snapshots are not renewed", lambda: '"false"' in cluster.ask(cluster.leader(), "/renewSwitch/get")[1])
    return round(time.monotonic() - began, 1)


def replace(cluster: Cluster, pod: str) -> str:
    """Stops a pod; the address of its successor, which is there and need not serve."""
    uid = cluster.pods(role_of(pod))[pod]["metadata"]["uid"]
    cluster.kubectl("delete", "pod", pod, "--wait=false")

    def successor() -> str:
        found = cluster.pods(role_of(pod)).get(pod)
        return found["status"].get("podIP", "") if found and found["metadata"]["uid"] != uid else ""

    return wait(f"{pod} is there again", successor)


def move_by_hand(cluster: Cluster, meta: str) -> None:
    """A meta is made again, and its new address is told to the group."""
    old = cluster.pods("meta")[meta]["status"]["podIP"]
    group = cluster.addresses("meta")
    peers = sorted((group - {old}) | {replace(cluster, meta)})
    wait(f"{meta} answers", lambda: cluster.answers(meta))
    told = 0.0

    def one_group() -> bool:
        """The call is repeated, as the operator does: the lists may stay as they were although the peers are right."""
        nonlocal told
        if told and cluster.converged("meta"):
            return True
        if time.monotonic() - told > REPEAT_S:
            answer = cluster.ask(cluster.leader(), "/manage/changePeer", {"ipAddressList": ",".join(peers)})[1]
            told = time.monotonic() if json.loads(answer)["success"] else 0.0
        return False

    wait("the metas are one group", one_group)


def roll_by_hand(cluster: Cluster) -> Window:
    """The operations guide, with every gate that the operator has."""
    window = Window(cluster)
    patch = json.dumps({"spec": {"template": {"metadata": {"annotations": {"by-hand": "once"}}}}})
    for role in REPLICAS:
        cluster.kubectl("patch", "statefulset", f"{NAME}-{role}", "--type=merge", "-p", patch)

    def counts() -> list[str]:
        return [cluster.ask(s, "/digest/data/count")[1] for s in sorted(cluster.pods("session"))]

    before = counts()
    cluster.switch_push("closed")
    leader = cluster.leader()
    followers = [p for p in sorted(cluster.pods("meta"), reverse=True) if p != leader]
    # The leader as the last but one: as the last one it may leave the data servers nobody whom they know (docs/adr/0012).
    for meta in [*followers[:-1], leader, followers[-1]]:
        window.first_stop.setdefault("meta", time.time())
        move_by_hand(cluster, meta)
    cluster.switch_push("closed")
    for role in ("data", "session"):
        for pod in sorted(cluster.pods(role), reverse=True):
            if role == "data":
                wait("the lists of the data nodes are heard", for_long(lambda: cluster.converged("data"), HEARD_S))
            window.first_stop.setdefault(role, time.time())
            replace(cluster, pod)
            wait(f"the {role} servers work", lambda role=role: cluster.converged(role))
            wait("push is still closed", lambda: cluster.push_is("closed"))
    for _ in range(2):
        wait("clients are back", lambda: counts() == before)
    cluster.switch_push("open")
    return window


def percentiles(values: list[float]) -> dict:
    if not values:
        return {"runs": 0}
    values = sorted(values)

    def at(share: float) -> float:
        return round(values[min(len(values) - 1, int(len(values) * share))], 2)

    return {"runs": len(values), "p50": at(0.5), "p95": at(0.95), "max": round(values[-1], 2)}


def change_peer_done(ground: Ground, since: float) -> tuple[float, float]:
    """When the operator wrote that a changePeer was accepted, by this machine's clock, and how long that act took: the call, and what
    the operator reads before and writes after it."""
    for act, done, took in accepted(ground, since):
        if "that the metas are" in act:
            return done, took
    raise ValueError("no changePeer in the operator's log")


def moves(cluster: Cluster, number: int) -> dict:
    """From a new meta's first answer to the end of the changePeer for it, by the operator's log; what of it passes until that act
    begins; and apart where the meta that moved had led, so that an election comes first."""
    seconds: list[float] = []
    waited: list[float] = []
    had_led: list[bool] = []
    for turn in range(number):
        meta = f"{NAME}-meta-{turn % REPLICAS['meta']}"
        had_led.append(cluster.leader() == meta)
        began = time.time()
        replace(cluster, meta)
        wait(f"{meta} answers", lambda meta=meta: cluster.answers(meta), LOOK_CLOSELY_S)
        answered = time.time()
        wait(f"{meta} is let in", lambda: cluster.converged("meta") and is_ready(cluster))
        done, took = change_peer_done(cluster.ground, began)
        seconds.append(done - answered)
        waited.append(done - answered - took)
    return {"all": percentiles(seconds), "until_the_act": percentiles(waited),
            "a_follower_moved": percentiles([s for s, led in zip(seconds, had_led) if not led]),
            "the_leader_moved": percentiles([s for s, led in zip(seconds, had_led) if led])}


def power_loss(cluster: Cluster) -> dict:
    """From the last meta's first answer until the three are one group again, and what the operator did in that time."""
    cluster.edit({"recovery": {"metaMajority": {"mode": "Automatic"}}})
    wait("the cluster is Ready", lambda: is_ready(cluster))
    uids = {p["metadata"]["uid"] for p in cluster.pods("meta").values()}
    began = time.time()
    cluster.kubectl("delete", "pods", "-l", "middleware.sofastack.io/role=meta", "--grace-period=0", "--force")

    def all_answer() -> bool:
        pods = cluster.pods("meta")
        new = len(pods) == REPLICAS["meta"] and not uids & {p["metadata"]["uid"] for p in pods.values()}
        return new and all(cluster.answers(p) for p in pods)

    def one_group() -> bool:
        have = cluster.addresses("meta")
        return all(cluster.ask(p, "/health/check")[0] == 200 and set(cluster.json_of(p, "/manage/queryPeer")) == have for p in cluster.pods("meta"))

    wait("every meta answers", all_answer, LOOK_CLOSELY_S)
    answered = time.time()
    wait("the metas are one group", one_group)
    seconds = round(time.time() - answered, 1)
    wait("the cluster is Ready", lambda: is_ready(cluster))
    ready = round(time.time() - answered, 1)
    told = [(round(moment(line["timestamp"]) - answered, 1), line.get("act") or line.get("why") or line["message"])
            for line in cluster.ground.log(began) if "act was" in line["message"] or line["message"] == "an act"]
    return {"one_group_s": seconds, "ready_s": ready, "acts": [f"{at:5.1f} s {what}" for at, what in told if at <= seconds]}


def beside(ground: Ground, runs: int) -> dict:
    """First starts and rolling changes, the operator's and the script's in turn."""
    start: dict[str, list] = {"operator": [], "script": []}
    window: dict[str, list] = {"operator": [], "script": []}
    by_role: dict[str, list] = {"operator": [], "script": []}
    stood_still: list[str] = []
    for turn in range(runs):
        say(f"run {turn + 1} of {runs}: the operator ...")
        ours = Cluster(ground, f"ours-{turn}")
        seconds, closed = by_operator(ours)
        start["operator"].append(seconds)
        window["operator"].append(closed.seconds())
        by_role["operator"].append(closed.by_role())
        objects = copies(ours)
        ours.kubectl("delete", "registrycluster", NAME, "--timeout=180s")
        ours.end()
        say(f"run {turn + 1} of {runs}: by hand ...")
        hand = Cluster(ground, f"hand-{turn}")
        try:
            start["script"].append(start_by_hand(hand, objects))
            closed = roll_by_hand(hand)
            window["script"].append(closed.seconds())
            by_role["script"].append(closed.by_role())
        except Late as why:
            # Nobody makes a server again that never comes to work: the operator would. It is told, and the other runs count.
            stood_still.append(f"run {turn + 1}: {why}")
            say(f"the script stands still: {why}")
        hand.end()
        say(f"first start {start}, push closed {window}, of it {by_role}")
    result: dict = {"script_stood_still": stood_still, "push_closed_by_role_s": by_role}
    for name, figures in (("first_start_s", start), ("push_closed_s", window)):
        ratio = statistics.median(figures["operator"]) / statistics.median(figures["script"]) if figures["script"] else None
        result[name] = {**figures, "ratio_of_medians": ratio and round(ratio, 2)}
    return result


def measure(ground: Ground, runs: int, number_of_moves: int, losses: int) -> dict:
    result = beside(ground, runs) if runs else {}
    if not number_of_moves and not losses:
        return result
    last = Cluster(ground, "moves")
    apply(last)
    wait("the cluster is Ready", lambda: is_ready(last))
    if number_of_moves:
        say("metas that move ...")
        result["address_change_s"] = moves(last, number_of_moves)
        say(f"{result['address_change_s']}")
    if losses:
        say("power loss ...")
        result["power_loss"] = [power_loss(last) for _ in range(losses)]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="first starts and rolling changes (0: none)")
    parser.add_argument("--moves", type=int, default=30, help="address changes (0: none)")
    parser.add_argument("--losses", type=int, default=3, help="losses of all metas at once (0: none)")
    options = parser.parse_args()
    only_local()
    end_in_order()
    with contextlib.ExitStack() as stack:
        result = {"date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(),
                  **measure(Ground(stack), options.runs, options.moves, options.losses)}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    sys.exit(main())
