"""Adaptive sampling: a prompt is answered until the datasets can use no more of its answers.

In rounds: every open prompt is asked exactly as many samples as it lacks, they are verified, and what is still lacking
is asked in the next round, up to K in all. A sample cannot be a positive and a negative at once, so fewer than the
lacking ones never suffice: no round asks for more than some outcome of it can use. Sample number i is the same request
as under fixed sampling, so both share the call cache and recordings.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from autoif.config import (
    AlgorithmConfig,
    Bound,
    OfflineDpoAlgorithm,
    OnlineAlgorithm,
    PipelineConfig,
    QualityConfig,
    RespondConfig,
    VerifyResponsesConfig,
)
from autoif.generation import Generator, Request, Sampling
from autoif.generation.base import Answer, user
from autoif.records import Answers, Function, Prompt, Record, Reject, Response
from autoif.stage import CHUNK, Context, Estimate, Rows
from autoif.synthesis import respond as fixed_sampling
from autoif.synthesis.evidence import matrices, passes
from autoif.synthesis.quality import flaw
from autoif.synthesis.respond import SampleConfig, decoding, question, reading, window
from autoif.synthesis.verify_responses import judge, observed

if TYPE_CHECKING:
    from autoif.execution import ExecutionEngine


@dataclass(kw_only=True, slots=True)
class Wanted:
    """How many distinct answers of one prompt the datasets can use.

    ``examples`` that pass ``verify`` for SFT; for pairs ``chosen`` whose accuracy passes ``chosen_threshold`` as well
    (see ``chosen_bound``) and that have no flaw by ``quality``, and ``rejected`` with accuracy 0.
    """

    examples: int
    verify: VerifyResponsesConfig
    chosen: int = 0
    rejected: int = 0
    chosen_threshold: float = 0.0
    chosen_bound: Bound = Bound.above
    quality: QualityConfig = field(default_factory=QualityConfig)

    def lacking(self, prompt: Prompt, responses: Iterable[Response]) -> int:
        """The fewest further samples after which nothing may be lacking; 0 when nothing is."""
        good, best, bad = set[str](), set[str](), set[str]()
        for response in responses:
            judged = judge(response, self.verify, prompt.constraints > 1)
            if judged.accuracy == 0 and judged.text:
                bad.add(judged.text)
            elif judged.dropped is None:
                good.add(judged.text)
                eligible = passes(judged.accuracy, self.chosen_threshold, self.chosen_bound)
                if eligible and not flaw(judged.text, self.quality):
                    best.add(judged.text)
        return max(0, self.examples - len(good), self.chosen - len(best)) + max(0, self.rejected - len(bad))


@dataclass(kw_only=True, slots=True)
class AdaptiveConfig:
    """``fixed``: the settings that sampling would have without it; its ``samples`` bound each prompt's."""

    fixed: RespondConfig | SampleConfig
    wanted: Wanted


def wanted_of_supervisor(pipeline: PipelineConfig, algorithm: AlgorithmConfig) -> Wanted:
    """What the datasets of this algorithm use of the supervisor's answers to one prompt.

    Only offline DPO makes pairs of them. Where scores follow, more positives are wanted by ``pipeline.score.margin``.
    """
    margin = pipeline.score.margin if pipeline.score.enabled else 1.0
    assert pipeline.sft_dataset.per_prompt is not None, "checked with the configuration"
    examples = math.ceil(margin * pipeline.sft_dataset.per_prompt)
    if not isinstance(algorithm, OfflineDpoAlgorithm):
        return Wanted(examples=examples, verify=pipeline.verify_responses)
    return _with_pairs(pipeline, examples, math.ceil(margin * pipeline.preference.max_chosen), QualityConfig())


def wanted_of_policy(pipeline: PipelineConfig, quality: QualityConfig) -> Wanted:
    """What the pairs of an online iteration use of the model's own answers to one prompt."""
    return _with_pairs(pipeline, 0, pipeline.preference.max_chosen, quality)


def _with_pairs(pipeline: PipelineConfig, examples: int, chosen: int, quality: QualityConfig) -> Wanted:
    preference = pipeline.preference
    return Wanted(
        examples=examples,
        verify=pipeline.verify_responses,
        chosen=chosen,
        rejected=preference.max_rejected,
        chosen_threshold=preference.chosen_threshold,
        chosen_bound=preference.chosen_bound,
        quality=quality,
    )


