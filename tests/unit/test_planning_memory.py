"""Planned sizes against the real thing: parameters on the meta device, what autograd saves, a run's memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from training_tiny import tiny_model

from autoif.border import load
from autoif.config import HardwareConfig, ModelConfig, Precision, ShapeConfig, Strategy, Techniques
from autoif.planning import memory
from autoif.planning.memory import activations, states_gb, training_memory
from autoif.planning.options import shipped
from autoif.planning.shape import from_config, parameters, shape_of
from autoif.training import losses
from autoif.training.attention import PACKED, register
from autoif.training.batches import sft_batch
from autoif.training.chat import Encoded
from autoif.training.model import Policy, load_policy

MODELS = [name for name, model in shipped("model", ModelConfig).items() if model.shape.layers]


def transformers_config(shape: ShapeConfig, **more: Any) -> Any:
    """The architecture of ``shape`` as transformers makes it."""
    from transformers import LlamaConfig, Qwen2Config

    kind = Qwen2Config if shape.qkv_bias else LlamaConfig
    return kind(
        num_hidden_layers=shape.layers,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
        **more,
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_has_the_parameters_that_transformers_makes_of_its_shape(name: str) -> None:
    from transformers import AutoModelForCausalLM

    model = load([f"model={name}"]).model
    shape = shape_of(model)
    assert shape is not None
    with torch.device("meta"):
        made = AutoModelForCausalLM.from_config(transformers_config(shape))
    assert sum(parameter.numel() for parameter in made.parameters()) == parameters(shape) == model.parameters


def test_a_local_folder_tells_its_own_shape(tmp_path: Path) -> None:
    model = load(["model=qwen2_7b"]).model
    transformers_config(_SMALL).save_pretrained(tmp_path)
    assert shape_of(dataclasses.replace(model, path=str(tmp_path))) == _SMALL
    assert shape_of(dataclasses.replace(model, path="some/where", shape=ShapeConfig())) is None
    with pytest.raises(KeyError):
        from_config({"n_layer": 12, "n_embd": 768})


_SMALL = ShapeConfig(
    layers=3, hidden=96, intermediate=160, heads=4, kv_heads=2, head_size=24, vocabulary=128, tied=False, qkv_bias=True
)


def saved_bytes(shape: ShapeConfig, hardware: HardwareConfig, tokens: int) -> int:
    """Bytes that autograd keeps of a forward pass, parameters aside."""
    from transformers import AutoModelForCausalLM

    register()
    model = AutoModelForCausalLM.from_config(transformers_config(shape), attn_implementation=PACKED)
    sharded = hardware.strategy in memory.ZERO
    if sharded and hardware.precision is Precision.bf16:
        model = model.to(torch.bfloat16)
    if hardware.activation_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    policy = Policy(model.train(), Techniques())
    row = Encoded([1] * (tokens + 1), [0] + [1] * tokens)  # type: ignore[arg-type]
    batch = sft_batch(["row"], [row], (0,), packing=True)
    known = {parameter.untyped_storage().data_ptr() for parameter in policy.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in known and tensor.shape[-1:] != (shape.vocabulary,):
            kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    autocast = torch.autocast("cpu", torch.bfloat16, enabled=not sharded and hardware.precision is Precision.bf16)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast:
        policy(batch)
    # Autocast's 16-bit weights are counted with the gathered ones.
    return sum(t.untyped_storage().nbytes() for t in kept.values() if tokens in t.shape or t.dim() < 2)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(
    ("strategy", "precision"),
    [(Strategy.single, Precision.fp32), (Strategy.single, Precision.bf16), (Strategy.zero3, Precision.bf16)],
)
def test_activations_are_what_autograd_saves(strategy: Strategy, precision: Precision, checkpointing: bool) -> None:
    hardware = HardwareConfig(
        name="x", strategy=strategy, precision=precision, activation_checkpointing=checkpointing, devices=2
    )
    deeper = dataclasses.replace(_SMALL, layers=6)
    saved = [saved_bytes(shape, hardware, 211) for shape in (_SMALL, deeper)]
    planned = [activations(shape, hardware, 211) for shape in (_SMALL, deeper)]
    # What a layer adds is exact; the rest (embedding, last norm, one layer's working set) is an allowance.
    assert planned[1] - planned[0] == pytest.approx(saved[1] - saved[0], rel=0.01)
    assert saved[1] < planned[1]


def test_a_loaded_policy_checkpoints_when_asked(tmp_path: Path) -> None:
    hardware = HardwareConfig(name="x", activation_checkpointing=True)
    policy = load_policy(tiny_model(tmp_path), hardware, torch.float32)
    assert all(layer.training and layer.gradient_checkpointing for layer in policy.model.base_model.layers)


def test_logits_are_bounded_as_the_loss_bounds_them() -> None:
    assert memory.MAX_LOGITS == losses.MAX_LOGITS
    hardware = HardwareConfig(name="x", precision=Precision.bf16)
    llama = load(["model=llama3_8b"]).model.shape
    one, two = (training_memory(llama, hardware, tokens).logits for tokens in (1 << 14, 1 << 15))
    assert one == two


def test_sharding_divides_states_and_offload_moves_them() -> None:
    eight = HardwareConfig(name="x", devices=8, strategy=Strategy.zero3, precision=Precision.bf16)
    whole = sum(states_gb(10**9, dataclasses.replace(eight, devices=1)))
    assert sum(states_gb(10**9, eight)) == pytest.approx(whole / 8)
    weights, gradients, optimizer, host = states_gb(10**9, dataclasses.replace(eight, offload_optimizer=True))
    assert (weights, gradients, optimizer, host) == pytest.approx((0.25, 0, 0, 16))
