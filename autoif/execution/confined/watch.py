"""The clocks of a process, read from outside: nothing that runs in it can stop or reset them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

_WALL_CREDIT = 20.0
"""Where the kernel does not tell how long a process waited for a core: a CPU-second buys so many wall seconds."""
_SAME_SECONDS = 0.1
"""How far two readings of one process's CPU time may differ."""


class Watch:
    """How long a process has computed, and how long it has slept, since the last :meth:`restart`, in seconds.

    Time in which it could have run but got no core counts as neither, so that a busy machine times nobody out.
    """

    def __init__(self, pid: int, host_pid: Callable[[], int]) -> None:
        self._clock = (~pid << 3) | 2  # its CPU clock: clock_getcpuclockid(3)
        self._host_pid = host_pid
        self._files: tuple[int, ...] | None = None
        self._runnable = True
        self._start = self._now = (time.monotonic(), 0.0, 0.0)  # wall, CPU, waiting for a core

    @property
    def cpu(self) -> float:
        """Computed for."""
        return self._now[1] - self._start[1]

    @property
    def asleep(self) -> float:
        """Slept for; 0 while it could run, as the wait it is in has not been counted yet."""
        wall, cpu, waiting = (now - start for now, start in zip(self._now, self._start, strict=True))
        if not self._files:
            return wall - cpu * _WALL_CREDIT
        return 0.0 if self._runnable else wall - waiting - cpu

    def look(self) -> None:
        """Read the clocks."""
        wall = time.monotonic()
        try:
            cpu = time.clock_gettime(self._clock)
            waiting = self._waiting(cpu)
        except OSError:  # it has just ended; or this kernel keeps no such clock, and all time counts as computing
            cpu, waiting = self._now[1] + wall - self._now[0], self._now[2]
        gap = max(0.0, wall - self._now[0] - 1.0)  # this process did not run either: the machine stood still
        self._start = (self._start[0] + gap, *self._start[1:])
        self._now = (wall, cpu, waiting)

    def _waiting(self, cpu: float) -> float:
        """How long it waited for a core in all. The child itself says which files to read, so what they say of its
        CPU time must agree with the clock."""
        pid = self._host_pid()
        if self._files is None and pid:
            try:
                self._files = _open(f"/proc/{pid}/schedstat"), _open(f"/proc/{pid}/stat")
            except OSError:
                self._files = ()  # hidden, or not kept by this kernel
        if not self._files:
            return 0.0
        schedstat, stat = (os.pread(file, 512, 0) for file in self._files)
        ran, waited = schedstat.split()[:2]
        if abs(int(ran) * 1e-9 - cpu) > _SAME_SECONDS:
            self._runnable = False
            return 0.0
        self._runnable = stat.rpartition(b") ")[2].startswith(b"R")
        return int(waited) * 1e-9

    def restart(self) -> None:
        """Count from the last look on."""
        self._start = self._now

    def close(self) -> None:
        """Release what was opened."""
        for file in self._files or ():
            os.close(file)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
