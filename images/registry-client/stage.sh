#!/usr/bin/env bash
# stage.sh OUT [VERSION...]: the registry client for these SDK versions (default: for every pom-VERSION.xml here).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=images/stage-lib.sh
. "$here/../stage-lib.sh"

[ $# -ge 1 ] || die "usage: stage.sh OUT [VERSION...]"
need javac openjdk-17-jdk-headless
need jar openjdk-17-jdk-headless

known=("$here"/pom-*.xml)
known=("${known[@]##*/pom-}")
known=("${known[@]%.xml}")
versions=("${@:2}")
[ ${#versions[@]} -gt 0 ] || versions=("${known[@]}")
for version in "${versions[@]}"; do
    [ -f "$here/pom-$version.xml" ] || die "there is no SDK version $version here (there are: ${known[*]})"
done

stage_begin "$(realpath -m "$1")"
home=$work/root/opt/registry-client
mkdir -p "$home/bin"
for version in "${versions[@]}"; do
    maven_jars "$here/pom-$version.xml" "$home/lib-$version"
    find "$here/src" -name '*.java' -print0 |
        xargs -0 javac --release 17 -Xlint:all,-processing -Werror -cp "$home/lib-$version/*" -d "$work/classes-$version"
    # A fixed date: the same sources make the same jar.
    jar --create --file "$home/registry-client-$version.jar" --date=2026-01-01T00:00:00Z -C "$work/classes-$version" .
done
install -m 755 "$here/registry-client.sh" "$home/bin/registry-client"
stage_end
