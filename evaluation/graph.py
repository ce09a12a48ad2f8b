"""The measuring part of the graph: base, SFT and final model on every benchmark, then results and comparisons."""

from __future__ import annotations

from functools import partial

from autoif.config import OfflineDpoAlgorithm, RunConfig
from autoif.models import model_identity
from autoif.records import Comparison, EvaluationItem, Prompt, Result
from autoif.stage import Estimate, Stage
from autoif.synthesis import attach_queries
from autoif.synthesis.graph import Synthesis
from autoif.synthesis.prompts import texts
from evaluation import stages as evaluation

IFEVAL_PROMPTS = 541
"""Size of the public set (the paper says 542)."""


def measurement(config: RunConfig, made: Synthesis, models: list[Stage]) -> list[Stage]:
    """The base, the SFT and the last model on every benchmark that can be run, then results and comparisons."""
    runnable = {name for name, reason in evaluation.available(config.evaluation).items() if reason is None}
    base = model_identity(config.model)
    subjects: dict[str, tuple[Stage, ...]] = {"base": (), "sft": (models[0],)}
    if len(models) > 1:
        offline = isinstance(config.algorithm, OfflineDpoAlgorithm)
        subjects["offline_dpo" if offline else "online_dpo"] = (models[-1],)
    answered: list[Stage] = []
    prompts: list[Stage] = []
    if "heldout" in runnable:
        prompts = [
            Stage(
                name="heldout_prompts",
                record=Prompt,
                function=attach_queries.heldout_prompts,
                config=attach_queries.HeldoutPromptsConfig(
                    limit=config.evaluation.heldout.limit, order=config.pipeline.queries.order
                ),
                inputs=(made.verified, made.queries),
                texts=texts(f"prompt_{config.pipeline.queries.order.value}"),
                seed=config.seed,
                estimate=lambda *_: Estimate(records=config.evaluation.heldout.limit),
            )
        ]
        answered += [
            Stage(
                name="answer_heldout",
                label=f"answer_heldout_{subject}",
                record=EvaluationItem,
                function=evaluation.answer_heldout,
                config=evaluation.heldout_config(
                    config.evaluation, subject, base, config.pipeline.verify_responses.threshold
                ),
                inputs=(prompts[0], *model),
                engines={"execution": config.execution} | ({} if model else {"model": base}),
                seed=config.seed,
                estimate=lambda prompts, *_: Estimate(records=prompts, model_calls=prompts),
            )
            for subject, model in subjects.items()
        ]
    if "ifeval" in runnable:
        ifeval = config.evaluation.ifeval.limit or IFEVAL_PROMPTS
        answered += [
            Stage(
                name="answer_ifeval",
                label=f"answer_ifeval_{subject}",
                record=EvaluationItem,
                function=evaluation.answer_ifeval,
                config=evaluation.ifeval_config(config.evaluation, subject, base),
                inputs=model,
                engines={} if model else {"model": base},
                seed=config.seed,
                estimate=lambda *_: Estimate(records=ifeval, model_calls=ifeval),
            )
            for subject, model in subjects.items()
        ]
    if not answered:
        return []
    few = Estimate(records=2 * len(answered))
    summaries = [
        Stage(
            name=name,
            record=record,
            function=function,
            inputs=tuple(answered),
            seed=config.seed,
            estimate=lambda *_: few,
        )
        for name, record, function in (
            ("results", Result, evaluation.summarise),
            ("comparisons", Comparison, evaluation.compare),
        )
    ]
    return [*prompts, *answered, *summaries]
