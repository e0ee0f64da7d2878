# Everything that people and CI run. Each target first makes sure of what it needs (scripts/setup).
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

export GOTOOLCHAIN := local
export GOFLAGS := -mod=readonly
BIN := $(or $(CARGO_TARGET_DIR),target)
LAB := bin/tailnet-lab

.PHONY: help setup build lab package demo demo-check check test test-go test-packaging clients headscale soak reproducible bench bench-bars bench-peers bench-faults bench-micro instructions bench-pages screenshots docs clean

help: ## What there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## Install what the build needs (Debian packages); name what it can't install
	@scripts/setup build

build: setup ## The gateway, optimised: $(BIN)/release/aperture
	@cargo build --release --locked

package: build ## A Debian package and a tarball of it, in target/package
	@scripts/hardening $(BIN)/release/aperture
	scripts/package deb $(BIN)/release/aperture $(BIN)/package/aperture.deb
	scripts/package tar $(BIN)/release/aperture $(BIN)/package/aperture.tar.gz

lab: ## The private tailnet that tests and demo run on
	@cd tests/tailnet-lab && go build -trimpath -o ../../$(LAB) .

demo: build lab ## A private tailnet, the gateway on it, people calling it; until Ctrl-C
	@cargo build --release --locked -p provider
	cargo build --release --locked --example history
	exec python3 demo/demo.py --bin $(BIN)/release --lab $(LAB)

demo-check: build lab ## The same, checks its own answers, and ends
	@cargo build --release --locked -p provider
	cargo build --release --locked --example history
	python3 demo/demo.py --check --bin $(BIN)/release --lab $(LAB)

check: ## Formatting, lints, documentation, licences, advisories where they can be looked up, instructions of the hot path: no test is run
	@scripts/setup check
	@cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet
	for module in vendor/libtailscale tests/tailnet-lab bench/go-proxy; do
	  (cd $$module && test -z "$$(gofmt -l .)" && go vet ./...)
	done
	scripts/licences
	scripts/advisories
	scripts/check-kubernetes
	(cd deploy/prometheus && promtool check config prometheus.yml && promtool test rules alerts.test.yml) >/dev/null
	scripts/instructions

test: lab ## Every test: unit, property, golden, in-process, and end to end on the private tailnet
	@scripts/setup test
	@$(MAKE) test-go
	cargo build --locked --workspace --all-targets
	APERTURE_LAB=$(CURDIR)/$(LAB) CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$(CURDIR)/scripts/in-namespace \
	  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$(CURDIR)/scripts/in-namespace \
	  cargo test --locked --workspace
	$(MAKE) test-packaging

test-packaging: lab ## The Debian package's life in a chroot, the tarball, the systemd unit; and the operator's walk
	@cargo build --locked -p aperture -p provider
	tests/packaging/run $(BIN)/debug/aperture
	scripts/check-kubernetes > /dev/null
	scripts/in-namespace tests/packaging/walk --bin $(BIN)/debug --lab $(LAB)

test-go: ## The Go side: the C library and the private tailnet
	@# Modules are fetched before: where the tests run there is no network.
	for module in vendor/libtailscale tests/tailnet-lab; do
	  (cd $$module && go mod download && ../../scripts/in-namespace go test ./...)
	done

clients: lab ## Real clients (npm and PyPI packages) against the gateway
	@scripts/setup clients
	@cargo build --locked --workspace --all-targets
	APERTURE_LAB=$(CURDIR)/$(LAB) APERTURE_CLIENTS=$(CURDIR)/.cache/clients \
	  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$(CURDIR)/scripts/in-namespace \
	  cargo test --locked --test suite clients:: -- --include-ignored --test-threads 1

headscale: lab ## Headscale as control plane (built from the Go module proxy the first time): join, identify, authorize
	@scripts/setup test
	@cargo build --locked --workspace --all-targets
	headscale=$$(scripts/headscale)
	APERTURE_LAB=$(CURDIR)/$(LAB) APERTURE_HEADSCALE=$$headscale \
	  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$(CURDIR)/scripts/in-namespace \
	  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$(CURDIR)/scripts/in-namespace \
	  cargo test --locked --test suite lab::headscale:: -- --include-ignored --nocapture

soak: lab ## The long runs: churn, bursts, kills and idle streams at full size, the race detector, and fuzzing
	@scripts/setup test
	@scripts/fuzz 60
	@(cd vendor/libtailscale && ../../scripts/in-namespace go test -race ./...)
	cargo build --locked --release --workspace --bins --test suite
	APERTURE_LAB=$(CURDIR)/$(LAB) APERTURE_SOAK=1 \
	  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$(CURDIR)/scripts/in-namespace \
	  cargo test --locked --release --workspace --test suite -- lab:: durability:: gateway::crowd:: --test-threads 1 --nocapture

reproducible: setup ## Two optimised builds in two directories: the same, bit for bit?
	@scripts/reproducible

bench: build lab ## What the gateway costs, beside direct calls and Go's proxy; BENCH="--write --what NAME" keeps the table
	@scripts/setup test
	@cargo build --release --locked -p provider -p load
	(cd bench/go-proxy && go build -trimpath -o ../../bin/go-proxy .)
	scripts/in-namespace scripts/bench --bin $(BIN)/release --lab $(LAB) --go-proxy bin/go-proxy $(BENCH)

bench-bars: build lab ## How long a start takes, and how much memory rest, a large body and 5,000 idle streams; BENCH=--write keeps the table
	@scripts/setup test
	@cargo build --release --locked -p provider -p load
	scripts/in-namespace scripts/bench --bars --bin $(BIN)/release --lab $(LAB) $(BENCH)

bench-peers: build ## The same beside other gateways, as far as a package manager has them; BENCH=--write keeps the table
	@scripts/setup test
	@cargo build --release --locked -p provider -p load
	scripts/fetch-peers .cache/peers
	scripts/in-namespace scripts/bench --bin $(BIN)/release --peers .cache/peers $(BENCH)

bench-faults: ## How long a quiet client waits while others have trouble, beside calm in the same run
	@scripts/setup test
	@APERTURE_SOAK=1 CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$(CURDIR)/scripts/in-namespace \
	  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$(CURDIR)/scripts/in-namespace \
	  cargo test --locked --release --workspace --test suite durability::bystander:: -- --nocapture

bench-micro: ## Parts of the hot path, each by itself
	@cargo run --locked --release -p micro -- --bench

instructions: ## Instructions of the same parts, counted by callgrind and compared with bench/instructions.json
	@scripts/setup check
	@scripts/instructions

bench-pages: build ## How long every page takes over a million requests; BENCH=--write keeps the table
	@cargo build --release --locked --example history
	scripts/bench-pages --bin $(BIN)/release $(BENCH)

screenshots: build ## Pictures of every page, light and dark: docs/screenshots
	@scripts/setup browser
	cargo build --release --locked --example history
	scripts/screenshots --bin $(BIN)/release

docs: ## Write the generated references
	@cargo run --locked --quiet -- docs --write

clean: ## Remove what was built
	@cargo clean
	rm -rf bin .cache
