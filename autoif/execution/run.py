"""One run: read jobs, batch them, spread the batches over a crew, put the answers back in order.

Memory is bounded by a window of jobs between the first unanswered one and the last one read. What a function comes to
does not depend on the batch or the worker it was in, so the number of workers changes the speed only.
"""

from __future__ import annotations

import hashlib
import selectors
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence

from autoif.errors import EngineError
from autoif.execution.api import ExecutionConfig, Job, JobResult
from autoif.execution.batches import BATCH_JOBS, OUTCOMES, Batch, Entry, Lane
from autoif.execution.confined import codes
from autoif.execution.confined.board import DETAIL_BYTES
from autoif.execution.confined.channel import Gone
from autoif.execution.imports import packages
from autoif.execution.worker import Crew, Worker

_AHEAD = 2
"""Full batches for each worker to have at hand."""
_WINDOW = 3 * BATCH_JOBS
"""Jobs for each worker between the first unanswered one and the last one read."""
_WINDOW_CHARACTERS = 64 << 20
_BUSY = 2
"""Workers with a batch for each core: a function that sleeps or waits leaves its core to another."""
_DEATHS = 3
_REMEMBERED = 4096
_LONG = (codes.SLOW, codes.EACH)
_AUDITED = frozenset((codes.TRUE, codes.FALSE, codes.NONE, codes.OTHER, codes.ERROR))


