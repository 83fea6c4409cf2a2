# shellcheck shell=bash
# etcd, the API server, controller-manager, scheduler, CoreDNS and the volume provisioner, on this machine itself.

kubeconfig() { # USER TOKEN
    (umask 077 && cat > "$RUN/$1.kubeconfig" <<K
apiVersion: v1
kind: Config
clusters: [{name: local, cluster: {server: "$API", certificate-authority: "$RUN/pki/ca.crt"}}]
users: [{name: $1, user: {token: $2}}]
contexts: [{name: local, context: {cluster: local, user: $1}}]
current-context: local
K
    )
}

# Users with all rights: the parts of the control plane, an administrator, and `operator`, whose requests the audit log of
# a FAKE_NODES cluster shows.
users=(admin kcm sched proxy dns network volumes kwok operator)
MAX_NODES=9

make_pki() {
    [ -f "$RUN/pki/tokens.csv" ] && return
    local new=$RUN/pki.new i u
    rm -rf "$new" && mkdir -p "$new" && chmod 700 "$new"
    (
        cd "$new"
        openssl ecparam -genkey -name prime256v1 -noout -out ca.key
        openssl req -x509 -new -key ca.key -days 3650 -out ca.crt -subj /CN=local-ca
        openssl ecparam -genkey -name prime256v1 -noout -out api.key
        openssl req -new -key api.key -out api.csr -subj /CN=kube-apiserver
        openssl x509 -req -in api.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -out api.crt \
            -extfile <(echo "subjectAltName=IP:$NET.1,IP:$SERVICE_NET.0.1,DNS:kubernetes.default.svc")
        openssl ecparam -genkey -name prime256v1 -noout -out sa.key
        openssl ec -in sa.key -pubout -out sa.pub
        for u in "${users[@]}"; do echo "$(openssl rand -hex 16),$u,$u,\"system:masters\""; done > tokens.new
        for i in $(seq $MAX_NODES); do echo "$(openssl rand -hex 16),system:node:node-$i,node-$i,\"system:nodes\""; done >> tokens.new
        mv tokens.new tokens.csv
    ) 2> "$RUN/log/openssl.log" || die "openssl failed: $(tail -n 1 "$RUN/log/openssl.log")"
    rm -rf "$RUN/pki" && mv -T "$new" "$RUN/pki"
    local token uid
    while IFS=, read -r token _ uid _; do kubeconfig "$uid" "$token"; done < "$RUN/pki/tokens.csv"
}

# port_free ADDRESS PORT PROGRAM: nobody else listens where PROGRAM is going to.
port_free() {
    local line
    line=$(ss -Hlntp "sport = :$2" | awk -v a="$1:$2" -v w="0.0.0.0:$2" -v s="*:$2" -v v="[::]:$2" '$4 == a || $4 == w || $4 == s || $4 == v' | head -n 1)
    [ -z "$line" ] || die "port $2 ($3) is in use by $(echo "$line" | grep -oE '"[^"]+",pid=[0-9]+' | head -n 1 || echo another program): end that program, then try again"
}

network_free() {
    local other
    other=$(ip -o -4 addr show | awk -v n="$NET." -v b="$BRIDGE" 'index($4, n) == 1 && $2 != b {print $2; exit}')
    [ -z "$other" ] || die "$NET.0/24 is already used here, by $other: set CLUSTER_ID to another digit"
}

machine_network() {
    if ! ip link show "$BRIDGE" > /dev/null 2>&1; then
        ip link add "$BRIDGE" type bridge
        ip addr add "$NET.1/24" dev "$BRIDGE"
        ip link set "$BRIDGE" up
    fi
    # A pod's or Service's address that no node has never leaves this machine.
    ip route replace blackhole "$POD_NET.0.0/16"
    ip route replace blackhole "$SERVICE_NET.0.0/16"
}

start_etcd() {
    start etcd "$TOP/system" - "$RUN/bin/etcd" --name local --data-dir "$RUN/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls "http://$ETCD:2379" --advertise-client-urls "http://$ETCD:2379" \
        --listen-peer-urls "http://$ETCD:2380" --initial-advertise-peer-urls "http://$ETCD:2380" --initial-cluster "local=http://$ETCD:2380"
}

start_apiserver() {
    local p=$RUN/pki more=()
    if [ "$FAKE_NODES" -gt 0 ]; then
        cat > "$RUN/audit-policy.yaml" <<A
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: [operator]}
- {level: Metadata, users: [admin], verbs: [create, update, patch, delete]}
- {level: None}
A
        more=(--audit-policy-file "$RUN/audit-policy.yaml" --audit-log-path "$RUN/audit.log" --audit-log-maxsize 100000)
    fi
    start apiserver "$TOP/system" - "$RUN/bin/kube-apiserver" --etcd-servers "http://$ETCD:2379" --secure-port 6443 \
        --bind-address "$NET.1" --advertise-address "$NET.1" --tls-cert-file "$p/api.crt" --tls-private-key-file "$p/api.key" \
        --token-auth-file "$p/tokens.csv" --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
        --allow-privileged=true --service-cluster-ip-range "$SERVICE_NET.0.0/16" --service-account-key-file "$p/sa.pub" \
        --service-account-signing-key-file "$p/sa.key" --service-account-issuer https://kubernetes.default.svc \
        --kubelet-preferred-address-types InternalIP --shutdown-delay-duration 0s "${more[@]}"
}

