"""The measuring part of the graph: base, SFT and final model on every benchmark, then results and comparisons."""

from __future__ import annotations

from functools import partial

from autoif.config import AlgorithmConfig, GrpoAlgorithm, OfflineDpoAlgorithm, OnlineDpoAlgorithm, RunConfig
from autoif.models import model_identity
from autoif.records import Comparison, EvaluationItem, Prompt, Result
from autoif.stage import Estimate, Stage
from autoif.synthesis import attach_queries
from autoif.synthesis.graph import Synthesis
from autoif.synthesis.prompts import texts
from evaluation import registry
from evaluation import stages as evaluation
from evaluation.yardstick import threshold, yardstick


def measurement(config: RunConfig, made: Synthesis, models: list[Stage]) -> list[Stage]:
    """Every benchmark that can be run, on the base, the SFT and the last model; none gives no stage at all."""
_LAST: dict[type[AlgorithmConfig], str] = {
    OfflineDpoAlgorithm: "offline_dpo",
    OnlineDpoAlgorithm: "online_dpo",
    GrpoAlgorithm: "grpo",
}
"""What the last model of an algorithm is called."""

    runnable = [name for name, reason in evaluation.available(config.evaluation).items() if reason is None]
    subjects: dict[str, tuple[Stage, ...]] = {"base": (), "sft": (models[0],)}
    if len(models) > 1:
        subjects[_LAST[type(config.algorithm)]] = (models[-1],)
    verified, extra = yardstick(config, made) if "heldout" in runnable else (made.verified, [])
    prompts = [_heldout_prompts(config, verified, made.queries)] if "heldout" in runnable else []
    answered = [_heldout(config, prompts[0], subject, model) for subject, model in subjects.items() if prompts]
    for section in runnable:
        if section != "heldout":
            answered += [_benchmark(config, section, subject, model) for subject, model in subjects.items()]
    if not answered:
        return []
    few = Estimate(records=2 * len(answered))
    summary = partial(Stage, inputs=tuple(answered), seed=config.seed, estimate=lambda *_: few)
    results = summary(name="results", record=Result, function=evaluation.summarise)
    comparisons = summary(name="comparisons", record=Comparison, function=evaluation.compare)
    return [*extra, *prompts, *answered, results, comparisons]


def _heldout_prompts(config: RunConfig, verified: Stage, queries: Stage) -> Stage:
    order, limit = config.pipeline.queries.order, config.evaluation.heldout.limit
    return Stage(
        name="heldout_prompts",
        record=Prompt,
        function=attach_queries.heldout_prompts,
        config=attach_queries.HeldoutPromptsConfig(limit=limit, order=order),
        inputs=(verified, queries),
        texts=texts(f"prompt_{order.value}"),
        seed=config.seed,
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


def _benchmark(config: RunConfig, section: str, subject: str, model: tuple[Stage, ...]) -> Stage:
    base, size = model_identity(config.model), registry.benchmark(section).size
    made = evaluation.benchmark_config(config.evaluation, section, subject, base)
    prompts = size if made.settings.limit is None else min(size, made.settings.limit)
    return Stage(
        name=f"answer_{section}",
        label=f"answer_{section}_{subject}",
        record=EvaluationItem,
        function=evaluation.answer_benchmark,
        config=made,
        inputs=model,
        engines={} if model else {"model": base},
        seed=config.seed,
        estimate=lambda *_: Estimate(records=prompts, model_calls=prompts),
    )
