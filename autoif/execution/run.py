"""One run: read jobs, batch them, spread the batches over a crew, put the answers back in order.

Memory is bounded by a window of jobs between the first unanswered one and the last one read. What a function comes to
does not depend on the batch or the worker it was in, so the number of workers changes the speed only.
"""

from __future__ import annotations

import hashlib
import marshal
import selectors
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from autoif.errors import EngineError
from autoif.execution.api import ExecutionConfig, Job, JobResult, Outcome
from autoif.execution.confined import codes
from autoif.execution.confined.channel import Gone
from autoif.execution.imports import packages
from autoif.execution.worker import Crew, Worker

BATCH_CALLS = 32_768
_BATCH_JOBS = 100
"""A fork costs what three short functions do; more would make a batch wait longer for its slowest one."""
_BATCH_CHARACTERS = 8 << 20
_WINDOW_BATCHES = 3
_WINDOW_CHARACTERS = 64 << 20
_DEATHS = 3
_REMEMBERED = 4096
_OUTCOMES = (Outcome.SKIPPED, *Outcome)
_AUDITED = frozenset((codes.TRUE, codes.FALSE, codes.NONE, codes.OTHER, codes.ERROR))


@dataclass(slots=True)
class _Entry:
    """A job on its way, and what came back so far. ``audit``: indices of the calls that are run again."""

    job: Job
    count: int
    characters: int
    packages: tuple[str, ...] = ()
    outcomes: bytearray = field(default_factory=bytearray)
    details: dict[int, str] = field(default_factory=dict)
    kills: int = 0
    audit: list[int] | None = None
    trusted: bool = True
    done: bool = False

    def result(self) -> JobResult:
        skipped = bytes([codes.SKIPPED]) * (len(self.job.inputs) - len(self.outcomes))
        outcomes = tuple([_OUTCOMES[code] for code in self.outcomes + skipped])
        return JobResult(outcomes, dict(sorted(self.details.items())), self.trusted)


@dataclass(slots=True)
class _Batch:
    """Entries that travel together."""

    kind: str
    packages: tuple[str, ...] = ()
    audit: bool = False
    entries: list[_Entry] = field(default_factory=list)
    calls: int = 0
    characters: int = 0
    deaths: int = 0

    def full(self) -> bool:
        return len(self.entries) >= _BATCH_JOBS or self.calls >= BATCH_CALLS or self.characters >= _BATCH_CHARACTERS

    def message(self, pure: OrderedDict[str, None]) -> tuple[Any, ...]:
        """For the zygote: the sources, and each distinct list of inputs once."""
        blobs: list[bytes] = []
        numbers: dict[int, int] = {}
        jobs = []
        for entry in self.entries:
            inputs, source = entry.job.inputs, entry.job.function
            if self.audit:
                audited = [inputs[at] for at in entry.audit or ()]
                blobs.append(marshal.dumps(audited))
                jobs.append((source, len(blobs) - 1, len(audited), 0, 0, False))
                continue
            if id(inputs) not in numbers:
                numbers[id(inputs)] = len(blobs)
                blobs.append(marshal.dumps(list(inputs[: entry.count])))
            jobs.append((source, numbers[id(inputs)], entry.count, len(entry.outcomes), entry.kills, source in pure))
        return self.kind, jobs, blobs, list(self.packages)


