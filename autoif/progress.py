"""Progress bars with rate and ETA: shown on terminals for anything longer than a few seconds, quiet elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], label: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yield ``items`` unchanged while a bar counts them; no bar off a terminal or before 3 seconds have passed."""
    from tqdm import tqdm

    yield from tqdm(items, desc=label, total=total, unit=unit, delay=3, disable=None, dynamic_ncols=True)
