"""``task=compare``: two models on the same items: paired tests, the items that flipped, by type of instruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from autoif.config import RunConfig
from autoif.errors import ConfigError, DataError
from autoif.records import Comparison, EvaluationItem, write_records
from autoif.store import StoreError
from evaluation import command, summary

SHOWN = 10
"""Flipped items that are printed of each kind; the file holds all."""


@dataclass(slots=True)
class Label:
    """A type of instruction or category under one metric: its parts, and how many each model got right."""

    n: int = 0
    before: float = 0.0
    after: float = 0.0
    gained: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def compare(config: RunConfig) -> None:
    """Pair the items of ``config.runs``, print the comparison, write it to ``<paths.runs>/<name>/comparison.jsonl``.

    Raises:
        ConfigError: unless two runs are named.
        DataError: when a run left no items, a model is not there, or the two have no item in common.
    """
    if len(config.runs) != 2:
        raise ConfigError(f"task=compare takes two runs, not {len(config.runs)}: runs=[first,second]")
    first, second = (items(config, run) for run in config.runs)
    names = config.runs if first[0].model == second[0].model else [first[0].model, second[0].model]
    found = comparisons(first, second, (names[0], names[1]), config.seed)
    if not found:
        raise DataError(f"{config.runs[0]} and {config.runs[1]} have no benchmark with items in common")
    for line in unpaired(first, second):
        print(f"note: {line}")
    print(render(found, first, second))
    path = Path(config.paths.runs, config.name, "comparison.jsonl")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_records(path, found)
    except OSError as error:
        raise StoreError(f"cannot write {path} ({error.strerror}): free space there or set paths.runs") from None
    print(f"\ncomparison: {path}")


def items(config: RunConfig, run: str) -> list[EvaluationItem]:
    """The items of ``name`` or ``name:model``; of several models the last, which training ends with."""
    name, _, model = run.partition(":")
    found = command.left(config, name)
    models = list(dict.fromkeys(item.model for item in found))
    chosen = model or (models[-1] if models else "")
    own = [item for item in found if item.model == chosen]
    if not own:
        raise DataError(f"run {name} has no items of {chosen or 'any model'}: there are some of {', '.join(models)}")
    return own


def comparisons(
    first: Sequence[EvaluationItem], second: Sequence[EvaluationItem], names: tuple[str, str], seed: int = 0
) -> list[Comparison]:
    """Second minus first on every metric of every benchmark that both have, on the items that both answered."""
    renamed = [
        msgspec.structs.replace(item, model=f"{place} {name}")
        for place, (name, own) in enumerate(zip(names, (first, second), strict=True))
        for item in own
    ]
    found = summary.comparisons(summary.collect(renamed), seed)
    return [msgspec.structs.replace(row, baseline=names[0], candidate=names[1]) for row in found]


def unpaired(first: Sequence[EvaluationItem], second: Sequence[EvaluationItem]) -> list[str]:
    """What keeps items out of the comparison, and what makes it doubtful: other prompts, other judges."""
    lines = []
    ours, theirs = ({(item.benchmark, item.id): item for item in own} for own in (first, second))
    for name, mine, other in (("first", ours, theirs), ("second", theirs, ours)):
        if alone := [key for key in mine if key not in other]:
            lines.append(f"{len(alone)} items of the {name} run alone are left out, {' '.join(alone[0])} among them")
    shared = [key for key in ours if key in theirs]
    if changed := [key for key in shared if ours[key].prompt != theirs[key].prompt]:
        lines.append(f"{len(changed)} items were asked in other words, {' '.join(changed[0])} among them")
    judges = {judge for own in (first, second) for item in own if (judge := item.judge)}
    if len(judges) > 1:
        lines.append(f"judged by different judges, so differences may be theirs: {', '.join(sorted(judges))}")
    return lines


def by_label(
    first: Sequence[EvaluationItem], second: Sequence[EvaluationItem], metric: str, benchmark: str
) -> dict[str, Label]:
    """Each instruction type (or category) under one metric, on the items that both answered, seed by seed."""
    old, new = _by_id(first, benchmark), _by_id(second, benchmark)
    found: dict[str, Label] = {}
    for id in (id for id in new if id in old):
        for before, after in zip(old[id], new[id], strict=False):
            if before.labels != after.labels:
                continue
            for label, a, b in _parts(before, after, metric):
                row = found.setdefault(label, Label())
                row.n, row.before, row.after = row.n + 1, row.before + a, row.after + b
                if a != b:
                    (row.gained if b > a else row.lost).append(id)
    return dict(sorted(found.items()))


def _by_id(items: Sequence[EvaluationItem], benchmark: str) -> dict[str, list[EvaluationItem]]:
    """An item's answers in the order of their seeds, whatever these are."""
    found: dict[str, list[EvaluationItem]] = {}
    for item in sorted((item for item in items if item.benchmark == benchmark), key=lambda item: item.seed):
        found.setdefault(item.id, []).append(item)
    return found


