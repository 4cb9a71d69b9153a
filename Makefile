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

# What takes long says how far it is, and what has nothing to do is silent: -x and -v have go name each step.
counted = | "$(CURDIR)/.make/count"

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo 'make run MODEL=DIR DATA=DIR   on your own checkpoint and photos (MODEL=hf:owner/repo too;'
	@echo '                              LABELS=FILE.csv, OUT=DIR, ARGS="more flags")'
	@echo 'make test SHORT=1             without the tests that take long'
	@echo 'make bench ARGS="--help"      how to measure another model or batch'
	@echo 'make lab ARGS="--no-browser --port 9999"'

.PHONY: tools
tools:
	@command -v go >/dev/null || { echo "make: go is missing: install Go 1.26 or newer" >&2; exit 1; }
	@command -v "$$(go env CC)" >/dev/null || { echo "make: the C compiler $$(go env CC) is missing: install gcc" >&2; exit 1; }

.PHONY: modules
modules: tools
	@$(call retry,go mod download -x 2>&1 $(counted) modules)

# Go decides what has to be built again.
.PHONY: build
build: modules ## build bin/vitdecompose
	@mkdir -p bin
	@echo "building $(PROGRAM)"; CGO_ENABLED=1 go build -v -o $(PROGRAM) ./cmd/vitdecompose 2>&1 $(counted) packages

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

.PHONY: beam
beam: modules ## build bin/vitdecompose-beam, the extraction on several machines, and test it
	@cd experiments/beam && $(call retry,go mod download)
	cd experiments/beam && go vet ./... && go test -timeout 5m ./...
	cd experiments/beam && CGO_ENABLED=1 go build -o ../../bin/vitdecompose-beam ./cmd/vitdecompose-beam

FLINK := bin/flink

# Maven checks what it fetches against the registry's sums, and SHA256SUMS says which parts were tested. Its copy, made last,
# tells that all are there.
$(FLINK)/SHA256SUMS: experiments/beam/flink/pom.xml experiments/beam/flink/SHA256SUMS
	@for tool in java mvn; do command -v $$tool >/dev/null || \
		{ echo "make: $$tool is missing: Beam's job server for Flink needs Java 11 or 17, and Maven fetches it" >&2; exit 1; }; done
	@echo "fetching Beam's job server for Flink into $(FLINK)"
	@rm -rf $(FLINK) && mkdir -p $(FLINK)
	@$(call retry,mvn -B -q -ntp --strict-checksums -f $< dependency:copy-dependencies -DincludeScope=runtime \
		-DoutputDirectory="$(CURDIR)/$(FLINK)")
	@cd $(FLINK) && sha256sum --check --strict --quiet "$(CURDIR)/experiments/beam/flink/SHA256SUMS"
	@cp experiments/beam/flink/SHA256SUMS $@

.PHONY: flink
flink: modules $(FLINK)/SHA256SUMS ## test the Beam pipeline on a Flink of this machine (needs Java and Maven)
	@cd experiments/beam && $(call retry,go mod download)
	cd experiments/beam && VITDECOMPOSE_FLINK_JOB_SERVER="$(CURDIR)/$(FLINK)" go test -count=1 -timeout 5m -run Flink -v ./pipeline

.PHONY: docs
docs: modules ## the documentation and notebooks as a static site, site/index.html
	go run ./docs/site --out site

# The pattern leaves out .jupyter, where the kernel's source is.
.PHONY: check
check: modules ## gofmt, go vet and staticcheck
	@echo "gofmt, go vet, staticcheck"; unformatted="$$(gofmt -l */)"; if [ -n "$$unformatted" ]; then \
		echo "make: not formatted by gofmt:" >&2; echo "$$unformatted" >&2; exit 1; fi
	go vet ./...
	go tool staticcheck ./...

.PHONY: test
test: setup check ## all checks and tests
	@echo "compiling the tests; a line for each package follows when it is done"
	go test $(TESTFLAGS) ./...
	go test $(TESTFLAGS) -tags cell -run InACell ./experiments/session
	go test $(TESTFLAGS) -race $(CONCURRENT)
	go test $(TESTFLAGS) -race -run TokenSplit ./decompose
	go test $(TESTFLAGS) -race -run SeveralDevices ./experiments/extraction
	$(if $(SHORT),,@if $(CAN_JUPYTER); then $(MAKE) notebooks notebook-faults browser-test; else \
		echo "make: the notebooks are left out: they need Python 3.11 or newer with its venv package"; fi)
	$(if $(SHORT),,@if ! $(CAN_JUPYTER); then echo "make: reading from Python is left out: it needs Python 3.11 or newer"; \
	elif ! $(MAKE) .jupyter/python/requirements.txt; then echo "make: reading from Python is left out: pip cannot install pandas here"; \
	else $(MAKE) python-test; fi)

