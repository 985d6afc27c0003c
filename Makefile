# Two commands for a newcomer: `make demo` and `make test`. Both set up all they need in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := demo

.PHONY: help demo test test-slow check bench figures clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "== setting up $(VENV) (torch is large: a few minutes the first time)"
	$(PYTHON) -c 'import sys; sys.exit("ganforge needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[train,evaluate,inception,serve,gpu,test]'
	@touch $@

demo: $(VENV)/installed  ## train, export, prove, sample and score a DCGAN on real digits: about two minutes
	@BIN=$(BIN) DEMO=$(DEMO) sh examples/demo.sh

test: $(VENV)/installed  ## all tests but those marked slow
	$(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile -q

test-slow: $(VENV)/installed  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow -q

check: $(VENV)/installed  ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check -q .
	$(BIN)/mypy
	PYTHONPATH=core:plugins:export:serve:cli $(BIN)/lint-imports

bench: $(VENV)/installed  ## training speed beside the textbook loop
	$(BIN)/python benchmarks/training_speed.py

figures: $(VENV)/installed  ## the tables of modes in docs (hours; goes on where it stopped)
	$(BIN)/python benchmarks/modes.py

clean:  ## remove what make made
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
