"""The zygote: a confined interpreter that forks a child for each batch and watches it from outside.

It reads batches from a socket, one at a time, and answers each. Time-outs are judged here, from the child's CPU clock
and from the progress it writes; nothing inside the child can stop that clock. When the supervisor goes away the socket
closes, and the zygote kills its child and ends.
"""

from __future__ import annotations

import contextlib
import gc
import marshal
import os
import resource
import select
import signal
import sys
from bisect import bisect_left
from collections.abc import Callable
from operator import itemgetter, methodcaller
from typing import Any

from . import codes, landlock, preload, seccomp
from .board import Board
from .channel import Channel, Gone
from .child import Runner, leave
from .watch import Watch

_IDLE_MILLISECONDS = 500
_TICK = 0.01
"""Seconds between two looks at a child; a time-out comes at most so late."""
_SHORTEST = 0.001
_NAP = 0.05
"""A child that has slept for so many seconds leaves its core to another."""
_PATIENCE = 0.25
"""Seconds of a batch that may go into time-outs before what was not begun is handed back, for any worker to take."""
_PAGE = resource.getpagesize()
Details = list[tuple[int, bytes]]
Job = tuple[str, int, int, int, int, bool]
"""(source, its blob of inputs, number of inputs, first input to run, kills so far, known to be pure)."""
Answer = tuple[bool, bytes, Details, int, bool]
"""(finished, outcome codes from the job's start on, details by input index, kills so far, passed the gate)."""
Begun = Answer | None
"""None for a job that is handed back as it came."""


