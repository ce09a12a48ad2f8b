"""The supervisor: spreads jobs over confined workers and hands the results back in order.

Workers are started once and kept warm. A run borrows a crew of them, so that runs may be nested or come from several
threads; each run streams, with a bounded window of jobs between the first unanswered one and the last one read.
"""

from __future__ import annotations

import marshal
import os
import selectors
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from autoif.errors import EngineError
from autoif.execution.api import ExecutionConfig, Isolation, Job, JobResult, Outcome
from autoif.execution.confined import codes
from autoif.execution.worker import Gone, Worker

_OUTCOMES = (None, *Outcome)
_BATCH_JOBS = 25
_BATCH_CALLS = 16_384
_WINDOW_BATCHES = 8
_DEATHS = 3


@dataclass(slots=True)
class _Entry:
    """A job on its way: what came back so far."""

    job: Job
    count: int
    outcomes: bytearray = field(default_factory=bytearray)
    details: dict[int, str] = field(default_factory=dict)
    kills: int = 0
    done: bool = False

    def result(self) -> JobResult:
        codes_ = self.outcomes + bytes([codes.SKIPPED]) * (len(self.job.inputs) - len(self.outcomes))
        return JobResult(tuple(_OUTCOMES[code] for code in codes_), self.details)  # type: ignore[misc]


@dataclass(slots=True)
class _Batch:
    """Entries that travel together."""

    kind: str
    entries: list[_Entry]
    calls: int = 0
    deaths: int = 0

    def message(self) -> tuple[Any, ...]:
        """For the zygote: sources, and each distinct list of inputs once."""
        blobs: list[bytes] = []
        numbers: dict[int, int] = {}
        jobs = []
        for entry in self.entries:
            inputs = entry.job.inputs
            if id(inputs) not in numbers:
                numbers[id(inputs)] = len(blobs)
                blobs.append(marshal.dumps(list(inputs[: entry.count])))
            jobs.append((entry.job.function, numbers[id(inputs)], entry.count, len(entry.outcomes), entry.kills))
        return self.kind, jobs, blobs


