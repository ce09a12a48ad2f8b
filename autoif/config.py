"""The typed configuration of a run: what ``border.py`` makes of ``conf/`` and ``validate.py`` checks.

Components take their own small dataclass, never the whole ``RunConfig``. Defaults are the paper's where it states a
value. A field with ``metadata=NOT_IDENTITY`` changes how fast or where something runs, not what comes out; it stays
out of fingerprints. Paths of data files stay out too: a fingerprint covers what they hold, among the stage's texts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from autoif.execution.api import ExecutionConfig

NOT_IDENTITY: dict[str, Any] = {"identity": False}


class Task(Enum):
    """What ``run.py`` does with the configuration."""

    run = "run"
    plan = "plan"
    report = "report"
    export = "export"


class ExportFormat(Enum):
    """Who is to read an export: see ``autoif/interchange/training_sets.py``."""

    alpaca = "alpaca"
    sharegpt = "sharegpt"
    trl = "trl"
    chat = "chat"
    datasets = "datasets"
    upstream = "upstream"


class Setting(Enum):
    """Who supervises (paper §4.1)."""

    strong_to_weak = "strong_to_weak"
    self_alignment = "self_alignment"


class Accelerator(Enum):
    """What the training processes compute on."""

    cpu = "cpu"
    gpu = "gpu"


class Strategy(Enum):
    """How training is spread over devices."""

    single = "single"
    ddp = "ddp"
    zero1 = "zero1"
    zero2 = "zero2"
    zero3 = "zero3"


class Precision(Enum):
    """Arithmetic of the training step."""

    fp32 = "fp32"
    bf16 = "bf16"


class Schedule(Enum):
    """Learning rate after warm-up: linear or cosine decay to zero, or constant."""

    linear = "linear"
    cosine = "cosine"
    constant = "constant"


class Reference(Enum):
    """The DPO reference in online iterations: the SFT model throughout, or the previous iterate."""

    sft = "sft"
    previous = "previous"


class NliJudge(Enum):
    """Who labels (instruction, back-translation): the paper's mDeBERTa, or the supervisor through a prompt."""

    mdeberta = "mdeberta"
    supervisor = "supervisor"


class Start(Enum):
    """What synthesis starts from: seed instructions, or a file of the authors' scripts, by its name there."""

    seeds = "seeds"
    eval_func_rft = "eval_func_rft"
    cross_validation = "cross_validation"
    back_trans = "back_trans"
    query_rft = "query_rft"


class QuerySource(Enum):
    """Where user queries come from."""

    shipped = "shipped"
    sharegpt = "sharegpt"


class PromptOrder(Enum):
    """Which comes first in a training prompt: the paper's table 6 puts the instruction first, upstream the query."""

    instruction_first = "instruction_first"
    query_first = "query_first"


class Tracking(Enum):
    """Where metrics go besides the store."""

    off = "off"
    wandb = "wandb"


@dataclass(kw_only=True, slots=True)
class TaskConfig:
    """The task group. ``format`` and ``folder`` (null: ``<paths.runs>/<name>/export/<format>``) are for export."""

    kind: Task = Task.run
    format: ExportFormat = ExportFormat.alpaca
    folder: str | None = None


@dataclass(kw_only=True, slots=True)
class SettingConfig:
    """The setting group."""

    kind: Setting = Setting.strong_to_weak


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """A model to train or to sample from.

    ``path``: hub id or local folder. ``package`` + ``gguf_file``: an installed Python distribution that carries the
    weights as GGUF (used when ``path`` is not a local folder). ``parameters``: count, for planning.
    ``sft_global_batch_size``: the paper's batch for this size class.
    """

    name: str = "???"
    path: str = "???"
    revision: str | None = None
    package: str | None = None
    gguf_file: str | None = None
    chat_template: str | None = None
    context_length: int = 8192
    parameters: int = 0
    sft_global_batch_size: int = 128


