"""Files that users bring: a JSON list or JSONL, read row by row whatever their size, and written the same way.

A malformed line of JSONL costs that line; a list that breaks off or goes on behind its end is an error, because
nothing behind the break can be trusted.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from autoif.errors import DataError
from autoif.records import Reject, Reply

LONGEST_ROW = 64 << 20
"""Characters after which a row that does not end is taken for malformed JSON."""

EVIDENCE_CHARS = 500
"""Characters of a row that are kept beside the reason it was dropped for."""


def read_rows(path: Path, what: str) -> Iterator[Any]:
    """Rows of ``path``; a malformed line comes as a :class:`Reject`. ``what`` names the file in errors.

    Raises:
        DataError: when the file cannot be read or is neither a JSON list nor JSONL.
    """
    try:
        with path.open("rb") as file:
            start = len(codecs.BOM_UTF8) if file.read(3) == codecs.BOM_UTF8 else 0
            file.seek(start)
            head = file.read(64).lstrip()
            file.seek(start)
            if head.startswith(b"["):
                yield from list_rows(file, f"{what} {path}")
            elif head.startswith(b"{"):
                lines = (line.decode("utf-8", "replace") for line in file)
                yield from (_decoded(line, number) for number, line in enumerate(lines) if line.strip())
            else:
                raise DataError(f"{what} {path}: neither a JSON list nor JSONL: give the file as it was published")
    except OSError as error:
        raise DataError(f"{what} {path}: {error.strerror}") from None


def reject(text: str, number: int, reason: str, detail: str = "") -> Reject:
    """A row that cannot be used, with the beginning of its text as evidence."""
    return Reject(Reply(id=str(number), index=number, text=text[:EVIDENCE_CHARS]), reason, detail)


def _decoded(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return reject(line, number, "malformed_row", str(error))


def list_rows(file: BinaryIO, name: str, block: int = 1 << 20) -> Iterator[Any]:
    """Elements of one JSON list, decoded as blocks come in. Raises :class:`DataError` where the JSON breaks off."""
    decoder, text = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")("replace")
    buffer, position, ended, between = "", 0, False, "["
    while True:
        while position < len(buffer) and (buffer[position].isspace() or buffer[position] == between):
            if buffer[position] == "[":
                between = ","
            position += 1
        if position < len(buffer) and buffer[position] == "]":
            if (buffer[position + 1 :] + text.decode(file.read(block))).strip():
                raise DataError(f"{name}: the JSON list ends before the file does: give one list, or JSONL")
            return
        try:
            row, position = decoder.raw_decode(buffer, position)
        except (ValueError, RecursionError) as error:
            if ended or len(buffer) - position > LONGEST_ROW:
                raise DataError(f"{name}: the JSON list breaks off or is malformed: {error}") from None
            data = file.read(block)
            ended = not data
            buffer, position = buffer[position:] + text.decode(data, ended), 0
        else:
            yield row


def write_lines(path: Path, rows: Iterable[Any]) -> int:
    """Write rows as JSONL, the file replaced as a whole at the end; returns how many."""
    return _write(path, rows, b"", b"\n", b"\n")


def write_list(path: Path, rows: Iterable[Any]) -> int:
    """Write rows as one JSON list, a row on each line, the file replaced as a whole at the end; returns how many."""
    return _write(path, rows, b"[\n", b",\n", b"\n]\n")


def _write(path: Path, rows: Iterable[Any], before: bytes, between: bytes, after: bytes) -> int:
    part = path.with_name(path.name + ".part")
    count = 0
    with part.open("wb") as out:
        out.write(before)
        for row in rows:
            out.write((between if count else b"") + json.dumps(row, ensure_ascii=False).encode())
            count += 1
        out.write(after if count or before else b"")
    part.replace(path)
    return count
