"""A function gives the same in a shared process, in its own, and with a process for each call."""

from __future__ import annotations

import pytest

from autoif.execution import ExecutionConfig, ExecutionEngine, Job, JobResult
from autoif.execution.bench import material

CONFIG = ExecutionConfig(workers=2)


def results(lane: str, inputs: list[str]) -> list[JobResult]:
    with ExecutionEngine(CONFIG, lane=lane) as engine:
        return list(engine.run(Job(source, inputs) for source in material.functions()))


def test_shared_and_own_processes_agree_on_fifty_thousand_calls() -> None:
    inputs = material.answers(800, (1, 40))
    shared, own = results("shared", inputs), results("own", inputs)
    assert sum(len(result.outcomes) for result in shared) >= 50_000
    assert shared == own
    answers = {outcome.value for result in shared for outcome in result.outcomes}
    assert {"true", "false", "error"} >= answers >= {"true", "false"}


def test_a_process_for_each_call_agrees() -> None:
    inputs = material.answers(8, (5, 60), seed=1)
    assert results("each", inputs) == results("shared", inputs)


@pytest.mark.slow
def test_a_process_for_each_call_agrees_on_fifty_thousand_calls() -> None:
    inputs = material.answers(800, (1, 40))
    assert results("each", inputs) == results("shared", inputs)
