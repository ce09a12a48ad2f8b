"""``vllm serve`` as a supervisor: started here, waited for, asked through its OpenAI endpoint, stopped with the run."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from autoif.config import OpenAISupervisor
from autoif.errors import EngineError, MissingExtraError
from autoif.generation.base import Answer, Request
from autoif.generation.openai import OpenAIGenerator
from autoif.generation.scheduling import Session, in_order

STOP_SECONDS = 30.0
"""Between the request to stop and the kill."""

KEY_VARIABLE = "AUTOIF_VLLM_SERVER_KEY"
"""Read by nobody else: the server listens on this machine alone and asks for no key."""


class VllmServerGenerator:
    """A streaming engine on a server of its own, started at the first request.

    ``arguments``: of ``vllm serve`` after the model's folder. ``log``: where the server's output goes.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        *,
        arguments: Sequence[str],
        concurrency: int,
        start_seconds: float,
        log: Path,
    ) -> None:
        self.identity = identity
        self.concurrency = concurrency
        self._folder, self._arguments = folder, list(arguments)
        self._start_seconds, self._log = start_seconds, log
        self._process: subprocess.Popen[bytes] | None = None
        self._client: OpenAIGenerator | None = None

    @property
    def retried(self) -> int:
        """Requests that were sent again so far."""
        return self._client.retried if self._client else 0

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer ``requests`` in their order."""
        return in_order(self, requests)

    def session(self) -> AbstractContextManager[Session]:
        """Requests in flight; the server is up when this returns.

        Raises:
            EngineError: when it does not come up; the message has the last line of its log.
        """
        if self._client is None:
            port = self._start()
            config = OpenAISupervisor(
                model=str(self._folder),
                base_url=f"http://127.0.0.1:{port}/v1",
                api_key_env=KEY_VARIABLE,
                concurrency=self.concurrency,
            )
            self._client = OpenAIGenerator(config)
        return self._client.session()

    def close(self) -> None:
        """Stop the server and its workers. May be called twice."""
        if self._client is not None:
            self._client.close()
            self._client = None
        process, self._process = self._process, None
        if process is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, sign)
                process.wait(STOP_SECONDS)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue

    def _start(self) -> int:
        port = _free_port()
        command = [*_launcher(), "serve", str(self._folder), "--host", "127.0.0.1", "--port", str(port)]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            # A session of its own, so that its workers are stopped with it.
            self._process = subprocess.Popen(
                [*command, *self._arguments], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        deadline = time.monotonic() + self._start_seconds
        while not _healthy(port):
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.close()
                what = "ended" if ended else f"was not up after {self._start_seconds:g} s"
                raise EngineError(f"vllm serve {what} (its last line: {self._last_line()}): see {self._log}")
            time.sleep(0.2)
        return port

    def _last_line(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1].strip()[:200] if lines else "none"


def _launcher() -> list[str]:
    """The command beside this Python, or the one on the path; where ``setpriv`` is, it dies with us."""
    beside = Path(sys.executable).with_name("vllm")
    found = str(beside) if beside.exists() else shutil.which("vllm")
    if found is None:
        raise MissingExtraError("vllm", "vllm")
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", found] if setpriv else [found]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5.0) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
