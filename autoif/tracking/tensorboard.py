"""Tracking for TensorBoard: event files below ``runs/<name>/tensorboard``, written by tensorboardX (no torch needed).

Curves are scalars by their own step (``train_sft/loss``), measured numbers scalars at step 0, the configuration and
the funnel texts. ``tensorboard --logdir runs`` shows the points of a sweep side by side. A continued run adds event
files with what is new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoif.config import RunConfig
from autoif.errors import MissingExtraError
from autoif.records import TrainStep
from autoif.report.files import run_folder
from autoif.report.text import fence, markdown
from autoif.stage import Stage
from autoif.store import Entry, Manifest
from autoif.tracking.base import BaseTracker, Ledger, Logged, Table, curve, measured_values, run_id, slug, tables

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

TEXT_ROWS = 200
"""Rows of a table that are shown as text."""


class TensorBoardTracker(BaseTracker):
    """Stages as TensorBoard events."""

    def __init__(self, run: RunConfig) -> None:
        try:
            import tensorboardX
        except ImportError:
            raise MissingExtraError("tensorboardX", "tensorboard") from None
        self._module: Any = tensorboardX
        self._run = run
        self._folder = run_folder(run)
        self._ledger = Ledger(self._folder / "tensorboard.json", run_id(run))
        self._writer: SummaryWriter | None = None
        self._stages: list[Logged] = []
        self._pending: set[str] = set()

    def log_stage(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        """See :class:`~autoif.tracking.Tracker`."""
        self._stages.append((stage, manifest, entry))
        if manifest.fingerprint in self._ledger.logged | self._pending:
            return
        writer = self._opened()
        key = slug(stage.title)
        writer.add_scalar(f"funnel/{key}/kept", manifest.kept, 0)
        writer.add_scalar(f"seconds/{key}", manifest.seconds, 0)
        if stage.record is TrainStep:
            for row in curve(entry):
                step = int(row.pop("step"))
                for name, value in row.items():
                    writer.add_scalar(f"{key}/{name}", value, step)
        for name, value in measured_values(stage, entry).items():
            if value is not None:
                writer.add_scalar(name, float(value), 0)
        self._pending.add(manifest.fingerprint)

    def close(self, exit_code: int = 0) -> None:
        """See :class:`~autoif.tracking.Tracker`. Tables are written whole, earlier stages included."""
        if self._writer is None:
            return
        for name, table in tables(self._stages, samples=False).items():
            self._writer.add_text(name, _markdown(table), 0)
        self._writer.close()
        self._writer = None
        self._ledger.add(self._pending)
        self._pending = set()

    def _opened(self) -> SummaryWriter:
        if self._writer is None:
            from autoif.border import dump

            folder = self._folder / "tensorboard"
            # Files are named by the second, and one that is there would be written over.
            part = len(list(folder.glob("events.*")))
            self._writer = self._module.SummaryWriter(str(folder), filename_suffix=f".{part}")
            if not self._ledger.logged:
                self._writer.add_text("configuration", fence(dump(self._run), "yaml", limit=100_000), 0)
        return self._writer


def _markdown(table: Table) -> str:
    columns, rows = table
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(markdown(str(value)) for value in row)} |" for row in rows[:TEXT_ROWS]]
    return "\n".join(lines)
