# Everything a developer or a build server runs. `make` alone lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 20s
LINT      = $$(.ci/tools golangci-lint)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/pushgate
	CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/ ./cmd/pushgate

.PHONY: run
run: ## everything in one process, broker included: a platform to try things on
	go run ./cmd/pushgate dev

.PHONY: test
test: ## all tests, under the race detector
	go test -race ./...

.PHONY: test-short
test-short: ## the tests that need no other process
	go test -short ./...

.PHONY: e2e
e2e: ## the end-to-end tests; on Apache Kafka too where Java and Maven are there
	go test -race -count=1 -v ./e2e/...

.PHONY: e2e-kafka
e2e-kafka: ## the end-to-end tests; fails where Apache Kafka cannot be run
	PUSHGATE_E2E_REQUIRE_KAFKA=1 go test -race -count=1 -v -timeout 30m ./e2e/...

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
