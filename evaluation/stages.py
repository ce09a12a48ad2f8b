"""The evaluation stages of the graph: answer and score a benchmark, then summarise and compare.

Importing this module loads neither torch nor lm-eval.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from autoif.config import NOT_IDENTITY, ChoiceConfig, EvaluationConfig, LocalSupervisor, SectionConfig
from autoif.execution import ExecutionConfig
from autoif.generation.base import Generator
from autoif.generation.factory import supervisor_identity
from autoif.records import Comparison, EvaluationItem, Prompt, Result
from autoif.stage import Context, Rows
from evaluation import heldout, registry
from evaluation.benchmark import Setup
from evaluation.judge import Judge, Judging


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
    ``seed``: of drawn answers; 0 for greedy ones. ``temperature``: in place of the benchmark's own. ``engine``: what
    answers, where it is not the run's own. ``judged``: whether the run's judge judges. ``agreement_sample``: items that
    the second judge judges again. ``data``: what the benchmark's files hold, from
    :meth:`evaluation.benchmark.Benchmark.content`."""

    section: str
    settings: SectionConfig
    model: str = "base"
    base: str = "base"
    seed: int = 0
    temperature: float | None = None
    engine: str = ""
    judged: bool = False
    agreement_sample: int = 0
    data: dict[str, str] = field(default_factory=dict)
    data_dir: str | None = field(default=None, metadata=NOT_IDENTITY)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig, metadata=NOT_IDENTITY)


def heldout_config(config: EvaluationConfig, model: str, base: str, threshold: float = 0.5) -> AnswerHeldout:
    """The stage's config for one model of a run."""
    return AnswerHeldout(model=model, base=base, max_tokens=config.heldout.max_tokens, threshold=threshold)


def benchmark_config(
    config: EvaluationConfig,
    section: str,
    model: str,
    base: str,
    seed: int = 0,
    execution: ExecutionConfig | None = None,
) -> AnswerBenchmark:
    """The stage's config for one benchmark and model of a run; reads files for their hashes where they are local.

    ``seed``: 0 unless answers are drawn at random (:func:`seeds`).
    """
    definition = registry.benchmark(section)
    judged = definition.judged and config.judge is not None
    return AnswerBenchmark(
        section=section,
        settings=registry.chosen(config)[section],
        model=model,
        base=base,
        seed=seed,
        temperature=config.temperature,
        engine=_engine(config),
        judged=judged,
        agreement_sample=config.agreement_sample if judged and config.second_judge is not None else 0,
        data=definition.content(config.data_dir),
        data_dir=config.data_dir,
        execution=execution or ExecutionConfig(),
    )


def _engine(config: EvaluationConfig) -> str:
    """What answers through ``evaluation.engine``: the endpoint's model, or the library of a local engine."""
    match config.engine:
        case None:
            return ""
        case LocalSupervisor():
            return type(config.engine).__name__
    return supervisor_identity(config.engine)


def seeds(config: EvaluationConfig, section: str, seed: int) -> list[int]:
    """The seeds with which a benchmark is measured: ``config.seeds`` of them from ``seed`` on, or 0 alone where answers
    are greedy or none are made, since nothing differs then."""
    if isinstance(registry.PLACES[section].settings(config), ChoiceConfig):
        return [0]
    drawn = registry.benchmark(section).sampled if config.temperature is None else config.temperature > 0
    return list(range(seed, seed + config.seeds)) if drawn else [0]


def available(config: EvaluationConfig) -> dict[str, str | None]:
    """Benchmark that is on → None if it is to be run, else the one-line reason why it is left out.

    Only ``only_with_data`` leaves out for want of data; otherwise running says what is missing.
    """
    reasons: dict[str, str | None] = {heldout.BENCHMARK: None} if config.heldout.limit else {}
    for section in registry.chosen(config):
        definition = registry.benchmark(section)
        reasons[section] = definition.missing(config.data_dir) if config.only_with_data else None
        if config.only_with_data and reasons[section] is None and definition.judge_needed and config.judge is None:
            reasons[section] = "there is no judge (add supervisor@evaluation.judge=openai, or any other engine)"
    return reasons


def judgeless(config: EvaluationConfig) -> list[str]:
    """Sections that are on, need a judge and have none; with ``only_with_data`` they are left out instead."""
    if config.judge is not None or config.only_with_data:
        return []
    return [section for section in registry.chosen(config) if registry.benchmark(section).judge_needed]


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
    generator = _policy(context, config.base, model, config.engine)
    setup = Setup(
        generator=generator,
        settings=config.settings,
        model=config.model,
        data_dir=config.data_dir,
        seed=config.seed,
        temperature=config.temperature,
        execution=config.execution,
        judging=judging(context, config.agreement_sample) if config.judged else None,
        scorer=lambda: context.engines.scorer(model[0].files / "model" if model else None),
        work=context.work,
        facts=context.facts,
    )
    try:
        for item in registry.benchmark(config.section).measure(setup):
            yield msgspec.structs.replace(item, seed=config.seed) if config.seed else item
    finally:
        generator.close()


def judging(context: Context, sample: int) -> Judging:
    """The run's judge, with the second one where ``sample`` items are judged again; the day goes into the facts."""
    context.facts["judged_on"] = datetime.datetime.now(datetime.UTC).date().isoformat()
    second = Judge(context.engines.second_judge) if sample else None
    return Judging(Judge(context.engines.judge), second, sample)


def summarise(context: Context, *items: Rows[EvaluationItem]) -> Iterator[Result]:
    """One result with its 95% interval for each benchmark, metric and model, in the order of ``items``; over several
    seeds their mean and standard deviation. Judged results carry the judge and the day of judging."""
    from evaluation import summary

    sampled: set[tuple[str, str]] = set()
    judged: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for rows in items:
        manifest = rows.entry.manifest()
        facts = manifest.facts if manifest else {}
        for pair in sorted({(item.benchmark, item.model) for item in rows}):
            if facts.get("sample"):
                sampled.add(pair)
            if "judged_on" in facts:
                judged.setdefault(pair, []).append(facts)
    # The days of all models together: results that are compared carry one name of the judge.
    days: dict[str, list[str]] = {}
    for (benchmark, _), found in judged.items():
        days.setdefault(benchmark, []).extend(facts["judged_on"] for facts in found)
    every = [item for rows in items for item in rows]
    for result in summary.aggregate(every, sorted(sampled), context.seed):
        yield summary.dated(result, days.get(result.benchmark, []))
    for (benchmark, model), found in judged.items():
        yield from summary.agreements(benchmark, model, found)


def compare(context: Context, *items: Rows[EvaluationItem]) -> Iterator[Comparison]:
    """Paired comparisons of every later model with the first (the base model) on the items both answered."""
    from evaluation import summary

    yield from summary.comparisons(summary.collect(item for rows in items for item in rows), context.seed)


def _policy(context: Context, base: str, model: tuple[Rows[Any], ...], engine: str = "") -> Generator:
    """The base model or the trained one, through the run's own engine or that of ``evaluation.engine``."""
    answering = context.engines.examinee if engine else context.engines.policy
    if not model:
        return answering(None, base)
    return answering(model[0].files / "model", model[0].entry.fingerprint)