class Zygote:
    """Serves batches until the supervisor is gone. ``settings``: the engine's limits as a plain dict."""

    def __init__(self, channel: Channel, settings: dict[str, Any]) -> None:
        self._channel = channel
        self._cpu: float = settings["cpu_seconds"]
        self._wall: float = settings["wall_seconds"]
        self._memory: int = settings["memory_mb"] << 20
        self._kills: int = settings["kills_per_function"]
        self._booleans: bool = settings["string_booleans"]
        self._tick = min(_TICK, self._cpu / 10, self._wall / 10)
        self._board = Board(settings["capacity"])
        self._filter: seccomp.Filter | None = None
        self._rules: int | None = None
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._waited = 0.0  # seconds of this batch that time-outs took
        self._children: int | None = None
        with contextlib.suppress(OSError):  # not kept by this kernel
            self._children = os.open("/proc/thread-self/children", os.O_RDONLY | os.O_CLOEXEC)
        self._parent = os.getppid()
        self._hangup, self._message = select.poll(), select.poll()
        self._hangup.register(channel.sock, select.POLLRDHUP)
        self._message.register(channel.sock, select.POLLIN)

    def give_up_privileges(self) -> None:
        """Layer 1. The filter itself is installed in each child: a zygote must fork, kill and wait."""
        built = seccomp.Filter()
        seccomp.no_new_privileges()
        self._filter = built

    def hide_files(self, readable: list[str]) -> None:
        """Layer 2. The zygote keeps ``/proc`` to see whether a child sleeps; each child gives that up, too."""
        readable = [*landlock.readable(), *readable]
        own = landlock.ruleset([*readable, "/proc"])
        landlock.restrict(own)
        os.close(own)
        self._rules = landlock.ruleset(readable)

    def serve(self) -> None:
        """Answer batches for ever.

        Raises:
            Gone: when the supervisor closed the socket.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        self._settle()
        while True:
            while not self._message.poll(_IDLE_MILLISECONDS):
                self._look_up()
            kind, jobs, blobs, packages = self._channel.receive()
            self._preload(packages)
            self._channel.send(self._batch(kind, jobs, blobs))

    def _preload(self, packages: list[str]) -> None:
        """Import installed packages here, so that no child has to. What fails will fail there again, and be seen."""
        fresh = [name for name in packages if name not in sys.modules]
        if fresh:
            preload.load(fresh)
            self._settle()

    @staticmethod
    def _settle() -> None:
        """Keep the collector away from what is loaded now: touching it would copy it in every child."""
        gc.collect()
        gc.freeze()

    def _batch(self, kind: str, jobs: list[Job], blobs: list[bytes]) -> list[Begun]:
        self._waited = 0.0
        if kind == codes.SHARED:
            return self._shared(jobs, blobs)
        run = {codes.PROGRAM: self._program, codes.EACH: self._each}.get(kind, self._own)
        return [self._patiently(run, job, blobs) for job in jobs]

    def _patiently(self, run: Callable[[Job, list[bytes]], Answer], job: Job, blobs: list[bytes]) -> Begun:
        """Run it, unless this batch has waited long enough: one worker must not work off a row of time-outs alone."""
        return run(job, blobs) if self._waited < _PATIENCE else None

    def _shared(self, jobs: list[Job], blobs: list[bytes]) -> list[Begun]:
        """Run what passes the gate in one child, again and again without whatever stopped it; the rest alone."""
        answers: dict[int, Begun] = {}
        pending = list(range(len(jobs)))
        while pending and self._waited < _PATIENCE:
            sizes = [jobs[number][2] for number in pending]

            def run(runner: Runner, pending: list[int] = pending) -> None:
                texts = {blob: marshal.loads(blobs[blob]) for blob in {jobs[number][1] for number in pending}}
                runner.shared([(jobs[number][0], texts[jobs[number][1]], jobs[number][5]) for number in pending])

            cause = self._child(run, sum(sizes), 3 * len(pending))  # to judge it, to load it, loaded
            written, details = self._board.outcomes(sum(sizes)), sorted(self._board.details(), key=itemgetter(0))
            loading, stopped, at = self._board.loading_job(), len(written), 0
            again = []
            for place, (number, size) in enumerate(zip(pending, sizes, strict=True)):
                part = written[at : at + size]
                texts = [(where - at, text) for where, text in _within(details, at, at + size)]
                if part[:1] == bytes([codes.DEFER]):
                    answers[number] = self._patiently(self._own, jobs[number], blobs)
                elif len(part) == size:
                    answers[number] = (True, part.translate(codes.VALID), texts, 0, True)
                elif place == loading or (loading is None and at <= stopped < at + size):
                    answers[number] = self._stopped(jobs[number], blobs, part, texts, cause, loading is not None)
                else:
                    again.append(number)
                at += size
            if len(again) == len(pending):  # it ended before its first function: an honest child does not
                answers |= {number: self._patiently(self._own, jobs[number], blobs) for number in again}
                again = []
            pending = again
        return [answers.get(number) for number in range(len(jobs))]

    def _stopped(
        self, job: Job, blobs: list[bytes], part: bytes, details: Details, cause: int, loading: bool
    ) -> Answer:
        """The answer for the function that ended a shared child. A time-out is its own doing and counts; anything
        else is tried again in a process of its own."""
        if loading and cause == codes.TIMEOUT:
            skipped = bytes([codes.SKIPPED]) * (job[2] - 1)
            return True, bytes([codes.TIMEOUT]) + skipped, [], self._kills, False
        if loading:
            return self._own(job, blobs)
        outcomes = part.translate(codes.VALID)
        if cause == codes.TIMEOUT:
            outcomes += bytes([codes.TIMEOUT])
            skipped = bytes([codes.SKIPPED]) * (job[2] - len(outcomes) if self._kills == 1 else 0)
            return len(outcomes) + len(skipped) == job[2], outcomes + skipped, details, 1, False
        return False, outcomes, details, 0, False

    def _own(self, job: Job, blobs: list[bytes]) -> Answer:
        """Run one function in a child of its own, to the end or to where it had to be killed. After its last kill, what
        is left is skipped; after an earlier one the supervisor sends it again, behind what else waits."""
        source, blob, count, first, kills, _ = job
        cause = self._child(lambda runner: runner.own(source, marshal.loads(blobs[blob])[first:]), count - first)
        outcomes = bytearray(self._board.outcomes(count - first).translate(codes.VALID))
        details = [(first + at, text) for at, text in self._board.details() if at < count - first]
        left = count - first - len(outcomes)
        if left == 0 and outcomes[-1] != codes.MEMORY:
            return True, bytes(outcomes), details, kills, False
        kills += 1
        if not outcomes or outcomes[-1] != codes.MEMORY:
            outcomes.append(cause)
            left -= 1
            if self._board.loading_job() is not None:
                kills = self._kills  # it would do the same again
        if kills >= self._kills:
            outcomes += bytes([codes.SKIPPED]) * left
            left = 0
        return left == 0, bytes(outcomes), details, kills, False

    def _program(self, job: Job, _: list[bytes]) -> Answer:
        return self._alone(methodcaller("program", job[0]))

    def _each(self, job: Job, blobs: list[bytes]) -> Answer:
        source, blob, *_ = job
        outcomes, details = b"", []
        for at, text in enumerate(marshal.loads(blobs[blob])):
            _, outcome, detail, *_ = self._alone(methodcaller("own", source, (text,)))
            outcomes += outcome
            details += [(at, text) for _, text in detail]
        return True, outcomes, details, 0, False

    def _alone(self, run: Callable[[Runner], None]) -> Answer:
        """One call in a child of its own."""
        cause = self._child(run, 1)
        outcome = self._board.outcomes(1).translate(codes.VALID) or bytes([cause])
        return True, outcome, [(0, text) for at, text in self._board.details() if at == 0], 0, False

    def _child(self, run: Callable[[Runner], None], calls: int, loads: int = 2) -> int:
        """Fork, run, watch to the end. Returns what a call without a result came to: TIMEOUT or CRASH.

        ``loads``: how often it may say that it begins or ends to load.
        """
        self._board.clear(calls)
        limit = int(os.pread(self._statm, 64, 0).split()[0]) * _PAGE + self._memory
        pid = os.fork()
        if pid:
            return self._watch(pid, calls, loads)
        try:
            self._confine(limit)
            run(Runner(self._board, self._booleans))
        except BaseException:
            leave(1)
        leave(0)
        raise AssertionError

    def _confine(self, memory: int) -> None:
        """Give up in the child what only the zygote may do."""
        seccomp.die_with_parent()
        if self._rules is not None:
            landlock.restrict(self._rules)
        os.closerange(3, 64)
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        if self._filter:
            self._filter.install()

    def _watch(self, pid: int, calls: int, loads: int) -> int:
        """Look at the child now and then until it ends or one call, or one load, of it takes too long."""
        watch = Watch(pid, self._host_pid)
        seen, pause, resting = (-1, 0), self._tick, False
        try:
            while True:
                signal.sigtimedwait((signal.SIGCHLD,), pause)
                if os.waitpid(pid, os.WNOHANG)[0]:
                    return codes.CRASH
                self._look_up(pid)
                pause, before = self._tick, seen
                seen = self._board.progress(before, loads, calls)
                if seen != before:
                    watch.mark()
                    continue
                watch.look()
                if (watch.asleep > _NAP) is not resting:
                    resting = not resting
                    self._channel.send(codes.RESTING if resting else codes.AWAKE)
                left = min(self._cpu - watch.cpu, self._wall - watch.asleep)
                if left < 0:
                    self._kill(pid)
                    self._waited += max(watch.cpu, watch.asleep)
                    return codes.TIMEOUT
                pause = min(pause, left + _SHORTEST)
        finally:
            watch.close()
            if resting:
                self._channel.send(codes.AWAKE)

    def _host_pid(self) -> int:
        """The child's id outside of our process-id namespace, which ``/proc`` goes by; 0 when it cannot be told."""
        if self._children is None:
            return 0
        found = os.pread(self._children, 64, 0).split()
        return int(found[0]) if len(found) == 1 else 0

    def _look_up(self, pid: int | None = None) -> None:
        """End when the supervisor has gone. Its socket alone does not tell: a process it forked may hold a copy."""
        if self._hangup.poll(0) or os.getppid() != self._parent:
            if pid:
                self._kill(pid)
            raise Gone

    @staticmethod
    def _kill(pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _within(details: Details, start: int, end: int) -> Details:
    """Those of ``details``, which are sorted, from position ``start`` up to ``end``."""
    first = bisect_left(details, start, key=itemgetter(0))
    return details[first : bisect_left(details, end, lo=first, key=itemgetter(0))]
