"""Recordings: answers of a real model in one file, replayed by request.

A recording is JSONL, xz-compressed when its name ends in ``.xz``. Line 1 is the header: what answered, when, and a
hash of the rows. Every further line is ``{"key", "request", "answer"}``, sorted by key, so equal content is equal
bytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import lzma
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import msgspec

from autoif.errors import DataError, RecordingMissError
from autoif.generation.accounting import current
from autoif.generation.base import Answer, Failure, Generator, Request, request_key
from autoif.generation.codec import StoredAnswer, decode_answer, decode_request
from autoif.progress import CALLS, advance
from autoif.store import write_atomically

VERSION = 1


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Line 1. ``engine``: identity of the engine that answered; ``rows``: SHA-256 over the row lines."""

    autoif_recording: int
    model: str = ""
    quantisation: str = ""
    settings: Any = None
    date: str = ""
    note: str = ""
    engine: str = ""
    rows: str = ""

    @property
    def identity(self) -> str:
        """The replaying engine's identity: two recordings share it only when their rows are the same."""
        return f"recorded:{self.model or self.engine}#{self.rows[:12]}"


class Row(msgspec.Struct, kw_only=True):
    """One recorded call; request and answer stay undecoded until they are needed."""

    key: str
    request: msgspec.Raw
    answer: msgspec.Raw


class _Replayed(msgspec.Struct):
    key: str
    answer: msgspec.Raw


_rows = msgspec.json.Decoder(Row)
_replayed = msgspec.json.Decoder(_Replayed)
_encoder = msgspec.json.Encoder(order="sorted")


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], lzma.open(path, "rb")) if path.suffix == ".xz" else path.open("rb")


def _lines(path: Path) -> Iterator[bytes]:
    """Header line, then row lines. Raises DataError on a missing or broken file."""
    try:
        with _open(path) as file:
            yield from file
    except FileNotFoundError:
        raise DataError(f"no recording at {path}: set supervisor.path, or choose another supervisor") from None
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DataError(f"{path} cannot be read as a recording ({error}): fetch the file again") from None


def read_header(path: Path) -> Header:
    """Read line 1 alone. Raises :class:`DataError` when ``path`` is missing or not a recording."""
    try:
        header = msgspec.json.decode(next(_lines(path), b""), type=Header)
    except msgspec.DecodeError as error:
        raise DataError(f"{path}:1: not a recording's header: {error}") from None
    if header.autoif_recording != VERSION:
        raise DataError(f"{path}: recording version {header.autoif_recording}, this code reads {VERSION}")
    return header


def read_rows(path: Path) -> Iterator[tuple[str, Request, Answer]]:
    """Stream (key, request, answer). Raises :class:`DataError` naming file and line of a malformed row."""
    for number, line in enumerate(_lines(path), 1):
        if number == 1:
            continue
        try:
            row = _rows.decode(line)
            yield row.key, decode_request(row.request), decode_answer(row.answer)
        except ValueError as error:
            raise DataError(f"{path}:{number}: not a recorded call: {error}") from None


