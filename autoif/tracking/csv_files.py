"""Tracking in CSV files: ``runs/<name>/tracking/*.csv``, for spreadsheets and quick plots.

``<training stage>.csv`` holds a curve, ``results.csv``, ``comparisons.csv`` and ``contamination.csv`` what was
measured, ``funnel.csv`` and ``rejected.csv`` what became of the records. Every file is written whole and replaced at
once: a reader never sees half of one, and a run that is continued leaves the files that an unbroken one leaves.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from autoif.config import RunConfig
from autoif.records import Comparison, Contamination, Record, Result, TrainStep
from autoif.report.files import run_folder, save
from autoif.stage import Stage
from autoif.store import Entry, Manifest
from autoif.tracking.base import BaseTracker, Logged, curve, slug, tables

_NAMED: dict[type[Record], str] = {
    Result: "results",
    Comparison: "comparisons",
    Contamination: "contamination",
}
_NESTED = {"gained", "lost", "examples", "by_seed"}
"""Fields that are lists: the store has them."""


class CsvTracker(BaseTracker):
    """Stages as CSV files below the run's folder."""

    def __init__(self, run: RunConfig) -> None:
        self._run = run
        self._stages: list[Logged] = []

    def log_stage(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        """See :class:`~autoif.tracking.Tracker`."""
        self._stages.append((stage, manifest, entry))
        if stage.record is TrainStep:
            self._write_rows(slug(stage.title), curve(entry))
        elif name := _NAMED.get(stage.record):
            rows = map(msgspec.structs.asdict, entry.records(stage.record))
            self._write_rows(name, ({key: row[key] for key in row if key not in _NESTED} for row in rows))
        for table, (columns, values) in tables(self._stages, samples=False).items():
            self._write(table, columns, values)

    def _write_rows(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """Columns are the union of the rows' keys, in order of appearance."""
        found = list(rows)
        columns = list(dict.fromkeys(key for row in found for key in row))
        self._write(name, columns, ([row.get(column) for column in columns] for row in found))

    def _write(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        folder = run_folder(self._run) / "tracking"
        folder.mkdir(exist_ok=True)
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        save(folder / f"{name}.csv", out.getvalue())
