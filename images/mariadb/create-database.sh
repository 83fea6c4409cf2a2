#!/bin/sh
# create-database.sh [FILE.sql...]: the init step: makes a database and its user, then runs the files in it. Running it
# again changes nothing.
#
# DB_HOST, MARIADB_ROOT_PASSWORD   the server and its root
# DB_NAME, DB_USER, DB_PASSWORD    what to make
# DB_WAIT_SECONDS                  how long to wait for the server (default 120)
set -eu
fail() { echo "create-database: $*" >&2; exit 1; }
for v in DB_HOST MARIADB_ROOT_PASSWORD DB_NAME DB_USER DB_PASSWORD; do
    eval "[ -n \"\${$v:-}\" ]" || fail "$v is empty"
done
case $DB_NAME$DB_USER in *[!A-Za-z0-9_]*) fail "DB_NAME and DB_USER may hold only letters, digits and _" ;; esac
root() { MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb --no-defaults --connect-timeout=3 -h "$DB_HOST" -u root "$@"; }
n=0
until why=$(root -e 'SELECT 1' 2>&1); do
    case $why in *"Access denied"*) fail "$DB_HOST refuses root's password" ;; esac
    n=$((n + 1)); [ $n -le "${DB_WAIT_SECONDS:-120}" ] || fail "$DB_HOST does not answer: $why"
    sleep 1
done
quoted=$(printf %s "$DB_PASSWORD" | sed "s/'/''/g; s/\\\\/\\\\\\\\/g")
root <<S
CREATE DATABASE IF NOT EXISTS $DB_NAME DEFAULT CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS $DB_USER@'%';
ALTER USER $DB_USER@'%' IDENTIFIED BY '$quoted';
GRANT ALL ON $DB_NAME.* TO $DB_USER@'%';
S
for f in "$@"; do root "$DB_NAME" < "$f" || fail "$f failed"; done
echo "create-database: $DB_NAME is ready, with $(root -N -e "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema='$DB_NAME'") tables"
