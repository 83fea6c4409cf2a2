#!/usr/bin/env bash
# stage.sh OUT: the program contract-servers of this repository, built with its pinned toolchain.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=images/stage-lib.sh
. ../stage-lib.sh
stage_begin "$(realpath -m "$1")"
need cargo "no package: install Rust with rustup"
target=$(cargo metadata --format-version 1 --no-deps --manifest-path ../../Cargo.toml | grep -oE '"target_directory":"[^"]+"' | cut -d'"' -f4)
cargo build --locked --release --manifest-path ../../Cargo.toml --no-default-features --features contract-servers --bin contract-servers ||
    die "cargo build failed"
install -D -m 755 "$target/release/contract-servers" "$work/root/usr/bin/contract-servers"
stage_end
