"""SFT samples and preference pairs as other trainers read them: one file for each training set.

=========  ==========================  ======================================================================
format     files                       rows
=========  ==========================  ======================================================================
alpaca     sft.json, preference.json   LLaMA-Factory: instruction, input, output (chosen, rejected), system, history
sharegpt   sft.json, preference.json   LLaMA-Factory: conversations of from, value (chosen, rejected as turns)
trl        sft.jsonl, …                TRL: conversational prompt and completion (chosen, rejected)
chat       sft.jsonl, …                messages of role and content; pairs as prompt, chosen, rejected texts
datasets   README.md, data/*.jsonl     a ``datasets`` folder: TRL's columns, with functions, accuracies and a card
upstream   sft.json, pairs.json        the two results of the authors' scripts, all pairs in one
=========  ==========================  ======================================================================

LLaMA-Factory's two come with the ``dataset_info.json`` entries that make them known to it. Pairs of a model's own
answers have a file for each online iteration (``online_1``, …): each stems from another model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from autoif import jsonrows
from autoif.config import ExportFormat
from autoif.interchange import card
from autoif.interchange.upstream import Kind
from autoif.interchange.upstream_export import alpaca, rows
from autoif.records import Message, PreferencePair, Record, SftExample
from autoif.store import write_atomically

Row = dict[str, Any]
Functions = Callable[[PreferencePair], Sequence[str]]

_SPEAKERS = {"user": "human", "assistant": "gpt", "system": "system"}


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """A set to write. ``name``: sft, preference, online_1, …; ``record``: SftExample or PreferencePair."""

    name: str
    record: type[Record]
    rows: Iterable[Any]


def no_functions(pair: PreferencePair) -> Sequence[str]:
    """Pairs whose functions are not at hand."""
    return ()


def export(
    format: ExportFormat,
    folder: Path,
    sets: Sequence[TrainingSet],
    about: card.About | None = None,
    functions: Functions = no_functions,
) -> dict[Path, int]:
    """Write ``sets`` under ``folder``; returns the files with their numbers of rows.

    ``about``: what the card says, and under which name LLaMA-Factory lists the sets. ``functions``: code of the
    functions that judged a pair, for the ``datasets`` folder (an SFT sample holds its own).
    """
    told = about or card.About(name="autoif")
    folder.mkdir(parents=True, exist_ok=True)
    match format:
        case ExportFormat.alpaca:
            files = _each(folder, ".json", sets, _alpaca, _alpaca_pair)
            common = {"prompt": "instruction", "query": "input", "system": "system", "history": "history"}
            _register(folder, told.name, sets, {}, common, {"response": "output"})
        case ExportFormat.sharegpt:
            files = _each(folder, ".json", sets, _sharegpt, _sharegpt_pair)
            _register(folder, told.name, sets, {"formatting": "sharegpt"}, {"messages": "conversations"}, {})
        case ExportFormat.trl:
            files = _each(folder, ".jsonl", sets, _trl, _trl_pair)
        case ExportFormat.chat:
            files = _each(folder, ".jsonl", sets, _chat, _chat_pair)
        case ExportFormat.datasets:
            (folder / "data").mkdir(exist_ok=True)
            files = _each(folder / "data", ".jsonl", sets, _documented, _documented_pair(functions))
            sizes = {path.stem: count for path, count in files.items()}
            write_atomically(folder / "README.md", card.text(told, sizes).encode())
        case ExportFormat.upstream:
            files = {}
            for name, kind, record in (("sft.json", Kind.sft, SftExample), ("pairs.json", Kind.pairs, PreferencePair)):
                if mine := [one.rows for one in sets if one.record is record]:
                    files[folder / name] = jsonrows.write_list(folder / name, rows(kind, chain.from_iterable(mine)))
    return files


def _each(
    folder: Path, ending: str, sets: Sequence[TrainingSet], one: Callable[[Any], Row], two: Callable[[Any], Row]
) -> dict[Path, int]:
    """A file for each set: rows of ``one`` for samples, of ``two`` for pairs."""
    write = jsonrows.write_list if ending == ".json" else jsonrows.write_lines
    files = {}
    for made in sets:
        path = folder / f"{made.name}{ending}"
        files[path] = write(path, map(one if made.record is SftExample else two, made.rows))
    return files


def _register(folder: Path, name: str, sets: Sequence[TrainingSet], fields: Row, columns: Row, answered: Row) -> None:
    """LLaMA-Factory's list of sets: one entry a file. It looks up every column that is named in every row, and splits
    the names it is given at commas."""
    entries = {}
    for made in sets:
        pairs = made.record is PreferencePair
        told = {"chosen": "chosen", "rejected": "rejected"} if pairs else answered
        entries[re.sub(r"[^\w.-]+", "_", f"{name}_{made.name}")] = {
            "file_name": f"{made.name}.json",
            **fields,
            **({"ranking": True} if pairs else {}),
            "columns": columns | told,
        }
    write_atomically(folder / "dataset_info.json", json.dumps(entries, indent=2).encode() + b"\n")


def _turns(messages: Iterable[Message]) -> list[Row]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _spoken(messages: Iterable[Message]) -> list[Row]:
    return [{"from": _SPEAKERS[message.role], "value": message.content} for message in messages]


def _answer(text: str) -> Row:
    return {"role": "assistant", "content": text}


def _alpaca(example: SftExample) -> Row:
    return {"system": ""} | alpaca(example)


def _alpaca_pair(pair: PreferencePair) -> Row:
    system = "\n".join(message.content for message in pair.prompt if message.role == "system")
    *history, asked = [message.content for message in pair.prompt if message.role != "system"]
    return {
        "instruction": asked,
        "input": "",
        "chosen": pair.chosen,
        "rejected": pair.rejected,
        "system": system,
        "history": [list(turns) for turns in zip(history[::2], history[1::2], strict=True)],
    }


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
    return {"id": example.id} | _trl(example) | {"instruction": example.instruction} | facts


def _documented_pair(functions: Functions) -> Callable[[PreferencePair], Row]:
    def row(pair: PreferencePair) -> Row:
        shares = {"chosen_accuracy": pair.chosen_accuracy, "rejected_accuracy": pair.rejected_accuracy}
        return {"id": pair.id} | _trl_pair(pair) | {"level": pair.level} | shares | {"functions": list(functions(pair))}

    return row
