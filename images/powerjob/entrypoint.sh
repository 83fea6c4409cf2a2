#!/bin/sh
# entrypoint.sh: one PowerJob server in the foreground, as PID 1.
#
# JDBC_URL, JDBC_USERNAME, JDBC_PASSWORD   the database that all servers share; they make its tables themselves
# SERVER_ADDRESS   how the other servers and the workers reach this one: its row in `server_info`. Give the StatefulSet's
#                  DNS name, so that row and ownership survive a new pod address (default: `hostname -i`)
# JAVA_OPTS        added after the defaults, so that it wins
#
# /etc/powerjob/application.properties, where it exists, wins over everything that is set here.
set -eu
fail() { echo "entrypoint: $*" >&2; exit 2; }
for v in JDBC_URL JDBC_USERNAME JDBC_PASSWORD; do
    eval "[ -n \"\${$v:-}\" ]" || fail "$v is empty: PowerJob needs a database"
done
address=${SERVER_ADDRESS:-$(hostname -i | cut -d' ' -f1)}
# As PID 1 a shell ignores SIGTERM unless it is told otherwise; java takes its place below.
trap 'exit 143' TERM INT
# The server binds what the name says: until DNS knows this pod, it would fail at once.
n=0
until getent ahostsv4 "$address" > /dev/null; do
    [ $((n % 15)) -ne 0 ] || echo "entrypoint: waits until $address has an address"
    n=$((n + 1)); sleep 1
done
config=${HOME:=/home/sofa}/config
mkdir -p "$config"
# The jar's defaults live only in its daily, pre and product profiles, which carry public example settings: a profile of
# our own names every value.
cat > "$config/application-image.properties" <<P
oms.env=IMAGE
spring.datasource.core.driver-class-name=com.mysql.cj.jdbc.Driver
spring.datasource.core.jdbc-url=\${JDBC_URL}
spring.datasource.core.username=\${JDBC_USERNAME}
spring.datasource.core.password=\${JDBC_PASSWORD}
spring.datasource.core.maximum-pool-size=20
spring.datasource.core.minimum-idle=5
oms.instanceinfo.retention=7
oms.container.retention.local=7
oms.container.retention.remote=-1
oms.instance.metadata.cache.size=1024
oms.accurate.select.server.percentage=100
P
files=file:$config/
[ ! -f /etc/powerjob/application.properties ] || files=$files,file:/etc/powerjob/application.properties
# shellcheck disable=SC2086 # the options are words
exec "${JAVA_HOME:-/opt/java}/bin/java" -Xmx192m -Xss512k -XX:+UseSerialGC -Duser.home="$HOME" \
    -Dpowerjob.network.local.address="$address" ${JAVA_OPTS:-} -cp "/opt/powerjob/lib/*" \
    tech.powerjob.server.PowerJobServerApplication --spring.profiles.active=image \
    --spring.config.additional-location="$files" --server.port=7700
