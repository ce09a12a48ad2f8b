"""The evaluation group: what is measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from autoif.config.contamination import ContaminationConfig
from autoif.config.supervision import SupervisorConfig


class Checks(Enum):
    """Which checks the functions of held-out prompts passed: those of the run itself, or all of the paper's."""

    own = "own"
    all = "all"


@dataclass(kw_only=True, slots=True)
class HeldoutConfig:
    """Verified instructions × queries never trained on, scored by their functions. ``limit`` prompts; 0: none.

    ``checks``: all makes the same prompts for every point of an ablation, whatever it leaves out.
    """

    limit: int = 500
    max_tokens: int = 512
    checks: Checks = Checks.own


@dataclass(kw_only=True, slots=True)
class SectionConfig:
    """Any benchmark. ``limit``: the first so many prompts (null: all; 0 turns it off)."""

    limit: int | None = 0


@dataclass(kw_only=True, slots=True)
class BenchmarkConfig(SectionConfig):
    """A benchmark whose answers are texts. ``max_tokens``: new tokens an answer may have."""

    max_tokens: int = 1024


@dataclass(kw_only=True, slots=True)
class ChoiceConfig(SectionConfig):
    """A benchmark of multiple choice by log-likelihood. ``limit``: of each subject. ``shots``: solved examples."""

    shots: int = 5


@dataclass(kw_only=True, slots=True)
class EvaluationConfig:
    """What is measured, on the base and on the trained model alike: a section for each benchmark.

    ``seeds``: how often a benchmark whose answers are drawn at random is measured. ``temperature``: of all answers, in
    place of each benchmark's own. ``engine``: what the measured model answers through; null: ``transformers`` in this
    process. ``judge`` (any generation engine) judges what rules can't; ``second_judge`` judges
    ``agreement_sample`` items of each judged benchmark again. ``responses`` and ``judgments``: existing files that
    ``task=evaluate`` scores, whose answers (``answered_by``; null: as the files say) and who judged (``judged_by``,
    where the file does not say); ``partial``: score a file that lacks answers. ``data_dir``: folder that holds the
    benchmarks' files; null loads from the hub. ``only_with_data``: leave hub benchmarks out, and say so, where
    ``data_dir`` is null or lacks them.
    """

    name: str = "???"
    heldout: HeldoutConfig = field(default_factory=HeldoutConfig)
    ifeval: BenchmarkConfig = field(default_factory=lambda: BenchmarkConfig(limit=None, max_tokens=1280))
    followbench: BenchmarkConfig = field(default_factory=lambda: BenchmarkConfig(max_tokens=2048))
    gsm8k: BenchmarkConfig = field(default_factory=lambda: BenchmarkConfig(max_tokens=512))
    humaneval: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    infobench: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    ifbench: BenchmarkConfig = field(default_factory=lambda: BenchmarkConfig(max_tokens=1280))
    mt_bench: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    arena_hard_v01: BenchmarkConfig = field(default_factory=lambda: BenchmarkConfig(max_tokens=4096))
    arena_hard_v20: BenchmarkConfig = field(default_factory=lambda: BenchmarkConfig(max_tokens=4096))
    seeds: int = 1
    temperature: float | None = None
    mmlu: ChoiceConfig = field(default_factory=ChoiceConfig)
    ceval: ChoiceConfig = field(default_factory=ChoiceConfig)
    engine: SupervisorConfig | None = None
    judge: SupervisorConfig | None = None
    second_judge: SupervisorConfig | None = None
    agreement_sample: int = 100
    responses: str | None = None
    judgments: str | None = None
    answered_by: str | None = None
    judged_by: str | None = None
    partial: bool = False
    contamination: ContaminationConfig = field(default_factory=ContaminationConfig)
    data_dir: str | None = None
    only_with_data: bool = False
