"""Near-duplicates among instructions: the same demand in other words, found by MinHash.

Two instructions are the same when the Jaccard similarity of their words reaches the threshold *and* they agree on all
that turns one demand into another: numbers (``three`` is 3), quoted text, single letters, and words such as not, least,
first, upper, comma. "At least three lines" and "At least four lines" are two instructions, however alike.

MinHash with locality-sensitive hashing (Broder 1997; Leskovec et al., Mining of Massive Datasets, ch. 3) only finds
candidates; the exact similarity decides. Every hash is a digest, so the result is the same on every machine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from autoif.config import NearDuplicatesConfig
from autoif.records import Instruction, Reject
from autoif.stage import Context

BANDS, ROWS = 32, 2
"""64 hashes in bands of two: a pair at similarity 0.5 is a candidate with probability 0.9999, at 0.7 with 1 − 5e-10."""
_MODULUS = (1 << 61) - 1

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|[^\w\s]")
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|(?<!\w)['‘]([^'‘’]+)['’](?!\w)|`([^`]+)`")
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
_DIGITS = {word: str(n) for n, word in enumerate(_NUMBERS.split())} | {"twenty": "20", "once": "1", "twice": "2"}
_WORDS = (
    "not no never without avoid don't cannot none only except least most exactly more fewer less than under over "
    "maximum minimum first last start begin end every each any all both second third before after between "
    "upper uppercase capital lower lowercase even odd same different longer shorter line word sentence paragraph "
    "letter character vowel consonant digit number syllable question exclamation mark comma period dot colon "
    "semicolon dash hyphen apostrophe quote quotation parenthese parenthesis bracket brace slash asterisk star "
    "hash emoji bullet list table heading title bold italic markdown json xml html code verb noun adjective "
    "adverb rhyme"
)
_TELLING = frozenset(_WORDS.split())
"""Words, without a plural's s, that make another demand of the same sentence."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is compared of an instruction: its word shingles, and what must be equal."""

    shingles: frozenset[str]
    telling: tuple[str, ...]


def near_duplicates(context: Context, instructions: Iterable[Instruction]) -> Iterator[Instruction | Reject]:
    """Instructions in their order without those that say what an earlier one says; the earlier one is the detail."""
    config: NearDuplicatesConfig = context.config
    seen = _Index(config.threshold)
    for instruction in instructions:
        fingerprint = fingerprint_of(instruction.text, config.shingle)
        earlier = seen.add(fingerprint, instruction.text)
        yield instruction if earlier is None else Reject(instruction, "near_duplicate", f"of: {earlier}")


def fingerprint_of(text: str, shingle: int) -> Fingerprint:
    """The shingles of ``shingle`` words of the text in lower case, and its numbers, quotations and telling words."""
    quotations = sorted(next(filter(None, found)).lower() for found in _QUOTED.findall(text))
    words = [_DIGITS.get(word, word) for word in _WORD.findall(text.lower()) if word[0].isalnum()]
    telling = sorted({stem for word in words if _tells(stem := _singular(word))})
    size = max(1, min(shingle, len(words)))
    shingles = frozenset(" ".join(words[i : i + size]) for i in range(len(words) - size + 1))
    return Fingerprint(shingles, (*telling, *(f'"{text}"' for text in quotations)))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _tells(word: str) -> bool:
    return word in _TELLING or word.isdigit() or (len(word) == 1 and word not in "aàios")


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared elements over all, in [0, 1]; two empty sets are equal."""
    return len(one & other) / len(one | other) if one or other else 1.0


@dataclass(slots=True)
class _Index:
    """Fingerprints by the bands of their MinHash signature and what must be equal."""

    threshold: float
    buckets: dict[tuple[object, ...], list[int]] = field(default_factory=dict)
    rows: list[tuple[Fingerprint, str]] = field(default_factory=list)

    def add(self, fingerprint: Fingerprint, text: str) -> str | None:
        """Add a row, or return the text of the earliest that says the same."""
        bands = list(_bands(fingerprint))
        candidates = {row for band in bands for row in self.buckets.get(band, ())}
        for row in sorted(candidates):
            if self._alike(fingerprint, row):
                return self.rows[row][1]
        for band in bands:
            self.buckets.setdefault(band, []).append(len(self.rows))
        self.rows.append((fingerprint, text))
        return None

    def _alike(self, fingerprint: Fingerprint, row: int) -> bool:
        return jaccard(fingerprint.shingles, self.rows[row][0].shingles) >= self.threshold


def _bands(fingerprint: Fingerprint) -> Iterator[tuple[object, ...]]:
    hashes = [_hash(shingle) for shingle in fingerprint.shingles] or [0]
    for band in range(BANDS):
        rows = [min((a * h + b) % _MODULUS for h in hashes) for a, b in _COEFFICIENTS[band]]
        yield (band, *rows, fingerprint.telling)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=7).digest(), "big")


_COEFFICIENTS = [
    [(_hash(f"a{band}.{row}") % (_MODULUS - 1) + 1, _hash(f"b{band}.{row}")) for row in range(ROWS)]
    for band in range(BANDS)
]
