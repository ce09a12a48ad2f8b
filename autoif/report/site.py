"""The site over all runs: ``runs/index.html`` and ``runs/results.csv``, made from the summaries beside the reports.

Every report leaves a ``report.json``; the index needs neither the store nor the configurations of other runs. Runs of
one sweep share the first part of their name and stand together.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from autoif.records import Comparison, Result
from autoif.report.collect import Report
from autoif.report.files import save
from autoif.report.forest import Row, forest, size
from autoif.report.page import document, figures, section, table, tag
from autoif.report.summary import (
    Measure,
    benchmark_name,
    headline,
    key_figures,
    measures,
    metric_name,
    primary,
    subtitle,
    title,
)
from autoif.report.text import count, duration, escape

SUMMARY = "report.json"
_SKIP = {"wandb", ".hydra"}


class StageSummary(msgspec.Struct, frozen=True):
    """One stage of a run; ``seconds`` is None while it is not done."""

    title: str
    fingerprint: str
    seconds: float | None = None
    kept: int | None = None


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the index needs of a run. ``figures``: (figure, what it counts)."""

    name: str
    title: str
    subtitle: str
    sentence: str
    figures: tuple[tuple[str, str], ...]
    stages: tuple[StageSummary, ...]
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
        stages=tuple(
            StageSummary(stage.title, stage.fingerprint, stage.manifest.seconds, stage.manifest.kept)
            if stage.manifest
            else StageSummary(stage.title, stage.fingerprint)
            for stage in report.stages
        ),
        results=tuple(report.results),
        comparisons=tuple(msgspec.structs.replace(row, gained=(), lost=()) for row in report.comparisons),
    )


def write_site(runs: Path, summary: RunSummary) -> Path:
    """Leave ``summary`` beside its report and renew the index over everything below ``runs``; returns the index."""
    save(runs / summary.name / SUMMARY, msgspec.json.format(msgspec.json.encode(summary), indent=1).decode())
    with _alone(runs):
        found = sorted(read_summaries(runs), key=lambda run: run.name)
        save(runs / "results.csv", _csv(found))
        return save(runs / "index.html", _page(found))


def read_summaries(runs: Path) -> Iterator[RunSummary]:
    """All readable summaries below ``runs``; those of other versions or half-copied ones are passed over."""
    for folder, below, names in os.walk(runs):
        below[:] = [name for name in below if name not in _SKIP]
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


def _page(runs: Sequence[RunSummary]) -> str:
    groups: dict[str, list[RunSummary]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    body = "".join(_group(key, name, members) for key, (name, members) in _keyed(groups))
    work = {stage.fingerprint: stage.seconds for run in runs for stage in run.stages if stage.seconds is not None}
    total = [
        (count(len(runs)), "runs" if len(runs) != 1 else "run"),
        (count(len(work)), "distinct stages"),
        (duration(sum(work.values())), "wall time, shared stages once"),
    ]
    header = f'<p class="over">AutoIF</p><h1>Runs</h1>{figures(total)}'
    links = [(f"#{key}", name) for key, (name, _) in _keyed(groups)] + [("results.csv", "results.csv")]
    return document("AutoIF runs", header, body, links, "Renewed with every report. The numbers: results.csv.")


def _keyed(groups: dict[str, list[RunSummary]]) -> list[tuple[str, tuple[str, list[RunSummary]]]]:
    return [(f"group-{i + 1}", item) for i, item in enumerate(groups.items())]


def _group(key: str, name: str, runs: Sequence[RunSummary]) -> str:
    about = runs[0].sentence if len(runs) == 1 else f"{count(len(runs))} points of one sweep."
    return section(key, name, about, *_forests(runs), _table(runs))


def _forests(runs: Sequence[RunSummary]) -> Iterator[str]:
    """One plot a benchmark's first metric, a row for each run that measured it."""
    found: dict[str, list[tuple[RunSummary, Measure]]] = {}
    for run in runs:
        seen = set()
        for measure in run.measures():
            if measure.benchmark not in seen:
                seen.add(measure.benchmark)
                found.setdefault(measure.benchmark, []).append((run, measure))
    for benchmark, pairs in found.items():
        names = list(dict.fromkeys(name for _, measure in pairs for name in measure.by_model))
        rows = [Row(run.label, size(measure), measure, run.href) for run, measure in pairs]
        if plot := forest(rows, names):
            metric = metric_name(pairs[0][1].metric)
            yield f"<h3>{escape(benchmark_name(benchmark))}: {escape(metric)}</h3>{plot}"


def _table(runs: Sequence[RunSummary]) -> str:
    head = ["Run", "Trained", *dict.fromkeys(label for run in runs for _, label in run.figures), "difference", ""]
    rows = []
    for run in runs:
        known = {label: figure for figure, label in run.figures}
        best = primary(run.measures())
        done = sum(stage.seconds is not None for stage in run.stages)
        state = tag("done", "ok") if done == len(run.stages) else tag(f"{done} of {len(run.stages)} stages", "no")
        rows.append(
            [
                f'<a class="runname" href="{escape(run.href)}">{escape(run.label)}</a>',
                escape(run.title),
                *(escape(known.get(label, "–")) for label in head[2:-2]),
                _shift(best),
                state,
            ]
        )
    return table(head, rows, range(2, len(head) - 1))


def _shift(measure: Measure | None) -> str:
    if measure is None or measure.difference is None:
        return "–"
    return f'<b class="{measure.difference.verdict}">{measure.shift(measure.difference.value)}</b>'


def _csv(runs: Sequence[RunSummary]) -> str:
    """One line a run, model and metric."""
    out = io.StringIO()
    fields = ("benchmark", "metric", "model", "value", "low", "high", "n", "sample", "seed", "judge")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("run", *fields))
    for run in runs:
        writer.writerows([run.name, *(getattr(result, name) for name in fields)] for result in run.results)
    return out.getvalue()
