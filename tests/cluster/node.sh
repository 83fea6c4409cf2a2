# shellcheck shell=bash
# A real node: a network namespace with its own containerd, kubelet, kube-proxy and network policies, and a cgroup of its
# own below which all its pods run. Node N is $NET.1N, its pods are $POD_NET.N.0/24.

netns_of() { echo "$RUN/netns/node-$1"; }
in_node() { local i=$1; shift; nsenter --net="$(netns_of "$i")" "$@"; }
node_name() { echo "node-$1"; }

node_network() { # INDEX
    local i=$1 file; file=$(netns_of "$i")
    mkdir -p "$RUN/netns"
    if ! mountpoint -q "$file"; then
        touch "$file"
        unshare --net="$file" true
        ip link add "$TOP-v$i" type veth peer name eth0 netns "$file"
        ip link set "$TOP-v$i" master "$BRIDGE" up
        in_node "$i" ip link set lo up
        in_node "$i" ip addr add "$NET.1$i/24" dev eth0
        in_node "$i" ip link set eth0 up
        in_node "$i" ip route add default via "$NET.1"
        in_node "$i" sysctl -qw net.ipv4.ip_forward=1
    fi
    ip link set "$TOP-v$i" up
    ip route replace "$POD_NET.$i.0/24" via "$NET.1$i"
}

# Every node knows the way to every other node's pods: no address is rewritten between them.
node_routes() { # COUNT
    local i j
    for i in $(seq "$1"); do
        for j in $(seq "$1"); do [ "$i" = "$j" ] || in_node "$i" ip route replace "$POD_NET.$j.0/24" via "$NET.1$j"; done
    done
}

node_config() { # INDEX
    local i=$1 d=$RUN/node-$1
    mkdir -p "$d"/{containerd,cni,kubelet,volumes,volume-plugins,images}
    cat > "$d/containerd.toml" <<T
version = 2
root = "$d/containerd/root"
state = "$d/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$d/containerd.sock"
[ttrpc]
  address = "$d/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true   # without CAP_SYS_RESOURCE no process may lower its oom_score_adj, and runc then fails
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "$d/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$d/cni"
T
    # ptp, not bridge: every packet between pods is routed, also on one node, and so passes Services and NetworkPolicies.
    # ipMasq false: Kubernetes promises pods each other's own addresses, and SOFARegistry knows its peers by them.
    cat > "$d/cni/10-pods.conflist" <<T
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local", "ranges": [[{"subnet": "$POD_NET.$i.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "$d/ipam"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
T
    echo "nameserver 127.0.0.1" > "$d/resolv.conf"
    cat > "$d/kubelet.yaml" <<T
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /$TOP/node-$i
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
containerRuntimeEndpoint: unix://$d/containerd.sock
evictionHard: {memory.available: 100Mi, nodefs.available: 1%}
imageGCHighThresholdPercent: 100
clusterDNS: [$NET.1]
clusterDomain: cluster.local
resolvConf: $d/resolv.conf
nodeStatusUpdateFrequency: 4s
podLogsDir: $d/pod-logs
volumePluginDir: $d/volume-plugins
T
}

containerd_ready() { ctr -a "$RUN/node-$1/containerd.sock" version; }

node_start_containerd() { # INDEX
    make_cgroup "$TOP/node-$1"; make_cgroup "$TOP/system/node-$1"
    node_network "$1"
    if [ -d "$RUN/node-$1/containerd/state" ] && [ -z "$(processes_of "$TOP/system/node-$1")$(processes_of "$TOP/node-$1")" ]; then node_clean "$1"; fi
    node_config "$1"
    start "containerd-$1" "$TOP/system/node-$1" "$(netns_of "$1")" containerd -c "$RUN/node-$1/containerd.toml"
}

node_start_kubelet() { # INDEX: after containerd and the API server are there
    local i=$1 d=$RUN/node-$1 netns archive; netns=$(netns_of "$1")
    wait_until 30 "containerd-$i" containerd_ready "$i"
    while read -r archive; do load_on "$i" "$archive"; done < "$RUN/images"
    start "kubelet-$i" "$TOP/system/node-$i" "$netns" "$RUN/bin/kubelet" --config "$d/kubelet.yaml" --kubeconfig "$RUN/node-$i.kubeconfig" \
        --root-dir "$d/kubelet" --hostname-override "$(node_name "$i")" --node-ip "$NET.1$i" --cert-dir "$d/kubelet/pki"
    start "kube-proxy-$i" "$TOP/system/node-$i" "$netns" "$RUN/bin/kube-proxy" --kubeconfig "$RUN/proxy.kubeconfig" --proxy-mode iptables \
        --hostname-override "$(node_name "$i")" --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 \
        --conntrack-tcp-timeout-close-wait 0 --cluster-cidr "$POD_NET.0.0/16"
}

