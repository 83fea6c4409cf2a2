#!/usr/bin/env bash
# Installs what Debian 12 has of what this project builds and tests with. Needs root; says what Debian does not have.
set -euo pipefail

packages=(
    containerd runc containernetworking-plugins iptables ipset iproute2 conntrack   # the nodes
    openssl curl python3 procps util-linux                                          # the control plane and its scripts
    mmdebstrap maven openjdk-17-jdk-headless unzip gcc libc6-dev                     # the images
    git make shellcheck python3-yaml lua5.4 lua5.1                                   # building and checking
)
missing=()
for p in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$p" 2> /dev/null | grep -q '^install ok installed' || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || { echo "deps: as root: apt-get install ${missing[*]}" >&2; exit 1; }
    command -v apt-get > /dev/null || { echo "deps: this is no Debian: install the counterparts of ${missing[*]}" >&2; exit 1; }
    echo "deps: installing ${missing[*]}"
    apt-get update -qq
    # containerd's own service is not needed and not started: each node runs its own.
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi
at_least() { # NAME HAVE WANTED URL
    local older; older=$(printf '%s\n%s\n' "${2:-0}" "$3" | sort -V | head -n 1)
    [ "$older" = "$3" ] || { echo "deps: $1 ${2:-is missing}: install $3 or newer from $4" >&2; exit 1; }
}
at_least go "$(go env GOVERSION 2> /dev/null | sed 's/^go//')" 1.26 https://go.dev/doc/install
at_least cargo "$(cargo --version 2> /dev/null | awk '{print $2}')" 1.95 https://rustup.rs
at_least python3 "$(python3 --version 2> /dev/null | awk '{print $2}')" 3.11 https://www.python.org
echo "deps: complete"