class Run:
    """One pass over an iterable of jobs, with a crew that is this run's alone.

    ``kind``: how its batches are run (:mod:`~autoif.execution.confined.codes`); only the default, SHARED, is audited.
    """

    def __init__(self, config: ExecutionConfig, crew: Crew, kind: str) -> None:
        self._config, self._crew, self._kind = config, crew, kind
        self._window = _WINDOW_BATCHES * _BATCH_JOBS * crew.count
        self._waiting: deque[_Entry] = deque()  # in order, the first one not yet yielded
        self._characters = 0  # in those
        self._open: dict[tuple[str, ...], _Batch] = {}  # being filled, by packages
        self._ready: deque[_Batch] = deque()
        self._slow: deque[_Batch] = deque()
        self._sent: dict[Worker, _Batch] = {}
        self._pure: OrderedDict[str, None] = OrderedDict()
        self._selector = selectors.DefaultSelector()

    def results(self, jobs: Iterator[Job]) -> Iterator[JobResult]:
        """Read, dispatch, collect, until everything is answered."""
        with self._selector:
            more = True
            while more or self._waiting:
                while more and len(self._ready) < self._crew.count and not self._far_ahead():
                    more = self._read(jobs)
                if not more or self._far_ahead():
                    self._flush()
                self._dispatch()
                while self._waiting and self._waiting[0].done:
                    entry = self._waiting.popleft()
                    self._characters -= entry.characters
                    yield entry.result()
                if self._sent:
                    self._collect()

    def _flush(self) -> None:
        """Send what is there, in as many pieces as there are workers to take them."""
        for batch in self._open.values():
            size = -(-len(batch.entries) // self._crew.count)
            for at in range(0, len(batch.entries), size):
                self._ready.append(_Batch(batch.kind, batch.packages, False, batch.entries[at : at + size]))
        self._open.clear()

    def _far_ahead(self) -> bool:
        return len(self._waiting) >= self._window or self._characters >= _WINDOW_CHARACTERS

    def _read(self, jobs: Iterator[Job]) -> bool:
        """Put one job into a batch. Returns whether there was one."""
        job = next(jobs, None)
        if job is None:
            return False
        wanted = packages(job.function)
        size = len(job.function) + sum(map(len, job.inputs))
        entry = _Entry(job, min(len(job.inputs), self._config.max_inputs), size, wanted)
        self._waiting.append(entry)
        self._characters += size
        if not entry.count:
            entry.done = True
            return True
        if wanted not in self._open:
            kind = codes.OWN if wanted and self._kind == codes.SHARED else self._kind
            self._open[wanted] = _Batch(kind, wanted)
        batch = self._open[wanted]
        batch.entries.append(entry)
        batch.calls += entry.count
        batch.characters += size
        if batch.full():
            self._ready.append(self._open.pop(wanted))
        return True

    def _dispatch(self) -> None:
        """Give idle workers something to do; slow functions only when nothing else waits."""
        while self._ready or self._slow:
            queue = self._ready or self._slow
            worker = self._crew.take(bool(queue[0].packages))
            if worker is None:
                return
            self._sent[worker] = queue.popleft()
            self._selector.register(worker, selectors.EVENT_READ)
            try:
                worker.channel.send(self._sent[worker].message(self._pure))
            except Gone:
                self._lost(worker)

    def _collect(self) -> None:
        for key, _ in self._selector.select():
            worker: Worker = key.fileobj  # type: ignore[assignment]
            try:
                answers = worker.channel.receive()
            except Gone:
                self._lost(worker)
                continue
            self._selector.unregister(worker)
            self._crew.put_back(worker)
            batch = self._sent.pop(worker)
            for entry, answer in zip(batch.entries, answers, strict=True):
                if batch.audit:
                    self._compare(entry, answer[1])
                else:
                    self._take(entry, *answer)

    def _lost(self, worker: Worker) -> None:
        """A worker was killed from outside: its batch goes to another."""
        self._selector.unregister(worker)
        self._crew.drop(worker)
        batch = self._sent.pop(worker)
        batch.deaths += 1
        if batch.deaths >= _DEATHS:
            raise EngineError(f"{_DEATHS} execution workers died on the same batch: is the machine out of memory?")
        self._ready.appendleft(batch)

    def _take(
        self, entry: _Entry, finished: bool, outcomes: bytes, details: list[tuple[int, bytes]], kills: int, pure: bool
    ) -> None:
        entry.outcomes += outcomes
        entry.kills = kills
        for at, text in details:
            entry.details.setdefault(at, text.decode("utf-8", "replace"))
        if pure:
            self._pure[entry.job.function] = None
            if len(self._pure) > _REMEMBERED:
                self._pure.popitem(last=False)
        if not finished:
            self._slow.append(_Batch(codes.SLOW, entry.packages, False, [entry]))
            return
        entry.audit = self._sample(entry) if self._kind == codes.SHARED else []
        if entry.audit:
            self._slow.append(_Batch(codes.EACH, entry.packages, True, [entry]))
        else:
            entry.done = True

    def _sample(self, entry: _Entry) -> list[int]:
        """Calls to run again, chosen by their content: the same ones in every run."""
        if not self._config.audit_rate:
            return []
        source = hashlib.sha256(entry.job.function.encode("utf-8", "surrogatepass"))
        chosen = []
        for at, code in enumerate(entry.outcomes):
            if code in _AUDITED:
                call = source.copy()
                call.update(b"%d\0" % at + entry.job.inputs[at].encode("utf-8", "surrogatepass"))
                if int.from_bytes(call.digest()[:7], "big") < self._config.audit_rate * (1 << 56):
                    chosen.append(at)
        return chosen

    def _compare(self, entry: _Entry, alone: bytes) -> None:
        """Hold what the audited calls came to in processes of their own against what they came to before."""
        for at, code in zip(entry.audit or (), alone, strict=True):
            before = entry.outcomes[at]
            if code != before:
                entry.trusted = False
                entry.details[at] = f"audit: {_OUTCOMES[before].value} here, {_OUTCOMES[code].value} when run alone"
        entry.done = True
