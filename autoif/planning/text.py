"""Tables of plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def grid(header: Sequence[str], rows: Iterable[Sequence[str]], total: Sequence[str] = (), left: int = 1) -> str:
    """A table with a rule under its header and above ``total``; the first ``left`` columns are flush left."""
    text = aligned([header, *rows, *([total] if total else [])], left)
    rule = "─" * max(map(len, text))
    return "\n".join([text[0], rule, *text[1:-1], rule, text[-1]] if total else [text[0], rule, *text[1:]])


def aligned(lines: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Lines of cells, the first the longest, as text in columns; the first ``left`` columns are flush left."""
    widths = [max(len(line[column]) for line in lines if column < len(line)) for column in range(len(lines[0]))]
    return [_line(line, widths, left) for line in lines]


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = [
        cell.ljust(width) if column < left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=False))
    ]
    return "  ".join(padded).rstrip()


def bound(count: float) -> str:
    """``≤ 1,234``, or a dash for nothing."""
    return f"≤ {count:,.0f}" if count else "–"


def short(count: float) -> str:
    """A large count in three digits: 950, 12.3k, 4.56M, 7.89G, 1.23T."""
    for unit in ("", "k", "M", "G"):
        if abs(count) < 999.5:
            return f"{count:.3g}{unit}" if unit else f"{count:.0f}"
        count /= 1000
    return f"{count:.3g}T"


def hours(value: float) -> str:
    """A duration: ``40 min``, ``7.5 h``, ``12 d``."""
    if value < 1:
        return f"{max(1, round(value * 60))} min"
    return f"{value:.3g} h" if value < 100 else f"{value:,.0f} h"
