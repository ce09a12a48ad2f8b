"""A joined table in HTML: the table itself, the plot of differences, the figure with two axes."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from autoif.report.charts import ticks
from autoif.report.page import table as page_table
from autoif.report.page import tag
from autoif.report.paper import Column
from autoif.report.table_data import Cell, Row, Table
from autoif.report.table_text import columns, first, legend, shifted, shown, unmeasured
from autoif.report.text import escape
from autoif.report.two_axes import Mark, TwoAxes, two_axes

PLOTS = 4
"""Columns of a table that are drawn."""
_STATES = {"missing": "missing", "not_run": "not run", "same": "see below", "partly": "some seeds"}


def table_html(table: Table, place: str = "") -> str:
    """The table: ours above the paper's in each cell, groups as lines of their own.

    ``place``: where the experiment's folder lies, as seen from the page.
    """
    shown_columns = columns(table)
    rows: list[list[str]] = []
    group = ""
    for row in table.rows:
        if row.group != group:
            group = row.group
            rows.append([f'<b class="group">{escape(group)}</b>', *([""] * len(shown_columns))])
        rows.append([_name(row, place), *(_cell(c, table.cell(row, c)) for c in shown_columns)])
    head = [first(table), *(column.label for column in shown_columns)]
    left = ", ".join(column.label for column in unmeasured(table))
    notes = [f"{row.label}: {row.note}" for row in table.rows if row.note]
    notes += [f"Not measured: {left}."] if left else []
    said = "".join(f'<p class="small">{escape(note)}</p>' for note in (legend(table), *notes))
    return page_table(head, rows, range(1, len(head)), kind="joined") + said


def _name(row: Row, place: str) -> str:
    label = escape(row.label)
    if row.runs:
        point = quote(row.runs[0].rpartition("/")[2])
        label = f'<a href="{escape(place)}{point}/report.html">{label}</a>'
    state = f" {tag(_STATES[row.state], 'no' if row.state == 'missing' else '')}" if row.state in _STATES else ""
    return label + state


def _cell(column: Column, cell: Cell) -> str:
    mine = ""
    if cell.values:
        spread = f'<span class="ci"> ± {cell.deviation:.1f}</span>' if cell.deviation is not None else ""
        mine = f"<b>{shown(column, cell.mean)}</b>{spread} {_shift(column, cell)}"
    theirs = shown(column, cell.paper)
    if cell.paper_shift is not None:
        theirs += f" ({shifted(column, cell.paper_shift)})"
    return (
        f'<div>{mine or "–"}</div><div class="paper" title="the paper">{theirs if cell.paper is not None else ""}</div>'
    )


def _shift(column: Column, cell: Cell) -> str:
    if cell.shift is None:
        return ""
    change = cell.shift
    tone = "open"
    hover = ""
    if change.low is not None and change.high is not None:
        if change.how != "seeds":  # a standard deviation is no interval to judge by
            tone = "gain" if change.low > 0 else "loss" if change.high < 0 else "open"
        hover = f"{shifted(column, change.low)} to {shifted(column, change.high)}, {change.how}"
    return f'<span class="shift {tone}" title="{escape(hover)}">({shifted(column, change.value)})</span>'


def plots(table: Table) -> str:
    """What a reader sees first: the figure, or the differences to the own base beside the paper's."""
    if table.figure is not None:
        return f'<div class="charts two">{_figure(table)}</div>'
    drawn = [c for c in table.measured if any(table.cell(row, c).shift for row in table.rows)]
    return "".join(_differences(table, column) for column in drawn[:PLOTS])


def _figure(table: Table) -> str:
    figure = table.figure
    assert figure is not None
    left = next(c for c in table.columns if c.name == figure.left)
    right = next(c for c in table.columns if c.name == figure.right)
    if not any(table.cell(row, left).values for row in table.rows):
        left = next((c for c in table.measured if not c.count), left)
    return "".join(
        two_axes(TwoAxes(title, figure.x, column.label, right.label, marks, note))
        for title, column, marks, note in (
            ("Ours", left, [_mine(table, row, left, right) for row in table.rows], _models(table)),
            ("The paper", _of(table, figure.left), [_theirs(table, row) for row in table.rows], "read off its plot"),
        )
    )


