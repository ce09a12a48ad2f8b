"""Everything a report says, read from the store once: manifests, counts, curves, results, chosen rows.

Rows stream; what stays in memory is bounded by the number of stages, never by the number of rows (evaluation items
keep their scores only).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec

from autoif.config import RunConfig
from autoif.errors import AutoifError
from autoif.records import Comparison, Contamination, EvaluationItem, Result, TrainStep
from autoif.report.select import Samples, Tally, samples, spread
from autoif.stage import Stage
from autoif.store import Entry, Manifest, Store

POINTS = 400
"""Points of one curve; longer trainings are averaged in buckets of equal length."""
SIDE_BY_SIDE = 10
"""Answers shown base against trained."""


class StepRow(msgspec.Struct):
    """What the report draws of one optimizer step. ``loss`` is None where it was not finite."""

    step: int
    epoch: float = 0.0
    loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens: int = 0
    metrics: dict[str, float | None] = {}

    def values(self) -> dict[str, float | None]:
        """All that can be drawn, by name, in the order it is shown."""
        return {"loss": self.loss, **self.metrics, "grad_norm": self.grad_norm, "learning_rate": self.learning_rate}


@dataclass(slots=True)
class StageView:
    """One stage as the report sees it. ``manifest``: None when it is not done; ``problem``: why it is unreadable."""

    name: str
    title: str
    fingerprint: str
    inputs: tuple[str, ...] = ()
    manifest: Manifest | None = None
    problem: str = ""
    samples: Samples = field(default_factory=Samples)
    tally: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class Training:
    """A training stage's steps, averaged to at most :data:`POINTS` rows. ``steps``: optimizer steps in all.

    ``facts``: what the training process measured (speed, memory, precision).
    """

    title: str
    method: str
    steps: int
    rows: list[StepRow]
    tokens: int
    seconds: float
    facts: dict[str, Any]


@dataclass(slots=True)
class Pairing:
    """Base and trained on the same items of a benchmark, by whether ``metric`` was fully met.

    ``counts``: (base, trained) → items. ``shown``: base and trained item of each chosen prompt; ``drawn``: of as many
    drawn at random, the same every time.
    """

    benchmark: str
    metric: str
    models: tuple[str, str]
    counts: dict[tuple[bool, bool], int]
    shown: list[tuple[EvaluationItem, EvaluationItem]]
    drawn: list[tuple[EvaluationItem, EvaluationItem]] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """A run as far as it got."""

    config: RunConfig
    stages: list[StageView]
    results: list[Result] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)
    pairings: list[Pairing] = field(default_factory=list)
    contaminations: list[Contamination] = field(default_factory=list)

    @property
    def missing(self) -> list[StageView]:
        """Stages that are not done or cannot be read."""
        return [stage for stage in self.stages if stage.manifest is None or stage.problem]

    def stage(self, name: str) -> StageView | None:
        """The last finished stage of that name."""
        return next((s for s in reversed(self.stages) if s.name == name and s.manifest), None)


def collect(config: RunConfig, stages: Sequence[Stage], store: Store) -> Report:
    """Read what ``stages`` left in ``store``. A stage that is missing or damaged is noted, never an error."""
    report = Report(config, [])
    items: list[Entry] = []
    for stage in stages:
        entry = stage.entry(store)
        view = StageView(stage.name, stage.title, entry.fingerprint, tuple(s.title for s in stage.inputs))
        report.stages.append(view)
        try:
            view.manifest = entry.manifest()
            if view.manifest is not None:
                _read(report, view, view.manifest, stage, entry)
                if stage.record is EvaluationItem:
                    items.append(entry)
        except (AutoifError, msgspec.DecodeError, OSError) as error:
            view.problem = str(error)
    report.pairings = list(_pairings(items, report))
    return report


def _read(report: Report, view: StageView, manifest: Manifest, stage: Stage, entry: Entry) -> None:
    if stage.record is Result or stage.record is Comparison or stage.name == "results":
        for row in _raw_rows(entry):
            if "baseline" in msgspec.json.decode(row):
                report.comparisons.append(msgspec.json.decode(row, type=Comparison))
            else:
                report.results.append(msgspec.json.decode(row, type=Result))
    elif stage.record is TrainStep:
        rows = list(averaged(_steps(entry), manifest.kept, POINTS))
        last = rows[-1].step if rows else 0
        tokens = sum(row.tokens for row in _steps(entry))
        method = stage.name.removeprefix("train_").upper()
        report.trainings.append(Training(stage.title, method, last, rows, tokens, manifest.seconds, manifest.facts))
    elif stage.record is Contamination:
        report.contaminations += entry.records(Contamination)
    elif stage.record is not EvaluationItem:
        view.samples, view.tally = samples(entry, manifest, stage.record)


def _raw_rows(entry: Entry) -> Iterator[bytes]:
    with entry.records_path.open("rb") as file:
        yield from (row for row in file if row.strip())


def _steps(entry: Entry) -> Iterator[StepRow]:
    decoder = msgspec.json.Decoder(StepRow)
    return (decoder.decode(row) for row in _raw_rows(entry))


def averaged(rows: Iterable[StepRow], total: int, points: int) -> Iterator[StepRow]:
    """``rows`` in at most ``points`` buckets: the last step of each, its values averaged over the finite ones."""
    size = max(1, math.ceil(total / points))
    source = iter(rows)
    while bucket := list(islice(source, size)):
        if size == 1:
            yield bucket[0]
            continue
        values = [row.values() for row in bucket]
        mean = {name: _mean(value.get(name) for value in values) for name in values[-1]}
        yield StepRow(
            step=bucket[-1].step,
            epoch=bucket[-1].epoch,
            loss=mean.pop("loss"),
            grad_norm=mean.pop("grad_norm"),
            learning_rate=mean.pop("learning_rate"),
            tokens=sum(row.tokens for row in bucket),
            metrics=mean,
        )


def _mean(values: Iterable[float | None]) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None


def models(results: Iterable[Result], comparisons: Iterable[Comparison]) -> list[str]:
    """Names of the measured models, the base first, the others as they appear."""
    names = dict.fromkeys(result.model for result in results)
    baselines = {comparison.baseline for comparison in comparisons} | {"base"}
    return sorted(names, key=lambda name: name not in baselines)


def _pairings(entries: Sequence[Entry], report: Report) -> Iterator[Pairing]:
    """For each benchmark with items of two models: how they moved, and a few prompts of each kind of move."""
    order = models(report.results, report.comparisons)
    scores: dict[str, dict[str, dict[str, tuple[str, float]]]] = {}
    for item in _items(entries):
        metric = next(iter(item.scores), None)
        if metric is not None:
            scores.setdefault(item.benchmark, {}).setdefault(item.model, {})[item.id] = (metric, item.scores[metric])
    for benchmark, by_model in scores.items():
        names = sorted(by_model, key=lambda name: (order.index(name) if name in order else len(order), name != "base"))
        if len(names) < 2:
            continue
        base, trained = names[0], names[-1]
        moves: dict[tuple[bool, bool], list[str]] = {}
        for key, (_, before) in by_model[base].items():
            if key in by_model[trained]:
                moves.setdefault((before >= 1, by_model[trained][key][1] >= 1), []).append(key)
        chosen = _chosen(moves)
        both = sorted(key for keys in moves.values() for key in keys)
        drawn = random.Random(f"{benchmark}:{len(both)}").sample(both, min(SIDE_BY_SIDE, len(both)))
        found: dict[str, dict[str, EvaluationItem]] = {key: {} for key in (*chosen, *drawn)}
        for item in _items(entries):
            if item.benchmark == benchmark and item.id in found:
                found[item.id][item.model] = item
        yield Pairing(
            benchmark=benchmark,
            metric=next(iter(by_model[base].values()))[0],
            models=(base, trained),
            counts={move: len(keys) for move, keys in moves.items()},
            shown=[(found[key][base], found[key][trained]) for key in chosen],
            drawn=[(found[key][base], found[key][trained]) for key in drawn],
        )


def _chosen(moves: dict[tuple[bool, bool], list[str]]) -> list[str]:
    """Ids of at most :data:`SIDE_BY_SIDE` items: each kind of move in turn while it lasts, gains and losses first."""
    kinds = [(False, True), (True, False), (True, True), (False, False)]
    queues = [[moves[kind][i] for i in spread(len(moves[kind]), SIDE_BY_SIDE)] for kind in kinds if kind in moves]
    share = [0] * len(queues)
    while sum(share) < min(SIDE_BY_SIDE, sum(map(len, queues))):
        for i, queue in enumerate(queues):
            if share[i] < len(queue) and sum(share) < SIDE_BY_SIDE:
                share[i] += 1
    return [queue[j] for queue, n in zip(queues, share, strict=True) for j in spread(len(queue), n)]


def _items(entries: Sequence[Entry]) -> Iterator[EvaluationItem]:
    for entry in entries:
        yield from entry.records(EvaluationItem)
