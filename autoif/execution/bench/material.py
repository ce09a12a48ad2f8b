"""What the benchmark and the differential test run: functions such as models write, and answers to check."""

from __future__ import annotations

import random
from importlib.resources import files

_SEPARATOR = "=====\n"
_WORDS = tuple(
    "the a of river mountain quiet light answer because perhaps therefore garden seven friend letter although morning "  # noqa: SIM905 - names read better as a line
    "winter however blue green small question remember people water story between Paris Monday never always enough "
    "teacher simple bright forest nature begin ending reason careful window history number level noon music".split(" ")
)
_MARKS = (".", ".", ".", "!", "?", ",", ";", "")


def functions() -> list[str]:
    """Sources of verification functions; each defines ``evaluate(response)``."""
    return _sources("verifiers.txt")


def misbehaving() -> list[str]:
    """Sources that loop, sleep, crash, eat memory or reach for what they must not touch; none returns True."""
    return _sources("misbehaving.txt")


def _sources(name: str) -> list[str]:
    text = files("autoif.execution.bench").joinpath(name).read_text(encoding="utf-8")
    return text.split(_SEPARATOR)


CASE_WORDS = (2, 20)
"""Length of an answer in a test case, as the cases are that the method's authors publish."""


def answers(count: int, words: tuple[int, int] = CASE_WORDS, seed: int = 0) -> list[str]:
    """``count`` answers: prose, lists, headings, numbers, some JSON; the same for the same seed.

    ``words``: fewest and most of one answer.
    """
    chance = random.Random(seed)
    return [_answer(chance, chance.randint(*words)) for _ in range(count)]


def _answer(chance: random.Random, length: int) -> str:
    kind = chance.random()
    if kind < 0.05:
        return '{"answer": ' + str(chance.randrange(1000)) + ', "words": ["' + chance.choice(_WORDS) + '"]}'
    words = [chance.choice(_WORDS) + chance.choice(_MARKS) * (chance.random() < 0.2) for _ in range(length)]
    if kind < 0.15:
        words = [word.upper() if chance.random() < 0.3 else word for word in words]
    lines = [" ".join(words[at : at + 12]).capitalize() for at in range(0, len(words), 12)]
    prefix = chance.choice(("", "", "", "- ", "# ", "1. "))
    text = chance.choice(("\n", "\n\n", " ")).join(prefix + line for line in lines)
    return text + chance.choice((".", "!", "?", f" It was {chance.randint(1800, 2030)}-0{chance.randint(1, 9)}-11."))
