"""``-m``: expand a sweep, check all of its points before the first starts, run them all, say at the end which failed.

Points go through Hydra's launcher (``hydra/launcher=basic``, ``joblib``, ``submitit_slurm``), so they run one after
the other, in processes or as an array of jobs. They share stages through the store; what is finished is not done again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from autoif import border
from autoif.config import Launch, RunConfig, Task
from autoif.errors import AutoifError
from autoif.points import POINT, Point, alike, points
from autoif.requirements import requirements

_COMPUTE = (Task.run, Task.evaluate, Task.contamination)
"""Tasks that are worth a process, or a job on a cluster; the others look at what is there."""


def launch(cfg: DictConfig, todo: Sequence[Point]) -> list[tuple[Point, str]]:
    """Run ``todo`` through the launcher that ``cfg`` names; returns the points that failed, each with its reason."""
    if str(cfg.hydra.launcher.get("_target_", "")).endswith(".SlurmLauncher"):
        outcomes = _queue(cfg, todo)
    else:
        context = HydraContext(config_loader=border.composer().config_loader, callbacks=Callbacks(cfg))
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=run_point, config=cfg)
        returns = launcher.launch([point.overrides for point in todo], initial_job_idx=0)
        outcomes = [job.return_value for job in returns]
    return [(point, reason) for point, reason in zip(todo, outcomes, strict=True) if reason is not None]


def _queue(cfg: DictConfig, todo: Sequence[Point]) -> list[str | None]:
    """Points as jobs on a cluster, unless they only look at what is there."""
    if todo[0].config.task.kind not in _COMPUTE:
        from autoif.point import run as look

        return [look(point.config) for point in todo]
    from autoif.slurm_array import run_array

    settings: Any = OmegaConf.to_container(cfg.hydra.launcher)
    typed = {name: settings[name] for name in _typed_of_launcher(cfg)}
    return run_array(todo, Path(todo[0].config.paths.runs, cfg.name, "slurm").absolute(), typed)


def run_point(cfg: DictConfig) -> str | None:
    """Run one point where a launcher chose; None, or why it failed. What computes gets a process of its own, so that a
    point that dies hard takes neither the sweep nor the launcher's workers along."""
    from autoif import point

    try:
        config = border.convert(cfg)
    except AutoifError as error:
        return str(error)
    return point.run_in_child(config) if config.task.kind in _COMPUTE else point.run(config)


def _typed_of_launcher(cfg: DictConfig) -> set[str]:
    """Settings of the launcher that stand on the command line."""
    keys = (text.partition("=")[0].lstrip("+").split(".") for text in cfg.hydra.overrides.hydra)
    return {key[2] for key in keys if key[:2] == ["hydra", "launcher"] and len(key) > 2}


def _finished(config: RunConfig) -> bool:
    """Whether a point has nothing left to do: all its stages are in the store and its report is written."""
    from autoif.pipeline import build
    from autoif.store import Store

    if config.task.kind is not Task.run or not Path(config.paths.runs, config.name, "report.html").exists():
        return False
    store = Store(Path(config.paths.store))
    try:
        return all(stage.entry(store).done for stage in build(config))
    except AutoifError:
        return False


def run(cfg: DictConfig, *, typed: bool = True) -> int:
    """Expand, check and run a sweep; returns the exit code: 1 when a point failed.

    ``typed``: whether ``-m`` was. A plan of an experiment that is a sweep by itself is one of all its points together;
    under ``-m`` each point's own plan comes first.
    """
    found = points(cfg)
    same = alike(found)
    todo = _at_hand([point for point in found if point.config.name not in same])
    print(f"{len(todo)} points, all checked")
    for name, twin in same.items():
        print(f"{name} is the same run as {twin}")
    planned = todo[0].config.task.kind is Task.plan
    if planned and not typed and todo[0].config.launch is Launch.none:
        return _plan(cfg, todo)
    left = [point for point in todo if not _finished(point.config)]
    if len(left) < len(todo):
        print(f"{len(todo) - len(left)} of them finished before")
    failed = launch(cfg, left) if left else []
    print(f"\n{len(todo) - len(failed)} of {len(todo)} points finished")
    for point, reason in failed:
        print(f"autoif: {point.config.name} failed: {reason}", file=sys.stderr)
    if cfg.experiment.table and todo[0].config.task.kind in (Task.run, Task.report, Task.contamination):
        print(f"table: {_write_table(cfg)}")
    if planned:
        _plan(cfg, todo)
    return 1 if failed else 0


def _plan(cfg: DictConfig, todo: Sequence[Point]) -> int:
    """Print the plan of all points together."""
    from autoif.planning.sweep import plan_sweep, render_sweep

    found = plan_sweep([point.config for point in todo])
    print(f"\n{render_sweep(cfg.name, found)}")
    return 1 if any(point.error for point in found) else 0


def _at_hand(todo: Sequence[Point]) -> Sequence[Point]:
    """``todo`` without the points of a smaller scale that lack data here, which are named, unless all of them do."""
    lacking = {}
    for point in todo:
        if point.config.experiment.scale and point.config.task.kind is Task.run:
            lacking[point.config.name] = "; ".join(need.text for need in requirements(point.config))
    for name, reason in lacking.items():
        if reason:
            print(f"{name} is left out: {reason}")
    return [point for point in todo if not lacking.get(point.config.name)] or todo


def _write_table(cfg: DictConfig) -> Path:
    """The experiment's table over all of its points, those included that were not asked for this time."""
    from autoif.report import write_experiment

    typed = [text for text in cfg.hydra.overrides.task if not text.startswith((f"{POINT}=", "task="))]
    everything = points(border.compose(typed, multirun=True))
    return write_experiment([point.config for point in everything], typed, alike(everything))
