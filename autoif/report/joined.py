"""A table of the paper joined with what was measured: by fingerprints of its points' stages, never by a file's name.

Every point of an experiment is a configuration; the graph that follows from it says which entry of the store would
hold its results. What is there is ours; what is not is missing, with the command that makes it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from autoif.config import RunConfig
from autoif.errors import AutoifError
from autoif.pipeline import build
from autoif.records import Comparison, EvaluationItem, Result
from autoif.report import paper
from autoif.report.counts import Counts
from autoif.report.paper import Column, PaperTable
from autoif.report.summary import unpaired
from autoif.report.table_data import Cell, Row, Shift, Table
from autoif.store import Entry, Store

HELDOUT = "heldout_followed"
"""The column that the paper has no counterpart of; it joins a table wherever it was measured."""


@dataclass(slots=True)
class _Run:
    """What one point left in the store. ``subjects``: measured model → the paper's row that it makes.

    ``counted``: the counts that make up a table without any measured column.
    """

    config: RunConfig
    counts: Counts
    subjects: dict[str, str] = field(default_factory=dict)
    counted: tuple[str, ...] = ()
    results: dict[tuple[str, str, str], Result] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    items: list[Entry] = field(default_factory=list)
    fingerprint: str = ""

    def done(self, subject: str) -> bool:
        """Whether ``subject`` was measured, or counted where the table only counts."""
        if self.counted:
            return any(self.counts[name, subject] is not None for name in self.counted)
        return any(model == subject for model, _, _ in self.results)


def join(
    name: str, table: str, configs: Sequence[RunConfig], command: str, same: Mapping[str, str] | None = None
) -> Table:
    """The table called ``table`` of the paper over the points ``configs``.

    ``command``: what is typed to run the experiment; a missing point's adds which one. ``same``: names of points that
    are another one's run → that one's name; their rows say so and hold nothing.

    Raises:
        ConfigError: when the paper has no such table, or a point makes a row that it does not have.
    """
    stated = paper.table(table)
    runs = [_read(config, stated) for config in configs]
    columns = [paper.column(c) for c in stated.columns]
    heldout = paper.column(HELDOUT)
    measured = {benchmark for run in runs for _, benchmark, _ in run.results}
    if heldout.benchmark in measured and HELDOUT not in stated.columns:
        columns.append(heldout)
    made = {row: [(run, s) for run in runs for s, r in run.subjects.items() if r == row] for row in stated.rows}
    twins = {row: _twin(sources, same or {}) for row, sources in made.items()}
    rows = tuple(_row(row, stated, columns, made, command, twins[row]) for row in stated.rows)
    return Table(
        name=name,
        paper=table,
        title=stated.title,
        columns=tuple(columns),
        rows=rows,
        about=stated.about,
        scale=next((c.experiment.scale for c in configs if c.experiment.scale), "") or "",
        models=tuple(dict.fromkeys(config.model.name for config in configs)),
        seeds=tuple(sorted({config.seed for config in configs})),
        figure=stated.figure,
    )


def _read(config: RunConfig, stated: PaperTable) -> _Run:
    """Results, comparisons and answers of one point, where they are done."""
    store = Store(Path(config.paths.store))
    stages = build(config)
    counts = [paper.column(name).count for name in stated.columns]
    run = _Run(config, Counts(config, stages, store), counted=tuple(counts) if all(counts) else ())
    point = config.experiment.point or ""
    for stage in stages:
        entry = stage.entry(store)
        if stage.record is EvaluationItem:
            run.items.append(entry)
        if stage.name in ("results", "contamination"):
            run.fingerprint = entry.fingerprint
        if stage.name == "results":
            if entry.done:
                run.results = {(r.model, r.benchmark, r.metric): r for r in entry.records(Result)}
        elif stage.name == "comparisons" and entry.done:
            run.comparisons = list(entry.records(Comparison))
    last = list(run.results)[-1][0] if run.results else "last"
    run.subjects = dict(config.experiment.points[point].rows) or {last: point}
    if unknown := set(run.subjects.values()) - set(stated.rows):
        raise AutoifError(f"{stated.title} has no row {', '.join(sorted(unknown))}: see experiments/paper/tables.yaml")
    return run


def _row(
    name: str,
    stated: PaperTable,
    columns: Sequence[Column],
    made: Mapping[str, Sequence[tuple[_Run, str]]],
    command: str,
    twin: str,
) -> Row:
    row, sources = stated.rows[name], [] if twin else made[name]
    done = _by_seed(sources)
    missing = [run for run, subject in sources if not run.done(subject) and run.config.seed not in done]
    cells = []
    for column in columns:
        known = column.name in stated.columns
        cells.append(
            _cell(
                column,
                done,
                _by_seed(made.get(row.base, ())),
                stated.value(name, column.name) if known else None,
                stated.shift(name, column.name) if known else None,
            )
        )
    state = "same" if twin else "not_run" if not sources else "missing" if not done else "partly" if missing else "done"
    return Row(
        name=name,
        label=row.label,
        state=state,
        cells=tuple(cells),
        group=row.group,
        base=row.base,
        note=f"at this scale the same run as {twin}" if twin else row.note,
        x=row.x,
        runs=tuple(run.config.name for run, _ in done.values()),
        fingerprints=tuple(run.fingerprint for run, _ in done.values()),
        commands=tuple(dict.fromkeys(_command(command, run.config) for run in missing)),
    )


def _twin(sources: Sequence[tuple[_Run, str]], same: Mapping[str, str]) -> str:
    """The point that all of a row's points repeat; empty where one is a run of its own."""
    names = [same.get(run.config.name, "") for run, _ in sources]
    return names[0].rpartition("/")[2] if names and all(names) else ""


