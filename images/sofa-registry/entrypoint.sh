#!/bin/sh
# entrypoint.sh meta|data|session: one SOFARegistry server in the foreground, as PID 1.
# entrypoint.sh schema: prints the SQL that makes the tables of 6.x.
#
# META_NODES          names or addresses of all MetaServers, comma separated, this pod's own among them
# POD_IP              this pod's address (default: what `hostname -i` says)
# DATA_CENTER         nodes.localDataCenter (default DefaultDataCenter);  REGION: nodes.localRegion (default DEFAULT_ZONE)
# RAFT_SERVER_GROUP   5.x: the cluster's own raft group, the same for all three roles; without it one changePeer with a
#                     re-used address can swallow another cluster's meta
# JDBC_URL, JDBC_USERNAME, JDBC_PASSWORD   6.x: the database; the server reads them from its environment itself
# JAVA_OPTS           added after the defaults, so that it wins
# WAIT                `false`: data and sessions do not wait for working metas, nor sessions for a data node (one that starts
#                     too early never recovers)
# WAIT_NAMES_SECONDS  how long a meta waits for the names of the others before it leaves them out (default 60). A blank
#                     5.x meta waits on while fewer than a majority of all are known: alone it would form a new, empty cluster
# WAIT_LISTED_SECONDS 5.x: how long a data node waits until every data node that the metas list answers (default 120)
# WAIT_TRIES_SECONDS  5.x: how long a data node that had to wait for that waits then, until the others have left off trying the
#                     one that is gone (default 14)
#
# /etc/sofa-registry/application.properties, where it exists, wins over what is written here, not over JDBC_*.
# raftData in $HOME is never wiped: a meta that comes back with it keeps what the cluster knew.
set -eu

fail() { echo "entrypoint: $*" >&2; exit 2; }
say() { echo "entrypoint: $*"; }

home=/opt/sofa-registry
version=$(cat $home/version)
role=${1:-}
case $role in
meta | data | session) ;;
schema) [ -f $home/sql/create_table.sql ] || fail "SOFARegistry $version needs no tables"; exec cat $home/sql/create_table.sql ;;
*) fail "say which server: meta, data or session (or schema)" ;;
esac
: "${HOME:=/home/sofa}"
case ${WAIT:-true} in true | false) ;; *) fail "WAIT is '$WAIT': it must be true or false" ;; esac
case ${WAIT_NAMES_SECONDS:=60} in '' | *[!0-9]*) fail "WAIT_NAMES_SECONDS is '$WAIT_NAMES_SECONDS': it must be a number" ;; esac
case ${WAIT_LISTED_SECONDS:=120} in '' | *[!0-9]*) fail "WAIT_LISTED_SECONDS is '$WAIT_LISTED_SECONDS': it must be a number" ;; esac
case ${WAIT_TRIES_SECONDS:=14} in '' | *[!0-9]*) fail "WAIT_TRIES_SECONDS is '$WAIT_TRIES_SECONDS': it must be a number" ;; esac
[ -n "${META_NODES:-}" ] || fail "META_NODES is empty: give the names of all MetaServers, comma separated"

# As PID 1 a shell ignores SIGTERM unless it is told otherwise; java takes its place below.
trap 'exit 143' TERM INT

self=$(hostname)
fqdn=$(hostname -f 2> /dev/null) || fqdn=$self
ip=${POD_IP:-$(hostname -i 2> /dev/null | cut -d' ' -f1)}
[ -n "$ip" ] || fail "this pod's address is unknown: set POD_IP from status.podIP"
# is_self NAME: whether it is this pod's own name, in any length, or its address.
is_self() { case $fqdn. in "$1".*) return 0 ;; esac; [ "$1" = "$ip" ] || { [ "$fqdn" = "$self" ] && [ "${1%%.*}" = "$self" ]; }; }
resolves() { getent ahostsv4 "$1" > /dev/null 2>&1; }
# `timeout`, because Debian 12's busybox crashes on wget's own -T.
get() { timeout 3 wget -q -O - "http://$1:9615$2" 2> /dev/null; }
all=$(echo "$META_NODES" | tr ',' ' ')

# metas_known: the present list for nodes.metaNode: this pod's own address for its own name (DNS may lag behind), the
# others as they are. Names that do not resolve are left out: with one of them a server would not start at all.
metas_known() {
    list=
    for m in $all; do
        if [ "$role" = meta ] && is_self "$m"; then m=$ip; elif ! resolves "$m"; then continue; fi
        list=$list,$m
    done
    echo "${list#,}"
}
missing() { for m in $all; do { [ "$role" = meta ] && is_self "$m"; } || resolves "$m" || printf ' %s' "$m"; done; }
count() { set -f; echo $#; }
# A blank meta with less than a majority beside it: if it started, it could elect itself.
too_few() {
    case $role-$version in meta-5.*) ;; *) return 1 ;; esac
    [ ! -d "$HOME/raftData" ] || [ -z "$(ls -A "$HOME/raftData")" ] || return 1
    # shellcheck disable=SC2046,SC2086 # words are counted
    [ $(($(count $all) - $(count $left))) -le $(($(count $all) / 2)) ]
}
a_meta_works() { for m in $all; do get "$m" /health/check > /dev/null && return; done; return 1; }
# A leader of 6.x answers data and sessions as a follower until it is warm, 30 s after its election, and they then exit.
a_leader_is_warm() { for m in $all; do get "$m" /health/check | grep -q 'role:leader, warmuped:true' && return; done; return 1; }
# data_nodes META: those that it lists. A meta that waits to be let in is never asked: a question about the store would make it
# know its group under its former address for as long as it lives.
data_nodes() { get "$1" /health/check > /dev/null && get "$1" /digest/data/node/query; }
a_data_node_is_listed() { for m in $all; do data_nodes "$m" | grep -q nodeUrl && return; done; return 1; }

