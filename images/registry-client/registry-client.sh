#!/bin/sh
# Starts the registry client with the SDK that SDK_VERSION names. README.md has the other variables.
set -eu

dir=$(CDPATH='' cd "$(dirname "$0")/.." && pwd)
version=${SDK_VERSION:-5.4.3}
if [ ! -f "$dir/registry-client-$version.jar" ]; then
  have=
  for jar in "$dir"/registry-client-*.jar; do
    jar=${jar##*/registry-client-}
    have="$have ${jar%.jar}"
  done
  echo "registry-client: SDK_VERSION=$version is not in this image (there are:$have)" >&2
  exit 2
fi
home=${HOME:-/tmp}

# --add-opens: Hessian writes exceptions through private fields of java.lang.
# -UsePerfData, user.home, java.io.tmpdir: nothing is written outside of $home.
# JAVA_OPTS is a list of words and comes last, so that it wins.
# shellcheck disable=SC2086
exec "${JAVA_HOME:-/opt/java}/bin/java" \
  --add-opens=java.base/java.lang=ALL-UNNAMED -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData \
  -Duser.home="$home" -Djava.io.tmpdir="$home" \
  -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true \
  -Dorg.slf4j.simpleLogger.dateTimeFormat='yyyy-MM-dd HH:mm:ss.SSS' \
  ${JAVA_OPTS:-} \
  -cp "$dir/registry-client-$version.jar:$dir/lib-$version/*" sofa.client.Main
