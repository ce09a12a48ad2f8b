"""One prompt from its instruction to the answers that were kept and dropped: the whole method on one record."""

from __future__ import annotations

from autoif.records import Answers, Function, Response
from autoif.report.collect import Report
from autoif.report.page import section, tag, text_block
from autoif.report.rows import response

FROM = ("score", "verify_responses", "verify_samples")
"""Stages whose rows hold everything; the last that is done is taken."""


def example(report: Report) -> str:
    """The example part of the page; empty before responses were verified."""
    rows = next((found for name in FROM if (found := _rows(report, name))), [])
    if not rows:
        return ""
    row = max(rows, key=_tells)
    function = max(row.prompt.functions, key=lambda f: f.accuracy or 0.0)
    kept = [answer for answer in row.responses if answer.dropped is None]
    dropped = sorted((answer for answer in row.responses if answer.dropped), key=lambda answer: answer.accuracy or 0.0)
    steps = [
        ("Instruction", text_block(row.prompt.instruction, "plain")),
        ("A model writes a function that checks it", _code(function)),
        *([("Another reading of the code gives back", _back(function))] if function.back_translation else []),
        ("A user's query joins it", text_block(row.prompt.query, "plain")),
        ("Answers are run against the functions", f'<div class="pair">{_answer(kept)}{_answer(dropped)}</div>'),
    ]
    body = "".join(f"<li><p class='field'>{title}</p>{content}</li>" for title, content in steps)
    about = "One record through all filters, as it stands in the store."
    return section("example", "One example, start to end", about, f'<ol class="steps">{body}</ol>')


def _rows(report: Report, name: str) -> list[Answers]:
    stage = report.stage(name)
    rows = stage.samples.kept if stage else []
    return [row for row in rows if isinstance(row, Answers) and row.prompt.functions]  # a file's may have none


def _tells(row: Answers) -> tuple[bool, bool, bool]:
    """How much a row shows: an answer kept, one that failed its functions, a back-translation."""
    kept = any(answer.dropped is None for answer in row.responses)
    failed = any(answer.dropped is not None and answer.accuracy is not None for answer in row.responses)
    return kept and failed, kept, any(function.back_translation for function in row.prompt.functions)


def _code(function: Function) -> str:
    rate = "" if function.accuracy is None else tag(f"right on {100 * function.accuracy:.0f}% of the cases", "ok")
    return text_block(function.code, "code", fold=2000) + rate


def _back(function: Function) -> str:
    label = tag(function.nli, "no" if function.nli == "contradiction" else "ok") if function.nli else ""
    return text_block(function.back_translation or "", "plain") + label


def _answer(found: list[Response]) -> str:
    return response(found[0]) if found else ""
