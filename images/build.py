#!/usr/bin/env python3
"""Builds the images of this folder without Docker or any other daemon.

    build.py [--list] [--fresh] [NAME[:TAG]...]      all images if none is named; prints the path of each archive

The Dockerfiles are the one definition. Each says in its head which images it makes (`# image: NAME:TAG ARG=VALUE...`);
each `COPY --from=STAGE /out/ /` of its last stage is one layer, filled by the `RUN .../stage.sh /out ...` line of that
stage, which is run here as it is run there. Instructions of the last stage that this program does not know are refused.

Layers and archives (which `ctr images import`, `docker load` and `kind load image-archive` read) are kept in
$SOFA_CACHE/images, keyed by the scripts and files that they are built from, their arguments and the JDK's release. What is
half-written never gets a final name. `--fresh` builds the layers again, for newer packages of Debian for instance.
"""
import argparse
import fcntl
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
REGISTRY = "localhost"
MTIME = 1_700_000_000  # one time for every file, so that the same inputs give the same layer
USER = 10001
FREE_MIB = 3000  # a build with empty caches needs about this much


class BuildError(Exception):
    """One sentence for the user."""


@dataclass
class Stage:
    runs: list[str] = field(default_factory=list)  # the arguments of its stage.sh lines
    args: dict[str, str] = field(default_factory=dict)


@dataclass
class Image:
    name: str  # NAME:TAG
    dockerfile: Path
    args: dict[str, str]

    @property
    def reference(self) -> str:
        return f"{REGISTRY}/{self.name}"


def images() -> list[Image]:
    found = []
    for dockerfile in sorted(HERE.glob("*/Dockerfile")):
        for line in re.findall(r"^# image: (.+)$", dockerfile.read_text(), re.M):
            name, *args = line.split()
            found.append(Image(name, dockerfile, dict(a.split("=", 1) for a in args)))
    return found


def instructions(dockerfile: Path):
    text = re.sub(r"\\\n", " ", dockerfile.read_text())
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), rest.strip()


def parse(image: Image) -> tuple[list[str], dict]:
    """The stage.sh command of each layer of the last stage, bottom first, and the image's configuration."""
    try:
        return parse_stages(image)
    except (KeyError, ValueError) as e:
        raise BuildError(f"{image.dockerfile}: build.py does not understand it: {e}") from e


def parse_stages(image: Image) -> tuple[list[str], dict]:
    stages: dict[str, Stage] = {}
    layers: list[str] = []
    config: dict = {}
    stage = Stage()
    for word, rest in instructions(image.dockerfile):
        if word == "FROM":
            base, _, name = re.sub(r"\s+as\s+", " AS ", rest, flags=re.I).partition(" AS ")
            stage, last = Stage(), not name
            if last and base != "scratch":
                raise BuildError(f"{image.dockerfile}: the last stage must be FROM scratch, not {base}")
            stages[name or ""], layers, config = stage, [], {}
            continue
        if word == "ARG":
            key, _, default = rest.partition("=")
            stage.args[key] = image.args.get(key, default)
            continue
        if stage is not stages.get(""):
            if word == "RUN" and (m := re.fullmatch(r"/src/(\S+/stage\.sh) /out(.*)", rest)):
                stage.runs.append(m[1] + expand(m[2], stage.args))
            continue
        if word == "COPY" and (m := re.fullmatch(r"--from=(\S+) /out/ /", rest)):
            layers += stages[m[1]].runs
        elif not configure(config, word, expand(rest, stage.args)):
            raise BuildError(f"{image.dockerfile}: build.py does not know '{word} {rest}' in the last stage")
    return layers, config


def expand(text: str, args: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda m: args[m[1]], text)


