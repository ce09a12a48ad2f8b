"""A plan's rows as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autoif.planning.stages import PlanRow
from autoif.planning.text import bound, grid

_SHOWN = 4
"""Differences listed for a stage; the rest is counted."""


def render(rows: Sequence[PlanRow]) -> str:
    """The plan as a table with totals, then the reasons, each once with the stages it concerns."""
    header = ("stage", "state", "records", "model calls", "executions")
    missing = [row for row in rows if not row.done]
    if missing:
        calls, runs = sum(row.model_calls for row in missing), sum(row.executions for row in missing)
        total = (f"{len(missing)} of {len(rows)} stages to run", "", "", bound(calls), bound(runs))
    else:
        total = (f"all {len(rows)} stages are done", "", "", "–", "–")
    return "\n".join([grid(header, map(_cells, rows), total, left=2), *_reasons(missing)])


def _cells(row: PlanRow) -> tuple[str, ...]:
    if row.done:
        return row.title, "done", f"{row.records:,}", "–", "–"
    return row.title, "to run", bound(row.records), bound(row.model_calls), bound(row.executions)


def _reasons(missing: Sequence[PlanRow]) -> Iterator[str]:
    """Why stages are not found: one paragraph for each list of differences."""
    grouped: dict[tuple[str, ...] | None, list[str]] = {}
    for row in missing:
        grouped.setdefault(row.differences, []).append(row.title)
    if grouped.keys() == {None}:
        yield "\nNothing like this was run in this store before."
        return
    if grouped:
        yield "\nWhy they run (what differs from the nearest finished one):"
    for differences, titles in grouped.items():
        names = ", ".join(titles) if len(titles) <= 3 else f"{titles[0]} … {titles[-1]} ({len(titles)} stages)"
        if differences is None:
            reason = "none of this name is finished"
        else:
            reason = "; ".join(differences[:_SHOWN])
            if len(differences) > _SHOWN:
                reason += f"; and {len(differences) - _SHOWN} more"
        yield f"  {names}: {reason}"
