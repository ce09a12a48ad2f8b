"""One experiment point, whole, and what is done with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from autoif.config.data import DataConfig
from autoif.config.evaluation import EvaluationConfig
from autoif.config.experiment import ExperimentConfig
from autoif.config.hardware import HardwareConfig
from autoif.config.models import ModelConfig, SettingConfig
from autoif.config.supervision import BudgetConfig, SupervisorConfig
from autoif.config.synthesis import PipelineConfig
from autoif.config.training import AlgorithmConfig
from autoif.execution.api import ExecutionConfig


class Task(Enum):
    """What ``run.py`` does with the configuration."""

    run = "run"
    plan = "plan"
    report = "report"
    export = "export"
    import_ = "import"
    evaluate = "evaluate"
    compare = "compare"
    inspect = "inspect"
    contamination = "contamination"
    doctor = "doctor"


class Launch(Enum):
    """What ``task=plan`` does with the files that start the run elsewhere: nothing, print or write them."""

    none = "none"
    print = "print"
    write = "write"


class ExportFormat(Enum):
    """Who is to read an export: see ``autoif/interchange/training_sets.py``."""

    alpaca = "alpaca"
    sharegpt = "sharegpt"
    trl = "trl"
    chat = "chat"
    datasets = "datasets"
    upstream = "upstream"


@dataclass(kw_only=True, slots=True)
class TaskConfig:
    """The task group.

    ``format`` and ``folder`` (null: ``<paths.runs>/<name>/export/<format>``) are for export. ``source``: a file of
    training rows to look at instead of the run's sets, for contamination; for import a file of the authors' scripts,
    of the kind ``source_kind`` (records go to ``folder``, null: ``<paths.runs>/<name>/import``). ``folder`` is
    for inspect's pages too (null: ``<paths.runs>/<name>/inspect``). ``json``: doctor and contamination answer for
    programs.
    """

    kind: Task = Task.run
    format: ExportFormat = ExportFormat.alpaca
    folder: str | None = None
    source: str | None = None
    source_kind: str | None = None
    json: bool = False


class Tracking(Enum):
    """Where metrics go besides the store."""

    off = "off"
    csv = "csv"
    tensorboard = "tensorboard"
    wandb = "wandb"


@dataclass(kw_only=True, slots=True)
class TrackingConfig:
    """Experiment tracking. ``mode`` of W&B: online, offline or disabled."""

    kind: Tracking = Tracking.off
    project: str = "autoif"
    entity: str | None = None
    mode: str = "online"


@dataclass(kw_only=True, slots=True)
class PathsConfig:
    """Folders, relative to the working directory unless absolute. ``cache`` holds prepared models and model calls."""

    store: str = "store"
    runs: str = "runs"
    cache: str = "~/.cache/autoif"


@dataclass(kw_only=True, slots=True)
class RunConfig:
    """One experiment point, whole. ``runs``: the two (``name`` or ``name:model``) that ``task=compare`` pairs.

    ``seed``: of all that is drawn, in synthesis unless ``pipeline.seed`` is set, in training, sampling and evaluation.
    """

    name: str = "demo"
    seed: int = 0
    task: TaskConfig = field(default_factory=TaskConfig)
    launch: Launch = Launch.none
    experiment: ExperimentConfig = field(default_factory=ExperimentConfig)
    setting: SettingConfig = field(default_factory=SettingConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    supervisor: SupervisorConfig = field(default_factory=SupervisorConfig)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    data: DataConfig = field(default_factory=DataConfig)
    algorithm: AlgorithmConfig = field(default_factory=AlgorithmConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
    runs: list[str] = field(default_factory=list)

    @property
    def data_seed(self) -> int:
        """The seed of the synthesis, the training sets and the held-out prompts."""
        return self.seed if self.pipeline.seed is None else self.pipeline.seed
