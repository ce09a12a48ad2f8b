"""From answers as they arrive to answers in order: what stands between an engine and the generator protocol.

Two kinds of engines exist. A *streaming* engine (a server) holds many requests at once and answers each when it is
ready. A *batch* engine (a local model) takes a window of requests and answers batch by batch; its windows are cut
from the stream of all requests, cached ones included, so a resumed run composes the batches that the killed one did.

Finished answers go to the cache, when there is one, before anyone sees them. Memory is bounded by the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Protocol, runtime_checkable

import msgspec

from autoif.generation.base import Answer, Completion, Request, request_key
from autoif.progress import CALLS, advance

LOOKAHEAD = 16
"""How many times its concurrency a streaming engine may run ahead of the oldest unanswered request."""


class Session(Protocol):
    """Requests in flight at a streaming engine during one ``generate`` call; leaving it cancels what is in flight."""

    def submit(self, key: str, request: Request) -> None:
        """Send a request; returns at once."""
        ...

    def collect(self) -> list[tuple[str, Answer]]:
        """Wait for at least one answer and return all that have arrived. Raises EngineError on a permanent error."""
        ...


@runtime_checkable
class StreamingEngine(Protocol):
    """An engine that answers up to ``concurrency`` requests at a time, in any order."""

    identity: str
    concurrency: int

    def session(self) -> AbstractContextManager[Session]:
        """Open a session."""
        ...

    def close(self) -> None:
        """Free what the engine holds."""
        ...


@runtime_checkable
class BatchEngine(Protocol):
    """An engine that answers a list of at most ``window`` requests, batch by batch."""

    identity: str
    window: int

    def batches(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Answer]]]:
        """Answers with the positions of their requests; each list is stored as a whole.

        Leaving out the requests of the first lists must leave the later lists as they are.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds."""
        ...


Engine = StreamingEngine | BatchEngine


class Stats(msgspec.Struct, kw_only=True):
    """What was asked. ``hits`` came from the cache, ``misses`` from the engine; tokens count what the engine did."""

    hits: int = 0
    misses: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def hit(self) -> None:
        """Count an answer that needed no call."""
        self.hits += 1
        advance(CALLS)

    def count(self, answer: Answer) -> None:
        """Count an answer the engine gave."""
        self.misses += 1
        advance(CALLS)
        if isinstance(answer, Completion):
            self.prompt_tokens += answer.prompt_tokens
            self.completion_tokens += answer.completion_tokens
        else:
            self.failures += 1


class AnswerStore(Protocol):
    """Where finished answers are kept."""

    def get(self, engine: str, key: str) -> Answer | None:
        """The stored answer, if any."""
        ...

    def put(self, engine: str, rows: Sequence[tuple[str, Request, Answer]]) -> list[Answer]:
        """Store answers in one transaction; returns those that stand (another process may have been first)."""
        ...


class NoStore:
    """Keeps nothing."""

    def get(self, engine: str, key: str) -> Answer | None:
        """Always a miss."""
        return None

    def put(self, engine: str, rows: Sequence[tuple[str, Request, Answer]]) -> list[Answer]:
        """Hands the answers back."""
        return [answer for _, _, answer in rows]


def in_order(
    engine: Engine, requests: Iterable[Request], store: AnswerStore | None = None, stats: Stats | None = None
) -> Iterator[Answer]:
    """Answer ``requests`` in their order, each distinct request at most once at a time.

    Raises:
        EngineError: whatever the engine raises; answers that had arrived by then are stored.
    """
    run = _stream if isinstance(engine, StreamingEngine) else _by_window
    return run(engine, iter(requests), store or NoStore(), stats or Stats())  # type: ignore[arg-type]


def _stream(engine: StreamingEngine, source: Iterator[Request], store: AnswerStore, stats: Stats) -> Iterator[Answer]:
    ready: dict[int, Answer] = {}
    flying: dict[str, tuple[Request, list[int]]] = {}
    pulled = yielded = 0
    exhausted = False
    with engine.session() as session:
        while True:
            while (
                not exhausted and len(flying) < engine.concurrency and pulled - yielded < LOOKAHEAD * engine.concurrency
            ):
                request = next(source, None)
                if request is None:
                    exhausted = True
                    break
                key = request_key(request)
                if key in flying:
                    flying[key][1].append(pulled)
                    stats.hit()
                elif (known := store.get(engine.identity, key)) is not None:
                    ready[pulled] = known
                    stats.hit()
                else:
                    session.submit(key, request)
                    flying[key] = (request, [pulled])
                pulled += 1
                while yielded in ready:
                    yielded += 1
                    yield ready.pop(yielded - 1)
            if not flying:
                return
            arrived = [(key, *flying.pop(key), answer) for key, answer in session.collect()]
            stored = store.put(engine.identity, [(key, request, answer) for key, request, _, answer in arrived])
            for (_, _, positions, answer), standing in zip(arrived, stored, strict=True):
                stats.count(answer)
                ready.update(dict.fromkeys(positions, standing))
            while yielded in ready:
                yielded += 1
                yield ready.pop(yielded - 1)


def _by_window(engine: BatchEngine, source: Iterator[Request], store: AnswerStore, stats: Stats) -> Iterator[Answer]:
    while window := [(request_key(request), request) for request in islice(source, engine.window)]:
        answers: dict[str, Answer] = {}
        missing: dict[str, Request] = {}
        for key, request in window:
            if key in answers or key in missing:
                stats.hit()
            elif (known := store.get(engine.identity, key)) is not None:
                answers[key] = known
                stats.hit()
            else:
                missing[key] = request
        keys = list(missing)
        for batch in engine.batches(list(missing.values())) if missing else ():
            rows = [(keys[position], missing[keys[position]], answer) for position, answer in batch]
            for (key, _, answer), standing in zip(rows, store.put(engine.identity, rows), strict=True):
                stats.count(answer)
                answers[key] = standing
        for key, _ in window:
            yield answers[key]
