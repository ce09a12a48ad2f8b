"""The typed configuration of a run: what ``border.py`` makes of ``conf/`` and ``validate.py`` checks.

Components take their own small dataclass, never the whole ``RunConfig``. Defaults are the paper's where it states a
value. A field with ``metadata=NOT_IDENTITY`` changes how fast or where something runs, not what comes out; it stays
out of fingerprints. Paths of data files stay out too: a fingerprint covers what they hold, among the stage's texts.
"""

from autoif.config.common import NOT_IDENTITY
from autoif.config.contamination import ContaminationConfig, DecontaminationConfig
from autoif.config.evaluation import BenchmarkConfig, Checks, EvaluationConfig, HeldoutConfig
from autoif.config.experiment import ExperimentConfig, PointConfig
from autoif.config.hardware import Accelerator, HardwareConfig, Precision, SlurmConfig, Strategy
from autoif.config.models import ModelConfig, Setting, SettingConfig, ShapeConfig
from autoif.config.run import ExportFormat, PathsConfig, RunConfig, Task, TaskConfig, Tracking, TrackingConfig
from autoif.config.supervision import (
    BudgetConfig,
    LocalSupervisor,
    OpenAISupervisor,
    RecordedSupervisor,
    SupervisorConfig,
    TransformersSupervisor,
    VllmServerSupervisor,
    VllmSupervisor,
)
from autoif.config.synthesis import (
    BackTranslateConfig,
    CrossVerifyConfig,
    NliConfig,
    NliJudge,
    PipelineConfig,
    PreferenceConfig,
    PromptOrder,
    QueriesConfig,
    QuerySource,
    RespondConfig,
    ScoreConfig,
    SelfInstructConfig,
    SftDatasetConfig,
    Start,
    StartConfig,
    VerifyResponsesConfig,
    WriteVerifiersConfig,
)
from autoif.config.training import (
    AlgorithmConfig,
    DpoConfig,
    OfflineDpoAlgorithm,
    OnlineDpoAlgorithm,
    Reference,
    Schedule,
    SftAlgorithm,
    TrainingConfig,
)
from autoif.execution.api import ExecutionConfig

__all__ = [
    "NOT_IDENTITY",
    "Accelerator",
    "AlgorithmConfig",
    "BackTranslateConfig",
    "BenchmarkConfig",
    "BudgetConfig",
    "CaseScope",
    "CheckFunctionsConfig",
    "ComposeConfig",
    "ComposeJudge",
    "Contradiction",
    "Counts",
    "ContaminationConfig",
    "CrossVerifyConfig",
    "DecontaminationConfig",
    "DpoConfig",
    "EvaluationConfig",
    "ExecutionConfig",
    "ExportFormat",
    "HardwareConfig",
    "HeldoutConfig",
    "LocalSupervisor",
    "ModelConfig",
    "Checks",
    "NliConfig",
    "NliJudge",
    "OfflineDpoAlgorithm",
    "OnlineDpoAlgorithm",
    "OpenAISupervisor",
    "PathsConfig",
    "PipelineConfig",
    "Precision",
    "PreferenceConfig",
    "PromptOrder",
    "QueriesConfig",
    "QuerySource",
    "RecordedSupervisor",
    "Reference",
    "RespondConfig",
    "RunConfig",
    "Schedule",
    "ScoreConfig",
    "SelfInstructConfig",
    "Setting",
    "SettingConfig",
    "ExperimentConfig",
    "SftAlgorithm",
    "SftDatasetConfig",
    "Start",
    "StartConfig",
    "Strategy",
    "SupervisorConfig",
    "Task",
    "TaskConfig",
    "Tracking",
    "TrackingConfig",
    "TrainingConfig",
    "TransformersSupervisor",
    "VerifyResponsesConfig",
    "VllmServerSupervisor",
    "VllmSupervisor",
    "WriteVerifiersConfig",
]
    "PointConfig",
