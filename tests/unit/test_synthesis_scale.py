"""The query level at scale, in small: the same bytes with any number of workers, and after a stop in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from autoif.execution import ExecutionConfig, ExecutionEngine
from autoif.records import Answers, Function, digest
from autoif.stage import CHUNK, Context, Stage, run_stage
from autoif.store import Store
from autoif.synthesis import bench

RESPONSES = 4096
UNRULY = (
    "def evaluate(response):\n    return len(set(response.split())) > 12 and list(set(response.split()))[0] < 'm'",
    "import random\n\ndef evaluate(response):\n    return random.random() < 0.8",
    "seen = []\n\ndef evaluate(response):\n    seen.append(response)\n    return len(seen) % 2 == 1",
    "def evaluate(response):\n    while response.endswith('.1)'):\n        pass\n    return True",
    "import os\n\ndef evaluate(response):\n    return os._exit(1) if response.endswith('.4)') else True",
    "def evaluate(response)",
)
OUTCOMES = ("true", "false", "timeout", "crash", "skipped", "load_error")
LIMITS = {"cpu_seconds": 0.2, "memory_mb": 64, "kills_per_function": 1}


def answers(context: Context) -> Iterator[Answers]:
    """The bench's answers; every tenth prompt has one more function, which misbehaves or leans on chance."""
    for number, row in enumerate(bench.answers(RESPONSES)):
        code = UNRULY[number // 10 % len(UNRULY)]
        more = (Function(id=digest(code), code=code),) if number % 10 == 3 else ()
        yield replace(row, prompt=replace(row.prompt, functions=(*row.prompt.functions, *more)))


def run(folder: Path, engine: Any) -> dict[str, bytes]:
    """Every row file that the graph left, by stage and name."""
    store = Store(folder)
    engines: Any = SimpleNamespace(supervisor=bench.Judge(), execution=engine)
    for stage in bench.graph(Stage("unruly_answers", Answers, answers)):
        run_stage(stage, store, engines)
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.jsonl"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    with ExecutionEngine(ExecutionConfig(workers=2, **LIMITS)) as engine:  # type: ignore[arg-type]
        return run(tmp_path_factory.mktemp("whole"), engine)


@pytest.mark.parametrize("workers", [1, 4])
def test_the_number_of_workers_changes_no_byte(workers: int, whole: dict[str, bytes], tmp_path: Path) -> None:
    with ExecutionEngine(ExecutionConfig(workers=workers, **LIMITS)) as engine:  # type: ignore[arg-type]
        assert run(tmp_path, engine) == whole
    kinds = b"".join(whole.values())
    assert all(f'"{outcome}"'.encode() in kinds for outcome in OUTCOMES)


class Stopping:
    """The engine of a process that ends after so many calls of ``run``."""

    def __init__(self, engine: ExecutionEngine, runs: int) -> None:
        self.engine, self.left, self.isolation = engine, runs, engine.isolation

    def run(self, jobs: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.engine.run(jobs)


def test_a_stop_in_the_middle_repeats_no_finished_chunk_and_changes_no_byte(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    with ExecutionEngine(ExecutionConfig(workers=2, **LIMITS)) as engine:  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, Stopping(engine, 1))
        rest = Stopping(engine, 100)
        assert run(tmp_path, rest) == whole
    assert 100 - rest.left == RESPONSES // bench.SAMPLES // CHUNK - 1
