# The one front door; CI calls the same targets.
.DEFAULT_GOAL := help
CARGO ?= cargo
PREFIX ?= $(HOME)/.local

.PHONY: help deps build check-deploy install demo fleet-demo test test-binaries test-fleet test-faults test-cluster test-stores soak kills lint fmt bench bench-stores bench-fleet deny doc fuzz

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

deps: ## Install what the tests need (root: apt; otherwise says what to install)
	@tests/deps.sh

build: ## Build the binary, optimised
	$(CARGO) build --release --locked -p n2s
	tests/no-failpoints.sh target/release/n2s

check-deploy: deps ## Look at what is in deploy/, as far as that goes without a cluster or containers
	@deploy/check.sh

install: build ## Install the binary, completions and manual pages below PREFIX
	install -Dm755 target/release/n2s $(DESTDIR)$(PREFIX)/bin/n2s
	mkdir -p $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	target/release/n2s man $(DESTDIR)$(PREFIX)/share/man/man1
	target/release/n2s completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/n2s

demo: build ## Push, look, pull back and compare, in a home of its own
	@tests/demo.sh target/release/n2s

fleet-demo: deps ## Kill a worker, wipe the broker, damage an object: a fleet on servers of its own, and nothing is lost
	$(CARGO) build --locked -p n2s
	$(CARGO) run --quiet --locked -p n2s-tests --example fleet-demo

test: deps test-binaries ## Run every test
	tests/run.sh

test-stores: ## The stores' suites against servers that have to be fetched first (Ceph RGW, Garage)
	@tests/stores.sh

test-fleet: deps test-binaries ## The journeys by a fleet: PostgreSQL, RabbitMQ, a bucket, every role a process of its own (minutes)
	tests/in_fleet/run.sh

test-faults: deps test-binaries ## What breaks in a fleet: roles, broker, database, links, messages and stores (minutes)
	tests/faults/run.sh

test-cluster: deps test-binaries ## The queue, and a fleet, at a cluster of three brokers, killed one after the other (minutes)
	$(CARGO) test --locked -p n2s-queue-rabbitmq --features cluster-tests --test cluster
	$(CARGO) test --locked -p n2s-tests --features fault-tests --test faults cluster::

soak: deps ## Everything at once against a fleet, SOAK_SECONDS (600), from SOAK_SEED, and whether what clients were told was true
	$(CARGO) build --locked -p n2s
	$(CARGO) run --quiet --locked -p n2s-tests --example soak

test-binaries:
	$(CARGO) build --locked -p n2s
	$(CARGO) build --locked -p n2s --features failpoints --bin n2s-failpoints

kills: deps test-binaries ## Kill at every hit of every failpoint, and in 300 rounds at random
	N2S_KILLS_ALL=1 N2S_KILLS=300 $(CARGO) test --locked -p n2s-tests --test kills

lint: ## Formatting and clippy, warnings denied; each package by itself
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	tests/each-package.sh

fmt: ## Format
	$(CARGO) fmt --all

deny: ## Licences, sources and banned dependencies
	@command -v cargo-deny >/dev/null || $(CARGO) install cargo-deny --version 0.20.2 --locked
	$(CARGO) deny --all-features check bans licenses sources

doc: ## Write the pages that are generated from the code
	N2S_WRITE_PAGES=1 $(CARGO) test --locked -p n2s-config page
	N2S_WRITE_PAGES=1 $(CARGO) test --locked -p n2s-intake --test page
	N2S_WRITE_PAGES=1 $(CARGO) test --locked -p n2s-telemetry --test page
	N2S_WRITE_PAGES=1 $(CARGO) test --locked -p n2s-envelope examples::the_examples

bench: build ## Measure pushes and pulls beside other programs (half an hour); prints JSON
	@load-tests/peers.sh
	$(CARGO) run --release --locked -p n2s-load-tests -- target/release/n2s

bench-stores: ## Measure the adaptive limit beside fixed ones, and what a dead store costs another (5 minutes); prints JSON
	$(CARGO) run --release --locked -p n2s-load-tests --bin n2s-load-stores

bench-fleet: build ## Measure a fleet beside others' queues (20 minutes; FIGURE=jobs for one figure); prints JSON
	@load-tests/fleet-peers.sh
	$(CARGO) run --release --locked -p n2s-load-tests --bin n2s-load-fleet -- target/release/n2s $(FIGURE)

fuzz: ## Throw bytes at every reader, FUZZ_SECONDS (30) each
	tests/fuzz/run.sh
