# What a developer does with the project: `make` tells.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CARGO ?= cargo
# Cargo builds as many crates at once as there are processors; on a busy machine set JOBS.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: help test rust python build wheel bench race lint format clean

help: ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

test: lint rust build python ## check and test everything

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["test"])')
	touch $@

lint: $(VENV)/.ready ## check formats and lints, of Rust and of Python
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -j $(JOBS) -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check

rust: ## test the crates
	$(CARGO) test --workspace -j $(JOBS) --no-fail-fast

build: $(VENV)/.ready ## build the package, quickly, and install it where tests find it
	rm -rf $(VENV)/wheels
	$(BIN)/maturin build --release --out $(VENV)/wheels -j $(JOBS)
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps $(VENV)/wheels/ort_rs-*.whl

python: ## test the package, and check its types
	$(BIN)/mypy
	$(BIN)/python -m pytest

wheel: $(VENV)/.ready ## build the wheel that is given to others
	$(BIN)/maturin build --profile dist --out dist -j $(JOBS)

bench: build ## measure calls against ONNX Runtime
	$(BIN)/python benches/overhead.py

# MODELS is the folder of the models, RACE what else benches/race.py is told: `make race RACE="--rounds 1"`.
MODELS ?= ../shared/models
race: build ## race other runtimes on real models, and write docs/performance.md
	$(BIN)/python -m pip install --quiet $$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"])')
	$(BIN)/python benches/race.py --models $(MODELS) --document $(RACE)

format: $(VENV)/.ready ## format all sources
	$(CARGO) fmt --all
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove what was built
	$(CARGO) clean
	rm -rf $(VENV) dist
