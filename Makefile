# Everything a person or a build asks of this repository, from a machine with Python 3.11, make and git.
# Installs with uv: the one on the PATH, else the locked one, which pip brings in first since pip alone takes five
# times as long (UV= does without).  More arguments for a target go through ARGS.

.DEFAULT_GOAL := help
.PHONY: help setup run ui test lint check prove mutants bench lock screenshots docs clean

VENV := .venv
PY := $(VENV)/bin/python
UV = $(shell command -v uv 2>/dev/null)
PYTHON ?=
ARGS ?=

# The stamp's name holds the digest of what is installed: a changed lock or pyproject asks for another stamp.
STAMP := $(VENV)/.stamp-$(shell cat requirements.lock pyproject.toml 2>/dev/null | git hash-object --stdin)

FITTING := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

export DAGSTER_DISABLE_TELEMETRY := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## make .venv and install what the lock says; does nothing when that is done

$(STAMP):
	@set -eu; \
	if ! $(PY) -c '$(FITTING)' 2>/dev/null; then \
	  found=''; \
	  for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python); do \
	    if "$$python" -c '$(FITTING)' 2>/dev/null; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "setup: Python 3.11, 3.12 or 3.13 is needed; here is $$($(or $(PYTHON),python3) --version 2>&1 | head -n 1)." >&2; \
	    echo "       Install one, or name it: make setup PYTHON=python3.11" >&2; \
	    exit 2; \
	  fi; \
	  echo "setup: making $(VENV) with $$("$$found" --version)" >&2; \
	  if [ -n "$(UV)" ]; then "$(UV)" venv --quiet --clear --no-python-downloads --python "$$found" $(VENV); \
	  else "$$found" -m venv --clear $(VENV); fi; \
	fi; \
	echo "setup: installing $$(grep -c '^[^ #].*==' requirements.lock) locked packages (about a minute when cold)" >&2; \
	uv='$(UV)'; \
	if [ -z "$$uv" ] && [ "$(origin UV)" != "command line" ]; then \
	  $(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null; \
	  sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock; \
	  if $(PY) -m pip install --quiet --no-input --require-hashes --no-deps -r $(VENV)/uv.lock; then uv=$(VENV)/bin/uv; fi; \
	fi; \
	if [ -n "$$uv" ]; then \
	  "$$uv" pip install --python $(PY) --quiet --compile-bytecode --require-hashes --no-deps -r requirements.lock; \
	  "$$uv" pip install --python $(PY) --quiet --no-deps --no-build-isolation -e .; \
	else \
	  $(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null; \
	  $(PY) -m pip install --quiet --no-input --require-hashes --no-deps -r requirements.lock; \
	  $(PY) -m pip install --quiet --no-input --no-deps --no-build-isolation -e .; \
	fi; \
	rm -f $(VENV)/.stamp-*; \
	touch $@

run: setup ## the main job on the data in the box, then what happened and where to look
	@$(VENV)/bin/trading demo $(ARGS)

ui: setup ## Dagster's UI and the console, on this machine only
	@$(VENV)/bin/trading ui $(ARGS)

# One more than cores: many tests wait for a server or a process of their own.
WORKERS := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))

# Where memory is roomy, tests write there: waiting for a disk took more than a third of their time.
MEMORY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 4194304 { print "/dev/shm" }')

# Bytecode is kept, whatever the environment says: tests start hundreds of processes, each of which would
# compile the product anew. It is made first, since workers that begin together would each make it.
test: setup ## the tests, on all cores
	@$(PY) -m compileall -q trading trading_assets resources jobs sensors console proof
	@env -u PYTHONDONTWRITEBYTECODE $(if $(MEMORY),TMPDIR=$(MEMORY)) $(PY) -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: setup ## format, lint, types and floors: all of them, changing nothing
	@status=0; \
	for tool in 'ruff format --check .' 'ruff check .' mypy 'lint-imports --no-logo'; do \
	  echo "lint: $$tool" >&2; \
	  $(VENV)/bin/$$tool || status=1; \
	done; \
	exit $$status

check: lint test ## lint and tests: the same as the build

prove: setup ## the promise under faults: kills, lost writes, races (up to an hour; kept suite by suite)
	@$(PY) -m proof $(ARGS)

mutants: setup ## every small change of the rules fails a fast test (up to half an hour)
	@$(PY) -m proof.mutants $(ARGS)

bench: setup ## ratios against named baselines
	@$(PY) benchmarks/run.py $(ARGS)

screenshots: setup ## the pictures in docs/, taken in a real browser (needs Chromium)
	@$(PY) docs/take_screenshots.py $(ARGS)

docs: setup ## the reference pages, written from the code
	@$(PY) docs/write_reference.py $(ARGS)

lock: ## requirements.lock, anew from pyproject.toml (needs uv)
	@test -n "$(UV)" || { echo "lock: uv is needed: pip install uv" >&2; exit 2; }
	"$(UV)" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --extra dev -o requirements.lock $(ARGS) pyproject.toml

clean: ## caches and build leftovers; the state in .trading/ and the environment in .venv/ stay
	@rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . \( -name .git -o -name $(VENV) -o -name .trading \) -prune -o -name __pycache__ -type d -exec rm -rf {} +