def configure(config: dict, word: str, rest: str) -> bool:
    match word:
        case "ENV":
            config.setdefault("Env", []).extend(shlex.split(rest))
        case "USER":
            config["User"] = rest
        case "WORKDIR":
            config["WorkingDir"] = rest
        case "EXPOSE":
            config.setdefault("ExposedPorts", {}).update({f"{p}/tcp": {} for p in rest.split()})
        case "VOLUME":
            config.setdefault("Volumes", {})[rest] = {}
        case "LABEL":
            config.setdefault("Labels", {}).update(pair.split("=", 1) for pair in shlex.split(rest))
        case "ENTRYPOINT":
            config["Entrypoint"] = json.loads(rest)
        case "CMD":
            config["Cmd"] = json.loads(rest)
        case _:
            return False
    return True


def inputs(script: Path) -> list[Path]:
    """Every file that a layer is built from: the folder of its stage.sh, what its `inputs` file names, the shared shell."""
    folder = script.parent
    paths = [p for p in folder.rglob("*") if p.is_file() and p.name not in ("Dockerfile", "README.md")]
    if (listed := folder / "inputs").exists():
        for entry in listed.read_text().split():
            path = ROOT / entry
            paths += [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return sorted({*paths, HERE / "stage-lib.sh"})


def digest_of_inputs(command: str, script: Path) -> str:
    h = hashlib.sha256(command.encode())
    release = Path(os.environ.get("JDK_17") or "/usr/lib/jvm/java-17-openjdk-amd64") / "release"
    if b"jdk" in script.read_bytes() and release.exists():
        h.update(release.read_bytes())
    for path in inputs(script):
        h.update(f"\0{path.relative_to(ROOT)}\0{os.stat(path).st_mode & 0o111}\0".encode())
        h.update(path.read_bytes())
    return h.hexdigest()[:16]


def write_tar(root: Path, out: Path) -> None:
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            info = tar.gettarinfo(path, str(path.relative_to(root)))
            info.mtime, info.uname, info.gname = MTIME, "", ""
            # Root owns all but the home of the user that the images run as, whoever builds them.
            info.uid = info.gid = USER if info.name == "home/sofa" else 0
            if info.isreg():
                with path.open("rb") as f:
                    tar.addfile(info, f)
            else:
                tar.addfile(info)


def sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


class Cache:
    """Finished files by key. A file counts only with its record beside it and the size that the record gives."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.lock: io.TextIOBase | None = None
        self.made: set[str] = set()  # what this run built

    def lock_it(self) -> None:
        """Only who builds takes the lock: who finds everything in the cache waits for nobody's build."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # two builds at once would do the same work twice
        except BlockingIOError:
            print("images: waiting for another build of images ...", file=sys.stderr, flush=True)
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        for left in self.folder.glob(".new-*"):
            shutil.rmtree(left)

    def finished(self, path: Path, record: Path) -> tuple[Path, dict] | None:
        try:
            facts = json.loads(record.read_text())
            if path.stat().st_size == facts["size"]:
                return path, facts
        except (OSError, ValueError, KeyError):
            pass
        return None

    def get(self, key: str) -> tuple[Path, dict] | None:
        """The finished file; on None the lock is held, for it is built next."""
        path, record = self.folder / f"{key}.tar", self.folder / f"{key}.json"
        if hit := self.finished(path, record):
            return hit
        if self.lock is None:
            check_space(self.folder)
            self.lock_it()
            if hit := self.finished(path, record):  # another build has just finished it
                return hit
        if not path.exists() and not record.exists():
            return None
        print(f"images: {path.name} in the cache is incomplete: building it again", file=sys.stderr)
        path.unlink(missing_ok=True)
        record.unlink(missing_ok=True)
        return None

    def put(self, key: str, made: Path, facts: dict) -> tuple[Path, dict]:
        path, record = self.folder / f"{key}.tar", self.folder / f"{key}.json"
        facts["size"] = made.stat().st_size
        os.replace(made, path)
        (made.parent / "record").write_text(json.dumps(facts))
        os.replace(made.parent / "record", record)
        return path, facts


def run_stage(command: list) -> str | None:
    """Why it failed. What it prints is passed on, but for its `stage.sh: REASON` line: that becomes part of ours."""
    reason = "its output is above"
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, errors="replace") as stage:
        for line in stage.stderr:
            if line.startswith("stage.sh: "):
                reason = line.removeprefix("stage.sh: ").strip()
            else:
                print(line, end="", file=sys.stderr, flush=True)
    return reason if stage.returncode else None


