"""What training would take: steps, tokens, memory on a device, hours; whether it fits, and the change it would need.

Rows that do not exist yet are upper bounds, and so are tokens, hours and memory that follow from them. Memory is that
of a micro-batch of the longest rows that ``max_length`` allows.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from autoif.config import (
    Accelerator,
    DpoConfig,
    GrpoConfig,
    HardwareConfig,
    OnlineAlgorithm,
    RunConfig,
    ShapeConfig,
    Strategy,
    TrainingConfig,
)
from autoif.planning.memory import ZERO, Memory, training_memory
from autoif.planning.shape import forward_flops, shape_of
from autoif.planning.stages import PlanRow
from autoif.records import AnswerGroup, PreferencePair, Record, SftExample
from autoif.stage import Stage
from autoif.store import Store
from autoif.training.plan import micro_batch_rows
from autoif.training.stages import TrainStageConfig

CHARACTERS = 4
"""Characters of text for a token; English prose in today's vocabularies has a few more."""

INSTRUCTION_TOKENS = 48
"""What an instruction and a chat template add to a query."""

SAMPLED_ROWS = 256
"""Rows of a finished dataset that are read to learn how long they are."""


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One training stage that is to run. ``tokens``: all that are computed, epochs included. ``memory``, ``fits`` and
    ``hours`` are None where the model's shape, the device's memory or its peak is not known. ``change``: settings under
    which it would fit. ``devices``: how many it occupies."""

    title: str
    rows: int
    steps: int
    accumulation: int
    tokens: int
    devices: int
    memory: Memory | None = None
    fits: bool | None = None
    change: str = ""
    hours: float | None = None

    @property
    def gpu_hours(self) -> float | None:
        """Device-hours."""
        return None if self.hours is None else self.hours * self.devices

    @property
    def binding(self) -> tuple[str, float]:
        """The largest part of the memory and its GB."""
        assert self.memory is not None
        parts = {
            "weights, gradients and optimizer states": self.memory.states,
            "activations": self.memory.activations,
            "logits": self.memory.logits,
            "gathered weights": self.memory.gathered,
            "the optimizer's working copy": self.memory.step,
        }
        return max(parts.items(), key=lambda part: part[1])


def training_rows(
    config: RunConfig, stages: Sequence[Stage], rows: Sequence[PlanRow], store: Store
) -> list[TrainingRow]:
    """A row for each training stage among ``stages`` that is still to run; ``rows`` are their plan."""
    counts = {id(stage): row.records for stage, row in zip(stages, rows, strict=True)}
    return [
        _row(config, stage, row, counts[id(stage.inputs[0])], store)
        for stage, row in zip(stages, rows, strict=True)
        if isinstance(stage.config, TrainStageConfig) and not row.done
    ]


def _row(config: RunConfig, stage: Stage, row: PlanRow, count: int, store: Store) -> TrainingRow:
    settings: TrainStageConfig = stage.config
    training, hardware = settings.training, settings.hardware
    answers = answers_of(config, training)
    prompt, answer = _lengths(config, stage, store)
    row_tokens = min(prompt + answers * answer, training.max_length * answers)
    tokens = count * training.epochs * row_tokens
    known = TrainingRow(
        title=stage.title,
        rows=count,
        steps=row.records,
        accumulation=accumulation(hardware, training, answers),
        tokens=tokens,
        devices=hardware.world,
    )
    shape = shape_of(settings.model)
    if shape is None:
        return known
    memory = training_memory(
        shape, hardware, micro_batch_rows(hardware.micro_batch_size, answers) * training.max_length * answers
    )
    fits, change = None, ""
    if available_gb(hardware):
        fits = _fits(memory, hardware)
        change = "" if fits else remedy(shape, hardware, training, answers)
    hours = _hours(shape, hardware, training, tokens, min(prompt + answer, training.max_length))
    return dataclasses.replace(known, memory=memory, fits=fits, change=change, hours=hours)


def accumulation(hardware: HardwareConfig, training: TrainingConfig, answers: int) -> int:
    """Micro-batches of each device in a step whose rows hold ``answers``."""
    rows = micro_batch_rows(hardware.micro_batch_size, answers)
    return max(1, math.ceil(training.global_batch_size / (rows * hardware.world)))


def answers_of(config: RunConfig, training: TrainingConfig) -> int:
    """Answers in a row: a pair's two, a group's samples."""
    match training, config.algorithm:
        case DpoConfig(), _:
            return 2
        case GrpoConfig(), OnlineAlgorithm(samples=samples):
            return samples
    return 1


def _lengths(config: RunConfig, stage: Stage, store: Store) -> tuple[int, int]:
    """Mean tokens of a row's prompt and of one of its answers: those of the dataset if it is there, else the most that
    the settings allow."""
    if found := _measured(stage.inputs[0], store):
        return found
    online = stage.name != "train_sft" and isinstance(config.algorithm, OnlineAlgorithm)
    longest = config.algorithm.max_tokens if online else config.pipeline.respond.max_tokens  # type: ignore[attr-defined]
    return math.ceil(config.pipeline.queries.max_chars / CHARACTERS) + INSTRUCTION_TOKENS, longest


def _measured(dataset: Stage, store: Store) -> tuple[int, int] | None:
    """Mean tokens of prompts and answers in the first rows of a finished dataset."""
    entry = dataset.entry(store)
    if not entry.done:
        return None
    sizes = [size for record in islice(entry.records(dataset.record), SAMPLED_ROWS) if (size := _characters(record))]
    if not sizes:
        return None
    prompt, answer = (sum(column) / len(sizes) / CHARACTERS for column in zip(*sizes, strict=True))
    return math.ceil(prompt) + INSTRUCTION_TOKENS // 2, math.ceil(answer)


def _characters(record: Record) -> tuple[float, float] | None:
    """Characters of the prompt and of an answer on average."""
    match record:
        case SftExample(messages=messages):
            said = sum(len(message.content) for message in messages if message.role == "assistant")
            return sum(len(message.content) for message in messages) - said, said
        case PreferencePair(prompt=prompt, chosen=chosen, rejected=rejected):
            return sum(len(message.content) for message in prompt), (len(chosen) + len(rejected)) / 2
        case AnswerGroup(prompt=prompt, answers=answers) if answers:
            size = sum(len(answer.text) for answer in answers) / len(answers)
            return sum(len(message.content) for message in prompt), size
    return None


def _hours(
    shape: ShapeConfig, hardware: HardwareConfig, training: TrainingConfig, tokens: int, length: int
) -> float | None:
    """Forward and backward of every token, and the reference's forward once; recomputation is part of the MFU."""
    if not hardware.peak_tflops:
        return None
    passes = 3.0 + (1 / training.epochs if isinstance(training, DpoConfig | GrpoConfig) else 0)
    speed = hardware.mfu * hardware.peak_tflops * 1e12 * hardware.world
    return tokens * passes * forward_flops(shape, length) / speed / 3600