# A data node of 5.x that meets a listed one that is gone, its own predecessor above all, tries it five times, and then stays
# INITIAL for minutes. One that was killed is listed for 30 s. An answer of any kind will do, also "500". Tells in `others`
# whether there are any.
answers() { timeout 2 wget -O /dev/null "http://$1:9622/health/check" 2>&1 | grep -q 'HTTP/\|saving to'; }
listed_data_nodes_answer() {
    for m in $all; do
        listed=$(data_nodes "$m") || continue
        others=false
        for d in $(echo "$listed" | grep -o '"ip":"[0-9.]*"' | cut -d'"' -f4); do
            [ "$d" != "$ip" ] || continue
            answers "$d" || return 1
            others=true
        done
        return 0
    done
    return 1
}

# wait_for WHAT CONDITION: no limit; the kubelet's startup probe sets it.
wait_for() {
    n=0
    until "$2"; do
        [ $((n % 15)) -ne 0 ] || say "$role waits until $1"
        n=$((n + 1)); sleep 1
    done
}

if [ "$role" = meta ] || [ "${WAIT:-true}" = false ]; then
    n=0
    while left=$(missing); [ -n "$left" ] && { [ "$n" -lt "$WAIT_NAMES_SECONDS" ] || too_few; }; do
        [ $((n % 15)) -ne 0 ] || say "$role waits for the names of:$left"
        n=$((n + 1)); sleep 1
    done
    [ -z "$left" ] || say "after $WAIT_NAMES_SECONDS s no address for:$left: left out"
else
    wait_for "a MetaServer's /health/check is 200" a_meta_works
    case $version in 5.*) ;; *) wait_for "the leader of the MetaServers is warm" a_leader_is_warm ;; esac
    case $role-$version in
    data-5.*)
        end=$(($(date +%s) + WAIT_LISTED_SECONDS))
        say "data waits until every listed DataServer answers, or is listed no more"
        tries=0 others=false
        until listed_data_nodes_answer; do
            [ "$(date +%s)" -lt "$end" ] || { tries=0; break; }
            tries=$WAIT_TRIES_SECONDS; sleep 1
        done
        # The others may be trying the one that is gone, for 10 to 25 s. Of the lists that they get meanwhile they take the last
        # one first: without this, that with this node before that without the other, and this one stays unknown for 30 s.
        [ "$others" = true ] || tries=0
        [ "$tries" = 0 ] || say "data waits $tries s until the others have left off trying the one that is gone"
        while [ "$tries" -gt 0 ]; do sleep 1; tries=$((tries - 1)); done
        ;;
    esac
    [ "$role" != session ] || wait_for "a DataServer is listed by a MetaServer" a_data_node_is_listed
fi

# The role's own jar comes first and the other roles' jars are left out: each carries its own application.properties,
# and component scan would start a foreign role.
classpath=$(echo $home/lib/registry-server-"$role"-*.jar)
for jar in "$home"/lib/*.jar; do
    case $jar in */registry-server-meta-* | */registry-server-data-* | */registry-server-session-*) ;; *) classpath=$classpath:$jar ;; esac
done

config=$HOME/config
mkdir -p "$config"
known=$(metas_known)
cat > "$config/application.properties" <<P
nodes.localDataCenter=${DATA_CENTER:-DefaultDataCenter}
nodes.localRegion=${REGION:-DEFAULT_ZONE}
P
files=file:$config/application.properties
[ ! -f /etc/sofa-registry/application.properties ] || files=$files,file:/etc/sofa-registry/application.properties
case $version in
5.*)
    echo "nodes.metaNode=${DATA_CENTER:-DefaultDataCenter}:$known" >> "$config/application.properties"
    # Spring Boot 1.5 replaces its default location: the jar's own file has to be named, the later one wins.
    set -- --spring.config.location="classpath:application.properties,$files"
    jvm="-Xms64m -Xmx256m -Xss256k"
    ;;
*)
    [ -n "${JDBC_URL:-}" ] || grep -qs '^jdbc.url' /etc/sofa-registry/application.properties ||
        fail "SOFARegistry $version needs a database: set JDBC_URL, JDBC_USERNAME and JDBC_PASSWORD"
    {
        echo "nodes.localSegmentRegions=${REGION:-DEFAULT_ZONE}"
        echo "jdbc.driverClassName=com.mysql.jdbc.Driver"
    } >> "$config/application.properties"
    set -- --spring.config.additional-location="$files"
    jvm="-Xmx384m -Xss512k --add-exports=java.base/sun.net.util=ALL-UNNAMED"
    ;;
esac
case $role in meta) class=Meta ;; data) class=Data ;; session) class=Session ;; esac
say "$role $version starts, the metas are $known"
# shellcheck disable=SC2086 # the options are words
exec "${JAVA_HOME:-/opt/java}/bin/java" $jvm --add-opens=java.base/java.lang=ALL-UNNAMED \
    ${RAFT_SERVER_GROUP:+-DRAFT_SERVER_GROUP=$RAFT_SERVER_GROUP} -Duser.home="$HOME" ${JAVA_OPTS:-} \
    -cp "$classpath" "com.alipay.sofa.registry.server.$role.${class}Application" "$@"