def build_layer(cache: Cache, command: str, fresh: bool) -> tuple[Path, dict]:
    script, *args = command.split()
    script = ROOT / script
    key = f"layer-{script.parent.name}-{digest_of_inputs(command, script)}"
    if (hit := cache.get(key)) and (not fresh or key in cache.made):
        return hit
    if fresh and cache.lock is None:
        cache.lock_it()
    check_space(cache.folder)
    print(f"images: {command} ...", file=sys.stderr, flush=True)
    began = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=cache.folder))
    try:
        if reason := run_stage([script, work / "out", *args]):
            raise BuildError(f"{command} failed: {reason}; nothing was kept")
        tar = work / "layer.tar"
        write_tar(work / "out", tar)
        unpacked = sum(p.lstat().st_size for p in (work / "out").rglob("*") if not p.is_dir())
        cache.made.add(key)
        result = cache.put(key, tar, {"diff_id": sha256(tar), "unpacked": unpacked})
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"images: {command} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return result


def build_image(cache: Cache, image: Image, fresh: bool) -> tuple[Path, dict]:
    commands, config = parse(image)
    layers = [build_layer(cache, c, fresh) for c in commands]
    body = json.dumps({"architecture": "amd64", "os": "linux", "config": config, "rootfs": {
        "type": "layers", "diff_ids": [f"sha256:{facts['diff_id']}" for _, facts in layers]}}).encode()
    image_id = hashlib.sha256(body).hexdigest()
    key = f"{image.name.replace(':', '-')}-{image_id[:16]}"
    if hit := cache.get(key):
        return hit
    check_space(cache.folder)
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=cache.folder))
    try:
        archive = work / "image.tar"
        manifest = [{"Config": f"{image_id}.json", "RepoTags": [image.reference],
                     "Layers": [f"{facts['diff_id']}/layer.tar" for _, facts in layers]}]
        with tarfile.open(archive, "w") as tar:
            def add(member: str, data: bytes) -> None:
                info = tarfile.TarInfo(member)
                info.size, info.mtime = len(data), MTIME
                tar.addfile(info, io.BytesIO(data))
            add(f"{image_id}.json", body)
            for path, facts in layers:
                tar.add(path, arcname=f"{facts['diff_id']}/layer.tar")
            add("manifest.json", json.dumps(manifest).encode())
        return cache.put(key, archive, {"id": image_id, "unpacked": sum(f["unpacked"] for _, f in layers)})
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check_space(folder: Path) -> None:
    there = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(there).free >> 20
    if free < FREE_MIB:
        raise BuildError(f"{folder} has {free} MiB free and the build needs {FREE_MIB}: free some, or set SOFA_CACHE to another disk")


def choose(wanted: list[str]) -> list[Image]:
    known = images()
    chosen = [i for i in known if not wanted or any(w in (i.name, i.name.split(":")[0], i.reference) for w in wanted)]
    for w in wanted:
        if not any(w in (i.name, i.name.split(":")[0], i.reference) for i in known):
            raise BuildError(f"there is no image {w}: there are {', '.join(i.name for i in known)}")
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--list", action="store_true", help="print names, sizes and archives of what is built, and build nothing")
    parser.add_argument("--fresh", action="store_true", help="build the layers again")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    home = Path(os.environ.get("SOFA_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sofa-operator")
    try:
        cache = Cache(home / "images")
        for image in choose(options.names):
            path, facts = build_image(cache, image, options.fresh)
            if options.list:
                print(f"{image.reference}\t{facts['unpacked'] / 1e6:.0f} MB unpacked\t{path}")
            else:
                print(path)
    except BuildError as e:
        print(f"images: {e}", file=sys.stderr)
        return 1
    except OSError as e:
        print(f"images: {e.filename or ''}: {e.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
