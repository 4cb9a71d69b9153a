# Each target sets up what it needs, then does it. `make help` lists them.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += --no-print-directory
.DEFAULT_GOAL := help

PROGRAM := bin/vitdecompose
OUT     ?= results/ablation

# GoMLX must not fetch another plugin than the one that setup checked.
export GOMLX_NO_AUTO_INSTALL := 1

# Packages whose goroutines share data. (Of decompose only what runs on XLA: the race
# detector's pointer checks stop GoMLX's pure-Go matrix product.)
CONCURRENT := ./data/... ./gomlxvit/preprocess/... ./experiments/cache/...

# SHORT=1 leaves out the tests that take long.
TESTFLAGS := -timeout 40m $(if $(SHORT),-short)

# Runs a command that reaches over the network, up to four times.
retry = for pause in 2 5 15 0; do \
	if $(1); then exit 0; fi; \
	[ $$pause = 0 ] || { echo "trying again in $$pause s" >&2; sleep $$pause; }; \
done; echo "make: gave up on: $(1)" >&2; exit 1

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo 'make run MODEL=DIR DATA=DIR   on your own checkpoint and photos (MODEL=hf:owner/repo too;'
	@echo '                              LABELS=FILE.csv, OUT=DIR, ARGS="more flags")'
	@echo 'make test SHORT=1             without the tests that take long'
	@echo 'make bench ARGS="--help"      how to measure another model or batch'

.PHONY: tools
tools:
	@command -v go >/dev/null || { echo "make: go is missing: install Go 1.26 or newer" >&2; exit 1; }
	@command -v "$$(go env CC)" >/dev/null || { echo "make: the C compiler $$(go env CC) is missing: install gcc" >&2; exit 1; }

.PHONY: modules
modules: tools
	@$(call retry,go mod download)

# Go decides what has to be built again.
.PHONY: build
build: modules ## build bin/vitdecompose
	@mkdir -p bin
	@CGO_ENABLED=1 go build -o $(PROGRAM) ./cmd/vitdecompose

.PHONY: setup
setup: build ## build, and fetch the XLA plugin where it is missing
	@$(PROGRAM) setup

.PHONY: run
run: setup ## take the shipped models apart on the shipped scenes: layer ablation, with figures
	$(PROGRAM) run ablation --out "$(OUT)"$(if $(MODEL), --model "$(MODEL)")$(if $(DATA), --data "$(DATA)")$(if $(LABELS), --labels "$(LABELS)") $(ARGS)

.PHONY: figures
figures: setup ## draw the figures of README and docs again, with the shipped models
	$(PROGRAM) run all --out results/figures
	$(PROGRAM) align --model deit-mini --sweep 0,0.001,0.01,0.1,1,10 --out results/figures/sweep
	@mkdir -p docs/figures
	cp results/figures/{ablation/ablation,ranking/ranking,segmentation/segmentation,segmentation/segmentation-deit-mini}.png docs/figures/
	cp results/figures/{waterbirds/waterbirds,alignment/alignment,causal/causal,sweep/sweep}.png docs/figures/
	cp results/figures/heatmaps/heatmaps-deit-mini.png docs/figures/heatmaps.png
	cp results/figures/text-retrieval/text-retrieval-clip-mini.png docs/figures/text-retrieval.png
	cp results/figures/image-retrieval/image-retrieval-clip-mini.png docs/figures/image-retrieval.png

.PHONY: check
check: modules ## gofmt, go vet and staticcheck
	@unformatted="$$(gofmt -l .)"; if [ -n "$$unformatted" ]; then \
		echo "make: not formatted by gofmt:" >&2; echo "$$unformatted" >&2; exit 1; fi
	go vet ./...
	go tool staticcheck ./...

.PHONY: test
test: setup check ## all checks and tests
	go test $(TESTFLAGS) ./...
	go test $(TESTFLAGS) -race $(CONCURRENT)
	go test $(TESTFLAGS) -race -run TokenSplit ./decompose

.PHONY: bench
bench: setup ## images per second, ratios and peak memory
	$(PROGRAM) bench $(ARGS)

.PHONY: clean
clean: ## remove what was built; results and the caches of the user stay
	rm -rf bin
