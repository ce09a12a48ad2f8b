"""``-m``: expand a sweep, check all of its points before the first starts, run them all, say at the end which failed.

Points go through Hydra's launcher (``hydra/launcher=basic``, ``joblib``, ``submitit_slurm``), so they run one after
the other, in processes or as an array of jobs. They share stages through the store; what is finished is not done again.
"""

from __future__ import annotations

import hashlib
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from hydra._internal.callbacks import Callbacks
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig

from autoif import border
from autoif.config import RunConfig
from autoif.errors import AutoifError, ConfigError


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a sweep: its overrides, the swept ones alone as text, and the configuration they make."""

    overrides: list[str]
    label: str
    config: RunConfig


def points(cfg: DictConfig) -> list[Point]:
    """All points of a sweep that was composed with ``multirun``, each checked and named ``<name>/<label>``.

    Raises:
        ConfigError: naming the first point that cannot run.
    """
    params = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.get("params") or {}).items()]
    chosen: dict[str, list[str]] = {}
    swept: set[str] = set()
    for override in border.parse([*params, *cfg.hydra.overrides.task]):
        key = override.get_key_element()
        chosen[key] = _values(override)
        (swept.add if override.is_sweep_override() else swept.discard)(key)
    loader = border.composer().config_loader
    found = []
    for values in product(*chosen.values()):
        label = _label([text for key, text in zip(chosen, values, strict=True) if key in swept])
        overrides = list(values)
        if label and "name" not in swept:
            overrides = [text for key, text in zip(chosen, values, strict=True) if key != "name"]
            overrides.append(f"name='{cfg.name}/{label}'")
        try:
            config = border.convert(loader.load_sweep_config(cfg, overrides))
        except AutoifError as error:
            raise ConfigError(f"sweep point {label or 'without a swept key'}: {error}; nothing was started") from None
        except border.COMPOSITION_ERRORS as error:
            message = border.explain(error, overrides)
            raise ConfigError(f"sweep point {label or 'without a swept key'}: {message}; nothing was started") from None
        found.append(Point(overrides, label, config))
    return found


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
    todo = points(cfg)
    print(f"{len(todo)} points, all checked")
    failed = launch(cfg, todo)
    print(f"\n{len(todo) - len(failed)} of {len(todo)} points finished")
    for point, reason in failed:
        print(f"autoif: {point.config.name} failed: {reason}", file=sys.stderr)
    return 1 if failed else 0


def _values(override: Override) -> list[str]:
    """What an override stands for in each point, as overrides again."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise ConfigError(f"{override.input_line!r} is no list of values: write key=a,b,c or key=range(1,4)")
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _label(swept: Sequence[str]) -> str:
    """A point's swept overrides as the name of a folder."""
    text = re.sub(r"[^\w.,=+-]+", "_", ",".join(swept))
    return text if len(text) <= 120 else f"{text[:100]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
