#!/usr/bin/env bash
# sync-crds.sh: copies crds/*.yaml of the repository into this chart, which must have all its files below its own folder.
# Kustomize takes the same copies. tests/packaging/run.sh says when they have drifted.
set -euo pipefail
cd "$(dirname "$0")"
source=../../crds
[ -n "$(ls "$source"/*.yaml 2> /dev/null)" ] || { echo "sync-crds: $source holds no definitions: run 'make crds'" >&2; exit 1; }
mkdir -p files/crds
rm -f files/crds/*.yaml
cp "$source"/*.yaml files/crds/
{
    echo "# Made by sync-crds.sh. Kustomize reads no file above a folder with a kustomization.yaml, so that this one stands here,"
    echo "# beside the copies; config/crd refers to it."
    echo "apiVersion: kustomize.config.k8s.io/v1beta1"
    echo "kind: Kustomization"
    echo "resources:"
    for file in files/crds/*.yaml; do echo "- ${file#files/}"; done
} > files/kustomization.yaml
