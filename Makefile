# `make help` lists the targets. Everything lives in .venv, and in .venv-nequip for NequIP, which wants another
# e3nn than MACE; nothing else on the machine is changed, except that as root missing Debian packages are installed.
#
#   PYTHON=/path/to/python3.11   the interpreter of the environments (default: the first one found that serves)
#   TORCH="torch==2.13.0 ..."    what pip installs first; add pip options here for another build of torch
#   EXTRAS=mace,label,plot,...   the extras of hint-mlip to install
#   GPU_PYTHON=python3.12        the interpreter of `make gpu`, where that of .venv is not wanted

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Bytecode is made at the first import of what is used (--no-compile below): it must then be kept.
export PYTHONDONTWRITEBYTECODE :=

TORCH ?= torch==2.13.0
DEMO_EXTRAS := mace,label,plot,lammps
EXTRAS ?= $(DEMO_EXTRAS),ipi,dft,sample,formats,cluster,reactbench,sscha,conductivity,dev
PDH_EXTRAS := mace,plot,sscha
NEQUIP_DEMO_EXTRAS := nequip,label,plot
NEQUIP_EXTRAS := nequip,allegro,label,plot,lammps,test
VENV ?= .venv
WORKERS ?= 2
PYTEST_ARGS ?=
# The tests marked `long` repeat in full what others show in miniature: `make test-all` runs them as well.
TESTS ?= not long

# A C++ compiler for the MD plug-ins, xtb as an independent program to test the labels against, and what
# CellConstructor and python-sscha are built with (two minutes: they come as sources).
APT_PACKAGES := g++ make xtb gfortran libopenblas-dev liblapack-dev pkg-config

BIN := $(VENV)/bin
# A machine with a GPU may have no network: `make gpu` makes no environment.
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,python3)
GPU_ARGS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
comma := ,
STAMP := $(VENV)/.hint-$(subst $(comma),-,$(EXTRAS))
NEQUIP := $(MAKE) --no-print-directory VENV=.venv-nequip EXTRAS=$(NEQUIP_EXTRAS)
# One thread a process: small-molecule quantum chemistry is several times slower with more.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: help env system demo demo-nequip pdh test test-all test-mace test-nequip mutation lint format bench gpu docs clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1  \2/p' $(MAKEFILE_LIST)

env: $(STAMP) ## Create or update .venv (VENV=.venv-nequip EXTRAS=nequip,label: one for NequIP)

