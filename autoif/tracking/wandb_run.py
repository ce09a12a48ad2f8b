"""Tracking in Weights & Biases: a run for each experiment point, grouped by experiment. The only importer of ``wandb``.

The W&B run is opened with the first stage that it does not hold yet. Its id follows from the run's name and
configuration: starting again continues the same run. An offline run that is continued is a new folder with the same id
at W&B's step 0; curves carry their own step, so the parts fit together when they are sent.

Lineage: every artifact says what it was made from (fingerprints, as in the manifests); online, W&B is told too which
artifacts were used. Offline W&B cannot know, and ``wandb sync`` does not make up for it: the store keeps it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, cast

from autoif.config import RunConfig, TrackingConfig
from autoif.errors import ConfigError, MissingExtraError
from autoif.records import (
    AnswerGroup,
    Comparison,
    Contamination,
    PreferencePair,
    Record,
    Result,
    SftExample,
    TrainStep,
)
from autoif.report.files import run_folder, save
from autoif.stage import Stage
from autoif.store import Entry, Manifest
from autoif.tracking import wandb_report
from autoif.tracking.base import MODES, Table, measured_values, run_id, slug
from autoif.tracking.once import Ledger, OnceTracker

if TYPE_CHECKING:
    import wandb

KEY = "WANDB_API_KEY"
_ARTIFACTS: dict[type[Record], str] = {
    SftExample: "dataset",
    PreferencePair: "dataset",
    AnswerGroup: "dataset",
    TrainStep: "model",
    Result: "results",
    Comparison: "results",
    Contamination: "results",
}
"""What a stage's artifact is called, by what it holds."""


class WandbTracker(OnceTracker):
    """Stages as a W&B run: config, curves, funnel and sample tables, results in the summary, artifacts."""

    def __init__(self, config: TrackingConfig, run: RunConfig) -> None:
        try:
            import wandb
        except ImportError:
            raise MissingExtraError("wandb", "wandb") from None
        if config.mode not in MODES:
            raise ConfigError(f"tracking.mode={config.mode}: choose one of {', '.join(MODES)}")
        self._wandb, self._config, self._settings = wandb, run, config
        self.id = run_id(run)
        self.folder = run_folder(run)
        self._run: wandb.Run | None = None
        self._curves: set[str] = set()
        super().__init__(Ledger(self.folder / "tracking.json", self.id, keep=config.mode != "disabled"))

    def log_step(self, key: str, values: dict[str, float]) -> None:
        """See :class:`OnceTracker`."""
        run = self._opened()
        if key not in self._curves:
            run.define_metric(f"{key}/step")
            run.define_metric(f"{key}/*", step_metric=f"{key}/step")
            self._curves.add(key)
        run.log({f"{key}/{name}": value for name, value in values.items()})

    def log_finished(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        """See :class:`OnceTracker`."""
        run, key = self._opened(), slug(stage.title)
        run.summary.update({f"funnel/{key}/kept": manifest.kept, f"seconds/{key}": manifest.seconds})
        if values := measured_values(stage, entry):
            run.summary.update(values)
        if kind := _ARTIFACTS.get(stage.record):
            self._log_artifact(kind, stage, manifest, entry)

    def log_tables(self, found: dict[str, Table]) -> None:
        """See :class:`OnceTracker`. The panels that compare the experiment's runs are left beside these."""
        self._opened().log({name: self._wandb.Table(list(columns), rows) for name, (columns, rows) in found.items()})
        if self._settings.mode != "disabled":
            self._write_report()

    def finish(self, exit_code: int) -> None:
        """See :class:`OnceTracker`."""
        if self._run is not None:
            self._run.finish(exit_code)
            self._run = None
        self._curves = set()

    def open(self) -> None:
        """See :class:`OnceTracker`."""
        self._opened()

    def _write_report(self) -> None:
        definition = wandb_report.definition(
            group(self._config), self._settings.project, self._settings.entity, self.stages
        )
        folder = self.folder
        for _ in self._config.name.split("/")[1:]:
            folder = folder.parent
        save(folder / wandb_report.FILE, wandb_report.encode(definition))

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
            group=group(run),
            job_type=run.algorithm.name,
            tags=[run.setting.kind.value, run.model.name, run.algorithm.name],
            config=plain(run) | {"point": run.name.partition("/")[2] or run.name},
            dir=str(self.folder),
            mode=cast(Any, mode),
            # Offline there is nothing to resume from; W&B joins the parts of one id when they are sent.
            resume="allow" if mode == "online" else None,
            settings=settings,
        )

    def _log_artifact(self, kind: str, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        """Rows as files, a model as a reference to its folder; both say what they were made from.

        Equal content is one version for W&B, so points that share a stage share its artifact.
        """
        run, model = self._opened(), entry.files / "model"
        if kind == "model" and not model.exists():
            return
        self.use_inputs(run, stage)
        metadata = {"fingerprint": manifest.fingerprint, "sha256": manifest.sha256, "inputs": manifest.key["inputs"]}
        artifact = self._wandb.Artifact(_artifact_name(self._config, stage), type=kind, metadata=metadata)
        if kind == "model":
            artifact.add_reference(model.absolute().as_uri(), checksum=False)
        else:
            artifact.add_file(str(entry.records_path), name="records.jsonl")
        run.log_artifact(artifact, aliases=["latest", manifest.fingerprint])

    def use_inputs(self, run: wandb.Run, stage: Stage) -> None:
        """Tell W&B which artifacts ``stage`` used; only where it can be asked, and never at the cost of the run."""
        if run.offline or run.disabled:
            return
        found = {id(known): manifest for known, manifest, _ in self.stages}
        for source in stage.inputs:
            if id(source) in found and source.record in _ARTIFACTS:
                name = f"{_artifact_name(self._config, source)}:{found[id(source)].fingerprint}"
                try:
                    run.use_artifact(name)
                except (self._wandb.Error, ValueError, OSError) as error:
                    _say(f"W&B: {name} could not be noted as used ({str(error).splitlines()[0]})")


def group(run: RunConfig) -> str:
    """The experiment that a run is a point of, or its own name."""
    return run.name.partition("/")[0]


def _artifact_name(run: RunConfig, stage: Stage) -> str:
    return slug(f"{group(run)}-{stage.title}")[:120]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
