# Two commands do all the set-up: `make demo` and `make test`. `make help` lists the rest.
#
# Without a sourced ROS 2, real ROS 2 comes from PyPI into .venv (Python 3.11 to 3.13). With one
# (ROS_DISTRO set), its rclpy is used, and the environment sees the system's packages.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench setup clean

OUT ?= demo_output
VIDEO ?=
WEIGHTS ?=
DEMO_ARGS ?=
PYTEST_ARGS ?=
# Test files that run side by side.
JOBS ?= 2
WHAT ?=
BENCH_ARGS ?=
BENCHMARKS := delivery engine learner node odometry simulate soak train
# https://download.pytorch.org/whl/cpu spares machines without an NVIDIA GPU the CUDA libraries.
TORCH_INDEX ?=

ifdef ROS_DISTRO
  VENV ?= .venv-$(ROS_DISTRO)
  VENV_ARGS := --system-site-packages
  CANDIDATES := python3
  ACCEPTED := (3, 10) <= v
  ROS_EXTRA :=
  CONSTRAINTS :=
else
  VENV ?= .venv
  VENV_ARGS :=
  CANDIDATES := python3.12 python3.11 python3.13 python3 python
  ACCEPTED := (3, 11) <= v < (3, 14)
  ROS_EXTRA := ros,
  CONSTRAINTS := -c constraints.txt
endif

PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check $(CONSTRAINTS)
INPUTS := setup.py setup.cfg package.xml pyproject.toml constraints.txt

help:
	@echo 'make demo                 run the nodes on a rendered scene; results in $(OUT)/'
	@echo 'make demo VIDEO=a.mp4     the same on your video [WEIGHTS=net.safetensors]'
	@echo 'make test                 ruff, mypy, import-linter and pytest [JOBS=2 PYTEST_ARGS=...]'
	@echo 'make lint                 the first three alone'
	@echo 'make bench WHAT=node      one of $(BENCHMARKS)'
	@echo '                          [BENCH_ARGS="--seconds 60 --json node.json"]; BENCH_ARGS=--help'
	@echo 'make clean                remove $(VENV) and $(OUT)'
	@echo 'TORCH_INDEX=https://download.pytorch.org/whl/cpu with any of them: PyTorch without CUDA'

# A Python is good when it has the right version and can make a virtual environment with pip.
$(VENV)/bin/python:
	@for p in $(CANDIDATES); do \
	  if "$$p" -c 'import sys, venv, ensurepip; v = sys.version_info[:2]; sys.exit(not ($(ACCEPTED)))' 2>/dev/null; \
	  then chosen="$$p"; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	  echo 'No usable Python found: need 3.11, 3.12 or 3.13 with the venv module (looked for: $(CANDIDATES)).' >&2; \
	  echo 'On Debian or Ubuntu: sudo apt install python3-venv; elsewhere: uv python install 3.12, or pyenv.' >&2; \
	  exit 1; \
	fi; \
	echo "Creating $(VENV) with $$($$chosen --version)"; \
	"$$chosen" -m venv $(VENV_ARGS) $(VENV)

# PyTorch first and alone, because only it may come from another index.
$(VENV)/.torch: $(VENV)/bin/python constraints.txt
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@touch $@

$(VENV)/.demo: $(VENV)/.torch $(INPUTS)
	$(PIP) -e '.[$(ROS_EXTRA)cpu]'
	@touch $@

$(VENV)/.test: $(VENV)/.torch $(INPUTS)
	$(PIP) -e '.[$(ROS_EXTRA)cpu,train,dev]'
	@touch $@ $(VENV)/.demo

setup: $(VENV)/.test

demo: $(VENV)/.demo
	$(PY) -m depth_motion_ros.cli.main demo --output "$(OUT)" \
	  $(if $(VIDEO),"$(VIDEO)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(DEMO_ARGS)

lint: $(VENV)/.test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

test: lint
	$(PY) -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

ifneq ($(filter bench,$(MAKECMDGOALS)),)
  ifeq ($(filter $(WHAT),$(BENCHMARKS)),)
    $(error make bench WHAT=...: one of $(BENCHMARKS))
  endif
endif

bench: $(VENV)/.test
	$(PY) -m benchmarks.$(WHAT) $(BENCH_ARGS)

clean:
	rm -rf $(VENV) $(OUT)