# How long each fuzz target runs, and which do: a regular expression for their names.
FUZZTIME ?= 60s
FUZZ     ?= .

# One after the other, as go list and grep find them. What makes one fail is kept by go test in the package's testdata/fuzz.
# The limit, 16 GiB of addresses, is for inputs that make a parser allocate without end.
.PHONY: fuzz
fuzz: setup ## fuzz all parsers, each for FUZZTIME (60s), or those whose names match FUZZ
	@found="$$(go list -f '{{$$d := .Dir}}{{range .TestGoFiles}}{{$$d}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$$d}}/{{.}}{{"\n"}}{{end}}' ./... | \
		xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' | sed -E 's|^(.*)/[^/]*:func (.*)$$|\1 \2|' | awk -v which="$(FUZZ)" '$$2 ~ which')"; \
	[ -n "$$found" ] || { echo "make: no fuzz target matches FUZZ=$(FUZZ)" >&2; exit 1; }; \
	ulimit -v $$((16 << 20)) 2>/dev/null || true; \
	while read -r dir target; do \
		if log="$$(go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x "$$dir" 2>&1 </dev/null)"; then \
			echo "ok   $${dir#"$(CURDIR)/"} $$target: $$(sed -nE 's|.*execs: ([0-9]+).*|\1 inputs|p' <<<"$$log" | tail -n 1)"; \
		else \
			echo "FAIL $${dir#"$(CURDIR)/"} $$target: $$(sed -nE "s|.*(testdata/fuzz/[^ ]*).*|$${dir#"$(CURDIR)/"}/\1|p" <<<"$$log" | head -n 1)"; \
			echo "$$log" >&2; exit 1; \
		fi; \
	done <<<"$$found"

CAN_JUPYTER := python3 -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null

# What `make lab` and `make notebooks` install lies in .jupyter. The project's kernelspec and settings are committed
# there, and Jupyter reads them beside the user's own.
PYTHON  := .jupyter/venv/bin/python
JUPYTER := env JUPYTER_PATH="$(CURDIR)/.jupyter/share/jupyter" JUPYTER_CONFIG_PATH="$(CURDIR)/.jupyter/etc/jupyter" \
	"$(CURDIR)/$(PYTHON)"

NOTEBOOKS ?= $(wildcard notebooks/*.ipynb)
EXECUTED  := .jupyter/executed

# Seconds that one cell may take.
CELL_TIMEOUT ?= 300

# The copy of the requirements tells that they were installed in full.
.jupyter/venv/requirements.txt: jupyter/requirements.txt
	@command -v python3 >/dev/null || { echo "make: python3 is missing: Jupyter needs Python 3.11 or newer" >&2; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: Jupyter needs Python 3.11 or newer, and python3 is $$(python3 --version)" >&2; exit 1; }
	@echo "installing JupyterLab into .jupyter/venv"
	@rm -rf .jupyter/venv
	@python3 -m venv .jupyter/venv || \
		{ echo "make: python3 makes no virtual environments here: install its venv package (python3-venv)" >&2; exit 1; }
	@$(call retry,$(PYTHON) -m pip install --progress-bar off --disable-pip-version-check --no-deps --require-hashes -r $< 2>&1 $(counted) wheels $<)
	@cp $< $@

# go.mod in jupyter/tools pins the kernel's programs; jupyter/goexec is what GoNB gets beside its own.
.jupyter/bin/gopls: jupyter/tools/go.mod jupyter/tools/go.sum $(wildcard jupyter/goexec/*)
	@echo "fetching and building the notebooks' kernel"
	@cd jupyter/tools && $(call retry,go list -deps tool >/dev/null)
	@mkdir -p .jupyter/bin
	@cd jupyter/tools && sh ../goexec/patch.sh "$(CURDIR)/.jupyter/gonb" "$(CURDIR)/.jupyter/gonb.mod"
	@cd jupyter/tools && go build -trimpath -v -modfile "$(CURDIR)/.jupyter/gonb.mod" -o ../../.jupyter/bin/ tool 2>&1 $(counted) packages
	@touch $@

.PHONY: kernel
kernel: tools .jupyter/bin/gopls ## build the notebooks' kernel, for a JupyterLab of your own

# A cell is a program: what it imports is compiled here, so that the first cell only links. (go list -export compiles as
# go build does, and links nothing. The tag is that of cells, see the kernel's start.sh.)
.PHONY: jupyter
jupyter: setup kernel .jupyter/venv/requirements.txt
	@echo "compiling what cells import"; go list -v -tags cell -export ./notebook ./data/hf 2>&1 >/dev/null $(counted) packages

.PHONY: lab
lab: jupyter ## open JupyterLab with the notebooks
	@cd notebooks && exec $(JUPYTER) -m jupyterlab --ServerApp.root_dir=. \
		$(if $(wildcard notebooks/00_tour.ipynb),--LabApp.default_url=/lab/tree/00_tour.ipynb) \
		$(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

# nbconvert does not see every cell that fails; checknotebooks does. Two notebooks run at a time, on one cache.
.PHONY: notebooks
notebooks: jupyter ## execute all notebooks and check them (UPDATE=1 keeps what they show)
	@rm -rf $(EXECUTED) && mkdir -p $(EXECUTED)
	@$(if $(NOTEBOOKS),,echo "make: there are no notebooks to execute"; exit 0;) \
	printf '%s\n' $(NOTEBOOKS) | xargs -n 1 -P 2 $(JUPYTER) -m nbconvert --log-level WARN --to notebook --execute \
		--allow-errors --ExecutePreprocessor.timeout=$(CELL_TIMEOUT) --ExecutePreprocessor.record_timing=False \
		--output-dir $(EXECUTED) || echo "make: nbconvert gave up on a notebook" >&2; \
	go run ./jupyter/check/checknotebooks $(addprefix $(EXECUTED)/,$(notdir $(NOTEBOOKS))); \
	$(if $(UPDATE),for n in $(NOTEBOOKS); do cp "$(EXECUTED)/$${n##*/}" "$$n.new" && mv "$$n.new" "$$n"; done)

.PHONY: notebook-faults
notebook-faults: jupyter ## what notebooks say when the cache, the plugin or the kernel is missing
	VITDECOMPOSE_FAULTS=1 go test -count=1 -timeout 10m ./jupyter/headless

CHROMIUM ?= $(firstword $(shell command -v chromium chromium-browser google-chrome 2>/dev/null))

.PHONY: browser-test
browser-test: ## drive JupyterLab in Chromium, where there is one
ifeq ($(CHROMIUM),)
	@echo "make: the browser test is left out: there is no Chromium here"
else
	@$(MAKE) jupyter
	VITDECOMPOSE_CHROMIUM="$(CHROMIUM)" go test -count=1 -timeout 10m ./jupyter/browser
endif

# What docs/python/read.py imports.
PANDAS := .jupyter/python/bin/python

.jupyter/python/requirements.txt: docs/python/requirements.txt
	@echo "installing pandas into .jupyter/python"
	@rm -rf .jupyter/python
	@python3 -m venv .jupyter/python
	@$(call retry,$(PANDAS) -m pip install --progress-bar off --disable-pip-version-check --no-deps -r $< 2>&1 $(counted) wheels $<)
	@cp $< $@

.PHONY: python-test
python-test: setup .jupyter/python/requirements.txt ## read what the program writes with NumPy and pandas
	VITDECOMPOSE_PYTHON="$(CURDIR)/$(PANDAS)" go test -count=1 -run Python ./cmd/vitdecompose

.PHONY: moving
moving: setup ## draw the moving picture of the README again
	go run ./cmd/moving --out docs/figures/heads.gif

# The commit's date and the beginning of its hash.
VERSION ?= $(shell git log -1 --format=%cd-%h --date=format:%Y%m%d)

.PHONY: dist
dist: modules ## an archive for this system that needs no build, in dist/
	@packaging/dist "$(VERSION)"

.PHONY: bench
bench: setup ## images per second, ratios and peak memory
	$(PROGRAM) bench $(ARGS)

.PHONY: clean
clean: ## remove what was built; results and the caches of the user stay
	rm -rf bin dist .jupyter/bin .jupyter/venv .jupyter/python .jupyter/executed .jupyter/gonb .jupyter/gonb.mod .jupyter/gonb.sum
