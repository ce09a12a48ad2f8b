"""A supervisor that answers from a function of the request: the generator protocol without a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from autoif.generation import Completion, Failure, Request
from autoif.generation.base import Answer
from autoif.records import Function, Instruction, Verifier, digest
from autoif.stage import Context
from autoif.synthesis.prompts import prompt_text

PROMPTS = ("self_instruct", "write_verifier", "back_translate", "nli", "respond", "score")
PROMPTS += ("back_translate_together", "compose", "score_from_zero")


class Scripted:
    """A :class:`~autoif.generation.Generator` that calls ``answer(request)`` and remembers what it was asked."""

    identity = "scripted"

    def __init__(self, answer: Callable[[Request], str | Answer]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.closed = 0

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for request in requests:
            self.requests.append(request)
            answer = self.answer(request)
            yield Completion(text=answer) if isinstance(answer, str) else answer

    def close(self) -> None:
        self.closed += 1


def asked(last_turn: str) -> str:
    """Which of the shipped prompts a request with this last turn was made from."""
    return next(name for name in PROMPTS if last_turn.startswith(beginning(name)))


def beginning(name: str) -> str:
    """A prompt's last turn up to its first field."""
    return prompt_text(name).rpartition("### user\n")[2].partition("$")[0]


def context(
    config: Any, answer: Callable[[Request], str | Answer] | None = None, execution: Any = None, seed: int = 0
) -> Context:
    """What a stage function gets, with a scripted supervisor."""
    engines: Any = SimpleNamespace(supervisor=answer and Scripted(answer), execution=execution)
    return Context(config, engines, Path("unused"), Path("unused"), seed)


def failure(request: Request) -> Answer:
    """An engine that can answer nothing."""
    return Failure(reason="content_filter", detail="blocked")


def verifier_json(code: str, *cases: tuple[str, bool]) -> str:
    """A reply that keeps the verifier contract."""
    return json.dumps({"func": code, "cases": [{"input": text, "output": expected} for text, expected in cases]})


def instruction(text: str = "Answer in lower case.") -> Instruction:
    """A seed instruction."""
    return Instruction(id=digest("instruction", text), text=text, origin="seed")


def verifier(*codes: str, cases: Iterable[Any] = (), text: str = "Answer in lower case.") -> Verifier:
    """A verifier with one function for each source."""
    functions = tuple(Function(id=str(number), code=code) for number, code in enumerate(codes))
    return Verifier(id=instruction(text).id, instruction=instruction(text), functions=functions, cases=tuple(cases))


def split(outputs: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """What a stage function kept, and what it dropped."""
    from autoif.records import Reject

    kept, dropped = [], []
    for output in outputs:
        (dropped if isinstance(output, Reject) else kept).append(output)
    return kept, dropped


def reasons(dropped: Iterable[Any]) -> list[str]:
    """Reasons of dropped records, in order."""
    return [reject.reason for reject in dropped]
