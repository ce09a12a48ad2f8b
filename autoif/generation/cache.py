"""The call cache: every finished model call, in one SQLite file, so that none is ever made twice.

Rows are keyed by the engine's identity and the request's key. Answers are written as they arrive, in short
transactions on a write-ahead log: a killed process loses only what was in flight, and processes may share a file
(the first answer to a request stands for all). Failures that belong to a request are kept like answers; errors that
a retry may mend never reach the cache.

``python -m autoif.generation.cache export|import|list`` shares one.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from autoif.errors import EngineError
from autoif.generation.accounting import Budget, Price, Usage, current
from autoif.generation.base import Answer, Request
from autoif.generation.codec import decode_answer, decode_request, encode_answer, encode_request
from autoif.generation.scheduling import Engine, in_order

FILE_NAME = "calls.sqlite"
BUSY_SECONDS = 60.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS engines (id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS calls (
    engine INTEGER NOT NULL REFERENCES engines (id),
    key BLOB NOT NULL,
    request BLOB NOT NULL,
    answer BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS calls_by_key ON calls (engine, key);
CREATE TABLE IF NOT EXISTS charges (
    run TEXT NOT NULL,
    account TEXT NOT NULL,
    engine INTEGER NOT NULL REFERENCES engines (id),
    hits INTEGER, misses INTEGER, failures INTEGER, retries INTEGER,
    prompt_tokens INTEGER, completion_tokens INTEGER, seconds REAL,
    PRIMARY KEY (run, account, engine)
) WITHOUT ROWID;
"""

_FIELDS = Usage.__struct_fields__
_CHARGE = (
    f"INSERT INTO charges (run, account, engine, {', '.join(_FIELDS)}) VALUES (?, ?, ?{', ?' * len(_FIELDS)}) "
    f"ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in _FIELDS)}"
)


@dataclass(frozen=True, slots=True)
class Charge:
    """What ``account`` (a stage) of ``run`` used."""

    run: str
    account: str
    usage: Usage


