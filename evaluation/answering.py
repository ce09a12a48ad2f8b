"""Putting questions to a generation engine: answers in order, paired with what was asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from autoif.generation.base import Answer, Failure, Generator, Request

T = TypeVar("T")


def answer(generator: Generator, asked: Iterable[T], request: Callable[[T], Request]) -> Iterator[tuple[T, Answer]]:
    """Stream ``asked`` through ``generator``; holds only what the engine has read and not yet answered."""
    waiting: deque[T] = deque()

    def requests() -> Iterator[Request]:
        for question in asked:
            waiting.append(question)
            yield request(question)

    for reply in generator.generate(requests()):
        yield waiting.popleft(), reply


def text(reply: Answer) -> str:
    """What was answered; nothing, where the engine could not."""
    return "" if isinstance(reply, Failure) else reply.text
