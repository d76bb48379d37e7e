# Everything that a developer, a user who tries it, and CI run. `make help` lists it.
# Needs Python >= 3.11, make and the package registries; all else is fetched or built into .venv and a cache.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LAUNCHER := $(BIN)/python tests/cluster/launcher.py
NAME ?= dev

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak unit lint format bench e2e cluster-build cluster-up cluster-down run clean

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=" if sys.version_info < (3, 11) else 0)'
	@echo "preparing $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(READY) ## prepare the environment in .venv

cluster-build: $(READY) ## build the test cluster's binaries into the cache (ten minutes, once)
	@$(LAUNCHER) build

demo: $(READY) ## show the main job on an embedded cluster (KEEP=1 leaves it running)
	@$(BIN)/python -m demo $(if $(KEEP),--keep)

test: $(READY) ## all tests: pure ones, vectors, and those on a real API server
	@$(LAUNCHER) build --tool helm
	@$(BIN)/python -m pytest -n 3 --dist loadfile --ignore=tests/soak $(ARGS)

soak: $(READY) ## chaos and scale: minutes
	@$(LAUNCHER) build
	@$(BIN)/python -m pytest tests/soak -s $(ARGS)

unit: $(READY) ## only the tests that need no cluster
	@$(BIN)/python -m pytest tests/unit tests/conformance $(ARGS)

e2e: $(READY) ## install, upgrade and use the image on kind; needs a Docker engine (E2E_OPTIONAL=1: skip without one)
	@$(BIN)/python -m tests.e2e

lint: $(READY) ## ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy operator/scc_operator
	@$(BIN)/lint-imports --config pyproject.toml
	@test ! -e operator/__init__.py || { echo "operator/__init__.py would shadow the standard library's operator"; exit 1; }

format: $(READY) ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY) ## measure: ratios in one run, nothing asserted
	@$(BIN)/python benchmarks/bench_engine.py $(ARGS)
	@$(LAUNCHER) build
	@$(BIN)/python benchmarks/bench_ranges.py

cluster-up: $(READY) ## start the embedded cluster; prints the kubeconfig's path
	@$(LAUNCHER) up --name $(NAME)

cluster-down: $(READY) ## stop it
	@$(LAUNCHER) down --name $(NAME)

run: $(READY) ## run the operator against the current kubeconfig
	@$(BIN)/kopf run --all-namespaces --standalone -m scc_operator.app

clean: ## remove the environment and caches in this tree
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
