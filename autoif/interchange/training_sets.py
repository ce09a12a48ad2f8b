"""SFT samples and preference pairs as other trainers read them.

=========  ==========================  ======================================================================
format     files                       rows
=========  ==========================  ======================================================================
alpaca     sft.json, preference.json   LLaMA-Factory: instruction, input, output (chosen, rejected), history
sharegpt   sft.json, preference.json   LLaMA-Factory: conversations of from, value (chosen, rejected as turns)
trl        sft.jsonl, …                TRL: conversational prompt and completion (chosen, rejected)
chat       sft.jsonl, …                messages of role and content; pairs as prompt, chosen, rejected texts
datasets   README.md, data/*.jsonl     a ``datasets`` folder: chat rows with functions, accuracies and a card
upstream   sft.json, pairs.json        the two results of the authors' scripts
=========  ==========================  ======================================================================

LLaMA-Factory's two come with the ``dataset_info.json`` entries that make them known to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoif import jsonrows
from autoif.config import ExportFormat
from autoif.interchange import card
from autoif.interchange.upstream import Kind
from autoif.interchange.upstream_export import alpaca, rows
from autoif.records import Message, PreferencePair, SftExample
from autoif.store import write_atomically

Row = dict[str, Any]

_SPEAKERS = {"user": "human", "assistant": "gpt", "system": "system"}


def export(
    format: ExportFormat,
    folder: Path,
    examples: Iterable[SftExample] | None,
    pairs: Iterable[PreferencePair] | None,
    name: str = "autoif",
    funnel: Sequence[tuple[str, int, Mapping[str, int]]] = (),
) -> dict[Path, int]:
    """Write what there is (None: no such set) under ``folder``; returns the files with their numbers of rows.

    ``name`` is the sets' name in LLaMA-Factory's list and in the card; ``funnel``: (stage, kept, dropped by reason).
    """
    folder.mkdir(parents=True, exist_ok=True)
    match format:
        case ExportFormat.alpaca:
            files = _lists(folder, examples, pairs, alpaca, _alpaca_pair)
            _register(folder, name, files, {}, {"prompt": "instruction", "query": "input"})
        case ExportFormat.sharegpt:
            files = _lists(folder, examples, pairs, _sharegpt, _sharegpt_pair)
            _register(folder, name, files, {"formatting": "sharegpt"}, {"messages": "conversations"})
        case ExportFormat.trl:
            files = _lines(folder, examples, pairs, _trl, _trl_pair)
        case ExportFormat.chat:
            files = _lines(folder, examples, pairs, _chat, _chat_pair)
        case ExportFormat.datasets:
            (folder / "data").mkdir(exist_ok=True)
            files = _lines(folder / "data", examples, pairs, _documented, _documented_pair)
            sizes = {path.stem: count for path, count in files.items()}
            write_atomically(folder / "README.md", card.text(name, sizes, funnel).encode())
        case ExportFormat.upstream:
            files = {}
            for path, kind, records in (
                (folder / "sft.json", Kind.sft, examples),
                (folder / "pairs.json", Kind.pairs, pairs),
            ):
                if records is not None:
                    files[path] = jsonrows.write_list(path, rows(kind, records))
    return files


def _lists(
    folder: Path, examples: Any, pairs: Any, one: Callable[[Any], Row], two: Callable[[Any], Row]
) -> dict[Path, int]:
    made = ((folder / "sft.json", examples, one), (folder / "preference.json", pairs, two))
    return {path: jsonrows.write_list(path, map(row, records)) for path, records, row in made if records is not None}


def _lines(
    folder: Path, examples: Any, pairs: Any, one: Callable[[Any], Row], two: Callable[[Any], Row]
) -> dict[Path, int]:
    made = ((folder / "sft.jsonl", examples, one), (folder / "preference.jsonl", pairs, two))
    return {path: jsonrows.write_lines(path, map(row, records)) for path, records, row in made if records is not None}


def _register(folder: Path, name: str, files: Iterable[Path], fields: Row, columns: Row) -> None:
    """LLaMA-Factory's list of sets: one entry a file."""
    entries = {}
    for path in files:
        ranking = path.stem == "preference"
        told = columns | ({"chosen": "chosen", "rejected": "rejected"} if ranking else {})
        if not ranking and not fields:
            told |= {"response": "output", "system": "system", "history": "history"}
        entries[f"{name}_{path.stem}"] = {
            "file_name": path.name,
            **fields,
            **({"ranking": True} if ranking else {}),
            "columns": told,
        }
    write_atomically(folder / "dataset_info.json", json.dumps(entries, indent=2).encode() + b"\n")


def _turns(messages: Iterable[Message]) -> list[Row]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _spoken(messages: Iterable[Message]) -> list[Row]:
    return [{"from": _SPEAKERS[message.role], "value": message.content} for message in messages]


def _answer(text: str) -> Row:
    return {"role": "assistant", "content": text}


def _alpaca_pair(pair: PreferencePair) -> Row:
    *history, asked = [message.content for message in pair.prompt]
    row = {"instruction": asked, "input": "", "chosen": pair.chosen, "rejected": pair.rejected}
    return (
        row | {"history": [list(turns) for turns in zip(history[::2], history[1::2], strict=True)]} if history else row
    )


def _sharegpt(example: SftExample) -> Row:
    return {"conversations": _spoken(example.messages)}


def _sharegpt_pair(pair: PreferencePair) -> Row:
    chosen, rejected = ({"from": "gpt", "value": text} for text in (pair.chosen, pair.rejected))
    return {"conversations": _spoken(pair.prompt), "chosen": chosen, "rejected": rejected}


def _trl(example: SftExample) -> Row:
    turns = _turns(example.messages)
    return {"prompt": turns[:-1], "completion": turns[-1:]}


def _trl_pair(pair: PreferencePair) -> Row:
    return {"prompt": _turns(pair.prompt), "chosen": [_answer(pair.chosen)], "rejected": [_answer(pair.rejected)]}


def _chat(example: SftExample) -> Row:
    return {"messages": _turns(example.messages)}


def _chat_pair(pair: PreferencePair) -> Row:
    return {"prompt": _turns(pair.prompt), "chosen": pair.chosen, "rejected": pair.rejected}


def _documented(example: SftExample) -> Row:
    facts = {"accuracy": example.accuracy, "score": example.score, "functions": list(example.functions)}
    return _chat(example) | {"instruction": example.instruction} | facts


def _documented_pair(pair: PreferencePair) -> Row:
    shares = {"chosen_accuracy": pair.chosen_accuracy, "rejected_accuracy": pair.rejected_accuracy}
    return _trl_pair(pair) | {"level": pair.level} | shares
