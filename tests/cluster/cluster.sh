#!/usr/bin/env bash
# A real Kubernetes cluster on one Linux machine, without Docker, virtual machines or systemd.
#
#   cluster.sh up [NODES]          etcd, API server, controller-manager, scheduler, CoreDNS, volumes and NODES real nodes (default 2)
#   cluster.sh down                ends all of it and removes what it made
#   cluster.sh load NAME|FILE...   imports images (built first, see images/) or image archives on every node
#   cluster.sh status              nodes, programs, images
#   cluster.sh env                 prints the lines that point a shell's kubectl at the cluster
#   cluster.sh kill-node N         a power cut of node N;  start-node N brings it back with its volumes
#   cluster.sh stop-api            ends the API server;    start-api brings it back
#   cluster.sh programs            builds every program into the cache and links it into $SOFA_CACHE/bin
#
# CLUSTER_ID   0 to 9: several clusters on one machine (default 0)
# FAKE_NODES   so many fake nodes of kwok in place of real ones, with an audit log of the user `operator`
# SOFA_CACHE   the cache (default ~/.cache/sofa-operator);  SOFA_RUN: the state (default /var/lib/sofa-operator)
# KUBECONFIG   set by you: that cluster is used and none is started
set -euo pipefail
shopt -s inherit_errexit # what fails in $(...) ends the script too
: "${FAKE_NODES:=0}"
# shellcheck source=tests/cluster/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tests/cluster/programs.sh
. "$here/programs.sh"
# shellcheck source=tests/cluster/control-plane.sh
. "$here/control-plane.sh"
# shellcheck source=tests/cluster/node.sh
. "$here/node.sh"
# shellcheck source=tests/cluster/kwok.sh
. "$here/kwok.sh"

admin() { "$RUN/bin/kubectl" --kubeconfig "$RUN/admin.kubeconfig" "$@"; }
is_up() { alive apiserver; }
nodes_made() { cat "$RUN/nodes" 2> /dev/null || echo 0; }

# One cluster.sh at a time changes a cluster.
lock() {
    need_root
    while :; do
        mkdir -p "$(dirname "$RUN")" 2> /dev/null || die "$(dirname "$RUN") cannot be made: set SOFA_RUN to a folder that can"
        exec 9> "$RUN.lock"
        flock -w 1800 9 || die "another cluster.sh works on cluster $CLUSTER_ID and does not end"
        # `down` removes the file: who has waited for that one would hold a lock that nobody else sees.
        if [ "$RUN.lock" -ef /dev/fd/9 ]; then return; fi
    done
}

forget() { rm -f "$RUN.lock"; rmdir "$(dirname "$RUN")" 2> /dev/null || true; }

