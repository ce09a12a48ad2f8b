"""Mutations of an answer: small damages of which each breaks some kind of instruction about form.

A function that checks its instruction refuses at least one of them; one that passes them all checks nothing. Between
them they change length, order, case, punctuation, digits, lines and layout, and add what an instruction may forbid: its
own words, every letter, digits, marks, and the text of an answer that does not follow it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

_EVERYTHING = "Pack my box with five dozen liquor jugs! 0123456789 ,;:.?!-_()[]{}<>*#&%$@+=/\\|~^`'\" \U0001f600"


def mutations(answer: str, instruction: str, refused: Sequence[str]) -> dict[str, str]:
    """Mutated texts by the name of what was done to them, those that left ``answer`` as it is not among them.

    ``refused``: answers that do not follow the instruction, each put behind this one.
    """
    found = {name: mutate(answer) for name, mutate in MUTATIONS.items()}
    found["with_its_instruction"] = f"{answer} {instruction}"
    for number, text in enumerate(refused):
        found[f"with_refused_{number}"] = f"{answer}\n{text}"
    return {name: text for name, text in found.items() if text != answer}


def _shuffled(text: str, pattern: str, glue: str) -> str:
    """Parts in another order, the same one every time."""
    parts = [part for part in re.split(pattern, text) if part]
    random.Random(text).shuffle(parts)
    return glue.join(parts)


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


def _bulleted(text: str) -> str:
    return "\n".join(f"- {sentence}" for sentence in _sentences(text))


MUTATIONS: Mapping[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "first_half": lambda text: text[: len(text) // 2],
    "second_half": lambda text: text[len(text) // 2 :],
    "first_word": lambda text: " ".join(text.split()[:1]),
    "without_first_word": lambda text: " ".join(text.split()[1:]),
    "without_last_word": lambda text: " ".join(text.split()[:-1]),
    "without_first_line": lambda text: text.partition("\n")[2],
    "repeated": lambda text: "\n".join([text] * 12),
    "shuffled_words": lambda text: _shuffled(text, r"\s+", " "),
    "shuffled_lines": lambda text: _shuffled(text, r"\n", "\n"),
    "reversed": lambda text: text[::-1],
    "upper_case": str.upper,
    "lower_case": str.lower,
    "swapped_case": str.swapcase,
    "without_punctuation": lambda text: re.sub(r"[^\w\s]", "", text),
    "without_digits": lambda text: re.sub(r"\d", "", text),
    "without_vowels": lambda text: re.sub(r"[aeiou]", "", text, flags=re.IGNORECASE),
    "one_line": lambda text: " ".join(text.split()),
    "a_line_each_word": lambda text: "\n".join(text.split()),
    "bulleted": _bulleted,
    "quoted": lambda text: f'"{text}"',
    "with_preface": lambda text: f"Sure, here is the answer you asked for:\n\n{text}",
    "with_closing": lambda text: f"{text}\n\nI hope this helps, let me know if you have 1 or 2 more questions!",
    "with_everything": lambda text: f"{text} {_EVERYTHING}",
}
"""What is done to an answer, by name."""


def spread(texts: Sequence[str], wanted: int) -> Iterator[str]:
    """At most ``wanted`` of ``texts``, evenly from the shortest to the longest."""
    ordered = sorted(dict.fromkeys(texts), key=lambda text: (len(text), text))
    last = max(1, wanted - 1)
    positions = {round(i * (len(ordered) - 1) / last) for i in range(wanted)} if ordered else set()
    yield from (ordered[position] for position in sorted(positions))
