"""Checkpoints that are whole or absent, and the curve that goes with them.

``work/checkpoints/step-00000200/`` holds Lightning's checkpoint (``state``: a file, or DeepSpeed's folder of shards)
and ``layout.json``. It is written under a ``.part`` name, synced and renamed, so a half-written one is never taken;
an old one is renamed away before it is deleted.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
from lightning.pytorch import Callback, LightningModule, Trainer

from autoif.errors import EngineError
from autoif.records import TrainStep, encode, read_records
from autoif.store import write_atomically
from autoif.training.job import Job
from autoif.training.launch import EVENT
from autoif.training.loop import Loop

MIN_SECONDS = 120.0
"""A single process also saves by time: at most this often, and at most 5% of its time."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be the same for a checkpoint to be continued; ``step`` is how far it came."""

    step: int
    steps: int
    accumulation: int
    world: int
    strategy: str


def folder(job: Job) -> Path:
    """Where the job's checkpoints lie."""
    return Path(job.work) / "checkpoints"


def latest(job: Job, steps: int, accumulation: int) -> tuple[Path, int] | None:
    """The newest whole checkpoint and its step, or None.

    Raises:
        EngineError: when it was written under another layout of processes or micro-batches.
    """
    found = sorted(p for p in folder(job).glob("step-*") if p.suffix != ".part" and (p / "layout.json").exists())
    if not found:
        return None
    layout = msgspec.json.decode((found[-1] / "layout.json").read_bytes(), type=Layout)
    wanted = Layout(
        step=layout.step, steps=steps, accumulation=accumulation, world=job.world, strategy=job.hardware.strategy.value
    )
    if layout != wanted:
        raise EngineError(
            f"{found[-1]} was written with {layout.world} process(es), strategy {layout.strategy} and "
            f"{layout.accumulation} accumulation steps, this run has {wanted.world}, {wanted.strategy} and "
            f"{wanted.accumulation}: set hardware back, or delete that folder to train from the start"
        )
    return found[-1], layout.step


class Checkpoints(Callback):
    """Save every ``save_every`` optimizer steps; keep the last ``keep_checkpoints``."""

    def __init__(self, job: Job, steps: int, accumulation: int, min_seconds: float = MIN_SECONDS) -> None:
        self.job, self.steps, self.accumulation, self.min_seconds = job, steps, accumulation, min_seconds
        self._saved_at = time.monotonic()
        self._cost = 0.0

    def due(self, step: int) -> bool:
        """Whether to save after ``step``; the last step is exported right away instead."""
        if step >= self.steps:
            return False
        if step % max(1, self.job.training.save_every) == 0:
            return True
        waited = time.monotonic() - self._saved_at
        return self.job.world == 1 and waited >= max(self.min_seconds, 20 * self._cost)

    def save(self, trainer: Trainer, step: int) -> None:
        """Write the checkpoint of ``step``; all processes take part."""
        began = time.monotonic()
        final = folder(self.job) / f"step-{step:08d}"
        part = final.with_suffix(".part")
        if trainer.is_global_zero:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        trainer.strategy.barrier("checkpoint-begin")
        trainer.save_checkpoint(part / "state")
        trainer.strategy.barrier("checkpoint-written")
        if trainer.is_global_zero:
            layout = Layout(
                step=step,
                steps=self.steps,
                accumulation=self.accumulation,
                world=self.job.world,
                strategy=self.job.hardware.strategy.value,
            )
            write_atomically(part / "layout.json", msgspec.json.encode(layout))
            sync(part)
            part.replace(final)
            sync(final.parent, deep=False)
            self._retain()
        trainer.strategy.barrier("checkpoint-done")
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - began

    def _retain(self) -> None:
        whole = sorted(p for p in folder(self.job).glob("step-*") if p.suffix != ".part")
        for old in whole[: -max(1, self.job.training.keep_checkpoints)]:
            shutil.rmtree(old.replace(old.with_suffix(".part")))


class Curve(Callback):
    """Write a row after each optimizer step, report it, then let :class:`Checkpoints` save: a checkpoint's rows are
    always on disk before it is."""

    def __init__(self, job: Job, checkpoints: Checkpoints, start: int) -> None:
        self.job, self.checkpoints, self.step = job, checkpoints, start
        self.tokens = 0
        self.train_seconds = 0.0
        self._began = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            truncate(self.job.curve, self.step)
        self._began = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step == self.step:
            return
        self.step = trainer.global_step
        assert isinstance(pl_module, Loop)
        row = pl_module.finish_step()
        self.tokens += row.tokens
        self.train_seconds = time.monotonic() - self._began
        if trainer.is_global_zero:
            with self.job.curve.open("ab") as out:
                out.write(encode(row) + b"\n")
                out.flush()
                os.fsync(out.fileno())
            print(f"{EVENT}step {row.step} loss {row.loss:.4f}", flush=True)
        if self.checkpoints.due(self.step):
            self.checkpoints.save(trainer, self.step)


def truncate(curve: Path, step: int) -> None:
    """Cut rows after ``step`` (steps that a killed run took but no checkpoint holds), and a row cut in the middle."""
    rows: list[TrainStep] = []
    if step and curve.exists():
        whole = curve.read_bytes().rpartition(b"\n")[0] + b"\n"
        write_atomically(curve, whole)
        rows = [row for row in read_records(curve, TrainStep) if row.step <= step]
    write_atomically(curve, b"".join(encode(row) + b"\n" for row in rows))


def sync(path: Path, deep: bool = True) -> None:
    """Flush files and folders below ``path`` to the disk."""
    for item in [*(sorted(path.rglob("*")) if deep else ()), path]:
        handle = os.open(item, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