apiserver_ready() { curl -fsS --max-time 3 --cacert "$RUN/pki/ca.crt" "$API/readyz"; }

start_controllers() {
    local limits=() grace=16s
    if [ "$FAKE_NODES" -gt 0 ]; then
        # With the default client limits these two, not the operator, are what a test of hundreds of clusters measures.
        limits=(--kube-api-qps 1000 --kube-api-burst 2000)
        grace=120s
    fi
    start controller-manager "$TOP/system" - "$RUN/bin/kube-controller-manager" --kubeconfig "$RUN/kcm.kubeconfig" \
        --service-account-private-key-file "$RUN/pki/sa.key" --root-ca-file "$RUN/pki/ca.crt" --leader-elect=false \
        --allocate-node-cidrs=false --node-monitor-grace-period "$grace" --secure-port 0 --use-service-account-credentials=false \
        "${limits[@]}" ${limits:+--concurrent-statefulset-syncs 20}
    start scheduler "$TOP/system" - "$RUN/bin/kube-scheduler" --kubeconfig "$RUN/sched.kubeconfig" --leader-elect=false --secure-port 0 "${limits[@]}"
}

start_dns() {
    cat > "$RUN/Corefile" <<C
cluster.local in-addr.arpa {
  bind $NET.1
  errors
  kubernetes cluster.local {
    kubeconfig $RUN/dns.kubeconfig local
    pods insecure
    ttl 1
  }
  cache 1
}
. {
  bind $NET.1
  template ANY ANY {
    rcode NXDOMAIN
  }
}
C
    start coredns "$TOP/system" - "$RUN/bin/coredns" -conf "$RUN/Corefile"
}

# Claims bind where their pod is scheduled, each node with a folder of its own, and live until the claim is deleted.
start_volumes() {
    local i paths=
    for i in $(seq $MAX_NODES); do paths+="{\"node\":\"node-$i\",\"paths\":[\"$RUN/node-$i/volumes\"]},"; done
    cat > "$RUN/volumes.json" <<J
{"nodePathMap":[${paths%,}]}
J
    start local-path-provisioner "$TOP/system" - env POD_NAMESPACE=volumes "$RUN/bin/local-path-provisioner" start \
        --kubeconfig "$RUN/volumes.kubeconfig" --config "$RUN/volumes.json" --namespace volumes --provisioner-name sofa-operator.local/volumes \
        --helper-image localhost/base:1 --service-account-name default --configmap-name helper
}

# Before anything is made: whether a new cluster has its place here.
place_free() {
    local left
    left=$(processes_of "$TOP")
    [ -z "$left" ] || die "processes of a cluster $CLUSTER_ID run that $RUN knows nothing of: cluster.sh down with that cluster's SOFA_RUN ends them, or set CLUSTER_ID to another digit"
    network_free
    port_free "$ETCD" 2379 etcd; port_free "$ETCD" 2380 etcd; port_free "$NET.1" 6443 apiserver
    if [ "$FAKE_NODES" = 0 ]; then port_free "$NET.1" 53 coredns; else port_free "$NET.1" 10247 kwok; fi
}

control_plane() {
    machine_network
    make_pki
    start_etcd
    start_apiserver
}

control_plane_ready() {
    wait_until 60 apiserver apiserver_ready
    start_controllers
    if [ "$FAKE_NODES" = 0 ]; then
        "$RUN/bin/kubectl" --kubeconfig "$RUN/admin.kubeconfig" apply --server-side -f "$here/volumes.yaml" > "$RUN/log/volumes.yaml.log" 2>&1 ||
            die "applying volumes.yaml failed: $(tail -n 1 "$RUN/log/volumes.yaml.log")"
        start_volumes
        start_dns
    fi
}
