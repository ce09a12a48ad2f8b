"""From the command line to a typed, checked :class:`~autoif.config.RunConfig`: the only importer of Hydra.

Hydra composes ``conf/`` on the dataclasses' schemas. Here the result is walked against them (``+`` and ``++`` slip
past Hydra), its errors become one line that says what to type instead, and cross-field checks follow. Nothing
behind this module sees a ``DictConfig``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from autoif import config as schemas
from autoif.config import RunConfig
from autoif.errors import ConfigError
from autoif.hints import did_you_mean, options_of, unknown_key
from autoif.validate import check

CONF = Path(__file__).resolve().parent.parent / "conf"
"""The folder of ``config.yaml`` and the groups."""

_SCHEMAS: dict[str, dict[str, type]] = {
    "schema": {
        "run": RunConfig,
        "task": schemas.TaskConfig,
        "setting": schemas.SettingConfig,
        "model": schemas.ModelConfig,
        "pipeline": schemas.PipelineConfig,
        "hardware": schemas.HardwareConfig,
        "evaluation": schemas.EvaluationConfig,
        "tracking": schemas.TrackingConfig,
    },
    "schema/supervisor": {
        "recorded": schemas.RecordedSupervisor,
        "openai": schemas.OpenAISupervisor,
        "transformers": schemas.TransformersSupervisor,
    },
    "schema/algorithm": {
        "sft": schemas.SftAlgorithm,
        "offline_dpo": schemas.OfflineDpoAlgorithm,
        "online_dpo": schemas.OnlineDpoAlgorithm,
    },
}


def composer() -> Any:
    """Hydra on ``conf/`` with the schemas registered; made once in a process."""
    if not GlobalHydra.instance().is_initialized():
        store = ConfigStore.instance()
        for group, nodes in _SCHEMAS.items():
            for name, node in nodes.items():
                store.store(group=group, name=name, node=node)
        initialize_config_dir(str(CONF), version_base="1.3", job_name="autoif")
    return GlobalHydra.instance().hydra


def load(overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration that ``overrides`` (``group=option``, ``dotted.key=value``) describe, checked.

    Raises:
        ConfigError: for an unknown key or option, a wrong type, a value out of range, a contradiction.
    """
    return convert(compose(overrides))


def compose(overrides: Sequence[str], *, multirun: bool = False) -> DictConfig:
    """Compose with Hydra, its own ``hydra`` node included; under ``multirun`` swept overrides are left out.

    Raises:
        ConfigError: one line for whatever Hydra refuses.
    """
    mode = RunMode.MULTIRUN if multirun else RunMode.RUN
    try:
        cfg: DictConfig = composer().compose_config(
            "config", list(overrides), mode, from_shell=False, validate_sweep_overrides=not multirun
        )
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise explain(error, overrides) from None
    return cfg


def convert(cfg: DictConfig) -> RunConfig:
    """The typed configuration of a composed one, with ``~`` expanded in folders; raises :class:`ConfigError`."""
    for path in _unknown(cfg):
        raise ConfigError(unknown_key(path, _keys(cfg)))
    plain = cfg.copy()
    with open_dict(plain):
        plain.pop("hydra", None)
    if missing := sorted(OmegaConf.missing_keys(plain)):
        raise ConfigError(f"{missing[0]} is not set: add {missing[0]}=… to the command line")
    try:
        config = OmegaConf.to_object(plain)
    except OmegaConfBaseException as error:
        raise explain(error, ()) from None
    assert isinstance(config, RunConfig)
    for field in dataclasses.fields(config.paths):
        setattr(config.paths, field.name, str(Path(getattr(config.paths, field.name)).expanduser()))
    if config.evaluation.data_dir:
        config.evaluation.data_dir = str(Path(config.evaluation.data_dir).expanduser())
    check(config)
    return config


def dump(config: RunConfig) -> str:
    """The whole configuration as YAML, every value resolved."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def parse(overrides: Sequence[str]) -> list[Override]:
    """Overrides as Hydra understands them; raises :class:`ConfigError` for what is none."""
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise explain(error, overrides) from None


def explain(error: Exception, overrides: Sequence[str]) -> ConfigError:
    """One line for an error of Hydra or OmegaConf: what is wrong, where, what to type instead."""
    cause = error.__cause__ if isinstance(error, ConfigCompositionException) and error.__cause__ else error
    key = getattr(cause, "full_key", None)
    text = str(cause).strip() or str(error).strip()
    first = text.splitlines()[0] if text else type(error).__name__
    if isinstance(cause, MissingConfigException) and cause.missing_cfg_file:
        group, _, option = str(cause.missing_cfg_file).rpartition("/")
        options = options_of(CONF / group)
        return ConfigError(
            f"no option {option!r} in group {group!r}{did_you_mean(option, options)} (options: {', '.join(options)})"
        )
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and key:
        return ConfigError(unknown_key(key, _known(overrides)))
    if isinstance(cause, OverrideParseException):
        return ConfigError(f"cannot read {cause.override!r}: write key=value, and quote values with spaces or commas")
    if first.startswith("Ambiguous value"):
        return ConfigError(f"{first.split(chr(39))[1]!r} names several values: add -m to sweep over them, or quote it")
    return ConfigError(f"{key}: {first}" if key else first)


def _unknown(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """Dotted paths of keys that the schemas do not have."""
    kind = OmegaConf.get_type(cfg)
    if not dataclasses.is_dataclass(kind):
        return
    names = {field.name for field in dataclasses.fields(kind)}
    for key in map(str, cfg):
        path = f"{prefix}{key}"
        if path == "hydra":
            continue
        if key not in names:
            yield path
        elif branch := _branch(cfg, key):
            yield from _unknown(branch, f"{path}.")


def _keys(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """Dotted paths of all keys that the schemas have, branches included."""
    kind = OmegaConf.get_type(cfg)
    if not dataclasses.is_dataclass(kind):
        return
    for field in dataclasses.fields(kind):
        yield f"{prefix}{field.name}"
        if branch := _branch(cfg, field.name):
            yield from _keys(branch, f"{prefix}{field.name}.")


def _branch(cfg: DictConfig, key: str) -> DictConfig | None:
    """The sub-configuration under ``key``, or None when a plain value stands there."""
    if OmegaConf.is_missing(cfg, key) or OmegaConf.is_interpolation(cfg, key):
        return None
    value = cfg[key]
    return value if isinstance(value, DictConfig) else None


def _known(overrides: Sequence[str]) -> list[str]:
    """All keys under the group choices among ``overrides``, or under the defaults where those do not compose."""
    groups = {path.name for path in CONF.iterdir() if path.is_dir()}
    choices = [text for text in overrides if text.partition("=")[0] in groups]
    for attempt in (choices, []):
        try:
            return [*_keys(composer().compose_config("config", attempt, RunMode.RUN, from_shell=False)), *groups]
        except (HydraException, OmegaConfBaseException, ValueError):
            continue
    return sorted(groups)
