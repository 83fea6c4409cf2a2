#!/usr/bin/env bash
# lifecycle.sh: installs, upgrades, rolls back, uninstalls and installs again with Helm, for real, on the cluster of KUBECONFIG;
# the definitions and a RegistryCluster have to live through all of it. It works in the namespace sofa-packaging alone, with an
# operator that may write nowhere else, and removes what it made, also what an earlier run has left.
#
# IMAGE           the operator's image (default localhost/sofa-operator:VERSION); the nodes must have it, or be able to fetch it
# HELM, KUBECTL   the programs (default: those of `make programs`, else those of the PATH)
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."
namespace=sofa-packaging
release=sofa-operator
limit=180s
version=$(sed -n 's/^appVersion: //p' charts/sofa-operator/Chart.yaml)
: "${IMAGE:=localhost/sofa-operator:$version}"
cache=${SOFA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sofa-operator}/bin
crds=()
for file in crds/*.yaml; do crds+=("$(basename "$file" .yaml).middleware.sofastack.io"); done

die() { echo "lifecycle: $*" >&2; exit 1; }
ok() { echo "ok    $*"; }
program() { if [ -x "$cache/$1" ]; then echo "$cache/$1"; else command -v "$1"; fi; }
: "${HELM:=$(program helm)}" "${KUBECTL:=$(program kubectl)}"
if [ -z "$HELM" ] || [ -z "$KUBECTL" ]; then die "helm or kubectl is missing: make programs builds them"; fi
[ -r "${KUBECONFIG:-}" ] || die "KUBECONFIG is not set, or cannot be read: set it to the cluster that this may work on"
k() { "$KUBECTL" --request-timeout=60s "$@"; }
h() { "$HELM" -n "$namespace" "$@"; }

# owner_of CRD: the namespace of the release that brought it; "-" for one that came otherwise, nothing for one that is not there.
owner_of() {
    local found
    found=$(k get crd "$1" --ignore-not-found -o json)
    [ -z "$found" ] || echo "$found" | python3 -c 'import json, sys; print(json.load(sys.stdin)["metadata"].get("annotations", {}).get("meta.helm.sh/release-namespace", "-"))'
}

# Whatever is the user's own stays: this refuses to begin where it would have to touch it.
is_free() {
    local crd owner made
    for crd in "${crds[@]}"; do
        owner=$(owner_of "$crd")
        [ -z "$owner" ] || [ "$owner" = "$namespace" ] ||
            die "this cluster has $crd already, and not from this test: use another cluster"
    done
    made=$(k get namespace "$namespace" --ignore-not-found -o jsonpath='{.metadata.labels.made-by}{"."}')
    [ -z "$made" ] || [ "$made" = lifecycle-test. ] || die "the namespace $namespace is not of this test: delete it, or use another cluster"
}

clean() {
    local crd kind name
    if h status "$release" > /dev/null 2>&1; then h uninstall "$release" --wait --timeout "$limit" > /dev/null; fi
    for crd in "${crds[@]}"; do
        [ "$(owner_of "$crd")" = "$namespace" ] || continue
        kind=${crd%%.*}
        # No operator is there to take its finalizer away.
        for name in $(k -n "$namespace" get "$kind" -o name); do
            k -n "$namespace" patch "$name" --type=merge -p '{"metadata":{"finalizers":null}}' > /dev/null
            k -n "$namespace" delete "$name" --ignore-not-found --wait --timeout="$limit" > /dev/null
        done
    done
    k delete namespace "$namespace" --ignore-not-found --wait --timeout="$limit" > /dev/null
    for crd in "${crds[@]}"; do
        [ "$(owner_of "$crd")" = "$namespace" ] || continue
        k delete crd "$crd" --wait --timeout="$limit" > /dev/null
    done
}

work=$(mktemp -d)
end() {
    local code=$?
    trap - EXIT
    if [ $code -ne 0 ]; then
        k -n "$namespace" get deployments,pods -o wide >&2 || true
        k -n "$namespace" logs "deployment/$release" --tail=20 >&2 || true
    fi
    clean || { echo "lifecycle: cleaning up failed: run it again" >&2; code=1; }
    rm -rf "$work"
    exit $code
}

# is WHAT FOUND WANTED
is() { [ "$2" = "$3" ] || die "$1 is '$2', not '$3'"; }
setting() { k -n "$namespace" get deployment "$release" -o jsonpath="{.spec.template.spec.containers[0].env[?(@.name=='$1')].value}"; }
description() {
    k get crd registryclusters.middleware.sofastack.io -o jsonpath="{.spec.versions[0].additionalPrinterColumns[?(@.name=='Rollout')].description}"
}
runs() { k -n "$namespace" rollout status "deployment/$release" --timeout="$limit" > /dev/null; }
# may WANTED VERB RESOURCE[/SUBRESOURCE] NAMESPACE: asks the API server for the operator's account.
may() {
    local said sub=()
    # kubectl takes what follows a slash for the name of an object.
    case $3 in */*) sub=(--subresource="${3#*/}") ;; esac
    said=$(k auth can-i "$2" "${3%%/*}" "${sub[@]}" -n "$4" --as="system:serviceaccount:$namespace:$release" 2> /dev/null) || true
    is "whether the operator may $2 $3 in $4" "$said" "$1"
}
cluster_lives() {
    is "the RegistryCluster's uid" "$(k -n "$namespace" get regc kept -o jsonpath='{.metadata.uid}')" "$uid"
    is "the RegistryCluster's spec.version" "$(k -n "$namespace" get regc kept -o jsonpath='{.spec.version}')" 5.4.3
    is "the RegistryCluster's deletion" "$(k -n "$namespace" get regc kept -o jsonpath='{.metadata.deletionTimestamp}')" ""
}

