"""The points of a sweep: every combination of what is swept, each composed, checked and named before anything starts.

An experiment (``conf/experiment/``) names its points; what is given with commas on the command line multiplies them.
At a smaller scale (``conf/scale/``) options have stand-ins, for the experiment's own choices and its points' alike.
What is typed wins over both.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from autoif import border
from autoif.config import NoTraining, RunConfig
from autoif.errors import AutoifError, ConfigError
from autoif.hints import did_you_mean

POINT = "experiment.point"
ANY = "*"
"""In a scale's stand-ins: every option that is not named."""


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
    chosen, swept = _choices(cfg)
    typed = {override.get_key_element() for override in border.parse(cfg.hydra.overrides.task)}
    name = cfg.name if "name" in typed or not cfg.experiment.scale else f"{cfg.name}_{cfg.experiment.scale}"
    found = []
    for values in product(*chosen.values()):
        picked = dict(zip(chosen, values, strict=True))
        label = _label([_shown(key, text) for key, text in picked.items() if key in swept])
        overrides = [*_of_point(cfg, picked.get(POINT, ""), typed), *values]
        if label and "name" not in swept:
            overrides = [text for text in overrides if not text.startswith("name=")]
            overrides.append(f"name='{name}/{label}'")
        found.append(Point(overrides, label, _load(cfg, overrides, label)))
    return found


def alike(found: Sequence[Point]) -> dict[str, str]:
    """Names of points that are the same run as an earlier one, or only measure its base → the earlier one's name.

    At a smaller scale one model stands in for several; what tells their points apart is gone.
    """
    first: list[RunConfig] = []
    same: dict[str, str] = {}
    for point in found:
        twin = next((config for config in first if _covers(_plain(config), _plain(point.config))), None)
        if twin is None:
            first.append(point.config)
        else:
            same[point.config.name] = twin.name
    return same


def _covers(first: RunConfig, other: RunConfig) -> bool:
    from evaluation.stages import available

    if isinstance(other.algorithm, NoTraining) and available(other.evaluation):  # else it is the data that are wanted
        first = dataclasses.replace(first, algorithm=other.algorithm, data=other.data, pipeline=other.pipeline)
    return first == other


def _plain(config: RunConfig) -> RunConfig:
    """The configuration without what only names it."""
    return dataclasses.replace(config, name="", experiment=type(config.experiment)())


def _choices(cfg: DictConfig) -> tuple[dict[str, list[str]], set[str]]:
    """Key → its overrides, one for each value, in the order they are varied; and the keys that are swept."""
    params = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.get("params") or {}).items()]
    if cfg.experiment.points:
        params.insert(0, f"{POINT}={','.join(map(str, cfg.experiment.points))}")
    chosen: dict[str, list[str]] = {}
    swept: set[str] = set()
    for override in border.parse([*params, *cfg.hydra.overrides.task]):
        key = override.get_key_element()
        chosen[key] = _values(override)
        (swept.add if override.is_sweep_override() or key == POINT else swept.discard)(key)
    return chosen, swept


def _of_point(cfg: DictConfig, picked: str, typed: set[str]) -> Iterator[str]:
    """What the named point of the experiment sets, and what stands in for it and for the experiment's own choices."""
    name = picked.partition("=")[2].strip("'\"")
    known = list(map(str, cfg.experiment.points))
    if picked and name not in known:
        raise ConfigError(f"{cfg.name} has no point {name!r}{did_you_mean(name, known)} (points: {', '.join(known)})")
    changes: Mapping[str, Any] = cfg.experiment.points[name].set if picked else {}
    groups = {str(group): str(option) for group, option in cfg.hydra.runtime.choices.items()}
    for group, stand_ins in cfg.experiment.stand_ins.items():
        option = str(changes.get(group, groups.get(group, "")))
        stand_in = stand_ins.get(option, stand_ins.get(ANY, option))
        if group not in typed and (stand_in != groups.get(group) or group in changes):
            yield f"{group}={stand_in}"
    for key, value in changes.items():
        if key not in typed and key not in cfg.experiment.stand_ins:
            yield f"{key}={_text(value)}"


def _load(cfg: DictConfig, overrides: list[str], label: str) -> RunConfig:
    where = f"sweep point {label or 'without a swept key'}"
    try:
        return border.convert(border.composer().config_loader.load_sweep_config(cfg, overrides))
    except AutoifError as error:
        raise ConfigError(f"{where}: {error}; nothing was started") from None
    except border.COMPOSITION_ERRORS as error:
        raise ConfigError(f"{where}: {border.explain(error, overrides)}; nothing was started") from None


def _values(override: Override) -> list[str]:
    """What an override stands for in each point, as overrides again."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise ConfigError(f"{override.input_line!r} is no list of values: write key=a,b,c or key=range(1,4)")
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _text(value: Any) -> str:
    """A YAML value as it is typed on the command line."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, str) and not re.fullmatch(r"[\w./-]+", value):
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{quoted}'"
    return str(value)


def _shown(key: str, text: str) -> str:
    return text.partition("=")[2] if key == POINT else text


def _label(swept: Sequence[str]) -> str:
    """A point's swept overrides as the name of a folder."""
    text = re.sub(r"[^\w.,=+-]+", "_", ",".join(swept))
    return text if len(text) <= 120 else f"{text[:100]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
