"""What the site over all runs is made of: summaries beside the reports, tables of experiments, the numbers as CSV.

Every report leaves a ``report.json``, every experiment a ``table.json``; the index needs neither the store nor the
configurations of other runs. Runs of one sweep share the first part of their name and stand together.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from autoif.records import Comparison, Result
from autoif.report.collect import Report, StageView
from autoif.report.files import save
from autoif.report.funnel import INSTRUCTION_LEVEL, QUERY_LEVEL, funnel
from autoif.report.summary import Measure, headline, key_figures, measures, subtitle, title
from autoif.report.table_data import Table

SUMMARY = "report.json"
TABLE = "table.json"
_SKIP = {"wandb", ".hydra"}
_BESIDE = {"inspect", "export", "tracking", "tensorboard"}
"""Folders of many files that a run's other tasks leave beside its report; elsewhere the names may be runs'."""


class StageSummary(msgspec.Struct, frozen=True):
    """One stage of a run; ``seconds`` is None while it is not done. ``calls``: its counts of model calls and tokens.

    ``funnel``: whether it is a stage of synthesis; then ``entered`` and ``rejected`` say what it read and dropped.
    """

    title: str
    fingerprint: str
    seconds: float | None = None
    kept: int | None = None
    calls: dict[str, float] = {}
    funnel: bool = False
    entered: int = 0
    rejected: dict[str, int] = {}


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the index needs of a run. ``figures``: (figure, what it counts). ``parts``: anchors on the run's page."""

    name: str
    title: str
    subtitle: str
    sentence: str
    figures: tuple[tuple[str, str], ...]
    stages: tuple[StageSummary, ...]
    parts: tuple[str, ...] = ()
    results: tuple[Result, ...] = ()
    comparisons: tuple[Comparison, ...] = ()

    @property
    def group(self) -> str:
        """The sweep it belongs to, or its own name."""
        return self.name.partition("/")[0]

    @property
    def label(self) -> str:
        """Its name within the sweep."""
        return self.name.partition("/")[2] or self.name

    @property
    def href(self) -> str:
        """Its page, relative to the index."""
        return quote(f"{self.name}/report.html")

    def measures(self) -> list[Measure]:
        """Its results over models."""
        return measures(self.results, self.comparisons)


def summarise(report: Report) -> RunSummary:
    """The summary of a run as far as it got; which items were gained and lost is left to its page."""
    return RunSummary(
        name=report.config.name,
        title=title(report.config),
        subtitle=subtitle(report),
        sentence=headline(report)[0],
        figures=tuple(key_figures(report)),
        stages=tuple(map(_stage, report.stages)),
        parts=tuple(_parts(report)),
        results=tuple(report.results),
        comparisons=tuple(msgspec.structs.replace(row, gained=(), lost=()) for row in report.comparisons),
    )


def _parts(report: Report) -> Iterator[str]:
    if funnel(report):
        yield "funnel"
    if any(training.rows for training in report.trainings):
        yield "training"
    if report.pairings:
        yield "answers"
    if any(stage.samples.kept or stage.samples.rejected for stage in report.stages):
        yield "samples"


def _stage(stage: StageView) -> StageSummary:
    if stage.manifest is None:
        return StageSummary(stage.title, stage.fingerprint)
    noted = stage.manifest.facts.get("calls")
    calls = {str(k): float(v) for k, v in noted.items() if isinstance(v, int | float)} if noted else {}
    found = StageSummary(stage.title, stage.fingerprint, stage.manifest.seconds, stage.manifest.kept, calls)
    if stage.name not in (*INSTRUCTION_LEVEL, *QUERY_LEVEL):
        return found
    rejected = dict(stage.manifest.rejected)
    return msgspec.structs.replace(found, funnel=True, entered=stage.manifest.inputs, rejected=rejected)


def write_site(runs: Path, summary: RunSummary) -> Path:
    """Leave ``summary`` beside its report and renew the index over everything below ``runs``; returns the index."""
    save(runs / summary.name / SUMMARY, msgspec.json.format(msgspec.json.encode(summary), indent=1).decode())
    return renew(runs)


def renew(runs: Path) -> Path:
    """Write ``index.html`` and ``results.csv`` over everything below ``runs``; returns the index."""
    from autoif.report.index_page import render

    with _alone(runs):
        found = sorted(read_summaries(runs), key=lambda run: run.name)
        save(runs / "results.csv", _csv(found))
        return save(runs / "index.html", render(found, read_tables(runs, {run.group for run in found})))


def read_tables(runs: Path, groups: Iterable[str]) -> dict[str, Table]:
    """The readable tables of experiments, by the name that their runs share."""
    found = {}
    for group in sorted(groups):
        try:
            found[group] = msgspec.json.decode((runs / group / TABLE).read_bytes(), type=Table)
        except (OSError, msgspec.DecodeError):
            continue
    return found


def read_summaries(runs: Path) -> Iterator[RunSummary]:
    """All readable summaries below ``runs``; those of other versions or half-copied ones are passed over."""
    for folder, below, names in os.walk(runs):
        skipped = _SKIP | _BESIDE if SUMMARY in names else _SKIP
        below[:] = [name for name in below if name not in skipped]
        if SUMMARY in names:
            try:
                yield msgspec.json.decode(Path(folder, SUMMARY).read_bytes(), type=RunSummary)
            except (OSError, msgspec.DecodeError):
                continue


@contextmanager
def _alone(runs: Path) -> Iterator[None]:
    """Points of a sweep end at the same time; one renews the index after the other."""
    with (runs / ".index.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _csv(runs: Sequence[RunSummary]) -> str:
    """One line a run, model and metric."""
    out = io.StringIO()
    fields = ("benchmark", "metric", "model", "value", "low", "high", "n", "sample", "seed", "judge")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("run", *fields))
    for run in runs:
        writer.writerows([run.name, *(getattr(result, name) for name in fields)] for result in run.results)
    return out.getvalue()
