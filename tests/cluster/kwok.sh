# shellcheck shell=bash
# Fake nodes of kwok in place of real ones: pods are Ready at once and run nowhere. For figures with hundreds of clusters.

fake_nodes() {
    local i
    for i in $(seq "$FAKE_NODES"); do
        cat <<N
---
apiVersion: v1
kind: Node
metadata: {name: fake-$i, annotations: {kwok.x-k8s.io/node: fake}, labels: {kubernetes.io/hostname: fake-$i}}
status:
  allocatable: {cpu: "10000", memory: 10000Gi, pods: "1000"}
  capacity: {cpu: "10000", memory: 10000Gi, pods: "1000"}
N
    done > "$RUN/fake-nodes.yaml"
    admin apply --server-side -f "$RUN/fake-nodes.yaml" > "$RUN/log/fake-nodes.log" 2>&1 || die "the fake nodes are refused: $(tail -n 1 "$RUN/log/fake-nodes.log")"
    start kwok "$TOP/system" - "$RUN/bin/kwok" --kubeconfig "$RUN/kwok.kubeconfig" --manage-all-nodes=false \
        --manage-nodes-with-annotation-selector kwok.x-k8s.io/node=fake --cidr "$POD_NET.0.1/16" --node-ip "$NET.1" \
        --node-lease-duration-seconds 40 --server-address "$NET.1:10247" --node-port 10247 \
        --tls-cert-file "$RUN/pki/api.crt" --tls-private-key-file "$RUN/pki/api.key" --config "$here/kwok.yaml"
}
