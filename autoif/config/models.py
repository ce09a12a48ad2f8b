"""The model and setting groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Setting(Enum):
    """Who supervises (paper §4.1)."""

    strong_to_weak = "strong_to_weak"
    self_alignment = "self_alignment"


@dataclass(kw_only=True, slots=True)
class SettingConfig:
    """The setting group."""

    kind: Setting = Setting.strong_to_weak


@dataclass(kw_only=True, slots=True)
class ShapeConfig:
    """Sizes of a decoder-only transformer with gated MLPs and grouped queries (Llama, Qwen2), for plans; 0: not known.

    ``heads`` and ``kv_heads`` have ``head_size`` entries each. ``tied``: input and output embeddings are one matrix.
    ``qkv_bias``: query, key and value projections have biases.
    """

    layers: int = 0
    hidden: int = 0
    intermediate: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_size: int = 0
    vocabulary: int = 0
    tied: bool = False
    qkv_bias: bool = False


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """A model to train or to sample from.

    ``path``: hub id or local folder. ``package`` + ``gguf_file``: an installed Python distribution that carries the
    weights as GGUF (used when ``path`` is not a local folder). ``parameters``, ``shape``: for plans.
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
    shape: ShapeConfig = field(default_factory=ShapeConfig)
    sft_global_batch_size: int = 128
