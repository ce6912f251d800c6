PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test check kill bench clean

setup: .venv/.installed

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[charts]' --group dev
	@# The tests of the map need a browser; without one they are skipped.
	@if [ "$$(id -u)" = 0 ] && [ -e /etc/debian_version ] && ! command -v chromium >/dev/null; then \
	  (apt-get update && apt-get install --yes chromium) >/dev/null 2>&1 || true; fi
	touch $@

demo: setup
	$(BIN)/python examples/nycflights/demo.py

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/house

test: setup
	$(BIN)/python -m pytest -q -n 3 --dist worksteal --ignore=tests/house -m 'not kill'

kill: setup
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m kill tests

bench: setup
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
