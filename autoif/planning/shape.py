"""Sizes of a model: from its configuration or its folder, and what follows from them. Reads no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autoif.config import ModelConfig, ShapeConfig


def shape_of(model: ModelConfig) -> ShapeConfig | None:
    """The sizes of ``model``: those in its local folder, else the configured ones; None where neither tells them."""
    try:
        shape = from_config(json.loads(Path(model.path).expanduser().joinpath("config.json").read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        shape = model.shape
    return shape if shape.layers else None


def from_config(config: dict[str, Any]) -> ShapeConfig:
    """The sizes in a Hugging Face ``config.json``; raises KeyError for an architecture that says them otherwise."""
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    return ShapeConfig(
        layers=config["num_hidden_layers"],
        hidden=hidden,
        intermediate=config["intermediate_size"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_size=config.get("head_dim") or hidden // heads,
        vocabulary=config["vocab_size"],
        tied=config.get("tie_word_embeddings", False),
        qkv_bias=config.get("attention_bias", config.get("model_type") == "qwen2"),
    )


def parameters(shape: ShapeConfig) -> int:
    """Number of parameters, embeddings included."""
    embeddings = shape.vocabulary * shape.hidden * (1 if shape.tied else 2)
    return embeddings + shape.layers * layer_parameters(shape) + shape.hidden


def layer_parameters(shape: ShapeConfig) -> int:
    """Parameters of one layer: projections of attention, their biases, the gated MLP, two norms."""
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    attention = shape.hidden * (2 * queries + 2 * keys) + (queries + 2 * keys if shape.qkv_bias else 0)
    return attention + 3 * shape.hidden * shape.intermediate + 2 * shape.hidden


def forward_flops(shape: ShapeConfig, length: int) -> float:
    """Operations of a forward pass over one token in a sequence of ``length``: two for each weight it is multiplied
    with, and causal attention over half the sequence on average (Chowdhery et al., arXiv 2204.02311, appendix B)."""
    weights = shape.layers * layer_parameters(shape) + shape.vocabulary * shape.hidden
    return 2 * weights + 2 * shape.layers * shape.heads * shape.head_size * length
