#!/usr/bin/env bash
# stage.sh OUT: sofa-operator and kubectl-sofa of this repository, built with its pinned toolchain, and the glibc that they
# were linked with. images/base would bring a shell, which an operator with rights in every namespace is better without.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=images/stage-lib.sh
. ../stage-lib.sh
stage_begin "$(realpath -m "$1")"
need cargo "no package: install Rust with rustup"
need ldd libc-bin
manifest=../../Cargo.toml
target=$(cargo metadata --format-version 1 --no-deps --manifest-path $manifest | grep -oE '"target_directory":"[^"]+"' | cut -d'"' -f4)
cargo build --locked --release --manifest-path $manifest --no-default-features --features runtime --bin sofa-operator --bin kubectl-sofa ||
    die "cargo build failed"
root=$work/root
for program in sofa-operator kubectl-sofa; do
    install -D -m 755 "$target/release/$program" "$root/usr/bin/$program"
    # "libc.so.6 => /lib/... (0x...)" and "/lib64/ld-linux-x86-64.so.2 (0x...)": each goes where the loader looks for it.
    libraries=$(ldd "$target/release/$program" | grep -oE '/[^ ]+') || die "ldd cannot read $program"
    for library in $libraries; do
        [ -e "$root$library" ] || install -D -m 755 "$(realpath "$library")" "$root$library"
    done
done
mkdir -p "$root/etc" "$root/tmp"
chmod 1777 "$root/tmp"
printf 'root:x:0:0:root:/:/nonexistent\nsofa:x:10001:10001:sofa:/:/nonexistent\n' > "$root/etc/passwd"
printf 'root:x:0:\nsofa:x:10001:\n' > "$root/etc/group"
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
stage_end
