#!/bin/sh
# entrypoint.sh: MariaDB in the foreground, as PID 1, data in /var/lib/mysql. For tests and demonstrations.
#
# MARIADB_ROOT_PASSWORD   set at the first start, for root from anywhere
# MARIADB_OPTS            more options of mariadbd
set -eu
data=/var/lib/mysql
if [ ! -d $data/mysql ]; then
    [ -n "${MARIADB_ROOT_PASSWORD:-}" ] || { echo "entrypoint: MARIADB_ROOT_PASSWORD is empty: set it for the first start" >&2; exit 2; }
    # Made in a folder of its own and moved at the end, so that a first start that was cut off begins again.
    rm -rf $data/.new && mkdir $data/.new
    mariadb-install-db --no-defaults --datadir=$data/.new --auth-root-authentication-method=normal --skip-test-db > /dev/null
    quoted=$(printf %s "$MARIADB_ROOT_PASSWORD" | sed "s/'/''/g; s/\\\\/\\\\\\\\/g")
    mariadbd --no-defaults --datadir=$data/.new --bootstrap --skip-networking <<S
FLUSH PRIVILEGES;
CREATE USER root@'%' IDENTIFIED BY '$quoted';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
ALTER USER root@localhost IDENTIFIED BY '$quoted';
S
    for f in "$data"/.new/*; do [ "$f" = $data/.new/mysql ] || mv "$f" $data/; done
    mv $data/.new/mysql $data/mysql && rmdir $data/.new
fi
unset MARIADB_ROOT_PASSWORD
# shellcheck disable=SC2086 # the options are words
exec mariadbd --no-defaults --datadir=$data --socket=/tmp/mysqld.sock --port=3306 --bind-address=0.0.0.0 --skip-name-resolve \
    --innodb-buffer-pool-size=64M --performance-schema=OFF --character-set-server=utf8mb4 ${MARIADB_OPTS:-}
