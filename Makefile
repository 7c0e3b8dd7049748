# Commands for developers. `make` alone lists them.
# Needs Python 3.11 or later with its venv module, and a package index. A second call installs nothing.

SHELL := /bin/bash
VENV := .venv
BENCH_VENV := .venv-bench
LANGGRAPH_VENV := .venv-langgraph
LINT_VENV := .venv-lint
AIOHTTP := .venv-aiohttp
FUZZ := .venv-fuzz
CHART_VENV := .venv-chart
CHECKOV_VENV := .venv-checkov
CLIENTS_VENV := .venv-clients
CONFORMANCE := .conformance
BROWSER_VENV := .venv-browser
PICTURE_VENV := .venv-picture
SITE_VENV := .venv-site
SCRIPTS := .ci/run $(wildcard k8s/*.sh)
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
# Tools in Go: the one on PATH is used, or this version is installed if go is on PATH.
GO_TOOLS := .go-tools
actionlint := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
ct := github.com/helm/chart-testing/v3/ct@v3.14.0
helm-docs := github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2
helm-schema := github.com/dadav/helm-schema/cmd/helm-schema@0.23.4
# Arguments of what a target runs: `make run ARGS="serve main.py:answer"`, `make test ARGS="-k book"`.
ARGS ?=
# Bytecode is written also where the environment turns it off: tests and benchmarks start many processes.
export PYTHONDONTWRITEBYTECODE :=
# Tests run in this many processes.
JOBS ?= 2

# The first interpreter that is new enough; PYTHON names another one.
find_python = $(shell for name in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-functions test-aiohttp fuzz fuzz-long test-browser test-clients test-chart test-image test-e2e test-e2e-slow bench \
	bench-load lint format lint-chart lint-image lint-workflows audit contract settings-page rules observe fire-alerts \
	dashboard-picture pictures site publish-site chart-files chart-package lock wheel test-wheel image image-release scan-image \
	release-notes publisher up down ci clean

help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 25

run: $(VENV)/.installed ## serve the built-in book on port 2024 or the next free one (PORT=8080, ARGS="serve main.py:answer")
	@exec $(BIN)/askd $(ARGS) $(if $(PORT),--port=$(PORT))

test: $(VENV)/.installed-test ## run the tests but the slow ones; skipped tests are listed at the end
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(ARGS)

test-all: $(VENV)/.installed-test ## run all tests that need no Docker, browser or cluster
	@$(MAKE) --quiet $(LANGGRAPH_VENV)/.installed || echo "skipped: tests against langgraph dev, it cannot be installed"
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal -m "not image" --durations 25 $(ARGS)

test-functions: $(VENV)/.installed-test ## run the tests of functions (PYTHON=python3.14t for the interpreter without the global lock)
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal tests/unit/answerers/function tests/integration/answerers $(ARGS)

# Installed over the environment: only aiohttp and its dependencies differ from those of `make test`.
test-aiohttp: $(VENV)/.installed-test ## run the HTTP tests with the lowest and the newest allowed aiohttp (REQUIREMENTS=aiohttp==3.15.0)
	@version_of() { $(BIN)/python -c 'import aiohttp; print(aiohttp.__version__)'; }; \
	for requirement in $(or $(REQUIREMENTS),$(call aiohttp_bounds,aiohttp==\1) $(call aiohttp_bounds,aiohttp>=\1\2)); do \
		rm -rf $(AIOHTTP) && $(BIN)/python -m pip install --quiet --target $(AIOHTTP) "$$requirement" || exit 1; \
		version=$$(PYTHONPATH=$(AIOHTTP) version_of); \
		if [ "$$version" = "$$(version_of)" ]; then echo "$$requirement is $$version, which make test uses"; continue; fi; \
		echo "$$requirement is $$version"; \
		PYTHONPATH=$(AIOHTTP) $(BIN)/python -m pytest --numprocesses $(JOBS) tests/integration/api tests/integration/httpserver \
			tests/integration/process tests/unit/api tests/unit/httpserver $(ARGS) || exit 1; \
	done; rm -rf $(AIOHTTP)

# The bounds of aiohttp in pyproject.toml, \1 the lowest version, \2 further bounds: $(call aiohttp_bounds,TEXT)
aiohttp_bounds = "$$(sed -nE 's/^ *"aiohttp>=([0-9.]+)([^"]*)".*/$(1)/p' pyproject.toml)"

# Installed beside the environment, as far as there is a wheel of Atheris (Linux, and not for the newest Python).
fuzz: $(VENV)/.installed-test ## fuzz all parsers for a minute (ARGS="--seconds 600 book_yaml mcp_body")
	@if [ -d $(FUZZ) ] || $(BIN)/python -m pip install --quiet --target $(FUZZ) --requirement tests/fuzz/requirements.txt; then \
		PYTHONPATH=$(FUZZ) exec $(BIN)/python -m tests.fuzz $(ARGS); \
	else rm -rf $(FUZZ); echo "skipped: make fuzz, atheris cannot be installed"; fi

fuzz-long: ## fuzz all parsers for an hour, and add useful inputs to the corpus in tests/fuzz
	@$(MAKE) --quiet fuzz ARGS="--seconds 3600" && $(MAKE) --quiet fuzz ARGS=--merge

test-browser: ## test the pages in Chromium, with axe-core for accessibility
	@if command -v chromium chromium-browser google-chrome >/dev/null; then $(MAKE) --quiet $(BROWSER_VENV)/.installed && \
		exec $(BROWSER_VENV)/bin/python -m pytest tests/browser $(ARGS); \
	else echo "skipped: make test-browser, chromium is not installed (Debian: apt-get install chromium)"; fi

test-clients: $(CLIENTS_VENV)/.installed ## test MCP and chat completions with official clients and the conformance suite (uses npm)
	@if command -v npm >/dev/null; then mkdir -p $(CONFORMANCE) && cp tests/clients/package.json $(CONFORMANCE) && \
		npm install --prefix $(CONFORMANCE) --silent --no-fund --no-audit; \
	else echo "skipped: the conformance suite of MCP, npm is not installed"; fi
	$(CLIENTS_VENV)/bin/python -m pytest -s tests/clients $(ARGS)

test-chart: ## test the chart, k8s/ and skaffold.yaml (needs helm; uses helm3, skaffold and helm-schema if they are installed)
	@$(call go_tool,helm-schema,--version >/dev/null)
	@if command -v helm >/dev/null; then $(MAKE) --quiet $(CHART_VENV)/.installed && \
		PATH="$$PATH:$(CURDIR)/$(GO_TOOLS)" $(CHART_VENV)/bin/python -m pytest -q --numprocesses $(JOBS) tests/chart $(ARGS); \
	else echo "skipped: make test-chart, helm is not installed"; fi

test-image: $(VENV)/.installed-test ## build the image and test it (needs docker)
	@if docker version >/dev/null 2>&1; then $(MAKE) --quiet lint-image && exec $(BIN)/python -m pytest -m image -s tests/image $(ARGS); \
	else echo "skipped: make test-image, docker does not work here"; fi

test-e2e: ## on a local cluster: install, ask, helm test, a rollout under load (needs docker, kubectl, helm)
	@$(call on_cluster,-m "not slow")

test-e2e-slow: ## on a local cluster: everything that the Kubernetes docs promise; takes about 50 minutes
	@$(call on_cluster,-m "")

bench: $(BENCH_VENV)/.installed ## compare askd with other servers (needs wrk; takes about fifteen minutes)
	@if command -v wrk >/dev/null; then exec $(BENCH_VENV)/bin/python -m benchmarks.compare $(ARGS); \
	else echo "skipped: make bench, wrk is not installed (Debian: apt-get install wrk)"; fi

bench-load: $(VENV)/.installed-test ## put the guards under load and compare with the aims (30 minutes; ARGS="overload drain --quick")
	@exec $(BIN)/python -m benchmarks.load $(ARGS)

lint: $(VENV)/.installed-test ## check style, format, prose, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m tools.prose
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-test ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lint-chart: $(CHECKOV_VENV)/.installed $(CHART_VENV)/.installed ## check YAML, shell scripts and the chart (needs helm, shellcheck, go)
	$(CHART_VENV)/bin/yamllint --strict .
	@if command -v shellcheck >/dev/null; then set -x; shellcheck $(SCRIPTS); \
	else echo "skipped: shellcheck, it is not installed (Debian: apt-get install shellcheck)"; fi
	@if command -v helm >/dev/null; then set -x; helm lint --strict chart && \
		helm template askd chart --namespace askd --skip-tests --kube-version 1.35.0 >$(CHECKOV_VENV)/objects.yaml && \
		$(CHECKOV_VENV)/bin/checkov --config-file tests/chart/checkov.yaml --file $(CHECKOV_VENV)/objects.yaml; \
	else echo "skipped: helm lint and checkov, helm is not installed"; fi
	@PATH="$(CURDIR)/$(CHART_VENV)/bin:$$PATH"; $(call go_tool,ct,lint --charts chart --lint-conf .yamllint.yaml \
		--validate-chart-schema=false --validate-maintainers=false >$(CHART_VENV)/ct.log || { cat $(CHART_VENV)/ct.log; exit 1; })
	@$(call go_tool,helm-docs,$(HELM_DOCS_OPTIONS) --dry-run | diff chart/README.md - || { echo "run make chart-files" >&2; exit 1; })

lint-image: $(LINT_VENV)/.installed ## check the Dockerfiles
	$(LINT_VENV)/bin/hadolint Dockerfile docs/examples/*/Dockerfile

lint-workflows: $(LINT_VENV)/.installed ## check the workflows for mistakes and security (actionlint needs go; zizmor looks online if GH_TOKEN is set)
	$(LINT_VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(LINT_VENV)/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(LINT_VENV)/bin/zizmor --quiet $(if $(GH_TOKEN),,--offline) .
	@$(call go_tool,actionlint,)

# pip-audit exits with 1 both for a vulnerability and without data; only its messages differ.
audit: $(LINT_VENV)/.installed ## check the versions of requirements.lock for known vulnerabilities (needs PyPI's data)
	@if report=$$($(LINT_VENV)/bin/pip-audit --strict --progress-spinner off --disable-pip --no-deps --requirement requirements.lock 2>&1); \
	then echo "$$report"; elif grep -qE 'not found on PyPI|ConnectionError|ServiceError' <<<"$$report"; \
	then echo "skipped: pip-audit, the vulnerability data of PyPI is not reachable"; else echo "$$report"; exit 1; fi

contract: $(VENV)/.installed-test ## at a release: record the public interface that must stay compatible
	$(BIN)/python -m tools.contract.record_release

settings-page: $(VENV)/.installed-test ## write docs/reference/settings.md from the settings
	$(BIN)/python -m tools.docs_settings.page

rules: $(VENV)/.installed-test ## write the alert rules, the dashboard and docs/reference/metrics.md
	$(BIN)/python -m tools.monitoring
	$(BIN)/python -m tools.docs_metrics.page

observe: $(VENV)/.installed-test ## run Prometheus with the rules, askd and a light load (ARGS="main.py:answer"; needs prometheus)
	@exec $(BIN)/python -m tools.monitoring.observe $(ARGS)

fire-alerts: $(VENV)/.installed-test ## cause real faults until the alerts fire (two minutes; ARGS="overload book"; needs prometheus)
	@exec $(BIN)/python -m tools.monitoring.fire_alerts $(ARGS)

dashboard-picture: $(PICTURE_VENV)/.installed ## draw docs/pictures/dashboard.png from a real load (needs prometheus)
	$(PICTURE_VENV)/bin/python -m tools.monitoring.dashboard_picture
	$(PICTURE_VENV)/bin/python -m pytest -q tests/monitoring/test_dashboard.py

pictures: $(BROWSER_VENV)/.installed ## take the screenshots in docs/pictures (needs chromium, fonts-inter, fonts-jetbrains-mono, optipng)
	$(BROWSER_VENV)/bin/python -m tools.docs_pictures.pages

HELM_DOCS_OPTIONS := --chart-search-root chart --sort-values-order file --log-level warning

site: $(SITE_VENV)/.installed ## build the website of the docs into site/, with the tutorial run in a terminal, and check its links
	NO_MKDOCS_2_WARNING=1 $(SITE_VENV)/bin/python -m mkdocs build --strict --quiet
	$(SITE_VENV)/bin/python -m tools.site.check_links site

# One folder for each minor version. A final version becomes `latest`, to which the address without a version leads.
publish-site: $(SITE_VENV)/.installed ## add the website of this version to the local branch gh-pages
	PATH="$(CURDIR)/$(SITE_VENV)/bin:$$PATH" PYTHONPATH=. NO_MKDOCS_2_WARNING=1; export PATH PYTHONPATH NO_MKDOCS_2_WARNING; \
	if [[ "$(version)" =~ [a-z] ]]; then mike deploy "$(version)"; else \
		mike deploy --update-aliases --title "$(version)" "$$(cut -d. -f1,2 <<<'$(version)')" latest && \
		mike set-default --allow-empty latest; fi

chart-files: $(VENV)/.installed-test ## write the generated parts of the chart from its values and the settings (needs helm for k8s/plain, go)
	$(BIN)/python -m tools.chart.generate
	@$(call go_tool,helm-docs,$(HELM_DOCS_OPTIONS))

chart-package: $(VENV)/.installed-test ## package the chart in dist/ with a registry's image as its default (REGISTRY=ghcr.io/owner; needs helm)
	@[ -n "$(REGISTRY)" ] || { echo "REGISTRY is missing: make chart-package REGISTRY=ghcr.io/owner" >&2; exit 1; }
	$(BIN)/python -m tools.chart.package "$(REGISTRY)"

lock: $(VENV)/.installed ## write requirements.lock with the newest versions that pyproject.toml allows
	$(BIN)/python -m pip install --quiet "uv==$(UV_VERSION)"
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --no-emit-index-url \
		--no-annotate --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

wheel: $(VENV)/.installed ## build dist/askd-*.tar.gz, and dist/askd-*.whl from it
	@rm -rf dist
	$(BIN)/python -m pip install --quiet "uv==$(UV_VERSION)"
	$(BIN)/uv build --quiet --no-create-gitignore --out-dir dist
	@ls dist/askd-*

# The tests come from the sdist and import askd from the wheel that was built of it.
test-wheel: $(VENV)/.created ## run the tests with the package in dist/, as make wheel built it
	@[ -f dist/askd-*.whl ] || { echo "no wheel in dist/: run make wheel" >&2; exit 1; }
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; set -e; \
	tar --extract --file dist/askd-*.tar.gz --directory "$$folder" --strip-components 1; \
	$(BIN)/python -m venv "$$folder/.venv"; wheel=$$(realpath dist/askd-*.whl); cd "$$folder"; \
	.venv/bin/python -m pip install --quiet --constraint requirements.lock "$$wheel[test]"; \
	.venv/bin/python -c 'import askd; print(askd.__file__)'; \
	.venv/bin/python -m pytest --numprocesses $(JOBS) --dist worksteal $(ARGS)

release-notes: $(VENV)/.installed ## check that this commit can be released, and print its notes (TAG=v1.2.3)
	@$(BIN)/python -m tools.release_check "$(TAG)"

publisher: ## write the addresses of the repository, the registry and the website into all files, once (OWNER=name)
	@[ -n "$(OWNER)" ] || { echo "OWNER is missing: make publisher OWNER=name" >&2; exit 1; }
	git grep -lE '(github|ghcr)\.example' | xargs perl -pi -e 's#askd\.github\.example/#$(OWNER).github.io/#g;' \
		-e 's#github\.example/askd/#github.com/$(OWNER)/#g; s#ghcr\.example/askd/#ghcr.io/$(OWNER)/#g; s#^OWNER=askd #OWNER=$(OWNER) #'

# The version, and the build arguments of the labels of an image.
version = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' service/askd/__init__.py)
image_labels = --build-arg VERSION="$(version)" --build-arg REVISION="$$(git rev-parse HEAD)" \
	--build-arg CREATED="$$(git log -1 --format=%cI)" --build-arg SOURCE="$$(git config --get remote.origin.url || echo unknown)"

image: ## build askd, askd:pip and askd:dev with docker, labelled with this commit; askd also with the version as tag
	for target in dev pip runtime; do tag=askd:$$target; docker build --target $$target --tag $${tag%:runtime} \
		$(image_labels) . || exit; done; docker tag askd "askd:$(version)"

# The digests are written to dist/image-*.json. Only a final version becomes askd:latest, askd:pip and askd:dev.
image-release: ## build the images for amd64 and arm64 with SBOM and provenance (REGISTRY=ghcr.io/owner PUSH=true; needs docker buildx)
	@if docker buildx version >/dev/null 2>&1; then mkdir -p dist; set -ex; for target in runtime pip dev; do \
		suffix=-$$target; name=$(or $(REGISTRY),local)/askd; latest=$$target; \
		if [ $$target = runtime ]; then suffix=; latest=latest; fi; \
		docker buildx build --target $$target --platform linux/amd64,linux/arm64 --provenance mode=max --sbom true \
			--output type=image,push=$(or $(PUSH),false),rewrite-timestamp=true --metadata-file dist/image-$$target.json \
			--build-arg SOURCE_DATE_EPOCH="$$(git log -1 --format=%ct)" $(image_labels) --tag "$$name:$(version)$$suffix" \
			$(if $(shell grep -E '[a-z]' <<<'$(version)'),,--tag "$$name:$$latest") .; done; \
	else echo "skipped: make image-release, docker buildx is not installed"; fi

scan-image: ## look for known vulnerabilities in the packages of the image askd that have a fix (needs trivy and its database)
	@if command -v trivy >/dev/null; then set -x; trivy image --scanners vuln --ignore-unfixed --severity HIGH,CRITICAL --exit-code 1 askd; \
	else echo "skipped: make scan-image, trivy is not installed"; fi

up: ## run askd and Prometheus in a local cluster, created if necessary (needs docker, kubectl, helm, kind or minikube)
	k8s/up.sh $(ARGS)

down: ## remove what make up created
	k8s/down.sh

ci: ## run the checks of CI
	.ci/run

clean: ## remove what the other targets created
	rm -rf $(VENV) $(BENCH_VENV) $(LANGGRAPH_VENV) $(LINT_VENV) $(AIOHTTP) $(FUZZ) $(PICTURE_VENV) $(BROWSER_VENV) $(CLIENTS_VENV) $(CHART_VENV) \
		$(CHECKOV_VENV) $(SITE_VENV) $(CONFORMANCE) $(GO_TOOLS) build dist site .*_cache .fuzz .hypothesis .schemathesis
	find service tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.created:
	$(call create,$(VENV))
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.created pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(BENCH_VENV)/.installed: pyproject.toml requirements.lock benchmarks/compare/requirements.txt
	$(call create,$(BENCH_VENV))
	$(BENCH_VENV)/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[otel]' \
		--requirement benchmarks/compare/requirements.txt
	@for peer in granian robyn socketify; do \
		$(BENCH_VENV)/bin/python -m pip install --quiet "$$peer" || echo "skipped: $$peer cannot be installed"; done
	@touch $@

$(LINT_VENV)/.installed: tools/requirements-lint.txt
	$(call create,$(LINT_VENV))
	$(LINT_VENV)/bin/python -m pip install --quiet --requirement $<
	@touch $@

$(CHART_VENV)/.installed: pyproject.toml requirements.lock tests/chart/requirements.txt
	$(call create,$(CHART_VENV))
	$(CHART_VENV)/bin/python -m pip install --quiet --constraint requirements.lock --editable . \
		--requirement tests/chart/requirements.txt
	@touch $@

$(CHECKOV_VENV)/.installed: tests/chart/requirements-checkov.txt
	$(call create,$(CHECKOV_VENV))
	$(CHECKOV_VENV)/bin/python -m pip install --quiet --requirement $<
	@touch $@

$(CLIENTS_VENV)/.installed: pyproject.toml requirements.lock tests/clients/requirements.txt
	$(call create,$(CLIENTS_VENV))
	$(CLIENTS_VENV)/bin/python -m pip install --quiet --constraint requirements.lock --editable . langgraph
	$(CLIENTS_VENV)/bin/python -m pip install --quiet --requirement tests/clients/requirements.txt
	@touch $@

$(BROWSER_VENV)/.installed: pyproject.toml requirements.lock tests/browser/requirements.txt
	$(call create,$(BROWSER_VENV))
	$(BROWSER_VENV)/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[test]' \
		--requirement tests/browser/requirements.txt
	@touch $@

$(PICTURE_VENV)/.installed: pyproject.toml requirements.lock tools/monitoring/requirements.txt
	$(call create,$(PICTURE_VENV))
	$(PICTURE_VENV)/bin/python -m pip install --quiet --constraint requirements.lock --editable '.[test]' \
		--requirement tools/monitoring/requirements.txt
	@touch $@

$(SITE_VENV)/.installed: pyproject.toml requirements.lock tools/site/requirements.txt
	$(call create,$(SITE_VENV))
	$(SITE_VENV)/bin/python -m pip install --quiet --constraint requirements.lock --editable . \
		--requirement tools/site/requirements.txt
	@touch $@

# The LangGraph server has a separate environment, because it holds back the versions of jsonschema-rs and structlog.
$(LANGGRAPH_VENV)/.installed: tests/process/requirements-langgraph.txt
	$(call create,$(LANGGRAPH_VENV))
	$(LANGGRAPH_VENV)/bin/python -m pip install --quiet --requirement $<
	@touch $@

# Run tests on the cluster of the current context, which must be a local one: $(call on_cluster,OPTIONS OF PYTEST)
define on_cluster
	if ! command -v docker kubectl helm >/dev/null; then echo "skipped: make $@, it needs docker, kubectl and helm"; \
	elif ! kubectl version >/dev/null 2>&1; then echo "skipped: make $@, kubectl reaches no cluster"; \
	else . k8s/lib.sh && refuse_foreign && $(MAKE) --quiet $(VENV)/.installed-test && \
		$(BIN)/python -m pytest -s $(1) --timeout 0 tests/e2e $(ARGS); fi
endef

# Run a tool in Go, or print one line if it is not installed and cannot be: $(call go_tool,NAME,ARGUMENTS)
define go_tool
	export PATH="$$PATH:$(CURDIR)/$(GO_TOOLS)"; \
	if command -v $(1) >/dev/null || GOBIN="$(CURDIR)/$(GO_TOOLS)" go install $($(1)) >/dev/null 2>&1; then set -x; $(1) $(2); \
	else echo "skipped: $(1), it is not installed: go install $($(1))"; fi
endef

# Create a virtual environment, or print one line with the reason: $(call create,FOLDER)
define create
	@python="$(find_python)"; \
	if [ -z "$$python" ]; then \
		echo "askd needs Python 3.11 or later, found: $$($(or $(PYTHON),python3) --version 2>&1 | tail -n 1)." \
			"Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; fi; \
	"$$python" -m venv $(1) || { rm -rf $(1); \
		echo "$$python has no working venv module. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
endef
