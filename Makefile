# Everything a developer runs. Each target sets up what it needs in .venv, inside this directory;
# Debian packages are installed only where make runs as root (tools/debian-packages.txt).
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
# Debian keeps nginx in /usr/sbin, which ordinary users do not have in PATH.
export PATH := $(PATH):/usr/sbin:/sbin
# The interpreter to make .venv with, if the one found by tools/python.sh is not the one wanted.
export PYTHON
# Two more than there are cores: the tests that run real servers wait a good deal.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)
# Arguments for pytest: make test ARGS="tests/certs -x"
ARGS ?=

RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench

# An environment whose interpreter has gone, after an upgrade of Python say, is made anew.
ifneq ($(shell $(PY) -c 'print("works")' 2>/dev/null),works)
.PHONY: $(RUNTIME) $(DEV) $(BENCH)
endif

.PHONY: help demo test check bench soak docs clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

demo: $(RUNTIME) ## both ends of a mutual-TLS hop on this machine, and what happens when they are wrong
	$(VENV)/bin/handclasp demo

test: $(DEV) ## all tests, with the distribution's nginx and the bundled one
	@tools/debian-packages.sh test
	$(PY) -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(DEV) ## formatting, lint, types, import rules, generated files up to date
	@tools/debian-packages.sh check
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) tools/repository_text.py
	tools/generated-docs.sh --check
	@if command -v shellcheck >/dev/null; then set -x; shellcheck -x tools/*.sh .ci/run; \
	else echo "shellcheck is not installed: the scripts are not linted"; fi

bench: $(BENCH) ## compare with HAProxy, Caddy, Envoy and plain nginx on this machine
	@tools/debian-packages.sh bench
	$(PY) -m bench

soak: $(DEV) ## the tests in their long form: whole matrices, many more generated cases
	@tools/debian-packages.sh test
	HANDCLASP_SOAK=1 $(PY) -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --timeout 3600 $(ARGS)

docs: $(DEV) ## write the generated pages under docs/reference anew
	tools/generated-docs.sh --write

clean: ## remove caches and build output; .venv stays (rm -r .venv)
	rm -rf build dist bench/out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests tools bench -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

$(RUNTIME): pyproject.toml tools/venv.sh
	@tools/venv.sh bundled
	@touch $@

$(DEV): pyproject.toml tools/venv.sh
	@tools/venv.sh bundled,dev
	@touch $@

$(BENCH): pyproject.toml tools/venv.sh
	@tools/venv.sh bundled,dev,bench
	@touch $@
