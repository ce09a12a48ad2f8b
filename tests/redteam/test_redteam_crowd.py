"""Hostile functions in a large batch cost their own time-outs and little else (minutes on a busy machine)."""

from __future__ import annotations

import os
import time

import pytest
from hostile import HOSTILE

from autoif.execution import ExecutionConfig, ExecutionEngine, Job, JobResult, Outcome
from autoif.execution.bench import material

CONFIG = ExecutionConfig(workers=2, cpu_seconds=0.3, wall_seconds=0.6, memory_mb=64, kills_per_function=1)


def run(jobs: list[Job]) -> tuple[list[JobResult], float]:
    with ExecutionEngine(CONFIG) as engine:
        started = time.monotonic()
        return list(engine.run(jobs)), time.monotonic() - started


@pytest.mark.slow
def test_eighty_hostile_among_two_hundred_good_functions() -> None:
    inputs = material.answers(100, (20, 60))
    good = [Job(material.functions()[at % 64], inputs) for at in range(200)]
    hostile = [Job(case.source.replace("@SUPERVISOR@", "1"), inputs) for case in HOSTILE if "@" not in case.source][:80]
    mixed: list[Job] = []
    for at, job in enumerate(good):
        mixed += [job, *hostile[at * 2 // 5 : (at + 1) * 2 // 5]]
    assert len(mixed) == 280
    alone, alone_seconds = run(good)
    together, seconds = run(mixed)
    kept = [result for job, result in zip(mixed, together, strict=True) if job not in hostile]
    assert kept == alone
    bad = [result for job, result in zip(mixed, together, strict=True) if job in hostile]
    kills = sum(outcome in (Outcome.TIMEOUT, Outcome.MEMORY) for result in bad for outcome in result.outcomes)
    print(f"good alone {alone_seconds:.2f} s, with hostile {seconds:.2f} s, {kills} killed at {CONFIG.wall_seconds} s")
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        pytest.skip("the machine is busy: how long it takes says nothing")
    assert seconds < kills * CONFIG.wall_seconds / 2 + 1.5 * alone_seconds


@pytest.mark.slow
def test_a_million_calls_keep_the_supervisor_small() -> None:
    inputs = material.answers(100)
    sources = material.functions()
    with ExecutionEngine(ExecutionConfig(workers=2)) as engine:
        calls = 0
        for result in engine.run(Job(sources[at % 64], list(inputs)) for at in range(10_000)):
            calls += len(result.outcomes)
        with open("/proc/self/status") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(f"{calls} calls, peak of the supervisor {peak // 1024} MiB")
    assert calls == 1_000_000
    assert peak < 300 << 10
