"""ShareGPT conversations as SFT samples: the baseline that the paper compares with (§4.1), or a share of the samples.

A dump holds conversations whole and cut into pieces, with several names for the same role. Kept of each is its longest
beginning in which user and assistant take turns, from the first user turn to an assistant's, a system turn before it
included. A conversation that opens with a held-out query is left out: those are asked in the evaluation.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoif import jsonrows
from autoif.config import Data, DataConfig, RunConfig
from autoif.errors import DataError
from autoif.records import Message, Query, Reject, SftExample, digest, unicode
from autoif.stage import Context, Estimate, Rows, Stage
from autoif.synthesis.queries import content_id

ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bing", "bard"), "assistant"),
    "system": "system",
}


def conversations(config: RunConfig, queries: Stage | None) -> Stage:
    """The stage that reads the dump. ``queries``: the pool of which some are held out, where there is one."""
    path = config.data.path
    return Stage(
        name="conversations",
        record=SftExample,
        function=load_conversations,
        config=replace(config.data, kind=Data.sharegpt, general_share=0.0),  # the same ones for both kinds
        inputs=(queries,) if queries else (),
        texts={"sharegpt": content_id(Path(path).expanduser() if path else None)},
        seed=config.data_seed,
        estimate=lambda *_: Estimate(records=config.data.conversations),
    )


def load_conversations(context: Context, queries: Iterable[Query] = ()) -> Iterator[SftExample | Reject]:
    """``conversations`` distinct ones, in the dump's order; all, where it holds fewer.

    Raises:
        DataError: when no dump is named, or it holds no conversation.
    """
    config: DataConfig = context.config
    if config.path is None:
        raise DataError("data.path is not set: give the ShareGPT dump (JSON list or JSONL)")
    path = Path(config.path).expanduser()
    heldout = {query.text for query in queries if query.split == "heldout"}
    found: dict[str, None] = {}
    for item in _examples(path):
        if isinstance(item, SftExample) and opening(item) not in heldout:
            found[item.id] = None
    context.facts["available"] = len(found)
    if not found:
        raise DataError(f"data.path {path}: no conversation in which a user asks and an assistant answers")
    chosen = _drawn(config.conversations, found, "chosen", str(context.seed))
    for item in _examples(path):
        if isinstance(item, Reject):
            yield item
        elif opening(item) in heldout:
            yield Reject(item, "heldout_query")
        elif item.id not in found:
            yield Reject(item, "duplicate")
        else:
            del found[item.id]
            if item.id in chosen:
                yield item


@dataclass(kw_only=True, slots=True)
class MixConfig:
    """As in :class:`~autoif.config.DataConfig`."""

    general_share: float


def mix(config: RunConfig, examples: Stage, general: Stage) -> Stage:
    """The stage that joins verified answers and conversations."""
    share = config.data.general_share
    return Stage(
        name="mix_examples",
        record=SftExample,
        function=mix_examples,
        config=MixConfig(general_share=share),
        inputs=(examples, general),
        seed=config.data_seed,
        estimate=lambda verified, pool: Estimate(records=verified + min(pool, _beside(verified, share))),
    )


def mix_examples(context: Context, examples: Rows[SftExample], general: Rows[SftExample]) -> Iterator[SftExample]:
    """All of ``examples``, and so many of ``general`` that they are ``general_share`` of both (all, if too few).
    The seed chooses them."""
    config: MixConfig = context.config
    wanted = _beside(len(examples), config.general_share)
    chosen = _drawn(wanted, (row.id for row in general), "mixed", str(context.seed))
    context.facts |= {"verified": len(examples), "general": len(chosen), "wanted": wanted}
    yield from examples
    yield from (row for row in general if row.id in chosen)


def _beside(examples: int, share: float) -> int:
    """How many others make up ``share`` beside so many examples."""
    return round(examples * share / (1 - share))


def _drawn(count: int, ids: Iterable[str], *salt: str) -> set[str]:
    """So many of ``ids`` (all, if fewer), the same ones in any order of them."""
    return set(heapq.nsmallest(count, ids, key=lambda name: digest(*salt, name)))


def opening(example: SftExample) -> str:
    """The first user turn."""
    return next(message.content for message in example.messages if message.role == "user")


def _examples(path: Path) -> Iterator[SftExample | Reject]:
    for number, row in enumerate(jsonrows.read_rows(path, "data.path")):
        if isinstance(row, Reject):
            yield row
        elif messages := turns(row):
            name = digest("conversation", *(part for m in messages for part in (m.role, m.content)))
            yield SftExample(id=name, messages=messages, instruction="", functions=(), accuracy=1.0)
        else:
            yield jsonrows.reject(json.dumps(row), number, "no_answered_turn")


def turns(row: Any) -> tuple[Message, ...]:
    """A conversation of any of the ShareGPT shapes as messages; empty when no user turn is answered."""
    if not isinstance(row, dict):
        return ()
    said: list[Any] = next(
        (row[key] for key in ("conversations", "messages", "items") if isinstance(row.get(key), list)), []
    )
    kept: list[Message] = []
    for turn in said:
        message = _message(turn)
        if message is None:
            break
        before = kept[-1].role if kept else None
        if message.role == "assistant" and before in (None, "system"):
            continue  # a piece of a longer conversation begins with the answer to what is not there
        if message.role == "system" and kept:
            break
        if message.role == before:
            break
        kept.append(message)
    while kept and kept[-1].role != "assistant":
        kept.pop()
    return tuple(kept)


def _message(turn: Any) -> Message | None:
    """A turn, or None when it is empty or nobody's."""
    if not isinstance(turn, dict):
        return None
    role, text = ROLES.get(str(turn.get("from") or turn.get("role")).lower()), turn.get("value", turn.get("content"))
    if role is None or not isinstance(text, str) or not text.strip():
        return None
    return Message(role=role, content=unicode(text.strip()))
