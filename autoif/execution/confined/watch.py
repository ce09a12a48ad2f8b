"""The clocks of a process, read from outside: nothing that runs in it can stop or reset them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

_WALL_CREDIT = 20.0
"""Where the kernel does not tell how long a process waited for a core: a CPU-second buys so many wall seconds."""


class Watch:
    """How long a process has computed, and how long it has slept, since the last :meth:`mark`, in seconds.

    Time in which it could have run but got no core counts as neither, so that a busy machine times nobody out.
    ``host_pid``: tells the id that ``/proc`` knows the process by, or 0.
    """

    def __init__(self, pid: int, host_pid: Callable[[], int]) -> None:
        self._clock = (~pid << 3) | 2  # its CPU clock: clock_getcpuclockid(3)
        self._host_pid = host_pid
        self._files: tuple[int, ...] | None = None
        self._runnable = True
        self._marked = 0.0  # CPU time
        self._first: tuple[float, float, float] | None = None  # wall, CPU, waiting for a core, at the look after a mark
        self._now = (time.monotonic(), 0.0, 0.0)

    @property
    def cpu(self) -> float:
        """Computed for."""
        return self._now[1] - self._marked

    @property
    def asleep(self) -> float:
        """Slept for, as far as looks have seen; 0 while it could run, as the wait it is in has not been counted yet."""
        wall, cpu, waiting = (now - first for now, first in zip(self._now, self._first or self._now, strict=True))
        if not self._files:
            return wall - cpu * _WALL_CREDIT
        return 0.0 if self._runnable else wall - waiting - cpu

    def mark(self) -> None:
        """Count from now on. Costs no more than the reading of two clocks."""
        wall = time.monotonic()
        self._marked = self._computed(wall)
        self._now, self._first = (wall, self._marked, self._now[2]), None

    def look(self) -> None:
        """Read all clocks."""
        wall = time.monotonic()
        gap = max(0.0, wall - self._now[0] - 1.0)  # this process did not run either: the machine stood still
        self._now = (wall, self._computed(wall), self._waiting())
        first = self._first or self._now
        self._first = (first[0] + gap, *first[1:])

    def _computed(self, wall: float) -> float:
        """CPU time in all."""
        try:
            return time.clock_gettime(self._clock)
        except OSError:  # it has just ended; or this kernel keeps no such clock, and all time counts as computing
            return self._now[1] + wall - self._now[0]

    def _waiting(self) -> float:
        """How long it waited for a core in all."""
        pid = self._host_pid() if self._files is None else 0
        if pid:
            try:
                self._files = _open(f"/proc/{pid}/schedstat"), _open(f"/proc/{pid}/stat")
            except OSError:
                self._files = ()  # hidden, or not kept by this kernel
        if not self._files:
            return 0.0
        schedstat, stat = (os.pread(file, 512, 0) for file in self._files)
        self._runnable = stat.rpartition(b") ")[2].startswith(b"R")
        return int(schedstat.split()[1]) * 1e-9

    def close(self) -> None:
        """Release what was opened."""
        for file in self._files or ():
            os.close(file)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
