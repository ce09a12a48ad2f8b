"""The zygote: a confined interpreter that forks a child for each batch and watches it from outside.

It reads batches from a socket, one at a time, and answers each. Time-outs are judged here, from the child's CPU clock
and from the progress it writes; nothing inside the child can stop that clock. When the supervisor goes away the socket
closes, and the zygote kills its child and ends.
"""

from __future__ import annotations

import gc
import marshal
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from . import codes, seccomp
from .board import Board
from .child import Runner, leave

_LENGTH = struct.Struct("=Q")
_CHUNK = 1 << 20
_PAGE = resource.getpagesize()
_WALL_CREDIT = 8.0
"""A CPU-second used by a call buys it so many wall seconds: a busy machine delays a call without timing it out."""

Details = list[tuple[int, bytes]]
Answer = tuple[bool, bytes, Details, int]
"""(finished, outcome codes from the job's start on, details by input index, kills so far)."""


class Gone(Exception):
    """The supervisor closed the socket."""


class Channel:
    """Length-prefixed marshalled messages over a socket. Both ends are trusted; children never hold it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, message: object) -> None:
        """Send one message."""
        data = marshal.dumps(message)
        self.sock.sendall(_LENGTH.pack(len(data)))
        self.sock.sendall(data)

    def receive(self) -> Any:
        """Wait for one message.

        Raises:
            Gone: when the other end is closed.
        """
        return marshal.loads(self._exactly(_LENGTH.unpack(self._exactly(_LENGTH.size))[0]))

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            try:
                count = self.sock.recv_into(view[at:], min(size - at, _CHUNK))
            except ConnectionError:
                count = 0
            if not count:
                raise Gone
            at += count
        return data


class Zygote:
    """Serves batches until the supervisor is gone. ``settings``: the engine's limits as a plain dict."""

    def __init__(self, channel: Channel, settings: dict[str, Any]) -> None:
        self._channel = channel
        self._cpu: float = settings["cpu_seconds"]
        self._wall: float = settings["wall_seconds"]
        self._memory: int = settings["memory_mb"] << 20
        self._kills: int = settings["kills_per_function"]
        self._booleans: bool = settings["string_booleans"]
        self._tick = min(0.02, self._cpu / 10, self._wall / 10)
        self._board = Board(settings["capacity"])
        self._filter = seccomp.Filter() if settings["ceiling"] >= 1 else None
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._hangup = select.poll()
        self._hangup.register(channel.sock, select.POLLHUP | select.POLLRDHUP)

    def serve(self) -> None:
        """Answer batches for ever.

        Raises:
            Gone: when the supervisor closed the socket.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        gc.collect()
        gc.freeze()
        while True:
            kind, jobs, blobs = self._channel.receive()
            self._channel.send(self._batch(kind, jobs, blobs))

    def _batch(self, kind: str, jobs: list[tuple[str, int, int, int, int]], blobs: list[bytes]) -> list[Answer]:
        """``jobs``: (source, its blob of inputs, number of inputs, first input to run, kills so far)."""
        if kind == codes.PROGRAM:
            return [self._alone(lambda runner, s=source: runner.program(s)) for source, *_ in jobs]
        if kind == codes.EACH:
            return [self._each(job, blobs) for job in jobs]
        return [self._own(job, blobs, kind == codes.SLOW) for job in jobs]

    def _own(self, job: tuple[str, int, int, int, int], blobs: list[bytes], to_the_end: bool) -> Answer:
        source, blob, count, start, kills = job
        outcomes, details, position = bytearray(), [], start
        while position < count:
            first = position

            def run(runner: Runner, first: int = first) -> None:
                runner.own(source, marshal.loads(blobs[blob])[first:])

            cause = self._child(run, count - first)
            written = self._board.outcomes(count - first).translate(codes.VALID)
            details += [(first + at, text) for at, text in self._board.details() if at < count - first]
            outcomes += written
            position += len(written)
            if position == count and written[-1] != codes.MEMORY:
                break
            kills += 1
            if not written or written[-1] != codes.MEMORY:
                outcomes.append(cause)
                position += 1
                if self._board.loading_job() is not None:
                    kills = self._kills  # it would do the same again
            if kills >= self._kills:
                outcomes += bytes([codes.SKIPPED]) * (count - position)
                break
            if not to_the_end and position < count:
                return False, bytes(outcomes), details, kills
        return True, bytes(outcomes), details, kills

    def _each(self, job: tuple[str, int, int, int, int], blobs: list[bytes]) -> Answer:
        source, blob, *_ = job
        outcomes, details = b"", []
        for at, text in enumerate(marshal.loads(blobs[blob])):
            _, outcome, detail, _ = self._alone(lambda runner, t=text: runner.own(source, (t,)))
            outcomes += outcome
            details += [(at, text) for _, text in detail]
        return True, outcomes, details, 0

    def _alone(self, run: Callable[[Runner], None]) -> Answer:
        """One call in a child of its own."""
        cause = self._child(run, 1)
        outcome = self._board.outcomes(1).translate(codes.VALID) or bytes([cause])
        return True, outcome, [(0, text) for at, text in self._board.details() if at == 0], 0

    def _child(self, run: Callable[[Runner], None], calls: int) -> int:
        """Fork, run, watch to the end. Returns what a call without a result came to: TIMEOUT or CRASH."""
        self._board.clear(calls)
        limit = int(os.pread(self._statm, 64, 0).split()[0]) * _PAGE + self._memory
        pid = os.fork()
        if pid:
            return self._watch(pid, calls)
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
        os.closerange(3, 64)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        if self._filter:
            self._filter.install()

    def _watch(self, pid: int, calls: int) -> int:
        clock = (~pid << 3) | 2  # the CPU clock of another process: clock_getcpuclockid(3)
        seen, spent_before, idle = (-1, 0), 0.0, 0.0
        last, last_spent = time.monotonic(), 0.0
        while True:
            signal.sigtimedwait((signal.SIGCHLD,), self._tick)
            if os.waitpid(pid, os.WNOHANG)[0]:
                return codes.CRASH
            if self._hangup.poll(0):
                self._kill(pid)
                raise Gone
            try:
                now, spent = time.monotonic(), time.clock_gettime(clock)
            except OSError:
                continue  # it has just ended
            progress = self._board.progress(seen[1], calls)
            if progress != seen:
                seen, spent_before, idle = progress, spent, 0.0
            # A zygote that was itself kept waiting saw nothing of the child: count a few ticks at most.
            idle += max(0.0, min(now - last, 4 * self._tick) - _WALL_CREDIT * (spent - last_spent))
            last, last_spent = now, spent
            if spent - spent_before > self._cpu or idle > self._wall:
                self._kill(pid)
                return codes.TIMEOUT

    @staticmethod
    def _kill(pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def main() -> None:
    """Entry point of a worker process: the socket is file descriptor 3."""
    channel = Channel(socket.socket(fileno=3))
    os.set_inheritable(3, False)
    try:
        settings = channel.receive()
        for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
            resource.setrlimit(limit, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        layers: dict[str, str] = {}
        if settings["ceiling"] >= 1:
            try:
                seccomp.no_new_privileges()
                seccomp.Filter()
                layers["1"] = ""
            except (OSError, seccomp.Unsupported) as error:
                layers["1"] = str(error)
        channel.send(layers)
        Zygote(channel, settings).serve()
    except Gone:
        sys.exit(0)
