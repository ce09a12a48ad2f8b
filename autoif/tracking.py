"""Experiment tracking besides the store: off, or Weights & Biases. The only importer of ``wandb``.

A stage is logged once, after it finished, from its manifest and rows; so a resumed or repeated run adds what is new
and nothing twice. The W&B run is opened with the first such stage. Its id follows from the run's name and
configuration: starting again continues the same run. Curves carry their own step (``train_sft/step``), so they stay
right where an offline run is continued in a new folder at W&B's step 0.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from autoif.config import RunConfig, Tracking, TrackingConfig
from autoif.errors import ConfigError, MissingExtraError
from autoif.records import (
    AnswerGroup,
    Comparison,
    EvaluationItem,
    PreferencePair,
    Result,
    SftExample,
    TrainStep,
    digest,
)
from autoif.stage import Stage, identity
from autoif.store import Entry, Manifest, canonical, write_atomically

if TYPE_CHECKING:
    import wandb

MODES = ("online", "offline", "disabled")
KEY = "WANDB_API_KEY"
SAMPLE_CHARS = 4000
"""Characters kept of a row in the samples table."""
_ELSEWHERE = ("task", "hardware", "tracking", "paths", "name")
"""Parts of a configuration that do not make another run of it."""


class Tracker(Protocol):
    """What a run reports its stages to; use as a context manager."""

    def log_stage(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        """Log a finished stage: its counts, and its curve, results or samples. Called again, it does nothing."""
        ...

    def close(self) -> None:
        """Write what was gathered and end the run. May be called twice."""
        ...

    def __enter__(self) -> Tracker: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def tracker(config: TrackingConfig, run: RunConfig) -> Tracker:
    """The tracker that ``config`` asks for. Nothing is opened before the first stage is logged.

    Raises:
        ConfigError: for an unknown mode.
        MissingExtraError: when W&B is asked for and not installed.
    """
    match config.kind:
        case Tracking.off:
            return Off()
        case Tracking.wandb:
            return WandbTracker(config, run)


class Off:
    """Tracks nothing: the store and the report hold everything."""

    def log_stage(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Ledger:
    """Which stages a W&B run holds already, by fingerprint: a small file beside the report."""

    def __init__(self, path: Path, run: str) -> None:
        self.path, self.run = path, run
        try:
            known = msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]])
        except (OSError, msgspec.DecodeError):
            known = {}
        self.known = known
        self.logged = set(known.get(run, ()))

    def add(self, fingerprints: set[str]) -> None:
        """Note stages as logged, durably."""
        self.logged |= fingerprints
        self.known[self.run] = sorted(self.logged)
        write_atomically(self.path, msgspec.json.encode(self.known))


class WandbTracker:
    """Stages as a W&B run: config, curves, funnel and sample tables, results in the summary, datasets as artifacts."""

    def __init__(self, config: TrackingConfig, run: RunConfig) -> None:
        from autoif.report.files import run_folder

        try:
            import wandb
        except ImportError:
            raise MissingExtraError("wandb", "wandb") from None
        if config.mode not in MODES:
            raise ConfigError(f"tracking.mode={config.mode}: choose one of {', '.join(MODES)}")
        self._wandb, self._config, self._settings = wandb, run, config
        self.id = run_id(run)
        self.folder = run_folder(run)
        self._ledger = _Ledger(self.folder / "tracking.json", self.id)
        self._run: wandb.Run | None = None
        self._pending: set[str] = set()
        self._stages: list[tuple[Stage, Manifest, Entry]] = []

    def log_stage(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        """See :class:`Tracker`."""
        self._stages.append((stage, manifest, entry))
        if manifest.fingerprint in self._ledger.logged | self._pending:
            return
        run = self._opened()
        key = slug(stage.title)
        run.summary.update({f"funnel/{key}/kept": manifest.kept, f"seconds/{key}": manifest.seconds})
        if stage.record is TrainStep:
            _log_curve(run, key, entry)
            self._log_artifact(stage, manifest, entry)
        elif stage.record in (SftExample, PreferencePair, AnswerGroup):
            self._log_artifact(stage, manifest, entry)
        elif stage.record is Result:
            run.summary.update(dict(_result_values(entry)))
        elif stage.record is Comparison:
            run.summary.update(dict(_comparison_values(entry)))
        self._pending.add(manifest.fingerprint)

    def close(self, exit_code: int = 0) -> None:
        """See :class:`Tracker`. Tables are logged whole, earlier stages included; ``exit_code`` is the run's."""
        if self._run is None:
            return
        tables = _tables(self._stages)
        self._run.log({name: self._wandb.Table(list(columns), rows) for name, (columns, rows) in tables.items()})
        self._run.finish(exit_code)
        self._run = None
        if self._settings.mode != "disabled":
            self._ledger.add(self._pending)
        self._pending = set()

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(exit_code=0 if kind is None else 1)

    def _opened(self) -> wandb.Run:
        if self._run is None:
            mode = self._settings.mode
            if mode == "online" and not os.environ.get(KEY):
                _say(f"{KEY} is not set: tracking offline in {self.folder}/wandb (send it later with: wandb sync)")
                mode = "offline"
            try:
                self._run = self._init(mode)
            except (self._wandb.Error, OSError) as error:
                if mode != "online":
                    raise
                _say(f"W&B cannot be reached ({str(error).splitlines()[0]}): tracking offline in {self.folder}/wandb")
                self._run = self._init("offline")
        return self._run

    def _init(self, mode: str) -> wandb.Run:
        from autoif.report.provenance import plain

        run = self._config
        settings = self._wandb.Settings(console="off", silent=True, x_disable_stats=True, init_timeout=30)
        return self._wandb.init(
            project=self._settings.project,
            entity=self._settings.entity,
            id=self.id,
            name=run.name,
            group=run.name.partition("/")[0],
            job_type=run.algorithm.name,
            tags=[run.setting.kind.value, run.model.name, run.algorithm.name],
            config=plain(run),
            dir=str(self.folder),
            mode=cast(Any, mode),
            # Offline there is nothing to resume from; W&B joins the parts of one id when they are sent.
            resume="allow" if mode == "online" else None,
            settings=settings,
        )

    def _log_artifact(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        """Datasets with their rows, models as a reference to their folder; both say what they were made from."""
        model = entry.files / "model"
        kind = "model" if stage.record is TrainStep else "dataset"
        artifact = self._wandb.Artifact(
            slug(f"{self._config.name}-{stage.title}")[:120],
            type=kind,
            metadata={"fingerprint": manifest.fingerprint, "sha256": manifest.sha256, "inputs": manifest.key["inputs"]},
        )
        if kind == "dataset":
            artifact.add_file(str(entry.records_path), name="records.jsonl")
        elif model.exists():
            artifact.add_reference(model.absolute().as_uri(), checksum=False)
        else:
            return
        self._opened().log_artifact(artifact)


def run_id(run: RunConfig) -> str:
    """A W&B run id that is the same whenever the same experiment point is started: name and identity of its config."""
    parts = {name: value for name, value in identity(run).items() if name not in _ELSEWHERE}
    return f"{slug(run.name)[:40]}-{digest(run.name, canonical(parts), size=12)}"


def slug(text: str) -> str:
    """Letters, digits, dots, dashes and underscores only."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("_") or "run"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _log_curve(run: wandb.Run, key: str, entry: Entry) -> None:
    run.define_metric(f"{key}/step")
    run.define_metric(f"{key}/*", step_metric=f"{key}/step")
    for row in entry.records(TrainStep):
        values = {
            "step": row.step,
            "epoch": row.epoch,
            "loss": row.loss,
            "learning_rate": row.learning_rate,
            "grad_norm": row.grad_norm,
            "tokens": row.tokens,
        }
        run.log({f"{key}/{name}": value for name, value in (values | row.metrics).items()})


def _result_values(entry: Entry) -> Iterator[tuple[str, float | int | bool | None]]:
    for row in entry.records(Result):
        key = f"results/{row.benchmark}/{row.metric}/{row.model or 'model'}"
        yield key, row.value
        for name in ("n", "low", "high", "sample"):
            yield f"{key}/{name}", getattr(row, name)


def _comparison_values(entry: Entry) -> Iterator[tuple[str, float | int]]:
    for row in entry.records(Comparison):
        key = f"difference/{row.benchmark}/{row.metric}/{row.candidate}"
        yield key, row.difference
        for name in ("low", "high", "p_value", "n"):
            yield f"{key}/{name}", getattr(row, name)


def _tables(stages: Iterable[tuple[Stage, Manifest, Entry]]) -> dict[str, tuple[tuple[str, ...], list[list[Any]]]]:
    """Name → columns and rows: the funnel, its reasons, and the rows that a report shows."""
    funnel: list[list[Any]] = []
    reasons: list[list[Any]] = []
    rows: list[list[Any]] = []
    for stage, manifest, entry in stages:
        rejected = sum(manifest.rejected.values())
        counts = [manifest.inputs, manifest.kept, rejected, manifest.seconds, manifest.fingerprint]
        funnel.append([stage.title, *counts])
        reasons += [[stage.title, reason, count] for reason, count in manifest.rejected.items()]
        if stage.record not in (TrainStep, Result, Comparison, EvaluationItem):
            rows += _sample_rows(stage, manifest, entry)
    return {
        "funnel": (("stage", "in", "kept", "rejected", "seconds", "fingerprint"), funnel),
        "rejected": (("stage", "reason", "count"), reasons),
        "samples": (("stage", "reason", "record"), rows),
    }


def _sample_rows(stage: Stage, manifest: Manifest, entry: Entry) -> Iterator[list[str]]:
    """The rows a report shows, as JSON; the reason is empty for kept ones."""
    from autoif.report.select import samples

    shown, _ = samples(entry, manifest, stage.record)
    rows = [("", row) for row in shown.kept]
    rows += [(group.reason, row) for group in shown.rejected for row, _ in group.rows]
    for reason, row in rows:
        yield [stage.title, reason, msgspec.json.encode(row).decode()[:SAMPLE_CHARS]]