class Run:
    """One pass over an iterable of jobs, with a crew that is this run's alone.

    ``kind``: how its batches are run (:mod:`~autoif.execution.confined.codes`); only the default, SHARED, is audited.
    """

    def __init__(self, config: ExecutionConfig, crew: Crew, kind: str) -> None:
        self._config, self._crew, self._kind = config, crew, kind
        self._waiting: deque[Entry] = deque()  # in order, the first one not yet yielded
        self._characters = 0  # in those
        self._lanes: dict[tuple[str, ...], Lane] = {}  # read, not sent, by packages
        self._again: deque[Batch] = deque()  # to be sent once more
        self._slow: deque[Batch] = deque()
        self._sent: dict[Worker, Batch] = {}
        self._resting: set[Worker] = set()  # of those: their child sleeps
        self._pure: OrderedDict[str, None] = OrderedDict()
        self._selector = selectors.DefaultSelector()
        self._inputs: Sequence[str] = ()  # of the job read last
        self._size = 0  # characters in those
        self._count = 0  # jobs read

    def results(self, jobs: Iterator[Job]) -> Iterator[JobResult]:
        """Read, dispatch, collect, until everything is answered."""
        with self._selector:
            more = True
            while more or self._waiting:
                while more and not self._enough():
                    more = self._read(jobs)
                self._dispatch(more)
                while self._waiting and self._waiting[0].done:
                    entry = self._waiting.popleft()
                    self._characters -= entry.characters
                    yield entry.result()
                if self._sent:
                    self._collect()
                    self._dispatch(more)  # first of all: a worker that waits is a core that idles

    def _enough(self) -> bool:
        enough = _AHEAD * self._crew.count
        return self._far_ahead() or any(lane.batches() >= enough for lane in self._lanes.values())

    def _far_ahead(self) -> bool:
        return len(self._waiting) >= _WINDOW * self._crew.count or self._characters >= _WINDOW_CHARACTERS

    def _read(self, jobs: Iterator[Job]) -> bool:
        """Put one job into its lane. Returns whether there was one."""
        job = next(jobs, None)
        if job is None:
            return False
        wanted = packages(job.function)
        if job.inputs is not self._inputs:
            self._inputs, self._size = job.inputs, sum(map(len, job.inputs))
        self._count += 1
        count = min(len(job.inputs), self._config.max_inputs)
        entry = Entry(job, self._count, count, len(job.function) + self._size, wanted)
        self._waiting.append(entry)
        self._characters += entry.characters
        if not entry.count:
            entry.done = True
            return True
        if wanted not in self._lanes:
            kind = codes.OWN if wanted and self._kind == codes.SHARED else self._kind
            self._lanes[wanted] = Lane(kind, wanted)
        self._lanes[wanted].add(entry)
        return True

    def _dispatch(self, more: bool) -> None:
        """Give idle workers something to do. ``more``: jobs are still to be read, so that batches need not shrink."""
        ending = not more or self._far_ahead()
        most = _BUSY * self._crew.count
        while self._awake() < self._crew.count and len(self._sent) < most and (batch := self._next(ending)):
            worker = self._crew.take(bool(batch.packages))
            self._sent[worker] = batch
            self._selector.register(worker, selectors.EVENT_READ)
            try:
                worker.channel.send(batch.message(self._pure))
            except Gone:
                self._lost(worker)

    def _awake(self) -> int:
        """How many workers need a core."""
        return len(self._sent) - len(self._resting)

    def _next(self, ending: bool) -> Batch | None:
        """What to run now. Functions that misbehave start early, on half of the workers at most: they take long.
        Batches shrink when nothing more comes, so that the workers finish together."""
        if self._again:
            return self._again.popleft()
        workers = self._crew.count
        lanes = [lane for lane in self._lanes.values() if lane]
        long = sum(batch.kind in _LONG for worker, batch in self._sent.items() if worker not in self._resting)
        if self._slow and (not lanes or long < workers // 2):
            return self._slow.popleft()
        if not lanes:
            return None
        oldest = min(lanes, key=lambda lane: lane.oldest)
        return oldest.cut(_AHEAD * workers, workers - self._awake()) if ending and workers > 1 else oldest.cut()

    def _collect(self) -> None:
        for key, _ in self._selector.select():
            worker: Worker = key.fileobj  # type: ignore[assignment]
            try:
                answers = worker.channel.receive()
            except Gone:
                self._lost(worker)
                continue
            if answers == codes.RESTING:
                self._resting.add(worker)
                continue
            self._resting.discard(worker)
            if answers == codes.AWAKE:
                continue
            self._selector.unregister(worker)
            self._crew.put_back(worker)
            batch = self._sent.pop(worker)
            back = []
            for entry, answer in zip(batch.entries, answers, strict=True):
                if answer is None:
                    back.append(entry)
                elif batch.audit:
                    self._compare(entry, answer[1])
                else:
                    self._take(entry, *answer)
            if back:
                self._lanes[batch.packages].give_back(back)

    def _lost(self, worker: Worker) -> None:
        """A worker was killed from outside: its batch goes to another."""
        self._selector.unregister(worker)
        self._crew.drop(worker)
        self._resting.discard(worker)
        batch = self._sent.pop(worker)
        batch.deaths += 1
        if batch.deaths >= _DEATHS:
            raise EngineError(f"{_DEATHS} execution workers died on the same batch: is the machine out of memory?")
        self._again.append(batch)

    def _take(
        self, entry: Entry, finished: bool, outcomes: bytes, details: list[tuple[int, bytes]], kills: int, pure: bool
    ) -> None:
        entry.outcomes += outcomes
        entry.kills = kills
        for at, text in details:
            entry.details.setdefault(at, _printable(text))
        if pure:
            self._pure[entry.job.function] = None
            if len(self._pure) > _REMEMBERED:
                self._pure.popitem(last=False)
        if not finished:
            self._slow.append(Batch(codes.SLOW, entry.packages, [entry]))
            return
        entry.audit = self._sample(entry) if self._kind == codes.SHARED else []
        if entry.audit:
            self._slow.append(Batch(codes.EACH, entry.packages, [entry], audit=True))
        else:
            entry.done = True

    def _sample(self, entry: Entry) -> list[int]:
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

    def _compare(self, entry: Entry, alone: bytes) -> None:
        """Hold what the audited calls came to in processes of their own against what they came to before."""
        for at, code in zip(entry.audit or (), alone, strict=True):
            before = entry.outcomes[at]
            if code != before:
                entry.trusted = False
                entry.details[at] = f"audit: {OUTCOMES[before].value} here, {OUTCOMES[code].value} when run alone"
        entry.done = True


def _printable(text: bytes) -> str:
    """What a function had to say, fit for a terminal: control characters are spelt out."""
    said = text.decode("utf-8", "replace")
    if said.isprintable():
        return said
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in said)[:DETAIL_BYTES]
