"""Query quality verification: the supervisor scores how well a response answers its query, 1 to 10 (paper §3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from autoif.config import ScoreConfig
from autoif.generation import Completion, Request, Sampling
from autoif.generation.base import user
from autoif.records import Answers, Reject, Response
from autoif.stage import Context, Estimate
from autoif.synthesis import parsing
from autoif.synthesis.prompts import render


def score(context: Context, answers: Sequence[Answers]) -> Iterator[Answers | Reject]:
    """Score the responses that passed verification; drop those below the threshold or without a readable score."""
    config: ScoreConfig = context.config
    sampling = Sampling(temperature=config.temperature, max_tokens=config.max_tokens)
    requests = (
        Request(messages=user(_prompt(row, response)), sampling=sampling, seed=context.seed)
        for row in answers
        for response in row.responses
        if response.dropped is None
    )
    replies = context.engines.supervisor.generate(requests)
    for row in answers:
        scored = []
        for response in row.responses:
            if response.dropped is None:
                answer = next(replies)
                text = answer.text if isinstance(answer, Completion) else ""
                response = rate(response, text, config.threshold)
                if response.dropped:
                    yield Reject(replace(row, responses=(response,)), response.dropped, text)
            scored.append(response)
        annotated = replace(row, responses=tuple(scored))
        if any(response.dropped is None for response in scored):
            yield annotated
        else:
            yield Reject(annotated, "no_response_left")


def _prompt(row: Answers, response: Response) -> str:
    return render("score", instruction=row.prompt.instruction, query=row.prompt.query, response=response.text)


def rate(response: Response, reply: str, threshold: float) -> Response:
    """The response with the judge's score, dropped when there is none or it is below the threshold."""
    value = parsing.score(reply)
    if value is None:
        return replace(response, dropped="score_unreadable")
    return replace(response, score=value, dropped=None if value >= threshold else "score_below_threshold")


def estimate(samples: int, prompts: int) -> Estimate:
    """One call a response that passed; at most all."""
    return Estimate(records=prompts, model_calls=prompts * samples)
