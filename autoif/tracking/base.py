"""What all trackers share: their protocol, and what they take from a stage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from autoif.config import RunConfig
from autoif.records import Comparison, Contamination, EvaluationItem, Result, TrainStep, digest
from autoif.stage import Stage, identity
from autoif.store import Entry, Manifest, canonical

MODES = ("online", "offline", "disabled")
"""Of W&B."""
SAMPLE_CHARS = 4000
"""Characters kept of a row in the samples table."""
MEASURED = (TrainStep, Result, Comparison, EvaluationItem, Contamination)
"""Records that are logged as numbers, not as samples."""
_ELSEWHERE = ("task", "hardware", "tracking", "paths", "name", "experiment", "launch", "runs", "budget")
"""Parts of a configuration that do not make another run of it."""

Logged = tuple[Stage, Manifest, Entry]
Table = tuple[tuple[str, ...], list[list[Any]]]
"""Column names, rows."""


class Tracker(Protocol):
    """What a run reports its stages to; use as a context manager."""

    def log_stage(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        """Log a finished stage: its counts, and its curve, results or samples. Called again, it does nothing."""
        ...

    def watch(self, stage: Stage, entry: Entry) -> AbstractContextManager[None]:
        """Follow ``stage`` while it runs inside the block: a training's curve, where the tracker can show it live."""
        ...

    def close(self, exit_code: int = 0) -> None:
        """Write what was gathered and end the run, which ended with ``exit_code``. May be called twice."""
        ...

    def __enter__(self) -> Tracker: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BaseTracker:
    """A tracker that does nothing, and closes itself."""

    def log_stage(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        """See :class:`Tracker`."""

    def watch(self, stage: Stage, entry: Entry) -> AbstractContextManager[None]:
        """See :class:`Tracker`."""
        return nullcontext()

    def close(self, exit_code: int = 0) -> None:
        """See :class:`Tracker`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(exit_code=0 if kind is None else 1)


def run_id(run: RunConfig) -> str:
    """A run id that is the same whenever the same experiment point is started: name and identity of its config."""
    parts = {name: value for name, value in identity(run).items() if name not in _ELSEWHERE}
    return f"{slug(run.name)[:40]}-{digest(run.name, canonical(parts), size=12)}"


def slug(text: str) -> str:
    """Letters, digits, dots, dashes and underscores only."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("_") or "run"


def curve(entry: Entry) -> Iterator[dict[str, float]]:
    """The steps of a training stage, metrics among their values."""
    return map(step_values, entry.records(TrainStep))


def step_values(row: TrainStep) -> dict[str, float]:
    """A step's values, its metrics among them."""
    values: dict[str, float] = msgspec.structs.asdict(row)
    del values["metrics"]
    return values | row.metrics


def result_values(entry: Entry) -> Iterator[tuple[str, float | int | bool | None]]:
    """``results/<benchmark>/<metric>/<model>`` → value, and below it what qualifies it."""
    for row in entry.records(Result):
        key = f"results/{row.benchmark}/{row.metric}/{row.model or 'model'}"
        yield key, row.value
        for name in ("n", "low", "high", "sample"):
            yield f"{key}/{name}", getattr(row, name)


def comparison_values(entry: Entry) -> Iterator[tuple[str, float | int]]:
    """``difference/<benchmark>/<metric>/<model>`` → difference to the base, and below it what qualifies it."""
    for row in entry.records(Comparison):
        key = f"difference/{row.benchmark}/{row.metric}/{row.candidate}"
        yield key, row.difference
        for name in ("low", "high", "p_value", "n"):
            yield f"{key}/{name}", getattr(row, name)


def contamination_values(entry: Entry) -> Iterator[tuple[str, float | int]]:
    """``contamination/<benchmark>/<training set>/<count>`` → test prompts counted so."""
    for row in entry.records(Contamination):
        for name in ("test", "overlapping", "contaminated", "rephrased"):
            if (value := getattr(row, name)) is not None:
                yield f"contamination/{row.benchmark}/{row.data}/{name}", value


def measured_values(stage: Stage, entry: Entry) -> dict[str, Any]:
    """What a measuring stage found, by key; nothing for other stages."""
    readers = {Result: result_values, Comparison: comparison_values, Contamination: contamination_values}
    reader = readers.get(stage.record)  # type: ignore[call-overload]
    return dict(reader(entry)) if reader else {}


def tables(stages: Iterable[Logged], samples: bool = True) -> dict[str, Table]:
    """Name → table: the funnel, its reasons, and (with ``samples``) the rows that a report shows."""
    funnel: list[list[Any]] = []
    reasons: list[list[Any]] = []
    rows: list[list[Any]] = []
    for stage, manifest, entry in stages:
        rejected = sum(manifest.rejected.values())
        counts = [manifest.inputs, manifest.kept, rejected, manifest.seconds, manifest.fingerprint]
        funnel.append([stage.title, *counts])
        reasons += [[stage.title, reason, count] for reason, count in manifest.rejected.items()]
        if samples and stage.record not in MEASURED:
            rows += _sample_rows(stage, manifest, entry)
    found: dict[str, Table] = {
        "funnel": (("stage", "in", "kept", "rejected", "seconds", "fingerprint"), funnel),
        "rejected": (("stage", "reason", "count"), reasons),
    }
    return found | ({"samples": (("stage", "reason", "record"), rows)} if samples else {})


def _sample_rows(stage: Stage, manifest: Manifest, entry: Entry) -> Iterator[list[str]]:
    """The rows a report shows, as JSON; the reason is empty for kept ones."""
    from autoif.report.select import samples

    shown, _ = samples(entry, manifest, stage.record)
    rows = [("", row) for row in shown.kept]
    rows += [(group.reason, row) for group in shown.rejected for row, _ in group.rows]
    for reason, row in rows:
        yield [stage.title, reason, msgspec.json.encode(row).decode()[:SAMPLE_CHARS]]
