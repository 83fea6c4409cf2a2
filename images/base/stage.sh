#!/usr/bin/env bash
# stage.sh OUT PACKAGE...: a small root file system of Debian 12 with glibc, busybox as its shell and tools, and PACKAGEs.
# Packages are unpacked, not configured: no daemon, no chroot and no Debian tool is left in the image.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=images/stage-lib.sh
. ../stage-lib.sh
stage_begin "$1"; shift
need mmdebstrap mmdebstrap

# The machine's own Debian 12 sources (a mirror, perhaps) where it has them, else Debian's default.
sources=()
if grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then
    for f in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
        if [ -s "$f" ]; then sources=("$f"); break; fi
    done
fi
packages=$(printf ',%s' busybox libc-bin libc6 netbase "$@")
# Bounded: a stalled mirror must not hold a build for ever.
timeout 900 mmdebstrap --quiet --variant=extract --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include="${packages#,}" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/lintian/*' --dpkgopt='path-exclude=/usr/lib/x86_64-linux-gnu/gconv/*' \
    bookworm "$work/base.tar" "${sources[@]}" > "$work/log" 2>&1 || die "mmdebstrap failed: $(grep -m1 '^E:' "$work/log" || tail -n 1 "$work/log")"
mkdir "$work/root"
tar -C "$work/root" --exclude='./dev/*' -xf "$work/base.tar"
cd "$work/root"
rm -rf var/lib/dpkg var/lib/apt var/cache var/log etc/apt
for tool in $(usr/bin/busybox --list); do
    [ -e "usr/bin/$tool" ] || [ -e "usr/sbin/$tool" ] || ln -s busybox "usr/bin/$tool"
done
cat > etc/passwd <<P
root:x:0:0:root:/root:/bin/sh
sofa:x:10001:10001:sofa:/home/sofa:/bin/sh
P
printf 'root:x:0:\nsofa:x:10001:\n' > etc/group
echo 'hosts: files dns' > etc/nsswitch.conf
mkdir -p home/sofa tmp root run proc sys
# build.py sets the owners itself; this is for `docker build`, which keeps them.
[ "$(id -u)" != 0 ] || chown 10001:10001 home/sofa
chmod 1777 tmp
ldconfig -r .
stage_end
