"""What the index says of a row: its state, its instruction and the beginning of its text, whatever record it is.

Rows are decoded only as far as that: one that is written to a page goes there as the bytes it has in the store.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

INSTRUCTION_CHARS = 300
"""Characters of an instruction by which rows are found together."""
_SPACES = re.compile("[ \t\r\n\f\v]+")


class _Text(msgspec.Struct):
    text: str = ""
    content: str = ""


class _Instruction(msgspec.Struct):
    text: str = ""


class _Prompt(msgspec.Struct):
    instruction: str = ""
    query: str = ""
    text: str = ""


class _Inside(msgspec.Struct):
    """The fields of all records that say what a row is about, everything else skipped while decoding."""

    text: str = ""
    instruction: str | _Instruction = ""
    prompt: str | _Prompt | list[_Text] = ""
    query: str = ""
    messages: list[_Text] = []
    response: str = ""
    origin: str = ""
    level: str = ""
    split: str = ""
    scores: dict[str, float] = {}
    id: str = ""


class _Dropped(msgspec.Struct):
    reason: str
    record: msgspec.Raw
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a stage. ``raw``: its JSON; ``state``: ``kept`` (with what kind of) or the reason it was dropped for;
    ``record``: the JSON of the record itself."""

    raw: bytes
    kept: bool
    state: str
    instruction: str
    text: str
    record: bytes


_inside = msgspec.json.Decoder(_Inside)
_dropped = msgspec.json.Decoder(_Dropped)


def kept_rows(path: Path) -> Iterator[Row]:
    """Rows of ``records.jsonl``."""
    for raw in _lines(path):
        about = _about(raw)
        kind = about.origin or about.level or about.split or _met(about)
        state = f"kept: {kind}" if kind else "kept"
        yield Row(raw, True, state, *_told(about), raw)


def dropped_rows(path: Path) -> Iterator[Row]:
    """Rows of ``rejected.jsonl``, with their reasons."""
    for raw in _lines(path):
        row = _dropped.decode(raw)
        record = bytes(row.record)
        about = _about(record)
        instruction, text = _told(about)
        yield Row(raw, False, row.reason, instruction, f"{text} {row.detail}".strip(), record)


def _lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as file:
            yield from (line.rstrip(b"\n") for line in file if line.strip())


def _about(raw: bytes) -> _Inside:
    try:
        return _inside.decode(raw)
    except msgspec.ValidationError:
        return _Inside()


def _met(about: _Inside) -> str:
    """Whether an evaluation item is fully met by its first metric."""
    for metric, value in about.scores.items():
        return f"{metric} met" if value >= 1 else f"{metric} not met"
    return ""


def _told(about: _Inside) -> tuple[str, str]:
    """(instruction, text): the instruction where the record has one; text is what else it is about."""
    prompt, given = about.prompt, about.instruction
    instruction = given.text if isinstance(given, _Instruction) else given
    text = about.text or about.query
    if isinstance(prompt, _Prompt):
        instruction, text = instruction or prompt.instruction, prompt.query or prompt.text
    elif isinstance(prompt, list):
        text = text or " ".join(turn.content for turn in prompt)
    elif prompt:
        text = text or prompt
    if about.scores and isinstance(prompt, str):
        # What several models were asked is followed through the run like an instruction.
        instruction, text = prompt, about.response
    text = text or " ".join(turn.content for turn in about.messages) or about.response
    if about.origin:
        instruction = instruction or about.text
    # On one line, as a field of a page holds it; the page does the same before it compares.
    return _SPACES.sub(" ", instruction).strip(" ")[:INSTRUCTION_CHARS], text
