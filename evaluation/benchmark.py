"""What a benchmark is to the rest: a name, its files, and how one model is measured on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoif.config import BenchmarkConfig
from autoif.generation.base import Generator
from autoif.records import EvaluationItem
from evaluation import data
from evaluation.data import Source


@dataclass(kw_only=True, slots=True)
class Setup:
    """What answers and scores one model on one benchmark.

    ``facts`` takes what a manifest says beside the fingerprint; ``sample`` in it marks a part of the benchmark.
    """

    generator: Generator
    settings: BenchmarkConfig
    model: str
    data_dir: str | None = None
    seed: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    def path(self, source: Source) -> Path:
        """The file of ``source``, its hash noted among the facts. Raises :class:`DataError` when it is missing."""
        path = data.locate(source, self.data_dir)
        self.facts.setdefault("data_sha256", {})[source.file] = data.sha256(path)
        return path


def _nothing_lacks(data_dir: str | None) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """One benchmark. Its module makes one; :mod:`evaluation.registry` lists them.

    ``size``: prompts in all. ``measure``: answers with the setup's generator, then scores, item by item.
    ``lacks``: which package or resource besides ``sources`` is missing here, in one line, or None; imports nothing.
    """

    name: str
    size: int
    sources: tuple[Source, ...]
    measure: Callable[[Setup], Iterable[EvaluationItem]]
    lacks: Callable[[str | None], str | None] = _nothing_lacks

    def missing(self, data_dir: str | None) -> str | None:
        """Why it can't be run here without the hub, or None."""
        reasons: Iterator[str | None] = (data.missing(source, data_dir) for source in self.sources)
        return next(filter(None, reasons), None) or self.lacks(data_dir)

    def content(self, data_dir: str | None) -> dict[str, str]:
        """What a fingerprint says of its files: their hashes where they are local, else their addresses."""
        return {source.file: data.content(source, data_dir) for source in self.sources}