# NetworkPolicies are enforced by kube-router's firewall: the routes are ours, the Services are kube-proxy's. It ends at
# once if its Node does not exist yet.
node_start_policies() { # INDEX
    local i=$1
    wait_until 60 "kubelet-$i" admin get node "$(node_name "$i")"
    start "kube-router-$i" "$TOP/system/node-$i" "$(netns_of "$i")" "$RUN/bin/kube-router" --kubeconfig "$RUN/network.kubeconfig" --run-firewall=true \
        --run-router=false --run-service-proxy=false --hostname-override "$(node_name "$i")" --service-cluster-ip-range "$SERVICE_NET.0.0/16" \
        --health-port 0 --metrics-port 0 --iptables-sync-period 60s
}

# image_of ARCHIVE: name and tag in the name of an archive that build.py made, NAME-TAG-ID.tar.
image_of() { basename "$1" .tar | sed -E 's/-[0-9a-f]{16}$//'; }

load_on() { # INDEX ARCHIVE: imports an image archive unless the node has it
    local facts done_file
    # Another archive may have the same name, and the same one may be written anew.
    facts=$(stat -c '%n %s %.Y' "$2" 2> /dev/null) || { say "$2 is gone: node-$1 keeps what it has of it; load the image again if it is missing"; return 0; }
    done_file=$RUN/node-$1/images/$(basename "$2")-$(echo "$facts" | sha256sum | cut -c1-16)
    if [ -f "$done_file" ]; then return 0; fi
    # Another content of the same image, whose archive has the same name but for the id at its end, has to be imported anew
    # when it comes back.
    rm -f "$RUN/node-$1/images/$(image_of "$2")"-*
    ctr -a "$RUN/node-$1/containerd.sock" -n k8s.io images import "$2" > "$RUN/log/import-$1.log" 2>&1 ||
        die "node-$1 cannot import $2: $(tail -n 1 "$RUN/log/import-$1.log"): give an image archive, such as docker save writes"
    touch "$done_file"
}

# kill_node INDEX: what a power cut of the machine does: every process of the node ends at once, nothing is told to anyone.
kill_node() {
    kill_cgroup "$TOP/system/node-$1"
    kill_cgroup "$TOP/node-$1"
    ip link set "$TOP-v$1" down
    say "node-$1 is dead: cluster.sh start-node $1 brings it back"
}

revive_node() { # INDEX
    node_start_containerd "$1"
    node_start_kubelet "$1"
    node_start_policies "$1"
}

# node_clean INDEX: of a node without processes the pods' namespaces and root file systems go, as in a reboot; its volumes
# and images stay.
node_clean() {
    clean_mounts "$RUN/node-$1"
    clean_runtime_traces "$RUN/node-$1"
    rm -rf "$RUN/node-$1/runc" "$RUN/node-$1/ipam" "$RUN/node-$1/containerd/state"
    for link in $(in_node "$1" ip -o link show type veth | awk -F'[ :@]+' '$2 != "eth0" {print $2}'); do in_node "$1" ip link del "$link"; done
}

clean_mounts() { # FOLDER: unmounts everything below it, the deepest first
    local m
    for _ in 1 2 3; do
        awk -v r="$1/" 'index($2, r) == 1 {print $2}' /proc/mounts | sort -r | while read -r m; do umount "$m" 2> /dev/null || umount -l "$m" || true; done
        grep -q " $1/" /proc/mounts || return 0
    done
}

clean_runtime_traces() { # FOLDER: what containerd and the kubelet leave outside of it
    local address f
    { find "$1" -path '*io.containerd.runtime.v2.task*' -name address 2> /dev/null || true; } | while read -r f; do
        address=$(cat "$f")
        if [ -S "${address#unix://}" ]; then rm -f "${address#unix://}"; fi
    done
    { grep -ls "$1/" /var/lib/cni/results/* 2> /dev/null || true; } | xargs -r rm -f
    for f in /var/log/containers/*; do
        case $(readlink "$f" 2> /dev/null) in "$1"/*) rm -f "$f" ;; esac
    done
}
