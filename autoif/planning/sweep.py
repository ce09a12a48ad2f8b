"""The plan of a whole sweep: each stage counted once, for the first point that needs it, however many share it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoif.config import RunConfig
from autoif.errors import AutoifError
from autoif.pipeline import build
from autoif.planning.generation import generation
from autoif.planning.stages import PlanRow, plan
from autoif.planning.text import grid, hours, short
from autoif.planning.training import TrainingRow, training_rows
from autoif.requirements import requirements
from autoif.stage import Stage
from autoif.store import Store


@dataclass(slots=True)
class Work:
    """What is to be done: upper bounds. ``training`` and ``generating`` are device-hours."""

    stages: int = 0
    calls: int = 0
    tokens: int = 0
    executions: int = 0
    cost: float = 0.0
    training: float = 0.0
    generating: float = 0.0

    def add(self, other: Work) -> None:
        """Add ``other`` to this."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def device_hours(self) -> float:
        """All of them."""
        return self.training + self.generating


@dataclass(slots=True)
class PointPlan:
    """One point: its own work (stages that no earlier point makes), all its work were it alone, and what is wrong."""

    name: str
    hardware: str
    stages: int = 0
    done: int = 0
    shared: int = 0
    own: Work = field(default_factory=Work)
    alone: Work = field(default_factory=Work)
    training: list[TrainingRow] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    error: str = ""


def plan_sweep(configs: Sequence[RunConfig]) -> list[PointPlan]:
    """A plan for each point, in their order. Computes nothing."""
    made: set[tuple[str, str, str]] = set()
    return [_point(config, made) for config in configs]


def _point(config: RunConfig, made: set[tuple[str, str, str]]) -> PointPlan:
    point = PointPlan(config.name, config.hardware.name)
    store = Store(Path(config.paths.store))
    try:
        stages = build(config)
        rows = plan(stages, store)
    except AutoifError as error:
        point.error = str(error)
        return point
    point.training = training_rows(config, stages, rows, store)
    hours_of = {row.title: row.gpu_hours or 0.0 for row in point.training}
    missing = set()
    for stage, row in zip(stages, rows, strict=True):
        point.stages += 1
        if row.done:
            point.done += 1
            continue
        missing |= set(stage.engines)
        work = _work(config, stage, row, hours_of.get(row.title, 0.0))
        point.alone.add(work)
        key = (config.paths.store, stage.name, stage.entry(store).fingerprint)
        if key in made:
            point.shared += 1
        else:
            made.add(key)
            point.own.add(work)
    if point.alone.stages:
        point.needs = [need.text for need in requirements(config) if not need.engine or need.engine in missing]
    return point


def _work(config: RunConfig, stage: Stage, row: PlanRow, training: float) -> Work:
    load = generation(config, stage, row)
    work = Work(stages=1, calls=row.model_calls, executions=row.executions, training=training)
    if load:
        work.tokens = load.input_tokens + load.output_tokens
        work.cost, work.generating = load.cost, load.device_hours
    return work


def render_sweep(name: str, points: Sequence[PointPlan]) -> str:
    """The sweep as a table: shared stages with the first point that needs them, totals, then what is missing."""
    header = ("point", "hardware", "to run", "shared", "done", "model calls", "tokens", "cost", "device-hours")
    total, alone = Work(), Work()
    for point in points:
        total.add(point.own)
        alone.add(point.alone)
    prefix = f"{name}/"
    rows = [_cells(point, point.name.removeprefix(prefix)) for point in points]
    last = ("all, each stage once", "", f"{total.stages}", "", "", *_amounts(total))
    parts = [f"Plan of {name}: {len(points)} points (upper bounds)", grid(header, rows, last, left=2)]
    return "\n\n".join([*parts, "\n".join(_notes(points, total, alone))])


def _cells(point: PointPlan, label: str) -> tuple[str, ...]:
    if point.error:
        return label, point.hardware, "?"
    return label, point.hardware, f"{point.own.stages}", f"{point.shared}", f"{point.done}", *_amounts(point.own)


def _amounts(work: Work) -> tuple[str, ...]:
    amounts = (short(value) if value else "–" for value in (work.calls, work.tokens, work.cost))
    return (*amounts, hours(work.device_hours) if work.device_hours else "–")


def _notes(points: Sequence[PointPlan], total: Work, alone: Work) -> Iterator[str]:
    if total.stages < alone.stages:
        yield (
            f"Without sharing: {alone.stages} stages, {short(alone.calls)} model calls, {short(alone.tokens)} tokens, "
            f"{hours(alone.device_hours)} of devices."
        )
    by_hardware: dict[str, Work] = {}
    for point in points:
        by_hardware.setdefault(point.hardware, Work()).add(point.own)
    for hardware, work in by_hardware.items():
        if work.device_hours:
            yield (
                f"{hardware}: {hours(work.training)} of devices for training, {hours(work.generating)} for generation."
            )
    yield f"Executions of functions: {short(total.executions)}." if total.executions else "No executions."
    yield from _troubles(points)


def _troubles(points: Sequence[PointPlan]) -> Iterator[str]:
    """What does not fit, cannot be planned or is missing, each once with how many points it concerns."""
    for point in points:
        if point.error:
            yield f"{point.name} cannot be planned: {point.error}"
        for row in point.training:
            if row.fits is False and row.memory:
                yield f"{point.name}: {row.title} needs {row.memory.total:.0f} GB a device: it fits with {row.change}"
    needs: dict[str, int] = {}
    for point in points:
        for need in point.needs:
            needs[need] = needs.get(need, 0) + 1
    if needs:
        yield "\nNeeded before it can run:"
        for need, count in needs.items():
            yield f"  {need}" + (f" ({count} of {len(points)} points)" if count < len(points) else "")
