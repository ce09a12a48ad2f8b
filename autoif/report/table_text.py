"""A joined table as Markdown, LaTeX (booktabs) and CSV; every form says the same numbers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from autoif.report.paper import Column
from autoif.report.table_data import Cell, Row, Table
from autoif.report.text import count, markdown, signed

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "≥": r"$\geq$",
    "±": r"$\pm$",
    "−": r"$-$",
} | {char: f"\\{char}" for char in "&%$#_{}"}

_FIELDS = (
    *("experiment", "row", "base", "column", "unit", "state", "mean", "sd", "values", "low", "high", "n", "sample"),
    *("difference", "difference_low", "difference_high", "difference_how", "paper", "paper_difference"),
    *("runs", "fingerprints", "commands"),
)


def shown(column: Column, value: float | None) -> str:
    """A value in its unit: percentages with one decimal, counts whole, scores with two; a dash for none."""
    if value is None:
        return "–"
    match column.unit:
        case "count":
            return count(round(value))
        case "score":
            return f"{value:.2f}"
        case _:
            return f"{value:.1f}"


def shifted(column: Column, value: float | None) -> str:
    """A difference in its unit, signed; empty for none."""
    if value is None:
        return ""
    if column.unit == "count":
        return f"{'+' if value > 0 else '−' if value < 0 else '±'}{count(abs(round(value)))}"
    return signed(value, 2 if column.unit == "score" else 1)


def ours(column: Column, cell: Cell) -> str:
    """``45.2 ± 0.4 (+1.6)``: mean and standard deviation over seeds, difference to the own base."""
    text = shown(column, cell.mean)
    if cell.deviation is not None:
        text += f" ± {cell.deviation:.2f}" if column.unit == "score" else f" ± {cell.deviation:.1f}"
    return text + (f" ({shifted(column, cell.shift.value)})" if cell.shift else "")


def papers(column: Column, cell: Cell) -> str:
    """The paper's value with its difference to the own base."""
    text = shown(column, cell.paper)
    return text + (f" ({shifted(column, cell.paper_shift)})" if cell.paper_shift is not None else "")


def legend(table: Table) -> str:
    """How to read the cells, in one sentence each."""
    said = []
    if any(cell.shift or cell.paper_shift is not None for row in table.rows for cell in row.cells):
        said.append("In brackets: the difference to the row's own base.")
    if len(table.seeds) > 1:
        said.append(f"Ours: mean ± standard deviation over {len(table.seeds)} seeds.")
    if any(cell.sample for row in table.rows for cell in row.cells):
        said.append(
            "Some benchmarks were run on a part of their prompts: such numbers do not compare with published ones."
        )
    return " ".join(said)


def scaled(table: Table) -> str:
    """What stands in for the paper's models and amounts; nothing at the paper's own scale."""
    if not table.scale:
        return ""
    return (
        f"Scale {table.scale}: {', '.join(table.models)} in place of the paper's models; "
        "the amounts are a small part of the paper's, so the numbers say that the graph runs, not who is right."
    )


def unmeasured(table: Table) -> tuple[Column, ...]:
    """Columns that the paper reports and nothing of ours fills, where others are filled."""
    return tuple(c for c in table.columns if c not in table.measured) if table.measured else ()


def columns(table: Table) -> tuple[Column, ...]:
    """Columns to show: those that were measured, or all while none was."""
    return table.measured or table.columns


def first(table: Table) -> str:
    """Heading of the rows: what a figure's x is, nothing where rows speak for themselves."""
    return table.figure.x if table.figure else ""


