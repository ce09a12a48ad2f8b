"""Which installed packages a function's source asks for: those decide between the lean and the heavy zygote.

A textual look is enough. A name that stands in a comment costs a slower lane, not a wrong result.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from functools import lru_cache

HEAVY = tuple(
    "numpy scipy pandas sklearn nltk spacy textblob textstat langdetect langid emoji regex pyphen dateutil pytz yaml "  # noqa: SIM905 - names read better as a line
    "bs4 lxml unidecode num2words inflect syllables pronouncing markdown jieba Levenshtein rapidfuzz ftfy".split()
)
"""Packages that model-written functions ask for. Nothing else outside the standard library can be imported."""

_NAMES = re.compile(r"\b(" + "|".join(HEAVY) + r")\b")


@lru_cache
def installed(name: str) -> bool:
    """Whether this interpreter has the package; nothing is imported."""
    return importlib.util.find_spec(name) is not None


@lru_cache(4096)
def packages(source: str) -> tuple[str, ...]:
    """The installed packages of :data:`HEAVY` that ``source`` names next to an import, sorted."""
    if "import" not in source:
        return ()
    return tuple(sorted(name for name in set(_NAMES.findall(source)) if installed(name)))


def site_paths() -> list[str]:
    """Where this interpreter's packages lie."""
    return [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]


def data_paths() -> list[str]:
    """Where nltk's corpora lie: what the environment names, and the user's own folder."""
    named = [path for path in os.environ.get("NLTK_DATA", "").split(os.pathsep) if path]
    return [*map(os.path.abspath, named), os.path.expanduser("~/nltk_data")]
