# shellcheck shell=bash
# The programs of the cluster, built from Go modules into the cache. Each is keyed by what it is built from, so a second
# run builds nothing; what is half-written never gets its final name, and what is damaged is built again.

KUBERNETES=v1.34.4
GO_AT_LEAST=1.26 # what the newest of the modules below asks for
# name, then a package of the Go module proxy or a module of this folder
program_sources=(
    "kube ./programs/kube"
    "kube-router ./programs/kube-router"
    "coredns github.com/coredns/coredns@v1.14.7"
    "local-path-provisioner github.com/rancher/local-path-provisioner@v0.0.30"
    "kwok sigs.k8s.io/kwok/cmd/kwok@v0.7.0"
    "helm helm.sh/helm/v3/cmd/helm@v3.22.0"
)
# The names by which the one binary `kube` acts.
kube_names=(etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)

program_source() {
    local entry
    for entry in "${program_sources[@]}"; do if [ "${entry%% *}" = "$1" ]; then echo "${entry#* }"; return; fi; done
    die "there is no program $1"
}

need_go() {
    command -v go > /dev/null || die "go is missing: install Go $GO_AT_LEAST or newer (https://go.dev/doc/install)"
    local v; v=$(go env GOVERSION); v=${v#go}
    [ "$(printf '%s\n%s\n' "$v" $GO_AT_LEAST | sort -V | head -n 1)" = $GO_AT_LEAST ] || die "go $v is too old: install Go $GO_AT_LEAST or newer (https://go.dev/doc/install)"
}

program_key() { # NAME: a digest of its sources, flags and the Go release
    local source; source=$(program_source "$1")
    need_go
    { go env GOVERSION GOARCH; echo "$source $KUBERNETES"; case $source in ./*) cat "$here/$source"/*.go "$here/$source"/go.* ;; esac; } |
        sha256sum | cut -c1-16
}

program() { # NAME: prints the path of the finished binary, building it if the cache lacks it
    local name=$1 key folder
    key=$(program_key "$name")
    folder=$CACHE/programs/$name-$key
    if ! whole "$folder"; then
        need_space "$CACHE/programs" 6000 "building $name" SOFA_CACHE
        mkdir -p "$CACHE/programs"
        # Two builds at once would do the same work twice.
        exec 8> "$CACHE/programs/.lock"
        if ! flock -n 8; then say "waiting for another build of programs ..."; flock 8; fi
        rm -rf "$CACHE"/programs/.new-*
        if ! whole "$folder"; then
            if [ -e "$folder" ]; then say "$folder is incomplete or damaged: building it again"; rm -rf "$folder"; fi
            build_program "$name" "$folder" 8>&-
        fi
        exec 8>&-
    fi
    echo "$folder/$name"
}

whole() { [ -d "$1" ] && (cd "$1" && sha256sum --status -c SHA256 2> /dev/null); } # FOLDER

build_program() { # NAME FOLDER
    local name=$1 folder=$2 source work began=$SECONDS
    source=$(program_source "$name")
    say "building $name (once; up to 10 min for kube on two cores) ..."
    work=$(mktemp -d "$CACHE/programs/.new-XXXXXX")
    (
        trap 'rm -rf "$work"' EXIT
        export CGO_ENABLED=0 GOBIN=$work GOFLAGS=-buildvcs=false
        local flags="-s -w"
        if [ "$name" = kube ]; then
            flags+=" -X k8s.io/component-base/version.gitVersion=$KUBERNETES -X k8s.io/client-go/pkg/version.gitVersion=$KUBERNETES"
        fi
        case $source in
        */kube) cd "$here/$source" && go build -trimpath -ldflags "$flags" -o "$work/$name" . ;;
        */kube-router) cd "$here/$source" && go build -trimpath -ldflags "$flags" -o "$work/$name" github.com/cloudnativelabs/kube-router/cmd/kube-router ;;
        *) cd / && go install -trimpath -ldflags "$flags" "$source" ;;
        esac > "$work/log" 2>&1 < /dev/null || die "building $name failed: $(grep -v '^go: downloading' "$work/log" | tail -n 1)"
        rm "$work/log"
        if [ "$name" = kube ]; then for n in "${kube_names[@]}"; do ln -s kube "$work/$n"; done; fi
        # `||` below switches `set -e` off in here.
        { cd "$work" && sha256sum "$name" > SHA256 && mv -T "$work" "$folder"; } || die "$folder cannot be written: see the line above"
    ) || exit 1
    say "$name built in $((SECONDS - began)) s"
}

link_programs() { # NAME...: puts them into $RUN/bin
    local name path n
    mkdir -p "$RUN/bin"
    for name in "$@"; do
        path=$(program "$name")
        ln -sfn "$path" "$RUN/bin/$name"
        if [ "$name" = kube ]; then for n in "${kube_names[@]}"; do ln -sfn "${path%/*}/$n" "$RUN/bin/$n"; done; fi
    done
}
