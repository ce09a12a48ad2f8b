"""The experiment group: the points of a table or figure, and what stands in for them at a smaller scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True, slots=True)
class PointConfig:
    """One point of an experiment.

    ``set``: what it changes beyond the experiment, as ``group: option`` or ``dotted.key: value``. ``rows``: measured
    model (base, sft, online_dpo, …) → the row of the paper's table that it makes; empty: the last model makes the row
    named like the point.
    """

    set: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True)
class ExperimentConfig:
    """A sweep over named points. None of it is part of what a run is: results are joined by fingerprint.

    ``table``: what the points are compared with, by its name in ``experiments/paper/tables.yaml``. ``point``: the only
    one to run (null: all of ``points``, one after the other). ``scale``: the name of a smaller scale, and
    ``stand_ins``: group → option → what stands in for it there; ``"*"`` is any option that is not named.
    """

    table: str | None = None
    point: str | None = None
    points: dict[str, PointConfig] = field(default_factory=dict)
    scale: str | None = None
    stand_ins: dict[str, dict[str, str]] = field(default_factory=dict)
