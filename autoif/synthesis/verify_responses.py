"""Instruction-following verification: responses judged by executing their instruction's functions (paper §3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from autoif.config import Bound, VerifyResponsesConfig
from autoif.execution import JobResult, Outcome
from autoif.records import Answers, Reject, Response
from autoif.stage import Context, Estimate
from autoif.synthesis.evidence import accuracy, matrices, passes

if TYPE_CHECKING:
    from autoif.execution import ExecutionEngine


def verify_responses(context: Context, answers: Sequence[Answers]) -> Iterator[Answers | Reject]:
    """Annotate every response with outcomes and accuracy; drop those at or below the threshold, and prompts of which
    none is left. Dropped responses stay in the row: accuracy 0 makes a DPO negative of them."""
    for annotated in verify_samples(context, answers):
        yield from _decided(annotated)


def _decided(row: Answers) -> Iterator[Answers | Reject]:
    for response in row.responses:
        if response.dropped:
            yield Reject(replace(row, responses=(response,)), response.dropped)
    if any(response.dropped is None for response in row.responses):
        yield row
    else:
        yield Reject(row, "no_response_passed")


def verify_samples(context: Context, answers: Sequence[Answers]) -> Iterator[Answers]:
    """Annotate the model's own samples (online DPO); nothing is dropped here, pairs are made of good and bad ones."""
    config: VerifyResponsesConfig = context.config
    engine = context.engines.execution
    context.facts["isolation"] = str(engine.isolation)
    for row in executed(engine, answers):
        composed = row.prompt.constraints > 1
        yield replace(row, responses=tuple(judge(response, config, composed) for response in row.responses))


def executed(engine: ExecutionEngine, answers: Sequence[Answers]) -> Iterator[Answers]:
    """Every response with its outcomes and accuracy. Rows that have them (adaptive sampling verifies while it draws)
    are not executed again."""
    groups = ((row.prompt.functions, [r.text for r in row.responses]) for row in answers if not _executed(row))
    found = matrices(engine, groups)
    for row in answers:
        yield row if _executed(row) else replace(row, responses=tuple(observed(row.responses, next(found))))
    assert next(found, None) is None, "a result without its row"


def _executed(row: Answers) -> bool:
    functions = len(row.prompt.functions)
    return functions > 0 and all(len(response.outcomes) == functions for response in row.responses)


def observed(responses: Sequence[Response], matrix: Sequence[JobResult]) -> list[Response]:
    """Responses with what executing the functions on them came to: outcomes and accuracy."""
    seen = []
    for position, response in enumerate(responses):
        outcomes = [result.outcomes[position] for result in matrix]
        seen.append(
            replace(response, outcomes=tuple(outcome.value for outcome in outcomes), accuracy=accuracy(outcomes))
        )
    return seen


def decide(context: Context, answers: Sequence[Answers]) -> Iterator[Answers | Reject]:
    """Keep or drop responses by the accuracy that they came with (an imported file's); nothing is executed."""
    config: VerifyResponsesConfig = context.config
    for row in answers:
        yield from _decided(replace(row, responses=tuple(judge(response, config) for response in row.responses)))


def judge(response: Response, config: VerifyResponsesConfig, composed: bool = False) -> Response:
    """An executed response with its accuracy and, unless it already was dropped, the reason it is dropped for.

    ``composed``: the functions belong to several instructions, of which each must be met: all must return True.
    """
    rate, dropped = response.accuracy, response.dropped
    if response.outcomes:
        rate = accuracy([Outcome(name) for name in response.outcomes], config.crashes, config.none)
    if dropped is None and rate is None:
        dropped = "no_evidence"
    elif dropped is None and not passes(rate, config.threshold, Bound.above):
        dropped = "response_below_threshold"
    elif dropped is None and composed and any(name != Outcome.TRUE.value for name in response.outcomes):
        dropped = "constraint_not_met"
    return replace(response, accuracy=rate, dropped=dropped)


def estimate(functions: int, samples: int, prompts: int) -> Estimate:
    """Every function on every response."""
    return Estimate(records=prompts, executions=prompts * samples * functions)
