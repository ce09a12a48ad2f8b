"""The supervisor's side of one worker process: start it, hand it a batch, read the answer, end it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from autoif.execution.confined.zygote import Channel, Gone

_BOOTSTRAP = "import sys; sys.path.append({path!r}); from confined.zygote import main; main()"
_GRACE_SECONDS = 2.0

__all__ = ["Gone", "Worker"]


class Worker:
    """A zygote process. Always a fresh interpreter: a fork of the caller would copy its threads' locks and memory."""

    def __init__(self, settings: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-S", "-P", "-B", "-W", "ignore", "-c", _bootstrap(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._owner = os.getpid()
        self.channel = Channel(ours)
        self.channel.send(settings)

    @property
    def pid(self) -> int:
        """Process id of the worker as the supervisor sees it."""
        return self._process.pid

    def hello(self) -> dict[str, str]:
        """The layers the worker reached: number → empty, or why not.

        Raises:
            Gone: when it died while starting.
        """
        layers: dict[str, str] = self.channel.receive()
        return layers

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


def _bootstrap(fileno: int) -> str:
    move = "" if fileno == 3 else f"import os; os.dup2({fileno}, 3); os.close({fileno}); "
    return move + _BOOTSTRAP.format(path=str(Path(__file__).parent))
