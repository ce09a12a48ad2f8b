"""The pipeline group: synthesis, stage by stage (paper §3.1 and §3.2), and the pairs of §3.3."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from autoif.config.common import NOT_IDENTITY
from autoif.config.contamination import DecontaminationConfig


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
    contamination: DecontaminationConfig = field(default_factory=DecontaminationConfig)
    respond: RespondConfig = field(default_factory=RespondConfig)
    verify_responses: VerifyResponsesConfig = field(default_factory=VerifyResponsesConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    sft_dataset: SftDatasetConfig = field(default_factory=SftDatasetConfig)
    preference: PreferenceConfig = field(default_factory=PreferenceConfig)
