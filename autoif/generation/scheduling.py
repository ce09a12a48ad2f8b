"""From answers as they arrive to answers in order: what stands between an engine and the generator protocol.

Two kinds of engines exist. A *streaming* engine (a server) holds many requests at once and answers each when it is
ready. A *batch* engine (a local model) takes a window of requests and answers batch by batch; its windows are cut
from the stream of all requests, cached ones included, so a resumed run composes the batches that the killed one did.

Finished answers go to the cache, when there is one, before anyone sees them. Memory is bounded by the window.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Protocol, runtime_checkable

from autoif.errors import EngineError
from autoif.generation.accounting import Usage
from autoif.generation.base import Answer, Request, request_key

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
    engine: Engine,
    requests: Iterable[Request],
    store: AnswerStore | None = None,
    usage: Usage | None = None,
    gate: Callable[[], None] | None = None,
) -> Iterator[Answer]:
    """Answer ``requests`` in their order, each distinct request at most once at a time.

    ``usage`` is counted up; ``gate`` is called before a request is sent and may raise to stop there.

    Raises:
        EngineError: whatever the engine or the gate raises; answers that had arrived by then are stored.
    """
    run = _stream if isinstance(engine, StreamingEngine) else _by_window
    return run(engine, iter(requests), store or NoStore(), usage or Usage(), gate or _open)  # type: ignore[arg-type]


def _open() -> None:
    """A gate that lets everything through."""


def _stream(
    engine: StreamingEngine, source: Iterator[Request], store: AnswerStore, usage: Usage, gate: Callable[[], None]
) -> Iterator[Answer]:
    ready: dict[int, Answer] = {}
    flying: dict[str, tuple[Request, list[int]]] = {}
    pulled = yielded = 0
    stopped: EngineError | None = None
    room, ahead = engine.concurrency, LOOKAHEAD * engine.concurrency
    more = True
    with engine.session() as session:
        while True:
            while more and len(flying) < room and pulled - yielded < ahead:
                request = next(source, None)
                if request is None:
                    more = False
                    break
                key = request_key(request)
                if key in flying:
                    flying[key][1].append(pulled)
                    usage.hit()
                elif (known := store.get(engine.identity, key)) is not None:
                    ready[pulled] = known
                    usage.hit()
                else:
                    try:
                        gate()
                    except EngineError as error:
                        more, stopped = False, error
                        break
                    session.submit(key, request)
                    flying[key] = (request, [pulled])
                pulled += 1
                while yielded in ready:
                    yielded += 1
                    yield ready.pop(yielded - 1)
            if not flying:
                if stopped is not None:
                    raise stopped
                return
            began = time.monotonic()
            answers = session.collect()
            usage.seconds += time.monotonic() - began
            arrived = [(key, *flying.pop(key), answer) for key, answer in answers]
            for _, _, _, answer in arrived:
                usage.count(answer)
            stored = store.put(engine.identity, [(key, request, answer) for key, request, _, answer in arrived])
            for (_, _, positions, _), standing in zip(arrived, stored, strict=True):
                ready.update(dict.fromkeys(positions, standing))
            while yielded in ready:
                yielded += 1
                yield ready.pop(yielded - 1)


def _by_window(
    engine: BatchEngine, source: Iterator[Request], store: AnswerStore, usage: Usage, gate: Callable[[], None]
) -> Iterator[Answer]:
    while window := [(request_key(request), request) for request in islice(source, engine.window)]:
        answers: dict[str, Answer] = {}
        missing: dict[str, Request] = {}
        for key, request in window:
            if key in answers or key in missing:
                usage.hit()
            elif (known := store.get(engine.identity, key)) is not None:
                answers[key] = known
                usage.hit()
            else:
                missing[key] = request
        if missing:
            gate()
            keys = list(missing)
            began = time.monotonic()
            for batch in engine.batches(list(missing.values())):
                usage.seconds += time.monotonic() - began
                rows = [(keys[position], missing[keys[position]], answer) for position, answer in batch]
                for _, _, answer in rows:
                    usage.count(answer)
                stored = store.put(engine.identity, rows)
                answers.update((key, standing) for (key, _, _), standing in zip(rows, stored, strict=True))
                began = time.monotonic()
        for key, _ in window:
            yield answers[key]
