"""The execution benchmark: ``python -m autoif.execution.bench [--json]``."""
