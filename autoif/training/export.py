"""The trained model as a Hugging Face folder: safetensors, tokenizer, chat template, generation settings.

Weights are written in fp32, also after bf16 training (why: :mod:`autoif.training.masters`; rounded, 93% of a 135M
model's weights left a round of DPO unchanged). Whoever loads the folder chooses the dtype to compute in.

Written under another name, synced and renamed, so a folder with its final name is whole. Sharded weights are
gathered one parameter at a time and written in shards, so no process ever holds the whole model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from autoif.config import HardwareConfig, Strategy
from autoif.training.chat import Chat
from autoif.training.checkpoints import sync
from autoif.training.job import Job
from autoif.training.loop import Loop
from autoif.training.masters import whole
from autoif.training.model import Policy
from autoif.training.strategy import is_deepspeed

SHARD_BYTES = 4 << 30


class Export(Callback):
    """Writes the model when training has ended and its processes still have their devices: only then can shards be
    gathered."""

    def __init__(self, job: Job, chat: Chat) -> None:
        self.job, self.chat = job, chat

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Loop)
        assert pl_module.policy is not None
        export(self.job, pl_module.policy, self.chat, trainer.global_rank)
        trainer.strategy.barrier("export")


def export(job: Job, policy: Policy, chat: Chat, rank: int) -> None:
    """Write the policy to ``job.output``. All processes call it; sharded weights they gather together."""
    output = Path(job.output)
    part = output.with_name(output.name + ".part")
    if rank == 0:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
    model = policy.model
    _write_weights(part if rank == 0 else None, _parameters(model, job.hardware))
    if rank:
        return
    model.config.use_cache = True
    model.config.dtype = torch.float32
    model.config.save_pretrained(part)
    generation = model.generation_config
    generation.eos_token_id = sorted(chat.ends) if len(chat.ends) > 1 else next(iter(chat.ends))
    generation.save_pretrained(part)
    chat.tokenizer.save_pretrained(part)
    sync(part)
    if output.exists():
        shutil.rmtree(output)
    part.replace(output)
    sync(output.parent, deep=False)


def _parameters(model: Any, hardware: HardwareConfig) -> Iterator[tuple[str, Tensor]]:
    """Name and whole tensor of each parameter and persistent buffer, in order; a tied one once, under the name that
    transformers writes it."""
    tied = set(getattr(model, "all_tied_weights_keys", None) or {})
    for name, parameter in model.named_parameters():
        if name not in tied:
            yield name, whole(parameter, is_deepspeed(hardware))
    persistent = model.state_dict().keys() if hardware.strategy is not Strategy.zero3 else ()
    for name, buffer in model.named_buffers():
        if name in persistent:
            yield name, buffer


def _write_weights(folder: Path | None, tensors: Iterator[tuple[str, Tensor]]) -> None:
    """Shards of at most :data:`SHARD_BYTES` and their index; with None only takes part in gathering."""
    from safetensors.torch import save_file

    shards: list[list[str]] = []
    pending: dict[str, Tensor] = {}
    size = total = 0

    def flush() -> None:
        if pending and folder is not None:
            shards.append(list(pending))
            save_file(pending, folder / f"shard-{len(shards)}", metadata={"format": "pt"})
        pending.clear()

    for name, tensor in tensors:
        if folder is None:
            continue
        value = tensor.to(device="cpu", dtype=torch.float32 if tensor.is_floating_point() else tensor.dtype)
        value = value.contiguous().clone()
        if size + value.nbytes > SHARD_BYTES:
            flush()
            size = 0
        pending[name] = value
        size += value.nbytes
        total += value.nbytes
    flush()
    if folder is None:
        return
    if len(shards) == 1:
        (folder / "shard-1").rename(folder / "model.safetensors")
        return
    index: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        (folder / f"shard-{number}").rename(folder / file)
        index |= dict.fromkeys(names, file)
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=2, sort_keys=True)
    (folder / "model.safetensors.index.json").write_text(text)