k get --raw /version > /dev/null || die "the cluster of KUBECONFIG does not answer"
is_free
clean
trap end EXIT

k create namespace "$namespace" > /dev/null
k label namespace "$namespace" made-by=lifecycle-test pod-security.kubernetes.io/enforce=restricted > /dev/null
repository=${IMAGE%:*}
values=(--set "namespaces={$namespace}" --set "image.repository=$repository" --set "image.tag=${IMAGE##*:}")

# The release before this one: an older definition, and an older number.
older=$work/sofa-operator
cp -r charts/sofa-operator "$older"
sed -i 's/^version: .*/version: 0.0.1/' "$older/Chart.yaml"
now="Where the rollout stands"
grep -q "$now" "$older/files/crds/registryclusters.yaml" || die "crds/registryclusters.yaml has no '$now' any more: choose another text here"
sed -i "s/$now/Where it stood/" "$older/files/crds/registryclusters.yaml"

h install "$release" "$older" "${values[@]}" --wait --timeout "$limit" > /dev/null
k wait --for=condition=Established --timeout="$limit" "${crds[@]/#/crd/}" > /dev/null
runs
is "the description of a column" "$(description)" "Where it stood"
ok "install: the definitions are established, the operator runs under the restricted profile"

may yes patch pods "$namespace"
may yes create pods/eviction "$namespace"
may yes patch registryclusters.middleware.sofastack.io/status "$namespace"
may yes list nodes "$namespace"
may no patch pods default
may no list secrets "$namespace"
may no create pods/exec "$namespace"
may no create pods "$namespace"
may no patch customresourcedefinitions.apiextensions.k8s.io "$namespace"
ok "rights: the API server grants what is needed in its namespace, and nothing elsewhere"

# Paused: no server is started for this test.
k create -f - > /dev/null <<Y
apiVersion: middleware.sofastack.io/v1alpha1
kind: RegistryCluster
metadata:
  name: kept
  namespace: $namespace
spec:
  version: 5.4.3
  image: localhost/sofa-registry:5.4.3
  dataCenter: DefaultDataCenter
  profile: Small
  paused: true
Y
uid=$(k -n "$namespace" get regc kept -o jsonpath='{.metadata.uid}')

h upgrade "$release" charts/sofa-operator "${values[@]}" --set log.level=debug --wait --timeout "$limit" > /dev/null
runs
is SOFA_LOG "$(setting SOFA_LOG)" debug
is "the description of a column" "$(description)" "$now"
cluster_lives
ok "upgrade: the value and the definitions are the new ones, the cluster lives"

h rollback "$release" 1 --wait --timeout "$limit" > /dev/null
runs
is SOFA_LOG "$(setting SOFA_LOG)" info
is "the description of a column" "$(description)" "Where it stood"
cluster_lives
ok "rollback: the value and the definitions are the old ones, the cluster lives"

h uninstall "$release" --wait --timeout "$limit" > /dev/null
for left in deployments services serviceaccounts roles rolebindings; do
    is "what is left of $left" "$(k -n "$namespace" get "$left" -l app.kubernetes.io/instance="$release",app.kubernetes.io/managed-by=Helm -o name)" ""
done
is "what is left of cluster roles" "$(k get clusterroles,clusterrolebindings -l app.kubernetes.io/instance="$release" -o name | grep "$namespace" || true)" ""
for crd in "${crds[@]}"; do is "$crd" "$(k get crd "$crd" -o name)" "customresourcedefinition.apiextensions.k8s.io/$crd"; done
cluster_lives
ok "uninstall: the operator and its rights are gone, the definitions and the cluster live"

h install "$release" charts/sofa-operator "${values[@]}" --wait --timeout "$limit" > /dev/null
runs
is "the description of a column" "$(description)" "$now"
cluster_lives
ok "install again: Helm takes the definitions over that it had kept, and brings them up to date"
