"""Benchmark prompts inside training data: shared word n-grams, as GPT-3 and its successors count them.

A training text contaminates a benchmark item when it holds a large share of the item's n-grams. Texts are compared
by words in lower case without punctuation; n-grams that many items share (a benchmark's own boilerplate) don't count.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from autoif.records import Record
from evaluation.responses import Question

WORDS = 13
"""Words in an n-gram; prompts shorter than that are compared whole."""
SHARE = 0.5
"""Share of an item's n-grams in one text from which the item counts as contaminated."""
COMMON = 10
"""An n-gram that more items than this share is boilerplate."""
_WORD = re.compile(r"\w+")


class Overlap(Record, frozen=True):
    """A training text that holds ``share`` of a benchmark item's n-grams, in [0, 1]."""

    item: str
    text: str
    share: float


class Index:
    """The n-grams of a benchmark's prompts; texts stream past it."""

    def __init__(self, questions: Sequence[Question], words: int = WORDS) -> None:
        self._words = words
        grams = {question.id: set(_grams(question.prompt, words)) for question in questions}
        often = Counter(gram for found in grams.values() for gram in found)
        self._items: dict[tuple[str, ...], list[str]] = defaultdict(list)
        self._sizes: dict[str, int] = {}
        for id, found in grams.items():
            own = [gram for gram in found if often[gram] <= COMMON]
            self._sizes[id] = len(own)
            for gram in own:
                self._items[gram].append(id)
        self._lengths = sorted({len(gram) for gram in self._items}, reverse=True)

    def search(self, texts: Iterable[tuple[str, str]], share: float = SHARE) -> Iterator[Overlap]:
        """Overlaps of at least ``share``, text by text. ``texts``: (id, text)."""
        for id, text in texts:
            tokens = _tokens(text)
            found: Counter[str] = Counter()
            for length in self._lengths:
                grams = {tuple(tokens[i : i + length]) for i in range(len(tokens) - length + 1)}
                found.update(item for gram in grams for item in self._items.get(gram, ()))
            for item, count in sorted(found.items()):
                if count >= share * self._sizes[item]:
                    yield Overlap(item=item, text=id, share=count / self._sizes[item])


def _tokens(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _grams(text: str, words: int) -> Iterator[tuple[str, ...]]:
    tokens = _tokens(text)
    length = min(words, len(tokens))
    if length:
        yield from (tuple(tokens[i : i + length]) for i in range(len(tokens) - length + 1))
