"""What misbehaving functions cost the good ones they stand among: ``python -m autoif.execution.bench --crowd``.

200 good functions and the same 200 with 80 misbehaving ones between them, 100 inputs each. The rows of the good ones
must not change, and the whole may take the limits of those calls that time out, spread over the workers, and half as
long again as the good ones alone. Only a quiet machine shows that: computing is judged by the CPU clock, and elsewhere
half a second of it takes longer than half a second.
"""

from __future__ import annotations

import os
import time

from autoif.execution import ExecutionConfig, ExecutionEngine, Job, JobResult, Outcome
from autoif.execution.bench import material

GOOD, BAD = 200, 80
LIMIT_SECONDS = 0.5
"""For computing, and for sleeping: each time-out takes so long."""


def jobs() -> tuple[list[Job], list[Job]]:
    """The good functions alone, and all of them mixed, evenly."""
    inputs = material.answers(100)
    functions, bad = material.functions(), material.misbehaving()
    good = [Job(functions[at % len(functions)], inputs) for at in range(GOOD)]
    mixed: list[Job] = []
    for at, job in enumerate(good):
        between = range(at * BAD // GOOD, (at + 1) * BAD // GOOD)
        mixed += [job, *(Job(bad[number % len(bad)], inputs) for number in between)]
    return good, mixed


def run() -> dict[str, object]:
    """Measure. Returns plain values; ``seconds`` must not exceed ``allowed``."""
    good, mixed = jobs()
    config = ExecutionConfig(cpu_seconds=LIMIT_SECONDS, wall_seconds=LIMIT_SECONDS, memory_mb=64)
    with ExecutionEngine(config) as engine:
        alone, alone_seconds = _timed(engine, good)
        together, seconds = _timed(engine, mixed)
        isolation = str(engine.isolation)
    functions = set(material.functions())
    kept = [result for job, result in zip(mixed, together, strict=True) if job.function in functions]
    timeouts = sum(result.outcomes.count(Outcome.TIMEOUT) for result in together)
    workers = len(os.sched_getaffinity(0))
    return {
        "good functions' rows unchanged": kept == alone,
        "seconds, good alone": round(alone_seconds, 2),
        "time-outs": timeouts,
        "seconds, with misbehaving ones": round(seconds, 2),
        "seconds allowed": round(timeouts * LIMIT_SECONDS / workers + 1.5 * alone_seconds, 2),
        "workers": workers,
        "isolation": isolation,
    }


def _timed(engine: ExecutionEngine, jobs: list[Job]) -> tuple[list[JobResult], float]:
    started = time.perf_counter()
    return list(engine.run(jobs)), time.perf_counter() - started
