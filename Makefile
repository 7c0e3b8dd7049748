# Everything that a developer does, as one word each. `make` alone lists them.
# Needs Python 3.11 or later, with its venv module, and a package index. A second call installs nothing.

SHELL := /bin/bash
VENV := .venv
BENCH_VENV := .venv-bench
LANGGRAPH_VENV := .venv-langgraph
LINT_VENV := .venv-lint
AIOHTTP := .venv-aiohttp
CHART_VENV := .venv-chart
CHECKOV_VENV := .venv-checkov
SCRIPTS := .ci/run $(wildcard k8s/*.sh)
BROWSER_VENV := .venv-browser
PICTURE_VENV := .venv-picture
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
# Arguments for what a target runs: `make run ARGS="serve main.py:answer --port 8080"`, `make test ARGS="-k book"`.
ARGS ?=

# The first interpreter that will do; the one that PYTHON names, where it names one.
find_python = $(shell for name in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)

.DEFAULT_GOAL := help
.PHONY: help run test test-aiohttp test-process test-browser pictures up down test-chart chart-files lint-chart test-cluster proof lint format contract rules observe fire picture lock wheel image test-image lint-image bench ci clean

help: ## list what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: $(VENV)/.installed ## serve the built-in book on port 2024, or the next free one (PORT=8080 ARGS="serve main.py:answer")
	@exec $(BIN)/askd $(ARGS) $(if $(PORT),--port=$(PORT))

test: $(VENV)/.installed-test ## run the suite; what cannot run here is listed in its last lines
	@$(MAKE) --quiet $(LANGGRAPH_VENV)/.installed || echo "skipped: tests against langgraph dev, it cannot be installed"
	$(BIN)/python -m pytest $(ARGS)

test-process: $(VENV)/.installed-test ## put the guards under load, and judge their figures (half an hour; ARGS="overload drain --quick")
	@exec $(BIN)/python -m tests.figures $(ARGS)

# Over the environment's own: only aiohttp and what it needs differ from what `make test` has.
test-aiohttp: $(VENV)/.installed-test ## run what rests on aiohttp with the lowest and the newest one that is allowed
	@has() { $(BIN)/python -c 'import aiohttp; print(aiohttp.__version__)'; }; \
	for wanted in $(call allowed,aiohttp==\1) $(call allowed,aiohttp>=\1\2); do \
		rm -rf $(AIOHTTP) && $(BIN)/python -m pip install --quiet --target $(AIOHTTP) "$$wanted" || exit 1; \
		version=$$(PYTHONPATH=$(AIOHTTP) has); \
		if [ "$$version" = "$$(has)" ]; then echo "$$wanted is $$version, which make test runs with"; continue; fi; \
		echo "$$wanted is $$version"; \
		PYTHONPATH=$(AIOHTTP) $(BIN)/python -m pytest tests/web tests/test_ops_thread.py $(ARGS) || exit 1; \
	done; rm -rf $(AIOHTTP)

# What pyproject.toml says of aiohttp, with \1 for the lowest version and \2 for further bounds: $(call allowed,TEXT)
allowed = "$$(sed -nE 's/^ *"aiohttp>=([0-9.]+)([^"]*)".*/$(1)/p' pyproject.toml)"

test-browser: ## try the pages in the real Chromium, and let axe-core judge them
	@if command -v chromium chromium-browser google-chrome >/dev/null; then $(MAKE) --quiet $(BROWSER_VENV)/.installed && \
		exec $(BROWSER_VENV)/bin/python -m pytest tests/browser $(ARGS); \
	else echo "skipped: make test-browser, chromium is not installed (Debian: apt-get install chromium)"; fi

pictures: $(BROWSER_VENV)/.installed ## take the pictures in docs/pictures anew (needs chromium; fonts-inter, fonts-jetbrains-mono, optipng)
	$(BROWSER_VENV)/bin/python -m tests.browser.pictures

lint: $(VENV)/.installed-test ## check style, format, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-test ## write the format, and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

contract: $(VENV)/.installed-test ## at a release: record what must stay compatible from now on
	PYTHONPATH=tests $(BIN)/python -m contract

rules: $(VENV)/.installed-test ## write rules, dashboard and docs/metrics.md anew, from tests/rules/ and a live scrape
	$(BIN)/python -m tests.rules
	$(BIN)/python -m tests.metrics.page

observe: $(VENV)/.installed-test ## run Prometheus with the rules beside askd and a light load (ARGS="main.py:answer"; needs prometheus)
	@exec $(BIN)/python -m tests.rules.observe $(ARGS)

fire: $(VENV)/.installed-test ## raise the alerts for real, with real faults (two minutes; ARGS="overload book"; needs prometheus)
	@exec $(BIN)/python -m tests.rules.fire $(ARGS)

picture: $(PICTURE_VENV)/.installed ## draw docs/pictures/dashboard.png from a real load, and show Grafana's types the dashboard (needs prometheus)
	$(PICTURE_VENV)/bin/python -m tests.rules.picture
	$(PICTURE_VENV)/bin/python -m pytest -q tests/rules/test_dashboard.py

lock: $(VENV)/.installed ## write requirements.lock anew, with the newest versions that pyproject.toml allows
	$(BIN)/python -m pip install --quiet "uv==$(UV_VERSION)"
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --no-emit-index-url \
		--no-annotate --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

wheel: $(VENV)/.installed ## build dist/askd-*.whl
	@rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/askd-*.whl

image: ## build askd, askd:pip and askd:dev with docker, labelled with this commit
	for target in dev pip runtime; do tag=askd:$$target; docker build --target $$target --tag $${tag%:runtime} \
		--build-arg VERSION="$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' service/__init__.py)" \
		--build-arg REVISION="$$(git rev-parse HEAD)" --build-arg CREATED="$$(git log -1 --format=%cI)" \
		--build-arg SOURCE="$$(git config --get remote.origin.url || echo unknown)" . || exit; done

test-image: $(VENV)/.installed-test ## build the image, and try what docs/image.md says of it (needs docker)
	@if docker version >/dev/null 2>&1; then $(MAKE) --quiet lint-image && exec $(BIN)/python -m pytest -m image -s tests/image $(ARGS); \
	else echo "skipped: make test-image, docker does not work here"; fi

lint-image: $(LINT_VENV)/.installed ## check the Dockerfiles and the release workflow
	$(LINT_VENV)/bin/hadolint Dockerfile docs/examples/*/Dockerfile
	$(LINT_VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

bench: $(BENCH_VENV)/.installed ## measure askd against other servers (needs wrk; takes about fifteen minutes)
	@if command -v wrk >/dev/null; then exec $(BENCH_VENV)/bin/python -m tests.benchmark $(ARGS); \
	else echo "skipped: make bench, wrk is not installed (Debian: apt-get install wrk)"; fi

up: ## make a local cluster if there is none, and run askd and Prometheus in it (needs docker, kubectl, helm, kind or minikube)
	k8s/up.sh $(ARGS)

down: ## remove what make up has made
	k8s/down.sh

test-chart: ## test the chart, k8s/ and skaffold.yaml (needs helm; uses helm3 and skaffold where they are)
	@if command -v helm >/dev/null; then $(MAKE) --quiet $(CHART_VENV)/.installed && \
		$(CHART_VENV)/bin/python -m pytest -q --numprocesses 2 tests/chart $(ARGS); \
	else echo "skipped: make test-chart, helm is not installed"; fi

test-cluster: ## on a local cluster: install, ask, helm test, a rollout under load (needs docker, kubectl, helm)
	@$(call on_cluster,-m "not proof")

proof: ## show on a local cluster everything that docs/kubernetes.md promises; takes half an hour
	@$(call on_cluster,-m "")

lint-chart: $(CHECKOV_VENV)/.installed $(CHART_VENV)/.installed ## check the style and the safety of YAML, shell and the chart (needs helm, shellcheck)
	$(CHART_VENV)/bin/yamllint --strict .
	@if command -v shellcheck >/dev/null; then set -x; shellcheck $(SCRIPTS); \
	else echo "skipped: shellcheck, it is not installed (Debian: apt-get install shellcheck)"; fi
	@if command -v helm >/dev/null; then set -x; helm lint --strict chart && \
		helm template askd chart --namespace askd --skip-tests --kube-version 1.35.0 >$(CHECKOV_VENV)/objects.yaml && \
		$(CHECKOV_VENV)/bin/checkov --config-file tests/chart/checkov.yaml --file $(CHECKOV_VENV)/objects.yaml; \
	else echo "skipped: helm lint and checkov, helm is not installed"; fi

chart-files: $(VENV)/.installed ## write what is made from chart/values.yaml and service/settings/ (needs helm for k8s/plain)
	$(BIN)/python -m tests.chart.generate

ci: ## do what CI does
	.ci/run

clean: ## remove what the other targets made
	rm -rf $(VENV) $(BENCH_VENV) $(LANGGRAPH_VENV) $(LINT_VENV) $(AIOHTTP) $(PICTURE_VENV) $(BROWSER_VENV) $(CHART_VENV) $(CHECKOV_VENV) build dist .*_cache .hypothesis .schemathesis
	find service tests -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.created:
	$(call create,$(VENV))
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.created pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(BENCH_VENV)/.installed: pyproject.toml requirements.lock tests/benchmark/requirements.txt
	$(call create,$(BENCH_VENV))
	$(BENCH_VENV)/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[otel]' \
		--requirement tests/benchmark/requirements.txt
	@touch $@

$(LINT_VENV)/.installed: tests/image/lint.txt
	$(call create,$(LINT_VENV))
	$(LINT_VENV)/bin/python -m pip install --quiet --requirement $<
	@touch $@

$(CHART_VENV)/.installed: pyproject.toml requirements.lock tests/chart/requirements.txt
	$(call create,$(CHART_VENV))
	$(CHART_VENV)/bin/python -m pip install --quiet --constraint requirements.lock --editable . \
		--requirement tests/chart/requirements.txt
	@touch $@

$(CHECKOV_VENV)/.installed: tests/chart/checkov.txt
	$(call create,$(CHECKOV_VENV))
	$(CHECKOV_VENV)/bin/python -m pip install --quiet --requirement $<
	@touch $@

$(BROWSER_VENV)/.installed: pyproject.toml requirements.lock tests/browser/requirements.txt
	$(call create,$(BROWSER_VENV))
	$(BROWSER_VENV)/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[test]' \
		--requirement tests/browser/requirements.txt
	@touch $@

$(PICTURE_VENV)/.installed: pyproject.toml requirements.lock tests/rules/picture.txt
	$(call create,$(PICTURE_VENV))
	$(PICTURE_VENV)/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[test]' \
		--requirement tests/rules/picture.txt
	@touch $@

# The real LangGraph server, in an environment of its own: it holds jsonschema-rs and structlog back.
$(LANGGRAPH_VENV)/.installed: tests/process/langgraph.txt
	$(call create,$(LANGGRAPH_VENV))
	$(LANGGRAPH_VENV)/bin/python -m pip install --quiet --requirement $<
	@touch $@

# Tests on the cluster of the current context, which must be a local one: $(call on_cluster,OPTIONS OF PYTEST)
define on_cluster
	if ! command -v docker kubectl helm >/dev/null; then echo "skipped: make $@, it needs docker, kubectl and helm"; \
	elif ! kubectl version >/dev/null 2>&1; then echo "skipped: make $@, kubectl reaches no cluster"; \
	else . k8s/lib.sh && refuse_foreign && $(MAKE) --quiet $(VENV)/.installed-test && \
		$(BIN)/python -m pytest -s $(1) tests/cluster $(ARGS); fi
endef

# A virtual environment, or one line that says what is missing: $(call create,FOLDER)
define create
	@python="$(find_python)"; \
	if [ -z "$$python" ]; then \
		echo "askd needs Python 3.11 or later, found: $$($(or $(PYTHON),python3) --version 2>&1 | tail -n 1)." \
			"Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; fi; \
	"$$python" -m venv $(1) || { rm -rf $(1); \
		echo "$$python has no venv module that works. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
endef