def to_markdown(table: Table) -> str:
    """Two lines a row, ours above the paper's (where it has any), then what is missing and how to make it."""
    shown_columns = columns(table)
    head = [first(table), "", *(markdown(column.label) for column in shown_columns)]
    lines = [f"# {markdown(table.title)}", ""]
    lines += [markdown(text, 600) + "\n" for text in (table.about, scaled(table), legend(table)) if text]
    lines += [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    group = ""
    for row in table.rows:
        if row.group != group:
            group = row.group
            lines.append(f"| **{markdown(group)}** |{' |' * (len(head) - 1)}")
        mine = [markdown(ours(c, table.cell(row, c))) for c in shown_columns]
        theirs = [markdown(papers(c, table.cell(row, c))) for c in shown_columns]
        lines.append(f"| {markdown(row.label)} | {_who(row)} | {' | '.join(mine)} |")
        if table.reported:
            lines.append(f"| | paper | {' | '.join(theirs)} |")
    if left := unmeasured(table):
        lines += ["", f"Not measured: {', '.join(markdown(column.label) for column in left)}."]
    if notes := [f"- {markdown(row.label)}: {markdown(row.note, 300)}" for row in table.rows if row.note]:
        lines += ["", *notes]
    if commands := missing(table):
        lines += ["", "Missing, and what makes it:", "", "```", *commands, "```"]
    return "\n".join(lines) + "\n"


def _who(row: Row) -> str:
    return {"missing": "missing", "not_run": "not run", "same": "see below", "partly": "ours (some seeds)"}.get(
        row.state, "ours"
    )


def missing(table: Table) -> list[str]:
    """The commands that make what is missing, each once."""
    return list(dict.fromkeys(command for row in table.rows for command in row.commands))


def to_latex(table: Table) -> str:
    """A ``tabular`` for ``booktabs``; the paper's line stands in grey below ours."""
    shown_columns = columns(table)
    lines = [
        f"% {table.title}. Needs booktabs and xcolor. {' '.join(f'{scaled(table)} {legend(table)}'.split())}",
        rf"\begin{{tabular}}{{ll{'r' * len(shown_columns)}}}",
        r"\toprule",
        f" & & {' & '.join(_latex(column.label) for column in shown_columns)} \\\\",
        r"\midrule",
    ]
    group = ""
    for row in table.rows:
        if row.group != group:
            group = row.group
            lines.append(rf"\multicolumn{{{2 + len(shown_columns)}}}{{l}}{{\textit{{{_latex(group)}}}}} \\")
        mine = " & ".join(_latex(ours(c, table.cell(row, c))) for c in shown_columns)
        theirs = " & ".join(rf"\textcolor{{gray}}{{{_latex(papers(c, table.cell(row, c)))}}}" for c in shown_columns)
        lines.append(f"{_latex(row.label)} & {_who(row)} & {mine} \\\\")
        if table.reported:
            lines.append(rf" & \textcolor{{gray}}{{paper}} & {theirs} \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    return re.sub(r"[\\~^≥±−&%$#_{}]", lambda found: _LATEX[found.group()], text).replace("–", "--")


def to_csv(table: Table) -> str:
    """One line a row and column, everything in it: values a seed apart by semicolons, intervals, runs, fingerprints."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_FIELDS)
    for row in table.rows:
        for column in table.columns:
            writer.writerow(_fields(table, row, column))
    return out.getvalue()


def _fields(table: Table, row: Row, column: Column) -> Iterator[object]:
    cell = table.cell(row, column)
    yield from (table.name, row.name, row.base, column.name, column.unit, row.state)
    yield from _plain((cell.mean, cell.deviation))
    yield ";".join(_plain(cell.values))
    yield from (*_plain((cell.low, cell.high)), cell.n or "", str(cell.sample).lower())
    change = cell.shift
    yield from _plain((change.value, change.low, change.high) if change else (None, None, None))
    yield change.how if change else ""
    yield from _plain((cell.paper, cell.paper_shift))
    yield from (";".join(row.runs), ";".join(row.fingerprints), ";".join(row.commands))


def _plain(values: Sequence[float | None]) -> list[str]:
    return ["" if value is None else f"{value:.6g}" for value in values]