def _of(table: Table, name: str) -> Column:
    return next(c for c in table.columns if c.name == name)


def _models(table: Table) -> str:
    return ", ".join(table.models)


def _mine(table: Table, row: Row, left: Column, right: Column) -> Mark:
    cell = table.cell(row, left)
    low, high = cell.low, cell.high
    if cell.mean is not None and cell.deviation is not None:
        low, high = cell.mean - cell.deviation, cell.mean + cell.deviation
    return Mark(row.x or 0.0, row.label, cell.mean, low, high, table.cell(row, right).mean)


def _theirs(table: Table, row: Row) -> Mark:
    figure = table.figure
    assert figure is not None
    line, bar = table.cell(row, _of(table, figure.left)), table.cell(row, _of(table, figure.right))
    return Mark(row.x or 0.0, row.label, line.paper, None, None, bar.paper)


def _differences(table: Table, column: Column) -> str:
    """A row each: our difference with its interval, the paper's, on one axis through zero."""
    cells = [(row, table.cell(row, column)) for row in table.rows if row.base]
    cells = [(row, cell) for row, cell in cells if cell.shift is not None]
    reach = max((abs(v) for _, cell in cells for v in _extent(cell)), default=1.0) * 1.08 or 1.0
    scale = ticks(-reach, reach)
    lines = "".join(f'<i class="{"zero" if v == 0 else ""}" style="left:{_place(v, reach):.2f}%"></i>' for v in scale)
    names = "".join(f'<span style="left:{_place(v, reach):.2f}%">{_tick(v)}</span>' for v in scale)
    body = "".join(_difference(table, row, column, reach, lines) for row, _ in cells)
    spread = "mean ± one standard deviation" if len(table.seeds) > 1 else "95% interval"
    keys = f'<span><i class="key m1"></i>ours, {spread}</span>'
    if any(cell.paper_shift is not None for _, cell in cells):
        keys += '<span><i class="key m0"></i>the paper</span>'
    return (
        f'<h3>{escape(column.label)}: difference to the own base</h3><p class="legend">{keys}</p><div class="forest">'
        f'{body}<div class="row scale"><div></div><div class="track">{names}</div><div></div></div></div>'
    )


def _tick(value: float) -> str:
    return f"{value:+g}".replace("-", "−") if value else "0"


def _extent(cell: Cell) -> Sequence[float]:
    shift = cell.shift
    mine = (shift.value, shift.low, shift.high) if shift else ()
    return [value for value in (*mine, cell.paper_shift) if value is not None]


def _place(value: float, reach: float) -> float:
    return 50 + 50 * value / reach


def _difference(table: Table, row: Row, column: Column, reach: float, lines: str) -> str:
    cell = table.cell(row, column)
    shift = cell.shift
    assert shift is not None
    marks, interval = [], ""
    if cell.paper_shift is not None:
        at = f"top:70%;left:{_place(cell.paper_shift, reach):.2f}%"
        marks.append(
            f'<u class="m0" style="{at}" title="{escape(f"the paper: {shifted(column, cell.paper_shift)}")}"></u>'
        )
    if shift.low is not None and shift.high is not None:
        left, width = _place(shift.low, reach), 50 * (shift.high - shift.low) / reach
        marks.append(f'<s class="m1" style="top:34%;left:{left:.2f}%;width:{width:.2f}%"></s>')
        interval = f"<small>{shifted(column, shift.low)} to {shifted(column, shift.high)}</small>"
    at = f"top:34%;left:{_place(shift.value, reach):.2f}%"
    marks.append(f'<u class="m1" style="{at}" title="{escape(f"ours: {shifted(column, shift.value)}")}"></u>')
    base = next((other.label for other in table.rows if other.name == row.base), "")
    return (
        f'<div class="row"><div class="name"><b>{escape(row.label)}</b><small>{escape(f"against {base}")}</small></div>'
        f'<div class="track">{lines}{"".join(marks)}</div>'
        f'<div class="diff"><b>{shifted(column, shift.value)}</b>{interval}</div></div>'
    )
