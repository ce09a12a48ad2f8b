"""From items to numbers: one result for each benchmark, model and metric; paired comparisons on the same items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from autoif.errors import DataError
from autoif.records import Comparison, EvaluationItem, Result
from evaluation import statistics


@dataclass(slots=True)
class Scores:
    """One metric of one model: by item id, the sum over its parts and their number."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    judges: set[str] = field(default_factory=set)

    @property
    def binary(self) -> bool:
        """Whether every item has one part that is 0 or 1."""
        return set(self.counts.values()) <= {1} and set(self.sums.values()) <= {0.0, 1.0}


Table = dict[tuple[str, str], dict[str, Scores]]
"""(benchmark, metric) → model → scores, all in order of appearance."""


def collect(items: Iterable[EvaluationItem]) -> Table:
    """Gather scores; answers are not held. Raises :class:`DataError` when an item comes twice for one model."""
    table: Table = {}
    for item in items:
        parts = {**{metric: (value,) for metric, value in item.scores.items()}, **item.parts}
        for metric, values in parts.items():
            scores = table.setdefault((item.benchmark, metric), {}).setdefault(item.model, Scores())
            if item.id in scores.sums:
                raise DataError(f"{item.benchmark}: item {item.id} of {item.model} is there twice")
            if item.judge:
                scores.judges.add(item.judge)
            if values:
                scores.sums[item.id], scores.counts[item.id] = sum(values), len(values)
    return table


def results(table: Table, sampled: Iterable[tuple[str, str]] = (), seed: int = 0) -> Iterator[Result]:
    """A value with its 95% interval for each metric and model: Wilson where all items are 0 or 1, else bootstrap.

    ``sampled``: the (benchmark, model) pairs of which only a part was run.
    """
    partial = set(sampled)
    for (benchmark, metric), models in table.items():
        # One kind of interval for all models of a metric, so that they can be read side by side.
        binary = all(scores.binary for scores in models.values())
        for model, scores in models.items():
            if not scores.sums:
                continue
            if binary:
                estimate = statistics.wilson(round(sum(scores.sums.values())), len(scores.sums))
            else:
                estimate = statistics.bootstrap(list(scores.sums.values()), list(scores.counts.values()), seed)
            yield Result(
                benchmark=benchmark,
                metric=metric,
                value=estimate.value,
                n=estimate.n,
                low=estimate.low,
                high=estimate.high,
                model=model,
                seed=seed,
                judge=", ".join(sorted(scores.judges)) or None,
                sample=(benchmark, model) in partial,
            )


def comparisons(table: Table, seed: int = 0) -> Iterator[Comparison]:
    """Every later model against the first, on the items that both answered."""
    for (benchmark, metric), models in table.items():
        (baseline, old), *others = models.items()
        for candidate, new in others:
            shared = [id for id in old.sums if id in new.sums and old.counts[id] == new.counts[id]]
            if not shared:
                continue
            before, after = [old.sums[id] for id in shared], [new.sums[id] for id in shared]
            if old.binary and new.binary:
                found = statistics.paired_proportions(list(map(bool, before)), list(map(bool, after)))
            else:
                found = statistics.paired_bootstrap(before, after, [old.counts[id] for id in shared], seed)
            yield Comparison(
                benchmark=benchmark,
                metric=metric,
                baseline=baseline,
                candidate=candidate,
                difference=found.value,
                low=found.low,
                high=found.high,
                p_value=found.p_value,
                test=found.test,
                n=found.n,
                gained=tuple(id for id, a, b in zip(shared, before, after, strict=True) if b > a),
                lost=tuple(id for id, a, b in zip(shared, before, after, strict=True) if b < a),
            )