def _parts(before: EvaluationItem, after: EvaluationItem, metric: str) -> list[tuple[str, float, float]]:
    """(label, before, after) of every part with a label of its own, else of the item under each of its labels."""
    old, new = before.parts.get(metric), after.parts.get(metric)
    if old is not None and new is not None:
        if len(old) == len(new) == len(after.labels):
            return list(zip(after.labels, old, new, strict=True))
        if not old or not new:
            return []
        return [(label, sum(old) / len(old), sum(new) / len(new)) for label in after.labels[:1]]
    if metric in before.scores and metric in after.scores:
        return [(label, before.scores[metric], after.scores[metric]) for label in dict.fromkeys(after.labels)]
    return []


def render(found: Sequence[Comparison], first: Sequence[EvaluationItem], second: Sequence[EvaluationItem]) -> str:
    """The comparison as text."""
    lines: list[str] = []
    for benchmark in dict.fromkeys(row.benchmark for row in found):
        rows = [row for row in found if row.benchmark == benchmark]
        width = max(len(row.metric) for row in rows)
        lines += ["", f"{benchmark}: {rows[0].candidate} minus {rows[0].baseline}"]
        for row in rows:
            interval = f"{row.difference:+.4f}  [{row.low:+.4f}, {row.high:+.4f}]"
            flipped = f"gained {len(row.gained)}, lost {len(row.lost)}"
            lines.append(f"  {row.metric:<{width}}  {interval}  p={row.p_value:.4g} ({row.test})  n={row.n}  {flipped}")
        lead = rows[0]
        lines += [
            f"  {what} in {lead.metric}: {_some(ids)}" for what, ids in (("gained", lead.gained), ("lost", lead.lost))
        ]
        lines += _types(benchmark, rows, first, second)
    return "\n".join(lines[1:])


def _types(
    benchmark: str, rows: Sequence[Comparison], first: Sequence[EvaluationItem], second: Sequence[EvaluationItem]
) -> list[str]:
    """By type of instruction, under the first metric whose parts carry types, else under the first one."""
    per_part = {metric for item in second if item.benchmark == benchmark for metric, it in item.parts.items() if it}
    metric = next((row.metric for row in rows if row.metric in per_part), rows[0].metric)
    found = by_label(first, second, metric, benchmark)
    if not 1 < len(found) <= 100:  # one label says nothing, hundreds are no types
        return []
    width = max(map(len, found))
    lines = [f"  by type, {metric}:"]
    for label, row in found.items():
        change = (row.after - row.before) / row.n
        lines.append(
            f"    {label:<{width}}  {row.before / row.n:.3f} → {row.after / row.n:.3f}  {change:+.3f}  n={row.n}  "
            f"gained {len(row.gained)}, lost {len(row.lost)}"
        )
    return lines


def _some(ids: Sequence[str]) -> str:
    more = len(ids) - SHOWN
    return (", ".join(ids[:SHOWN]) or "none") + (f" and {more} more" if more > 0 else "")
