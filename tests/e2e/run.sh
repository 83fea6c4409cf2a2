#!/usr/bin/env bash
# run.sh [ARGS of the test program]: the stories of the whole product on a cluster of three nodes that is made for them and
# goes with them; on the user's own cluster where KUBECONFIG is set. If no arguments choose among the stories, the chart is
# first installed, upgraded, rolled back and uninstalled there; not on the user's cluster, whose definitions would go too.
# With E2E_KEEP=1 what failed is kept to be looked at; with E2E_FULL=1 the longest stories and the faults of the whole cluster
# are played too (CI leaves them out).
set -euo pipefail
cd "$(dirname "$0")/../.."
images=(sofa-operator sofa-registry mariadb registry-client base powerjob powerjob-worker contract-servers)
cargo test --locked --features contract-servers,testkit --test e2e --no-run
ours=
if [ -z "${KUBECONFIG:-}" ]; then
    ours=1
    export CLUSTER_ID=${CLUSTER_ID:-4}
    [ -n "${E2E_KEEP:-}" ] || trap 'KUBECONFIG="" tests/cluster/cluster.sh down' EXIT
    tests/cluster/cluster.sh up 3 > /dev/null
    eval "$(tests/cluster/cluster.sh env)"
fi
KUBECONFIG="${KUBECONFIG}" tests/cluster/cluster.sh load "${images[@]}"
if [ -n "$ours" ] && [ $# = 0 ]; then
    # The chart's own life, with its definitions, which come and go with it: before they are there for the stories.
    tests/packaging/lifecycle.sh
fi
kubectl apply --server-side --force-conflicts -f crds/ > /dev/null
# Two at a time: servers that start at once on two cores starve each other, and raft groups lose their leaders.
short=(--skip servers_are_added_and_taken_away --skip a_full_disk_stops_one_meta --skip every_meta_moves)
[ -z "${E2E_FULL:-}" ] || short=()
cargo test --locked --features contract-servers,testkit --test e2e -- --test-threads="${E2E_THREADS:-2}" --nocapture "${short[@]}" "$@"
if [ -n "$ours" ] && [ -n "${E2E_FULL:-}" ]; then
    # Faults of the whole cluster, one after the other, and only on one that this has made.
    cargo test --locked --features contract-servers,testkit --test e2e -- --ignored --test-threads=1 --nocapture "$@"
fi
