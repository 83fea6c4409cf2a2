#!/usr/bin/env python3
"""Measures the ground and prints one JSON object: seconds of `cluster.sh up` for two nodes, image sizes, seconds from the
first `kubectl apply` to the last healthy server for both lines of SOFARegistry.

    bench.py [--cold]     --cold: also the first `cluster.sh up` with empty caches (builds Kubernetes; about 15 min)

Uses a cluster of its own (CLUSTER_ID 1). Run it on a machine that does nothing else; docs/benchmarks.md keeps the results.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CLUSTER = ROOT / "tests/cluster/cluster.sh"
MANIFESTS = Path(__file__).resolve().parent / "manifests"
RUNS = 5
BRING_UPS = 3
REPLICAS = {"meta": 3, "data": 2, "session": 2}
ENV = {**os.environ, "CLUSTER_ID": "1"}
ENV.pop("KUBECONFIG", None)


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run(*command: object, env: dict = ENV, **options) -> str:
    return subprocess.run([str(c) for c in command], check=True, env=env, stdout=subprocess.PIPE, text=True, **options).stdout


def timed(*command: object, env: dict = ENV) -> float:
    began = time.monotonic()
    run(*command, env=env)
    return round(time.monotonic() - began, 1)


def spread(values: list[float]) -> dict:
    return {"runs": len(values), "median": statistics.median(values), "min": min(values), "max": max(values)}


def warm_up() -> dict:
    seconds = []
    for _ in range(RUNS):
        seconds.append(timed(CLUSTER, "up", 2))
        run(CLUSTER, "down")
    return spread(seconds)


def cold_up() -> float:
    empty = Path(tempfile.mkdtemp(prefix="sofa-bench-"))
    env = {**ENV, "SOFA_CACHE": str(empty / "cache"), "GOCACHE": str(empty / "go-build"), "GOMODCACHE": str(empty / "go-mod")}
    try:
        seconds = timed(CLUSTER, "up", 2, env=env)
        run(CLUSTER, "down", env=env)
        return seconds
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(empty)], check=False)  # Go's module cache is read-only
        shutil.rmtree(empty)


def kubectl(*arguments: object, **options) -> str:
    config = run(CLUSTER, "env").split()[1].split("=", 1)[1]
    return run(Path(config).parent / "bin/kubectl", "--kubeconfig", config, *arguments, **options)


def bring_up(version: str, number: int) -> dict:
    """Seconds from the first apply until each role was healthy, each role applied when the one before was."""
    space = f"bench-{version.replace('.', '-')}-{number}"
    kubectl("create", "namespace", space)
    began = time.monotonic()
    seconds = {}
    if version.startswith("6"):
        kubectl("-n", space, "apply", "-f", MANIFESTS / "mariadb.yaml", "-f", MANIFESTS / f"registry-{version}-database.yaml")
        kubectl("-n", space, "wait", "--for=condition=Complete", "job/registry-database-init", "--timeout=120s")
        seconds["database"] = round(time.monotonic() - began, 1)
    for role, replicas in REPLICAS.items():
        kubectl("-n", space, "apply", "-f", MANIFESTS / f"registry-{version}-{role}.yaml")
        kubectl("-n", space, "wait", f"--for=jsonpath={{.status.readyReplicas}}={replicas}", f"statefulset/{role}", "--timeout=300s")
        seconds[role] = round(time.monotonic() - began, 1)
    kubectl("delete", "namespace", space, "--wait=true", "--timeout=120s")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()
    if os.environ.get("KUBECONFIG"):
        sys.exit("bench: KUBECONFIG is set, and these figures are of the local cluster: unset it")
    result = {"date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "kernel": platform.release(),
              "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)}
    if options.cold:
        say("cold cluster-up, two nodes, empty caches ...")
        result["cluster_up_cold_s"] = cold_up()
    say("images ...")
    sizes = {}
    for line in run(ROOT / "images/build.py", "--list").splitlines():
        name, size, _ = line.split("\t")
        sizes[name.removeprefix("localhost/")] = int(size.split()[0])
    result["image_unpacked_mb"] = sizes
    try:
        say(f"warm cluster-up, two nodes, {RUNS} times ...")
        result["cluster_up_warm_s"] = warm_up()
        run(CLUSTER, "up", 3)
        run(CLUSTER, "load", "sofa-registry", "mariadb")
        for version in ("5.4.3", "6.3.0"):
            say(f"SOFARegistry {version} in order, {BRING_UPS} times ...")
            runs = [bring_up(version, n) for n in range(BRING_UPS)]
            result[f"registry_{version}_s"] = {role: spread([r[role] for r in runs]) for role in runs[0]}
    finally:
        subprocess.run([CLUSTER, "down"], env=ENV, check=False)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
