"""A plan's rows as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from autoif.planning.stages import PlanRow

_SHOWN = 4
"""Differences listed for a stage; the rest is counted."""


def render(rows: Sequence[PlanRow]) -> str:
    """The plan as a table with totals, then the reasons, each once with the stages it concerns."""
    header = ("stage", "state", "records", "model calls", "executions")
    lines = [header, *map(_cells, rows)]
    missing = [row for row in rows if not row.done]
    if missing:
        calls, runs = sum(row.model_calls for row in missing), sum(row.executions for row in missing)
        lines.append((f"{len(missing)} of {len(rows)} stages to run", "", "", _bound(calls), _bound(runs)))
    else:
        lines.append((f"all {len(rows)} stages are done", "", "", "–", "–"))
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    table = [_line(line, widths) for line in lines]
    rule = "─" * max(map(len, table))
    text = [table[0], rule, *table[1:-1], rule, table[-1]]
    return "\n".join([*text, *_reasons(missing)])


def _cells(row: PlanRow) -> tuple[str, ...]:
    if row.done:
        return row.title, "done", f"{row.records:,}", "–", "–"
    return row.title, "to run", _bound(row.records), _bound(row.model_calls), _bound(row.executions)


def _bound(count: int) -> str:
    return f"≤ {count:,}" if count else "–"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = (cell.ljust(width) for cell, width in zip_longest(cells[:2], widths[:2]))
    right = (cell.rjust(width) for cell, width in zip_longest(cells[2:], widths[2:]))
    return "  ".join((*left, *right)).rstrip()


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
