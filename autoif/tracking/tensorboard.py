"""Tracking for TensorBoard: event files below ``runs/<name>/tensorboard``, written by tensorboardX (no torch needed).

Curves are scalars by their own step (``train_sft/loss``), measured numbers scalars at step 0, the configuration and
the funnel texts. ``tensorboard --logdir runs`` shows the points of a sweep side by side. A continued run adds event
files with what is new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoif.config import RunConfig
from autoif.errors import MissingExtraError
from autoif.report.files import run_folder
from autoif.report.text import fence, markdown
from autoif.stage import Stage
from autoif.store import Entry, Manifest
from autoif.tracking.base import Table, measured_values, run_id, slug
from autoif.tracking.once import Ledger, OnceTracker

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

TEXT_ROWS = 200
"""Rows of a table that are shown as text."""


class TensorBoardTracker(OnceTracker):
    """Stages as TensorBoard events."""

    def __init__(self, run: RunConfig) -> None:
        try:
            import tensorboardX
        except ImportError:
            raise MissingExtraError("tensorboardX", "tensorboard") from None
        self._module: Any = tensorboardX
        self._run = run
        self._folder = run_folder(run)
        self._writer: SummaryWriter | None = None
        super().__init__(Ledger(self._folder / "tensorboard.json", run_id(run)))

    def open(self) -> None:
        """See :class:`OnceTracker`."""
        if self._writer is None:
            from autoif.border import dump

            folder = self._folder / "tensorboard"
            # Files are named by the second, and one that is there would be written over.
            part = len(list(folder.glob("events.*")))
            self._writer = self._module.SummaryWriter(str(folder), filename_suffix=f".{part}")
            if not part:
                self._writer.add_text("configuration", fence(dump(self._run), "yaml", limit=100_000), 0)

    def log_step(self, key: str, values: dict[str, float]) -> None:
        """See :class:`OnceTracker`."""
        for name, value in values.items():
            if name != "step":
                self._scalar(f"{key}/{name}", value, int(values["step"]))

    def log_finished(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        """See :class:`OnceTracker`."""
        self._scalar(f"funnel/{slug(stage.title)}/kept", manifest.kept)
        self._scalar(f"seconds/{slug(stage.title)}", manifest.seconds)
        for name, value in measured_values(stage, entry).items():
            if value is not None:
                self._scalar(name, float(value))

    def log_tables(self, found: dict[str, Table]) -> None:
        """See :class:`OnceTracker`."""
        assert self._writer is not None
        for name, table in found.items():
            self._writer.add_text(name, _markdown(table), 0)

    def finish(self, exit_code: int) -> None:
        """See :class:`OnceTracker`."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _scalar(self, name: str, value: float, step: int = 0) -> None:
        assert self._writer is not None
        self._writer.add_scalar(name, value, step)


def _markdown(table: Table) -> str:
    columns, rows = table
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(markdown(str(value)) for value in row)} |" for row in rows[:TEXT_ROWS]]
    return "\n".join(lines)
