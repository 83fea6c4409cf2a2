#!/usr/bin/env bash
# demo.sh up | down: the operator on a real cluster. It brings a real SOFARegistry 5.4.3 up from one `kubectl apply`, rolls it to a
# new configuration with push closed and opened again, and lets a lost MetaServer in again, with a real client on it all the while.
set -euo pipefail
cd "$(dirname "$0")/../.."
namespace=sofa-demo
operators=sofa-system
cluster=tests/cluster/cluster.sh
say() { printf '\n== %s\n' "$*"; }
k() { kubectl -n $namespace "$@"; }

if [ "${1:-}" = down ]; then
    # On a cluster of the user's only what the demo made is ours; `down` knows which one that is, and leaves it alone.
    case ${KUBECONFIG:-} in
    '' | "${SOFA_RUN:-/var/lib/sofa-operator}"/*) ;;
    *)
        k delete registrycluster demo --ignore-not-found --timeout=120s
        helm -n $operators uninstall sofa-operator --ignore-not-found --wait
        kubectl delete namespace $namespace --ignore-not-found
        ;;
    esac
    exec $cluster down
fi
[ "${1:-}" = up ] || { echo "usage: demo.sh up | down" >&2; exit 2; }

began=$SECONDS
say "the cluster and the images"
$cluster up "${NODES:-2}" > /dev/null
if [ -z "${KUBECONFIG:-}" ]; then eval "$($cluster env)"; fi
for program in kubectl helm; do
    command -v $program > /dev/null || { echo "demo: $program is missing: install it to use the cluster of KUBECONFIG" >&2; exit 1; }
done
kubectl get nodes
$cluster load sofa-operator sofa-registry:5.4.3 registry-client

say "the operator, by its chart"
helm -n $operators upgrade --install sofa-operator charts/sofa-operator --create-namespace --set log.format=text,operator.slowPace=10 \
    --wait --timeout 120s > /dev/null
kubectl -n $operators get pods
kubectl create namespace $namespace --dry-run=client -o yaml | kubectl apply -f - > /dev/null

# look: what the cluster says now, read at once: the generation that is seen and the wanted one, and so on.
look() {
    local fields='{.status.observedGeneration}|{.metadata.generation}|{.status.conditions[?(@.type=="Ready")].status}|{.status.ready}'
    fields+='|{.status.push.state}|{.status.rollout.state} {.status.rollout.act.kind} {.status.rollout.act.targets[*].member}'
    IFS='|' read -r seen wanted is_ready servers push act <<< "$(k get regc demo -o jsonpath="$fields")"
}
now() { printf '%4d s  %-5s  push %-8s  %s\n' $((SECONDS - began)) "$servers" "$push" "$1"; }
# ready SECONDS: waits until the present spec is reached, and tells each act on the way.
ready() {
    local end=$((SECONDS + $1)) last='  '
    while :; do
        look
        if [ "$act" != "$last" ]; then now "$act"; last=$act; fi
        if [ "$seen" = "$wanted" ] && [ "$is_ready" = True ]; then
            now "Ready"
            return
        fi
        if [ $SECONDS -ge $end ]; then
            k describe regc demo | tail -n 40
            echo "demo: not Ready after $1 s: kubectl -n $operators logs deployment/sofa-operator says why" >&2
            exit 1
        fi
        sleep 1
    done
}
members() {
    k get regc demo
    k get regc demo -o jsonpath='{range .status.members[*]}{.name}{"\t"}{.state}{"\t"}{.address}{"\n"}{end}' | column -t
}
client() { kubectl get --raw "/api/v1/namespaces/$namespace/pods/client-0:8080/proxy/status" |
    python3 -c 'import json, sys; s = json.load(sys.stdin); print("client: published", s["published"], "received", s["received"],
        "taken away by the servers", s["emptied"]["fromServer"])'; }

say "kubectl apply: three MetaServers, two DataServers, two SessionServers"
k apply -f - << Y
apiVersion: middleware.sofastack.io/v1alpha1
kind: RegistryCluster
metadata:
  name: demo
spec:
  version: 5.4.3
  image: localhost/sofa-registry:5.4.3
  dataCenter: DefaultDataCenter
  profile: Small
  meta: {replicas: 3}
  data: {replicas: 2}
  session: {replicas: 2}
Y
ready 300
members
say "a real client publishes 50 values and subscribes to them"
sed 's/value: session$/value: demo-session-client/' tests/ground/manifests/registry-client.yaml | k apply -f - > /dev/null
k rollout status statefulset/client --timeout=90s > /dev/null
k wait --for=jsonpath='{.status.readyReplicas}'=1 statefulset/client --timeout=90s > /dev/null
client

say "a new configuration: every server is restarted in order, with push closed"
k patch regc demo --type merge -p '{"spec":{"restart":"'"$(date +%s)"'"}}' > /dev/null
ready 480
members
client

say "a MetaServer is lost: it comes back on another address, and the others are told by changePeer"
k delete pod demo-meta-0 --wait=false > /dev/null
k wait --for=condition=Ready=False regc/demo --timeout=60s > /dev/null
ready 180
members
client
say "done in $((SECONDS - began)) s. Look around with:"
if [[ $KUBECONFIG == /var/lib/sofa-operator/* ]]; then echo "   eval \"\$(make -s cluster-env)\""; fi
echo "   kubectl -n $namespace describe regc demo"
echo "   kubectl -n $operators logs deployment/sofa-operator"
echo "   make demo-down     # removes it"
