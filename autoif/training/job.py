"""The job file: all that a training process needs to know, resolved, without Hydra and without torch.

The parent writes it, every rank reads it. What the process leaves behind: the model folder at ``output`` and, in
``work``, ``curve.jsonl`` (the rows), ``result.json`` (facts; written last) and, on failure, ``error.txt``.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from autoif.config import HardwareConfig, Normalisation, TrainingConfig
from autoif.store import write_atomically


class Preference(msgspec.Struct, frozen=True, kw_only=True):
    """What DPO adds to the common settings. ``reference`` is the folder of the frozen model."""

    beta: float
    nll_weight: float
    reference: str


class GroupObjective(msgspec.Struct, frozen=True, kw_only=True):
    """What GRPO adds. ``reference`` is the folder of the frozen model."""

    clip_low: float
    clip_high: float
    kl_weight: float
    kl_correction: bool
    normalisation: Normalisation
    reference: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One training run. Paths are absolute; ``start`` is a Hugging Face folder. ``preference`` is set for DPO,
    ``group`` for GRPO, neither for SFT."""

    data: str
    start: str
    output: str
    work: str
    seed: int
    training: TrainingConfig
    hardware: HardwareConfig
    preference: Preference | None = None
    group: GroupObjective | None = None

    @property
    def algorithm(self) -> str:
        """sft, dpo or grpo."""
        return "dpo" if self.preference else "grpo" if self.group else "sft"

    @property
    def world(self) -> int:
        """Number of training processes."""
        return self.hardware.devices * self.hardware.nodes

    @property
    def curve(self) -> Path:
        """One :class:`~autoif.records.TrainStep` a line."""
        return Path(self.work) / "curve.jsonl"

    @property
    def result(self) -> Path:
        """Facts of the finished run; its presence means that the model at ``output`` is whole."""
        return Path(self.work) / "result.json"

    @property
    def error(self) -> Path:
        """Why the run stopped, in one line for people."""
        return Path(self.work) / "error.txt"

    def save(self, path: Path) -> None:
        """Write the job file."""
        write_atomically(path, msgspec.json.format(msgspec.json.encode(self), indent=1))


def read_job(path: Path) -> Job:
    """Read a job file."""
    return msgspec.json.decode(path.read_bytes(), type=Job)
