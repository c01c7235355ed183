# Every target sets up .venv by itself if it must, and does nothing twice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := gnn,dev

.DEFAULT_GOAL := help
.PHONY: help install demo test lint bench test-integration clean

help:  ## Show the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## Install into .venv with the exact versions of constraints.txt.

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "matscout needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python lacks venv: apt-get install python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

demo: $(STAMP)  ## Run the perovskite campaign; again, and it shows what is there.
	$(BIN)/matscout run examples/perovskites.yaml --store demo/matscout-store --output demo/perovskites

test: $(STAMP)  ## Run the tests that need no service.
	$(BIN)/python -m pytest -n auto --dist loadfile -m 'not integration'

lint: $(STAMP)  ## Check style, types and import rules.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(STAMP)  ## Print the figures of benchmarks/.
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

test-integration: $(STAMP)  ## Start the real services on loopback and run the tests that need them.
	tests/integration/run

clean:  ## Remove what make made, the installation included.
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache .hypothesis build
