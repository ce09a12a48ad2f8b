"""Held-out prompts: verified instructions on queries never trained on, judged by their own functions.

Always available: it needs no benchmark file and no judge, only the run's verified functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from autoif.execution import ExecutionEngine, JobResult, Outcome
from autoif.generation.base import Answer, Failure, Generator, Request, Sampling, user
from autoif.records import EvaluationItem, Prompt
from autoif.synthesis.evidence import accuracy, matrices
from evaluation.answering import answer, text

BENCHMARK = "heldout"
_BATCH = 256
"""Answers judged in one round of the execution engine."""


def generate(generator: Generator, prompts: Iterable[Prompt], max_tokens: int) -> Iterator[tuple[Prompt, Answer]]:
    """Greedy answers, streamed in the order of the prompts."""
    sampling = Sampling(max_tokens=max_tokens)
    return answer(generator, prompts, lambda prompt: Request(messages=user(prompt.text), sampling=sampling))


def score(
    engine: ExecutionEngine, answered: Iterable[tuple[Prompt, Answer]], model: str, threshold: float
) -> Iterator[EvaluationItem]:
    """``accuracy``: share of True among the functions that gave evidence; ``followed``: whether it exceeds
    ``threshold``, and for composed prompts whether every function said True, under ``followed_level_<constraints>`` as
    well. An answer that was not to be had, or that no function could judge, is not followed: leaving it out
    would reward a model for answers that break the functions."""
    pairs = iter(answered)
    while batch := list(islice(pairs, _BATCH)):
        groups = [(prompt.functions, [text(reply)]) for prompt, reply in batch]
        for (prompt, reply), results in zip(batch, matrices(engine, groups), strict=True):
            yield _item(prompt, reply, results, model, threshold)


def _item(prompt: Prompt, reply: Answer, results: list[JobResult], model: str, threshold: float) -> EvaluationItem:
    outcomes = [result.outcomes[0] for result in results]
    share = None if isinstance(reply, Failure) else accuracy(outcomes)
    followed = float((share or 0.0) > threshold)
    scores = {"followed": followed, "accuracy": share or 0.0}
    if prompt.constraints > 1:
        followed *= share is not None and all(outcome is Outcome.TRUE for outcome in outcomes)
        scores |= {"followed": followed, f"followed_level_{prompt.constraints}": followed}
    if isinstance(reply, Failure):
        detail = f"no answer: {reply.reason}"
    else:
        detail = " ".join(outcome.value for outcome in outcomes) + (" (no evidence)" if share is None else "")
    return EvaluationItem(
        id=prompt.id,
        benchmark=BENCHMARK,
        model=model,
        prompt=prompt.text,
        response=text(reply),
        scores=scores,
        labels=(prompt.instruction,),
        detail=detail,
    )


def count(items: Iterable[EvaluationItem], facts: dict[str, Any]) -> Iterator[EvaluationItem]:
    """Pass ``items`` on, counting in ``facts`` those without an answer and those without evidence."""
    facts.update(unanswerable=0, no_evidence=0)
    for item in items:
        facts["unanswerable"] += item.detail.startswith("no answer")
        facts["no_evidence"] += item.detail.endswith("(no evidence)")
        yield item
