"""``-m``: expand a sweep, check all of its points before the first starts, run them all, say at the end which failed.

Points go through Hydra's launcher (``hydra/launcher=basic``, ``joblib``, ``submitit_slurm``), so they run one after
the other, in processes or as an array of jobs. They share stages through the store; what is finished is not done again.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig

from autoif import border
from autoif.config import Task
from autoif.errors import AutoifError
from autoif.points import POINT, Point, alike, points


def launch(cfg: DictConfig, todo: Sequence[Point]) -> list[tuple[Point, str]]:
    """Run ``todo`` through the launcher that ``cfg`` names; returns the points that failed, each with its reason."""
    context = HydraContext(config_loader=border.composer().config_loader, callbacks=Callbacks(cfg))
    launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=run_point, config=cfg)
    returns = launcher.launch([point.overrides for point in todo], initial_job_idx=0)
    outcomes = [job.return_value for job in returns]
    return [(point, reason) for point, reason in zip(todo, outcomes, strict=True) if reason is not None]


def run_point(cfg: DictConfig) -> str | None:
    """Run one point in the process that a launcher chose; None, or why it failed. A bug prints its traceback."""
    from autoif.tasks import dispatch

    try:
        config = border.convert(cfg)
        print(f"\n── {config.name}", flush=True)
        dispatch(config)
    except AutoifError as error:
        print(f"autoif: {error}", file=sys.stderr, flush=True)
        return str(error)
    except Exception as error:
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return None


def run(cfg: DictConfig) -> int:
    """Expand, check and run a sweep; returns the exit code: 1 when a point failed."""
    found = points(cfg)
    same = alike(found)
    todo = [point for point in found if point.config.name not in same]
    print(f"{len(todo)} points, all checked")
    for name, twin in same.items():
        print(f"{name} is the same run as {twin}")
    failed = launch(cfg, todo)
    print(f"\n{len(todo) - len(failed)} of {len(todo)} points finished")
    for point, reason in failed:
        print(f"autoif: {point.config.name} failed: {reason}", file=sys.stderr)
    if cfg.experiment.table and todo[0].config.task.kind in (Task.run, Task.report, Task.contamination):
        print(f"table: {_write_table(cfg)}")
    return 1 if failed else 0


def _write_table(cfg: DictConfig) -> Path:
    """The experiment's table over all of its points, those included that were not asked for this time."""
    from autoif.report import write_experiment

    typed = [text for text in cfg.hydra.overrides.task if not text.startswith((f"{POINT}=", "task="))]
    everything = points(border.compose(typed, multirun=True))
    return write_experiment([point.config for point in everything], typed, alike(everything))
