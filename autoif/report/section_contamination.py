"""How much of the benchmarks stands in the training data, beside the results that it could have bought (table 4)."""

from __future__ import annotations

from autoif.records import Contamination, Overlap
from autoif.report.collect import Report
from autoif.report.page import details, section, table, tag, text_block
from autoif.report.summary import benchmark_name
from autoif.report.text import count, escape, percent


def contamination(report: Report) -> str:
    """The contamination part of the page; empty where nothing was compared."""
    rows = report.contaminations
    if not rows:
        return ""
    head = ["Training set", "Benchmark", "Rows", "Prompts", *columns(rows)]
    body = [
        [escape(row.data), escape(benchmark_name(row.benchmark)), *map(escape, cells(row, len(head)))] for row in rows
    ]
    found = [case for row in rows for case in row.examples]
    shown = details(f"{count(len(found))} cases to read", "".join(map(_case, found))) if found else ""
    about = (
        f"Benchmark prompts that share {rows[0].words} words in a row with a training row, and those of which one row "
        f"holds at least {rows[0].share:.0%}."
    )
    notes = [f'<p class="small">{escape(note)}</p>' for note in left_out(report)]
    return section(
        "contamination",
        "Contamination",
        about,
        f'<p class="lede {"open" if dirty(rows) else "gain"}">{escape(verdict(rows))}</p>',
        table(head, body, range(2, len(head))),
        shown,
        *notes,
    )


def columns(rows: list[Contamination]) -> list[str]:
    """The heads of what was counted; the judge has one where it was asked."""
    judged = any(row.rephrased is not None for row in rows)
    return [f"{rows[0].words}-gram overlap", "contaminated", "rows that hold them", *(["rephrased"] if judged else [])]


def cells(row: Contamination, width: int = 8) -> list[str]:
    """What :func:`columns` (and the two counts before them) name, as text; ``width``: columns of the whole table."""
    values = [
        count(row.train),
        count(row.test),
        *(f"{count(part)} ({percent(part / row.test)})" for part in (row.overlapping, row.contaminated) if row.test),
        count(row.rows),
    ]
    if row.rephrased is not None:
        unread = f", {row.unparsable} unread" if row.unparsable else ""
        values.append(f"{count(row.rephrased)} (judge {row.judge}{unread})")
    return [*values, *[""] * (width - 2 - len(values))]


def verdict(rows: list[Contamination]) -> str:
    """One sentence that can stand beside the results."""
    if found := dirty(rows):
        return (
            f"Prompts of {' and '.join(found)} stand in the training data: read their results with care. "
            "pipeline.contamination.drop=true keeps such rows out."
        )
    compared = dict.fromkeys(f"{count(row.test)} prompts of {benchmark_name(row.benchmark)}" for row in rows)
    return f"Of the {' and '.join(compared)}, none stands in the training data."


def dirty(rows: list[Contamination]) -> list[str]:
    """Names of the benchmarks that were found."""
    return list(dict.fromkeys(benchmark_name(row.benchmark) for row in rows if row.contaminated or row.rephrased))


def left_out(report: Report) -> list[str]:
    """Benchmarks that were to be compared and are not at hand, each with the reason."""
    from evaluation.contamination_stages import left_out

    settings = report.config.evaluation
    reasons = {name: left_out(settings, name) for name in settings.contamination.benchmarks}
    return [f"{benchmark_name(name)} was not compared: {reason}." for name, reason in reasons.items() if reason]


def _case(case: Overlap) -> str:
    how = f"likeness {case.share:.2f}, found by the judge" if case.rephrased else f"{case.share:.0%} of its n-grams"
    sides = [("test", f"{case.benchmark} {case.item}", case.prompt), ("training", f"row {case.row}", case.text)]
    columns = "".join(f"<div>{tag(name)} {tag(what)}{text_block(text)}</div>" for name, what, text in sides)
    return f'<div class="item dropped"><p class="small">{escape(how)}</p><div class="pair">{columns}</div></div>'
