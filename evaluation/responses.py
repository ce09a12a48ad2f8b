"""Existing answers, read from a file and paired with the questions they answer: scoring without a model.

Answers are paired by key or by prompt, never by position. What does not pair is named: missing, duplicated, foreign
and contradictory answers stop the scoring; reordered ones and prompts that were edited since are noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from autoif.errors import DataError, RecordingMissError
from autoif.generation.base import Answer, Completion, Request
from autoif.records import digest
from evaluation.data import read_jsonl

EDITED = 0.9
"""Similarity from which a foreign prompt is taken for an older wording of one that has no answer."""

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Question:
    """What an answer is expected for."""

    id: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Given:
    """An answer in a file. ``key`` or ``prompt`` says what it answers; ``line`` where it stands."""

    line: int
    response: str
    key: str | None = None
    prompt: str | None = None


@dataclass(slots=True)
class Alignment:
    """Answers by question id, and everything about the file that does not fit the questions."""

    source: str
    responses: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    contradictory: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)

    def check(self, partial: bool = False) -> Alignment:
        """Return self. Raises :class:`DataError` naming what cannot be scored; ``partial`` allows missing answers."""
        faults = [
            ("answers a question twice", self.duplicated),
            ("answers no question of the benchmark", self.foreign),
            ("has a key and a prompt of different questions", self.contradictory),
            ("has no answer for", [] if partial and self.responses else self.missing),
        ]
        if found := [f"{what}: {names(items)}" for what, items in faults if items]:
            raise DataError(f"{self.source} {'; it '.join(found)}")
        return self

    def notes(self) -> list[str]:
        """What is harmless, but must be said beside the numbers."""
        notes = []
        if self.reordered:
            notes.append(f"answers stand in another order than the questions, from {self.reordered[0]} on")
        if self.edited:
            notes.append(f"prompts worded differently from the benchmark's: {names(self.edited)}")
        if self.missing:
            notes.append(f"{len(self.missing)} questions have no answer: {names(self.missing)}")
        return notes


def read_responses(path: Path) -> list[Given]:
    """Rows with a ``response`` and the ``prompt`` and/or ``key`` that it answers; a null response is an empty one.

    Samples that lm-eval logged are read as well. Raises :class:`DataError` for a missing,
    empty or malformed file.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist: evaluation.responses takes a JSONL file of prompts and responses")
    given = []
    logged: str | None = None
    for line, row in read_jsonl(path):
        if "resps" in row:
            # lm-eval logs a sample once for each filter; the answer is the same.
            logged = logged if logged is not None else str(row.get("filter"))
            if str(row.get("filter")) != logged:
                continue
            row = _logged(row, f"{path}:{line}")
        if "response" not in row:
            raise DataError(f"{path}:{line}: has no response")
        response, key, prompt = row["response"], row.get("key"), row.get("prompt")
        if not isinstance(response, str | None) or not isinstance(prompt, str | None):
            raise DataError(f"{path}:{line}: prompt and response must be texts")
        if key is None and prompt is None:
            raise DataError(f"{path}:{line}: neither key nor prompt says which question this answers")
        given.append(Given(line, response or "", None if key is None else str(key), prompt))
    if not given:
        raise DataError(f"{path} holds no responses")
    return given


def _logged(row: dict[str, Any], where: str) -> dict[str, Any]:
    """A sample that lm-eval logged, as a row of ours."""
    document = row.get("doc") or {}
    try:
        response = row["resps"][0][0]
    except (IndexError, TypeError):
        raise DataError(f"{where}: holds no response") from None
    prompt = document.get("prompt", document.get("question"))
    return {"key": document.get("key"), "prompt": prompt, "response": response}


def align(questions: Sequence[Question], given: Iterable[Given], source: str) -> Alignment:
    """Pair answers with questions; nothing is raised, :meth:`Alignment.check` judges."""
    by_id = {question.id: question for question in questions}
    by_prompt = {question.prompt: question for question in questions}
    result = Alignment(source)
    strangers: list[Given] = []
    order: dict[str, int] = {}
    for answer in given:
        keyed = by_id.get(answer.key) if answer.key is not None else None
        prompted = by_prompt.get(answer.prompt) if answer.prompt is not None else None
        where = f"line {answer.line}"
        if keyed and prompted and keyed is not prompted:
            result.contradictory.append(f"{where} (key {keyed.id}, prompt of {prompted.id})")
        elif question := keyed or prompted:
            if question.id in result.responses:
                result.duplicated.append(f"{question.id} ({where})")
                continue
            if keyed and answer.prompt is not None and not prompted:
                result.edited.append(question.id)
            result.responses[question.id] = answer.response
            order[question.id] = answer.line
        else:
            strangers.append(answer)
    open_questions = [question for question in questions if question.id not in result.responses]
    for answer in strangers:
        if question := _older_wording(answer, open_questions):
            open_questions.remove(question)
            result.edited.append(question.id)
            result.responses[question.id] = answer.response
            order[question.id] = answer.line
        else:
            name = answer.key if answer.key is not None else repr((answer.prompt or "")[:60])
            result.foreign.append(f"{name} (line {answer.line})")
    result.missing = [question.id for question in open_questions]
    found = sorted(order, key=order.__getitem__)
    expected = (question.id for question in questions if question.id in result.responses)
    result.reordered = [there for there, wanted in zip(found, expected, strict=True) if there != wanted]
    return result


def _older_wording(answer: Given, questions: Sequence[Question]) -> Question | None:
    """The one unanswered question that the answer's prompt is nearly equal to."""
    if answer.prompt is None:
        return None
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(answer.prompt)
    close = []
    for question in questions:
        matcher.set_seq1(question.prompt)
        if matcher.real_quick_ratio() >= EDITED and matcher.quick_ratio() >= EDITED and matcher.ratio() >= EDITED:
            close.append(question)
    return close[0] if len(close) == 1 else None


class ReplayGenerator:
    """A generation engine that answers with given responses, by the text of the last message."""

    def __init__(self, responses: Mapping[str, str]) -> None:
        self._responses = dict(responses)
        self.identity = "replay:" + digest(*(text for pair in sorted(self._responses.items()) for text in pair))

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer in order. Raises :class:`RecordingMissError` for a prompt without a response."""
        for request in requests:
            prompt = request.messages[-1].content
            if prompt not in self._responses:
                raise RecordingMissError(f"no response is given for the prompt {prompt[:80]!r}")
            yield Completion(text=self._responses[prompt])

    def close(self) -> None:
        """Nothing to free."""


def names(items: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = len(items) - _NAMED
    return ", ".join(items[:_NAMED]) + (f" and {more} more" if more > 0 else "")
