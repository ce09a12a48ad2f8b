"""The measuring part of the graph: base, SFT and final model on every benchmark, then results and comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from autoif.config import AlgorithmConfig, GrpoAlgorithm, OfflineDpoAlgorithm, OnlineDpoAlgorithm, RunConfig
from autoif.generation.factory import supervisor_identity
from autoif.models import model_identity
from autoif.records import Comparison, EvaluationItem, Prompt, Result
from autoif.stage import Estimate, Stage
from autoif.synthesis import attach_queries
from autoif.synthesis.graph import Synthesis
from evaluation import registry
from evaluation import stages as evaluation
from evaluation.yardstick import threshold, yardstick

_LAST: dict[type[AlgorithmConfig], str] = {
    OfflineDpoAlgorithm: "offline_dpo",
    OnlineDpoAlgorithm: "online_dpo",
    GrpoAlgorithm: "grpo",
}
"""What the last model of an algorithm is called."""


def measurement(config: RunConfig, made: Synthesis, models: list[Stage]) -> list[Stage]:
    """Every benchmark that can be run, on the base, the SFT and the last model; none gives no stage at all."""
    runnable = [name for name, reason in evaluation.available(config.evaluation).items() if reason is None]
    subjects: dict[str, tuple[Stage, ...]] = {"base": ()}
    if models:
        subjects["sft"] = (models[0],)
    if len(models) > 1:
        subjects[_LAST[type(config.algorithm)]] = (models[-1],)
    prompts: list[Stage] = []
    extra: list[Stage] = []
    if "heldout" in runnable:
        verified, extra = yardstick(config, made)
        prompts = [_heldout_prompts(config, verified, made.queries)]
    answered = [_heldout(config, prompts[0], subject, model) for subject, model in subjects.items() if prompts]
    answered += [stage for section in runnable if section != "heldout" for stage in _answers(config, section, subjects)]
    if not answered:
        return []
    return [*extra, *prompts, *answered, *_numbers(config, answered)]


def measured_alone(config: RunConfig) -> list[Stage]:
    """Every benchmark that is on and needs no data of a run, on ``config.model`` alone."""
    runnable = [name for name, reason in evaluation.available(config.evaluation).items() if reason is None]
    answered = [
        stage for section in runnable if section != "heldout" for stage in _answers(config, section, {"base": ()})
    ]
    return [*answered, *_numbers(config, answered)[:1]] if answered else []


def _numbers(config: RunConfig, answered: list[Stage]) -> list[Stage]:
    few = Estimate(records=2 * len(answered))
    summary = partial(Stage, inputs=tuple(answered), seed=config.seed, estimate=lambda *_: few)
    results = summary(name="results", record=Result, function=evaluation.summarise)
    return [results, summary(name="comparisons", record=Comparison, function=evaluation.compare)]


def _heldout_prompts(config: RunConfig, verified: Stage, queries: Stage) -> Stage:
    order, limit = config.pipeline.queries.order, config.evaluation.heldout.limit
    return Stage(
        name="heldout_prompts",
        record=Prompt,
        function=attach_queries.heldout_prompts,
        config=attach_queries.HeldoutPromptsConfig(limit=limit, order=order),
        inputs=(verified, queries),
        texts=attach_queries.order_texts(order),
        seed=config.data_seed,
        estimate=lambda *_: Estimate(records=limit),
    )


def _heldout(config: RunConfig, prompts: Stage, subject: str, model: tuple[Stage, ...]) -> Stage:
    base = model_identity(config.model)
    return Stage(
        name="answer_heldout",
        label=f"answer_heldout_{subject}",
        record=EvaluationItem,
        function=evaluation.answer_heldout,
        config=evaluation.heldout_config(config.evaluation, subject, base, threshold(config)),
        inputs=(prompts, *model),
        engines={"execution": config.execution} | ({} if model else {"model": base}),
        seed=config.seed,
        estimate=lambda prompts, *_: Estimate(records=prompts, model_calls=prompts),
    )


def _answers(config: RunConfig, section: str, subjects: Mapping[str, tuple[Stage, ...]]) -> Iterator[Stage]:
    """A stage for each model and seed."""
    for subject, model in subjects.items():
        for seed in evaluation.seeds(config.evaluation, section, config.seed):
            yield _benchmark(config, section, subject, model, seed)


def _benchmark(config: RunConfig, section: str, subject: str, model: tuple[Stage, ...], seed: int) -> Stage:
    base, definition = model_identity(config.model), registry.benchmark(section)
    made = evaluation.benchmark_config(config.evaluation, section, subject, base, seed, config.execution)
    limit = made.settings.limit
    prompts = definition.size if limit is None else min(definition.size, limit * definition.parts)
    judges = {"judge": config.evaluation.judge} if made.judged else {}
    judges |= {"second_judge": config.evaluation.second_judge} if made.agreement_sample else {}
    engines: dict[str, Any] = {role: supervisor_identity(judge) for role, judge in judges.items() if judge is not None}
    suffix = f"_seed_{seed}" if config.evaluation.seeds > 1 and seed != config.seed else ""
    return Stage(
        name=f"answer_{section}",
        label=f"answer_{section}_{subject}{suffix}",
        record=EvaluationItem,
        function=evaluation.answer_benchmark,
        config=made,
        inputs=model,
        texts=definition.texts() if made.judged else {},
        engines=engines | ({} if model else {"model": base}),
        seed=seed or config.seed,
        estimate=lambda *_: Estimate(records=prompts, model_calls=definition.calls(prompts, made.judged)),
    )
