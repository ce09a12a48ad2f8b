"""User queries: the shipped list or a ShareGPT dump, split into training and held-out ones (paper §3.2).

ShareGPT comes as the raw dump (a JSON list), as JSONL, and with ``messages`` instead of ``conversations``; the first
human turn of a conversation is its query. Rows stream: the list is never in memory.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autoif import jsonrows
from autoif.config import QueriesConfig, QuerySource
from autoif.errors import DataError
from autoif.records import Query, Reject, digest, unicode
from autoif.stage import Context, Estimate
from autoif.store import sha256_of
from autoif.synthesis.language import language
from autoif.synthesis.prompts import shipped


def queries_path(config: QueriesConfig) -> Path | None:
    """The file that queries are read from; None when it has yet to be named."""
    if config.source is QuerySource.shipped:
        return shipped("queries.txt")
    return Path(config.path).expanduser() if config.path else None


def content_id(path: Path | None) -> str:
    """SHA-256 of the file, or a note that it is missing: what a plan's fingerprint covers."""
    if path is None:
        return "missing"
    try:
        return sha256_of(path)
    except OSError:
        return "missing"


def load_queries(context: Context) -> Iterator[Query | Reject]:
    """Distinct queries within the length bounds and of the languages asked for; ``heldout`` of them, chosen by hash,
    are set aside."""
    config: QueriesConfig = context.config
    path = queries_path(config)
    if path is None:
        raise DataError(
            "pipeline.queries.source=sharegpt needs pipeline.queries.path, the ShareGPT dump (JSON or JSONL)"
        )
    aside = set(heapq.nsmallest(config.heldout, (_rank(context.seed, q.id) for q in _kept(path, config))))
    seen: set[str] = set()
    count = 0
    for item in _rows(path, config):
        if isinstance(item, Reject):
            yield item
        elif not config.min_chars < len(item.text) < config.max_chars:
            yield Reject(item, "length", f"{len(item.text)} characters")
        elif not _spoken(item.text, config):
            yield Reject(item, "language", language(item.text) or "unknown")
        elif item.id in seen:
            yield Reject(item, "duplicate")
        else:
            seen.add(item.id)
            count += 1
            split = "heldout" if _rank(context.seed, item.id) in aside else "train"
            yield Query(id=item.id, text=item.text, source=item.source, split=split)
    if count <= config.heldout:
        raise DataError(
            f"{path}: {count} usable queries, {config.heldout} of them to be held out: "
            "give more queries or lower pipeline.queries.heldout"
        )


def _rank(seed: int, query: str) -> str:
    return digest("heldout", str(seed), query)


def _kept(path: Path, config: QueriesConfig) -> Iterator[Query]:
    seen: set[str] = set()
    for item in _rows(path, config):
        if not isinstance(item, Query) or not config.min_chars < len(item.text) < config.max_chars:
            continue
        if item.id not in seen and _spoken(item.text, config):
            seen.add(item.id)
            yield item


def _spoken(text: str, config: QueriesConfig) -> bool:
    return not config.languages or language(text) in config.languages


def _rows(path: Path, config: QueriesConfig) -> Iterator[Query | Reject]:
    if config.source is QuerySource.shipped:
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line.strip():
                yield _query(line.strip(), "shipped")
        return
    for number, row in enumerate(jsonrows.read_rows(path, "pipeline.queries.path")):
        if isinstance(row, Reject):
            yield row
        elif (text := first_turn(row)) is None:
            yield jsonrows.reject(json.dumps(row), number, "no_user_turn")
        else:
            yield _query(text, "sharegpt")


def _query(text: str, source: str) -> Query:
    text = unicode(text)
    return Query(id=digest("query", text), text=text, source=source)


def first_turn(row: Any) -> str | None:
    """The first user turn of a conversation in any of the ShareGPT shapes, stripped; None when there is none."""
    if not isinstance(row, dict):
        return None
    turns: list[Any] = next(
        (row[key] for key in ("conversations", "messages", "items") if isinstance(row.get(key), list)), []
    )
    for turn in turns:
        if isinstance(turn, dict) and (turn.get("from") or turn.get("role")) in ("human", "user"):
            text = turn.get("value", turn.get("content"))
            return text.strip() or None if isinstance(text, str) else None
    return None


def estimate(config: QueriesConfig) -> Estimate:
    """The shipped list is counted; a dump's size is not known before it is read."""
    if config.source is QuerySource.sharegpt:
        return Estimate(records=0)
    with shipped("queries.txt").open("rb") as file:
        return Estimate(records=sum(1 for _ in file))
