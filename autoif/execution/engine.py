"""The execution engine: confined workers, kept warm, lent in crews to runs.

Each run borrows a crew of its own, so runs may be nested or come from several threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType

from autoif.errors import EngineError
from autoif.execution.api import LAYERS, ExecutionConfig, Isolation, Job, JobResult
from autoif.execution.batches import BATCH_CALLS
from autoif.execution.confined import codes
from autoif.execution.run import Run
from autoif.execution.worker import Crew
from autoif.progress import EXECUTIONS, advance

_HIGHEST = max(LAYERS)


class ExecutionEngine:
    """Runs untrusted verification functions. Use as a context manager; ``run`` may be called again and again.

    ``ceiling``: the highest isolation layer to use. ``lane``: ``shared`` lets pure functions share a process, ``own``
    gives each function one, ``each`` each call. Benchmarks and tests set them; the results are the same.

    Raises:
        EngineError: when a limit makes no sense; on entering, when the machine does not offer
            ``config.minimum_isolation``.
    """

    def __init__(
        self, config: ExecutionConfig | None = None, *, ceiling: int = _HIGHEST, lane: str = codes.SHARED
    ) -> None:
        self.config = config or ExecutionConfig()
        _check(self.config)
        self._lane = lane
        self._count = self.config.workers or len(os.sched_getaffinity(0))
        self._settings = {
            "cpu_seconds": float(self.config.cpu_seconds),
            "wall_seconds": float(self.config.wall_seconds),
            "memory_mb": self.config.memory_mb,
            "kills_per_function": self.config.kills_per_function,
            "string_booleans": self.config.string_booleans,
            "capacity": max(self.config.max_inputs, BATCH_CALLS) + BATCH_CALLS,
            "ceiling": ceiling,
        }
        self._lock = threading.Lock()
        self._idle: list[Crew] = []
        self._lent: list[Crew] = []
        self._isolation: Isolation | None = None

    @property
    def isolation(self) -> Isolation:
        """The layers reached on this machine."""
        if self._isolation is None:
            raise EngineError("the execution engine is not running: use it as a context manager")
        return self._isolation

    def __enter__(self) -> ExecutionEngine:
        if self._isolation is None:
            crew = Crew(self._settings, self._count)
            isolation = Isolation.of(crew.layers)
            if isolation.level < self.config.minimum_isolation:
                crew.close()
                raise EngineError(isolation.refusal(self.config.minimum_isolation))
            self._idle.append(crew)
            self._isolation = isolation
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every worker. Idempotent."""
        with self._lock:
            crews = self._idle + self._lent
            self._idle, self._lent, self._isolation = [], [], None
        for crew in crews:
            crew.close()

    def run(self, jobs: Iterable[Job]) -> Iterator[JobResult]:
        """Run ``jobs`` and yield their results in order, reading ahead only as far as the workers need.

        Raises:
            EngineError: when workers die again and again on the same jobs.
        """
        return self._run(jobs, self._lane)

    def run_programs(self, programs: Iterable[str]) -> Iterator[JobResult]:
        """Run whole programs, each once: TRUE when it ends without an exception, else what it came to.

        The program is ``__main__``. Leaving early (``sys.exit``, whatever the status) is an ERROR: assertions that
        were not reached must not count as passed.
        """
        return self._run((Job(text, ("",)) for text in programs), codes.PROGRAM)

    def _run(self, jobs: Iterable[Job], kind: str) -> Iterator[JobResult]:
        crew = self._borrow()
        try:
            for result in Run(self.config, crew, kind).results(iter(jobs)):
                advance(EXECUTIONS, len(result.outcomes))
                yield result
        finally:
            self._give_back(crew)

    def _borrow(self) -> Crew:
        self.isolation  # noqa: B018 - raises when closed
        with self._lock:
            crew = self._idle.pop() if self._idle else None
        crew = crew or Crew(self._settings, self._count)
        with self._lock:
            self._lent.append(crew)
        return crew

    def _give_back(self, crew: Crew) -> None:
        """Keep the crew for the next run; workers that an abandoned run left busy are ended."""
        for worker in list(crew.busy):
            crew.drop(worker)
        crew.trim()
        with self._lock:
            if crew in self._lent:
                self._lent.remove(crew)
                self._idle.append(crew)
                return
        crew.close()  # the engine was closed meanwhile


def _check(config: ExecutionConfig) -> None:
    for name in ("cpu_seconds", "wall_seconds", "memory_mb", "kills_per_function", "max_inputs"):
        if getattr(config, name) <= 0:
            raise EngineError(f"execution.{name} is {getattr(config, name)}: it must be above 0")
    if config.workers < 0:
        raise EngineError(f"execution.workers is {config.workers}: give a number of processes, or 0 for one a core")
    if not 0 <= config.audit_rate <= 1:
        raise EngineError(f"execution.audit_rate is {config.audit_rate}: it is a share, between 0 and 1")
    if config.minimum_isolation not in LAYERS:
        raise EngineError(f"execution.minimum_isolation is {config.minimum_isolation}: levels are 0 to {max(LAYERS)}")
