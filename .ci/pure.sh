#!/usr/bin/env bash
# The pure layers build without default features, and then no async runtime, HTTP client or Kubernetes client is in the tree.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo check --locked --lib --no-default-features
tree=$(cargo tree --locked -e normal --no-default-features --prefix none | awk '{print $1}' | sort -u)
if found=$(grep -xE 'tokio|reqwest|hyper|kube-client|kube-runtime|axum|tower' <<< "$tree"); then
    echo "pure: the pure layers must not depend on: $(tr '\n' ' ' <<< "$found")" >&2
    exit 1
fi
echo "pure: $(wc -l <<< "$tree") crates, none of them does I/O"
