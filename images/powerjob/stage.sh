#!/usr/bin/env bash
# stage.sh OUT VERSION: the PowerJob server of VERSION (a pom-VERSION.xml beside this file) and its entry point.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=images/stage-lib.sh
. ../stage-lib.sh
stage_begin "$1"
version=$2
[ -f "pom-$version.xml" ] || die "no pom-$version.xml: versions are $(echo pom-*.xml | sed 's/pom-//g; s/\.xml//g')"
home=$work/root/opt/powerjob
mkdir -p "$home/lib"
maven_jars "$PWD/pom-$version.xml" "$home/lib"
install -m 755 entrypoint.sh "$home/entrypoint.sh"
stage_end
