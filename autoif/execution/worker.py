"""The supervisor's side of worker processes: start one, end one; a crew of them for one run."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from autoif.errors import EngineError
from autoif.execution.cgroup import Cgroup
from autoif.execution.confined.channel import Channel, Gone
from autoif.execution.imports import data_paths, site_paths

_BOOTSTRAP = "import sys; sys.path.append({path!r}); from confined.entry import main; main()"
_GRACE_SECONDS = 2.0
_numbers = itertools.count()
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Worker:
    """A zygote process. Always a fresh interpreter: a fork of the caller would copy its threads' locks and memory.

    ``heavy``: one that can import installed packages. ``number``: grows with every worker that is started.
    """

    def __init__(self, settings: dict[str, Any], heavy: bool = False) -> None:
        self.heavy, self.number = heavy, next(_numbers)
        data = data_paths() if heavy else []
        path = site_paths() if heavy else []
        environment = _ENVIRONMENT | (_ONE_THREAD | {"NLTK_DATA": os.pathsep.join(data)} if heavy else {})
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                # Like -I, but with the hash seed of the clean environment, which makes sets iterate alike everywhere.
                [sys.executable, "-s", "-S", "-P", "-B", "-W", "ignore", "-c", _bootstrap(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=environment,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._owner = os.getpid()
        self.channel = Channel(ours)
        ceiling = settings["ceiling"]
        self._cgroup = Cgroup(self._process.pid, settings["memory_mb"]) if ceiling >= 4 else None
        with contextlib.suppress(Gone):  # noticed when it is asked for its layers
            self.channel.send(settings | {"path": path, "readable": [*path, *data]})

    @property
    def pid(self) -> int:
        """Process id of the worker as the supervisor sees it."""
        return self._process.pid

    def layers(self) -> dict[int, str]:
        """Wait until it has confined itself. Returns layer → empty when it holds, else why it does not.

        Raises:
            Gone: when it died while starting.
        """
        layers: dict[int, str] = self.channel.receive()
        return layers | ({4: self._cgroup.missing} if self._cgroup else {})

    def fileno(self) -> int:
        """For selectors: readable when an answer, or the end, has arrived."""
        return self.channel.sock.fileno()

    def close(self, kill: bool = False) -> None:
        """End the process and reap it; ``kill`` when it may be busy. Idempotent, and inert in a forked copy."""
        self.channel.sock.close()
        if self._owner != os.getpid() or self._process.returncode is not None:
            return
        if not kill:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE_SECONDS)
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._cgroup:
            self._cgroup.close()


class Crew:
    """The workers of one run: ``count`` of them at first; heavy ones, and more, are started when first needed."""

    def __init__(self, settings: dict[str, Any], count: int) -> None:
        if not sys.platform.startswith("linux"):
            raise EngineError(f"untrusted functions are confined by Linux; this is {sys.platform}: use a container")
        self._settings, self.count = settings, count
        self._idle: list[Worker] = []
        self.busy: set[Worker] = set()
        workers = [Worker(settings) for _ in range(count)]
        try:
            self.layers = [worker.layers() for worker in workers]
        except Gone:
            for worker in workers:
                worker.close(kill=True)
            raise EngineError(f"an execution worker died while starting: can {sys.executable} run here?") from None
        self._idle = workers

    def take(self, heavy: bool) -> Worker:
        """An idle worker of the kind, or a new one.

        Raises:
            EngineError: when a new one is needed and cannot be started.
        """
        worker = next((worker for worker in self._idle if worker.heavy == heavy), None)
        if worker:
            self._idle.remove(worker)
        else:
            worker = Worker(self._settings, heavy)
            try:
                worker.layers()
            except Gone:
                worker.close(kill=True)
                raise EngineError("an execution worker cannot be started again: is memory exhausted?") from None
        self.busy.add(worker)
        return worker

    def put_back(self, worker: Worker) -> None:
        """It has answered."""
        self.busy.remove(worker)
        self._idle.append(worker)

    def drop(self, worker: Worker) -> None:
        """It was killed from outside; the next :meth:`take` starts another."""
        self.busy.remove(worker)
        worker.close(kill=True)

    def trim(self) -> None:
        """End the lean workers beyond ``count``, the youngest first: they were for a run whose functions slept."""
        lean = sorted((worker for worker in self._idle if not worker.heavy), key=lambda worker: worker.number)
        for worker in lean[self.count :]:
            self._idle.remove(worker)
            worker.close()

    def close(self) -> None:
        """End all workers, the busy ones at once. Idempotent."""
        for worker in self._idle:
            worker.channel.sock.close()  # all at once, then wait
        for worker in self._idle:
            worker.close()
        for worker in self.busy:
            worker.close(kill=True)
        self._idle, self.busy = [], set()


def _bootstrap(fileno: int) -> str:
    move = "" if fileno == 3 else f"import os; os.dup2({fileno}, 3); os.close({fileno}); "
    return move + _BOOTSTRAP.format(path=str(Path(__file__).parent))
