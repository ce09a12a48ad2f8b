"""Jobs on their way: entries, the lanes in which they wait, and the batches that are cut from them.

A batch shares one forked child, which costs what some twenty short functions do, so batches are large while much waits.
Towards the end of the input they shrink with what is left, so that the workers finish together.
"""

from __future__ import annotations

import marshal
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from autoif.execution.api import Job, JobResult, Outcome
from autoif.execution.confined import codes

BATCH_CALLS = 1 << 16
BATCH_JOBS = 512
_BATCH_CHARACTERS = 8 << 20
_LEAST = 1 << 14
"""A batch is worth its fork from this many calls on."""
_LOAD = 40
"""Loading a function costs what so many calls do."""
_FORK = 1000
"""So does a process of its own."""
_PROGRAM = 8000
"""A program may take long; workers should take them few at a time."""
OUTCOMES = (Outcome.SKIPPED, *Outcome)
"""Outcome by the byte that stands for it."""


@dataclass(slots=True)
class Entry:
    """A job on its way, the ``number``-th that was read, and what came back so far.

    ``audit``: indices of the calls that are run again.
    """

    job: Job
    number: int
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
        """What the caller gets; inputs that were never run are skipped."""
        skipped = bytes([codes.SKIPPED]) * (len(self.job.inputs) - len(self.outcomes))
        outcomes = tuple(map(OUTCOMES.__getitem__, self.outcomes + skipped))
        return JobResult(outcomes, dict(sorted(self.details.items())), self.trusted)


@dataclass(slots=True)
class Batch:
    """Entries that travel together. ``deaths``: workers that died on it."""

    kind: str
    packages: tuple[str, ...]
    entries: list[Entry]
    audit: bool = False
    deaths: int = 0

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


class Lane:
    """Entries of one kind that wait for a worker with the same packages, in order."""

    def __init__(self, kind: str, packages: tuple[str, ...]) -> None:
        self._kind, self._packages = kind, packages
        self._entries: deque[Entry] = deque()
        self._cost = self._characters = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def oldest(self) -> int:
        """Number of the first entry."""
        return self._entries[0].number

    def add(self, entry: Entry) -> None:
        """Put it at the end."""
        self._entries.append(entry)
        self._cost += self._calls(entry)
        self._characters += entry.characters

    def give_back(self, entries: list[Entry]) -> None:
        """Put what was cut and not begun at the front again."""
        for entry in reversed(entries):
            self._entries.appendleft(entry)
            self._cost += self._calls(entry)
            self._characters += entry.characters

    def batches(self) -> int:
        """How many full batches wait."""
        return max(len(self._entries) // BATCH_JOBS, self._cost // BATCH_CALLS, self._characters // _BATCH_CHARACTERS)

    def cut(self, parts: int = 1, idle: int = 1) -> Batch:
        """Take a batch from the front: a full one, or one of ``parts`` of what waits if that is less; but not less than
        what pays for a fork, or than an even share for each of ``idle`` workers."""
        worth = min(_LEAST, -(-self._cost // idle))
        cost = min(BATCH_CALLS, max(self._cost // parts, worth))
        characters = 0
        batch = Batch(self._kind, self._packages, [])
        while self._entries and len(batch.entries) < BATCH_JOBS and characters < _BATCH_CHARACTERS and cost > 0:
            entry = self._entries.popleft()
            batch.entries.append(entry)
            characters += entry.characters
            cost -= self._calls(entry)
            self._cost -= self._calls(entry)
            self._characters -= entry.characters
        return batch

    def _calls(self, entry: Entry) -> int:
        """What it costs, in calls."""
        if self._kind == codes.SHARED:
            return entry.count + _LOAD
        if self._kind == codes.PROGRAM:
            return _PROGRAM
        return entry.count * (_FORK if self._kind == codes.EACH else 1) + _FORK
