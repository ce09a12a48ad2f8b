"""Progress bars with rate and ETA: on terminals, for what takes longer than a few seconds; quiet elsewhere and in CI.

A stage opens one :func:`bar` in the unit its time goes into (model calls, executions or records). Whatever does that
work says so with :func:`advance`, however deep below the stage it runs; other units pass the bar by.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")

DELAY, INTERVAL = 3.0, 0.2
"""Seconds before a bar appears, and between two drawings."""
CALLS, EXECUTIONS, RECORDS = "call", "run", "rec"
"""Units: a model's answer, one execution of a function, an input record of a stage."""

_open: list[tuple[str, tqdm[Any]]] = []
"""Bars that are open, the innermost last, each with its unit."""


@contextmanager
def bar(label: str, total: int | None, unit: str) -> Iterator[None]:
    """Count ``unit``s that :func:`advance` reports inside the block. ``total``: an upper bound, None if not known."""
    if quiet():
        yield
        return
    with _bar(label, total or None, unit) as shown:
        _open.append((unit, shown))
        try:
            yield
        finally:
            _open.pop()


def advance(unit: str, count: int = 1) -> None:
    """``count`` more units are done: moves the innermost open bar if that is its unit."""
    if _open and _open[-1][0] == unit:
        _open[-1][1].update(count)


def track(items: Iterable[T], label: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yield ``items`` unchanged while a bar of their own counts them."""
    if quiet():
        yield from items
        return
    with _bar(label, total, unit) as shown:
        for item in items:
            yield item
            shown.update()


def quiet() -> bool:
    """Whether bars would disturb: standard error is no terminal, or a CI collects it."""
    return bool(os.environ.get("CI")) or not sys.stderr.isatty()


def _bar(label: str, total: int | None, unit: str) -> tqdm[Any]:
    from tqdm import tqdm

    return tqdm(
        desc=label,
        total=total,
        unit=unit,
        delay=DELAY,
        mininterval=INTERVAL,
        miniters=1,
        dynamic_ncols=True,
        leave=False,
        file=sys.stderr,
    )
