"""A whole plan as text: stages, the supervisor's calls, then training."""

from __future__ import annotations

from collections.abc import Sequence

from autoif.config import RunConfig
from autoif.planning.calls import render_supervision, supervision
from autoif.planning.stages import plan
from autoif.planning.table import render
from autoif.planning.training import training_rows
from autoif.planning.training_table import render_training
from autoif.stage import Stage
from autoif.store import Store


def show(config: RunConfig, stages: Sequence[Stage], store: Store) -> str:
    """What ``task=plan`` prints of one run, needs aside."""
    rows = plan(stages, store)
    parts = [f"Plan of {config.name} (store: {config.paths.store})", render(rows)]
    if calls := supervision(config, stages, rows, store):
        parts.append(render_supervision(config, calls))
    if training := training_rows(config, stages, rows, store):
        parts.append(render_training(training, config.hardware, config.model.name))
    return "\n\n".join(parts)
