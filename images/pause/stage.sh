#!/usr/bin/env bash
# stage.sh OUT: /pause, linked statically.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=images/stage-lib.sh
. ../stage-lib.sh
stage_begin "$1"
need gcc "gcc libc6-dev"
mkdir "$work/root"
gcc -O2 -Wall -static -s pause.c -o "$work/root/pause" || die "gcc failed"
stage_end
