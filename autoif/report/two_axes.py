"""A figure with two vertical axes, as the paper draws its scaling analysis: accuracy as a line, amounts as bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autoif.report.charts import ticks
from autoif.report.text import escape, number

WIDTH, HEIGHT = 420, 270
LEFT, RIGHT, TOP, BOTTOM = 46, 58, 16, 44
BAR = 0.5
"""Width of a bar, of the distance between two of them."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One x with what was measured there: the line's value with its interval, the bar's value. None: nothing."""

    x: float
    label: str
    line: float | None = None
    low: float | None = None
    high: float | None = None
    bar: float | None = None


@dataclass(frozen=True, slots=True)
class TwoAxes:
    """``line`` and ``bar`` name the left and the right axis. Positions are even: the x values are steps of a sweep."""

    title: str
    x_label: str
    line: str
    bar: str
    marks: Sequence[Mark]
    note: str = ""


def two_axes(what: TwoAxes) -> str:
    """A ``<figure>``; empty when there is nothing to draw."""
    if all(mark.line is None and mark.bar is None for mark in what.marks):
        return ""
    step = (WIDTH - LEFT - RIGHT) / len(what.marks)
    places = [LEFT + step * (i + 0.5) for i in range(len(what.marks))]
    body = _bars(what, places, step) + _line(what, places)
    body += "".join(
        f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(mark.label)}</text>'
        for x, mark in zip(places, what.marks, strict=True)
    )
    bottom = HEIGHT - BOTTOM
    body += f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    body += f'<text class="label" x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(what.x_label)}</text>'
    note = f'<span class="note">{escape(what.note)}</span>' if what.note else ""
    about = f"{what.title}: {what.line} and {what.bar} by {what.x_label}"
    return (
        f'<figure class="chart"><figcaption>{escape(what.title)}{note}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(about)}">{body}</svg>'
        f'<p class="legend">{_key(what)}</p></figure>'
    )


def _key(what: TwoAxes) -> str:
    said = []
    if any(mark.line is not None for mark in what.marks):
        said.append(f'<span class="swatch accent">{escape(what.line)}</span>')
    if any(mark.bar is not None for mark in what.marks):
        said.append(f'<span class="swatch amount">{escape(what.bar)}</span>')
    return "".join(said)


def _bars(what: TwoAxes, places: Sequence[float], step: float) -> str:
    """Amounts from zero, with the right axis."""
    values = [mark.bar for mark in what.marks if mark.bar is not None]
    if not values:
        return ""
    top, bottom = (max(values) or 1.0) * 1.08, HEIGHT - BOTTOM
    height = (bottom - TOP) / top
    parts = []
    for x, mark in zip(places, what.marks, strict=True):
        if mark.bar is not None:
            tall = mark.bar * height
            hover = escape(f"{mark.label}: {what.bar} {number(mark.bar)}")
            parts.append(
                f'<rect class="amount" x="{x - step * BAR / 2:.1f}" y="{bottom - tall:.1f}" width="{step * BAR:.1f}" '
                f'height="{tall:.1f}"><title>{hover}</title></rect>'
            )
    for value in ticks(0, top):
        y = bottom - value * height + 3.5
        parts.append(f'<text class="tick amount" x="{WIDTH - RIGHT + 7}" y="{y:.1f}">{_amount(value)}</text>')
    return "".join(parts)


def _amount(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 1000 and value % 100 == 0 else f"{value:g}"


def _line(what: TwoAxes, places: Sequence[float]) -> str:
    """Accuracies with their intervals, with the left axis and its grid."""
    known = [(x, mark) for x, mark in zip(places, what.marks, strict=True) if mark.line is not None]
    if not known:
        return ""
    seen = [v for _, mark in known for v in (mark.line, mark.low, mark.high) if v is not None and math.isfinite(v)]
    pad = (max(seen) - min(seen)) * 0.12 or 1.0
    low, high, bottom = min(seen) - pad, max(seen) + pad, HEIGHT - BOTTOM

    def py(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - TOP)

    parts = []
    for value in ticks(low, high):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py(value):.1f}" y2="{py(value):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{py(value) + 3.5:.1f}" text-anchor="end">{value:g}</text>')
    corners = " ".join(f"{x:.1f},{py(mark.line or 0.0):.1f}" for x, mark in known)
    parts.append(f'<polyline class="curve accent" points="{corners}"/>')
    for x, mark in known:
        value = mark.line or 0.0
        interval = ""
        if mark.low is not None and mark.high is not None:
            parts.append(
                f'<line class="whisker accent" x1="{x:.1f}" x2="{x:.1f}" y1="{py(mark.low):.1f}" '
                f'y2="{py(mark.high):.1f}"/>'
            )
            interval = f" ({mark.low:.1f} to {mark.high:.1f})"
        hover = escape(f"{mark.label}: {what.line} {value:.1f}{interval}")
        parts.append(
            f'<circle class="dot accent" cx="{x:.1f}" cy="{py(value):.1f}" r="3.6"><title>{hover}</title></circle>'
        )
    return "".join(parts)
