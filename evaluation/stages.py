"""The evaluation stages of the graph: answer and score a benchmark, then summarise and compare.

Importing this module loads neither torch nor lm-eval.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from autoif.config import NOT_IDENTITY, EvaluationConfig
from autoif.generation.base import Generator
from autoif.records import Comparison, EvaluationItem, Prompt, Result
from autoif.stage import Context, Rows
from evaluation import data, heldout, ifeval


@dataclass(kw_only=True, slots=True)
class AnswerHeldout:
    """``model``: the label in items and results. ``base``: the base model's identity, used when no trained model is
    given. ``threshold``: an answer is followed when its accuracy exceeds it."""

    model: str = "base"
    base: str = "base"
    max_tokens: int = 512
    threshold: float = 0.5


@dataclass(kw_only=True, slots=True)
class AnswerIfeval:
    """``model``, ``base``: as in :class:`AnswerHeldout`. ``limit``: the first so many prompts. ``data``: what the
    benchmark's rows are, from :func:`evaluation.data.content`."""

    model: str = "base"
    base: str = "base"
    limit: int | None = None
    max_tokens: int = 1280
    data: str = ""
    data_dir: str | None = field(default=None, metadata=NOT_IDENTITY)


def heldout_config(config: EvaluationConfig, model: str, base: str, threshold: float = 0.5) -> AnswerHeldout:
    """The stage's config for one model of a run."""
    return AnswerHeldout(model=model, base=base, max_tokens=config.heldout.max_tokens, threshold=threshold)


def ifeval_config(config: EvaluationConfig, model: str, base: str) -> AnswerIfeval:
    """The stage's config for one model of a run; reads the benchmark's file for its hash where it is local."""
    return AnswerIfeval(
        model=model,
        base=base,
        limit=config.ifeval.limit,
        max_tokens=config.ifeval.max_tokens,
        data=data.content(data.IFEVAL, config.data_dir),
        data_dir=config.data_dir,
    )


def available(config: EvaluationConfig) -> dict[str, str | None]:
    """Benchmark → None if it is to be run, else the one-line reason why it is left out.

    Only ``only_with_data`` leaves out for want of data; otherwise running says what is missing.
    """
    reasons: dict[str, str | None] = {
        heldout.BENCHMARK: "turned off (evaluation.heldout.limit=0)" if config.heldout.limit == 0 else None,
        ifeval.BENCHMARK: "turned off (evaluation.ifeval.limit=0)" if config.ifeval.limit == 0 else None,
    }
    if config.only_with_data and reasons[ifeval.BENCHMARK] is None:
        reasons[ifeval.BENCHMARK] = (
            data.missing(data.IFEVAL, config.data_dir)
            or ifeval.package_missing()
            or ifeval.punkt_missing(config.data_dir)
        )
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


def answer_ifeval(context: Context, *model: Rows[Any]) -> Iterator[EvaluationItem]:
    """Answer IFEval greedily with the base model, or with the trained model that ``model`` holds, scored by lm-eval."""
    config: AnswerIfeval = context.config
    path = data.locate(data.IFEVAL, config.data_dir)
    ifeval.prepare(config.data_dir)
    context.facts["data_sha256"] = data.sha256(path)
    generator = _policy(context, config.base, model)
    try:
        yield from ifeval.evaluate(
            generator,
            path,
            model=config.model,
            limit=config.limit,
            max_tokens=config.max_tokens,
            facts=context.facts,
        )
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
