"""The instruction level of the graph (paper §3.1): from seeds, or from a file, to verified instructions."""

from __future__ import annotations

from functools import partial

from autoif.config import ComposeJudge, NliJudge, RunConfig, Start
from autoif.generation.factory import supervisor_identity
from autoif.interchange import start
from autoif.records import Instruction, Verifier
from autoif.stage import CHUNK, Stage
from autoif.synthesis import (
    back_translate,
    compose,
    cross_verify,
    mutation_check,
    near_duplicates,
    nli_filter,
    queries,
    self_instruct,
    write_verifiers,
)
from autoif.synthesis.prompts import texts


def instruction_level(config: RunConfig) -> list[Stage]:
    """Every stage has the one before it as its input; the last one holds the verified instructions."""
    kind = config.pipeline.start.kind
    stages = _written(config) if kind is Start.seeds else [start.verifiers(config)]
    behind = start.BEFORE[kind]
    for add in (_by_execution, _by_reading_back):
        stages += add(config, stages[-1], behind)
    if config.pipeline.compose.constraints > 1:
        stages.append(_composed(config, stages[-1]))
    return stages


def _written(config: RunConfig) -> list[Stage]:
    """From the seeds to functions and cases."""
    pipeline = config.pipeline
    supervisor = {"supervisor": supervisor_identity(config.supervisor)}
    seeds = {"seeds": queries.content_id(self_instruct.seeds_path(pipeline.self_instruct))}
    stages = [
        Stage(
            name="self_instruct",
            record=Instruction,
            function=self_instruct.self_instruct,
            config=pipeline.self_instruct,
            texts=texts("self_instruct") | seeds,
            engines=supervisor,
            seed=config.data_seed,
            estimate=partial(self_instruct.estimate, pipeline.self_instruct),
        )
    ]
    if pipeline.near_duplicates.enabled:
        stages.append(
            Stage(
                name="near_duplicates",
                record=Instruction,
                function=near_duplicates.near_duplicates,
                config=pipeline.near_duplicates,
                inputs=(stages[-1],),
            )
        )
    written = Stage(
        name="write_verifiers",
        record=Verifier,
        function=write_verifiers.write_verifiers,
        config=pipeline.write_verifiers,
        inputs=(stages[-1],),
        texts=texts(write_verifiers.prompt_name(pipeline.write_verifiers)),
        engines=supervisor,
        seed=config.data_seed,
        chunk=CHUNK,
        estimate=partial(write_verifiers.estimate, pipeline.write_verifiers),
    )
    return [*stages, written]


def _by_execution(config: RunConfig, source: Stage, behind: frozenset[str]) -> list[Stage]:
    """Functions and cases against each other, functions against damaged cases."""
    pipeline = config.pipeline
    functions = pipeline.write_verifiers.samples
    verifiers = partial(
        Stage, record=Verifier, seed=config.data_seed, chunk=CHUNK, engines={"execution": config.execution}
    )
    stages = []
    if pipeline.cross_verify.enabled and "cross_verify" not in behind:
        voted = verifiers(
            name="cross_verify",
            function=cross_verify.cross_verify,
            config=pipeline.cross_verify,
            inputs=(source,),
            estimate=partial(cross_verify.estimate, functions),
        )
        stages.append(voted)
    if pipeline.mutation_check.enabled:
        checked = verifiers(
            name="mutation_check",
            function=mutation_check.mutation_check,
            config=pipeline.mutation_check,
            inputs=(stages[-1] if stages else source,),
            estimate=partial(mutation_check.estimate, pipeline.mutation_check, functions),
        )
        stages.append(checked)
    return stages


def _by_reading_back(config: RunConfig, source: Stage, behind: frozenset[str]) -> list[Stage]:
    """Functions read back into instructions, and what contradicts the instruction dropped."""
    pipeline = config.pipeline
    functions = pipeline.write_verifiers.samples
    supervisor = {"supervisor": supervisor_identity(config.supervisor)}
    verifiers = partial(Stage, record=Verifier, seed=config.data_seed, chunk=CHUNK)
    stages: list[Stage] = []
    if pipeline.back_translate.enabled and "back_translate" not in behind:
        read = verifiers(
            name="back_translate",
            function=back_translate.back_translate,
            config=pipeline.back_translate,
            inputs=(source,),
            texts=texts("back_translate_together" if pipeline.back_translate.together else "back_translate"),
            engines=supervisor,
            estimate=partial(back_translate.estimate, pipeline.back_translate, functions),
        )
        stages.append(read)
    if pipeline.back_translate.enabled and "nli_filter" not in behind:
        by_supervisor = pipeline.nli.judge is NliJudge.supervisor
        judged = verifiers(
            name="nli_filter",
            function=nli_filter.nli_filter,
            config=pipeline.nli,
            inputs=(stages[-1] if stages else source,),
            texts=texts("nli") if by_supervisor else {},
            engines=supervisor if by_supervisor else {"nli": pipeline.nli.model},
            estimate=partial(nli_filter.estimate, pipeline.nli, functions),
        )
        stages.append(judged)
    return stages


def _composed(config: RunConfig, verified: Stage) -> Stage:
    settings = config.pipeline.compose
    by_supervisor = settings.judge is ComposeJudge.supervisor
    asked = {"supervisor": supervisor_identity(config.supervisor)} if by_supervisor else {}
    return Stage(
        name="compose",
        record=Verifier,
        function=compose.compose,
        config=settings,
        inputs=(verified,),
        texts=texts("compose") if by_supervisor else {},
        engines=asked | {"execution": config.execution},
        seed=config.data_seed,
        estimate=partial(compose.estimate, settings, config.pipeline.write_verifiers.samples),
    )
