#!/usr/bin/env bash
# run.sh [ARGS of the test program]: the tests of the ground on a cluster of three nodes that is made for them and goes
# with them; on the user's own cluster where KUBECONFIG is set.
set -euo pipefail
cd "$(dirname "$0")/../.."
images=(sofa-registry mariadb powerjob powerjob-worker registry-client contract-servers)
cargo test --locked --features contract-servers,testkit --test ground --no-run
if [ -z "${KUBECONFIG:-}" ]; then
    # A cluster of its own, so that a demo beside it is not disturbed.
    export CLUSTER_ID=${CLUSTER_ID:-1}
    trap 'KUBECONFIG="" tests/cluster/cluster.sh down' EXIT
    tests/cluster/cluster.sh up 3 > /dev/null
    tests/cluster/cluster.sh load "${images[@]}"
    eval "$(tests/cluster/cluster.sh env)"
else
    tests/cluster/cluster.sh load "${images[@]}"
fi
# Two at a time: servers that start at once on two cores starve each other, and raft groups lose their leaders.
cargo test --locked --features contract-servers,testkit --test ground -- --test-threads="${GROUND_THREADS:-2}" --nocapture "$@"
