#!/usr/bin/env bash
# stage.sh OUT: the PowerJob server that pom.xml names, and its entry point.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=images/stage-lib.sh
. ../stage-lib.sh
stage_begin "$1"
home=$work/root/opt/powerjob
mkdir -p "$home/lib"
maven_jars "$PWD/pom.xml" "$home/lib"
install -m 755 entrypoint.sh "$home/entrypoint.sh"
stage_end
