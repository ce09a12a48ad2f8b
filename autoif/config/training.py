"""The algorithm group (paper §3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from autoif.config.common import NOT_IDENTITY


class Schedule(Enum):
    """Learning rate after warm-up: linear or cosine decay to zero, or constant."""

    linear = "linear"
    cosine = "cosine"
    constant = "constant"


class Reference(Enum):
    """The DPO reference in online iterations: the SFT model throughout, or the previous iterate."""

    sft = "sft"
    previous = "previous"


@dataclass(kw_only=True, slots=True)
class TrainingConfig:
    """Optimisation of one training stage. Lengths are tokens; ``global_batch_size`` counts sequences (pairs in DPO).

    ``warmup_steps`` wins over ``warmup_ratio`` when it is not null. ``save_every`` counts optimizer steps.
    """

    learning_rate: float = 7e-6
    schedule: Schedule = Schedule.linear
    warmup_steps: int | None = None
    warmup_ratio: float = 0.0
    global_batch_size: int = 128
    epochs: int = 3
    weight_decay: float = 0.1
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95
    max_length: int = 8192
    clip_norm: float = 1.0
    save_every: int = field(default=200, metadata=NOT_IDENTITY)
    keep_checkpoints: int = field(default=2, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class DpoConfig(TrainingConfig):
    """DPO: sigmoid loss with ``beta``; ``nll_weight`` adds the chosen answer's mean negative log-likelihood."""

    beta: float = 0.3
    nll_weight: float = 0.0


@dataclass(kw_only=True, slots=True)
class AlgorithmConfig:
    """All algorithms start with SFT on the verified answers."""

    name: str = "???"
    sft: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(kw_only=True, slots=True)
class SftAlgorithm(AlgorithmConfig):
    """SFT alone."""


@dataclass(kw_only=True, slots=True)
class OfflineDpoAlgorithm(AlgorithmConfig):
    """SFT, then DPO on pairs from the supervisor's responses."""

    dpo: DpoConfig = field(default_factory=DpoConfig)


@dataclass(kw_only=True, slots=True)
class OnlineDpoAlgorithm(AlgorithmConfig):
    """SFT, then ``iterations`` rounds of sample → verify → pair → DPO on the model's own answers (paper §3.3).

    ``prompts``: at most so many training prompts a round (null: all).
    """

    dpo: DpoConfig = field(default_factory=DpoConfig)
    iterations: int = 1
    samples: int = 8
    temperature: float = 0.8
    top_p: float = 1.0
    max_tokens: int = 1024
    prompts: int | None = None
    reference: Reference = Reference.sft
