"""Scoring existing answers and aggregating existing judgments, without a model: one entry for all benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoif.errors import ConfigError, DataError
from autoif.records import EvaluationItem, Result
from evaluation import own_items, registry, summary, suspicion
from evaluation.benchmark import Benchmark, Existing

__all__ = ["BENCHMARKS", "Existing", "Rescored", "find", "items_of", "rescore", "results_of"]

BENCHMARKS = tuple(registry.benchmark(section).name for section in registry.PLACES)


@dataclass(slots=True)
class Rescored:
    """Items with their scores, the numbers they come to, and what must be said beside these."""

    items: list[EvaluationItem]
    results: list[Result]
    notes: list[str]


def rescore(existing: Existing, seed: int = 0) -> Rescored:
    """Score what is there. Raises :class:`DataError` naming answers and judgments that don't fit the benchmark."""
    items = items_of(existing)
    return Rescored(items, results_of(existing, items, seed), existing.facts["notes"])


def items_of(existing: Existing) -> list[EvaluationItem]:
    """Every item with its scores; what looks wrong about the answers goes into the notes.

    Raises :class:`DataError` for files that don't fit the benchmark, and for answers that belong to other prompts.
    """
    definition = find(existing.benchmark)
    items = own_items.judged(definition, existing)
    if items is None:
        with own_items.readable(existing) as given:
            items = list(definition.rescore(given))
    if not items:
        raise DataError(f"{existing.benchmark}: nothing to score")
    references = definition.references(existing) if definition.references else {}
    by_model: dict[str, list[EvaluationItem]] = {}
    for item in items:
        by_model.setdefault(item.model, []).append(item)
    for model, own in by_model.items():
        lead = f"{model}: " if len(by_model) > 1 else ""
        existing.note(*(lead + line for line in suspicion.findings(own, references)))
    return items


def results_of(existing: Existing, items: Sequence[EvaluationItem], seed: int = 0) -> list[Result]:
    """The numbers that ``items`` come to."""
    definition = find(existing.benchmark)
    models = dict.fromkeys(item.model for item in items)
    sampled = [(definition.name, model) for model in models] if existing.facts.get("sample") else []
    found = list(summary.aggregate(items, sampled, seed))
    return found + (definition.more(existing, items, seed) if definition.more else [])


def find(name: str) -> Benchmark:
    """The benchmark of this name. Raises :class:`ConfigError` naming those there are."""
    definition = registry.named(name)
    if definition is None:
        raise ConfigError(f"no benchmark {name}: there are {', '.join(BENCHMARKS)}")
    return definition
