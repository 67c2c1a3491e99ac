# Everything a developer or a build server runs. `make` alone lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 20s
HISTORIES ?= 1000000
SOAK     ?= 20m
ROUTING  ?= broadcast
empty    :=
space    := $(empty) $(empty)
LINT      = $$(.ci/tools golangci-lint)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/pushgate
	CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/ ./cmd/pushgate

.PHONY: run
run: ## everything in one process, broker included: a platform to try things on
	go run ./cmd/pushgate dev

.PHONY: test
test: ## all tests, under the race detector
	go test -race -count=1 -timeout 30m ./...

.PHONY: test-short
test-short: ## the tests that need no other process
	go test -short ./...

.PHONY: e2e
e2e: ## the end-to-end tests; on Apache Kafka too where Java and Maven are there
	go test -race -count=1 -v -timeout 30m ./e2e/...

.PHONY: e2e-kafka
e2e-kafka: ## the end-to-end tests; fails where Apache Kafka cannot be run
	PUSHGATE_E2E_REQUIRE_KAFKA=1 go test -race -count=1 -v -timeout 30m ./e2e/...

# The two print the tables of docs/reliability.md, and leave them in bin/.
RELIABILITY = go test -count=1 -v -timeout 3h -run '^TestNothingIsLostWhateverFailsUnderLoad$$' ./e2e

.PHONY: reliability
reliability: ## every fault, under load, on three brokers, with ROUTING (broadcast): prints a table after some 15 minutes
	@mkdir -p bin
	PUSHGATE_E2E_REQUIRE_KAFKA=1 PUSHGATE_E2E_ROUTING=$(ROUTING) PUSHGATE_E2E_RELIABILITY=table PUSHGATE_E2E_REPORT="$(CURDIR)/bin/reliability.md" $(RELIABILITY)
	@cat bin/reliability.md

.PHONY: soak
soak: ## random faults, by SEED, under load, for SOAK (20m), with ROUTING: is the memory flat, is anything unexplained
	@mkdir -p bin
	PUSHGATE_E2E_REQUIRE_KAFKA=1 PUSHGATE_E2E_ROUTING=$(ROUTING) PUSHGATE_E2E_RELIABILITY=soak PUSHGATE_E2E_SOAK=$(SOAK) PUSHGATE_E2E_SEED=$(SEED) PUSHGATE_E2E_REPORT="$(CURDIR)/bin/soak.md" $(RELIABILITY)
	@cat bin/soak.md

.PHONY: scaling
scaling: ## what a message costs with each routing, on 1, 3 and 5 nodes: prints the table of docs/scaling.md after some 15 minutes
	@mkdir -p bin
	PUSHGATE_E2E_REQUIRE_KAFKA=1 PUSHGATE_E2E_REQUIRE_REDIS=1 PUSHGATE_E2E_SCALING=table PUSHGATE_E2E_REPORT="$(CURDIR)/bin/scaling.md" \
		go test -count=1 -v -timeout 1h -run '^TestWhatEachRoutingCosts$$' ./e2e
	@cat bin/scaling.md

.PHONY: capacity
capacity: ## what one node carries, in ROUNDS (5): prints the tables of docs/performance.md after an hour; PART="latency" is one of them
	@mkdir -p bin
	PUSHGATE_E2E_REQUIRE_KAFKA=1 PUSHGATE_E2E_CAPACITY=table PUSHGATE_E2E_ROUNDS=$(ROUNDS) PUSHGATE_E2E_REPORT="$(CURDIR)/bin/capacity.md" \
		go test -count=1 -v -timeout 3h -run '^TestWhatANodeCarries$$/$(subst $(space),_,$(PART))' ./e2e
	@cat bin/capacity.md

SIMULATE = GOGC=400 go test -count=1 -v -timeout 12h ./internal/simulation

.PHONY: simulate
simulate: ## 100,000 random histories, then each durability rule broken on purpose
	PUSHGATE_HISTORIES=100000 $(SIMULATE) -run '^TestEveryHistoryKeepsEveryPromise$$'
	PUSHGATE_MUTATIONS=1 $(SIMULATE) -run '^TestEveryMutationIsCaught$$' | grep -v '^=== '

.PHONY: simulate-long
simulate-long: ## HISTORIES (1,000,000) random histories; FROM=12345 begins at that seed
	PUSHGATE_HISTORIES=$(HISTORIES) PUSHGATE_FROM=$(FROM) $(SIMULATE) -run '^TestEveryHistoryKeepsEveryPromise$$'

.PHONY: story
story: ## the whole story of the history with SEED (1)
	PUSHGATE_SEED=$(SEED) go test -count=1 -v -run '^TestTheWholeStoryOfASeedCanBeTold$$' ./internal/simulation

.PHONY: console
console: ## build the console and pushgate.js from their sources
	cd internal/console/ui && npm ci && npm run build
	cd internal/pushgatejs && npm ci && npm run build

.PHONY: lint
lint: ## golangci-lint, pinned: style, habits and import directions
	"$(LINT)" run ./...

.PHONY: vuln
vuln: ## govulncheck; needs its database, which is not reachable from everywhere
	"$$(.ci/tools govulncheck)" ./...

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (20s)
	@for package in $$(go list ./...); do \
		targets=$$(go test -list '^Fuzz' "$$package"); \
		for target in $$(grep '^Fuzz' <<<"$$targets" || true); do \
			echo "== $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"; \
		done; \
	done

.PHONY: bench
bench: ## all benchmarks, with allocations
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: fmt
fmt: ## format as the linter wants it (gofumpt, grouped imports)
	"$(LINT)" fmt ./...

.PHONY: tidy
tidy: ## bring go.mod and go.sum in line with the imports
	go mod tidy

.PHONY: tools
tools: ## build the pinned tools into the user's cache
	@.ci/tools golangci-lint
	@.ci/tools govulncheck

.PHONY: ci
ci: ## what the build server runs
	.ci/run
