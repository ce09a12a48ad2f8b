"""Answers that pair with their questions and still look wrong: shifted, shared, cut from a chat log, or the reference.

Each finding is a line that is said beside the numbers; answers that fit the neighbouring prompts better than their own
stop the scoring, since no number of theirs means anything.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from autoif.errors import DataError
from autoif.records import EvaluationItem
from evaluation.responses import names

LEAST_ITEMS = 20
"""Fewer answers say nothing about a shift."""
LEAST_OVERLAP = 0.05
"""Share of a prompt's rare words that its answer takes up, below which a shift can't be told."""
_SHIFTS = (-2, -1, 1, 2)
_LONG = 40
"""Characters from which equal answers to different prompts are remarkable."""
_WORD = re.compile(r"\w{4,}")
_MARKUP = re.compile(r"<\|(?:im_start|im_end|endoftext|eot_id|start_header_id|assistant|user)\|>|</?s>|\[/?INST\]")
_THINK = re.compile(r"</?think>")


def findings(items: Sequence[EvaluationItem], references: Mapping[str, str] | None = None) -> list[str]:
    """Lines about ``items`` of one model. ``references``: item id → the benchmark's own solution.

    Raises :class:`DataError` when the answers belong to the neighbouring prompts.
    """
    answered = [item for item in items if item.response.strip()]
    _not_shifted(answered)
    return [*_nothing_said(items), *_shared(answered), *_marked(answered), *_copied(answered, references or {})]


def _nothing_said(items: Sequence[EvaluationItem]) -> Iterator[str]:
    empty = [item.id for item in items if not item.response.strip()]
    if empty and len(empty) < len(items):  # judgments alone come without answers
        yield f"{len(empty)} answers are empty: {names(empty)}"


def _shared(items: Sequence[EvaluationItem]) -> Iterator[str]:
    by_text: dict[str, list[str]] = {}
    for item in items:
        if len(text := item.response.strip()) >= _LONG:
            by_text.setdefault(text, []).append(item.id)
    for ids in by_text.values():
        if len(ids) > 1:
            yield f"{len(ids)} prompts have the very same answer: {names(ids)}"


def _marked(items: Sequence[EvaluationItem]) -> Iterator[str]:
    for pattern, what in ((_MARKUP, "markup of a chat template"), (_THINK, "think tags")):
        if found := [item.id for item in items if pattern.search(item.response)]:
            yield f"{len(found)} answers hold {what}, which is scored as text: {names(found)}"
    repeats = [item.id for item in items if len(item.prompt) >= _LONG and item.response.startswith(item.prompt)]
    if repeats:
        yield f"{len(repeats)} answers begin with their whole prompt: {names(repeats)}"


def _copied(items: Sequence[EvaluationItem], references: Mapping[str, str]) -> Iterator[str]:
    def plain(text: str) -> str:
        return " ".join(text.split())

    equal = [item.id for item in items if item.id in references and plain(references[item.id]) in plain(item.response)]
    if equal:
        yield f"{len(equal)} answers hold the benchmark's own solution word by word: {names(equal)}"


def _not_shifted(items: Sequence[EvaluationItem]) -> None:
    if len(items) < LEAST_ITEMS:
        return
    prompts = [set(_WORD.findall(item.prompt.lower())) for item in items]
    replies = [set(_WORD.findall(item.response.lower())) for item in items]
    seen = Counter(word for words in prompts for word in words)
    weight = {word: math.log(len(items) / count) for word, count in seen.items()}
    totals = [sum(weight[word] for word in words) or 1.0 for words in prompts]

    def overlap(shift: int) -> float:
        pairs = [(index, index + shift) for index in range(len(items)) if 0 <= index + shift < len(items)]
        shares = (sum(weight[w] for w in prompts[to] & replies[at]) / totals[to] for at, to in pairs)
        return sum(shares) / len(pairs)

    own, best = overlap(0), max(_SHIFTS, key=overlap)
    if overlap(best) > max(2 * own, LEAST_OVERLAP):
        raise DataError(
            f"the answers of {items[0].model} fit the prompts {abs(best)} place{'s' * (abs(best) > 1)} "
            f"{'on' if best > 0 else 'back'} better than their own ({overlap(best):.0%} of the rare words against "
            f"{own:.0%}): the file's columns seem shifted against each other"
        )