class ExecutionEngine:
    """Runs untrusted verification functions. Use as a context manager; ``run`` may be called again and again.

    Raises (on entering):
        EngineError: when the machine does not offer ``config.minimum_isolation``.
    """

    def __init__(self, config: ExecutionConfig | None = None) -> None:
        self.config = config or ExecutionConfig()
        self._count = self.config.workers or len(os.sched_getaffinity(0))
        self._settings = {
            "cpu_seconds": float(self.config.cpu_seconds),
            "wall_seconds": float(self.config.wall_seconds),
            "memory_mb": self.config.memory_mb,
            "kills_per_function": self.config.kills_per_function,
            "string_booleans": self.config.string_booleans,
            "capacity": max(self.config.max_inputs, _BATCH_CALLS) + 1,
            "ceiling": 4,
        }
        self._lock = threading.Lock()
        self._crews: list[list[Worker]] = []
        self._lent: list[list[Worker]] = []
        self._isolation: Isolation | None = None

    @property
    def isolation(self) -> Isolation:
        """The layers reached on this machine."""
        if self._isolation is None:
            raise EngineError("the execution engine has not been started: use it as a context manager")
        return self._isolation

    def __enter__(self) -> ExecutionEngine:
        if self._isolation is None:
            self._crews.append(self._crew())
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End every worker. Idempotent."""
        with self._lock:
            idle, lent, self._crews, self._lent = self._crews, self._lent, [], []
            self._isolation = None
        for crew in idle:
            for worker in crew:
                worker.close()
        for crew in lent:
            for worker in crew:
                worker.close(kill=True)

    def run(self, jobs: Iterable[Job]) -> Iterator[JobResult]:
        """Run ``jobs`` and yield their results in order, reading ahead only as far as the workers need.

        Raises:
            EngineError: when a worker dies again and again on the same jobs.
        """
        return self._run(jobs, codes.OWN)

    def run_programs(self, programs: Iterable[str]) -> Iterator[JobResult]:
        """Run whole programs, each once: TRUE when it ends without an exception, else what it came to.

        The program is ``__main__``; leaving early (``sys.exit``, whatever the status) is an ERROR, as unreached
        assertions must not count as passed.
        """
        return self._run((Job(text, ("",)) for text in programs), codes.PROGRAM)

    def _run(self, jobs: Iterable[Job], kind: str) -> Iterator[JobResult]:
        self.isolation  # noqa: B018 - raises when the engine is closed
        crew = self._borrow()
        clean = False
        try:
            yield from _Run(self, crew, kind).results(iter(jobs))
            clean = True
        finally:
            self._give_back(crew, clean)

    def _crew(self) -> list[Worker]:
        crew = [Worker(self._settings) for _ in range(self._count)]
        try:
            self._isolation = Isolation.of([worker.hello() for worker in crew])
        except Gone:
            for worker in crew:
                worker.close(kill=True)
            raise EngineError("an execution worker died while starting: see whether sys.executable runs") from None
        if self._isolation.level < self.config.minimum_isolation:
            for worker in crew:
                worker.close()
            isolation, self._isolation = self._isolation, None
            raise EngineError(isolation.refusal(self.config.minimum_isolation))
        return crew

    def _borrow(self) -> list[Worker]:
        with self._lock:
            crew = self._crews.pop() if self._crews else None
        crew = crew or self._crew()
        with self._lock:
            self._lent.append(crew)
        return crew

    def _give_back(self, crew: list[Worker], clean: bool) -> None:
        with self._lock:
            if crew not in self._lent:
                return  # closed meanwhile
            self._lent.remove(crew)
            if clean:
                self._crews.append(crew)
        if not clean:
            for worker in crew:
                worker.close(kill=True)

    def _replace(self, crew: list[Worker], worker: Worker) -> Worker:
        worker.close(kill=True)
        fresh = Worker(self._settings)
        try:
            fresh.hello()
        except Gone:
            fresh.close(kill=True)
            raise EngineError("an execution worker died and cannot be started again") from None
        crew[crew.index(worker)] = fresh
        return fresh


class _Run:
    """One pass over an iterable of jobs."""

    def __init__(self, engine: ExecutionEngine, crew: list[Worker], kind: str) -> None:
        self._engine, self._crew, self._kind = engine, crew, kind
        self._waiting: deque[_Entry] = deque()  # in order, the first one not yet yielded
        self._ready: deque[_Batch] = deque()
        self._slow: deque[_Batch] = deque()
        self._busy: dict[Worker, _Batch] = {}
        self._selector = selectors.DefaultSelector()
        self._window = _WINDOW_BATCHES * _BATCH_JOBS * len(crew)

    def results(self, jobs: Iterator[Job]) -> Iterator[JobResult]:
        """Read, dispatch, collect, until everything is answered."""
        with self._selector:
            for worker in self._crew:
                self._selector.register(worker, selectors.EVENT_READ)
            more = True
            while more or self._waiting:
                while more and len(self._ready) < len(self._crew) and len(self._waiting) < self._window:
                    more = self._read(jobs)
                self._dispatch()
                while self._waiting and self._waiting[0].done:
                    yield self._waiting.popleft().result()
                if self._busy:
                    self._collect()

    def _read(self, jobs: Iterator[Job]) -> bool:
        """Fill one batch. Returns whether the iterable may hold more."""
        batch = _Batch(self._kind, [])
        while len(batch.entries) < _BATCH_JOBS and batch.calls < _BATCH_CALLS:
            job = next(jobs, None)
            if job is None:
                break
            entry = _Entry(job, min(len(job.inputs), self._engine.config.max_inputs))
            self._waiting.append(entry)
            if entry.count:
                batch.entries.append(entry)
                batch.calls += entry.count
            else:
                entry.done = True
        else:
            job = batch.entries[-1].job
        if batch.entries:
            self._ready.append(batch)
        return job is not None

    def _dispatch(self) -> None:
        for worker in self._crew:
            if worker not in self._busy and (self._ready or self._slow):
                batch = self._ready.popleft() if self._ready else self._slow.popleft()
                self._busy[worker] = batch
                try:
                    worker.channel.send(batch.message())
                except OSError:
                    self._lost(worker)

    def _collect(self) -> None:
        for key, _ in self._selector.select():
            worker: Worker = key.fileobj  # type: ignore[assignment]
            try:
                answers = worker.channel.receive()
            except Gone:
                self._lost(worker)
                continue
            batch = self._busy.pop(worker)
            for entry, answer in zip(batch.entries, answers, strict=True):
                self._take(entry, *answer)

    def _take(self, entry: _Entry, finished: bool, outcomes: bytes, details: list[tuple[int, bytes]], kills: int) -> None:
        entry.outcomes += outcomes
        entry.kills = kills
        entry.details |= {at: text.decode("utf-8", "replace") for at, text in details}
        entry.done = finished
        if not finished:
            self._slow.append(_Batch(codes.SLOW, [entry], entry.count))

    def _lost(self, worker: Worker) -> None:
        """A worker was killed from outside: start another and give it the same batch again."""
        self._selector.unregister(worker)
        batch = self._busy.pop(worker, None)
        if batch:
            batch.deaths += 1
            if batch.deaths >= _DEATHS:
                raise EngineError(f"execution workers died {_DEATHS} times on the same batch: is the machine out of memory?")
            self._ready.appendleft(batch)
        fresh = self._engine._replace(self._crew, worker)
        self._selector.register(fresh, selectors.EVENT_READ)