def _by_seed(sources: Sequence[tuple[_Run, str]]) -> dict[int, tuple[_Run, str]]:
    """The first finished run of each seed: several points may measure the same model, a base for one."""
    found: dict[int, tuple[_Run, str]] = {}
    for run, subject in sources:
        if run.done(subject):
            found.setdefault(run.config.seed, (run, subject))
    return found


def _command(command: str, config: RunConfig) -> str:
    seed = f" seed={config.seed}" if config.seed else ""
    return f"{command} experiment.point={config.experiment.point}{seed}"


def _cell(
    column: Column,
    done: Mapping[int, tuple[_Run, str]],
    base: Mapping[int, tuple[_Run, str]],
    stated: float | None,
    stated_shift: float | None,
) -> Cell:
    values = {seed: v for seed, (run, subject) in done.items() if (v := _value(column, run, subject)) is not None}
    shift = _shift(column, values, done, base) if base else None
    results = [r for run, subject in done.values() if (r := run.results.get((subject, *_metric(column))))]
    only = results[0] if len(results) == 1 else None
    factor = _factor(column)
    return Cell(
        values=tuple(values.values()),
        low=None if only is None or only.low is None else factor * only.low,
        high=None if only is None or only.high is None else factor * only.high,
        n=max((result.n for result in results), default=0),
        sample=any(result.sample for result in results),
        shift=shift,
        paper=stated,
        paper_shift=stated_shift,
    )


def _metric(column: Column) -> tuple[str, str]:
    return column.benchmark, column.metric


def _factor(column: Column) -> float:
    return 100.0 if column.unit == "percent" else 1.0


def _value(column: Column, run: _Run, subject: str) -> float | None:
    if column.count:
        return run.counts[column.count, subject]
    result = run.results.get((subject, *_metric(column)))
    return None if result is None else _factor(column) * result.value


def _shift(
    column: Column,
    values: Mapping[int, float],
    done: Mapping[int, tuple[_Run, str]],
    base: Mapping[int, tuple[_Run, str]],
) -> Shift | None:
    """Difference to the base, seed by seed; of one seed its interval too, from the same items where both have them."""
    changes = {}
    for seed, value in values.items():
        before = _value(column, *base[seed]) if seed in base else None
        if before is not None:
            changes[seed] = value - before
    if not changes:
        return None
    mean = statistics.fmean(changes.values())
    if len(changes) > 1:
        spread = statistics.stdev(changes.values())
        return Shift(mean, mean - spread, mean + spread, "seeds")
    (seed,) = changes
    return _interval(column, done[seed], base[seed]) or Shift(mean)


def _interval(column: Column, row: tuple[_Run, str], base: tuple[_Run, str]) -> Shift | None:
    (run, subject), (other, before) = row, base
    if column.count:
        return None
    paired = next(_paired(column, run, subject, other, before), None)
    factor = _factor(column)
    if paired is not None:
        return Shift(factor * paired.difference, factor * paired.low, factor * paired.high, "paired")
    new, old = run.results[(subject, *_metric(column))], other.results[(before, *_metric(column))]
    if None in (new.low, new.high, old.low, old.high):
        return None
    change = unpaired(old, new)
    return Shift(factor * change.value, factor * change.low, factor * change.high, "unpaired")


def _paired(column: Column, run: _Run, subject: str, other: _Run, before: str) -> Iterator[Comparison]:
    """The comparison on the same items: of one run as it stands in the store, of two runs from their answers."""
    if run is other:
        for found in run.comparisons:
            if (found.benchmark, found.metric, found.baseline, found.candidate) == (*_metric(column), before, subject):
                yield found
        return
    from evaluation import summary

    def answers(of: _Run, model: str, named: str) -> Iterator[EvaluationItem]:
        for entry in of.items:
            if entry.done:
                for item in entry.records(EvaluationItem):
                    if item.model == model and item.benchmark == column.benchmark:
                        yield msgspec.structs.replace(item, model=named)

    both = [*answers(other, before, "before"), *answers(run, subject, "after")]
    ids = [{item.id for item in both if item.model == name} for name in ("before", "after")]
    if ids[0] and ids[0] == ids[1]:
        yield from (c for c in summary.comparisons(summary.collect(both)) if c.metric == column.metric)
