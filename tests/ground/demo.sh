#!/usr/bin/env bash
# demo.sh up | down: a real SOFARegistry 5.4.3 (three metas, two data, two sessions) on a real cluster, brought up in order
# by plain manifests, its health shown.
set -euo pipefail
cd "$(dirname "$0")/../.."
namespace=sofa-demo
cluster=tests/cluster/cluster.sh
say() { printf '\n== %s\n' "$*"; }

if [ "${1:-}" = down ]; then
    # On a cluster of the user's only the namespace is ours; `down` knows which one that is, and leaves it alone.
    case ${KUBECONFIG:-} in '' | "${SOFA_RUN:-/var/lib/sofa-operator}"/*) ;; *) kubectl delete namespace $namespace --ignore-not-found ;; esac
    exec $cluster down
fi
[ "${1:-}" = up ] || { echo "usage: demo.sh up | down" >&2; exit 2; }
if [ -n "${KUBECONFIG:-}" ] && ! command -v kubectl > /dev/null; then echo "demo: kubectl is missing: install it to use the cluster of KUBECONFIG" >&2; exit 1; fi

began=$SECONDS
say "the cluster"
$cluster up "${NODES:-2}" > /dev/null
if [ -z "${KUBECONFIG:-}" ]; then eval "$($cluster env)"; fi
kubectl get nodes
say "the image"
$cluster load sofa-registry:5.4.3
kubectl create namespace $namespace --dry-run=client -o yaml | kubectl apply -f - > /dev/null

servers=$SECONDS
for role in meta data session; do
    say "$role: applied when the role before it is Ready"
    kubectl -n $namespace apply -f tests/ground/manifests/registry-5.4.3-$role.yaml > /dev/null
    count=$(kubectl -n $namespace get statefulset $role -o jsonpath='{.spec.replicas}')
    kubectl -n $namespace wait --for=jsonpath='{.status.readyReplicas}'="$count" statefulset/$role --timeout=180s > /dev/null ||
        { kubectl -n $namespace get pods -o wide; echo "demo: $role is not Ready after 180 s: kubectl -n $namespace logs $role-0 says why" >&2; exit 1; }
    echo "$count of $count Ready, $((SECONDS - servers)) s after the first apply"
done

say "what each server says of itself"
health() { kubectl get --raw "/api/v1/namespaces/$namespace/pods/$1:$2/proxy/health/check"; }
for pod in meta-0:9615 meta-1:9615 meta-2:9615 data-0:9622 data-1:9622 session-0:9603 session-1:9603; do
    said=$(health "${pod%:*}" "${pod#*:}" | grep -oE 'raftStatus:(Leader|Follower)|status:WORKING|SessionServerStart:true' | tail -n 1) ||
        { echo "demo: ${pod%:*} is Ready and does not say so itself: kubectl -n $namespace logs ${pod%:*} says why" >&2; exit 1; }
    printf '%-10s %s\n' "${pod%:*}" "$said"
done
printf '%-10s %s\n' push "$(kubectl get --raw "/api/v1/namespaces/$namespace/pods/session-0:9603/proxy/digest/pushSwitch")"
say "done in $((SECONDS - began)) s. Look around with:"
if [[ $KUBECONFIG == /var/lib/sofa-operator/* ]]; then echo "   eval \"\$(make -s cluster-env)\""; fi
echo "   kubectl -n $namespace get pods -o wide"
echo "   make demo-down     # removes it"