class RecordedGenerator:
    """Replays the recording at ``path``. Making one reads the header; rows are read at the first request.

    ``pass_over``: what was not recorded is a :class:`Failure` that a stage counts, not the end of the run.
    """

    def __init__(self, path: Path, pass_over: bool = False) -> None:
        self._pass_over = pass_over
        self.header = read_header(path)
        self.identity = self.header.identity
        self._path = path
        self._answers: dict[bytes, bytes] | None = None

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer ``requests`` in their order. Raises :class:`RecordingMissError` on one that was not recorded."""
        if self._answers is None:
            self._answers = self._load()
        account = current()
        for request in requests:
            key = request_key(request)
            found = self._answers.get(bytes.fromhex(key))
            if found is None:
                if not self._pass_over:
                    raise RecordingMissError(self._miss(key, request))
                yield Failure(reason="not_recorded")
                continue
            answer = decode_answer(found)
            if account is not None:
                account.replayed += 1
                account.saw(answer)
            advance(CALLS)
            yield answer

    def close(self) -> None:
        """Forget the rows."""
        self._answers = None

    def _load(self) -> dict[bytes, bytes]:
        answers = {}
        for number, line in enumerate(_lines(self._path), 1):
            if number == 1:
                continue
            try:
                row = _replayed.decode(line)
                answers[bytes.fromhex(row.key)] = bytes(row.answer)
            except ValueError as error:
                raise DataError(f"{self._path}:{number}: not a recorded call: {error}") from None
        return answers

    def _miss(self, key: str, request: Request) -> str:
        last = " ".join(request.messages[-1].content.split())[:80] if request.messages else ""
        return (
            f"{self._path} holds no answer for request {key[:16]} (sample {request.index} of “{last}”): prompts or "
            "settings differ from those that were recorded; undo the change, or use a live supervisor "
            "(supervisor=openai or supervisor=transformers, with supervisor.record=FILE to record it)"
        )


class RecordingWriter:
    """Adds calls to the recording at ``path``; use as a context manager.

    Calls go to ``<path>.journal`` as they come, so a killed run's are not lost; ``close`` writes the union of the
    existing recording, the journal and this run atomically. Header fields that are given win over existing ones.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self._path, self._header = path, dict(header)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._journal: IO[bytes] | None = path.with_name(path.name + ".journal").open("a+b")
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._journal.close()
            raise DataError(f"{path} is being recorded by another process: choose another supervisor.record") from None
        self._seen = {row.key for row in self._journaled()}

    def add(self, request: Request, answer: Answer) -> None:
        """Record one call; a request that is there already is replaced at close."""
        assert self._journal is not None, "the writer is closed"
        key = request_key(request)
        if key in self._seen:
            return
        self._seen.add(key)
        self._journal.write(
            _encoder.encode({"key": key, "request": request, "answer": StoredAnswer.of(answer)}) + b"\n"
        )
        self._journal.flush()

    def close(self) -> None:
        """Write the recording and remove the journal. May be called twice."""
        if self._journal is None:
            return
        header, rows = {}, {}
        if self._path.exists():
            header = msgspec.to_builtins(read_header(self._path))
            rows = {_rows.decode(line).key: line for number, line in enumerate(_lines(self._path), 1) if number > 1}
        rows |= {row.key: _encoder.encode(row) + b"\n" for row in self._journaled()}
        body = b"".join(rows[key] for key in sorted(rows))
        digest = hashlib.sha256(body).hexdigest()
        if digest != header.get("rows"):
            given = {name: value for name, value in self._header.items() if value}
            header |= {**given, "autoif_recording": VERSION, "rows": digest}
            data = _encoder.encode(msgspec.convert(header, Header)) + b"\n" + body
            write_atomically(self._path, lzma.compress(data, preset=9) if self._path.suffix == ".xz" else data)
        self._journal.close()
        self._journal = None
        self._path.with_name(self._path.name + ".journal").unlink(missing_ok=True)

    def _journaled(self) -> Iterator[Row]:
        """Whole rows of the journal; a row that a kill cut short is cut off."""
        assert self._journal is not None
        self._journal.seek(0)
        end = 0
        for line in self._journal:
            if not line.endswith(b"\n"):
                self._journal.truncate(end)
                break
            end += len(line)
            yield _rows.decode(line)

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RecordingGenerator:
    """``generator`` unchanged, every answer also recorded at ``path``; the recording is written at ``close``."""

    def __init__(self, generator: Generator, path: Path, header: Mapping[str, Any]) -> None:
        self.identity = generator.identity
        self._generator = generator
        self._writer = RecordingWriter(path, {"engine": generator.identity, **header})

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer ``requests`` in their order."""
        asked: deque[Request] = deque()

        def remember() -> Iterator[Request]:
            for request in requests:
                asked.append(request)
                yield request

        for answer in self._generator.generate(remember()):
            self._writer.add(asked.popleft(), answer)
            yield answer

    def stats(self) -> Any:
        """The wrapped generator's counters, where it has any."""
        counters = getattr(self._generator, "stats", None)
        return None if counters is None else counters()

    def close(self) -> None:
        """Close the wrapped generator and write the recording."""
        self._generator.close()
        self._writer.close()
