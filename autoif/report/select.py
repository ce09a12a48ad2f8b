"""Which rows a report shows: a few, spread evenly over the file and over the reasons, the same ones every time.

Row counts stand in the manifest, so the positions to show are known before the file is read; one pass, one row in
memory at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from autoif.records import (
    AnswerGroup,
    Answers,
    Case,
    EvaluationItem,
    Function,
    Instruction,
    PreferencePair,
    Prompt,
    Query,
    Record,
    Rejected,
    Reply,
    Response,
    SftExample,
    Verifier,
)
from autoif.store import Entry, Manifest

KEPT_SHOWN = 3
REJECTED_SHOWN = 2
REASONS_SHOWN = 6
"""Reasons of one stage that get samples: its most frequent."""

_KINDS: tuple[type[Record], ...] = (
    Verifier,
    Answers,
    SftExample,
    PreferencePair,
    AnswerGroup,
    EvaluationItem,
    Prompt,
    Response,
    Reply,
    Function,
    Case,
    Query,
    Instruction,
)
Row = Record | dict[str, Any]
"""A record, or its plain fields where no record has them."""
_BY_FIELDS = {frozenset(kind.__struct_fields__): kind for kind in _KINDS}


@dataclass(slots=True)
class Tally:
    """What the kept rows of a stage hold inside. ``alive``: responses that may be trained on."""

    functions: int = 0
    cases: int = 0
    responses: int = 0
    alive: int = 0


@dataclass(slots=True)
class RejectedGroup:
    """One reason of one stage: how many rows gave it, what they are (``unit``), a few of them with their details."""

    reason: str
    count: int
    unit: str = "record"
    rows: list[tuple[Row, str]] = field(default_factory=list)


@dataclass(slots=True)
class Samples:
    """Rows to show of one stage; every reason has its group, only the first ``REASONS_SHOWN`` have rows."""

    kept: list[Row] = field(default_factory=list)
    rejected: list[RejectedGroup] = field(default_factory=list)


class _Drop(msgspec.Struct):
    reason: str
    record: msgspec.Raw


class _Inner(msgspec.Struct):
    """The countable inside of a verifier or of answers, everything else skipped while decoding."""

    functions: list[msgspec.Raw] = []
    cases: list[msgspec.Raw] = []
    responses: list[_Dropped] = []


class _Dropped(msgspec.Struct):
    dropped: str | None = None


def spread(total: int, wanted: int) -> list[int]:
    """At most ``wanted`` positions in ``range(total)``, evenly spread, ends not preferred.

    >>> spread(100, 3)
    [16, 50, 83]
    """
    if total <= wanted:
        return list(range(max(total, 0)))
    return [(2 * i + 1) * total // (2 * wanted) for i in range(wanted)]


def record_of(row: bytes | msgspec.Raw) -> Row:
    """The row as the record whose fields it has; a plain mapping when no record fits."""
    values = msgspec.json.decode(row)
    if not isinstance(values, dict):
        return {"value": values}
    kind = _BY_FIELDS.get(frozenset(values))
    try:
        return msgspec.convert(values, kind) if kind else values
    except msgspec.ValidationError:
        return values


def samples(entry: Entry, manifest: Manifest, record: type[Record]) -> tuple[Samples, Tally]:
    """Read a finished stage's rows once: what to show of them and what they hold inside."""
    shown, tally = Samples(), Tally()
    wanted = set(spread(manifest.kept, KEPT_SHOWN))
    inner = msgspec.json.Decoder(_Inner) if record in (Verifier, Answers) else None
    for position, row in enumerate(_rows(entry.records_path)):
        if inner is not None:
            _count(tally, inner.decode(row))
        if position in wanted:
            shown.kept.append(record_of(row))
    shown.rejected = _rejected(entry, manifest)
    return shown, tally


def _count(tally: Tally, row: _Inner) -> None:
    tally.functions += len(row.functions)
    tally.cases += len(row.cases)
    tally.responses += len(row.responses)
    tally.alive += sum(response.dropped is None for response in row.responses)


def _rejected(entry: Entry, manifest: Manifest) -> list[RejectedGroup]:
    by_count = sorted(manifest.rejected.items(), key=lambda item: (-item[1], item[0]))
    groups = {reason: RejectedGroup(reason, number) for reason, number in by_count}
    wanted = {reason: set(spread(number, REJECTED_SHOWN)) for reason, number in by_count[:REASONS_SHOWN]}
    seen: Counter[str] = Counter()
    decoder, detail = msgspec.json.Decoder(_Drop), msgspec.json.Decoder(Rejected)
    if groups and entry.rejected_path.exists():
        for row in _rows(entry.rejected_path):
            drop = decoder.decode(row)
            group = groups.setdefault(drop.reason, RejectedGroup(drop.reason, 0))
            if not seen[drop.reason]:
                group.unit = _unit(drop.reason, drop.record)
            if seen[drop.reason] in wanted.get(drop.reason, ()):
                group.rows.append((record_of(drop.record), detail.decode(row).detail))
            seen[drop.reason] += 1
    return list(groups.values())


def _unit(reason: str, row: msgspec.Raw) -> str:
    """What a reason counts: whole records, or parts of them (replies, functions, cases, responses).

    A dropped part is written as its record with that part alone; records that lack functions or cases have reasons
    that say so.
    """
    lacking = reason.startswith(("too_few_", "no_function", "no_case"))
    match record_of(row):
        case Reply():
            return "reply"
        case Answers(responses=(response,)) if response.dropped == reason:
            return "response"
        case Verifier(functions=(_,), cases=()) if not lacking:
            return "function"
        case Verifier(functions=(), cases=(_,)) if not lacking:
            return "case"
    return "record"


def _rows(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for row in file:
            if row.strip():
                yield row
