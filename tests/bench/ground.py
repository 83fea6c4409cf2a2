"""What the benchmarks share: a local cluster that goes with them, programs that end with them, and waits with a deadline.

However a benchmark ends, by its own end, by Ctrl-C, by TERM or by a fault, what it started is ended by its process id and its
cluster is taken down. What a benchmark that was killed has left goes when the next one begins.
"""
import contextlib
import ctypes
import datetime
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CLUSTER = ROOT / "tests/cluster/cluster.sh"
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
# How long a program may take to end after TERM.
LAST_WORDS_S = 20
# Proxies of the environment are for the world outside; all that is asked here is on this machine.
urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def end_in_order() -> None:
    """TERM, HUP and Ctrl-C end this by an exception, so that everything that was started is ended; a second one is not heard."""
    signals = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

    def end(number: int, _frame: object) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        say("told to stop: what was started is ended")
        sys.exit(128 + number)

    for each in signals:
        signal.signal(each, end)


def stop(process: subprocess.Popen) -> None:
    """Ends a program and what it started in its session: TERM, and KILL after LAST_WORDS_S."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LAST_WORDS_S)


def dies_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def program(*command: object, **options) -> Iterator[subprocess.Popen]:
    """A program that runs beside, and ends with the block; killed with this process if that is killed."""
    words = [str(word) for word in command]
    process = subprocess.Popen(words, start_new_session=True, preexec_fn=dies_with_parent, stdin=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        stop(process)


def run(*command: object, env: dict | None = None, text: str | None = None) -> str:
    """Runs a program to its end with `text` as its input; what it printed. It is ended if this is."""
    words = [str(word) for word in command]
    stdin = subprocess.DEVNULL if text is None else subprocess.PIPE
    process = subprocess.Popen(words, env=env, stdin=stdin, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        printed, _ = process.communicate(text)
    finally:
        stop(process)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, words, printed)
    return printed


class Late(SystemExit):
    """What was waited for did not come: the end, unless somebody counts with it."""


def until(what: str, holds: Callable[[], object], limit_s: float, look_s: float = 0.2) -> object:
    """The first true value of `holds`, which is asked every `look_s`. What it raises means: not yet."""
    end = time.monotonic() + limit_s
    while True:
        last: object = "not yet"
        try:
            if value := holds():
                return value
        except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as error:
            last = error
        if time.monotonic() > end:
            raise Late(f"bench: not within {limit_s} s: {what}: {last}")
        time.sleep(look_s)


def moment(text: str) -> float:
    """A time of Kubernetes, in seconds since 1970."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def only_local() -> None:
    if os.environ.get("KUBECONFIG"):
        sys.exit("bench: KUBECONFIG is set, and this makes a cluster of its own: unset it")


def local_cluster(stack: contextlib.ExitStack, number: int, nodes: int, fake_nodes: int = 0) -> dict:
    """A local cluster with this id that goes with the stack: the environment of a shell that points at it."""
    env = {**os.environ, "CLUSTER_ID": str(number), "FAKE_NODES": str(fake_nodes)}
    env.pop("KUBECONFIG", None)
    run(CLUSTER, "down", env=env)
    stack.callback(run, CLUSTER, "down", env=env)
    run(CLUSTER, "up", nodes, env=env)
    lines = dict(line.removeprefix("export ").split("=", 1) for line in run(CLUSTER, "env", env=env).splitlines())
    return {**env, "KUBECONFIG": lines["KUBECONFIG"], "PATH": lines["PATH"].replace("$PATH", env["PATH"])}


@contextlib.contextmanager
def api(env: dict) -> Iterator[str]:
    """The API server without a password, at an address of the loopback, for as long as the block lasts."""
    with program("kubectl", "proxy", "--port", 0, env=env, stdout=subprocess.PIPE, text=True) as proxy:
        # "Starting to serve on 127.0.0.1:NUMBER"
        yield f"http://{proxy.stdout.readline().split()[-1]}"
