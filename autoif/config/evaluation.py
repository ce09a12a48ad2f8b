"""The evaluation group: what is measured."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(kw_only=True, slots=True)
class HeldoutConfig:
    """Verified instructions × queries never trained on, scored by their functions. ``limit`` prompts; 0: none."""

    limit: int = 500
    max_tokens: int = 512


@dataclass(kw_only=True, slots=True)
class IfevalConfig:
    """IFEval through lm-eval: greedy. ``limit``: the first so many prompts (null: all 541; 0 turns it off)."""

    limit: int | None = None
    max_tokens: int = 1280


@dataclass(kw_only=True, slots=True)
class EvaluationConfig:
    """What is measured, on the base and on the trained model alike.

    ``data_dir``: folder that holds the benchmarks' files; null loads from the hub.
    ``only_with_data``: leave hub benchmarks out, and say so, where ``data_dir`` is null or lacks them.
    """

    name: str = "???"
    heldout: HeldoutConfig = field(default_factory=HeldoutConfig)
    ifeval: IfevalConfig = field(default_factory=IfevalConfig)
    data_dir: str | None = None
    only_with_data: bool = False