# Asks first whether venv works, since a failed `python -m venv` leaves half an environment behind.
$(STAMP): pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory system
	@serves() { "$$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; }; \
	if ! serves $(BIN)/python; then \
		python=; \
		for candidate in $${PYTHON:-python3 python3.12 python3.11 python3.13 python3.10 /usr/bin/python3}; do \
			if serves "$$candidate"; then python=$$candidate; break; fi; \
		done; \
		if [ -z "$$python" ]; then \
			echo "error: no Python >= 3.10 (and < 3.14) with a working venv module among: $${PYTHON:-python3, python3.10 to 3.13}"; \
			for candidate in $${PYTHON:-python3}; do "$$candidate" --version 2>/dev/null || true; done; \
			echo "  Debian, Ubuntu:  sudo apt-get install python3 python3-venv"; \
			echo "  or name one:     make env PYTHON=/path/to/python3.11"; \
			exit 1; \
		fi; \
		echo "env: $(VENV) from $$("$$python" --version) ($$python)"; \
		"$$python" -m venv --clear $(VENV); \
	fi
	@echo "env: $(TORCH) (the largest download)"
	@$(PIP) install --no-compile $(TORCH)
	@echo "env: hint-mlip[$(EXTRAS)] with the versions of constraints.txt"
	@$(PIP) install --no-compile -e ".[$(EXTRAS)]" -c constraints.txt
	@version=$$($(BIN)/hint --version); rm -f $(VENV)/.hint-*; touch $@; \
	echo "env: ready, $$version; activate it with: source $(BIN)/activate"

# Debian packages: installed when root, asked for otherwise. Only python3-venv is needed to go on.
system:
	@command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || exit 0; \
	missing=; \
	for package in $(APT_PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing+=" $$package"; \
	done; \
	if [ -z "$${PYTHON:-}" ] && ! python3 -c 'import venv, ensurepip' 2>/dev/null; then missing+=" python3 python3-venv"; fi; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then \
		echo "env: missing Debian packages (some tests are skipped without them):"; \
		echo "  sudo apt-get install$$missing"; \
		exit 0; \
	fi; \
	echo "env: installing Debian packages:$$missing"; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq || echo "env: apt-get update failed; trying with the lists at hand"; \
	for package in $$missing; do \
		apt-get install -y -qq --no-install-recommends $$package >/dev/null \
			|| echo "env: could not install $$package; going on without it"; \
	done

# A new user waits for what the demonstration needs, not for the tools of those who change HINT.
demo: ## Label, train and evaluate small models, run one in LAMMPS; writes a table and a figure
	@if [ -f $(STAMP) ]; then $(MAKE) --no-print-directory env; \
	else $(MAKE) --no-print-directory env EXTRAS=$(DEMO_EXTRAS) APT_PACKAGES="g++ make"; fi
	@$(ONE_THREAD) $(BIN)/python examples/demo.py

# As `make demo`; it takes the labels of that one if they are there.
pdh: ## Palladium hydride: one DFT Hessian -> models -> phonons -> SSCHA -> Tc with its spread, for H, D and T
	@if [ -f $(STAMP) ]; then $(MAKE) --no-print-directory env; \
	else $(MAKE) --no-print-directory env EXTRAS=$(PDH_EXTRAS); fi
	@$(ONE_THREAD) $(BIN)/python examples/pdh.py

demo-nequip: ## The same with NequIP: train with and without Hessians, compare
	@if [ -f .venv-nequip/.hint-$(subst $(comma),-,$(NEQUIP_EXTRAS)) ]; then $(NEQUIP) env; \
	else $(MAKE) --no-print-directory env VENV=.venv-nequip EXTRAS=$(NEQUIP_DEMO_EXTRAS) APT_PACKAGES="g++ make"; fi
	@$(ONE_THREAD) .venv-nequip/bin/python examples/demo_nequip.py

test: lint test-mace test-nequip ## All checks, and the tests that a change must pass (twenty minutes on two cores)

test-all: ## The same, with the tests that are marked long
	@$(MAKE) --no-print-directory test TESTS="long or not long"

test-mace: env ## The tests of everything but NequIP
	@$(ONE_THREAD) $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "$(TESTS)" --ignore=tests/nequip $(PYTEST_ARGS)

test-nequip: ## The tests of the NequIP adapter, in .venv-nequip
	@$(NEQUIP) env
	@$(ONE_THREAD) .venv-nequip/bin/python -m pytest -q -n $(WORKERS) --dist worksteal -m "$(TESTS)" tests/nequip $(PYTEST_ARGS)

mutation: env ## Plant faults into the mathematics, and see whether a test fails (hours; it goes on where it was stopped)
	@$(NEQUIP) env
	@$(ONE_THREAD) $(BIN)/python tests/tools/mutation.py
	@$(ONE_THREAD) .venv-nequip/bin/python tests/tools/mutation.py nequip

lint: env ## Style, types, import contracts, plain English
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet . || { echo "lint: try 'make format'"; exit 1; }
	@$(BIN)/mypy
	@report=$$($(BIN)/lint-imports --no-logo) || { echo "$$report"; exit 1; }
	@$(BIN)/python tests/tools/prose.py
	@sources=$$(git ls-files '*.cpp' '*.h' '*.hpp'); \
	if [ -n "$$sources" ]; then $(BIN)/clang-format --dry-run --Werror $$sources; fi
	@echo "lint: clean"

format: env ## Rewrite the sources in the house style
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .
	@sources=$$(git ls-files '*.cpp' '*.h' '*.hpp'); \
	if [ -n "$$sources" ]; then $(BIN)/clang-format -i $$sources; fi

bench: env ## Run every benchmark but the studies (an hour); each prints its table
	@$(NEQUIP) env
	@shopt -s nullglob; failed=0; for script in benchmarks/[!_]*.py; do \
		python=$(BIN)/python; \
		case $$script in *_study*|*/reactive_set.py|*/gpu.py|*/gpu_wheels.py) continue;; */nequip_*) python=.venv-nequip/bin/python;; esac; \
		printf '\n== %s\n' "$$script"; $(ONE_THREAD) $$python "$$script" || failed=1; \
	done; exit $$failed

# NequIP has an environment of its own; without it its rows are named as not run.
gpu: ## Correctness and speed on a GPU, in parts of four minutes; goes on where it was stopped (GPU_ARGS="--minutes 2")
	@failed=0; \
	for part in correctness mace alphanet md nequip; do \
		pythons="$(GPU_PYTHON)"; \
		if [ -x .venv-nequip/bin/python ]; then \
			case $$part in nequip) pythons=.venv-nequip/bin/python;; correctness) pythons+=" .venv-nequip/bin/python";; esac; \
		fi; \
		for python in $$pythons; do $$python benchmarks/gpu.py --part $$part $(GPU_ARGS) || failed=1; done; \
	done; \
	$(GPU_PYTHON) benchmarks/gpu.py --report $(GPU_ARGS); exit $$failed

docs: env ## Build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet && echo "docs: site/index.html"

clean: ## Remove the environments and everything that was built
	@rm -rf .venv .venv-nequip build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
