# Every target creates .venv if it is missing or older than pyproject.toml or constraints.txt.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench

export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help demo test test-all lint audit bench figures clean

help:
	@echo "make demo      segment a synthetic landscape on a local Ray and show the result"
	@echo "make test      the tests that run in minutes"
	@echo "make test-all  all tests"
	@echo "make lint      ruff and mypy"
	@echo "make audit     known vulnerabilities of the versions in constraints.txt; asks pypi.org"
	@echo "make bench     the benchmarks, as one table; make figures puts it into README.md"
	@echo "make clean     remove .venv and caches"

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(BENCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,bench]'
	touch $@

demo: $(STAMP)
	$(BIN)/geoseg demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# By default pip-audit skips packages that the service does not list, with exit code 0; --strict fails.
audit: $(STAMP)
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

bench: $(BENCH_STAMP)
	$(BIN)/python -m tests.benchmarks

figures: $(BENCH_STAMP)
	$(BIN)/python -m tests.benchmarks.table

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