def respond(context: Context, prompts: Sequence[Prompt]) -> Iterator[Answers | Reject]:
    """The supervisor answers each query under its instruction, at most K times; answers carry their outcomes."""
    yield from _answers(context, context.engines.supervisor, prompts)


def sample(context: Context, prompts: Rows[Prompt], model: Rows[Record]) -> Iterator[Answers | Reject]:
    """The current model answers the training prompts (one online iteration), at most K times each."""
    config: AdaptiveConfig = context.config
    policy = context.engines.policy(model.files / "model", model.entry.fingerprint)
    try:
        assert isinstance(config.fixed, SampleConfig)
        chosen = window(prompts, config.fixed.iteration, config.fixed.prompts, context.seed)
        while some := list(islice(chosen, CHUNK)):
            yield from _answers(context, policy, some)
    finally:
        policy.close()


@dataclass(slots=True)
class _Drawing:
    """One prompt's answers so far. ``asked``: samples asked for, failures included."""

    prompt: Prompt
    asked: int = 0
    ask: int = 0
    responses: list[Response] = field(default_factory=list)
    failed: list[Reject] = field(default_factory=list)


def _answers(context: Context, generator: Generator, prompts: Sequence[Prompt]) -> Iterator[Answers | Reject]:
    config: AdaptiveConfig = context.config
    engine = context.engines.execution
    context.facts["isolation"] = str(engine.isolation)
    drawings = [_Drawing(prompt) for prompt in prompts]
    ask, sampling = question(config.fixed), decoding(config.fixed)
    while lacking := _open(drawings, config):
        _round(lacking, generator, engine, ask, sampling, context.seed)
    for drawing in drawings:
        yield from drawing.failed
        answered = Answers(id=drawing.prompt.id, prompt=drawing.prompt, responses=tuple(drawing.responses))
        yield answered if drawing.responses else Reject(answered, "no_response")


def _open(drawings: Sequence[_Drawing], config: AdaptiveConfig) -> list[_Drawing]:
    """Prompts that lack something and may be asked again, with how often."""
    for drawing in drawings:
        lacking = config.wanted.lacking(drawing.prompt, drawing.responses)
        drawing.ask = min(lacking, config.fixed.samples - drawing.asked)
    return [drawing for drawing in drawings if drawing.ask]


def _round(
    drawings: Sequence[_Drawing],
    generator: Generator,
    engine: ExecutionEngine,
    ask: Callable[[Prompt], str],
    sampling: Sampling,
    seed: int,
) -> None:
    """Ask and verify what each drawing lacks; answers are verified while others are still awaited."""

    def requests() -> Iterator[Request]:
        for drawing in drawings:
            messages = user(ask(drawing.prompt))
            for index in range(drawing.asked, drawing.asked + drawing.ask):
                yield Request(messages=messages, sampling=sampling, index=index, seed=seed)

    answers = generator.generate(requests())
    waiting: deque[tuple[_Drawing, list[Response]]] = deque()

    def groups() -> Iterator[tuple[Sequence[Function], Sequence[str]]]:
        for drawing in drawings:
            fresh = _read(drawing, islice(answers, drawing.ask))
            waiting.append((drawing, fresh))
            yield drawing.prompt.functions, [response.text for response in fresh]

    for matrix in matrices(engine, groups()):
        drawing, fresh = waiting.popleft()
        drawing.asked += drawing.ask
        drawing.responses += observed(fresh, matrix)


def _read(drawing: _Drawing, answers: Iterable[Answer]) -> list[Response]:
    """New answers of one prompt; what could not be answered is kept as evidence."""
    fresh = []
    for index, answer in enumerate(answers, drawing.asked):
        response = reading(drawing.prompt, index, answer)
        if isinstance(response, Reject):
            drawing.failed.append(response)
        else:
            fresh.append(response)
    return fresh


def estimate(functions: int, samples: int, prompts: int) -> Estimate:
    """At most K calls a prompt, and every function on every answer."""
    calls = prompts * samples
    return Estimate(records=prompts, model_calls=calls, executions=calls * functions)


def estimate_sample(algorithm: OnlineAlgorithm, functions: int, prompts: int, model: int) -> Estimate:
    """The same for one online iteration."""
    return estimate(functions, algorithm.samples, fixed_sampling.estimate_sample(algorithm, prompts, model).records)
