# Plain `make` lists the targets.

GO       ?= go
VERSION  ?= $(shell cat VERSION)
REVISION := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
BRANCH   := $(shell git rev-parse --abbrev-ref HEAD 2>/dev/null || echo unknown)
DATE     := $(shell git log -1 --format=%cd --date=format:%Y%m%d-%H:%M:%S 2>/dev/null)
INFO     := github.com/prometheus/common/version
LDFLAGS  := -s -w -X $(INFO).Version=$(VERSION) -X $(INFO).Revision=$(REVISION) \
            -X $(INFO).Branch=$(BRANCH) -X $(INFO).BuildDate=$(DATE)

LINT     := $(GO) tool -modfile=.ci/tools/go.mod golangci-lint
PACKAGES ?= ./...
FUZZTIME ?= 30s
DIFFTIME ?= 1h
SIMTIME  ?= 1h
COUNT    ?= 10

# Prometheus' own test scripts are single-threaded, and take minutes under the race detector.
NORACE   := querier/queriertest

.DEFAULT_GOAL := help
.PHONY: help go build run test check fmt lint generate tidy golden fuzz bench differential sim sim-long failover crash stress cover clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

go:
	@command -v $(GO) >/dev/null || { echo "Go 1.26 or newer is needed to build Barograph: https://go.dev/dl/ (or set GO=/path/to/go)" >&2; exit 1; }

build: go ## build bin/barograph
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

run: build ## build and start a node on :11013 with its data in ./data
	bin/barograph serve --storage.path=data $(ARGS)

test: go ## run all tests, with the race detector and costly invariants
	$(GO) test -race -tags invariants $$($(GO) list $(PACKAGES) | grep -v '/$(NORACE)$$')
	@if [ "$(PACKAGES)" = ./... ] && [ -d $(NORACE) ]; then $(GO) test -tags invariants ./$(NORACE)/; fi

check: go fmt-check lint ## check format, lint, go.mod, import edges and generated docs
	$(GO) vet -stdmethods=false -tags invariants ./...
	@# Of go.sum, lines for tests of dependencies come and go with what the proxy has; builds and verify hold it to what is used.
	@if $(GO) mod tidy -e -diff 2>/dev/null | sed -n '/^diff current\/go.mod/,/^diff current\/go.sum/p' | grep .; then echo 'run `make tidy`' >&2; exit 1; fi
	$(GO) mod verify
	$(GO) test -run 'TestImport|TestDocs' ./cmd/barograph/ ./cmd/barograph/node/

.PHONY: fmt-check
fmt-check: go
	@$(LINT) fmt --diff ./... || { echo 'run `make fmt`' >&2; exit 1; }

fmt: go ## format the code
	$(LINT) fmt ./...

lint: go ## run the linters
	$(LINT) run ./...

generate: go ## write the docs that are made from the code
	$(GO) test -count=1 -run TestDocs ./cmd/barograph/node/ -update

tidy: go ## tidy go.mod; a test of a dependency needs a module that is gone, hence -e
	$(GO) mod tidy -e

golden: go ## rewrite the golden files of tests; read the diff
	$(GO) test -count=1 $$(grep -rl --include=*_test.go 'flag.Bool("update"' . | xargs -r -n1 dirname | sort -u) -update

fuzz: go ## fuzz each target for FUZZTIME (30s)
	@set -e; for f in $$(grep -rho --include=*_test.go '^func Fuzz[A-Za-z0-9_]*' . | awk '{print $$2}' | sort -u); do \
		for d in $$(grep -rl --include=*_test.go "^func $$f(" . | xargs -n1 dirname | sort -u); do \
			echo "$$d $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$d; \
		done; \
	done

bench: build ## measure beside Debian's prometheus and victoria-metrics
	$(GO) run ./bench $(ARGS)

differential: go ## compare random queries with promql for DIFFTIME (1h)
	$(GO) test -tags invariants -timeout 0 -run 'Test(Split)?Differential' -v ./querier/ -differential.time=$(DIFFTIME)

sim: go ## simulate a cluster under the faults of SEED, and print its history
	@test -n "$(SEED)" || { echo 'say which: make sim SEED=1' >&2; exit 1; }
	$(GO) test -race -tags invariants -count=1 -run '^TestSimulation$$' -v ./cmd/barograph/node/ -sim.seed=$(SEED)

sim-long: go ## simulate clusters under faults of new seeds for SIMTIME (1h)
	$(GO) test -race -tags invariants -timeout 0 -run '^TestSimulation$$' -v ./cmd/barograph/node/ -sim.time=$(SIMTIME)

failover: go ## kill the process that evaluates rules every 20 s for 5 minutes
	$(GO) test -race -tags invariants -count=1 -timeout 20m -run '^TestRulesOutliveProcesses$$' -v ./cmd/barograph/e2e/ -failover.kills=15 -failover.every=20s

crash: go ## run the crash and kill tests COUNT (10) times, and once at every operation on the disk
	$(GO) test -tags invariants -count=$(COUNT) -run 'Crash|Kill|PowerLoss' $(PACKAGES)
	$(GO) test -tags invariants -timeout 1h -run 'Crash|PowerLoss|Conformance' ./storage/ -thorough

stress: go ## run the tests of PACKAGES COUNT (10) times in random order
	$(GO) test -race -tags invariants -count=$(COUNT) -shuffle=on $(PACKAGES)

cover: go ## write coverage.out and print the total
	$(GO) test -tags invariants -coverprofile=coverage.out -coverpkg=./... $(PACKAGES)
	$(GO) tool cover -func=coverage.out | tail -1

clean: ## remove what was built; ./data stays
	rm -rf bin coverage.out
