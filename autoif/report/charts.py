"""Line charts as inline SVG: axes, ticks, labels and hover titles, no script and nothing fetched.

Colours come from the page's CSS classes, so one drawing serves light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from autoif.report.text import escape, number

WIDTH, HEIGHT = 380, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 36
HOVER_STRIPS = 80
"""At most so many hover targets on a chart."""
SMOOTH_FROM = 24
"""From so many points on, a noisy segment is drawn faint with its moving average over it."""

Point = tuple[float, float]
Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Series:
    """A curve in one or more segments of (x, y), x ascending. ``noisy``: draw a moving average over it."""

    label: str
    segments: Sequence[Sequence[Point]]
    tone: str = "accent"
    noisy: bool = True


@dataclass(frozen=True, slots=True)
class Chart:
    """``marks``: (x, label) of vertical rules. ``zero``: keep y = 0 in view and draw it. ``note``: beside the title."""

    title: str
    series: Sequence[Series]
    marks: Sequence[tuple[float, str]] = ()
    note: str = ""
    zero: bool = False
    x_label: str = "optimizer step"


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round values (1, 2 or 5 × a power of ten apart) within [low, high], about ``wanted`` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((power * m for m in (1, 2, 5, 10)), key=lambda s: abs(s - raw))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def labels(values: Sequence[float]) -> list[str]:
    """Ticks as text, with as many decimals as tell them apart; scientific where they are very small or large."""
    largest = max(map(abs, values), default=0.0)
    if len(values) < 2 or not 1e-3 <= largest < 1e5:
        return [number(value) for value in values]
    decimals = max(0, -math.floor(math.log10(values[1] - values[0]) + 1e-9))
    return [f"{value:.{decimals}f}".replace("-", "−") for value in values]


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Centred moving average over ``window`` values, shorter at both ends."""
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    half = window // 2
    bounds = [(max(0, i - half), min(len(values), i + half + 1)) for i in range(len(values))]
    return [(sums[b] - sums[a]) / (b - a) for a, b in bounds]


def chart(what: Chart) -> str:
    """A ``<figure>`` with the chart; points that are not finite are left out. Empty when nothing is left."""
    kept = [(series, [_finite(segment) for segment in series.segments]) for series in what.series]
    points = [point for _, segments in kept for segment in segments for point in segment]
    if not points:
        return ""
    px, py, axes = _scales(points, what.zero, what.x_label)
    parts = [axes]
    for x, label in what.marks:
        parts.append(_rule("mark", px(x)))
        parts.append(f'<text class="marklabel" x="{px(x) + 3:.1f}" y="{TOP + 8}">{escape(label)}</text>')
    for series, segments in kept:
        for segment in segments:
            parts += _curve(segment, series, px, py)
    parts += _hover([(series.label, [p for segment in segments for p in segment]) for series, segments in kept], px, py)
    names = [(series.label, series.tone) for series in what.series] if len(what.series) > 1 else []
    key = "".join(f'<span class="swatch {tone}">{escape(label)}</span> ' for label, tone in names)
    note = f'<span class="note">{key}{escape(what.note)}</span>' if what.note or key else ""
    return (
        f'<figure class="chart"><figcaption>{escape(what.title)}{note}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{what.title} by {what.x_label}")}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _finite(segment: Sequence[Point]) -> list[Point]:
    return [(x, y) for x, y in segment if math.isfinite(y)]


def _scales(points: Sequence[Point], zero: bool, x_label: str) -> tuple[Scale, Scale, str]:
    """Data → pixels for both axes, and the axes themselves."""
    xs, ys = [x for x, _ in points], [y for _, y in points] + ([0.0] if zero else [])
    x_low, x_high = (min(xs), max(xs)) if max(xs) > min(xs) else (xs[0] - 0.5, xs[0] + 0.5)
    pad = (max(ys) - min(ys)) * 0.08 or abs(max(ys)) * 0.1 or 1.0
    y_low, y_high = min(ys) - pad, max(ys) + pad
    bottom = HEIGHT - BOTTOM

    def px(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        return bottom - (y - y_low) / (y_high - y_low) * (bottom - TOP)

    parts = []
    for y, label in _labelled(ticks(y_low, y_high)):
        kind = "zero" if zero and y == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py(y):.1f}" y2="{py(y):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{py(y) + 3.5:.1f}" text-anchor="end">{label}</text>')
    for x, label in _labelled([x for x in ticks(x_low, x_high, 5) if x == int(x)]):
        parts.append(f'<line class="axis" x1="{px(x):.1f}" x2="{px(x):.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(f'<text class="tick" x="{px(x):.1f}" y="{bottom + 16}" text-anchor="middle">{label}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(f'<text class="label" x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>')
    return px, py, "".join(parts)


def _labelled(values: Sequence[float]) -> list[tuple[float, str]]:
    return list(zip(values, labels(values), strict=True))


def _rule(kind: str, x: float) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'


def _curve(segment: Sequence[Point], series: Series, px: Scale, py: Scale) -> Iterator[str]:
    def line(kind: str, ys: Sequence[float]) -> str:
        corners = " ".join(f"{px(x):.1f},{py(y):.1f}" for (x, _), y in zip(segment, ys, strict=True))
        return f'<polyline class="{kind} {series.tone}" points="{corners}"/>'

    ys = [y for _, y in segment]
    averaged = series.noisy and len(segment) >= SMOOTH_FROM
    if averaged:
        yield line("raw", ys)
    if len(segment) > 1:
        yield line("curve", smooth(ys, max(3, len(ys) // 12)) if averaged else ys)
    if len(segment) == 1 or (len(segment) < SMOOTH_FROM and series.noisy):
        for x, y in segment:
            yield f'<circle class="dot {series.tone}" cx="{px(x):.1f}" cy="{py(y):.1f}" r="2.4"/>'


def _hover(curves: Sequence[tuple[str, Sequence[Point]]], px: Scale, py: Scale) -> Iterator[str]:
    """Invisible strips over the plot, each naming the values at its middle."""
    base = curves[0][1]
    shown = base[:: max(1, math.ceil(len(base) / HOVER_STRIPS))]
    width = (WIDTH - LEFT - RIGHT) / max(1, len(shown))
    others = [(label, dict(points)) for label, points in curves]
    for x, _ in shown:
        left = min(max(px(x) - width / 2, LEFT), WIDTH - RIGHT - width)
        values = [(label, points[x]) for label, points in others if x in points]
        text = f"step {number(x)}: " + ", ".join(f"{label} {number(y)}" for label, y in values)
        dots = "".join(f'<circle cx="{px(x):.1f}" cy="{py(y):.1f}" r="3.5"/>' for _, y in values)
        yield (
            f'<g class="hit"><title>{escape(text)}</title><rect x="{left:.1f}" y="{TOP}" width="{width:.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}"/>{dots}</g>'
        )
