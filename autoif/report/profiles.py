"""The funnels of several runs side by side: stage by stage and reason by reason, where their pipelines differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoif.report.page import table
from autoif.report.site import RunSummary, StageSummary, read_summaries
from autoif.report.text import count, escape, percent

PROFILES = "profiles"
"""The group of runs that a report shows beside a run which belongs to none."""
MOST = 6
"""Runs that fit side by side."""
ORDER = ("paper", "upstream", "best")
"""Columns that stand first, in this order."""


def beside(runs: Path, name: str) -> list[RunSummary]:
    """What stands beside the run ``name``: the other points of its sweep, else those of ``experiment=profiles``."""
    group = name.partition("/")[0] if "/" in name else PROFILES
    return sorted(read_summaries(runs / group), key=lambda run: run.name)


def side_by_side(runs: Sequence[RunSummary]) -> str:
    """The table, or nothing where there are not several finished funnels that differ."""
    ordered = sorted(runs, key=lambda run: ORDER.index(run.label) if run.label in ORDER else len(ORDER))
    funnels = {run.label: run for run in ordered if any(stage.funnel for stage in run.stages)}
    if not 1 < len(funnels) <= MOST or len({_made(run) for run in funnels.values()}) == 1:
        return ""
    found = {label: {s.title: s for s in run.stages if s.funnel} for label, run in funnels.items()}
    rows = []
    for title in _merged([list(stages) for stages in found.values()]):
        stages = [by_title.get(title) for by_title in found.values()]
        rows.append([f"<b>{escape(title)}</b>", "kept", *(_kept(stage) for stage in stages)])
        for reason in dict.fromkeys(reason for stage in stages if stage for reason in stage.rejected):
            shown = [count(stage.rejected[reason]) if stage and reason in stage.rejected else "" for stage in stages]
            rows.append(["", escape(reason.replace("_", " ")), *shown])
    return table(["Stage", "", *found], rows, range(2, len(found) + 2))


def _made(run: RunSummary) -> tuple[str, ...]:
    return tuple(stage.fingerprint for stage in run.stages if stage.funnel)


def _kept(stage: StageSummary | None) -> str:
    if stage is None or stage.kept is None:
        return "–"
    if not stage.entered:
        return f"<b>{count(stage.kept)}</b>"
    if stage.kept > stage.entered:
        return f"<b>{count(stage.kept)}</b> from {count(stage.entered)}"
    share = percent(stage.kept / stage.entered, 0)
    return f"<b>{count(stage.kept)}</b> of {count(stage.entered)} <small>{share}</small>"


def _merged(orders: Sequence[Sequence[str]]) -> list[str]:
    """All titles in an order that keeps each run's own: what only some have stands behind what it follows there."""
    merged: list[str] = []
    for order in orders:
        place = 0
        for title in order:
            if title in merged:
                place = merged.index(title) + 1
            else:
                merged.insert(place, title)
                place += 1
    return merged
