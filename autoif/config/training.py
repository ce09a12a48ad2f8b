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
    """The frozen reference of DPO and GRPO in online iterations: the SFT model throughout, or the previous iterate."""

    sft = "sft"
    previous = "previous"


class Normalisation(Enum):
    """What a token counts in GRPO: ``sequence``, mean over its answer's tokens, then over the group (the original);
    ``token``, mean over all tokens of the global batch (DAPO); ``constant``, its answer's sum over ``max_length`` (Dr.
    GRPO)."""

    sequence = "sequence"
    token = "token"
    constant = "constant"


@dataclass(kw_only=True, slots=True)
class TrainingConfig:
    """Optimisation of one training stage. Lengths are tokens; ``global_batch_size`` counts sequences (pairs in DPO,
    groups in GRPO).

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
class GrpoConfig(TrainingConfig):
    """GRPO: a token's probability ratio is clipped to [1 − ``clip_low``, 1 + ``clip_high``]; ``kl_weight`` pulls
    towards the reference (0: none is computed); ``kl_correction`` weighs a token's KL by its ratio, which makes the
    gradient that of the divergence. ``epochs`` are passes over one iteration's answers."""

    clip_low: float = 0.2
    clip_high: float = 0.2
    kl_weight: float = 0.04
    kl_correction: bool = False
    normalisation: Normalisation = Normalisation.sequence


@dataclass(kw_only=True, slots=True)
class QualityConfig:
    """What an own answer must be besides correct, so that no degenerate text wins a reward; null turns a limit off.

    ``max_repetition``: share of an answer's four-word sequences that occurred in it before. ``max_compression``: its
    bytes over its bytes under zlib (prose: 1.5 to 2.5; loops: above 4). ``min_words``: shorter is no answer.
    """

    max_repetition: float | None = None
    max_compression: float | None = None
    min_words: int | None = None


@dataclass(kw_only=True, slots=True)
class AlgorithmConfig:
    """All algorithms start with SFT on the verified answers."""

    name: str = "???"
    sft: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(kw_only=True, slots=True)
class NoTraining(AlgorithmConfig):
    """The model is measured as it is; nothing is trained."""


@dataclass(kw_only=True, slots=True)
class SftAlgorithm(AlgorithmConfig):
    """SFT alone."""


@dataclass(kw_only=True, slots=True)
class OfflineDpoAlgorithm(AlgorithmConfig):
    """SFT, then DPO on pairs from the supervisor's responses."""

    dpo: DpoConfig = field(default_factory=DpoConfig)


@dataclass(kw_only=True, slots=True)
class OnlineAlgorithm(AlgorithmConfig):
    """SFT, then ``iterations`` rounds on the model's own answers: sample, verify, train (paper §3.3).

    ``prompts``: at most so many training prompts a round (null: all), dealt from a shuffled deck: rounds see all kinds
    of instructions and no prompt twice before each was asked once.
    ``queries_per_instruction``: queries that the rounds attach to each verified instruction, null for the prompts
    that were answered for SFT. Own answers cost no supervisor: rounds can ask for more than it was paid to answer.
    """

    iterations: int = 1
    samples: int = 8
    temperature: float = 0.8
    top_p: float = 1.0
    max_tokens: int = 1024
    prompts: int | None = None
    queries_per_instruction: int | None = None
    reference: Reference = Reference.sft
    quality: QualityConfig = field(default_factory=QualityConfig)


@dataclass(kw_only=True, slots=True)
class OnlineDpoAlgorithm(OnlineAlgorithm):
    """Rounds of DPO on pairs of answers that follow and that do not."""

    dpo: DpoConfig = field(default_factory=DpoConfig)


@dataclass(kw_only=True, slots=True)
class GrpoAlgorithm(OnlineAlgorithm):
    """Rounds of GRPO with the share of an instruction's functions that an answer passes as its reward.

    ``standardise``: divide a group's advantages by the standard deviation of its rewards (Dr. GRPO does not).
    """

    temperature: float = 1.0
    standardise: bool = True
    grpo: GrpoConfig = field(default_factory=GrpoConfig)
