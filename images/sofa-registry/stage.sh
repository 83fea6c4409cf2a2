#!/usr/bin/env bash
# stage.sh OUT VERSION: the SOFARegistry servers of VERSION (a pom-VERSION.xml beside this file) and their entry point.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=images/stage-lib.sh
. ../stage-lib.sh
stage_begin "$1"
version=$2
[ -f "pom-$version.xml" ] || die "no pom-$version.xml: versions are $(echo pom-*.xml | sed 's/pom-//g; s/\.xml//g')"
home=$work/root/opt/sofa-registry
mkdir -p "$home/lib" "$home/sql"
maven_jars "$PWD/pom-$version.xml" "$home/lib"
echo "$version" > "$home/version"
install -m 755 entrypoint.sh "$home/entrypoint.sh"

# 6.x keeps its state in a database and does not make its tables. The server's own jar has them in H2's dialect: the same
# statements for MySQL and MariaDB are made here, without `drop`, so that running them twice is harmless.
store=$home/lib/registry-store-jdbc-$version.jar
if [ -f "$store" ]; then
    need unzip unzip
    unzip -p "$store" sql/h2/create_table.sql | sed -E \
        -e '/^drop table/Id' \
        -e 's/^create table (`?)([A-Za-z_]+)/CREATE TABLE IF NOT EXISTS \1\L\2/I' \
        -e '/^ *PRIMARY KEY \(/Id' \
        -e 's/(AUTO_INCREMENT( COMMENT .[^,]*)?) *(primary key)?,/\1 PRIMARY KEY,/I' \
        -e 's/timestamp\(3\) +NOT NULL DEFAULT CURRENT_TIMESTAMP/timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)/' \
        -e '/gmt_modified +timestamp\(3\)/s/,$/ ON UPDATE CURRENT_TIMESTAMP(3),/' \
        -e 's/^\);/) DEFAULT CHARSET=utf8mb4;/' > "$home/sql/create_table.sql"
    tables=$(grep -c '^CREATE TABLE IF NOT EXISTS' "$home/sql/create_table.sql") || true
    [ "$tables" = 7 ] || die "create_table.sql of $version has $tables tables, not 7: look at $(basename "$store")"
fi
stage_end
