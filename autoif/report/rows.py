"""How single records look: instructions, functions, cases, responses, pairs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from autoif.records import (
    AnswerGroup,
    Answers,
    Case,
    Function,
    GroupAnswer,
    Instruction,
    Message,
    PreferencePair,
    Prompt,
    Query,
    Reply,
    Response,
    SftExample,
    Verifier,
)
from autoif.report.page import labelled, tag, text_block
from autoif.report.select import Row, spread
from autoif.report.text import escape, plural

FUNCTIONS_SHOWN, CASES_SHOWN, RESPONSES_SHOWN = 2, 4, 4
CASE_CHARS = 160
"""Longer case inputs are folded: they are many and stand in a narrow column."""


def items(rows: Sequence[tuple[Row, str]], dropped: bool = False) -> str:
    """Cards of (record, detail); short ones stand beside each other."""
    short = all(isinstance(row, Instruction | Query | Case | Prompt | Reply) for row, _ in rows)
    cards = "".join(item(row, detail, dropped) for row, detail in rows)
    return f'<div class="{"cards" if short else ""}">{cards}</div>'


def item(row: Row, detail: str = "", dropped: bool = False) -> str:
    """A record as a card. ``detail``: the evidence for a dropped one."""
    head = f'<p class="small">{escape(detail)}</p>' if detail else ""
    return f'<div class="item{" dropped" if dropped else ""}">{head}{_body(row)}</div>'


def _body(row: Row) -> str:
    match row:
        case Instruction():
            return text_block(row.text, "plain") + tag(row.origin)
        case Verifier():
            return _verifier(row)
        case Function():
            return _function(row)
        case Case():
            return _case(row)
        case Query():
            return text_block(row.text, "plain") + tag(row.source)
        case Prompt():
            return text_block(row.text) + tag(plural(len(row.functions), "function"))
        case Reply():
            return labelled(f"reply {row.index}", text_block(row.text))
        case Response():
            return response(row)
        case Answers():
            return _answers(row)
        case SftExample():
            return _conversation(row.messages) + _accuracy(row.accuracy) + _score(row.score)
        case PreferencePair():
            return _pair(row)
        case AnswerGroup():
            return _group(row)
        case dict():
            return text_block(msgspec.json.format(msgspec.json.encode(row)).decode(), "code")
        case _:
            return text_block(msgspec.json.format(msgspec.json.encode(row)).decode(), "code")


def _more(total: int, shown: int, noun: str) -> str:
    return f'<p class="small">and {plural(total - shown, f"more {noun}")}</p>' if total > shown else ""


def _accuracy(value: float | None) -> str:
    return "" if value is None else tag(f"accuracy {value:.2f}") + " "


def _score(value: float | None) -> str:
    return "" if value is None else tag(f"score {value:g} of 10") + " "


def _verifier(row: Verifier) -> str:
    functions = "".join(_function(function) for function in row.functions[:FUNCTIONS_SHOWN])
    functions += _more(len(row.functions), FUNCTIONS_SHOWN, "function")
    cases = "".join(_case(row.cases[i]) for i in spread(len(row.cases), CASES_SHOWN))
    cases += _more(len(row.cases), CASES_SHOWN, "case")
    columns = [
        f"<div>{labelled(name, content)}</div>"
        for name, content in (("functions", functions), ("cases", cases))
        if content
    ]
    return f'{text_block(row.instruction.text, "plain strong")}<div class="pair">{"".join(columns)}</div>'


def _function(function: Function) -> str:
    marks = _accuracy(function.accuracy)
    if function.nli:
        marks += tag(function.nli, "no" if function.nli == "contradiction" else "ok")
    parts = [text_block(function.code, "code", fold=1500), marks]
    if function.back_translation:
        parts.append(labelled("read back as", text_block(function.back_translation, "plain")))
    return "".join(parts)


def _case(case: Case) -> str:
    expected = tag("must pass", "ok") if case.expected else tag("must fail", "no")
    text = text_block(case.input, fold=CASE_CHARS)
    return f'<div class="case"><div>{expected} {_accuracy(case.accuracy)}</div><div>{text}</div></div>'


def _outcomes(outcomes: Sequence[str]) -> str:
    tones = {"true": "ok", "false": "no"}
    return " ".join(tag(outcome, tones.get(outcome, "")) for outcome in outcomes[:12])


def response(row: Response) -> str:
    """An answer with its verdict, accuracy, score and outcomes."""
    verdict = tag(row.dropped.replace("_", " "), "no") if row.dropped else tag("kept", "ok")
    facts = f"{verdict} {_accuracy(row.accuracy)}{_score(row.score)}{_outcomes(row.outcomes)}"
    return f"<div>{facts}{text_block(row.text)}</div>"


def _answers(row: Answers) -> str:
    responses = [row.responses[i] for i in spread(len(row.responses), RESPONSES_SHOWN)]
    shown = "".join(map(response, responses))
    more = _more(len(row.responses), RESPONSES_SHOWN, "response")
    return labelled("prompt", text_block(row.prompt.text)) + labelled("responses", shown + more)


def _conversation(messages: Sequence[Message]) -> str:
    return "".join(labelled(message.role, text_block(message.content)) for message in messages)


def _group(row: AnswerGroup) -> str:
    def side(answer: GroupAnswer, tone: str) -> str:
        return f"<div>{tag(f'reward {answer.reward:.2g}', tone)}{text_block(answer.text)}</div>"

    ranked = sorted(row.answers, key=lambda answer: -answer.reward)
    sides = side(ranked[0], "ok") + side(ranked[-1], "no")
    return f'{_conversation(row.prompt)}<div class="pair">{sides}</div>{_more(len(ranked), 2, "answer")}'


def _pair(row: PreferencePair) -> str:
    def side(label: str, text: str, accuracy: float, tone: str) -> str:
        return f"<div>{tag(label, tone)} {_accuracy(accuracy)}{text_block(text)}</div>"

    chosen = side("chosen", row.chosen, row.chosen_accuracy, "ok")
    rejected = side("rejected", row.rejected, row.rejected_accuracy, "no")
    return f'{tag(row.level + " level")}{_conversation(row.prompt)}<div class="pair">{chosen}{rejected}</div>'
