"""From items to numbers: one result for each benchmark, model and metric; paired comparisons on the same items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from autoif.errors import DataError
from autoif.records import Comparison, EvaluationItem, Result
from evaluation import registry, statistics


@dataclass(slots=True)
class Scores:
    """One metric of one model: by item id, the sum over its parts and their number."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    judges: set[str] = field(default_factory=set)
    seen: set[tuple[str, int]] = field(default_factory=set)

    @property
    def binary(self) -> bool:
        """Whether every item has one part that is 0 or 1."""
        return set(self.counts.values()) <= {1} and set(self.sums.values()) <= {0.0, 1.0}


Table = dict[tuple[str, str], dict[str, Scores]]
"""(benchmark, metric) → model → scores, all in order of appearance."""


def collect(items: Iterable[EvaluationItem]) -> Table:
    """Gather scores; answers are not held. An item's answers under several seeds are parts of it.

    Raises :class:`DataError` when an item comes twice for one model and seed.
    """
    table: Table = {}
    for item in items:
        parts = {**{metric: (value,) for metric, value in item.scores.items()}, **item.parts}
        for metric, values in parts.items():
            scores = table.setdefault((item.benchmark, metric), {}).setdefault(item.model, Scores())
            if (item.id, item.seed) in scores.seen:
                raise DataError(f"{item.benchmark}: item {item.id} of {item.model} is there twice")
            scores.seen.add((item.id, item.seed))
            if item.judge:
                scores.judges.add(item.judge)
            if values:
                scores.sums[item.id] = scores.sums.get(item.id, 0.0) + sum(values)
                scores.counts[item.id] = scores.counts.get(item.id, 0) + len(values)
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


def aggregate(
    items: Sequence[EvaluationItem], sampled: Iterable[tuple[str, str]] = (), seed: int = 0
) -> Iterator[Result]:
    """Results of every benchmark and model among ``items``: the benchmark's own aggregation, else :func:`results`;
    where answers were drawn with several seeds, the mean over them."""
    by_benchmark: dict[str, dict[int, list[EvaluationItem]]] = {}
    for item in items:
        by_benchmark.setdefault(item.benchmark, {}).setdefault(item.seed, []).append(item)
    partial = set(sampled)
    for benchmark, by_seed in by_benchmark.items():
        found: dict[tuple[str, str], list[Result]] = {}
        for own in by_seed.values():
            for result in _of_one_seed(benchmark, own, partial, seed):
                found.setdefault((result.metric, result.model), []).append(result)
        yield from map(over_seeds, found.values())


def _of_one_seed(
    benchmark: str, items: Sequence[EvaluationItem], partial: set[tuple[str, str]], seed: int
) -> Iterator[Result]:
    definition = registry.named(benchmark)
    if definition is None or definition.aggregate is None:
        yield from results(collect(items), partial, seed)
        return
    for model in dict.fromkeys(item.model for item in items):
        yield from definition.aggregate([item for item in items if item.model == model], seed)


def over_seeds(found: Sequence[Result]) -> Result:
    """The mean of one metric's results under several seeds; a single result as it is."""
    if len(found) == 1:
        return found[0]
    mean, deviation = statistics.mean_and_sd([result.value for result in found])
    lows, highs = [r.low for r in found if r.low is not None], [r.high for r in found if r.high is not None]
    return msgspec.structs.replace(
        found[0],
        value=mean,
        low=sum(lows) / len(lows) if lows else None,
        high=sum(highs) / len(highs) if highs else None,
        sd=deviation,
        by_seed=tuple(result.value for result in found),
    )


def dated(result: Result, days: Sequence[str]) -> Result:
    """``result`` with the days of judging beside the judge's name."""
    if not days or result.judge is None:
        return result
    first, last = min(days), max(days)
    return msgspec.structs.replace(result, judge=f"{result.judge}, {first if first == last else f'{first} to {last}'}")


def agreements(benchmark: str, model: str, facts: Iterable[Mapping[str, Any]]) -> Iterator[Result]:
    """How far two judges agree, from what the manifests of judged stages say."""
    for fact in facts:
        if found := fact.get("agreement"):
            judge = f"{fact['judge']} and {found['with']}, {fact['judged_on']}"
            for metric, value in (("judge_agreement", found["share"]), ("judge_kappa", found["kappa"])):
                yield Result(benchmark=benchmark, metric=metric, value=value, n=found["n"], model=model, judge=judge)


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
