"""Forest plots in HTML and CSS: models' values and 95% intervals on one axis, a row for each thing compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoif.records import Result
from autoif.report.page import tag
from autoif.report.summary import Measure
from autoif.report.text import count, escape

TONES = 4
"""Colours for models; a fifth takes the first again."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row. ``href`` makes a link of its label."""

    label: str
    about: str
    measure: Measure
    href: str = ""


def size(measure: Measure) -> str:
    """``n = 48``."""
    return f"n = {count(max(result.n for result in measure.by_model.values()))}"


def forest(rows: Sequence[Row], names: Sequence[str]) -> str:
    """The plot with its legend of model ``names``. Measures that are no shares have no place on its axis."""
    rows = [row for row in rows if row.measure.shares]
    if not rows:
        return ""
    highest = max(_high(result) for row in rows for result in row.measure.by_model.values())
    top = next(limit for limit in (0.25, 0.5, 0.75, 1.0) if highest <= limit or limit == 1.0)
    ticks = [(100 * i / 5, 100 * top * i / 5) for i in range(6)]
    lines = "".join(f'<i style="left:{left:.2f}%"></i>' for left, _ in ticks)
    scale = "".join(f'<span style="left:{left:.2f}%">{value:.0f}%</span>' for left, value in ticks)
    keys = "".join(f'<span><i class="key {_tone(names, name)}"></i>{escape(name)}</span>' for name in names)
    return (
        f'<p class="legend">{keys}</p><div class="forest">{"".join(_row(row, names, top, lines) for row in rows)}'
        f'<div class="row scale"><div></div><div class="track">{scale}</div><div></div></div></div>'
    )


def _row(row: Row, names: Sequence[str], top: float, lines: str) -> str:
    measure, marks = row.measure, []
    for i, (name, result) in enumerate(measure.by_model.items()):
        tone, height = _tone(names, name), 100 * (i + 1) / (len(measure.by_model) + 1)
        low, high = _low(result), min(_high(result), top)
        hover = escape(f"{name}: {measure.show(result.value)}% ({measure.show(low)} to {measure.show(high)})")
        at = f"top:{height:.0f}%;left"
        width = 100 * (high - low) / top
        marks.append(f'<s class="{tone}" style="{at}:{100 * low / top:.2f}%;width:{width:.2f}%"></s>')
        marks.append(f'<u class="{tone}" title="{hover}" style="{at}:{100 * result.value / top:.2f}%"></u>')
    shift = ""
    if change := measure.difference:
        shift = (
            f'<b class="{change.verdict}">{measure.shift(change.value)}</b>'
            f"<small>{measure.shift(change.low)} to {measure.shift(change.high)}</small>"
        )
    label = escape(row.label)
    if row.href:
        label = f'<a href="{escape(row.href)}">{label}</a>'
    sample = f" {tag('sample')}" if measure.sample else ""
    return (
        f'<div class="row"><div class="name"><b>{label}</b>{sample}<small>{escape(row.about)}</small></div>'
        f'<div class="track">{lines}{"".join(marks)}</div><div class="diff">{shift}</div></div>'
    )


def _tone(names: Sequence[str], name: str) -> str:
    return f"m{names.index(name) % TONES}"


def _low(result: Result) -> float:
    return result.value if result.low is None else max(0.0, result.low)


def _high(result: Result) -> float:
    return result.value if result.high is None else result.high