def available_gb(hardware: HardwareConfig) -> float:
    """Memory of a device; on CPUs where none is stated, this machine's, shared by its processes. 0: not known."""
    if hardware.memory_gb or hardware.accelerator is not Accelerator.cpu:
        return hardware.memory_gb
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 / hardware.devices


def _fits(memory: Memory, hardware: HardwareConfig) -> bool:
    host = not hardware.host_memory_gb or memory.host <= hardware.host_memory_gb
    return host and memory.total <= available_gb(hardware)


def remedy(shape: ShapeConfig, hardware: HardwareConfig, training: TrainingConfig, answers: int) -> str:
    """The first change, from the cheapest on, under which training fits, as it is typed; or that none was found."""
    for changes in _changes(hardware):
        changed = dataclasses.replace(hardware, **changes)
        if training.global_batch_size % (changed.micro_batch_size * changed.world):
            continue
        tokens = micro_batch_rows(changed.micro_batch_size, answers) * training.max_length * answers
        memory = training_memory(shape, changed, tokens)
        if _fits(memory, changed):
            typed = " ".join(f"hardware.{name}={_typed(value)}" for name, value in changes.items())
            return f"{typed} (and {memory.host:.0f} GB of memory on each node)" if memory.host else typed
    return f"a max_length below {training.max_length}, or devices with more memory"


def _changes(hardware: HardwareConfig) -> Iterator[dict[str, Any]]:
    """Single changes and their combinations, in the order of what they cost."""
    less: dict[str, Any] = {}
    if hardware.micro_batch_size > 1:
        less["micro_batch_size"] = 1
        yield dict(less)
    if not hardware.activation_checkpointing:
        yield {"activation_checkpointing": True}
        less["activation_checkpointing"] = True
        yield dict(less)
    if hardware.strategy is not Strategy.zero3:
        less["strategy"] = Strategy.zero3
        if hardware.world > 1:
            yield dict(less)
    sizes = [n for n in (2, 4, 8) if n > hardware.devices]
    for devices in sizes:
        yield {**less, "devices": devices}
    if not hardware.offload_optimizer:
        for devices in (hardware.devices, *sizes):
            more: dict[str, Any] = {} if devices == hardware.devices else {"devices": devices}
            yield {**less, **more, "offload_optimizer": True}
    for nodes in (2, 4, 8, 16):
        if nodes > hardware.nodes:
            more = {"devices": 8} if hardware.devices < 8 else {}
            yield {**less, **more, "nodes": nodes}


def _typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else value.value if isinstance(value, Strategy) else str(value)


def zero_stage(hardware: HardwareConfig) -> str:
    """How the states are spread, for people."""
    stage = ZERO.get(hardware.strategy)
    return f"ZeRO-{stage}{' with offload' if hardware.offload_optimizer else ''}" if stage else hardware.strategy.value
