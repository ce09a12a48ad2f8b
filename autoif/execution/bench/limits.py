"""How soon the engine starts, and how far past its limit a function that hangs is stopped."""

from __future__ import annotations

import statistics
import time

from autoif.execution import ExecutionConfig, ExecutionEngine, Job

_LIMIT_SECONDS = 0.3
_HANGING = {
    "computing": "def evaluate(response):\n    while True:\n        pass\n",
    "computing, alone": "import os\n\ndef evaluate(response):\n    while True:\n        pass\n",
    "computing, with 300 MB": "kept = 'a' * (300 << 20)\n\ndef evaluate(response):\n    while True:\n        pass\n",
    "sleeping": "import time\n\ndef evaluate(response):\n    time.sleep(60)\n",
    "loading": "while True:\n    pass\n",
}


def run(repeats: int) -> dict[str, float]:
    """Medians in milliseconds: what a time-out adds to its limit, by what the function does, and the start."""
    starts = []
    for _ in range(repeats):
        started = time.perf_counter()
        with ExecutionEngine(ExecutionConfig(minimum_isolation=0)):
            starts.append(time.perf_counter() - started)
    found = {"engine start": _milliseconds(starts)}
    config = ExecutionConfig(
        workers=1, minimum_isolation=0, cpu_seconds=_LIMIT_SECONDS, wall_seconds=_LIMIT_SECONDS, kills_per_function=1
    )
    with ExecutionEngine(config) as engine:
        for name, source in _HANGING.items():
            added = []
            for _ in range(repeats):
                started = time.perf_counter()
                list(engine.run([Job(source, ("a",))]))
                added.append(time.perf_counter() - started - _LIMIT_SECONDS)
            found[f"a time-out adds, {name}"] = _milliseconds(added)
    return found


def _milliseconds(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 1)
