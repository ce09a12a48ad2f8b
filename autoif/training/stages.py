"""Training as stages: records in, a Hugging Face folder and the training curve out. Never imports torch.

The model lies at ``<stage files>/model``; checkpoints live in the stage's work folder until it is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoif.config import NOT_IDENTITY, DpoConfig, GrpoConfig, HardwareConfig, ModelConfig, TrainingConfig
from autoif.errors import DataError
from autoif.records import AnswerGroup, PreferencePair, SftExample, TrainStep
from autoif.stage import Context, Rows
from autoif.training.job import GroupObjective, Job, Preference
from autoif.training.launch import launch

MODEL_FOLDER = "model"
"""Where a training stage leaves its model, below its files."""


@dataclass(kw_only=True, slots=True)
class TrainStageConfig:
    """What a training stage reads. Only ``training`` is part of what the result is (the base model is named by the
    stage's ``engines``); ``cache`` is where a prepared base model lies."""

    training: TrainingConfig
    model: ModelConfig = field(metadata=NOT_IDENTITY)
    hardware: HardwareConfig = field(metadata=NOT_IDENTITY)
    cache: str = field(default="~/.cache/autoif", metadata=NOT_IDENTITY)


def train_sft(context: Context, examples: Rows[SftExample]) -> Iterator[TrainStep]:
    """Fine-tune the base model on the assistant turns of ``examples``; yields the curve.

    Raises:
        DataError: when there is nothing to train on.
        EngineError: when the training process fails (out of memory, loss not finite, …).
    """
    _require(examples, "SFT examples", "lower the filters' thresholds or raise pipeline.queries.per_instruction")
    from autoif.models import prepare

    config: TrainStageConfig = context.config
    start = prepare(config.model, Path(config.cache).expanduser())
    yield from launch(_job(context, examples, Path(start)), context.facts)


def train_dpo(
    context: Context,
    pairs: Rows[PreferencePair],
    start: Rows[TrainStep],
    reference: Rows[TrainStep],
) -> Iterator[TrainStep]:
    """Train the model of the finished stage ``start`` on ``pairs`` against the frozen model of ``reference``.

    Raises:
        DataError: when there are no pairs.
        EngineError: when the training process fails.
    """
    _require(pairs, "preference pairs", "sample more answers a prompt, or raise the temperature")
    training: DpoConfig = context.config.training
    preference = Preference(
        beta=training.beta,
        nll_weight=training.nll_weight,
        reference=str((reference.files / MODEL_FOLDER).absolute()),
    )
    yield from launch(_job(context, pairs, start.files / MODEL_FOLDER, preference), context.facts)


def train_grpo(
    context: Context,
    groups: Rows[AnswerGroup],
    start: Rows[TrainStep],
    reference: Rows[TrainStep],
) -> Iterator[TrainStep]:
    """Train the model of the finished stage ``start`` on groups of its own answers, with a KL term towards the frozen
    model of ``reference``.

    Raises:
        DataError: when there are no groups.
        EngineError: when the training process fails.
    """
    remedy = "no prompt had answers of different reward: sample more answers a prompt, or more prompts"
    _require(groups, "answer groups", remedy)
    training: GrpoConfig = context.config.training
    objective = GroupObjective(
        clip_low=training.clip_low,
        clip_high=training.clip_high,
        kl_weight=training.kl_weight,
        kl_correction=training.kl_correction,
        normalisation=training.normalisation,
        reference=str((reference.files / MODEL_FOLDER).absolute()),
    )
    yield from launch(_job(context, groups, start.files / MODEL_FOLDER, group=objective), context.facts)


def _require(rows: Rows[Any], what: str, remedy: str) -> None:
    if not len(rows):
        raise DataError(f"no {what} to train on ({rows.entry.records_path} is empty): {remedy}")


def _job(
    context: Context,
    rows: Rows[Any],
    start: Path,
    preference: Preference | None = None,
    group: GroupObjective | None = None,
) -> Job:
    config: TrainStageConfig = context.config
    return Job(
        data=str(rows.entry.records_path.absolute()),
        start=str(start.absolute()),
        output=str((context.files / MODEL_FOLDER).absolute()),
        work=str(context.work.absolute()),
        seed=context.seed,
        training=config.training,
        hardware=config.hardware,
        preference=preference,
        group=group,
    )
