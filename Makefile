# Two commands do everything on a machine with Python >= 3.11: `make demo` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
# Busy-waiting OpenMP threads make a fit many times slower on shared cores.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: help demo test check unit lock ui report clean

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(BIN)/.ready ## Run a whole night on real data and print tomorrow's decisions
	$(BIN)/regulars demo

test: check unit ## Run every check and every test

check: $(BIN)/.ready ## Lint, format, types and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(BIN)/.ready ## Run the tests
	$(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=15 -rs

ui: $(BIN)/.ready ## Open MLflow and Prefect on 127.0.0.1
	$(BIN)/regulars ui

report: $(BIN)/.ready ## Write the report of the newest night again
	$(BIN)/regulars report

lock: $(BIN)/.ready ## Resolve the dependencies anew (hashes, every platform, no index addresses)
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  pyproject.toml --group dev -o requirements.lock

clean: ## Remove the environment and everything that runs left behind
	rm -rf .venv var

# The environment is exactly the lock: hashes are required, nothing else is installed.
$(BIN)/.ready: requirements.lock pyproject.toml
	@python=$$(for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	    command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done); \
	  test -n "$$python" || { echo "found: no Python 3.11 or newer; expected: one on PATH; do: install it" >&2; exit 2; }; \
	  test -x $(BIN)/python || "$$python" -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.8"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@
