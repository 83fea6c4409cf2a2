#!/usr/bin/env bash
# cargo-deny on deny.toml: licences, bans and sources. Advisories need a database from a Git host and are left to the
# place where one can be fetched: `cargo deny check advisories`.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
root=${SOFA_CACHE:-$HOME/.cache/sofa-operator}/tools/cargo-deny-$version
if [ ! -x "$root/bin/cargo-deny" ]; then
    echo "deny: building cargo-deny $version (once) ..."
    cargo install --quiet --locked --root "$root" --target-dir "$root/target" "cargo-deny@$version"
    rm -rf "$root/target"
fi
"$root/bin/cargo-deny" --locked --all-features --log-level warn check licenses bans sources
