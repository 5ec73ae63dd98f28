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
# Where the build of the CUDA kernels looks for their compiler.
export VIRTUAL_ENV := $(abspath $(VENV))

.PHONY: help demo test rust python build wheel bench race fuzz operators lint format clean

help: ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: build $(VENV)/.demo ## build the package, and let it classify handwritten digits
	$(BIN)/python examples/digits/demo.py --plot digits.png

test: lint rust build python ## check and test everything

# What a target needs of Python: what builds the package, and the extra dependencies of that name.
$(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
		print(*p["build-system"]["requires"], *p["project"]["optional-dependencies"].get("$*", []), sep="\n")' \
		| $(BIN)/python -m pip install --quiet -r /dev/stdin
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

lint: $(VENV)/.test ## check formats and lints, of Rust and of Python
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -j $(JOBS) -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check

rust: ## test the crates
	$(CARGO) test --workspace -j $(JOBS) --no-fail-fast

build: $(VENV)/.build ## build the package, quickly, and install it where tests find it
	rm -rf $(VENV)/wheels
	$(BIN)/maturin build --release --out $(VENV)/wheels -j $(JOBS)
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps $(VENV)/wheels/ort_rs-*.whl

python: $(VENV)/.test $(VENV)/.clients ## test the package, and check its types
	$(BIN)/mypy
	$(BIN)/python -m pytest

wheel: $(VENV)/.build ## build the wheel that is given to others
	$(BIN)/maturin build --profile dist --out dist -j $(JOBS)

bench: build $(VENV)/.test ## measure calls against ONNX Runtime
	$(BIN)/python benches/overhead.py

# MODELS is the folder of the models, RACE what else benches/race.py is told: `make race RACE="--rounds 1"`.
MODELS ?= ../shared/models
race: build $(VENV)/.test $(VENV)/.bench ## race other runtimes on real models, and write docs/performance.md
	$(BIN)/python benches/race.py --models $(MODELS) --document $(RACE)

# TARGET is one of fuzz/fuzz_targets, FUZZ_SECONDS how long it is fed. Coverage is asked of the stable compiler in LLVM's own words.
TARGET ?= session
FUZZ_SECONDS ?= 60
FUZZ_HOST := x86_64-unknown-linux-gnu
FUZZ_FLAGS := --cfg fuzzing -Ccodegen-units=16 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cdebug-assertions
fuzz: build $(VENV)/.test ## look for bytes that break a reader or a session
	$(BIN)/python fuzz/seeds.py fuzz/corpus
	cd fuzz && RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) build --release --target $(FUZZ_HOST) --bin $(TARGET) -j $(JOBS)
	mkdir -p fuzz/artifacts
	ulimit -v 12000000 && fuzz/target/$(FUZZ_HOST)/release/$(TARGET) fuzz/corpus/$(TARGET) -artifact_prefix=fuzz/artifacts/ \
		-max_total_time=$(FUZZ_SECONDS) -timeout=25 -rss_limit_mb=6000 -malloc_limit_mb=12000 -max_len=9000

operators: ## write docs/operators.md again
	$(CARGO) run --quiet -p ort-rs --features cli -j $(JOBS) -- operators > docs/operators.md.new
	mv docs/operators.md.new docs/operators.md

format: $(VENV)/.test ## format all sources
	$(CARGO) fmt --all
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove what was built
	$(CARGO) clean
	rm -rf $(VENV) dist
