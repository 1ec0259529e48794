# Everything a person or CI runs. `make` alone lists the targets.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := $(shell sed -n 's/^tools = \["uv==\(.*\)"\]/\1/p' pyproject.toml)

.DEFAULT_GOAL := help
.PHONY: help setup up down status page test check format bench bench-quick

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: .venv/.ready ## Install the locked dependencies into .venv (done by the other targets)

.venv/.ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Defib needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || \
		{ echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing the locked dependencies into .venv ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv sync --quiet --locked --all-extras
	@touch $@

up: setup ## Start all of Defib on this machine, with demo VMs
	@$(BIN)/defib dev up $(UP_FLAGS)

down: setup ## Stop it, leaving no process; the data stays
	@$(BIN)/defib dev down $(UP_FLAGS)

status: setup ## Show what runs
	@$(BIN)/defib dev status $(UP_FLAGS)

page: setup ## Serve the dashboard from its sources, on the API of `make up`
	@$(BIN)/defib dev page $(UP_FLAGS)

test: setup ## Run the checks and every test suite, on real parts
	@$(BIN)/python -I tests/run_suites.py $(SUITES)

check: setup ## Run formatter, linters, type checker and import contracts
	@$(BIN)/python -I tests/run_suites.py check

format: setup ## Format the code
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix .

bench: setup ## Measure: rates and times, as ratios within one run
	@$(BIN)/defib dev bench

bench-quick: setup ## The same with less of everything, in under five minutes
	@$(BIN)/defib dev bench --quick
