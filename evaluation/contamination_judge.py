"""Test prompts said in other words: n-grams cannot see them, so a model is asked (paper table 4).

For each test prompt the training prompts that are most like it are chosen by the words they share, rare ones counting
more; a judge reads each pair. Choosing streams: only the best candidates of each test prompt are held.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoif.generation.base import user
from autoif.records import Overlap, digest
from evaluation.contamination import EXCERPT, Sample, tokens
from evaluation.judge import Judge
from evaluation.responses import Question

FREQUENT = 0.2
"""Words in more than this share of the test prompts say nothing about which one is meant."""
TEXT_LIMIT = 6000
"""Characters of either text that a judge is shown."""
_PROMPT = Path(__file__).with_name("prompts") / "rephrased.txt"
_REMINDER = "Write one word only: YES or NO."
_VERDICT = re.compile(r"\b(YES|NO)\b")


@dataclass(frozen=True, order=True, slots=True)
class Candidate:
    """A training prompt like test prompt ``number``: ``likeness`` is the cosine of both, in [0, 1]."""

    likeness: float
    key: str
    number: int
    sample: Sample


class Similar:
    """The ``keep`` training prompts most like each of ``questions``, found while they stream past."""

    def __init__(self, questions: Sequence[Question], keep: int) -> None:
        self._keep = keep
        self._best: list[list[Candidate]] = [[] for _ in questions]
        self._seen: set[bytes] = set()
        words = [_words(question.prompt) for question in questions]
        often = Counter(word for found in words for word in found)
        # At least two prompts may share a word, however few prompts there are.
        frequent = max(2.0, FREQUENT * len(questions))
        self._weights = {word: math.log((1 + len(questions)) / count) for word, count in often.items()}
        self._unknown = math.log(1 + len(questions))
        self._places: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for number, found in enumerate(words):
            norm = math.sqrt(sum(self._weights[word] ** 2 for word in found)) or 1.0
            for word in found:
                if often[word] <= frequent:
                    self._places[word].append((number, self._weights[word] ** 2 / norm))

    def add(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Look at the prompts of ``samples``, each text once, while they stream by unchanged."""
        for sample in samples:
            key = digest(sample.prompt)
            if bytes.fromhex(key) not in self._seen:
                self._seen.add(bytes.fromhex(key))
                self._look(sample, key)
            yield sample

    def _look(self, sample: Sample, key: str) -> None:
        words = _words(sample.prompt)
        scores: dict[int, float] = defaultdict(float)
        for word in words:
            for number, weight in self._places.get(word, ()):
                scores[number] += weight
        if not scores:
            return
        norm = math.sqrt(sum(self._weights.get(word, self._unknown) ** 2 for word in words))
        for number, score in scores.items():
            best, likeness = self._best[number], score / norm
            if len(best) < self._keep:
                heapq.heappush(best, Candidate(likeness, key, number, sample))
            elif (likeness, key) > (best[0].likeness, best[0].key):
                heapq.heapreplace(best, Candidate(likeness, key, number, sample))

    def candidates(self) -> Iterator[Candidate]:
        """The pairs to judge: by test prompt, the likest first."""
        for best in self._best:
            yield from sorted(best, reverse=True)


def _words(text: str) -> list[str]:
    """Distinct words in a fixed order: sums of the same weights must come out the same in every process."""
    return sorted(set(tokens(text)))


@dataclass(slots=True)
class Rephrased:
    """What a judge found: ``asked`` pairs, ``unparsable`` verdicts (no evidence), ``found`` by question number."""

    asked: int
    unparsable: int
    found: dict[int, Overlap]


def detect(judge: Judge, candidates: Iterable[Candidate], keys: Sequence[tuple[str, Question]]) -> Rephrased:
    """Ask ``judge`` about every candidate; a prompt counts once, with the likest text that it says YES to."""
    template, pairs = _PROMPT.read_text(encoding="utf-8"), list(candidates)
    asked = (
        user(template.format(item=keys[pair.number][1].prompt[:TEXT_LIMIT], text=pair.sample.prompt[:TEXT_LIMIT]))
        for pair in pairs
    )
    result = Rephrased(len(pairs), 0, {})
    for pair, verdict in zip(pairs, judge.ask(asked, parse, _REMINDER), strict=True):
        benchmark, question = keys[pair.number]
        if verdict.value is None:
            result.unparsable += 1
        elif verdict.value:
            evidence = Overlap(
                benchmark=benchmark,
                item=question.id,
                row=pair.sample.id,
                share=pair.likeness,
                prompt=question.prompt[:EXCERPT],
                text=pair.sample.prompt[:EXCERPT],
                rephrased=True,
            )
            result.found.setdefault(pair.number, evidence)
    return result


def parse(reply: str) -> bool | None:
    """YES or NO on the last line that is not empty; None when it has neither or both."""
    lines = [line for line in reply.split("\n") if line.strip()]
    said = set(_VERDICT.findall(lines[-1].upper())) if lines else set()
    return said == {"YES"} if len(said) == 1 else None


def prompt_text() -> str:
    """The judge's prompt, for fingerprints."""
    return _PROMPT.read_text(encoding="utf-8")
