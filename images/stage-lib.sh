# shellcheck shell=bash
# What every stage.sh shares. A stage.sh fills a new folder OUT with the files of one image layer: it works beside OUT
# and renames at the end, so that OUT is whole or absent. Both the Dockerfiles and build.py run it.

# die SENTENCE: one clear line, exit 1.
die() { echo "stage.sh: $*" >&2; exit 1; }

# stage_begin OUT: sets $work, a folder beside OUT that is removed on any failure.
stage_begin() {
    out=$1
    mkdir -p "$(dirname "$out")"
    [ ! -e "$out" ] || [ -z "$(ls -A "$out")" ] || die "$out is not empty"
    work=$(mktemp -d "$(dirname "$out")/.stage.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work"
}

# stage_end: OUT becomes what is in $work/root.
stage_end() {
    rm -rf "$out"
    mv -T "$work/root" "$out"
}

# need COMMAND DEBIAN_PACKAGE: stops with the way to get it.
need() { command -v "$1" > /dev/null || die "$1 is missing: apt-get install $2 (or make deps)"; }

# maven_jars POM DIR: every jar that the pom names, at its pinned version, into DIR.
# Plug-in version pinned here: the default one differs between Maven releases.
maven_jars() {
    need mvn maven
    local log=$work/mvn.log
    mvn -q -B -f "$1" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$2" > "$log" 2>&1 && return
    local missing
    missing=$(grep -oE '(Could not find artifact|Failure to find|Could not transfer artifact) [^ ]+' "$log" | head -n 1 | awk '{print $NF}') || true
    if [ -n "$missing" ]; then die "$(basename "$1"): $missing cannot be had from Maven Central: check the version in the pom, or the network"; fi
    die "$(basename "$1"): Maven failed: $(grep -m1 ERROR "$log" || tail -n 1 "$log")"
}
