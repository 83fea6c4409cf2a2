# Targets that need a cluster use the one of KUBECONFIG if you set it, else they start one on this machine (as root).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CLUSTER := tests/cluster/cluster.sh
NODES ?= 2
# Every test is built with the same features: with others the library would be built again for each target.
CARGO_TEST := cargo test --locked --features contract-servers,testkit
# Tests that need a cluster: `cargo test` leaves them out unless they are named.
ON_CLUSTERS := --test apiserver --test cluster_lifecycle --test ground --test e2e
# A shell that looks at the local cluster has its KUBECONFIG set: that is no cluster of the user's own.
ifneq ($(filter $(or $(SOFA_RUN),/var/lib/sofa-operator)/cluster-%,$(KUBECONFIG)),)
unexport KUBECONFIG
override KUBECONFIG :=
endif
export SOFA_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sofa-operator

##@ Start here
.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {gsub(/[$$][$$]/, "$$", $$2); printf "  make %-16s %s\n", $$1, $$2}' Makefile

.PHONY: deps
deps: ## install what Debian has (as root); Go and Rust come from their own installers
	.ci/deps.sh

.PHONY: demo
demo: ## the operator runs a real SOFARegistry 5.4.3 on a real cluster: first start, rollout, a lost server
	tests/e2e/demo.sh up

.PHONY: demo-down
demo-down: ## remove the demo and its cluster
	tests/e2e/demo.sh down

.PHONY: test
test: programs images test-unit test-packaging test-apiserver test-cluster test-ground test-e2e ## every test: the program's own, the cluster's, the servers'

##@ The local cluster
.PHONY: cluster-up
cluster-up: ## start a real Kubernetes cluster: NODES=2, FAKE_NODES=n for fake ones, CLUSTER_ID=0..9
	@$(CLUSTER) up $(NODES)

.PHONY: cluster-down
cluster-down: ## end it and remove all that it made
	@$(CLUSTER) down

.PHONY: cluster-load
cluster-load: ## put images on every node: IMAGE=sofa-registry:5.4.3 or a file.tar
	@$(CLUSTER) load $(IMAGE)

.PHONY: cluster-status
cluster-status: ## its nodes, programs and images
	@$(CLUSTER) status

.PHONY: cluster-env
cluster-env: ## the lines for your shell: eval "$$(make -s cluster-env)"
	@$(CLUSTER) env

.PHONY: programs
programs: ## build Kubernetes, kubectl, helm, kwok and the rest into the cache
	@$(CLUSTER) programs

##@ Images
.PHONY: images
images: ## build every image without a daemon; prints names, sizes and archives. IMAGE=name for one
	@images/build.py --list $(IMAGE)

##@ Building and checking
.PHONY: build
build: ## build the programs
	cargo build --locked --all-features --bins

.PHONY: pure
pure: ## prove that the pure layers need no async runtime, HTTP client or Kubernetes client
	.ci/pure.sh

.PHONY: crds
crds: ## write crds/*.yaml from the types in src/api, and the chart's copies
	cargo run --locked --quiet --bin crdgen -- --dir crds
	charts/sofa-operator/sync-crds.sh

.PHONY: lint
lint: ## formatting, clippy, shellcheck
	cargo fmt --check
	cargo clippy --locked --all-features --all-targets -- -D warnings
	cargo clippy --locked --all-features $(ON_CLUSTERS) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --all-features
	shellcheck tests/cluster/cluster.sh tests/ground/*.sh tests/e2e/*.sh tests/packaging/*.sh charts/*/*.sh images/*.sh images/*/*.sh .ci/*.sh .ci/run
	python3 -m py_compile images/build.py tests/packaging/checks.py tests/ground/bench.py tests/bench/*.py

.PHONY: deny
deny: ## licences, duplicate and banned crates, sources
	.ci/deny.sh

.PHONY: test-unit
test-unit: export INSTA_UPDATE := no
# The same random worlds each time, so that a change is judged by what it changes; `make prove` looks at new ones.
test-unit: export PROPTEST_RNG_SEED ?= 1
test-unit: ## tests that need no cluster: the planner's proofs among them
	$(CARGO_TEST)

.PHONY: prove
prove: ## the planner's proofs, deeper and with their figures: two faults in a history, 200000 random worlds
	FAULTS=2 cargo test --locked --no-default-features --test plan_model -- --nocapture --test-threads 1
	cargo test --locked --no-default-features --test plan_model_services -- --nocapture --test-threads 1
	FAULTS=2 cargo test --locked --no-default-features --test plan_model_services -- --nocapture --test-threads 1 powerjob_with_one_app drm_one_by_one
	CASES=200000 cargo test --locked --no-default-features --test plan_props --test plan_service -- --nocapture --test-threads 1

.PHONY: test-apiserver
test-apiserver: ## the CRDs on a real API server: every rule, nothing changes on the way (as root)
	$(CARGO_TEST) --test apiserver -- --nocapture

.PHONY: test-cluster
test-cluster: ## the local cluster itself: up, down, crash, lost node, bad input, nothing left behind (as root)
	@if [ -n "$(KUBECONFIG)" ]; then echo "test-cluster: KUBECONFIG is set: the tests of the local cluster are left out"; else \
	$(CARGO_TEST) --test cluster_lifecycle; fi

.PHONY: test-ground
test-ground: ## the real servers and clients on a real cluster of three nodes
	tests/ground/run.sh

.PHONY: test-packaging
test-packaging: ## the Helm chart, the kustomize folders, the Argo CD health script and the examples, without a cluster
	tests/packaging/run.sh

.PHONY: test-e2e
test-e2e: ## the operator itself, on real nodes with the real servers and the real client; E2E_FULL=1: the long stories too
	tests/e2e/run.sh

.PHONY: bench
bench: bench-ground bench-operator bench-many bench-powerjob ## all figures of docs/benchmarks.md (about 2 h; alone on the machine)

.PHONY: bench-ground
bench-ground: programs images ## the local cluster and the real servers by plain manifests; BENCH_ARGS=--cold: empty caches
	tests/ground/bench.py $(BENCH_ARGS)

.PHONY: bench-operator
bench-operator: programs images ## the operator beside a script that does the same by hand; BENCH_ARGS="--runs 1 --moves 5"
	tests/bench/by_hand.py $(BENCH_ARGS)

.PHONY: bench-many
bench-many: programs ## 500 clusters of 6.x and 100 of 5.x on fake nodes; BENCH_ARGS="--clusters 20 --steady 60"
	cargo build --locked --release --no-default-features --features runtime --bin sofa-operator
	cargo build --locked --release --features testkit --example fake-middleware
	tests/bench/many.py --line 6 $(BENCH_ARGS)
	tests/bench/many.py --line 5 $(BENCH_ARGS)

.PHONY: bench-powerjob
bench-powerjob: programs images ## 20 restarts of PowerJob servers, two of them to a new version: instances run and lost, seconds of each drain
	POWERJOB_TURNS=10 E2E_THREADS=1 tests/e2e/run.sh no_instance_is_lost_when_every_server_of_powerjob

.PHONY: ci
ci: deps lint pure deny test ## what CI runs; its log tells how long it took

.PHONY: clean
clean: ## remove what was built here; the cache outside ($SOFA_CACHE) stays
	cargo clean
