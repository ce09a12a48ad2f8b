"""What a run needs from outside its configuration: files, keys, devices. A plan lists them, a run asks for them first.

Weights and recordings are not here: their identities are part of the graph, so building it says when one is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autoif.config import (
    Accelerator,
    Data,
    NoTraining,
    OpenAISupervisor,
    QuerySource,
    RunConfig,
)
from autoif.planning.memory import states_gb


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that a run needs and this machine lacks. ``engine``: the role whose stages need it, empty for all."""

    text: str
    engine: str = ""


def requirements(config: RunConfig) -> tuple[Requirement, ...]:
    """What ``config`` needs and this machine lacks, each with what to do. Never touches the network."""
    return (*_keys(config), *_judges(config), *_files(config), *_devices(config))


def _keys(config: RunConfig) -> Iterator[Requirement]:
    roles = {
        "supervisor": ("supervisor", config.supervisor),
        "model": ("evaluation.engine", config.evaluation.engine),
        "judge": ("evaluation.judge", config.evaluation.judge),
        "second_judge": ("evaluation.second_judge", config.evaluation.second_judge),
    }
    for role, (setting, engine) in roles.items():
        match engine:
            case OpenAISupervisor(base_url=None, api_key_env=key) if not os.environ.get(key):
                text = f"the environment variable {key} holds no key: export it, or set {setting}.base_url"
                yield Requirement(text, role)


def _judges(config: RunConfig) -> Iterator[Requirement]:
    from evaluation.stages import judgeless

    for section in judgeless(config.evaluation):
        yield Requirement(
            f"{section} needs a judge: add supervisor@evaluation.judge=openai evaluation.judge.model=… (or any other "
            f"engine), or leave it out with evaluation.{section}.limit=0"
        )


def _files(config: RunConfig) -> Iterator[Requirement]:
    seeds, queries, data = config.pipeline.self_instruct.seeds, config.pipeline.queries, config.evaluation.data_dir
    if seeds and not _exists(seeds):
        yield Requirement(f"the seed file {seeds} is missing: set pipeline.self_instruct.seeds")
    start = config.pipeline.start.path
    if start and not _exists(start):
        yield Requirement(f"the file {start} to start from is missing: set pipeline.start.path")
    if queries.source is QuerySource.sharegpt and not queries.path:
        yield Requirement("pipeline.queries.path is not set: give a ShareGPT dump (JSON list or JSONL)")
    if queries.path and not _exists(queries.path):
        yield Requirement(f"the ShareGPT dump {queries.path} is missing: set pipeline.queries.path")
    kind = config.data.kind
    if kind is not Data.synthesis and not config.data.path:
        yield Requirement(f"data.path is not set: data={kind.value} needs a ShareGPT dump (JSON list or JSONL)")
    if config.data.path and not _exists(config.data.path) and config.data.path != queries.path:
        yield Requirement(f"the ShareGPT dump {config.data.path} is missing: set data.path")
    if config.pipeline.contamination.drop:
        from evaluation.contamination_sets import SETS, absent

        for name in config.pipeline.contamination.benchmarks:
            reason = absent(name, data)
            if reason and not all(source.hub_id for source in SETS[name].sources):
                yield Requirement(f"pipeline.contamination.drop needs the prompts of {name}: {reason}")
    if data and not _exists(data) and not config.evaluation.only_with_data:
        text = f"the benchmark folder {data} is missing: set evaluation.data_dir, or null to load from the hub"
        yield Requirement(text)


def _devices(config: RunConfig) -> Iterator[Requirement]:
    hardware = config.hardware
    if hardware.accelerator is Accelerator.gpu and not _gpus():
        world = hardware.devices * hardware.nodes
        yield Requirement(f"hardware={hardware.name} computes on {world} GPU(s) and this machine shows none")
    needed = sum(states_gb(config.model.parameters, hardware)[:3])
    if 0 < hardware.memory_gb < needed and not isinstance(config.algorithm, NoTraining):
        yield Requirement(
            f"training {config.model.name} takes {needed:.0f} GB on each device before activations, and "
            f"hardware.memory_gb is {hardware.memory_gb:g}: use more devices, hardware.strategy=zero3 or "
            "hardware.offload_optimizer=true"
        )


def _exists(path: str) -> bool:
    return Path(path).expanduser().exists()


def _gpus() -> bool:
    """Whether the kernel shows a GPU (NVIDIA, AMD, or either under WSL), without loading a driver's library."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or any(Path("/dev", name).exists() for name in ("kfd", "dxg"))
