# shellcheck shell=bash
# What every part of the local cluster shares: where things are, how a program is started in its place and ended, how the
# script speaks.

say() { echo "cluster: $*" >&2; }
die() { echo "cluster: $*" >&2; exit 1; }

: "${CLUSTER_ID:=0}"
[[ $CLUSTER_ID =~ ^[0-9]$ ]] || die "CLUSTER_ID is '$CLUSTER_ID': it must be one digit"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${SOFA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sofa-operator}
RUN=$(realpath -m "${SOFA_RUN:-/var/lib/sofa-operator}")/cluster-$CLUSTER_ID
TOP=sofa$CLUSTER_ID                     # prefix of every name that the machine sees: cgroup, veth
BRIDGE=sofa-br$CLUSTER_ID
NET=10.99.$CLUSTER_ID                   # nodes; .1 is this machine: API server and DNS
POD_NET=10.$((200 + CLUSTER_ID))        # .N.0/24 are node N's pods
SERVICE_NET=10.$((220 + CLUSTER_ID))
ETCD=127.77.$CLUSTER_ID.1               # an address of its own on the loopback: two clusters do not meet
API=https://$NET.1:6443

[ ${#RUN} -le 60 ] || die "SOFA_RUN is too long for the sockets below it: use at most 50 characters"
[[ $RUN =~ ^[A-Za-z0-9._/-]+$ ]] || die "SOFA_RUN is '$SOFA_RUN': use letters, digits, and . _ - / only"

# A relative path of the user's stays right wherever a script goes.
if [ -n "${KUBECONFIG:-}" ] && [[ $KUBECONFIG != *:* ]]; then KUBECONFIG=$(realpath -m "$KUBECONFIG"); export KUBECONFIG; fi

# own_cluster: false where the user's KUBECONFIG names another cluster than this script's.
own_cluster() { [ -z "${KUBECONFIG:-}" ] || [ "$KUBECONFIG" = "$RUN/admin.kubeconfig" ]; }

need_root() { [ "$(id -u)" = 0 ] || die "needs root, for network namespaces and cgroups: run it with sudo, or set KUBECONFIG to use a cluster that you have"; }
need() { command -v "$1" > /dev/null || die "$1 is missing: make deps installs it (Debian: apt-get install $2)"; }
need_space() { # FOLDER MIB WHAT VARIABLE: makes nothing, also where the folder does not exist yet
    local at=$1 free
    while [ ! -e "$at" ]; do at=$(dirname "$at"); done
    if [ ! -d "$at" ] || [ ! -w "$at" ]; then die "$1 cannot be written: set $4 to a folder that can"; fi
    free=$(df -Pm "$at" | awk 'NR == 2 {print $4}')
    [ "$free" -ge "$2" ] || die "$1 has $free MiB free and $3 needs $2: free some, or set $4 to another disk"
}

# --- cgroups: every process of the cluster is below one, so that nothing is ever missed when it ends ---

if [ -f /sys/fs/cgroup/cgroup.controllers ]; then hierarchies=(/sys/fs/cgroup); else
    hierarchies=()
    for h in /sys/fs/cgroup/*/; do
        # Named links (cpu -> cpu,cpuacct) are the same hierarchy; unified has no controllers of its own on v1.
        if [ -e "${h}cgroup.procs" ] && [ ! -L "${h%/}" ]; then hierarchies+=("${h%/}"); fi
    done
fi
# The hierarchy by which processes are found again.
tracker=${hierarchies[0]:-}
for h in "${hierarchies[@]}"; do if [ "$h" = /sys/fs/cgroup/pids ]; then tracker=$h; fi; done

make_cgroup() { # PATH below the root
    local h parent part
    for h in "${hierarchies[@]}"; do
        parent=$h
        for part in ${1//\// }; do
            if [ -f "$parent/cgroup.subtree_control" ] && [ -f /sys/fs/cgroup/cgroup.controllers ]; then
                # All that the parent has: the kubelet refuses a root that lacks one of its own, hugetlb for instance.
                for c in $(cat "$parent/cgroup.controllers"); do echo "+$c" > "$parent/cgroup.subtree_control" 2> /dev/null || true; done
            fi
            mkdir -p "$parent/$part"
            # A v1 cpuset starts empty and takes no process until it is filled.
            for f in cpuset.cpus cpuset.mems; do
                if [ -f "$parent/$part/$f" ] && [ -f "$parent/$f" ] && [ -z "$(cat "$parent/$part/$f")" ]; then cat "$parent/$f" > "$parent/$part/$f"; fi
            done 2> /dev/null || true
            parent=$parent/$part
        done
    done
}

processes_of() { # CGROUP: the ids of all processes below it
    [ -d "$tracker/$1" ] || return 0
    # A group may go while it is read.
    { find "$tracker/$1" -name cgroup.procs -exec cat {} + 2> /dev/null || true; } | sort -un
}

kill_cgroup() { # CGROUP: ends every process below it; only what this script started is there
    local left
    for _ in $(seq 100); do
        left=$(processes_of "$1")
        [ -n "$left" ] || return 0
        # shellcheck disable=SC2086 # one word for each process
        kill -KILL $left 2> /dev/null || true
        sleep .1
    done
    die "processes do not end: $(echo "$left" | tr '\n' ' ')"
}

remove_cgroup() { # CGROUP
    local h
    for h in "${hierarchies[@]}"; do
        [ -d "$h/$1" ] || continue
        for _ in $(seq 50); do
            find "$h/$1" -depth -type d -exec rmdir {} + 2> /dev/null || true
            [ -d "$h/$1" ] || break
            sleep .1
        done
    done
}

# --- programs ---

alive() { # NAME: whether the process that was started as NAME still runs, and is ours
    local pid
    pid=$(cat "$RUN/pid/$1" 2> /dev/null) || return 1
    grep -qs "/$TOP" "/proc/$pid/cgroup"
}

start() { # NAME CGROUP NETNS|- COMMAND...: starts it in the background unless it runs
    local name=$1 cgroup=$2 netns=$3; shift 3
    if alive "$name"; then return 0; fi
    # nsenter, not `ip netns exec`: that mounts a new /sys and so hides the cgroups from the kubelet.
    if [ "$netns" != - ]; then set -- nsenter --net="$netns" "$@"; fi
    # shellcheck disable=SC2016 # the inner shell's own variables
    setsid bash -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$tracker/$cgroup" "$@" >> "$RUN/log/$name.log" 2>&1 < /dev/null 9>&- &
    echo $! > "$RUN/pid/$name"
}

stop() { # NAME: TERM, and KILL after 5 s
    local pid
    if alive "$1"; then
        pid=$(cat "$RUN/pid/$1")
        kill "$pid" 2> /dev/null || true
        for _ in $(seq 50); do alive "$1" || break; sleep .1; done
        if alive "$1"; then kill -KILL "$pid" 2> /dev/null || true; fi
    fi
    rm -f "$RUN/pid/$1"
}

wait_until() { # SECONDS NAME COMMAND...: until COMMAND succeeds; NAME is the program whose log tells why not
    local end=$((SECONDS + $1)) name=$2; shift 2
    until "$@" > /dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ]; then
            die "$name is not ready after its time: $(grep -aE 'ERROR|error|Error|^[EF][0-9]{4}|fatal' "$RUN/log/$name.log" 2> /dev/null | tail -n 1 | cut -c1-300)"
        fi
        sleep .1
    done
}
