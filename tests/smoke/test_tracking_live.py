"""A real training process is followed while it runs: its curve lies where trackers look for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace
from training_tiny import sft_job, tiny_model

from autoif.records import TrainStep
from autoif.stage import Context, Stage, run_stage
from autoif.store import Entry, Manifest, Store
from autoif.tracking import once
from autoif.tracking.once import Ledger, OnceTracker
from autoif.training.launch import launch


class Live(OnceTracker):
    """Notes each step, and whether the stage was still running when it came."""

    def __init__(self, ledger: Ledger, entry: Entry) -> None:
        super().__init__(ledger)
        self.entry, self.steps = entry, list[tuple[float, bool]]()

    def open(self) -> None:
        pass

    def log_step(self, key: str, values: dict[str, float]) -> None:
        self.steps.append((values["step"], not self.entry.done))

    def log_finished(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        pass


def test_the_steps_of_a_training_process_are_seen_as_they_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "LOOK_SECONDS", 0.05)
    job = sft_job(tmp_path, tiny_model(tmp_path / "base"))

    def train(context: Context) -> Iterator[TrainStep]:
        yield from launch(replace(job, work=str(context.work), output=str(context.files / "model")), context.facts)

    stage, store = Stage("train_sft", TrainStep, train), Store(tmp_path / "store")
    tracker = Live(Ledger(tmp_path / "ledger.json", "run"), stage.entry(store))
    with tracker.watch(stage, stage.entry(store)):
        manifest = run_stage(stage, store, cast(Any, None))
    tracker.log_stage(stage, manifest, stage.entry(store))
    assert [step for step, _ in tracker.steps] == list(range(1, manifest.kept + 1))
    assert any(live for _, live in tracker.steps)
