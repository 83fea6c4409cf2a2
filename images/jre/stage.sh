#!/usr/bin/env bash
# stage.sh OUT: a JRE 17 of about 50 MB at /opt/java, cut with jlink to the modules that the Java servers and clients use,
# with a class-data archive, which spares each start about a second.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=images/stage-lib.sh
. ../stage-lib.sh
stage_begin "$1"
jdk=${JDK_17:-/usr/lib/jvm/java-17-openjdk-amd64}
if [ ! -x "$jdk/bin/jlink" ] || [ ! -d "$jdk/jmods" ]; then die "no JDK 17 at $jdk: apt-get install openjdk-17-jdk-headless (or make deps), or set JDK_17"; fi
# jdk.httpserver: without it the registry's HTTP port does not open. jdk.crypto.ec: TLS to databases.
modules=java.base,java.compiler,java.desktop,java.instrument,java.logging,java.management,java.naming,java.net.http,java.scripting
modules+=,java.security.jgss,java.sql,java.xml,jdk.crypto.ec,jdk.httpserver,jdk.jdwp.agent,jdk.jfr,jdk.management,jdk.naming.dns,jdk.unsupported,jdk.zipfs
mkdir -p "$work/root/opt"
"$jdk/bin/jlink" --add-modules "$modules" --strip-debug --no-man-pages --no-header-files --compress=2 --output "$work/root/opt/java" \
    > "$work/log" 2>&1 || die "jlink failed: $(head -n 1 "$work/log")"
# The archive is valid only for files of the same time, and image layers carry one time for all.
find "$work/root" -exec touch -h -d @1700000000 {} +
"$work/root/opt/java/bin/java" -XX:+UseSerialGC -Xshare:dump > /dev/null 2>&1 || die "the new JRE does not start"
stage_end
