"""The policy: a causal language model that gives log-probabilities of learnt tokens and nothing else."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoif.config import HardwareConfig, Precision, Techniques
from autoif.errors import EngineError, MissingExtraError
from autoif.training.attention import PACKED, register
from autoif.training.batches import MicroBatch
from autoif.training.losses import fused_token_log_probs, token_log_probs


class LabelHead(nn.Linear):
    """An output layer that, given targets, returns their log-probabilities instead of logits. It is the model's own
    ``lm_head`` (same parameter, same place), so sharded strategies gather it as they would any layer."""

    def forward(self, hidden: Tensor, targets: Tensor | None = None) -> Tensor:
        """[…, H] → logits […, V]; with ``targets`` [L]: [L, H] → log-probabilities [L]."""
        return super().forward(hidden) if targets is None else fused_token_log_probs(hidden, self.weight, targets)


class Policy(nn.Module):
    """A transformers causal LM and how a micro-batch goes through it."""

    def __init__(self, model: Any, techniques: Techniques) -> None:
        super().__init__()
        self.model = model
        self.label_logits = techniques.label_logits
        head = model.get_output_embeddings()
        if type(head) is nn.Linear and head.bias is None:
            head.__class__ = LabelHead
        elif not isinstance(head, LabelHead):
            self.label_logits = False

    def forward(self, batch: MicroBatch) -> Tensor:
        """Log-probabilities of the micro-batch's targets: [L], fp32, in nats."""
        extra: dict[str, Any] = {"segments": batch.segments} if batch.segments else {}
        output = self.model.base_model(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            attention_mask=batch.attention_mask,
            use_cache=False,
            **extra,
        )
        hidden = output.last_hidden_state.flatten(0, 1)
        head = self.model.get_output_embeddings()
        if self.label_logits:
            result: Tensor = head(hidden.index_select(0, batch.where), batch.targets)
            return result
        logits = head(hidden)
        return token_log_probs(logits.index_select(0, batch.where), batch.targets)


def load_policy(folder: Path, hardware: HardwareConfig, dtype: torch.dtype) -> Policy:
    """Load a model folder for training: dropout off, packed or plain attention, and what the hardware asks for.

    Raises:
        EngineError: when the folder cannot be loaded, or its attention cannot be packed.
    """
    from transformers import AutoModelForCausalLM

    register()
    techniques = hardware.techniques
    attention = PACKED if techniques.packing else hardware.attention
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention)
    except (OSError, ValueError, ImportError) as error:
        raise EngineError(f"cannot load {folder} for training: {str(error).splitlines()[0]}") from None
    if techniques.packing and "sliding_attention" in (getattr(model.config, "layer_types", None) or ()):
        raise EngineError(f"{folder} uses sliding-window attention, which packing does not cover: turn packing off")
    disable_dropout(model)
    model.config.use_cache = False
    model.train()  # transformers loads for inference, Lightning leaves modes alone, and no mode, no checkpointing
    if hardware.activation_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if techniques.liger:
        use_liger(model)
    if techniques.compile:
        compile_layers(model)
    return Policy(model, techniques)


def use_liger(model: Any) -> None:
    """Liger's kernels in place of the model's norms, rotary embedding and gated MLP; the loss is ours.

    Raises:
        MissingExtraError: when it is not installed.
    """
    try:
        from liger_kernel.transformers import (  # type: ignore[import-not-found]
            _apply_liger_kernel_to_instance as apply,
        )
    except ImportError:
        raise MissingExtraError("liger_kernel", "gpu") from None
    apply(model=model, rope=True, rms_norm=True, swiglu=True, cross_entropy=False, fused_linear_cross_entropy=False)


def compile_layers(model: Any) -> None:
    """Compile what has no attention in it: each layer's MLP and norms, whose elementwise work then runs in one pass.
    Sequences have no fixed length, so shapes are dynamic.
    """
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in ("mlp", "norm", "input_layernorm", "post_attention_layernorm"):
            module.compile(dynamic=True)


def disable_dropout(model: Any) -> None:
    """No dropout anywhere: policy and reference must agree, and preference losses are noisy enough."""
    for name in ("attention_dropout", "hidden_dropout", "embd_pdrop", "resid_pdrop", "attn_pdrop"):
        if getattr(model.config, name, 0):
            setattr(model.config, name, 0.0)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if getattr(module, "attention_dropout", 0):
            module.attention_dropout = 0.0


def master_dtype(precision: Precision, deepspeed: bool) -> torch.dtype:
    """Weights are kept in fp32 and cast as computed; DeepSpeed keeps its own fp32 master beside 16-bit weights."""
    return torch.bfloat16 if precision is Precision.bf16 and deepspeed else torch.float32
