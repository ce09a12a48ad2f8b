"""What a run needs from outside its configuration: files, keys, weights, devices."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autoif.config import (
    Accelerator,
    ModelConfig,
    OpenAISupervisor,
    QuerySource,
    RecordedSupervisor,
    RunConfig,
    TransformersSupervisor,
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something outside the configuration that a run needs. ``engine``: the role that needs it (supervisor, or
    training), empty when the run cannot start without it."""

    text: str
    engine: str = ""


def requirements(config: RunConfig) -> tuple[Requirement, ...]:
    """What ``config`` needs and this machine lacks, each with what to do. Never touches the network."""
    return tuple(_requirements(config))


def _requirements(config: RunConfig) -> Iterator[Requirement]:
    match config.supervisor:
        case RecordedSupervisor(path=path) if not _exists(path):
            yield Requirement(
                f"the recording {path} is missing: set supervisor.path, or choose another supervisor", "supervisor"
            )
        case OpenAISupervisor(base_url=None, api_key_env=key) if not os.environ.get(key):
            yield Requirement(
                f"the environment variable {key} holds no key: export it, or set supervisor.base_url", "supervisor"
            )
        case TransformersSupervisor(source=source):
            yield from _weights(source, "supervisor.source", "supervisor")
    yield from _weights(config.model, "model", "training")
    seeds, queries, data = config.pipeline.self_instruct.seeds, config.pipeline.queries, config.evaluation.data_dir
    if seeds and not _exists(seeds):
        yield Requirement(f"the seed file {seeds} is missing: set pipeline.self_instruct.seeds")
    if queries.source is QuerySource.sharegpt:
        if not queries.path:
            yield Requirement("pipeline.queries.path is not set: give a ShareGPT dump (JSON list or JSONL)")
        elif not _exists(queries.path):
            yield Requirement(f"the ShareGPT dump {queries.path} is missing: set pipeline.queries.path")
    if data and not _exists(data) and not config.evaluation.only_with_data:
        yield Requirement(
            f"the benchmark folder {data} is missing: set evaluation.data_dir, or null to load from the hub"
        )
    hardware = config.hardware
    if hardware.accelerator is Accelerator.gpu and not _gpus():
        world = hardware.devices * hardware.nodes
        yield Requirement(
            f"hardware={hardware.name} computes on {world} GPU(s) and this machine shows none", "training"
        )


def _weights(model: ModelConfig, path: str, engine: str) -> Iterator[Requirement]:
    """A model folder or package that is not there; hub names are not looked up."""
    local = Path(model.path).expanduser()
    if local.exists():
        return
    if model.path.startswith(("/", "./", "../", "~")):
        yield Requirement(
            f"the model folder {model.path} is missing: set {path}.path to a folder or a hub name", engine
        )
    elif model.package is not None:
        from importlib.metadata import PackageNotFoundError, distribution

        try:
            distribution(model.package)
        except PackageNotFoundError:
            yield Requirement(
                f"the package {model.package}, which holds {model.name}'s weights, is not installed: run make setup",
                engine,
            )


def _exists(path: str) -> bool:
    return Path(path).expanduser().exists()


def _gpus() -> bool:
    """Whether the kernel shows a GPU (NVIDIA, AMD, or either under WSL), without loading a driver's library."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or any(Path("/dev", name).exists() for name in ("kfd", "dxg"))