class CallCache:
    """Finished calls in the SQLite file ``path`` (made when missing). Usable from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._engines: dict[str, int] = {}
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            # Autocommit: transactions are begun by hand, as writers.
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._use_wal()
            # Survives a killed process; only a power cut may lose the last transactions.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)

    def get(self, engine: str, key: str) -> Answer | None:
        """The answer stored for request ``key`` (64 hex digits) of ``engine``, or None."""
        with self._errors():
            row = self._select(self._engine(engine), bytes.fromhex(key))
            return None if row is None else decode_answer(row)

    def put(
        self, engine: str, rows: Sequence[tuple[str, Request, Answer]], charge: Charge | None = None
    ) -> list[Answer]:
        """Store (key, request, answer) rows, and what they cost, in one transaction.

        Returns the answers that stand in the cache.
        """
        standing = [answer for _, _, answer in rows]
        with self._errors():
            number = self._engine(engine)
            values = [(number, bytes.fromhex(key), encode_request(r), encode_answer(a)) for key, r, a in rows]
            with self._transaction():
                stored = self._db.executemany("INSERT INTO calls VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", values)
                if values and stored.rowcount < len(values):  # another process was first with some
                    standing = [self._standing(row) for row in values]
                if charge is not None:
                    usage = (getattr(charge.usage, name) for name in _FIELDS)
                    self._db.execute(_CHARGE, (charge.run, charge.account, number, *usage))
        return standing

    def charged(self, run: str, account: str | None, engine: str) -> Usage:
        """What ``run`` used of ``engine`` so far: under one account, or under all when None."""
        sums = ", ".join(f"TOTAL({name})" for name in _FIELDS)
        with self._errors():
            row = self._db.execute(
                f"SELECT {sums} FROM charges WHERE run = ? AND engine = ? AND account = COALESCE(?, account)",
                (run, self._engine(engine), account),
            ).fetchone()
        return msgspec.convert(dict(zip(_FIELDS, row, strict=True)), Usage, strict=False)

    def engines(self) -> dict[str, int]:
        """Identities with their number of calls, sorted."""
        with self._errors():
            return dict(
                self._db.execute(
                    "SELECT identity, COUNT(key) FROM engines LEFT JOIN calls ON engine = id "
                    "GROUP BY identity ORDER BY identity"
                )
            )

    def rows(self, engine: str) -> Iterator[tuple[str, Request, Answer]]:
        """All calls of ``engine``, by key."""
        with self._errors():
            found = self._db.execute(
                "SELECT hex(key), request, answer FROM calls WHERE engine = ? ORDER BY key", (self._engine(engine),)
            )
            for key, request, answer in found:
                yield key.lower(), decode_request(request), decode_answer(answer)

    def size_bytes(self) -> int:
        """Bytes on disk, log included."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Close the file. May be called twice."""
        with self._lock:
            self._db.close()

    def _standing(self, row: tuple[int, bytes, bytes, bytes]) -> Answer:
        found = self._select(row[0], row[1])
        return decode_answer(row[3] if found is None else found)

    def _select(self, engine: int, key: bytes) -> bytes | None:
        row = self._db.execute("SELECT answer FROM calls WHERE engine = ? AND key = ?", (engine, key)).fetchone()
        return None if row is None else row[0]

    def _engine(self, identity: str) -> int:
        if identity not in self._engines:
            self._db.execute("INSERT INTO engines (identity) VALUES (?) ON CONFLICT DO NOTHING", (identity,))
            found = self._db.execute("SELECT id FROM engines WHERE identity = ?", (identity,)).fetchone()
            self._engines[identity] = found[0]
        return self._engines[identity]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _use_wal(self) -> None:
        """Switch the journal. While another process does so too, SQLite refuses at once, whatever the time-out."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError, ValueError) as error:
                raise EngineError(
                    f"call cache {self.path}: {error}: free space there, mend the file or set paths.cache, "
                    "then run again: stored calls are kept"
                ) from error


class CachedGenerator:
    """``engine`` behind ``cache``: hits are served, misses are asked and stored as they arrive.

    What is used is charged to ``run`` and the stage's account. ``stats()`` counts since the generator was made.
    Closing closes both.
    """

    def __init__(
        self,
        engine: Engine,
        cache: CallCache,
        *,
        run: str = "",
        budget: Budget | None = None,
        price: Price | None = None,
    ) -> None:
        self.identity = engine.identity
        self._engine, self._cache, self._run = engine, cache, run
        self._usage, self._charged = Usage(), Usage()
        self._closed = False
        self._budget, self._price = budget, price or Price()
        self._before = cache.charged(run, None, engine.identity) if budget else Usage()

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer ``requests`` in their order, streaming, with bounded memory.

        Raises:
            EngineError: what the engine raises, and when the budget is used up.
        """
        account = current()
        try:
            for answer in in_order(self._engine, requests, self, self._usage, self._gate):
                if account is not None:
                    account.saw(answer)
                yield answer
        finally:
            if not self._closed:
                self.put(self.identity, [])

    def get(self, engine: str, key: str) -> Answer | None:
        """The cache's answer, if any."""
        return self._cache.get(engine, key)

    def put(self, engine: str, rows: Sequence[tuple[str, Request, Answer]]) -> list[Answer]:
        """Store answers together with what was used since the last time."""
        self._usage.retries = getattr(self._engine, "retried", 0)
        used, account = self._usage - self._charged, current()
        self._charged = self._usage.copy()
        name = account.name if account else ""
        standing = self._cache.put(engine, rows, Charge(self._run, name, used))
        if account is not None and not rows:
            account.used[engine] = (self._cache.charged(self._run, name, engine), self._price)
            account.cache_bytes = self._cache.size_bytes()
        return standing

    def stats(self) -> Usage:
        """Hits, misses and the engine's tokens so far; live."""
        return self._usage

    def close(self) -> None:
        """Close the engine and the cache. May be called twice."""
        self._closed = True
        self._engine.close()
        self._cache.close()

    def _gate(self) -> None:
        if self._budget is not None:
            self._budget.check(self._before + self._usage)


if __name__ == "__main__":
    from autoif.generation.cache_command import main

    raise SystemExit(main())
