"""Query quality verification: the supervisor scores how well a response answers its query, 1 to 10 (paper §3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from statistics import fmean

from msgspec.structs import replace

from autoif.config import ScoreConfig
from autoif.generation import Completion, Failure, Request, Sampling
from autoif.generation.base import user
from autoif.records import Answers, Reject, Response
from autoif.stage import Context, Estimate
from autoif.synthesis import parsing
from autoif.synthesis.evidence import passes
from autoif.synthesis.prompts import render


def score(context: Context, answers: Sequence[Answers]) -> Iterator[Answers | Reject]:
    """Score the responses that passed verification; drop those below the threshold or without a readable score."""
    config: ScoreConfig = context.config
    sampling = Sampling(temperature=config.temperature, max_tokens=config.max_tokens)
    requests = (
        Request(messages=user(_prompt(row, response, config)), sampling=sampling, index=index, seed=context.seed)
        for row in answers
        for response in row.responses
        if response.dropped is None
        for index in range(config.samples)
    )
    replies = context.engines.supervisor.generate(requests)
    for row in answers:
        scored, evidence = [], {}
        for response in row.responses:
            if response.dropped is None:
                given = list(islice(replies, config.samples))
                texts = [answer.text for answer in given if isinstance(answer, Completion)]
                response = rate(response, texts, config)
                evidence[response.index] = "\n\n".join(texts or [a.reason for a in given if isinstance(a, Failure)])
            scored.append(response)
        yield from _decided(replace(row, responses=tuple(scored)), evidence)


def decide(context: Context, answers: Sequence[Answers]) -> Iterator[Answers | Reject]:
    """Keep or drop responses by the score that they came with (an imported file's); nobody is asked."""
    config: ScoreConfig = context.config
    for row in answers:
        alive = [response for response in row.responses if response.dropped is None]
        judged = {response.index: _within(response, config) for response in alive}
        responses = tuple(judged.get(response.index, response) for response in row.responses)
        evidence = {r.index: "" if r.score is None else f"score {r.score:g}" for r in alive}
        yield from _decided(replace(row, responses=responses), evidence)


def _decided(row: Answers, evidence: dict[int, str]) -> Iterator[Answers | Reject]:
    """The row, its responses that were dropped just now (those with evidence) told apart."""
    for response in row.responses:
        if response.dropped and response.index in evidence:
            yield Reject(replace(row, responses=(response,)), response.dropped, evidence[response.index])
    if any(response.dropped is None for response in row.responses):
        yield row
    else:
        yield Reject(row, "no_response_left")


def prompt_name(config: ScoreConfig) -> str:
    """The prompt for the scale that scores are asked on."""
    return "score" if config.lowest else "score_from_zero"


def _prompt(row: Answers, response: Response, config: ScoreConfig) -> str:
    about = {"instruction": row.prompt.instruction, "query": row.prompt.query, "response": response.text}
    return render(prompt_name(config), **about)


def rate(response: Response, replies: Sequence[str], config: ScoreConfig) -> Response:
    """The response with the mean of the scores that its replies hold, dropped when there is none or it is too low.

    No reply at all (the judge would not answer) is another reason than replies without a score.
    """
    values = [value for reply in replies if (value := parsing.score(reply)) is not None]
    rated = _within(replace(response, score=fmean(values) if values else None), config)
    return rated if replies else replace(rated, dropped="not_scored")


def _within(response: Response, config: ScoreConfig) -> Response:
    if response.score is None:
        return replace(response, dropped="score_unreadable")
    kept = passes(response.score, config.threshold, config.bound)
    return replace(response, dropped=None if kept else "score_below_threshold")


def estimate(config: ScoreConfig, samples: int, prompts: int) -> Estimate:
    """The calls of a response that passed; at most all did."""
    return Estimate(records=prompts, model_calls=prompts * samples * config.samples)
