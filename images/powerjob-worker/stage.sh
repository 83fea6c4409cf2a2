#!/usr/bin/env bash
# stage.sh OUT: the PowerJob worker that pom.xml names, with the processors in src.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=images/stage-lib.sh
. "$here/../stage-lib.sh"

[ $# -eq 1 ] || die "usage: stage.sh OUT"
need javac openjdk-17-jdk-headless
need jar openjdk-17-jdk-headless

stage_begin "$(realpath -m "$1")"
home=$work/root/opt/powerjob-worker
mkdir -p "$home/bin"
maven_jars "$here/pom.xml" "$home/lib"
find "$here/src" -name '*.java' -print0 |
    xargs -0 javac --release 17 -Xlint:all,-processing,-classfile -Werror -cp "$home/lib/*" -d "$work/classes"
# A fixed date: the same sources make the same jar.
jar --create --file "$home/powerjob-worker.jar" --date=2026-01-01T00:00:00Z -C "$work/classes" .
install -m 755 "$here/powerjob-worker.sh" "$home/bin/powerjob-worker"
stage_end
