#!/bin/sh
# Starts the PowerJob worker. README.md has the variables.
set -eu

dir=$(CDPATH='' cd "$(dirname "$0")/.." && pwd)
home=${HOME:-/tmp}

# -UsePerfData, user.home, java.io.tmpdir: nothing is written outside of $home.
# flight-recorder: Akka would else need the JDK's jdk.jfr module.
# JAVA_OPTS is a list of words and comes last, so that it wins.
# shellcheck disable=SC2086
exec "${JAVA_HOME:-/opt/java}/bin/java" \
  --add-opens=java.base/java.lang=ALL-UNNAMED -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData \
  -Dakka.java-flight-recorder.enabled=false -Duser.home="$home" -Djava.io.tmpdir="$home" \
  -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true \
  -Dorg.slf4j.simpleLogger.dateTimeFormat='yyyy-MM-dd HH:mm:ss.SSS' \
  ${JAVA_OPTS:-} \
  -cp "$dir/powerjob-worker.jar:$dir/lib/*" sofa.Main
