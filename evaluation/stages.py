"""The evaluation stages of the graph: answer and score a benchmark, then summarise and compare.

Importing this module loads neither torch nor lm-eval.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from autoif.config import NOT_IDENTITY, BenchmarkConfig, EvaluationConfig
from autoif.generation.base import Generator
from autoif.records import Comparison, EvaluationItem, Prompt, Result
from autoif.stage import Context, Rows
from evaluation import heldout, registry
from evaluation.benchmark import Setup


@dataclass(kw_only=True, slots=True)
class AnswerHeldout:
    """``model``: the label in items and results. ``base``: the base model's identity, used when no trained model is
    given. ``threshold``: an answer is followed when its accuracy exceeds it."""

    model: str = "base"
    base: str = "base"
    max_tokens: int = 512
    threshold: float = 0.5


@dataclass(kw_only=True, slots=True)
class AnswerBenchmark:
    """``section``: which benchmark, as in the configuration. ``model``, ``base``: as in :class:`AnswerHeldout`.
    ``data``: what the benchmark's files hold, from :meth:`evaluation.benchmark.Benchmark.content`."""

    section: str
    settings: BenchmarkConfig
    model: str = "base"
    base: str = "base"
    data: dict[str, str] = field(default_factory=dict)
    data_dir: str | None = field(default=None, metadata=NOT_IDENTITY)


def heldout_config(config: EvaluationConfig, model: str, base: str, threshold: float = 0.5) -> AnswerHeldout:
    """The stage's config for one model of a run."""
    return AnswerHeldout(model=model, base=base, max_tokens=config.heldout.max_tokens, threshold=threshold)


def benchmark_config(config: EvaluationConfig, section: str, model: str, base: str) -> AnswerBenchmark:
    """The stage's config for one benchmark and model of a run; reads files for their hashes where they are local."""
    return AnswerBenchmark(
        section=section,
        settings=registry.chosen(config)[section],
        model=model,
        base=base,
        data=registry.benchmark(section).content(config.data_dir),
        data_dir=config.data_dir,
    )


def available(config: EvaluationConfig) -> dict[str, str | None]:
    """Benchmark that is on → None if it is to be run, else the one-line reason why it is left out.

    Only ``only_with_data`` leaves out for want of data; otherwise running says what is missing.
    """
    reasons: dict[str, str | None] = {heldout.BENCHMARK: None} if config.heldout.limit else {}
    for section in registry.chosen(config):
        reasons[section] = registry.benchmark(section).missing(config.data_dir) if config.only_with_data else None
    return reasons


def answer_heldout(context: Context, prompts: Iterable[Prompt], *model: Rows[Any]) -> Iterator[EvaluationItem]:
    """Answer held-out prompts greedily with the base model, or with the trained model that ``model`` holds, and let
    their functions judge."""
    config: AnswerHeldout = context.config
    generator = _policy(context, config.base, model)
    try:
        answered = heldout.generate(generator, prompts, config.max_tokens)
        items = heldout.score(context.engines.execution, answered, config.model, config.threshold)
        yield from heldout.count(items, context.facts)
    finally:
        generator.close()


def answer_benchmark(context: Context, *model: Rows[Any]) -> Iterator[EvaluationItem]:
    """Answer a benchmark with the base model, or with the trained model that ``model`` holds, and score the answers."""
    config: AnswerBenchmark = context.config
    generator = _policy(context, config.base, model)
    setup = Setup(
        generator=generator,
        settings=config.settings,
        model=config.model,
        data_dir=config.data_dir,
        seed=context.seed,
        facts=context.facts,
    )
    try:
        yield from registry.benchmark(config.section).measure(setup)
    finally:
        generator.close()


def summarise(context: Context, *items: Rows[EvaluationItem]) -> Iterator[Result]:
    """One result with its 95% interval for each benchmark, metric and model, in the order of ``items``."""
    from evaluation import summary

    sampled = []
    for rows in items:
        manifest = rows.entry.manifest()
        if manifest is not None and manifest.facts.get("sample"):
            sampled += sorted({(item.benchmark, item.model) for item in rows})
    yield from summary.results(summary.collect(item for rows in items for item in rows), sampled, context.seed)


def compare(context: Context, *items: Rows[EvaluationItem]) -> Iterator[Comparison]:
    """Paired comparisons of every later model with the first (the base model) on the items both answered."""
    from evaluation import summary

    yield from summary.comparisons(summary.collect(item for rows in items for item in rows), context.seed)


def _policy(context: Context, base: str, model: tuple[Rows[Any], ...]) -> Generator:
    if not model:
        return context.engines.policy(None, base)
    return context.engines.policy(model[0].files / "model", model[0].entry.fingerprint)
