"""The query level of the graph (paper §3.2): queries attached to verified instructions, answers, and their filters."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from autoif.config import RunConfig, SamplingMode, Start
from autoif.generation.factory import supervisor_identity
from autoif.records import Answers, Prompt, Query, Verifier
from autoif.stage import CHUNK, Stage
from autoif.synthesis import (
    adaptive,
    attach_queries,
    check_functions,
    queries,
    respond,
    score,
    verify_responses,
)
from autoif.synthesis.prompts import texts
from evaluation.contamination_stages import cleaned


def pool(config: RunConfig) -> Stage:
    """The user queries."""
    settings = config.pipeline.queries
    return Stage(
        name="queries",
        record=Query,
        function=queries.load_queries,
        config=settings,
        texts={"queries": queries.content_id(queries.queries_path(settings))},
        seed=config.data_seed,
        estimate=partial(queries.estimate, settings),
    )


def prompts(config: RunConfig, verified: Stage, drawn_from: Stage, mark: str = "") -> list[Stage]:
    """The training prompts of ``verified``: the last stage holds them. ``mark`` tells a second set's titles apart."""
    settings = config.pipeline.queries
    drawn = Stage(
        name="attach_queries",
        record=Prompt,
        function=attach_queries.attach_queries,
        config=settings,
        inputs=(verified, drawn_from),
        texts=attach_queries.order_texts(settings.order),
        seed=config.data_seed,
        estimate=partial(attach_queries.estimate, settings),
    )
    stages = cleaned(config, drawn)
    return [replace(stage, label=f"{stage.title}{mark}") for stage in stages] if mark else stages


def responses(config: RunConfig, asked: Stage) -> Stage:
    """The supervisor's answers to the training prompts."""
    pipeline = config.pipeline
    functions, samples = pipeline.write_verifiers.samples, pipeline.respond.samples
    answers = partial(
        Stage, name="respond", record=Answers, inputs=(asked,), texts=texts("respond", "respond_brief"), chunk=CHUNK
    )
    supervisor = {"supervisor": supervisor_identity(config.supervisor)}
    if pipeline.sampling is SamplingMode.adaptive:
        wanted = adaptive.wanted_of_supervisor(pipeline, config.algorithm)
        return answers(
            function=adaptive.respond,
            config=adaptive.AdaptiveConfig(fixed=pipeline.respond, wanted=wanted),
            engines=supervisor | {"execution": config.execution},
            seed=config.data_seed,
            estimate=partial(adaptive.estimate, functions, samples),
        )
    return answers(
        function=respond.respond,
        config=pipeline.respond,
        engines=supervisor,
        seed=config.data_seed,
        estimate=partial(respond.estimate, samples),
    )


def function_checks(config: RunConfig, verified: Stage, answered: Stage) -> list[Stage]:
    """Answers executed, instructions narrowed by them, answers narrowed to those: (observed, checked, narrowed)."""
    pipeline = config.pipeline
    observed = Stage(
        name="observe_responses",
        record=Answers,
        function=check_functions.observe_responses,
        inputs=(answered,),
        engines={"execution": config.execution},
        chunk=CHUNK,
        estimate=partial(verify_responses.estimate, *_executions(config)),
    )
    checked = Stage(
        name="check_functions",
        record=Verifier,
        function=check_functions.check_functions,
        config=pipeline.check_functions,
        inputs=(verified, observed),
        engines={"execution": config.execution},
    )
    narrowed = Stage(
        name="narrow_answers",
        record=Answers,
        function=check_functions.narrow_answers,
        inputs=(observed, checked),
    )
    return [observed, checked, narrowed]


def _executions(config: RunConfig) -> tuple[int, int]:
    """Functions and samples of a prompt that are still to be executed: adaptive sampling has done it by then."""
    pipeline = config.pipeline
    drawn = pipeline.start.kind not in (Start.query_rft, Start.dpo_query_w_funcs)
    adaptively = pipeline.sampling is SamplingMode.adaptive and drawn
    return 0 if adaptively else pipeline.write_verifiers.samples, pipeline.respond.samples


def filters(config: RunConfig, answered: Stage, executed: bool = False) -> list[Stage]:
    """Instruction-following verification, then the score where it is on. ``executed``: outcomes are there already."""
    pipeline = config.pipeline
    functions, samples = _executions(config)
    answers = partial(Stage, record=Answers, seed=config.data_seed, chunk=CHUNK)
    verified = answers(
        name="verify_responses",
        function=verify_responses.verify_responses,
        config=pipeline.verify_responses,
        inputs=(answered,),
        engines={"execution": config.execution},
        estimate=partial(verify_responses.estimate, 0 if executed else functions, samples),
    )
    if not pipeline.score.enabled:
        return [verified]
    scored = answers(
        name="score",
        function=score.score,
        config=pipeline.score,
        inputs=(verified,),
        texts=texts(score.prompt_name(pipeline.score)),
        engines={"supervisor": supervisor_identity(config.supervisor)},
        estimate=partial(score.estimate, pipeline.score, samples),
    )
    return [verified, scored]


def decided(config: RunConfig, answered: Stage) -> list[Stage]:
    """The filter that imported answers have the numbers for: their accuracies or their scores decide."""
    pipeline = config.pipeline
    answers = partial(Stage, record=Answers, seed=config.data_seed, chunk=CHUNK, inputs=(answered,))
    if pipeline.start.kind is Start.query_rft_score:
        return [answers(name="score", function=score.decide, config=pipeline.score)]
    return [answers(name="verify_responses", function=verify_responses.decide, config=pipeline.verify_responses)]
