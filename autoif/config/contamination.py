"""Benchmark prompts in training data: measured beside the results, or dropped before anything is made of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(kw_only=True, slots=True)
class ContaminationConfig:
    """``evaluation.contamination``: how much of the benchmarks stands in the training sets (paper table 4).

    ``benchmarks``: which ones, none for no such stage. ``words``: of an n-gram. ``share``: of a prompt's n-grams that
    one row must hold for the prompt to count as contaminated. ``candidates``: training prompts shown to the judge
    for each test prompt, the likest first, to find those said in other words; 0: no judge. ``max_tokens``: its reply's.
    """

    benchmarks: list[str] = field(default_factory=list)
    words: int = 13
    share: float = 0.5
    candidates: int = 0
    max_tokens: int = 256


@dataclass(kw_only=True, slots=True)
class DecontaminationConfig:
    """``pipeline.contamination``: whether to ``drop`` prompts that contaminate a benchmark, by the same measure."""

    drop: bool = False
    benchmarks: list[str] = field(default_factory=lambda: ["ifeval", "followbench"])
    words: int = 13
    share: float = 0.5
