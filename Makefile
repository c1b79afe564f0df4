PYTHON ?= python3.11
ifeq (, $(shell command -v $(PYTHON) 2>/dev/null))
PYTHON := python3
endif
BIN := .venv/bin
export PYTHONHASHSEED = 0

.PHONY: setup demo test lint types layers tests slow wheel clean

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: setup
	$(BIN)/sciode bench run smoke

test: lint types layers tests wheel

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

layers: setup
	$(BIN)/lint-imports

# One thread a process: threads that wait for one another cost more than they bring on small problems.
tests: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

slow: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow

wheel: setup
	sh tests/wheel.sh

clean:
	rm -rf .venv dist build .mypy_cache .pytest_cache .ruff_cache
