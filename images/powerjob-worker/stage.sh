#!/usr/bin/env bash
# Builds the PowerJob worker and lays it out as it stands in the image: stage.sh OUT
# OUT must not exist yet, or be empty. It appears whole or not at all.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
app=powerjob-worker

fail() {
  echo "stage.sh: $1" >&2
  exit "${2:-1}"
}

# One sentence out of Maven's log: the artifact that could not be had, else its first error.
reason() {
  local artifact
  artifact=$(sed -nE \
    -e 's/.*(Could not find artifact|Failure to find|Could not transfer artifact) ([^ ]+).*/\2/p' \
    -e 's/.*[ :]([^ :]+:[^ :]+:(jar|pom|maven-plugin):[^ ]+) was not found in .*/\1/p' "$1" | sed -n 1p)
  if [[ -n $artifact ]]; then
    IFS=: read -r group name _ version <<<"$artifact"
    echo "$group:$name:${version%%:*} cannot be had from the configured Maven repositories"
  else
    echo "mvn failed: $(sed -nE 's/^\[ERROR\] +(.*)/\1/p' "$1" | sed -n 1p)"
  fi
}

[[ $# -eq 1 ]] || fail "usage: stage.sh OUT" 2
for tool in mvn javac jar; do
  command -v "$tool" >/dev/null || fail "$tool is needed and was not found"
done
out=$1
[[ ! -e $out ]] || rmdir "$out" 2>/dev/null || fail "$out exists and is not an empty folder" 2

mkdir -p "$(dirname "$out")"
work=$(mktemp -d "$(dirname "$out")/.$app.XXXXXX")
work=$(cd "$work" && pwd)
trap 'rm -rf "$work"' EXIT
image=$work/image/opt/$app
mkdir -p "$image/bin"

# Maven works on a copy, so that nothing is ever written beside the sources.
mkdir "$work/maven"
cp "$here/pom.xml" "$work/maven/pom.xml"
mvn -q -B -f "$work/maven/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
  -DoutputDirectory="$image/lib" >"$work/log" 2>&1 || fail "$(reason "$work/log")"
find "$here/src" -name '*.java' -print0 |
  xargs -0 javac --release 17 -Xlint:all,-processing,-classfile -Werror -cp "$image/lib/*" -d "$work/classes"
# A fixed date: the same sources make the same jar.
jar --create --file "$image/$app.jar" --date=2026-01-01T00:00:00Z -C "$work/classes" .
install -m 755 "$here/$app.sh" "$image/bin/$app"

chmod 755 "$work/image"
mv "$work/image" "$out"
