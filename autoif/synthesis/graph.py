"""The synthesis part of the graph: from seeds and queries to SFT samples (paper §3.1 and §3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from autoif.config import NliJudge, RunConfig, Start
from autoif.generation.factory import supervisor_identity
from autoif.interchange import start
from autoif.records import Answers, Instruction, Prompt, Query, SftExample, Verifier
from autoif.stage import CHUNK, Stage
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
from evaluation.contamination_stages import cleaned


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
    verifiers = instruction_level(config)
    pool, drawn = _prompts(config, verifiers[-1])
    prompts = cleaned(config, drawn)
    answers = _answers(config, prompts[-1])
    pipeline = config.pipeline
    examples = Stage(
        name="sft_dataset",
        record=SftExample,
        function=datasets.sft_dataset,
        config=pipeline.sft_dataset,
        inputs=(answers[-1],),
        seed=config.seed,
        chunk=CHUNK,
        estimate=partial(datasets.estimate_sft, pipeline.sft_dataset, pipeline.respond.samples),
    )
    stages = (*verifiers, pool, *prompts, *answers, examples)
    return Synthesis(stages, verifiers[-1], pool, prompts[-1], answers[-1], examples)


def _written(config: RunConfig) -> list[Stage]:
    """From the seeds to functions and cases."""
    pipeline = config.pipeline
    supervisor = {"supervisor": supervisor_identity(config.supervisor)}
    seeds = {"seeds": queries.content_id(self_instruct.seeds_path(pipeline.self_instruct))}
    first = Stage(
        name="self_instruct",
        record=Instruction,
        function=self_instruct.self_instruct,
        config=pipeline.self_instruct,
        texts=texts("self_instruct") | seeds,
        engines=supervisor,
        seed=config.seed,
        estimate=partial(self_instruct.estimate, pipeline.self_instruct),
    )
    written = Stage(
        name="write_verifiers",
        record=Verifier,
        function=write_verifiers.write_verifiers,
        config=pipeline.write_verifiers,
        inputs=(first,),
        texts=texts("write_verifier"),
        engines=supervisor,
        seed=config.seed,
        chunk=CHUNK,
        estimate=partial(write_verifiers.estimate, pipeline.write_verifiers),
    )
    return [first, written]


def instruction_level(config: RunConfig) -> list[Stage]:
    """Instruction level (§3.1): the last stage holds the verified instructions."""
    pipeline, kind = config.pipeline, config.pipeline.start.kind
    functions = pipeline.write_verifiers.samples
    supervisor = {"supervisor": supervisor_identity(config.supervisor)}
    verifiers = partial(Stage, record=Verifier, seed=config.seed, chunk=CHUNK)
    stages = _written(config) if kind is Start.seeds else [start.verifiers(config)]
    behind = start.BEFORE[kind]
    if pipeline.cross_verify.enabled and "cross_verify" not in behind:
        stages += [
            verifiers(
                name="cross_verify",
                function=cross_verify.cross_verify,
                config=pipeline.cross_verify,
                inputs=(stages[-1],),
                engines={"execution": config.execution},
                estimate=partial(cross_verify.estimate, functions),
            )
        ]
    if pipeline.back_translate.enabled and "back_translate" not in behind:
        stages += [
            verifiers(
                name="back_translate",
                function=back_translate.back_translate,
                config=pipeline.back_translate,
                inputs=(stages[-1],),
                texts=texts("back_translate"),
                engines=supervisor,
                estimate=partial(back_translate.estimate, functions),
            )
        ]
    if pipeline.back_translate.enabled and "nli_filter" not in behind:
        by_supervisor = pipeline.nli.judge is NliJudge.supervisor
        stages += [
            verifiers(
                name="nli_filter",
                function=nli_filter.nli_filter,
                config=pipeline.nli,
                inputs=(stages[-1],),
                texts=texts("nli") if by_supervisor else {},
                engines=supervisor if by_supervisor else {"nli": pipeline.nli.model},
                estimate=partial(nli_filter.estimate, pipeline.nli, functions),
            )
        ]
    return stages


def _prompts(config: RunConfig, verified: Stage) -> tuple[Stage, Stage]:
    """The pool of user queries, and the training prompts made of them."""
    settings = config.pipeline.queries
    pool = Stage(
        name="queries",
        record=Query,
        function=queries.load_queries,
        config=settings,
        texts={"queries": queries.content_id(queries.queries_path(settings))},
        seed=config.seed,
        estimate=partial(queries.estimate, settings),
    )
    prompts = Stage(
        name="attach_queries",
        record=Prompt,
        function=attach_queries.attach_queries,
        config=settings,
        inputs=(verified, pool),
        texts=texts(f"prompt_{settings.order.value}"),
        seed=config.seed,
        estimate=partial(attach_queries.estimate, settings),
    )
    return pool, prompts


def _answers(config: RunConfig, prompts: Stage) -> list[Stage]:
    """Query level (§3.2): the last stage holds the answers that passed."""
    pipeline = config.pipeline
    functions, samples = pipeline.write_verifiers.samples, pipeline.respond.samples
    supervisor = {"supervisor": supervisor_identity(config.supervisor)}
    answers = partial(Stage, record=Answers, seed=config.seed, chunk=CHUNK)
    if pipeline.start.kind is Start.query_rft:
        responses = start.answers(config)
    else:
        responses = answers(
            name="respond",
            function=respond.respond,
            config=pipeline.respond,
            inputs=(prompts,),
            texts=texts("respond", "respond_brief"),
            engines=supervisor,
            estimate=partial(respond.estimate, samples),
        )
    made = cleaned(config, responses) if pipeline.start.kind is Start.query_rft else [responses]
    verified = answers(
        name="verify_responses",
        function=verify_responses.verify_responses,
        config=pipeline.verify_responses,
        inputs=(made[-1],),
        engines={"execution": config.execution},
        estimate=partial(verify_responses.estimate, functions, samples),
    )
    if not pipeline.score.enabled:
        return [*made, verified]
    scored = answers(
        name="score",
        function=score.score,
        config=pipeline.score,
        inputs=(verified,),
        texts=texts("score"),
        engines=supervisor,
        estimate=partial(score.estimate, samples),
    )
    return [*made, verified, scored]
