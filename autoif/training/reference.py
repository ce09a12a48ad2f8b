"""Reference log-probabilities: computed once before training and stored, so no second model stays in memory.

The pass uses the training's own kernels, packing and micro-batches (those of the first epoch), so that a policy that
starts as the reference has margins of exactly 0.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from autoif.training.batches import MicroBatch
from autoif.training.data import Loader
from autoif.training.losses import sum_by_sequence
from autoif.training.model import Policy
from autoif.training.strategy import loading


class ReferencePass(LightningModule):
    """Collects [pairs, 2] summed log-probabilities by dataset index; rows of other processes stay NaN."""

    def __init__(self, make_policy: Callable[[], Policy], rows: int) -> None:
        super().__init__()
        self._make_policy = make_policy
        self.policy: Policy | None = None
        self.table = torch.full((rows, 2), float("nan"), dtype=torch.float32)

    def configure_model(self) -> None:
        if self.policy is None:
            with loading(self.trainer.strategy):
                self.policy = self._make_policy()

    def predict_step(self, batch: MicroBatch, batch_idx: int) -> None:
        assert self.policy is not None
        log_probs = sum_by_sequence(self.policy(batch), batch.owner, batch.sequences).view(-1, 2)
        if batch.indices:
            self.table[list(batch.indices)] = log_probs.float().cpu()

    def transfer_batch_to_device(self, batch: MicroBatch, device: torch.device, dataloader_idx: int) -> MicroBatch:
        return batch.to(device)


def reference_table(
    path: Path, weights: str, loader: Loader, make_policy: Callable[[], Policy], trainer: Callable[[], Any]
) -> Tensor:
    """The table for all pairs: [pairs, 2]. Read from ``path`` if it was stored for the same ``weights`` (their
    SHA-256), else computed by all processes, each its own micro-batches, and stored."""
    rows = len(loader.data.ids)
    stored = _load(path, weights, rows)
    if stored is not None:
        return stored
    module = ReferencePass(make_policy, rows)
    runner = trainer()
    runner.predict(module, loader, return_predictions=False)
    table = torch.nan_to_num(module.table, nan=0.0)
    if runner.world_size > 1:
        table = runner.strategy.reduce(table.to(runner.strategy.root_device), reduce_op="sum").cpu()
    if runner.is_global_zero:
        _save(path, weights, table)
    runner.strategy.barrier("reference")
    return table


def _load(path: Path, weights: str, rows: int) -> Tensor | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            table: Tensor = file.get_tensor("log_probs")
            known = (file.metadata() or {}).get("reference_sha256")
    except (FileNotFoundError, SafetensorError):
        return None
    return table if known == weights and table.shape == (rows, 2) else None


def _save(path: Path, weights: str, table: Tensor) -> None:
    from safetensors.torch import save_file

    part = path.with_name(path.name + ".part")
    save_file({"log_probs": table.contiguous()}, part, metadata={"reference_sha256": weights})
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
