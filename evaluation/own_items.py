"""Our own ``items.jsonl`` as a file of answers or of judgments: what a run left is scored again, or only aggregated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from autoif.errors import DataError
from autoif.records import EvaluationItem, read_records
from evaluation.benchmark import Benchmark, Existing
from evaluation.responses import names


def _keyed(item: EvaluationItem) -> dict[str, Any]:
    return {"key": item.id, "response": item.response}


def _turns(item: EvaluationItem) -> dict[str, Any]:
    turns = [turn["assistant"] for turn in json.loads(item.response)]
    return {"question_id": item.id, "choices": [{"turns": turns}]}


_PUBLISHED: dict[str, Callable[[EvaluationItem], dict[str, Any]]] = {
    "humaneval": lambda item: {"task_id": item.id, "completion": item.response},
    "infobench": lambda item: {"id": item.id, "output": item.response},
    "followbench": lambda item: {"prompt_new": item.prompt, "choices": [{"message": {"content": item.response}}]},
    "mt_bench": _turns,
    "arena_hard_v0.1": lambda item: {"uid": item.id, "messages": [{"content": item.response}]},
    "arena_hard_v2.0": lambda item: {"uid": item.id, "messages": [{"content": item.response}]},
}
"""Benchmark → an item's answer in the form that its authors publish; others are read by key."""


def is_own(path: Path | None) -> bool:
    """Whether ``path`` is a file of ours: its first row is an item."""
    if path is None or not path.is_file() or path.suffix != ".jsonl":
        return False
    with path.open("rb") as rows:
        try:
            msgspec.json.decode(rows.readline(), type=EvaluationItem)
        except msgspec.DecodeError:
            return False
    return True


@contextmanager
def readable(existing: Existing) -> Iterator[Existing]:
    """``existing`` itself, or with answers of ours in a published form.

    Raises :class:`DataError` for items of several models, none of which is chosen.
    """
    path = existing.responses
    if path is None or not is_own(path):
        yield existing
        return
    items = _of(path, existing)
    models = list(dict.fromkeys(item.model for item in items))
    if len(models) > 1:
        raise DataError(f"{path} holds answers of {', '.join(models)}: choose with evaluation.answered_by")
    form = _PUBLISHED.get(existing.benchmark, _keyed)
    with TemporaryDirectory() as folder:
        there = Path(folder, f"{models[0]}.jsonl")
        there.write_text("".join(json.dumps(form(item)) + "\n" for item in items), encoding="utf-8")
        yield replace(existing, responses=there, model=models[0])


def judged(definition: Benchmark, existing: Existing) -> list[EvaluationItem] | None:
    """Items of ours that are given as judgments, as they are; None for files of another form.

    Raises :class:`DataError` for items that come twice.
    """
    path = existing.judgments
    if path is None or not is_own(path):
        return None
    items = _of(path, existing)
    seen: set[tuple[str, str, int]] = set()
    for item in items:
        key = (item.model, item.id, item.seed)
        if key in seen:
            raise DataError(f"{path}: item {item.id} of {item.model} is there twice")
        seen.add(key)
    for model in dict.fromkeys(item.model for item in items):
        ids = {item.id for item in items if item.model == model}
        if len(ids) < definition.size:
            existing.facts["sample"] = True
            existing.note(f"{len(ids)} of {definition.size} items of {model} are there")
    return items


def _of(path: Path, existing: Existing) -> list[EvaluationItem]:
    """The items of the benchmark, and of the model where one is chosen."""
    found = [item for item in read_records(path, EvaluationItem) if item.benchmark == existing.benchmark]
    if not found:
        raise DataError(f"{path} has no items of {existing.benchmark}")
    own = [item for item in found if existing.model in (None, item.model)]
    if not own:
        models = sorted({item.model for item in found})
        raise DataError(f"{path} has no items of {existing.model}: there are some of {names(models)}")
    return own
