"""The training part of the graph: SFT, then what the algorithm adds to it (paper §3.3)."""

from __future__ import annotations

from functools import partial

from autoif.config import (
    AlgorithmConfig,
    OfflineDpoAlgorithm,
    OnlineDpoAlgorithm,
    Reference,
    RunConfig,
    SftAlgorithm,
    TrainingConfig,
)
from autoif.errors import ConfigError
from autoif.models import model_identity
from autoif.records import Answers, PreferencePair, TrainStep
from autoif.stage import CHUNK, Estimate, Stage
from autoif.synthesis import datasets, respond, verify_responses
from autoif.synthesis.graph import Synthesis
from autoif.training.stages import TrainStageConfig, train_dpo, train_sft


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
