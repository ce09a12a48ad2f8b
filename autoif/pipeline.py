"""The graph of a run, readable top to bottom: which stages follow from a configuration, and from what.

::

    seeds ─ self_instruct ─ write_verifiers ─ cross_verify ─ back_translate ─ nli_filter ─┐
    queries ───────────────────────────── attach_queries ─ respond ─ verify_responses ─ score ─┐
          sft_dataset ─ train_sft ─┬─ preference_dataset ─ train_dpo                          ─┐
                                   └─ [ sample ─ verify_samples ─ online_pairs ─ train_dpo ] × N ─┴─ evaluation ─ results
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from autoif.config import (
    AlgorithmConfig,
    NliJudge,
    OfflineDpoAlgorithm,
    OnlineDpoAlgorithm,
    Reference,
    RunConfig,
    SftAlgorithm,
    TrainingConfig,
)
from autoif.errors import ConfigError
from autoif.generation.factory import supervisor_identity
from autoif.models import model_identity
from autoif.records import (
    Answers,
    Comparison,
    EvaluationItem,
    Instruction,
    PreferencePair,
    Prompt,
    Query,
    Result,
    SftExample,
    TrainStep,
    Verifier,
)
from autoif.stage import Estimate, Stage
from autoif.synthesis import (
    attach_queries,
    back_translate,
    cross_verify,
    datasets,
    nli_filter,
    queries,
    respond,
    score,
    self_instruct,
    verify_responses,
    write_verifiers,
)
from autoif.synthesis.prompts import texts
from autoif.training.stages import TrainStageConfig, train_dpo, train_sft
from evaluation import stages as evaluation

IFEVAL_PROMPTS = 541
"""Size of the public set (the paper says 542)."""

CHUNK = 256
"""Records between two journal entries: what a killed run does again at most, model calls aside."""


def build(config: RunConfig) -> tuple[Stage, ...]:
    """All stages of a run, each after its inputs; titles are unique."""
    made = synthesis(config)
    trained = training(config, config.algorithm, made)
    models = [stage for stage in trained if stage.record is TrainStep]
    return (*made.stages, *trained, *measurement(config, made, models))


@dataclass(frozen=True, slots=True)
class Synthesis:
    """The synthesis part of a graph: all its stages, and those that later parts start from."""

    stages: tuple[Stage, ...]
    verified: Stage
    queries: Stage
    prompts: Stage
    scored: Stage
    examples: Stage


def synthesis(config: RunConfig) -> Synthesis:
    """Instructions and verifiers, then prompts and responses, then the SFT samples. Disabled filters are left out."""
    pipeline = config.pipeline
    chunked = partial(Stage, seed=config.seed, chunk=CHUNK)
    supervisor = {"supervisor": supervisor_identity(config.supervisor)}
    execution = {"execution": config.execution}
    functions, samples = pipeline.write_verifiers.samples, pipeline.respond.samples

    stages = [
        Stage(
            name="self_instruct",
            record=Instruction,
            function=self_instruct.self_instruct,
            config=pipeline.self_instruct,
            texts=texts("self_instruct") | {"seeds": queries.content_id(self_instruct.seeds_path(pipeline.self_instruct))},
            engines=supervisor,
            seed=config.seed,
            estimate=partial(self_instruct.estimate, pipeline.self_instruct),
        )
    ]

    def then(name: str, record: type, function: object, settings: object, **more: object) -> None:
        stages.append(chunked(name=name, record=record, function=function, config=settings, inputs=(stages[-1],), **more))

    then(
        "write_verifiers",
        Verifier,
        write_verifiers.write_verifiers,
        pipeline.write_verifiers,
        texts=texts("write_verifier"),
        engines=supervisor,
        estimate=partial(write_verifiers.estimate, pipeline.write_verifiers),
    )
    if pipeline.cross_verify.enabled:
        then(
            "cross_verify",
            Verifier,
            cross_verify.cross_verify,
            pipeline.cross_verify,
            engines=execution,
            estimate=partial(cross_verify.estimate, functions),
        )
    if pipeline.back_translate.enabled:
        by_supervisor = pipeline.nli.judge is NliJudge.supervisor
        then(
            "back_translate",
            Verifier,
            back_translate.back_translate,
            pipeline.back_translate,
            texts=texts("back_translate"),
            engines=supervisor,
            estimate=partial(back_translate.estimate, functions),
        )
        then(
            "nli_filter",
            Verifier,
            nli_filter.nli_filter,
            pipeline.nli,
            texts=texts("nli") if by_supervisor else {},
            engines=supervisor if by_supervisor else {"nli": pipeline.nli.model},
            estimate=partial(nli_filter.estimate, pipeline.nli, functions),
        )
    verified = stages[-1]
    pool = Stage(
        name="queries",
        record=Query,
        function=queries.load_queries,
        config=pipeline.queries,
        texts={"queries": queries.content_id(queries.queries_path(pipeline.queries))},
        seed=config.seed,
        estimate=partial(queries.estimate, pipeline.queries),
    )
    prompts = chunked(
        name="attach_queries",
        record=Prompt,
        function=attach_queries.attach_queries,
        config=pipeline.queries,
        inputs=(verified, pool),
        texts=texts(f"prompt_{pipeline.queries.order.value}"),
        estimate=partial(attach_queries.estimate, pipeline.queries),
    )
    stages += [pool, prompts]
    then(
        "respond",
        Answers,
        respond.respond,
        pipeline.respond,
        texts=texts("respond", "respond_brief"),
        engines=supervisor,
        estimate=partial(respond.estimate, samples),
    )
    then(
        "verify_responses",
        Answers,
        verify_responses.verify_responses,
        pipeline.verify_responses,
        engines=execution,
        estimate=partial(verify_responses.estimate, functions, samples),
    )
    if pipeline.score.enabled:
        then(
            "score",
            Answers,
            score.score,
            pipeline.score,
            texts=texts("score"),
            engines=supervisor,
            estimate=partial(score.estimate, samples),
        )
    scored = stages[-1]
    then(
        "sft_dataset",
        SftExample,
        datasets.sft_dataset,
        pipeline.sft_dataset,
        estimate=partial(datasets.estimate_sft, pipeline.sft_dataset, samples),
    )
    return Synthesis(tuple(stages), verified, pool, prompts, scored, stages[-1])


def training(config: RunConfig, algorithm: AlgorithmConfig, made: Synthesis) -> list[Stage]:
    """SFT, then what the algorithm adds to it. Every stage of TrainStep rows leaves a model."""
    base = {"model": model_identity(config.model)}

    def settings(of: TrainingConfig) -> TrainStageConfig:
        return TrainStageConfig(training=of, model=config.model, hardware=config.hardware, cache=config.paths.cache)

    sft = Stage(
        name="train_sft",
        record=TrainStep,
        function=train_sft,
        config=settings(algorithm.sft),
        inputs=(made.examples,),
        engines=base,
        seed=config.seed,
        estimate=partial(_steps, algorithm.sft),
    )
    match algorithm:
        case SftAlgorithm():
            return [sft]
        case OfflineDpoAlgorithm():
            pairs = Stage(
                name="preference_dataset",
                record=PreferencePair,
                function=datasets.preference_dataset,
                config=config.pipeline.preference,
                inputs=(made.scored, made.verified),
                engines={"execution": config.execution},
                seed=config.seed,
                estimate=partial(datasets.estimate_pairs, config.pipeline.preference),
            )
            dpo = Stage(
                name="train_dpo",
                record=TrainStep,
                function=train_dpo,
                config=settings(algorithm.dpo),
                inputs=(pairs, sft, sft),
                seed=config.seed,
                estimate=partial(_steps, algorithm.dpo),
            )
            return [sft, pairs, dpo]
        case OnlineDpoAlgorithm():
            stages, previous = [sft], sft
            for iteration in range(1, algorithm.iterations + 1):
                reference = sft if algorithm.reference is Reference.sft else previous
                stages += _online(config, algorithm, made, iteration, previous, reference, settings(algorithm.dpo))
                previous = stages[-1]
            return stages
    raise ConfigError(f"no training for {type(algorithm).__name__}")


def _online(
    config: RunConfig,
    algorithm: OnlineDpoAlgorithm,
    made: Synthesis,
    iteration: int,
    model: Stage,
    reference: Stage,
    settings: TrainStageConfig,
) -> list[Stage]:
    """One iteration of online DPO: sample from ``model``, verify, pair, train it further."""
    functions = config.pipeline.write_verifiers.samples
    sampled = Stage(
        name="sample",
        label=f"sample_{iteration}",
        record=Answers,
        function=respond.sample,
        config=respond.SampleConfig(
            iteration=iteration,
            samples=algorithm.samples,
            temperature=algorithm.temperature,
            top_p=algorithm.top_p,
            max_tokens=algorithm.max_tokens,
            prompts=algorithm.prompts,
        ),
        inputs=(made.prompts, model),
        seed=config.seed,
        estimate=partial(respond.estimate_sample, algorithm),
    )
    verified = Stage(
        name="verify_samples",
        label=f"verify_samples_{iteration}",
        record=Answers,
        function=verify_responses.verify_samples,
        config=config.pipeline.verify_responses,
        inputs=(sampled,),
        engines={"execution": config.execution},
        seed=config.seed,
        chunk=CHUNK,
        estimate=partial(verify_responses.estimate, functions, algorithm.samples),
    )
    pairs = Stage(
        name="online_pairs",
        label=f"online_pairs_{iteration}",
        record=PreferencePair,
        function=datasets.online_pairs,
        config=config.pipeline.preference,
        inputs=(verified,),
        seed=config.seed,
        estimate=partial(datasets.estimate_pairs, config.pipeline.preference),
    )
    trained = Stage(
        name="train_dpo",
        label=f"train_dpo_{iteration}",
        record=TrainStep,
        function=train_dpo,
        config=settings,
        inputs=(pairs, model, reference),
        seed=config.seed,
        estimate=partial(_steps, algorithm.dpo),
    )
    return [sampled, verified, pairs, trained]


def _steps(training: TrainingConfig, rows: int, *others: int) -> Estimate:
    """Optimizer steps: one row of the curve each."""
    return Estimate(records=training.epochs * -(-rows // training.global_batch_size))


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
        Stage(name=name, record=record, function=function, inputs=tuple(answered), seed=config.seed, estimate=lambda *_: few)
        for name, record, function in (
            ("results", Result, evaluation.summarise),
            ("comparisons", Comparison, evaluation.compare),
        )
    ]
    return [*prompts, *answered, *summaries]
