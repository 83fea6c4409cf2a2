#!/usr/bin/env bash
# run.sh: checks the chart, the kustomizations, the Argo CD health script and the examples. No cluster, no network; one line
# for each check, exit code 1 if one failed. What it checks is in checks.py.
#
# HELM, KUBECTL   the programs (default: those of `make programs`, else those of the PATH)
set -euo pipefail
cd "$(dirname "$0")"
cache=${SOFA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sofa-operator}/bin

die() { echo "packaging: $*" >&2; exit 2; }
# program NAME: where it is.
program() {
    if [ -x "$cache/$1" ]; then echo "$cache/$1"; else command -v "$1"; fi
}
HELM=${HELM:-$(program helm)} || die "helm is missing: make programs builds it"
KUBECTL=${KUBECTL:-$(program kubectl)} || die "kubectl is missing: make programs builds it"
# Debian's module is for Debian's Python, which need not be the first in the PATH.
for python in python3 /usr/bin/python3 ''; do
    [ -n "$python" ] || die "the Python module yaml is missing: apt-get install python3-yaml"
    if "$python" -c 'import yaml' 2> /dev/null; then break; fi
done
export HELM KUBECTL
# No cluster is asked: whatever the user's shell points at.
export KUBECONFIG=/dev/null PYTHONDONTWRITEBYTECODE=1
exec "$python" checks.py "$@"
