"""The training part of the graph: SFT, then what the algorithm adds to it (paper §3.3)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from autoif.config import (
    AlgorithmConfig,
    GrpoAlgorithm,
    NoTraining,
    OfflineDpoAlgorithm,
    OnlineAlgorithm,
    OnlineDpoAlgorithm,
    Reference,
    RunConfig,
    SamplingMode,
    SftAlgorithm,
    TrainingConfig,
)
from autoif.errors import ConfigError
from autoif.models import model_identity
from autoif.records import AnswerGroup, Answers, PreferencePair, TrainStep
from autoif.stage import CHUNK, Estimate, Stage
from autoif.synthesis import adaptive, datasets, groups, query_graph, respond, verify_responses
from autoif.synthesis.graph import Synthesis
from autoif.training.stages import TrainStageConfig, train_dpo, train_grpo, train_sft


def training(config: RunConfig, algorithm: AlgorithmConfig, made: Synthesis) -> list[Stage]:
    """SFT, then what the algorithm adds to it. Every stage of TrainStep rows leaves a model."""
    if isinstance(algorithm, NoTraining):
        return []
    sft = _trains(
        config,
        algorithm.sft,
        name="train_sft",
        function=train_sft,
        inputs=(made.examples,),
        engines={"model": model_identity(config.model)},
    )
    match algorithm:
        case SftAlgorithm():
            return [sft]
        case OfflineDpoAlgorithm():
            return [sft, *_offline(config, algorithm, made, sft)]
        case OnlineAlgorithm():
            more = _more_prompts(config, algorithm, made)
            prompts = more[-1] if more else made.prompts
            stages, previous = [sft, *more], sft
            for iteration in range(1, algorithm.iterations + 1):
                reference = sft if algorithm.reference is Reference.sft else previous
                stages += _round(config, algorithm, prompts, iteration, previous, reference)
                previous = stages[-1]
            return stages
    raise ConfigError(f"no training for {type(algorithm).__name__}")


def _offline(config: RunConfig, algorithm: OfflineDpoAlgorithm, made: Synthesis, sft: Stage) -> list[Stage]:
    """DPO on pairs from the supervisor's answers, or on those of a file."""
    pairs = made.pairs or preference_pairs(config, made)
    dpo = _trains(config, algorithm.dpo, name="train_dpo", function=train_dpo, inputs=(pairs, sft, sft))
    return [dpo] if made.pairs else [pairs, dpo]


def preference_pairs(config: RunConfig, made: Synthesis) -> Stage:
    """Offline pairs of the supervisor's answers."""
    return Stage(
        name="preference_dataset",
        record=PreferencePair,
        function=datasets.preference_dataset,
        config=config.pipeline.preference,
        inputs=made.judged,
        engines={"execution": config.execution},
        seed=config.data_seed,
        estimate=partial(datasets.estimate_pairs, config.pipeline.preference),
    )


def _more_prompts(config: RunConfig, algorithm: OnlineAlgorithm, made: Synthesis) -> list[Stage]:
    """Prompts for the rounds alone, where they take more queries than the supervisor answered."""
    if algorithm.queries_per_instruction is None:
        return []
    queries = replace(config.pipeline.queries, per_instruction=algorithm.queries_per_instruction)
    wider = replace(config, pipeline=replace(config.pipeline, queries=queries))
    return query_graph.prompts(wider, made.verified, made.queries, mark="_online")


def _round(
    config: RunConfig, algorithm: OnlineAlgorithm, prompts: Stage, iteration: int, model: Stage, reference: Stage
) -> list[Stage]:
    """One iteration on own answers: sample from ``model``, verify, compare, train it further."""
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
        inputs=(prompts, model),
        seed=config.seed,
        version=3,  # prompts are dealt from a shuffled deck
        estimate=partial(respond.estimate_sample, algorithm),
    )
    if config.pipeline.sampling is SamplingMode.adaptive and isinstance(algorithm, OnlineDpoAlgorithm):
        # Pairs need only so many of a kind; GRPO compares whole groups.
        sampled = replace(
            sampled,
            function=adaptive.sample,
            config=adaptive.AdaptiveConfig(
                fixed=sampled.config, wanted=adaptive.wanted_of_policy(config.pipeline, algorithm.quality)
            ),
            engines={"execution": config.execution},
            estimate=partial(adaptive.estimate_sample, algorithm, functions),
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
    match algorithm:
        case OnlineDpoAlgorithm():
            learning = _pairs_and_dpo(config, algorithm, iteration, verified, model, reference)
        case GrpoAlgorithm():
            learning = _groups_and_grpo(config, algorithm, iteration, verified, model, reference)
        case _:
            raise ConfigError(f"no training for {type(algorithm).__name__}")
    return [sampled, verified, *learning]


def _pairs_and_dpo(
    config: RunConfig, algorithm: OnlineDpoAlgorithm, iteration: int, verified: Stage, model: Stage, reference: Stage
) -> list[Stage]:
    preference = config.pipeline.preference
    pairs = Stage(
        name="online_pairs",
        label=f"online_pairs_{iteration}",
        record=PreferencePair,
        function=datasets.online_pairs,
        config=datasets.OnlinePairsConfig(preference=preference, quality=algorithm.quality),
        inputs=(verified,),
        seed=config.seed,
        estimate=partial(datasets.estimate_pairs, preference),
    )
    trained = _trains(
        config,
        algorithm.dpo,
        name="train_dpo",
        label=f"train_dpo_{iteration}",
        function=train_dpo,
        inputs=(pairs, model, reference),
    )
    return [pairs, trained]


def _groups_and_grpo(
    config: RunConfig, algorithm: GrpoAlgorithm, iteration: int, verified: Stage, model: Stage, reference: Stage
) -> list[Stage]:
    compared = Stage(
        name="answer_groups",
        label=f"answer_groups_{iteration}",
        record=AnswerGroup,
        function=groups.answer_groups,
        config=groups.GroupsConfig(standardise=algorithm.standardise, quality=algorithm.quality),
        inputs=(verified,),
    )
    trained = _trains(
        config,
        algorithm.grpo,
        name="train_grpo",
        label=f"train_grpo_{iteration}",
        function=train_grpo,
        inputs=(compared, model, reference),
    )
    return [compared, trained]


def _trains(config: RunConfig, training: TrainingConfig, **own: Any) -> Stage:
    """A stage that trains with ``training``; ``own``: what it has beside the other ones."""
    return Stage(
        record=TrainStep,
        config=TrainStageConfig(
            training=training, model=config.model, hardware=config.hardware, cache=config.paths.cache
        ),
        seed=config.seed,
        version=2,  # models are written in fp32, whatever the arithmetic
        estimate=partial(_steps, training),
        **own,
    )


def _steps(training: TrainingConfig, rows: int, *others: int) -> Estimate:
    """Optimizer steps: one row of the curve each."""
    return Estimate(records=training.epochs * -(-rows // training.global_batch_size))
