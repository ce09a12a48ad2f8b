"""What a verification function does not see: answers that pass it and are no answers.

A function counts words or looks for a comma; a model that is rewarded for passing it alone finds texts that repeat
themselves until the condition holds. These measures look at the text alone, so they cost nothing and cannot be talked
into anything.
"""

from __future__ import annotations

import zlib

from autoif.config import QualityConfig

GRAM = 4
"""Words of a sequence that counts as repeated: shorter ones recur in ordinary prose."""


def flaw(text: str, config: QualityConfig) -> str | None:
    """Why ``text`` deserves no reward whatever it passes (too_short, repetitive, compressible), else None."""
    if config.min_words is not None and len(text.split()) < config.min_words:
        return "too_short"
    if config.max_repetition is not None and repetition(text) > config.max_repetition:
        return "repetitive"
    if config.max_compression is not None and compression(text) > config.max_compression:
        return "compressible"
    return None


def repetition(text: str) -> float:
    """Share of the sequences of :data:`GRAM` words that occurred before in the text, in [0, 1); case is ignored."""
    words = text.lower().split()
    grams = [tuple(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def compression(text: str) -> float:
    """Bytes of the text over its bytes under zlib: 0.5 to 2.5 for prose of up to a page, far above for loops."""
    raw = text.encode("utf-8", "surrogatepass")
    return len(raw) / len(zlib.compress(raw, 9)) if raw else 0.0
