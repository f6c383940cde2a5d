# `make demo` and `make test` need Python >= 3.11 and make, nothing else: each creates .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= auto
# Warnings of third parties are reported; CI sets WARNINGS=error and none passes.
WARNINGS ?=
RUN_TESTS := -m pytest -n $(WORKERS) --dist worksteal $(if $(WARNINGS),-W $(WARNINGS))
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python $(RUN_TESTS)
LOWEST := .venv-lowest
LOWEST_TESTS ?= tests/ot tests/metrics tests/records tests/training tests/boards tests/test_settings.py tests/test_registry.py tests/cli

.PHONY: help demo test test-slow test-lowest attacks lint docs results numbers benchmarks clean

help:
	@echo "make demo        install, then run conditional-OT flow matching on a Gaussian mixture"
	@echo "make test        install the test extra, then run the test suite (at most 10 minutes)"
	@echo "make test-slow   the long rest of the test suite"
	@echo "make test-lowest a part of it at the lowest versions of what it needs, in $(LOWEST)"
	@echo "make attacks     all attacks of docs/trust.md in full, for hours; prints its table"
	@echo "make lint        ruff and mypy --strict"
	@echo "make docs        the guide as a site, in site/"
	@echo "make results     tables, figures, page and the README's leaderboard from the records in results/"
	@echo "make numbers     after a change of code: show that no number moved, and write results/numbers.csv"
	@echo "make benchmarks  the ratios of benchmarks/README.md, measured on this machine"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "cwbench needs Python >= 3.11; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.run

$(LOWEST)/.run: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable '.[images,multi,features,tensorboard,test]'
	@touch $@

demo: $(VENV)/.run
	$(BIN)/cwbench run --task gaussian-mixture --method cot-fm

test: $(VENV)/.dev
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.dev
	$(PYTEST) -m slow

test-lowest: $(LOWEST)/.run
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python $(RUN_TESTS) -m "not slow" $(LOWEST_TESTS)

attacks: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/attacks

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.dev
	$(BIN)/python -m mkdocs build --strict

results: $(VENV)/.dev
	$(BIN)/python -m results.build
	$(BIN)/python -m docs.findings
	$(BIN)/python -m docs.calls

numbers: $(VENV)/.dev
	$(BIN)/python -m results.numbers

benchmarks: $(VENV)/.dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(LOWEST) build site *.egg-info .mypy_cache .ruff_cache .pytest_cache
