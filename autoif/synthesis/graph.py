"""The synthesis part of the graph: from seeds and queries to SFT samples (paper §3.1 and §3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from autoif.config import NliJudge, RunConfig
from autoif.generation.factory import supervisor_identity
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
            texts=texts("self_instruct")
            | {"seeds": queries.content_id(self_instruct.seeds_path(pipeline.self_instruct))},
            engines=supervisor,
            seed=config.seed,
            estimate=partial(self_instruct.estimate, pipeline.self_instruct),
        )
    ]

    def then(name: str, record: type, function: object, settings: object, **more: object) -> None:
        stages.append(
            chunked(name=name, record=record, function=function, config=settings, inputs=(stages[-1],), **more)
        )

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
