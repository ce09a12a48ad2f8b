"""Benchmark prompts inside training data: shared word n-grams, counted as GPT-3's and later reports count them.

Texts are compared by words in lower case without punctuation. Of a benchmark prompt, all runs of 13 words count, or
the whole of it when it is shorter; n-grams that many prompts share (a benchmark's own boilerplate) don't. A prompt of
fewer than :data:`SHORTEST` words says too little to be found anywhere in a text: it must be a whole line of it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from autoif.records import Overlap
from evaluation.responses import Question

WORDS = 13
"""Words in an n-gram (paper table 4)."""
SHARE = 0.5
"""Share of a prompt's n-grams in one text from which the prompt counts as contaminated."""
COMMON = 10
"""An n-gram that more prompts of a benchmark than this share is boilerplate."""
SHORTEST = 8
"""Words of a prompt that is looked for inside a text (Brown et al. 2020 go down to 8 too)."""
EXCERPT = 400
"""Characters of a prompt and of a text that are kept as evidence."""
_WORD = re.compile(r"[^\W_]+")

Gram = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """A training row: its ``id``, what the model is asked (``prompt``), and all the text it is trained on."""

    id: str
    prompt: str
    text: str


def tokens(text: str) -> list[str]:
    """Words as they are compared."""
    return _WORD.findall(text.lower())


class Index:
    """The n-grams of benchmarks' prompts; texts stream past it."""

    def __init__(self, benchmarks: Mapping[str, Sequence[Question]], words: int = WORDS) -> None:
        self.keys: list[tuple[str, Question]] = []
        """(benchmark, question) by number: what :meth:`match` counts."""
        self.sizes: list[int] = []
        """Distinct n-grams of each question; 0: nothing of it can be recognised."""
        self._grams: dict[Gram, list[int]] = defaultdict(list)
        self._lines: dict[Gram, list[int]] = defaultdict(list)
        for name, questions in benchmarks.items():
            self._add(name, questions, words)
        # Where an n-gram may begin: most places of a text are passed by with one look at three words.
        starts: dict[Gram, set[int]] = defaultdict(set)
        for gram in self._grams:
            starts[gram[:3]].add(len(gram))
        self._starts = {start: tuple(sorted(lengths)) for start, lengths in starts.items()}
        self._longest = max((sum(map(len, line)) + 4 * len(line) for line in self._lines), default=0)

    def _add(self, name: str, questions: Sequence[Question], words: int) -> None:
        grams = [_grams(tokens(question.prompt), words) for question in questions]
        often = Counter(gram for found in grams for gram in found)
        for question, found in zip(questions, grams, strict=True):
            own = [gram for gram in found if often[gram] <= COMMON]
            for gram in own:
                places = self._grams if len(gram) >= min(SHORTEST, words) else self._lines
                places[gram].append(len(self.keys))
            self.keys.append((name, question))
            self.sizes.append(len(own))

    def match(self, text: str) -> Counter[int]:
        """How many of each question's distinct n-grams ``text`` holds; questions without any are left out."""
        words, grams = tokens(text), set()
        starts, known = self._starts, self._grams
        for place, start in enumerate(zip(words, words[1:], words[2:], strict=False)):
            if start in starts:
                for length in starts[start]:
                    gram = tuple(words[place : place + length])
                    if gram in known:
                        grams.add(gram)
        found = Counter(number for gram in grams for number in known[gram])
        if self._lines:
            short = (line for line in text.split("\n") if len(line) <= self._longest)
            lines = {tuple(tokens(line)) for line in short}
            found.update(number for line in lines if line in self._lines for number in self._lines[line])
        return found

    def overlaps(self, sample: Sample, share: float = SHARE) -> Iterator[Overlap]:
        """Questions of which ``sample`` holds at least ``share`` of the n-grams, in their order."""
        for number, count in sorted(self.match(sample.text).items()):
            if count >= share * self.sizes[number]:
                yield self.overlap(number, sample, count)

    def overlap(self, number: int, sample: Sample, count: int) -> Overlap:
        """The evidence that ``sample`` holds ``count`` n-grams of question ``number``."""
        benchmark, question = self.keys[number]
        return Overlap(
            benchmark=benchmark,
            item=question.id,
            row=sample.id,
            share=count / self.sizes[number],
            prompt=question.prompt[:EXCERPT],
            text=excerpt(sample.text, question.prompt),
        )


@dataclass(slots=True)
class Tally:
    """What was found of each question: in ``best``, the row that holds most of it. ``rows``: by benchmark, training
    rows that contaminate it; ``seen``: rows in all."""

    index: Index
    share: float = SHARE
    seen: int = 0
    touched: set[int] = field(default_factory=set)
    best: dict[int, Overlap] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)

    def add(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Count ``samples`` while they stream by, unchanged."""
        for sample in samples:
            self.seen += 1
            if found := self.index.match(sample.text):
                self._count(sample, found)
            yield sample

    def _count(self, sample: Sample, found: Counter[int]) -> None:
        sizes, benchmarks = self.index.sizes, set()
        self.touched |= found.keys()
        for number, count in found.items():
            if count >= self.share * sizes[number]:
                benchmarks.add(self.index.keys[number][0])
                if number not in self.best or count > self.best[number].share * sizes[number] + 1e-9:
                    self.best[number] = self.index.overlap(number, sample, count)
        self.rows.update(benchmarks)


def excerpt(text: str, prompt: str) -> str:
    """The part of ``text`` around the words it has from ``prompt``: what a reader wants to see of a long row."""
    if len(text) <= EXCERPT:
        return text
    known = set(zip(*(tokens(prompt)[i:] for i in range(3)), strict=False))
    found = list(_WORD.finditer(text.lower()))
    words = [match.group() for match in found]
    place = next((i for i, gram in enumerate(zip(words, words[1:], words[2:], strict=False)) if gram in known), 0)
    start = max(0, found[place].start() - EXCERPT // 8) if found else 0
    return ("…" if start else "") + text[start : start + EXCERPT]


def _grams(words: Sequence[str], length: int) -> set[Gram]:
    """Distinct runs of ``length`` words, or all words when there are fewer; none of nothing."""
    length = min(length, len(words))
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)} if length else set()
