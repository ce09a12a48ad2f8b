"""From the command line to a typed, checked :class:`~autoif.config.RunConfig`: the only importer of Hydra.

Hydra composes ``conf/`` on the dataclasses' schemas. Here the result is walked against them (``+`` and ``++`` slip
past Hydra), its errors become one line that says what to type instead, and cross-field checks follow. Nothing
behind this module sees a ``DictConfig``.
"""

from __future__ import annotations

import dataclasses
import re
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
from omegaconf.errors import OmegaConfBaseException

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
        "data": schemas.DataConfig,
        "hardware": schemas.HardwareConfig,
        "evaluation": schemas.EvaluationConfig,
        "tracking": schemas.TrackingConfig,
    },
    "schema/supervisor": {
        "recorded": schemas.RecordedSupervisor,
        "openai": schemas.OpenAISupervisor,
        "transformers": schemas.TransformersSupervisor,
        "vllm": schemas.VllmSupervisor,
        "vllm_server": schemas.VllmServerSupervisor,
    },
    "schema/algorithm": {
        "none": schemas.NoTraining,
        "sft": schemas.SftAlgorithm,
        "offline_dpo": schemas.OfflineDpoAlgorithm,
        "online_dpo": schemas.OnlineDpoAlgorithm,
        "grpo": schemas.GrpoAlgorithm,
    },
}


SHORT = {"format": "task.format", "source": "task.source", "kind": "task.source_kind"}
"""Settings of a task that may be typed without its name: ``task=import source=FILE kind=…``."""

COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, ValueError, AssertionError)
"""What Hydra and OmegaConf raise for a configuration that does not compose."""


def composer() -> Any:
    """Hydra on ``conf/`` with the schemas registered; made once in a process."""
    if not GlobalHydra.instance().is_initialized():
        register()
        initialize_config_dir(str(CONF), version_base="1.3", job_name="autoif")
    return GlobalHydra.instance().hydra


def register() -> None:
    """Make the schemas known to Hydra under ``schema/``."""
    store = ConfigStore.instance()
    for group, nodes in _SCHEMAS.items():
        for name, node in nodes.items():
            store.store(group=group, name=name, node=node)


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
    # A scale is laid over an experiment, which people type with a plus: the group has its place in the defaults.
    overrides = [text.removeprefix("+") if text.startswith("+scale=") else text for text in overrides]
    overrides = [_long(text) for text in overrides]
    try:
        cfg: DictConfig = composer().compose_config(
            "config", list(overrides), mode, from_shell=False, validate_sweep_overrides=not multirun
        )
    except COMPOSITION_ERRORS as error:
        raise explain(error, overrides) from None
    return cfg


def _long(override: str) -> str:
    key, equals, value = override.partition("=")
    return f"{SHORT.get(key, key)}{equals}{value}"


def compose_any(overrides: Sequence[str], *, multirun: bool) -> tuple[DictConfig, bool]:
    """The composed configuration and whether it is a sweep: asked for by ``multirun`` or by an experiment."""
    swept = any(override.is_sweep_override() for override in parse(overrides))
    cfg = compose(overrides, multirun=multirun or swept)
    if cfg.experiment.points and not (multirun or swept):
        cfg = compose(overrides, multirun=True)
    sweep = multirun or cfg.hydra.mode is RunMode.MULTIRUN or bool(cfg.experiment.points)
    if swept and not sweep:
        compose(overrides)  # raises: several values without -m
    return cfg, sweep


def hydra_command(arguments: Sequence[str]) -> int:
    """Hydra's own commands (``--cfg``, ``--info``, ``--shell-completion``), once what they show is checked."""
    import hydra
    from hydra._internal.utils import get_args_parser

    args = get_args_parser().parse_args(list(arguments))
    if args.cfg:
        load(args.overrides)
        GlobalHydra.instance().clear()
    else:
        register()
    hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(lambda cfg: None)()
    return 0


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
    if (point := config.experiment.point) in config.experiment.points:
        config.experiment.points = {point: config.experiment.points[point]}
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
    if isinstance(error, AssertionError):  # OmegaConf's, for a key below one that is null
        keys = [text.partition("=")[0] for text in overrides]
        key = next((key for key in keys if re.match(r"evaluation\.(engine|judge|second_judge)\.", key)), "")
        role = key.split(".")[1] if key else "…"
        return ConfigError(f"{key} belongs to an engine that is not chosen: add supervisor@evaluation.{role}=openai")
    cause = error.__cause__ if isinstance(error, ConfigCompositionException) and error.__cause__ else error
    lines = (str(cause).strip() or str(error).strip() or type(error).__name__).splitlines()
    where = ""
    if match := re.match(r"In '(.+)': \w+ raised while composing config", lines[0]):
        where, lines = f"conf/{match[1]}.yaml: ", lines[1:]
    key = next((line.partition(":")[2].strip() for line in lines if line.strip().startswith("full_key:")), "")
    if isinstance(cause, MissingConfigException) and cause.missing_cfg_file:
        group, _, option = str(cause.missing_cfg_file).rpartition("/")
        if group == "hydra/launcher":
            more = "joblib, submitit_local and submitit_slurm come with pip install 'autoif[sweep]'"
            return ConfigError(f"no launcher {option!r} here: basic is always there; {more}")
        options = options_of(CONF / group)
        hint = did_you_mean(option, options)
        listed = "" if hint and len(options) > 10 else f" (options: {', '.join(options)})"
        return ConfigError(f"no option {option!r} in group {group!r}{hint}{listed}")
    if key and re.match(r"Key '.*' (not in|is not in)", lines[0]):
        typed = (text.partition("=")[0].lstrip("+~") for text in overrides)
        whole = next((path for path in typed if path.startswith(f"{key}.")), key)
        return ConfigError(where + unknown_key(whole, _known(overrides)))
    if isinstance(cause, OverrideParseException):
        return ConfigError(f"cannot read {cause.override!r}: write key=value, and quote values with spaces or commas")
    if match := re.match(r"Ambiguous value for argument '(.*)'", lines[0]):
        return ConfigError(f"{match[1]!r} names several values: add -m to sweep over them, or quote it")
    return ConfigError(f"{where}{key}: {lines[0]}" if key else where + lines[0])


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
    """All keys under the group choices among ``overrides``, or of all schemas where those do not compose."""
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    choices = [text for text in overrides if text.partition("=")[0] in groups]
    try:
        return [*_keys(composer().compose_config("config", choices, RunMode.RUN, from_shell=False)), *groups]
    except COMPOSITION_ERRORS:
        branches = [(group.partition("/")[2], node) for group, nodes in _SCHEMAS.items() for node in nodes.values()]
        schemas_of_keys = [("", RunConfig), *((f"{branch}.", node) for branch, node in branches if branch)]
        return [key for prefix, node in schemas_of_keys for key in _keys(OmegaConf.structured(node), prefix)]
