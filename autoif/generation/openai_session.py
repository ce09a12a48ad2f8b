"""Requests of one ``generate`` call in flight at servers: between the caller's thread and the engine's event loop."""

from __future__ import annotations

import asyncio
import queue
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from autoif.generation.base import Answer, Request
from autoif.generation.openai_replies import siblings

Asked = tuple[str, Request]
"""A request with its key."""


class Asker(Protocol):
    """What answers: see :class:`autoif.generation.openai.OpenAIGenerator`."""

    samples: int

    async def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Answers to the first few of ``requests``, at least one; they are samples of one conversation."""
        ...


class OpenAISession:
    """A session (see :class:`autoif.generation.scheduling.Session`) on the event loop ``loop`` of another thread.

    Samples of one conversation that are submitted one after the other are asked for together, up to
    ``engine.samples`` at a time.
    """

    def __init__(self, engine: Asker, loop: asyncio.AbstractEventLoop) -> None:
        self._engine, self._loop = engine, loop
        self._group: list[Asked] = []
        self._outbox: deque[list[Asked]] = deque()
        self._woken = False
        self._arrived: queue.SimpleQueue[tuple[str, Answer | Exception]] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: Exception | None = None

    def submit(self, key: str, request: Request) -> None:
        """Send a request, with its siblings if more are to come; returns at once."""
        if self._group and not siblings(self._group[0][1], request):
            self._flush()
        self._group.append((key, request))
        if len(self._group) >= self._engine.samples:
            self._flush()

    def collect(self) -> list[tuple[str, Answer]]:
        """All answers that have arrived, at least one. An error is raised once the answers before it are out."""
        self._flush()
        answers: list[tuple[str, Answer]] = []
        while self._error is None and not (answers and self._arrived.empty()):
            key, answer = self._arrived.get()
            if isinstance(answer, Exception):
                self._error = answer
            else:
                answers.append((key, answer))
        if not answers and self._error is not None:
            raise self._error
        return answers

    def cancel(self) -> None:
        """Give up what is in flight."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in list(self._tasks)])

    def _flush(self) -> None:
        if not self._group:
            return
        self._outbox.append(self._group)
        self._group = []
        if not self._woken:  # waking the loop costs more than the rest of this
            self._woken = True
            self._loop.call_soon_threadsafe(self._send)

    def _send(self) -> None:
        self._woken = False
        while self._outbox:
            self._spawn(self._outbox.popleft())

    def _spawn(self, group: list[Asked]) -> None:
        task = self._loop.create_task(self._run(group))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, group: list[Asked]) -> None:
        try:
            answers = await self._engine.answer([request for _, request in group])
            for (key, _), answer in zip(group, answers, strict=False):
                self._arrived.put((key, answer))
            # A server that gave fewer than it was asked for is asked for the rest, so many at a time.
            rest, size = group[len(answers) :], self._engine.samples
            for start in range(0, len(rest), size):
                self._spawn(rest[start : start + size])
        except Exception as error:
            self._arrived.put((group[0][0], error))
