"""Modules that a zygote imports once so that none of its children has to."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence

STANDARD = list(
    "ast base64 bisect calendar collections copy csv dataclasses datetime decimal difflib enum fractions functools "  # noqa: SIM905 - names read better as a line
    "heapq html html.parser io itertools json locale math operator random re statistics string textwrap time "
    "typing unicodedata urllib.parse".split()
)
"""What functions usually import."""


def load(names: Sequence[str]) -> None:
    """Import what can be imported; the rest is left to the functions that ask for it.

    Some modules hang hooks on a fork. Those are left out: they would seed ``random`` from the system in every child,
    and touch pages that every child then has to copy. Random states begin alike in every process.
    """
    register, os.register_at_fork = os.register_at_fork, lambda **hooks: None
    try:
        for name in names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    finally:
        os.register_at_fork = register
    for name in ("random", "numpy.random"):
        if name.partition(".")[0] in sys.modules:
            importlib.import_module(name).seed(0)
