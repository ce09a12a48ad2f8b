"""Instruction-following verification: responses judged by executing their instruction's functions (paper §3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from autoif.config import VerifyResponsesConfig
from autoif.execution import JobResult
from autoif.records import Answers, Reject, Response
from autoif.stage import Context, Estimate
from autoif.synthesis.evidence import accuracy, matrices


def verify_responses(context: Context, answers: Sequence[Answers]) -> Iterator[Answers | Reject]:
    """Annotate every response with outcomes and accuracy; drop those at or below the threshold, and prompts of which
    none is left. Dropped responses stay in the row: accuracy 0 makes a DPO negative of them."""
    for annotated in verify_samples(context, answers):
        for response in annotated.responses:
            if response.dropped:
                yield Reject(replace(annotated, responses=(response,)), response.dropped)
        if any(response.dropped is None for response in annotated.responses):
            yield annotated
        else:
            yield Reject(annotated, "no_response_passed")


def verify_samples(context: Context, answers: Sequence[Answers]) -> Iterator[Answers]:
    """Annotate the model's own samples (online DPO); nothing is dropped here, pairs are made of good and bad ones."""
    config: VerifyResponsesConfig = context.config
    engine = context.engines.execution
    context.facts["isolation"] = str(engine.isolation)
    groups = ((row.prompt.functions, [response.text for response in row.responses]) for row in answers)
    for row, matrix in zip(answers, matrices(engine, groups), strict=True):
        judged = (judge(response, i, matrix, config.threshold) for i, response in enumerate(row.responses))
        yield replace(row, responses=tuple(judged))


def judge(response: Response, index: int, matrix: Sequence[JobResult], threshold: float) -> Response:
    """A response with its outcomes, accuracy and, unless it already was dropped, the reason it is dropped for."""
    outcomes = [result.outcomes[index] for result in matrix]
    rate = accuracy(outcomes)
    dropped = response.dropped
    if dropped is None and rate is None:
        dropped = "no_evidence"
    elif dropped is None and rate is not None and rate <= threshold:
        dropped = "response_below_threshold"
    return replace(response, outcomes=tuple(o.value for o in outcomes), accuracy=rate, dropped=dropped)


def estimate(functions: int, samples: int, prompts: int) -> Estimate:
    """Every function on every response."""
    return Estimate(records=prompts, executions=prompts * samples * functions)