use_the_users_cluster() {
    local file readable=
    for file in ${KUBECONFIG//:/ }; do if [ -r "$file" ]; then readable=true; fi; done
    [ -n "$readable" ] || die "KUBECONFIG=$KUBECONFIG cannot be read: correct it, or unset it to start a local cluster"
    local why
    users_kubectl=$(command -v kubectl) || users_kubectl=$(program kube | sed 's#[^/]*$#kubectl#')
    why=$("$users_kubectl" --request-timeout=15s version 2>&1 > /dev/null | tail -n 1) || true
    "$users_kubectl" --request-timeout=15s get --raw /version > /dev/null 2>&1 ||
        die "the cluster of KUBECONFIG=$KUBECONFIG does not answer ($why): correct it, or unset it to start a local cluster"
    say "KUBECONFIG is set: using that cluster, none is started"
}

up() { # NODES
    local count=$1 i archives
    if ! own_cluster; then use_the_users_cluster; return; fi
    [[ $count =~ ^[1-$MAX_NODES]$ ]] || die "NODES is '$count': it must be 1 to $MAX_NODES"
    [[ $FAKE_NODES =~ ^[0-9]+$ ]] || die "FAKE_NODES is '$FAKE_NODES': it must be a number"
    FAKE_NODES=$((10#$FAKE_NODES))
    if [ "$FAKE_NODES" -gt 0 ]; then count=0; fi
    need_root
    need containerd containerd; need runc runc; need iptables iptables; need ipset ipset; need nsenter util-linux; need python3 python3
    need openssl openssl; need curl curl; need ip iproute2; need ss iproute2
    [ -x /usr/lib/cni/ptp ] || die "the CNI plugins are missing: make deps installs them (Debian: apt-get install containernetworking-plugins)"
    need_space "$(dirname "$RUN")" 2000 "a cluster" SOFA_RUN
    lock
    local fresh=true
    if [ -d "$RUN" ]; then
        if [ "$(cat "$RUN/boot" 2> /dev/null)" != "$(cat /proc/sys/kernel/random/boot_id)" ]; then
            say "removing what a cluster before the machine's last start left"
            remove_all
        elif [ -e "$RUN/starting" ]; then
            say "removing what a start that was cut off left"
            remove_all
        else fresh=false; fi
    fi
    if [ $fresh = true ]; then
        trap forget EXIT
        place_free
        # Whatever fails from here on, nothing half-made stays.
        trap 'remove_all; forget' EXIT
        mkdir -p "$RUN"/{log,pid}
        touch "$RUN/starting"
        cat /proc/sys/kernel/random/boot_id > "$RUN/boot"
        echo "$FAKE_NODES" > "$RUN/fake-nodes"
    elif [ "$(cat "$RUN/fake-nodes")" != "$FAKE_NODES" ]; then
        die "a cluster with FAKE_NODES=$(cat "$RUN/fake-nodes") is up: cluster.sh down first"
    elif [ "$count" -lt "$(nodes_made)" ]; then
        count=$(nodes_made) # it never shrinks: what has ended of the larger one starts again
    fi
    link_programs kube
    if [ "$count" -gt 0 ]; then link_programs kube-router coredns local-path-provisioner; else link_programs kwok; fi
    if [ "$count" -gt 0 ]; then
        archives=$("$here/../../images/build.py" pause base)
        mapfile -t archives <<< "$archives"
        remember_images "${archives[@]}"
    fi
    make_cgroup "$TOP/system"
    if [ $fresh = true ]; then save_sysctls; fi
    control_plane
    for i in $(seq "$count"); do node_start_containerd "$i"; done
    if [ "$count" -gt "$(nodes_made)" ]; then echo "$count" > "$RUN/nodes"; fi
    node_routes "$(nodes_made)"
    control_plane_ready
    if [ "$count" -gt 0 ]; then
        for i in $(seq "$count"); do node_start_kubelet "$i"; done
        for i in $(seq "$count"); do node_start_policies "$i"; done
    else fake_nodes; fi
    admin wait --for=condition=Ready node --all --timeout=90s > "$RUN/log/wait.log" 2>&1 || die "not all nodes are Ready: $(tail -n 1 "$RUN/log/wait.log")"
    if [ "$FAKE_NODES" = 0 ]; then wait_until 30 coredns dns_answers; fi
    rm -f "$RUN/starting"
    trap - EXIT
    say "up: Kubernetes $KUBERNETES with $(admin get nodes --no-headers | wc -l) nodes"
    print_env
}

dns_answers() { timeout 3 bash -c "exec 3<>/dev/tcp/$NET.1/53"; }
print_env() { echo "export KUBECONFIG=$RUN/admin.kubeconfig"; echo "export PATH=$RUN/bin:$CACHE/bin:\$PATH"; }

# kubelet changes these for the whole machine. The first cluster of the machine writes down what they were, and the last one
# that ends puts them back: what a later cluster finds is a kubelet's already.
sysctls=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)
sysctls_kept=/run/sofa-operator.sysctls
save_sysctls() ( # our cgroup is there already, so that no other cluster puts them back from now on
    flock 8
    [ -f $sysctls_kept ] || for s in "${sysctls[@]}"; do echo "$s=$(sysctl -n "$s" 2> /dev/null)"; done > $sysctls_kept
) 8< "${sysctls_kept%/*}"
restore_sysctls() ( # our cgroup is gone already
    flock 8
    for other in "$tracker"/sofa[0-9]; do if [ -d "$other" ]; then exit 0; fi; done
    if [ -f $sysctls_kept ]; then while read -r s; do sysctl -qw "$s" 2> /dev/null || true; done < $sysctls_kept; fi
    rm -f $sysctls_kept
) 8< "${sysctls_kept%/*}"

remove_all() {
    local i
    kill_cgroup "$TOP"
    # Interfaces of the nodes go with their namespaces; the namespaces go when the files that hold them are unmounted.
    for i in $(seq $MAX_NODES); do ip link del "$TOP-v$i" 2> /dev/null || true; done
    clean_mounts "$RUN"
    clean_runtime_traces "$RUN"
    ip link del "$BRIDGE" 2> /dev/null || true
    ip route del blackhole "$POD_NET.0.0/16" 2> /dev/null || true
    ip route del blackhole "$SERVICE_NET.0.0/16" 2> /dev/null || true
    remove_cgroup "$TOP"
    restore_sysctls
    rm -rf --one-file-system "$RUN"
}

down() {
    if ! own_cluster; then say "KUBECONFIG names a cluster that is not ours: it is left alone"; return; fi
    need_root
    if [ ! -d "$RUN" ]; then
        if [ -z "$(processes_of "$TOP")" ]; then say "no cluster is up"; return; fi
        die "processes of a cluster $CLUSTER_ID run that $RUN knows nothing of: cluster.sh down with that cluster's SOFA_RUN ends them"
    fi
    lock
    # In order, so that the container runtime ends its pods' processes and not the other way round.
    for p in "$RUN"/pid/kubelet-* "$RUN"/pid/kube-*; do if [ -f "$p" ]; then stop "$(basename "$p")"; fi; done
    remove_all
    forget
    say "down"
}

remember_images() { # ARCHIVE...: nodes that come later get them too
    touch "$RUN/images"
    local a
    for a in "$@"; do
        # One archive of each image, the last one.
        { grep -vxF "$a" "$RUN/images" | grep -vE "/$(image_of "$a" | sed 's/[.]/\\./g')-[0-9a-f]{16}\.tar$"; echo "$a"; } > "$RUN/images.new" || true
        mv "$RUN/images.new" "$RUN/images"
    done
}

load() { # NAME|FILE...
    local a i failed='' jobs=() archives=()
    [ $# -gt 0 ] || die "say which image: cluster.sh load NAME|FILE... (make cluster-load IMAGE=...)"
    for a in "$@"; do
        case $a in
        *.tar)
            if [ ! -f "$a" ] || [ ! -r "$a" ]; then die "$a cannot be read: name an image of images/, or an image archive that is there"; fi
            archives+=("$(realpath "$a")") ;;
        *) mapfile -t -O "${#archives[@]}" archives < <("$here/../../images/build.py" "$a"); wait $! || exit 1 ;;
        esac
    done
    if ! own_cluster; then
        say "KUBECONFIG names a cluster that is not ours: load these into it, for example with kind load image-archive or by pushing them to its registry:"
        printf '%s\n' "${archives[@]}"; return
    fi
    is_up || die "no cluster is up: make cluster-up"
    lock
    for i in $(seq "$(nodes_made)"); do
        alive "containerd-$i" || continue
        (for a in "${archives[@]}"; do load_on "$i" "$a"; done) 2> "$RUN/log/load-$i.log" & jobs[i]=$!
    done
    for i in "${!jobs[@]}"; do wait "${jobs[$i]}" || failed=$i; done
    # What is wrong with an archive is so on every node: it is said once.
    if [ -n "$failed" ]; then cat "$RUN/log/load-$failed.log" >&2; exit 1; fi
    remember_images "${archives[@]}"
}

status() {
    if ! own_cluster; then use_the_users_cluster; "$users_kubectl" get nodes -o wide; return; fi
    is_up || { say "no cluster is up: make cluster-up"; return 3; }
    admin get nodes -o wide
    echo
    local p name
    for p in "$RUN"/pid/*; do
        name=$(basename "$p")
        if alive "$name"; then printf '%-24s runs, %s MiB\n' "$name" "$(awk '/VmRSS/ {print int($2 / 1024)}' "/proc/$(cat "$p")/status")"; else printf '%-24s ENDED: see %s\n' "$name" "$RUN/log/$name.log"; fi
    done
    echo
    if [ -f "$RUN/images" ]; then sed 's#.*/##; s#^#image #' "$RUN/images"; fi
}

all_programs() {
    local name path n
    mkdir -p "$CACHE/bin"
    for name in "${program_sources[@]%% *}"; do
        path=$(program "$name")
        ln -sfn "$path" "$CACHE/bin/$name"
    done
    for n in "${kube_names[@]}"; do ln -sfn "$(dirname "$(readlink "$CACHE/bin/kube")")/$n" "$CACHE/bin/$n"; done
}

node_argument() {
    local count; count=$(nodes_made)
    [ "$count" -gt 0 ] || die "no cluster with real nodes is up: make cluster-up"
    if ! [[ ${1:-} =~ ^[1-9]$ ]] || [ "$1" -gt "$count" ]; then die "there is no node '${1:-}': say which, 1 to $count"; fi
}
is_made() { [ -d "$RUN" ] || die "no cluster is up: make cluster-up"; }

verb=${1:-}; shift || true
case $verb in
up) up "${1:-2}" ;;
down) down ;;
load) load "$@" ;;
status) status ;;
env) is_up || die "no cluster is up: make cluster-up"; print_env ;;
kill-node) node_argument "${1:-}"; lock; kill_node "$1" ;;
start-node) node_argument "${1:-}"; lock; revive_node "$1" ;;
stop-api) is_made; lock; stop apiserver ;;
start-api) is_made; lock; FAKE_NODES=$(cat "$RUN/fake-nodes"); start_apiserver; wait_until 60 apiserver apiserver_ready ;;
programs) all_programs ;;
*) sed -n '2,/^set -/{/^set -/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
