"""The supervisor group: who writes functions, answers and scores (paper §4.1, table 2), and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from autoif.config.common import NOT_IDENTITY
from autoif.config.models import ModelConfig


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
    """Answers replayed from a recording by request hash. ``model`` is read from the recording's header.

    ``pass_over``: count requests that were not recorded as unanswered instead of stopping at the first.
    """

    model: str = ""
    path: str = "???"
    pass_over: bool = False


@dataclass(kw_only=True, slots=True)
class OpenAISupervisor(SupervisorConfig):
    """Any OpenAI-compatible endpoint. The key is read from the environment variable ``api_key_env``.

    ``base_urls``: further servers of the same model, asked in turn with the first. Limits per minute are over all of
    them, null for none; tokens count prompt and answer. ``concurrency``: answers awaited at once.
    ``samples_per_request``: samples of one conversation asked for together (``n``), so that its prompt is paid once;
    with 1 each sample has a seed of its own. A server that gives one at a time is asked for one at a time.
    """

    base_url: str | None = field(default=None, metadata=NOT_IDENTITY)
    base_urls: list[str] = field(default_factory=list, metadata=NOT_IDENTITY)
    api_key_env: str = field(default="OPENAI_API_KEY", metadata=NOT_IDENTITY)
    concurrency: int = field(default=32, metadata=NOT_IDENTITY)
    samples_per_request: int = field(default=1, metadata=NOT_IDENTITY)
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

    ``pipeline_parallel``: groups of devices that the layers are dealt out to; ``tensor_parallel``: devices that each
    layer is cut over, null for all that ``hardware.devices`` leaves a group. ``memory_share``: of each GPU that vLLM
    takes. ``concurrency``: requests it holds at once.
    """

    tensor_parallel: int | None = field(default=None, metadata=NOT_IDENTITY)
    pipeline_parallel: int = field(default=1, metadata=NOT_IDENTITY)
    memory_share: float = field(default=0.9, metadata=NOT_IDENTITY)
    concurrency: int = field(default=1024, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class VllmServerSupervisor(LocalSupervisor):
    """Through ``vllm serve``, started for the run on this machine and stopped with it.

    Every ``tensor_parallel`` × ``pipeline_parallel`` devices (null: all) hold a copy of the model. ``arguments``:
    further ones for the server.
    """

    tensor_parallel: int | None = field(default=None, metadata=NOT_IDENTITY)
    pipeline_parallel: int = field(default=1, metadata=NOT_IDENTITY)
    memory_share: float = field(default=0.9, metadata=NOT_IDENTITY)
    concurrency: int = field(default=256, metadata=NOT_IDENTITY)
    start_seconds: float = field(default=1800.0, metadata=NOT_IDENTITY)
    arguments: list[str] = field(default_factory=list, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class BudgetConfig:
    """What a run of this name may ask of its supervisor, restarts included: tokens in and out, and money at the
    supervisor's prices; null for no bound. A run that reaches it stops and goes on where it was once it is raised."""

    max_tokens: int | None = field(default=None, metadata=NOT_IDENTITY)
    max_cost: float | None = field(default=None, metadata=NOT_IDENTITY)
