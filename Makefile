# Everything a developer or a first user runs. Needs Python 3.11 or later, and make.
PYTHON ?= python3
VENV ?= .venv
DEMO ?= anatprep-demo
REALISM ?= anatprep-realism
ANATPREP_REAL_DATA ?= ../shared/real

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help env demo test fuzz soak realism lint types format check clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

env: $(STAMP) ## create .venv and install anatprep with everything needed to work on it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("found Python %d.%d, expected 3.11 or later; name another one: make PYTHON=/path/to/python3" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all,dev]' --constraint constraints.txt
	@# An oracle of one test, without the packages it names and does not need for that; the test skips where it is absent.
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps dynamic-network-architectures==0.4.4
	@touch $@

demo: $(STAMP) ## run the whole way on digital patients: export, index, targets, training, report
	$(BIN)/anatprep demo $(DEMO)

test: $(STAMP) ## run all tests, two files at a time
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile

fuzz: $(STAMP) ## compare our header reader with pydicom on mutated files, for a minute
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris
	mkdir -p .fuzz
	$(BIN)/python -m tests.fuzz.header_reader -max_total_time=60 -artifact_prefix=.fuzz/

soak: $(STAMP) ## kill indexing, builds and trainings twenty times each, then run the slow tests
	ANATPREP_KILLS=20 $(BIN)/python -m pytest -k "kill" tests
	$(BIN)/python -m pytest -m slow tests

realism: $(STAMP) ## train on digital hearts alone, test on real ones: hours on a CPU, resumable
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.realism $(REALISM) --acdc $(ANATPREP_REAL_DATA)/cardiac-acdc --knee $(ANATPREP_REAL_DATA)/knee-flothesof

lint: $(STAMP) ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## check types (mypy, strict)
	$(BIN)/mypy

format: $(STAMP) ## put the code into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint types test ## all that CI runs

clean: ## remove the environment, the demo and all caches
	rm -rf $(VENV) $(DEMO) .fuzz .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