@dataclass(kw_only=True, slots=True)
class SupervisorConfig:
    """Common to all supervisors. ``model``: what answers, as it stands in identities and reports.

    ``record``: also write every answer to this recording (JSONL, ``.xz`` when so named); ``quantisation``: how the
    weights were packed, for its header. Prices are per million tokens, in any one currency.
    """

    model: str = "???"
    quantisation: str = field(default="", metadata=NOT_IDENTITY)
    record: str | None = field(default=None, metadata=NOT_IDENTITY)
    input_price: float = field(default=0.0, metadata=NOT_IDENTITY)
    output_price: float = field(default=0.0, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class RecordedSupervisor(SupervisorConfig):
    """Answers replayed from a recording by request hash. ``model`` is read from the recording's header."""

    model: str = ""
    path: str = "???"


@dataclass(kw_only=True, slots=True)
class OpenAISupervisor(SupervisorConfig):
    """Any OpenAI-compatible endpoint. The key is read from the environment variable ``api_key_env``.

    ``base_urls``: further servers of the same model, asked in turn with the first. Limits per minute are over all of
    them, null for none; tokens count prompt and answer.
    """

    base_url: str | None = field(default=None, metadata=NOT_IDENTITY)
    base_urls: list[str] = field(default_factory=list, metadata=NOT_IDENTITY)
    api_key_env: str = field(default="OPENAI_API_KEY", metadata=NOT_IDENTITY)
    concurrency: int = field(default=32, metadata=NOT_IDENTITY)
    requests_per_minute: int | None = field(default=None, metadata=NOT_IDENTITY)
    tokens_per_minute: int | None = field(default=None, metadata=NOT_IDENTITY)
    retries: int = field(default=6, metadata=NOT_IDENTITY)
    timeout_seconds: float = field(default=600.0, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class LocalSupervisor(SupervisorConfig):
    """A model whose weights are at hand; ``source`` says where."""

    source: ModelConfig = field(default_factory=ModelConfig)


@dataclass(kw_only=True, slots=True)
class TransformersSupervisor(LocalSupervisor):
    """Through ``transformers``, in this process."""

    batch_size: int = field(default=16, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class VllmSupervisor(LocalSupervisor):
    """Through vLLM, in this process.

    ``tensor_parallel``: devices the model is cut over, null for all of ``hardware.devices``. ``memory_share``: of each
    GPU that vLLM takes. ``concurrency``: requests it holds at once.
    """

    tensor_parallel: int | None = field(default=None, metadata=NOT_IDENTITY)
    memory_share: float = field(default=0.9, metadata=NOT_IDENTITY)
    concurrency: int = field(default=1024, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class VllmServerSupervisor(LocalSupervisor):
    """Through ``vllm serve``, started for the run on this machine and stopped with it.

    Every ``tensor_parallel`` devices (null: all) hold a copy of the model. ``arguments``: further ones for the server.
    """

    tensor_parallel: int | None = field(default=None, metadata=NOT_IDENTITY)
    memory_share: float = field(default=0.9, metadata=NOT_IDENTITY)
    concurrency: int = field(default=256, metadata=NOT_IDENTITY)
    start_seconds: float = field(default=1800.0, metadata=NOT_IDENTITY)
    arguments: list[str] = field(default_factory=list, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class StartConfig:
    """Where synthesis begins. ``path``: the file, unless it begins with the seeds; stages before it are left out."""

    kind: Start = Start.seeds
    path: str | None = field(default=None, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class SelfInstructConfig:
    """Augment the seeds (paper §3.1: K = 100 rewrites of each).

    ``seeds``: a text file, one instruction a line; null takes the shipped ones. ``per_call``: rewrites asked for in
    one reply. ``limit``: at most so many instructions, seeds first; null for all.
    """

    seeds: str | None = field(default=None, metadata=NOT_IDENTITY)
    rewrites_per_seed: int = 100
    per_call: int = 10
    temperature: float = 1.0
    max_tokens: int = 1024
    limit: int | None = None


@dataclass(kw_only=True, slots=True)
class WriteVerifiersConfig:
    """K samples of {function, three cases} for each instruction (K not stated in the paper; upstream's files: 8)."""

    samples: int = 8
    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 1024


@dataclass(kw_only=True, slots=True)
class CrossVerifyConfig:
    """Keep a case (function) whose accuracy over all functions (cases) exceeds the threshold (paper §3.1).

    Stages with ``enabled`` false are left out of the graph (table 3's ablations).
    """

    enabled: bool = True
    case_threshold: float = 0.5
    function_threshold: float = 0.5
    min_functions: int = 1
    min_cases: int = 1


@dataclass(kw_only=True, slots=True)
class BackTranslateConfig:
    """Read the instruction back out of each function's code."""

    enabled: bool = True
    temperature: float = 0.0
    max_tokens: int = 256


@dataclass(kw_only=True, slots=True)
class NliConfig:
    """Drop a function whose back-translation contradicts the instruction; no function left drops the instruction."""

    judge: NliJudge = NliJudge.mdeberta
    model: str = "MoritzLaurer/mDeBERTa-v3-base-xnli-multilingual-nli-2mil7"
    drop: list[str] = field(default_factory=lambda: ["contradiction"])
    max_tokens: int = 64


@dataclass(kw_only=True, slots=True)
class QueriesConfig:
    """Attach real user queries (paper §3.2: 16 for each instruction).

    ``path``: the ShareGPT dump (raw JSON list, JSONL, or ``messages`` rows) when ``source`` is sharegpt.
    ``heldout``: queries set aside before anything is drawn, never trained on, for the held-out evaluation.
    """

    source: QuerySource = QuerySource.sharegpt
    path: str | None = field(default=None, metadata=NOT_IDENTITY)
    per_instruction: int = 16
    min_chars: int = 20
    max_chars: int = 300
    heldout: int = 200
    order: PromptOrder = PromptOrder.instruction_first


@dataclass(kw_only=True, slots=True)
class RespondConfig:
    """K responses for each (instruction, query) (paper §3.2: K = 8).

    ``max_words``: ask for short answers (unless the instruction says otherwise); null, as in the paper, asks nothing.
    """

    samples: int = 8
    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 1024
    max_words: int | None = None


@dataclass(kw_only=True, slots=True)
class VerifyResponsesConfig:
    """Keep a response whose accuracy over the instruction's functions exceeds the threshold (paper §3.2)."""

    threshold: float = 0.5


@dataclass(kw_only=True, slots=True)
class ScoreConfig:
    """Keep a response the supervisor scores at least ``threshold`` of 10 for answering the query (paper §3.2)."""

    enabled: bool = True
    threshold: float = 8.0
    temperature: float = 0.0
    max_tokens: int = 256


@dataclass(kw_only=True, slots=True)
class SftDatasetConfig:
    """Which kept responses become SFT samples: at most ``per_prompt`` of each prompt; null for all."""

    per_prompt: int | None = None
    fraction: float = 1.0


@dataclass(kw_only=True, slots=True)
class PreferenceConfig:
    """Pairs (paper §3.3): chosen has accuracy above ``chosen_threshold``, rejected has accuracy 0.

    ``max_chosen`` × ``max_rejected`` bound the pairs of one prompt (upstream: 2 × 2).
    """

    chosen_threshold: float = 0.5
    max_chosen: int = 2
    max_rejected: int = 2
    instruction_level: bool = True
    fraction: float = 1.0


@dataclass(kw_only=True, slots=True)
class PipelineConfig:
    """Synthesis, stage by stage, in the order of the paper's figure 2."""

    name: str = "???"
    start: StartConfig = field(default_factory=StartConfig)
    self_instruct: SelfInstructConfig = field(default_factory=SelfInstructConfig)
    write_verifiers: WriteVerifiersConfig = field(default_factory=WriteVerifiersConfig)
    cross_verify: CrossVerifyConfig = field(default_factory=CrossVerifyConfig)
    back_translate: BackTranslateConfig = field(default_factory=BackTranslateConfig)
    nli: NliConfig = field(default_factory=NliConfig)
    queries: QueriesConfig = field(default_factory=QueriesConfig)
    respond: RespondConfig = field(default_factory=RespondConfig)
    verify_responses: VerifyResponsesConfig = field(default_factory=VerifyResponsesConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    sft_dataset: SftDatasetConfig = field(default_factory=SftDatasetConfig)
    preference: PreferenceConfig = field(default_factory=PreferenceConfig)


@dataclass(kw_only=True, slots=True)
class TrainingConfig:
    """Optimisation of one training stage. Lengths are tokens; ``global_batch_size`` counts sequences (pairs in DPO).

    ``warmup_steps`` wins over ``warmup_ratio`` when it is not null. ``save_every`` counts optimizer steps.
    """

    learning_rate: float = 7e-6
    schedule: Schedule = Schedule.linear
    warmup_steps: int | None = None
    warmup_ratio: float = 0.0
    global_batch_size: int = 128
    epochs: int = 3
    weight_decay: float = 0.1
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95
    max_length: int = 8192
    clip_norm: float = 1.0
    save_every: int = field(default=200, metadata=NOT_IDENTITY)
    keep_checkpoints: int = field(default=2, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class DpoConfig(TrainingConfig):
    """DPO: sigmoid loss with ``beta``; ``nll_weight`` adds the chosen answer's mean negative log-likelihood."""

    beta: float = 0.3
    nll_weight: float = 0.0


@dataclass(kw_only=True, slots=True)
class AlgorithmConfig:
    """All algorithms start with SFT on the verified answers."""

    name: str = "???"
    sft: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(kw_only=True, slots=True)
class SftAlgorithm(AlgorithmConfig):
    """SFT alone."""


@dataclass(kw_only=True, slots=True)
class OfflineDpoAlgorithm(AlgorithmConfig):
    """SFT, then DPO on pairs from the supervisor's responses."""

    dpo: DpoConfig = field(default_factory=DpoConfig)


@dataclass(kw_only=True, slots=True)
class OnlineDpoAlgorithm(AlgorithmConfig):
    """SFT, then ``iterations`` rounds of sample → verify → pair → DPO on the model's own answers (paper §3.3).

    ``prompts``: at most so many training prompts a round (null: all).
    """

    dpo: DpoConfig = field(default_factory=DpoConfig)
    iterations: int = 1
    samples: int = 8
    temperature: float = 0.8
    top_p: float = 1.0
    max_tokens: int = 1024
    prompts: int | None = None
    reference: Reference = Reference.sft


@dataclass(kw_only=True, slots=True)
class HardwareConfig:
    """Where and how fast things run; never part of a fingerprint.

    ``micro_batch_size``: sequences (pairs in DPO) a device computes at once. ``generation_batch_size``: rows the
    ``transformers`` engine decodes together. ``threads``: CPU threads a process uses, 0 for all cores.
    """

    name: str = "???"
    accelerator: Accelerator = Accelerator.cpu
    devices: int = 1
    nodes: int = 1
    strategy: Strategy = Strategy.single
    precision: Precision = Precision.fp32
    micro_batch_size: int = 1
    activation_checkpointing: bool = False
    offload_optimizer: bool = False
    attention: str = "sdpa"
    generation_batch_size: int = 32
    memory_gb: float = 0.0
    threads: int = 0


@dataclass(kw_only=True, slots=True)
class HeldoutConfig:
    """Verified instructions × queries never trained on, scored by their functions. ``limit`` prompts; 0: none."""

    limit: int = 500
    max_tokens: int = 512


@dataclass(kw_only=True, slots=True)
class IfevalConfig:
    """IFEval through lm-eval: greedy. ``limit``: the first so many prompts (null: all 541; 0 turns it off)."""

    limit: int | None = None
    max_tokens: int = 1280


@dataclass(kw_only=True, slots=True)
class EvaluationConfig:
    """What is measured, on the base and on the trained model alike.

    ``data_dir``: folder that holds the benchmarks' files; null loads from the hub.
    ``only_with_data``: leave hub benchmarks out, and say so, where ``data_dir`` is null or lacks them.
    """

    name: str = "???"
    heldout: HeldoutConfig = field(default_factory=HeldoutConfig)
    ifeval: IfevalConfig = field(default_factory=IfevalConfig)
    data_dir: str | None = None
    only_with_data: bool = False


@dataclass(kw_only=True, slots=True)
class TrackingConfig:
    """Experiment tracking. ``mode`` of W&B: online, offline or disabled."""

    kind: Tracking = Tracking.off
    project: str = "autoif"
    entity: str | None = None
    mode: str = "online"


@dataclass(kw_only=True, slots=True)
class BudgetConfig:
    """What a run of this name may ask of its supervisor, restarts included: tokens in and out, and money at the
    supervisor's prices; null for no bound. A run that reaches it stops and goes on where it was once it is raised."""

    max_tokens: int | None = field(default=None, metadata=NOT_IDENTITY)
    max_cost: float | None = field(default=None, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class PathsConfig:
    """Folders, relative to the working directory unless absolute. ``cache`` holds prepared models and model calls."""

    store: str = "store"
    runs: str = "runs"
    cache: str = "~/.cache/autoif"


@dataclass(kw_only=True, slots=True)
class RunConfig:
    """One experiment point, whole."""

    name: str = "demo"
    seed: int = 0
    task: TaskConfig = field(default_factory=TaskConfig)
    setting: SettingConfig = field(default_factory=SettingConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    supervisor: SupervisorConfig = field(default_factory=SupervisorConfig)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    algorithm: AlgorithmConfig = field(default_factory=AlgorithmConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
